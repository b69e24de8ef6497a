//! Each kind of beginning has its cause, and the words that the status shows.

use std::time::Duration;

use rstest::rstest;

use super::Cause;
use crate::{
    Change, Demotion, FENCE_DELAY, Observation, Record, Request, fixture::healthy, fixture::name, info::FollowState,
    info::Role, kinds::RequestKind, kinds::TransitionKind, plan,
};

const SECOND: Duration = Duration::from_secs(1);

/// The change of master that begins: why, of which kind, to whom, and in which words.
fn begins(o: &Observation) -> Option<(Cause, TransitionKind, String, String)> {
    plan(o).changes().iter().find_map(|change| match change {
        Change::Begin { cause, transition: t, .. } => Some((*cause, t.kind, t.to.clone(), t.reason.clone())),
        _ => None,
    })
}

#[track_caller]
fn check(o: &Observation, cause: Cause, message: &str) {
    let found = begins(o).unwrap_or_else(|| panic!("nothing begins: {:?}", plan(o)));
    assert_eq!((found.0, found.1), (cause, cause.kind()), "{found:?}");
    assert!(found.3.contains(message), "{found:?}");
}

/// What is asked for by annotation.
fn asks(o: &mut Observation, kind: RequestKind) {
    o.settings.request = Some(Request { kind, to: None });
}

/// A switchover from `shop-0` to `shop-1` is recorded.
fn hands_over(o: &mut Observation) {
    o.fail_over(1);
    o.record.transition.as_mut().unwrap().kind = TransitionKind::Switchover;
}

/// No replica follows `shop-0`, or another, for so long.
fn cut_off(mut o: Observation, for_: Duration) -> Observation {
    (1..3).for_each(|i| o.detach(i));
    o.remembered(Duration::ZERO).remembered(for_)
}

#[test]
fn the_first_master() {
    let mut o = healthy(3);
    o.record = Record::default();
    (0..3).for_each(|i| o.detach(i));
    check(&o, Cause::FirstMaster, "there was no master yet");
    asks(&mut o, RequestKind::Failover);
    check(&o, Cause::FirstMaster, "there was no master yet; forced by a user");
}

#[test]
fn a_process_that_has_ended() {
    let mut o = healthy(3);
    o.kill(0);
    check(&o.clone().remembered(SECOND), Cause::ProcessEnded, "shop-0: its connection was closed, then refused");
    let mut restarted = healthy(3);
    restarted.restart(0);
    check(&restarted.remembered(SECOND), Cause::ProcessEnded, "shop-0: its Redis restarted");
    o.memory.killed.insert("uid-1".into(), o.now);
    check(&o.clone().remembered(SECOND), Cause::ProcessEnded, "shop-0");
    o.memory.killed.insert("uid-0".into(), o.now);
    check(&o.remembered(SECOND), Cause::Hung, "shop-0: its connection was closed, then refused");
}

#[test]
fn a_process_that_has_hung() {
    let mut o = healthy(3);
    o.hang(0, 5 * SECOND);
    let mut o = cut_off(o.remembered(2 * SECOND), Duration::ZERO);
    check(&o, Cause::Hung, "Redis has not answered for");
    o.memory.killed.insert("uid-0".into(), o.now);
    let cannot = o.clone().remembered(7 * SECOND);
    check(&cannot, Cause::Hung, "could not be ended");
    // its host falls silent as well
    o.cut(0, SECOND);
    check(&o.remembered(FENCE_DELAY), Cause::Hung, "its host has acknowledged nothing for");
}

#[test]
fn a_host_that_cannot_be_reached() {
    let mut o = healthy(3);
    o.cut(0, SECOND);
    let o = cut_off(o.remembered(2 * SECOND), FENCE_DELAY);
    check(&o, Cause::Unreachable, "its host has acknowledged nothing for");
}

#[test]
fn force() {
    let mut o = healthy(2);
    o.record.min_replicas = 0;
    o.detach(1);
    o.cut(0, 10 * SECOND);
    let mut o = o.remembered(10 * SECOND);
    assert_eq!(begins(&o), None);
    asks(&mut o, RequestKind::Failover);
    check(&o, Cause::Forced, "its host has acknowledged nothing for 1 s; forced by a user");
    let mut dead = healthy(3);
    dead.kill(0);
    let mut dead = dead.remembered(SECOND);
    asks(&mut dead, RequestKind::Switchover);
    check(&dead, Cause::ProcessEnded, "shop-0");
}

/// It is the one that was to be master whose loss is the cause.
#[test]
fn the_target_is_lost_as_well() {
    let mut o = healthy(3);
    o.kill(0);
    o.fail_over(1);
    o.kill(1);
    check(&o.remembered(SECOND), Cause::ProcessEnded, "shop-1: its connection was closed, then refused");
}

/// The target answers meanwhile: it is not its end that is the cause.
#[test]
fn the_master_is_lost_while_it_hands_over() {
    let mut o = healthy(3);
    hands_over(&mut o);
    o.cut(0, SECOND);
    let o = cut_off(o.remembered(2 * SECOND), FENCE_DELAY);
    check(&o, Cause::Unreachable, "shop-0: its host has acknowledged nothing for");
}

#[test]
fn the_target_lacks_what_the_demoted_master_has() {
    let mut o = healthy(3);
    hands_over(&mut o);
    o.detach(0);
    for i in [1, 2] {
        o.info(i).offset = 90;
        if let Role::Replica(side) = &mut o.info(i).role {
            side.follow = FollowState::Connecting;
        }
    }
    let demotion = Demotion { run_id: "run-0".into(), at: o.now, offset: 100, dropped: 0 };
    o.memory.demoted.insert(name(0), demotion);
    let o = o.remembered(SECOND);
    check(&o, Cause::TargetBehind, "shop-1: it lacks writes that the former master has");
    assert_eq!(begins(&o).unwrap().2, name(0), "it is master again");
}

type Situation = fn(&mut Observation);

fn outdated(o: &mut Observation, i: usize) {
    o.member(i).pod.as_mut().unwrap().outdated = true;
}

#[rstest]
#[case::deleted(Cause::PodDeleted, "shop-0: its pod is being deleted", |o: &mut Observation| {
    o.member(0).pod.as_mut().unwrap().leaving = true;
})]
#[case::deleted_and_outdated(Cause::PodDeleted, "shop-0: its pod is being deleted", |o: &mut Observation| {
    outdated(o, 0);
    o.member(0).pod.as_mut().unwrap().leaving = true;
})]
#[case::surplus(Cause::ScaledDown, "because replicas was reduced", |o: &mut Observation| {
    // `shop-2` is one too many, and the master
    o.record.master = Some(name(2));
    o.settings.replicas = 2;
})]
#[case::outdated(Cause::RollingUpdate, "because the spec was changed", |o: &mut Observation| outdated(o, 0))]
#[case::outdated_and_asked(Cause::RollingUpdate, "because the spec was changed", |o: &mut Observation| {
    outdated(o, 0);
    asks(o, RequestKind::Switchover);
})]
#[case::asked(Cause::Requested, "shop-0: requested by a user", |o: &mut Observation| asks(o, RequestKind::Switchover))]
#[case::asked_before_its_turn(Cause::Requested, "requested by a user", |o: &mut Observation| {
    (0..3).for_each(|i| outdated(o, i));
    asks(o, RequestKind::Switchover);
})]
#[case::preferred(Cause::Preferred, "shop-0: shop-2 is the preferred master, and has all data", |o: &mut Observation| {
    o.settings.preferred_master = Some(name(2));
})]
#[case::preferred_while_outdated(Cause::Preferred, "shop-2 is the preferred master", |o: &mut Observation| {
    // the master's pod is replaced as well, but after the others
    (0..2).for_each(|i| outdated(o, i));
    o.settings.preferred_master = Some(name(2));
})]
fn a_master_that_hands_over(#[case] cause: Cause, #[case] message: &str, #[case] situation: Situation) {
    let mut o = healthy(3);
    situation(&mut o);
    if o.record.master == Some(name(2)) {
        let (former, next) = (o.info(2).role.clone(), o.info(0).role.clone());
        (o.info(0).role, o.info(2).role) = (former, next);
    }
    // those of the present template have been well for long
    let mut o = o.remembered(SECOND);
    for _ in 0..12 {
        o = o.remembered(SECOND);
    }
    check(&o, cause, message);
}

#[test]
fn every_cause_is_listed_once() {
    for (i, cause) in Cause::ALL.into_iter().enumerate() {
        assert!(!Cause::ALL[..i].contains(&cause), "{cause:?}");
        assert!(!cause.to_string().is_empty());
    }
}
