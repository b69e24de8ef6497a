//! `events`: of the resource and of all that belongs to it.

use comfy_table::{Cell, Color};
use k8s_openapi::api::core::v1::Event;
use kube::{ResourceExt, api::ListParams};
use redis_replication_operator::{api::RedisReplication, objects::names};

use crate::{
    cluster::{Cluster, members},
    error::{Error, exit, unwrapped},
    render::{self, Look, age},
    terminal,
};

/// Shows them, the oldest first.
pub async fn run(cluster: &Cluster, name: &str) -> Result<u8, Error> {
    let resource = cluster.get(name).await?;
    let events = of(cluster, &resource).await?;
    if events.is_empty() {
        eprintln!("no events: Kubernetes keeps them for an hour, unless it is told otherwise");
    } else {
        terminal::print(&(table(&events, terminal::look()) + "\n"))?;
    }
    Ok(exit::OK)
}

/// The events of a resource and of all that belongs to it, the oldest first.
pub async fn of(cluster: &Cluster, resource: &RedisReplication) -> Result<Vec<Event>, Error> {
    let all = cluster.api::<Event>().list(&ListParams::default()).await;
    let all = all.map_err(|e| cluster.error(&cluster.reading("events"), &e))?;
    Ok(select(all.items, resource))
}

fn select(events: Vec<Event>, resource: &RedisReplication) -> Vec<Event> {
    let name = resource.name_any();
    let pods = members(resource);
    let claims: Vec<String> = pods.iter().map(|pod| format!("{}-{pod}", names::DATA_VOLUME)).collect();
    let services = [names::master_service(&name), names::replicas_service(&name), names::headless_service(&name)];
    let (scripts, settings) = (names::scripts_map(&name), format!("{}-", names::settings_maps(&name)));
    // another resource, or an object of its, may have the name of an object of another kind
    let about = |event: &Event| {
        let object = &event.involved_object;
        let about = object.name.clone().unwrap_or_default();
        match object.kind.as_deref().unwrap_or_default() {
            "RedisReplication" | "StatefulSet" | "PodDisruptionBudget" => about == name,
            "Pod" => pods.contains(&about),
            "PersistentVolumeClaim" => claims.contains(&about),
            "Service" | "Endpoints" | "EndpointSlice" => services.contains(&about),
            "ConfigMap" => about == scripts || about.starts_with(&settings),
            _ => false,
        }
    };
    let mut events: Vec<_> = events.into_iter().filter(about).collect();
    events.sort_by_key(time);
    events
}

fn time(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.or(last).or(first).or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// A line for each.
pub fn table(events: &[Event], look: Look) -> String {
    let mut table = render::table(&["AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"], look);
    for event in events {
        let about = &event.involved_object;
        let object =
            format!("{}/{}", about.kind.as_deref().unwrap_or_default(), about.name.as_deref().unwrap_or_default());
        let type_ = event.type_.as_deref().unwrap_or_default();
        let reason = Cell::new(event.reason.as_deref().unwrap_or_default());
        table.add_row([
            Cell::new(time(event).map_or_else(String::new, |then| age(look.now.duration_since(then).as_secs()))),
            if type_ == "Warning" { Cell::new(type_).fg(Color::Yellow) } else { Cell::new(type_) },
            reason,
            Cell::new(object),
            Cell::new(unwrapped(event.message.as_deref().unwrap_or_default())),
        ]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn resource() -> RedisReplication {
        serde_json::from_value(json!({ "metadata": { "name": "cache", "namespace": "shop" }, "spec": {} })).unwrap()
    }

    fn event(object: &str, time: &str, reason: &str) -> Event {
        let (kind, name) = object.split_once('/').unwrap();
        serde_json::from_value(json!({
            "metadata": { "name": reason }, "involvedObject": { "kind": kind, "name": name },
            "eventTime": time, "type": "Warning", "reason": reason, "message": "some\nwords",
        }))
        .unwrap()
    }

    #[test]
    fn those_of_the_resource_and_its_objects_in_order() {
        let resource = resource();
        let events = vec![
            event("Pod/cache-1", "2026-01-01T00:00:03.000000Z", "Third"),
            event("Pod/cache-web-7d9f", "2026-01-01T00:00:00.000000Z", "SomebodyElses"),
            event("PersistentVolumeClaim/data-cache-2", "2026-01-01T00:00:02.000000Z", "Second"),
            event("RedisReplication/cache", "2026-01-01T00:00:01.000000Z", "First"),
        ];
        let selected = select(events, &resource);
        let reasons: Vec<_> = selected.iter().map(|event| event.reason.clone().unwrap()).collect();
        assert_eq!(reasons, ["First", "Second", "Third"]);

        let now: Timestamp = "2026-01-01T00:01:01Z".parse().unwrap();
        let text = table(&selected[..1], Look { now, colours: false });
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["60s", "Warning", "First", "RedisReplication/cache", "some", "words"]);
    }

    #[test]
    fn an_object_of_another_kind_is_not_that_of_the_resource() {
        let events = [
            ("Service/cache-master", "Own"),
            ("RedisReplication/cache-master", "OfAnother"),
            ("StatefulSet/cache-0", "OfAnother"),
            ("ConfigMap/cache-config-1a2b", "Own"),
            ("Pod/cache-config-0", "OfAnother"),
            ("Deployment/cache", "OfAnother"),
        ];
        let events = events.map(|(object, reason)| event(object, "2026-01-01T00:00:00.000000Z", reason)).into();
        let selected = select(events, &resource());
        let reasons: Vec<_> = selected.iter().map(|event| event.reason.as_deref().unwrap()).collect();
        assert_eq!(reasons, ["Own", "Own"]);
    }

    #[test]
    fn a_long_message_is_printed_whole() {
        let mut long = event("Pod/cache-0", "2026-01-01T00:00:00.000000Z", "Long");
        let message = format!("{}run: kubectl delete pod cache-0", "word ".repeat(200));
        long.message = Some(message.clone());
        let now: Timestamp = "2026-01-01T00:01:01Z".parse().unwrap();
        for colours in [false, true] {
            let text = table(std::slice::from_ref(&long), Look { now, colours });
            assert!(text.contains(&message), "{text}");
        }
    }
}
