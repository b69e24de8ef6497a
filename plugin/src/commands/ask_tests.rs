#![allow(clippy::unwrap_used)]

use rstest::rstest;

use super::*;
use crate::args::Patience;

fn resource(replicas: i32, paused: bool, master: Option<&str>, phase: &str) -> RedisReplication {
    let members = (0..replicas).map(|n| json!({ "name": format!("cache-{n}"), "role": "Replica", "phase": phase }));
    serde_json::from_value(json!({
        "metadata": { "name": "cache", "namespace": "shop" },
        "spec": { "replicas": replicas, "paused": paused },
        "status": { "master": master, "members": members.collect::<Vec<_>>() },
    }))
    .unwrap()
}

#[rstest]
#[case(resource(3, false, Some("cache-0"), "Online"), None)]
#[case(resource(3, true, Some("cache-0"), "Online"), Some("cache is paused: first `kubectl rr resume cache`"))]
#[case(resource(3, false, None, "Online"), Some("cache has no master at present; see `kubectl rr status cache`"))]
#[case(
    resource(1, false, Some("cache-0"), "Online"),
    Some("cache has one member: there is no replica to hand over to")
)]
#[case(
    resource(3, false, Some("cache-0"), "Receiving"),
    Some("cache-1 is Receiving, so it cannot take over now; see `kubectl rr status cache`")
)]
fn a_pointless_switchover_is_not_asked_for(#[case] resource: RedisReplication, #[case] expected: Option<&str>) {
    let outcome = can_hand_over(&resource, Some("cache-1")).map_err(|error| error.to_string());
    assert_eq!(outcome.err().as_deref(), expected);
}

#[test]
fn a_failover_needs_to_be_meant() {
    let patience = Patience { wait: false, no_wait: false, timeout: std::time::Duration::from_secs(1) };
    let args =
        |force| Failover { name: "cache".into(), force, to: None, stray: None, yes: false, patience: patience.clone() };
    assert!(is_meant(&args(true)).is_ok());
    assert_eq!(is_meant(&args(false)).unwrap_err().exit_code(), exit::USAGE);
}

#[test]
fn the_warning_says_what_may_be_lost_and_who_has_what() {
    let mut view =
        crate::view::view(&resource(2, false, Some("cache-0"), "Online"), None, &std::collections::BTreeMap::new());
    view.members[1].offset = Some(2048);
    let text = warning(&view, "cache-0 does not answer", Some("cache-1"));
    for part in [
        "cache: cache-1 will replace cache-0 as master",
        "Every acknowledged write that the new master has not received",
        "The operator leaves this decision to an administrator: cache-0 does not answer.",
        "  cache-0 does not answer",
        "  cache-1 has 2.0 KiB of the history (offset 2048)",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
