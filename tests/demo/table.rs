//! What `kubectl get` would print: the API server makes the table.

use anyhow::Result;
use kube::{Client, Resource};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
struct Row {
    cells: Vec<Value>,
}

/// All objects of a kind in a namespace.
pub async fn of<K: Resource<DynamicType = ()>>(client: &Client, namespace: &str) -> Result<String> {
    let request = http::Request::get(K::url_path(&(), Some(namespace)))
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())?;
    let table: Table = client.request(request).await?;
    let shown: Vec<usize> =
        (0..table.column_definitions.len()).filter(|&column| table.column_definitions[column].priority == 0).collect();
    let mut lines = vec![shown.iter().map(|&c| table.column_definitions[c].name.to_uppercase()).collect::<Vec<_>>()];
    for row in &table.rows {
        lines.push(shown.iter().map(|&column| text(row.cells.get(column))).collect());
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..shown.len()).map(width).collect();
    let print = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   "));
        format!("  {}\n", cells.collect::<String>().trim_end())
    };
    Ok(lines.iter().map(print).collect())
}

fn text(cell: Option<&Value>) -> String {
    match cell {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
