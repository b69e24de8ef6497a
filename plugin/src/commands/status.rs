//! `status`.

use std::{io::Write, time::Duration};

use crossterm::{
    cursor::MoveTo,
    queue,
    terminal::{Clear, ClearType},
};
use redis_replication_operator::api::RedisReplication;
use serde_json::json;

use crate::{
    args::{Format, Status},
    cluster::{Cluster, members},
    error::{Error, exit},
    live, render, terminal,
    view::{View, view},
};

const REDRAW: Duration = Duration::from_secs(1);

/// Shows one resource, or all.
pub async fn run(cluster: &Cluster, args: &Status) -> Result<u8, Error> {
    if args.watch {
        return watch(cluster, args).await;
    }
    let views = gather(cluster, args).await?;
    let text = match args.output {
        None => draw(&views, args),
        Some(format) => machine(&views, args.name.is_some(), format)?,
    };
    terminal::print(&text)?;
    if views.is_empty() && args.all_namespaces && args.output.is_none() {
        eprintln!("there is no RedisReplication in this cluster");
    }
    code(cluster, args, &views)
}

/// The exit code. Nothing in one namespace is a failure, for that may be the wrong one; nothing in all of them is not.
fn code(cluster: &Cluster, args: &Status, views: &[View]) -> Result<u8, Error> {
    if views.is_empty() && !args.all_namespaces {
        return Err(Error::Pointless(format!(
            "there is no RedisReplication in namespace {}; `kubectl rr status -A` shows those of all namespaces",
            cluster.namespace
        )));
    }
    Ok(if views.iter().all(|view| view.healthy) { exit::OK } else { exit::NOT_HEALTHY })
}

async fn gather(cluster: &Cluster, args: &Status) -> Result<Vec<View>, Error> {
    let Some(name) = &args.name else {
        let found = cluster.list(args.all_namespaces).await?;
        return Ok(found.iter().map(|one| view(one, None, &std::collections::BTreeMap::new())).collect());
    };
    let resource = cluster.get(name).await?;
    Ok(vec![one(cluster, &resource).await])
}

/// A resource with all that can be found out. What cannot becomes a note.
pub async fn one(cluster: &Cluster, resource: &RedisReplication) -> View {
    let name = resource.metadata.name.clone().unwrap_or_default();
    let mut notes = Vec::new();
    let pods = match cluster.pods(&name).await {
        Ok(pods) => Some(pods),
        Err(error) => {
            notes.push(format!("Nodes are not shown: {error}."));
            None
        }
    };
    let running: Vec<String> = match &pods {
        Some(pods) => pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect(),
        None => members(resource),
    };
    let (lives, forbidden) = live::ask(cluster, &running).await;
    if let Some(error) = forbidden {
        notes.push(format!("Lag is not shown: {error}."));
    }
    let mut view = view(resource, pods.as_deref(), &lives);
    view.notes = notes;
    view
}

fn draw(views: &[View], args: &Status) -> String {
    match (&args.name, views) {
        (Some(_), [view]) => render::details(view, terminal::look()),
        (_, []) => String::new(),
        _ => render::list(views, args.all_namespaces, terminal::look()) + "\n",
    }
}

fn machine(views: &[View], single: bool, format: Format) -> Result<String, Error> {
    let value = match views {
        [view] if single => json!(view),
        all => json!({ "items": all }),
    };
    let broken = |error: &dyn std::fmt::Display| Error::Format(error.to_string());
    match format {
        Format::Json => serde_json::to_string_pretty(&value).map(|text| text + "\n").map_err(|e| broken(&e)),
        Format::Yaml => serde_saphyr::to_string(&value).map_err(|e| broken(&e)),
    }
}

/// Redraws until Ctrl-C. An API server that does not answer for a while ends nothing.
async fn watch(cluster: &Cluster, args: &Status) -> Result<u8, Error> {
    if !terminal::is_terminal() {
        return Err(Error::Usage(
            "--watch needs a terminal; for scripts use `kubectl wait` or `status -o json`".into(),
        ));
    }
    let mut last = gather(cluster, args).await?;
    let mut trouble = String::new();
    paint(Some(ClearType::All), "")?;
    loop {
        paint(None, &(draw(&last, args) + &trouble))?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return code(cluster, args, &last),
            () = tokio::time::sleep(REDRAW) => {}
        }
        trouble = match gather(cluster, args).await {
            Ok(views) => {
                last = views;
                String::new()
            }
            Err(error) => format!("\nno news since: {error}\n"),
        };
    }
}

/// Writes over what was there, so that nothing flickers.
fn paint(first: Option<ClearType>, text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let mut all = || {
        if let Some(clear) = first {
            queue!(out, Clear(clear))?;
        }
        queue!(out, MoveTo(0, 0))?;
        for line in text.lines() {
            write!(out, "{line}")?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
            writeln!(out)?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    };
    all().map_err(Error::io("the terminal"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::cluster::tests::answering_queries;

    #[tokio::test]
    async fn a_namespace_without_a_resource_is_a_failure_and_an_empty_cluster_is_not() {
        let cluster = answering_queries(|_, _, _| (200, json!({ "metadata": {}, "items": [] })));
        for output in [None, Some(Format::Json)] {
            let status = |all_namespaces| Status { name: None, all_namespaces, watch: false, output };
            let error = run(&cluster, &status(false)).await.unwrap_err();
            assert!(error.to_string().starts_with("there is no RedisReplication in namespace shop; "), "{error}");
            assert_eq!(error.exit_code(), exit::FAILED);
            assert_eq!(run(&cluster, &status(true)).await.unwrap(), exit::OK);
        }
    }
}
