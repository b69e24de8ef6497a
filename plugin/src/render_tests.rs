#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use redis_replication_operator::api::RedisReplication;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::{live::Live, view::view};

fn look(colours: bool) -> Look {
    Look { now: "2026-01-01T00:10:00Z".parse().unwrap(), colours }
}

fn example() -> View {
    let resource: RedisReplication = serde_json::from_value(json!({
        "metadata": { "name": "cache", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "replicas": 3, "durability": { "waitReplicas": 2 },
            "failover": { "policy": "Consistency", "preferredMaster": "cache-0" } },
        "status": {
            "master": "cache-1", "epoch": 2, "readyReplicas": 2,
            "lastTransition": { "epoch": 2, "kind": "Failover", "from": "cache-0", "to": "cache-1",
                "reason": "its connection was closed, then refused", "startedAt": "2026-01-01T00:05:00.000000Z",
                "durationMs": 32, "outcome": "Completed" },
            "members": [
                { "name": "cache-0", "role": "Replica", "phase": "Receiving", "syncPercent": 35 },
                { "name": "cache-1", "role": "Master" },
                { "name": "cache-2", "role": "Replica", "phase": "Online" },
            ],
            "conditions": [{ "type": "Ready", "status": "False", "reason": "Syncing", "message": "cache-0 receives",
                "lastTransitionTime": "2026-01-01T00:09:30Z" }],
        },
    }))
    .unwrap();
    let live = |text| Live::parse(text).unwrap();
    let lives = BTreeMap::from([
        ("cache-1".to_owned(), live("role:master\nmaster_repl_offset:2097152")),
        (
            "cache-2".to_owned(),
            live("role:slave\nmaster_link_status:up\nmaster_last_io_seconds_ago:1\nslave_repl_offset:2096640"),
        ),
    ]);
    let mut view = view(&resource, None, &lives);
    view.notes.push("Nodes are not shown.".into());
    view
}

#[test]
fn details_say_it_all() {
    let text = details(&example(), look(false));
    let expected = "\
cache in shop: Syncing: cache-0 receives

Master    cache-1, epoch 2
Members   2 of 3 serve
Policy    Consistency, writes confirmed by WAIT 2, cache-0 preferred as master
Last      Failover from cache-0 to cache-1, completed in 32 ms (its connection was closed, then refused), 5m ago

POD       NODE   ROLE      PHASE       LAG     HEARD    SYNC               MESSAGE
cache-0   -      replica   Receiving   -       -        ███░░░░░░░ 35 %
cache-1   -      master    -           -       -        -
cache-2   -      replica   Online      512 B   1s ago   ██████████ 100 %

Waiting for
  Syncing (Ready), since 30s: cache-0 receives

Nodes are not shown.
";
    assert_eq!(text, expected);
}

#[test]
fn a_list_has_a_line_for_each() {
    let text = list(&[example()], true, look(false));
    let expected = "\
NAMESPACE   NAME    MASTER    READY   STATUS    EPOCH   LAST CHANGE        AGE   MESSAGE
shop        cache   cache-1   2/3     Syncing   2       5m ago (32 ms)   10m   cache-0 receives";
    let words =
        |text: &str| text.lines().map(|l| l.split_whitespace().map(str::to_owned).collect()).collect::<Vec<Vec<_>>>();
    assert_eq!(words(&text), words(expected));
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    assert!(!details(&example(), look(false)).contains('\x1b'));
    assert!(!list(&[example()], false, look(false)).contains('\x1b'));
    assert!(list(&[example()], false, look(true)).contains('\x1b'));
}

#[rstest]
#[case(0.0, "░░░░░░░░░░ 0 %")]
#[case(9.9, "░░░░░░░░░░ 9 %")]
#[case(10.0, "█░░░░░░░░░ 10 %")]
#[case(99.9, "█████████░ 99 %")]
#[case(100.0, "██████████ 100 %")]
#[case(-5.0, "░░░░░░░░░░ 0 %")]
#[case(400.0, "██████████ 100 %")]
fn bars_are_full_only_when_it_is_done(#[case] percent: f64, #[case] expected: &str) {
    assert_eq!(bar(percent, 10), expected);
}

#[rstest]
#[case(0, "0 B")]
#[case(1023, "1023 B")]
#[case(1024, "1.0 KiB")]
#[case(1_572_864, "1.5 MiB")]
#[case(u64::MAX, "16384.0 PiB")]
fn bytes_have_a_unit(#[case] count: u64, #[case] expected: &str) {
    assert_eq!(bytes(count), expected);
}

#[rstest]
#[case(-3, "0s")]
#[case(119, "119s")]
#[case(192, "3m12s")]
#[case(600, "10m")]
#[case(10_799, "179m")]
#[case(10_800, "3h")]
#[case(172_800, "2d")]
fn ages_are_as_in_kubectl(#[case] seconds: i64, #[case] expected: &str) {
    assert_eq!(age(seconds), expected);
}
