//! The page that explains every field, made from the definition that the API server checks.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use super::crd::{KUBERNETES_TYPES, crd};

const HEAD: &str = "\
# Every field of a RedisReplication

Made by `make crd` from the comments in `src/api`: change them, not this page. `kubectl explain rr.spec` says the same.
The shortest spec is `{}`. *One by one* means: replicas first, each when the one before follows again; the master hands over
and comes last.
";

/// The page, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut rules = Vec::new();
    let crd = crd();
    let schemas = crd.spec.versions.iter().filter_map(|v| v.schema.as_ref()?.open_api_v3_schema.as_ref());
    for schema in schemas {
        for part in ["spec", "status"] {
            let Some(schema) = schema.properties.as_ref().and_then(|all| all.get(part)) else { continue };
            // writing to a String does not fail
            let _ = write!(
                page,
                "\n## {part}\n\n| field | type | default | allowed | description |\n|---|---|---|---|---|\n"
            );
            rows(part, schema, &mut page);
        }
        rules_of("", schema, &mut rules);
    }
    page.push_str("\n## What is refused besides\n\n");
    for (path, message) in rules {
        let path = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        let _ = writeln!(page, "- {path}{}", line(&message).replace('<', "\\<"));
    }
    page
}

fn rows(path: &str, schema: &JSONSchemaProps, page: &mut String) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let own = !KUBERNETES_TYPES.contains(&path.as_str());
        let required = schema.required.iter().flatten().any(|r| r == name);
        let default = match &field.default {
            Some(value) if value.0 == "" => "`\"\"`".into(),
            Some(value) => format!("`{}`", value.0.to_string().trim_matches('"')),
            None if required && path.starts_with("spec") => "*required*".into(),
            None => String::new(),
        };
        let kind = if own { kind(field) } else { format!("{}, as in Kubernetes", kind(field)) };
        let text = line(field.description.as_deref().unwrap_or_default());
        let shown = path.split_once('.').map_or(path.as_str(), |(_, rest)| rest);
        let _ = writeln!(page, "| `{shown}` | {kind} | {default} | {} | {text} |", allowed(field));
        if own {
            rows(&path, field, page);
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &field.items {
                rows(&format!("{path}[]"), item, page);
            }
        }
    }
}

fn kind(field: &JSONSchemaProps) -> String {
    let one = field.type_.clone().unwrap_or_else(|| "integer or string".into());
    match (&field.items, &field.additional_properties) {
        (Some(JSONSchemaPropsOrArray::Schema(item)), _) => format!("list of {}", kind(item)),
        (_, Some(JSONSchemaPropsOrBool::Schema(value))) => format!("map of {}", kind(value)),
        _ if field.format.as_deref() == Some("date-time") => "time".into(),
        _ => one,
    }
}

fn allowed(field: &JSONSchemaProps) -> String {
    let mut all = Vec::new();
    if let Some(values) = &field.enum_ {
        let words =
            values.iter().filter(|v| !v.0.is_null()).map(|v| format!("`{}`", v.0.to_string().trim_matches('"')));
        all.push(words.collect::<Vec<_>>().join(", "));
    }
    match (field.minimum, field.maximum) {
        (Some(min), Some(max)) => all.push(format!("{min} to {max}")),
        (Some(min), None) => all.push(format!("{min} or more")),
        (None, Some(max)) => all.push(format!("{max} or less")),
        (None, None) => {}
    }
    all.extend(field.pattern.as_ref().map(|p| format!("`{}`", p.replace('|', "\\|"))));
    match (field.min_length, field.max_length) {
        (Some(1), None) => all.push("not empty".into()),
        (Some(min), Some(max)) => all.push(format!("{min} to {max} characters")),
        (None, Some(max)) => all.push(format!("{max} characters at most")),
        _ => {}
    }
    all.extend(field.max_properties.map(|max| format!("{max} entries at most")));
    all.join("; ")
}

fn rules_of(path: &str, schema: &JSONSchemaProps, rules: &mut Vec<(String, String)>) {
    let own = schema.x_kubernetes_validations.iter().flatten();
    rules.extend(own.filter_map(|rule| Some((path.to_owned(), rule.message.clone()?))));
    for (name, field) in schema.properties.iter().flatten() {
        rules_of(format!("{path}.{name}").trim_start_matches('.'), field, rules);
    }
}

/// On one line of a table.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
