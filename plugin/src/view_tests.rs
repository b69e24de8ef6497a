#![allow(clippy::unwrap_used)]

use redis_replication_operator::api::MemberPhase;
use serde_json::{Value, json};

use super::*;

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({ "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z" })
}

fn resource(conditions: &[Value]) -> RedisReplication {
    serde_json::from_value(json!({
        "metadata": { "name": "cache", "namespace": "shop", "generation": 3 },
        "spec": { "replicas": 3 },
        "status": {
            "observedGeneration": 3, "master": "cache-1", "epoch": 4, "readyReplicas": 2,
            "members": [
                { "name": "cache-0", "role": "Replica", "phase": "Receiving", "syncPercent": 35 },
                { "name": "cache-1", "role": "Master" },
                { "name": "cache-2", "role": "Replica", "phase": "Online" },
            ],
            "conditions": conditions,
        },
    }))
    .unwrap()
}

fn pod(name: &str, ip: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": name }, "spec": { "nodeName": "node1", "containers": [] }, "status": { "podIP": ip },
    }))
    .unwrap()
}

#[test]
fn a_healthy_resource_waits_for_nothing() {
    let conditions = [
        condition("Ready", "True", "Healthy", "all is well"),
        condition("Progressing", "False", "Stable", ""),
        condition("FailoverBlocked", "False", "NotBlocked", ""),
    ];
    let view = view(&resource(&conditions), None, &BTreeMap::new());
    assert!(view.healthy);
    assert_eq!((view.reason.as_str(), view.message.as_str()), ("Healthy", "all is well"));
    assert_eq!(view.waiting_for, []);
    assert_eq!(view.members.iter().filter(|member| member.message.is_some()).count(), 0, "pods were not read");
}

#[test]
fn what_several_conditions_say_is_told_once() {
    let conditions = [
        condition("Ready", "False", "Syncing", "cache-0 loads"),
        condition("MasterAvailable", "True", "MasterServes", "cache-1 accepts writes"),
        condition("Replicating", "False", "Syncing", "cache-0 loads"),
        condition("FailoverBlocked", "True", "MasterUnreachable", "cache-1 is silent"),
    ];
    let view = view(&resource(&conditions), None, &BTreeMap::new());
    assert!(!view.healthy);
    let waiting: Vec<_> = view.waiting_for.iter().map(|w| (w.conditions.join("+"), w.reason.as_str())).collect();
    let expected = [("Ready+Replicating".to_owned(), "Syncing"), ("FailoverBlocked".to_owned(), "MasterUnreachable")];
    assert_eq!(waiting, expected);
}

#[test]
fn one_member_has_nobody_to_wait_for() {
    let single = [condition("Replicating", "False", "SingleMember", "replicas is 1")];
    assert_eq!(view(&resource(&single), None, &BTreeMap::new()).waiting_for, []);
}

#[test]
fn a_status_about_an_older_spec_is_not_healthy() {
    let mut resource = resource(&[condition("Ready", "True", "Healthy", "")]);
    resource.metadata.generation = Some(4);
    let stale = view(&resource, None, &BTreeMap::new());
    assert!(!stale.healthy);
    assert_eq!(stale.waiting_for[0].reason, "OperatorSilent");
    resource.status = None;
    let unseen = view(&resource, None, &BTreeMap::new());
    assert!(!unseen.healthy);
    assert!(unseen.waiting_for[0].message.contains("does it run"), "{:?}", unseen.waiting_for);
    assert_eq!(unseen.members.len(), 3, "those that there are to be");
}

#[test]
fn members_join_status_pods_and_what_they_say() {
    let master =
        Live::parse("role:master\nslave0:ip=10.0.0.3,port=6379,state=online,offset=950,lag=1\nmaster_repl_offset:1000");
    let syncing = Live::parse(
        "role:slave\nmaster_link_status:down\nslave_repl_offset:0\nmaster_sync_in_progress:1\nmaster_sync_perc:37.5",
    );
    let online = Live::parse("role:slave\nmaster_link_status:up\nmaster_last_io_seconds_ago:0\nslave_repl_offset:940");
    let lives = BTreeMap::from([
        ("cache-1".to_owned(), master.unwrap()),
        ("cache-0".to_owned(), syncing.unwrap()),
        ("cache-2".to_owned(), online.unwrap()),
    ]);
    let pods = [pod("cache-1", "10.0.0.2"), pod("cache-2", "10.0.0.3")];
    let members = view(&resource(&[]), Some(&pods), &lives).members;

    assert_eq!(members[0].sync_percent, Some(37.5), "newer than the status");
    assert_eq!(members[0].message.as_deref(), Some("there is no pod"));
    assert_eq!((members[1].lag_bytes, members[1].offset), (None, Some(1000)), "the master lags behind nobody");
    assert_eq!((members[2].lag_bytes, members[2].lag_seconds), (Some(50), Some(1)));
    assert_eq!((members[2].phase, members[2].sync_percent), (Some(MemberPhase::Online), Some(100.0)));
    assert_eq!(members[2].node.as_deref(), Some("node1"));
}

#[test]
fn machines_get_camel_case() {
    let value = serde_json::to_value(view(&resource(&[]), None, &BTreeMap::new())).unwrap();
    assert_eq!(value["readyReplicas"], 2);
    assert_eq!(value["members"][0]["syncPercent"], 35.0);
    assert_eq!(value["members"][0]["phase"], "Receiving");
    assert!(value["members"][1].get("phase").is_none());
}
