//! What a person would look up first after a failure.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};
use redis_replication_operator::api::RedisReplication;

use super::{Scene, operator};

const LOG_LINES: i64 = 40;
const OPERATOR_LINES: usize = 80;

/// Prints it all.
pub async fn print(scene: &Scene) {
    let (client, namespace) = (&scene.client, scene.namespace.name());
    println!("──── {namespace} ────");
    for part in [
        replications(client, namespace).await,
        events(client, namespace).await,
        pods(client, namespace).await,
        operators(scene).await,
    ] {
        match part {
            Ok(text) => println!("{text}"),
            Err(error) => println!("could not be read: {error:#}"),
        }
    }
    println!("──── end of {namespace} ────");
}

async fn replications(client: &Client, namespace: &str) -> Result<String> {
    let mut text = String::new();
    for one in Api::<RedisReplication>::namespaced(client.clone(), namespace).list(&ListParams::default()).await? {
        let (spec, status) = (serde_saphyr::to_string(&one.spec)?, serde_saphyr::to_string(&one.status)?);
        text += &format!("── RedisReplication {}\nspec:\n{spec}status:\n{status}", one.name_any());
    }
    Ok(text)
}

async fn events(client: &Client, namespace: &str) -> Result<String> {
    let mut events = Api::<Event>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?.items;
    let time = |event: &Event| {
        let precise = event.event_time.as_ref().map(|time| time.0);
        precise.or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
    };
    events.sort_by_key(time);
    let lines = events.iter().map(|event| {
        let about = &event.involved_object;
        format!(
            "{} {} {}/{} {}: {}\n",
            time(event).map(|time| time.to_string()).unwrap_or_default(),
            event.type_.as_deref().unwrap_or(""),
            about.kind.as_deref().unwrap_or(""),
            about.name.as_deref().unwrap_or(""),
            event.reason.as_deref().unwrap_or(""),
            event.message.as_deref().unwrap_or(""),
        )
    });
    Ok(format!("── Events\n{}", lines.collect::<String>()))
}

async fn pods(client: &Client, namespace: &str) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut text = String::new();
    for pod in pods.list(&ListParams::default()).await? {
        let (name, status) = (pod.name_any(), pod.status.clone().unwrap_or_default());
        text += &format!(
            "── Pod {name}: {} on {} at {}{}; labels {:?}\n",
            status.phase.unwrap_or_default(),
            pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node"),
            status.pod_ip.unwrap_or_default(),
            if pod.metadata.deletion_timestamp.is_some() { ", being deleted" } else { "" },
            pod.labels(),
        );
        for container in status.container_statuses.unwrap_or_default() {
            text += &format!(
                "   {}: ready {}, {} restarts, {}\n",
                container.name,
                container.ready,
                container.restart_count,
                serde_json::to_string(&container.state)?,
            );
            for previous in [true, false] {
                if previous && container.restart_count == 0 {
                    continue;
                }
                let parameters = LogParams {
                    container: Some(container.name.clone()),
                    previous,
                    tail_lines: Some(LOG_LINES),
                    ..LogParams::default()
                };
                let log = pods.logs(&name, &parameters).await.unwrap_or_else(|error| error.to_string());
                text += &log.lines().map(|line| format!("   | {line}\n")).collect::<String>();
            }
        }
    }
    Ok(text)
}

async fn operators(scene: &Scene) -> Result<String> {
    let (client, namespace) = (&scene.client, scene.namespace.name());
    if let Some(own) = &scene.own_operator {
        return Ok(format!("── Operator\n{}", own.log(OPERATOR_LINES)));
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), operator::NAMESPACE);
    let mut text = String::new();
    for pod in operator::pods(client).await? {
        let name = pod.name_any();
        let parameters = LogParams { tail_lines: Some(20_000), ..LogParams::default() };
        let log = pods.logs(&name, &parameters).await.unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = log.lines().filter(|line| line.contains(namespace)).collect();
        text += &format!("── Operator {name}\n");
        for line in lines.iter().skip(lines.len().saturating_sub(OPERATOR_LINES)) {
            text += &format!("   | {line}\n");
        }
    }
    Ok(text)
}
