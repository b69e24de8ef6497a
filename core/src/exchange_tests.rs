//! When a master's data is said to be other data than before, and when not.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::{super::fixture, *};
use crate::{Change, FollowState, Pending, Request, Role, Step, kinds::RequestKind, kinds::TransitionPhase};

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
            "an administrator decided",
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

/// Somebody made the master follow a stranger, and it has that one's data.
fn taken_over() -> Observation {
    let mut o = fixture::healthy(3);
    let mut side = fixture::following(7);
    side.follow = FollowState::Online;
    let info = o.info(0);
    (info.role, info.replication_id, info.keys) = (Role::Replica(side), "strangers".into(), 3);
    o
}

fn begins(o: &Observation) -> Option<(Cause, String, Option<Replaced>)> {
    super::super::plan(o).changes().iter().find_map(|change| match change {
        Change::Begin { cause, transition, replaced, .. } => Some((*cause, transition.to.clone(), replaced.clone())),
        _ => None,
    })
}

#[test]
fn a_master_with_a_strangers_data_gives_way_to_a_member_that_still_has_its_own() {
    let o = taken_over();
    let p = super::super::plan(&o);
    let detached = |name: &str| p.steps.iter().any(|s| matches!(s, Step::Detach { member, .. } if member == name));
    assert!(detached("shop-1") && detached("shop-2") && begins(&o).is_none(), "nobody copies it: {p:?}");
    assert!(!p.steps.iter().any(|s| matches!(s, Step::Promote { .. })), "{p:?}");
    let mut o = taken_over();
    (1..3).for_each(|i| o.detach(i));
    let o = o.remembered(Duration::from_secs(1));
    assert_eq!(begins(&o), Some((Cause::DataExchanged, "shop-1".into(), None)), "its data is what it was");
    let mut alone = o.clone();
    alone.record.min_replicas = 0;
    assert_eq!(begins(&alone).map(|b| b.1), Some("shop-1".into()), "what the master had alone is gone");
    let mut loads = fixture::healthy(3);
    loads.info(0).role = taken_over().info(0).role.clone();
    loads.info(0).loading = true;
    (1..3).for_each(|i| loads.detach(i));
    let loads = loads.remembered(Duration::from_secs(1));
    assert_eq!(begins(&loads), Some((Cause::DataExchanged, "shop-1".into(), None)), "its own data is gone already");
}

#[test]
fn a_strangers_data_that_all_have_is_reported() {
    for persistent in [false, true] {
        let mut o = taken_over();
        o.settings.persistent = persistent;
        for i in 1..3 {
            o.detach(i);
            let info = o.info(i);
            (info.replication_id, info.keys) = ("strangers".into(), 3);
        }
        let o = o.remembered(Duration::from_secs(1));
        let (cause, to, replaced) = begins(&o).unwrap();
        assert_eq!((cause, to.as_str()), (Cause::DataExchanged, "shop-0"));
        let replaced = replaced.unwrap();
        assert_eq!((replaced.epoch, replaced.master.as_str()), (2, "shop-0"));
        assert!(replaced.reason.contains("3 keys") && replaced.reason.contains("REPLICAOF"), "{}", replaced.reason);
    }
}

/// It accepts writes again when it is seen, and may have confirmed some.
#[test]
fn a_master_that_serves_a_strangers_data_goes_on_in_an_epoch_of_its_own() {
    let mut o = fixture::healthy(3);
    let info = o.info(0);
    (info.replication_id, info.previous_replication_id) = ("new".into(), Some("strangers".into()));
    let (cause, to, replaced) = begins(&o).unwrap();
    assert_eq!((cause, to.as_str(), replaced.unwrap().epoch), (Cause::DataExchanged, "shop-0", 2));
    let p = super::super::plan(&o);
    assert_eq!(p.steps.len(), 1, "nothing else in this round: {p:?}");
    o.record = o.record.after(p.changes());
    let ends = super::super::plan(&o);
    let outcome = |c: &Change| matches!(c, Change::Complete { .. });
    assert!(ends.changes().iter().any(outcome), "it is the master already: {ends:?}");
    o.record = o.record.after(ends.changes());
    assert_eq!(o.record.replication_id.as_deref(), Some("new"));
    assert_eq!(begins(&o), None, "once");
    assert!(o.record.replaced.is_some());
}

#[test]
fn what_is_no_strangers_data() {
    type Change = fn(&mut Observation);
    let cases: [(&str, Change); 4] = [
        ("its first replica lets a master begin a new history", |o| o.info(0).replication_id = "new".into()),
        ("it was promoted anew", |o| {
            let info = o.info(0);
            (info.replication_id, info.previous_replication_id) = ("new".into(), Some("history".into()));
        }),
        ("nothing is recorded", |o| {
            o.record.replication_id = None;
            let info = o.info(0);
            (info.replication_id, info.previous_replication_id) = ("new".into(), Some("x".into()));
        }),
        ("it asks a stranger, and has its own data", |o| {
            let mut side = fixture::following(7);
            side.follow = FollowState::Syncing(None);
            o.info(0).role = Role::Replica(side);
        }),
    ];
    for (what, change) in cases {
        let mut o = fixture::healthy(3);
        change(&mut o);
        assert_eq!(begins(&o), None, "{what}");
    }
}

#[test]
fn a_strangers_data_is_not_recorded_as_the_masters_while_paused() {
    let mut o = fixture::healthy(3);
    let info = o.info(0);
    (info.replication_id, info.previous_replication_id) = ("new".into(), Some("strangers".into()));
    o.settings.paused = true;
    assert_eq!(super::super::plan(&o).changes(), []);
    o.settings.paused = false;
    assert!(begins(&o).is_some_and(|(_, _, replaced)| replaced.is_some()), "it is said when the pause ends");
}
