#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::needless_pass_by_value)]

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{ResourceExt, core::ObjectList};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::api::{RedisReplication, RedisReplicationSpec, RedisReplicationStatus};

fn resource(spec: Value, status: Value) -> Value {
    json!({"metadata": {"name": "cache", "namespace": "shop", "uid": "u"}, "spec": spec, "status": status})
}

fn broken<K: DeserializeOwned>(object: &Value) -> Undecodable {
    let object: Isolated<K> = serde_json::from_str(&object.to_string()).unwrap();
    *object.0.err().expect("it cannot be decoded")
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!("bottom"), |inner, _| json!({ "a": inner }))
}

#[rstest]
#[case::wrong_type(json!({"replicas": "many"}), json!({}), "spec.replicas is a text, expected i32")]
#[case::too_large(json!({"replicas": 4_294_967_296_u64}), json!({}), "spec.replicas is a number, expected i32")]
#[case::boolean(json!({"config": {"a": "1", "b": true, "c": false}}), json!({}), "spec.config.b is a boolean, expected a number or a text (quote \"yes\" and \"no\")")]
#[case::of_a_list(json!({"tolerations": [{"key": "a"}, {"key": 7}]}), json!({}), "spec.tolerations[1].key is a number, expected a string")]
#[case::missing(json!({"persistence": {"mode": "AOF"}}), json!({}), "spec.persistence is incomplete: missing field `size`")]
#[case::beside_a_required_one(json!({"persistence": {"size": "1Gi", "mode": "Tape"}}), json!({}), "spec.persistence.mode is a text, expected one of `AOF`, `RDB`, `RDBAndAOF`")]
#[case::of_a_newer_version(json!({}), json!({"members": [{"name": "a", "role": "Master"}, {"name": "b", "role": "Replica", "phase": "Dancing"}]}), "status.members[1].phase is a text, expected one of `Connecting`, `Authenticating`, `AwaitingSnapshot`, `Receiving`, `Loading`, `Online`, `Lost`")]
#[case::no_time(json!({}), json!({"lastTransition": {"epoch": 1, "kind": "Election", "to": "a", "reason": "", "startedAt": "SECRET", "durationMs": 1, "outcome": "Completed"}}), "status.lastTransition.startedAt is a text that cannot be understood")]
#[case::too_deep(json!({"podOverrides": nested(70)}), json!({}), "spec.podOverrides is nested more than 64 levels deep")]
#[case::far_too_deep(json!({"podOverrides": nested(100)}), json!({}), "spec.podOverrides is nested more than 64 levels deep")]
fn the_field_at_fault_is_named_and_its_value_is_not(#[case] spec: Value, #[case] status: Value, #[case] words: &str) {
    let broken = broken::<RedisReplication>(&resource(spec, status));
    assert_eq!(broken.fault.to_string(), words);
    assert_eq!(broken.metadata.name.as_deref(), Some("cache"));
    assert!(!format!("{broken:?}").contains("shop"), "the content is not printed");
}

#[test]
fn of_two_faults_the_first_is_named() {
    let broken = broken::<RedisReplication>(&resource(json!({"image": 1, "replicas": "x"}), json!({"epoch": "y"})));
    assert_eq!(broken.fault.path, "spec.image");
}

/// The parser itself gives up at 128 levels, and with it the whole list.
#[test]
fn one_object_does_not_fail_the_list() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(9000), "}".repeat(9000));
    let managed = format!(r#""managedFields":[{{"fieldsV1":{deep}}}]"#);
    let list = format!(
        r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[
            {{"metadata":{{"name":"good","namespace":"shop",{managed}}},"spec":{{}}}},
            {{"metadata":{{"name":"deep","namespace":"shop",{managed}}},"spec":{{"podOverrides":{deep}}}}},
            {{"metadata":{{"name":"bad","namespace":"shop"}},"spec":{{"replicas":[]}}}},
            {{"metadata":{{"name":"last","namespace":"shop"}},"spec":{{"replicas":5}}}}]}}"#
    );
    assert!(serde_json::from_str::<ObjectList<RedisReplication>>(&list).is_err(), "what is being guarded against");
    let list: ObjectList<Isolated<RedisReplication>> = serde_json::from_str(&list).unwrap();
    let seen: Vec<_> = list.items.iter().map(|o| (o.name_any(), o.0.is_ok())).collect();
    assert_eq!(seen, [("good".into(), true), ("deep".into(), false), ("bad".into(), false), ("last".into(), true)]);
}

#[test]
fn a_watch_event_is_decoded_the_same_way() {
    use kube::core::WatchEvent;
    let event = json!({"type": "ADDED", "object": resource(json!({"podOverrides": nested(90)}), json!({}))});
    let text = event.to_string();
    // the server's order of the two
    let text = format!(r#"{{"type":"ADDED","object":{}}}"#, serde_json::from_str::<Value>(&text).unwrap()["object"]);
    let event: WatchEvent<Isolated<RedisReplication>> = serde_json::from_str(&text).unwrap();
    assert!(matches!(event, WatchEvent::Added(Isolated(Err(_)))));
}

#[test]
fn the_part_that_is_well_can_be_used() {
    let bad_spec = broken::<RedisReplication>(&resource(json!({"replicas": "x"}), json!({"epoch": 7})));
    assert!(bad_spec.part::<RedisReplicationSpec>("spec").is_none());
    assert_eq!(bad_spec.part::<Option<RedisReplicationStatus>>("status").unwrap().unwrap().epoch, 7);
    assert_eq!((bad_spec.integer("/status/epoch"), bad_spec.fault.section()), (Some(7), ("spec", Some("replicas"))));
    let deep = broken::<RedisReplication>(&resource(json!({}), json!({"transition": nested(80)})));
    assert!(deep.part::<Option<RedisReplicationStatus>>("status").is_none(), "it is not no status");
    assert!(deep.part::<RedisReplicationSpec>("spec").is_some());
}

#[test]
fn what_is_owned_is_known_but_for_the_field_at_fault() {
    let status = json!({"podIP": "10.0.0.7", "startTime": "SECRET", "containerStatuses": [{"name": "redis", "restartCount": "x"}]});
    let pod = json!({"metadata": {"name": "cache-0", "namespace": "shop", "uid": "u"}, "spec": {"nodeName": 5}, "status": status});
    let pod: Pod = broken::<Pod>(&pod).pruned().unwrap();
    assert_eq!((pod.uid().as_deref(), pod.status.unwrap().pod_ip.as_deref()), (Some("u"), Some("10.0.0.7")));
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "x", "b": 1}});
    let map: ConfigMap = broken::<ConfigMap>(&map).pruned().unwrap();
    assert_eq!(map.data.unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
}

/// The object as it is decoded without isolation is the same.
#[test]
fn what_is_well_is_the_same() {
    let text = resource(
        json!({"config": {"maxmemory": 4_294_967_296_u64, "hz": -1}, "podOverrides": nested(40)}),
        json!({"epoch": 3}),
    );
    let isolated: Isolated<RedisReplication> = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(isolated.0.unwrap(), serde_json::from_value::<RedisReplication>(text).unwrap());
}
