//! When a master's data is said to be other data than before, and when not.

#![allow(clippy::unwrap_used)]

use super::{super::fixture, *};
use crate::{Pending, Request, kinds::RequestKind, kinds::TransitionPhase};

const ELECTION: TransitionKind = TransitionKind::Election;

/// Three members, all of which have restarted without data.
fn emptied() -> Observation {
    let mut o = fixture::healthy(3);
    for i in 0..3 {
        let info = o.info(i);
        (info.run_id, info.replication_id, info.keys) = (format!("new-{i}"), format!("new-{i}"), 0);
    }
    o.memory.keys_before = Some(1000);
    o
}

#[test]
fn a_master_that_continues_nothing() {
    let o = emptied();
    let it = replaced(&o, ELECTION, 2, "shop-1").unwrap();
    assert_eq!((it.epoch, it.master.as_str()), (2, "shop-1"));
    assert!(it.reason.starts_with("shop-1 became the master without data"), "{}", it.reason);
    assert!(it.reason.ends_with("shop-0 had 1000 keys when it was last seen"), "{}", it.reason);
    assert!(replaced(&o, TransitionKind::Failover, 2, "shop-1").is_some(), "whatever the change is called");
}

#[test]
fn other_cases() {
    type Change = fn(&mut Observation);
    let cases: [(&str, Change, &str, bool); 13] = [
        ("the first start", |o| o.record.epoch = 0, "shop-0", false),
        ("nothing had been recorded", |o| o.record.replication_id = None, "shop-0", false),
        ("there was nothing", |o| o.memory.keys_before = Some(0), "shop-1", false),
        (
            "there was nothing, and there is something",
            |o| {
                o.memory.keys_before = Some(0);
                o.info(1).keys = 5;
            },
            "shop-1",
            true,
        ),
        ("the operator has not seen it", |o| o.memory.keys_before = None, "shop-1", true),
        ("a survivor", |o| o.info(1).replication_id = "history".into(), "shop-1", false),
        (
            "a survivor that was promoted",
            |o| o.info(1).previous_replication_id = Some("history".into()),
            "shop-1",
            false,
        ),
        (
            "one that has not followed the last master yet",
            |o| {
                o.record.previous_replication_id = Some("before".into());
                o.info(1).replication_id = "before".into();
            },
            "shop-1",
            false,
        ),
        (
            "the last master's append-only file",
            |o| {
                o.settings.persistent = true;
                o.info(0).keys = 10;
            },
            "shop-0",
            false,
        ),
        ("the last master's volume, empty", |o| o.settings.persistent = true, "shop-0", true),
        ("data without a volume", |o| o.info(0).keys = 10, "shop-0", true),
        (
            "another member's append-only file",
            |o| {
                o.settings.persistent = true;
                o.info(1).keys = 10;
            },
            "shop-1",
            true,
        ),
        (
            "a person decided",
            |o| {
                o.settings.request = Some(Request { kind: RequestKind::Failover, to: None });
                o.cut(0, std::time::Duration::from_secs(9));
            },
            "shop-1",
            false,
        ),
    ];
    for (what, change, to, expected) in cases {
        let mut o = emptied();
        change(&mut o);
        let it = replaced(&o, ELECTION, 2, to);
        assert_eq!(it.is_some(), expected, "{what}: {it:?}");
    }
    assert_eq!(replaced(&emptied(), TransitionKind::Switchover, 2, "shop-1"), None);
}

/// All have restarted from their volumes, and another than the last master answers first.
#[test]
fn as_many_keys_on_a_volume_are_taken_for_the_same() {
    for (persistent, keys, expected) in [(true, 1000, false), (true, 999, true), (false, 1000, true)] {
        let mut o = emptied();
        o.settings.persistent = persistent;
        if let Some((_, info)) = o.members.get_mut("shop-1").and_then(|m| m.server.info.as_mut()) {
            info.keys = keys;
        }
        let said = replaced(&o, TransitionKind::Election, 9, "shop-1").is_some();
        assert_eq!(said, expected, "{persistent} {keys}");
    }
}

#[test]
fn the_words() {
    let mut o = emptied();
    o.memory.keys_before = None;
    o.info(1).keys = 1;
    let it = replaced(&o, ELECTION, 2, "shop-1").unwrap().reason;
    assert!(it.contains("with 1 key of another history") && it.ends_with("it is not known what shop-0 had"), "{it}");
}

#[test]
fn how_long_it_stays() {
    let before = Replaced { epoch: 2, master: "shop-1".into(), reason: "reason".into() };
    let mut o = fixture::healthy(3);
    o.record.epoch = 2;
    o.record.replaced = Some(before.clone());
    for kind in [TransitionKind::Failover, TransitionKind::Switchover] {
        assert_eq!(replaced(&o, kind, 3, "shop-2"), Some(before.clone()), "{kind:?}: the data is what it was");
    }
    o.record.transition = Some(Pending {
        epoch: 2,
        kind: ELECTION,
        from: Some("shop-0".into()),
        to: "shop-1".into(),
        phase: TransitionPhase::Promoting,
        reason: String::new(),
    });
    assert_eq!(replaced(&o, TransitionKind::Failover, 3, "shop-2"), None, "that choice came to nothing");
    o.record.replaced = Some(Replaced { epoch: 1, ..before.clone() });
    assert!(replaced(&o, TransitionKind::Failover, 3, "shop-2").is_some(), "an earlier one is not taken back by it");
    let again =
        Observation { record: super::super::Record { replaced: Some(before), ..emptied().record }, ..emptied() };
    assert_eq!(replaced(&again, ELECTION, 4, "shop-0").unwrap().epoch, 4, "the last one");
}
