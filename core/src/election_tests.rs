//! Who is chosen, and who is counted.

use std::time::Duration;

use super::{
    Contact, Failure, Observation, Record, Request, Topic,
    election::{Election, elect},
    fixture::{NOW, consistent, healthy, name},
    plan,
};
use crate::{Reason, RequestKind, info::FollowState, info::Role};

fn elected(o: &Observation) -> Option<String> {
    match elect(o, Some(&name(0))) {
        Election::Elected { to, .. } => Some(to),
        _ => None,
    }
}

/// All have restarted. One names the recorded history and has nothing of it, another has data and names none.
#[test]
fn an_empty_member_of_the_recorded_history_comes_after_one_with_data() {
    let mut o = healthy(3);
    (0..3).for_each(|i| o.restart(i));
    (o.info(1).replication_id, o.info(1).offset) = ("history".into(), 0);
    o.info(2).keys = 1;
    o.memory.masterless_since = Some(NOW);
    assert_eq!(elected(&o), Some(name(2)));
}

/// It follows the empty one, or tries to; when that fails it still has its data.
#[test]
fn an_empty_member_is_not_chosen_while_one_with_data_begins_a_copy() {
    let mut o = healthy(2);
    o.restart(0);
    o.memory.masterless_since = Some(NOW);
    let Role::Replica(side) = &mut o.info(1).role else { unreachable!() };
    side.follow = FollowState::Syncing(None);
    assert_eq!(elected(&o), None);
    o.info(1).replication_id = "fresh-1".into();
    assert_eq!(elected(&o), None);
    o.detach(1);
    assert_eq!(elected(&o), Some(name(1)), "and it is, when the copy has failed");
    let Role::Replica(side) = &mut o.info(1).role else { unreachable!() };
    side.follow = FollowState::Syncing(None);
    o.info(1).keys = 0;
    assert_eq!(elected(&o), Some(name(0)), "neither has anything");
}

/// One that the record does not know may have got a copy after it was asked last.
#[test]
fn nobody_is_judged_by_an_answer_from_before_the_proof_of_the_loss() {
    let mut o = healthy(2);
    (0..2).for_each(|i| o.restart(i));
    o.info(1).keys = 10;
    o.memory.masterless_since = Some(NOW);
    o.memory.gone_since = Some(NOW + Duration::from_millis(10));
    o.now += Duration::from_millis(20);
    assert_eq!(elected(&o), None, "it was asked before");
    o.member(1).server.info.as_mut().unwrap().0 = o.now;
    assert_eq!(elected(&o), Some(name(1)));
}

/// A replica that was stopped a moment before the master died has the confirmed write, and the other one may lack it.
#[test]
fn a_replica_that_has_not_answered_since_the_loss_is_not_counted() {
    let mut o = consistent(3, 1);
    o.kill(0);
    o.memory.masterless_since = Some(NOW);
    o.memory.gone_since = Some(NOW + Duration::from_millis(10));
    let fresh = |o: &mut Observation, i: usize| o.member(i).server.info.as_mut().unwrap().0 = o.now;
    o.now += Duration::from_millis(400);
    fresh(&mut o, 1);
    let p = plan(&o);
    assert!(p.begins().is_none(), "{:?}", p.steps);
    assert!(p.waiting_for(Topic::Election).unwrap_or_default().contains("shop-2"), "it is connected: {:?}", p.waits);
    o.member(2).server.silent_since = Some(NOW.saturating_sub(Duration::from_secs(1)));
    let p = plan(&o);
    assert!(p.begins().is_none(), "{:?}", p.steps);
    assert!(p.waiting_for(Topic::Quorum).unwrap_or_default().contains("1 do (not shop-2)"), "{:?}", p.waits);
    fresh(&mut o, 2);
    o.member(2).server.silent_since = None;
    assert!(plan(&o).begins().is_some(), "both have answered");
}

/// It may be the last copy, and a master that is written to would have it overwritten.
#[test]
fn an_empty_member_does_not_come_before_data_that_cannot_be_read() {
    type Change = fn(&mut Observation);
    let fails = |o: &mut Observation| {
        let message = "Bad file format".into();
        o.member(0).pod.as_mut().unwrap().failure = Some(Failure { reason: Reason::DataDamaged, message });
    };
    let cases: [(&str, Change, bool); 6] = [
        ("the first start, and its Redis fails", |o| o.record = Record::default(), false),
        (
            "the first start, and its pod finds no node",
            |o| {
                o.record = Record::default();
                o.member(0).pod.as_mut().unwrap().failure = None;
            },
            false,
        ),
        ("all have restarted", |_| {}, false),
        ("all have restarted, and there was nothing", |o| o.memory.keys_before = Some(0), true),
        ("all have restarted, and it may only be late", |o| o.member(0).pod.as_mut().unwrap().failure = None, true),
        ("the other has data", |o| o.info(1).keys = 1, true),
    ];
    for (what, change, expected) in cases {
        let mut o = healthy(2);
        o.settings.persistent = true;
        o.restart(1);
        let member = o.member(0);
        (member.server.contact, member.server.info, member.claim_may_hold_data) = (Contact::None, None, true);
        member.pod.as_mut().unwrap().running = false;
        fails(&mut o);
        o.memory.masterless_since = Some(NOW.saturating_sub(Duration::from_secs(3600)));
        change(&mut o);
        let lost = o.record.master.clone();
        let found = elect(&o, lost.as_deref());
        assert_eq!(matches!(&found, Election::Elected { to, .. } if *to == name(1)), expected, "{what}: {found:?}");
        if let Election::Wait(message) = found {
            assert!(message.contains("shop-1 has no data, and the volume of shop-0 may have it"), "{what}: {message}");
            o.settings.request = Some(Request { kind: RequestKind::Failover, to: Some(name(1)) });
            assert!(matches!(elect(&o, lost.as_deref()), Election::Elected { .. }), "{what}: an administrator decides");
        }
    }
}
