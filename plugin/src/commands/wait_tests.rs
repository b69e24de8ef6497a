#![allow(clippy::unwrap_used)]

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const ANNOTATION: &str = "redis.replication.dev/switchover-to";

fn resource(asks: bool, transition: bool, last: Option<(i64, &str, &str)>) -> RedisReplication {
    let annotations = if asks { json!({ ANNOTATION: "cache-2" }) } else { json!({}) };
    let change =
        |epoch: i64, to: &str| json!({ "epoch": epoch, "kind": "Switchover", "to": to, "reason": "asked for" });
    let merge = |mut a: Value, b: Value| {
        a.as_object_mut().unwrap().extend(b.as_object().unwrap().clone());
        a
    };
    let last = last.map(|(epoch, to, outcome)| {
        let end = json!({ "startedAt": "2026-01-01T00:00:00.000000Z", "durationMs": 33, "outcome": outcome });
        merge(change(epoch, to), end)
    });
    let pending = json!({ "phase": "Promoting", "since": "2026-01-01T00:00:00.000000Z" });
    serde_json::from_value(json!({
        "metadata": { "name": "cache", "annotations": annotations },
        "spec": {},
        "status": {
            "lastTransition": last,
            "transition": transition.then(|| merge(change(9, "cache-2"), pending)),
            "conditions": [{ "type": "Ready", "status": "False", "reason": "SwitchingOver", "message": "waits",
                "lastTransitionTime": "2026-01-01T00:00:00Z" }],
        },
    }))
    .unwrap()
}

const BEFORE: Option<(i64, &str, &str)> = Some((2, "cache-0", "Completed"));

/// What follows from what the resource says later.
#[rstest]
#[case::nothing_has_happened(true, false, BEFORE, "waiting")]
#[case::under_way(false, true, BEFORE, "waiting")]
#[case::done_and_told(false, false, Some((3, "cache-2", "Completed")), "cache-2")]
#[case::done_and_not_told_yet(true, false, Some((3, "cache-2", "Completed")), "cache-2")]
#[case::another_failover_came_between(true, false, Some((3, "cache-1", "Completed")), "waiting")]
#[case::and_the_request_went_with_it(false, false, Some((3, "cache-1", "Completed")), "cache-1")]
#[case::abandoned(false, false, Some((3, "cache-2", "Abandoned")), "cache-2")]
#[case::abandoned_and_tried_again(true, false, Some((3, "cache-2", "Abandoned")), "waiting")]
#[case::refused(false, false, BEFORE, "dropped")]
fn progress(
    #[case] asks: bool,
    #[case] transition: bool,
    #[case] last: Option<(i64, &str, &str)>,
    #[case] expected: &str,
) {
    let request = Request {
        annotation: ANNOTATION,
        to: Some("cache-2".into()),
        asked: resource(true, false, BEFORE),
        told: Vec::new(),
    };
    let found = match request.progress(&resource(asks, transition, last)) {
        Progress::Waiting(why) => {
            assert_eq!(why, "SwitchingOver: waits");
            "waiting".to_owned()
        }
        Progress::Dropped => "dropped".into(),
        Progress::Ended(last) => last.to,
    };
    assert_eq!(found, expected);
}

#[test]
fn any_member_will_do_if_none_was_named() {
    let request = Request { annotation: ANNOTATION, to: None, asked: resource(true, false, BEFORE), told: Vec::new() };
    let now = resource(true, false, Some((3, "cache-1", "Completed")));
    assert!(matches!(request.progress(&now), Progress::Ended(last) if last.to == "cache-1"));
}

#[test]
fn an_end_that_was_not_asked_for_is_explained() {
    let ended =
        |outcome| resource(false, false, Some((3, "cache-1", outcome))).status.unwrap().last_transition.unwrap();
    assert_eq!(unmet("cache", &ended("Completed")), "cache-1 became the master of cache instead: asked for");
    assert!(unmet("cache", &ended("Abandoned")).starts_with("the operator abandoned it: asked for"));
}
