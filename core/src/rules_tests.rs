//! The protocol's rules, one by one: a situation, and what follows from it.

use std::time::Duration;

use rstest::rstest;

use super::{
    Answer, Change, Commitments, Contact, FENCE_DELAY, Former, Liveness, Observation, Pod, Request, Step, Topic,
    failure_detector::{ProcessState, process_state},
    fixture::{NOW, consistent, healthy, name},
    liveness, plan,
};
use crate::{
    info::FollowState, info::MasterSide, info::Role, kinds::Outcome, kinds::RequestKind, kinds::TransitionKind,
    kinds::TransitionPhase,
};

const SECOND: Duration = Duration::from_secs(1);

fn steps(o: &Observation) -> Vec<Step> {
    plan(o).steps.into_iter().filter(|s| !matches!(s, Step::Refresh { .. })).collect()
}

fn begins(o: &Observation) -> Option<(TransitionKind, String, usize)> {
    plan(o).changes().iter().find_map(|c| match c {
        Change::Begin { transition: t, min_replicas, .. } => Some((t.kind, t.to.clone(), *min_replicas)),
        _ => None,
    })
}

/// The one step, if it is one change of the record.
fn change(o: &Observation) -> Option<Change> {
    match steps(o).as_slice() {
        [Step::Record(changes)] if changes.len() == 1 => changes.first().cloned(),
        _ => None,
    }
}

fn waits(o: &Observation, topic: Topic) -> String {
    plan(o).waiting_for(topic).unwrap_or_default().to_owned()
}

#[test]
fn at_rest_there_is_nothing_to_do() {
    for o in [healthy(3), consistent(3, 1), healthy(2)] {
        let o = o.remembered(SECOND);
        assert_eq!((plan(&o).steps, plan(&o).waits), (vec![], vec![]));
    }
}

#[rstest]
#[case::answers(Contact::Up, 0, "Alive")]
#[case::slow(Contact::Up, 900, "Alive")]
#[case::silent(Contact::Up, 1100, "Silent")]
#[case::hung(Contact::Up, 5000, "Hung")]
#[case::closed_only(Contact::Closed { since: NOW }, 0, "Silent")]
#[case::refused_and_heard(Contact::Refused { since: NOW }, 0, "Silent")]
#[case::host_silent(Contact::HostSilent { since: NOW.saturating_sub(Duration::from_millis(500)) }, 0, "Silent")]
#[case::unreachable(Contact::HostSilent { since: NOW.saturating_sub(SECOND) }, 0, "Unreachable")]
#[case::never_connected(Contact::None, 0, "Silent")]
fn verdicts(#[case] contact: Contact, #[case] silent_ms: u64, #[case] expected: &str) {
    let mut o = healthy(3);
    o.member(0).server.contact = contact;
    if silent_ms > 0 {
        o.member(0).server.silent_since = Some(NOW.saturating_sub(Duration::from_millis(silent_ms)));
    }
    let found = match liveness(&o, &o.members[&name(0)]) {
        Liveness::Alive(_) => "Alive",
        Liveness::Dead(_) => "Dead",
        Liveness::Hung(_) => "Hung",
        Liveness::Unreachable(_) => "Unreachable",
        Liveness::Silent(_) => "Silent",
    };
    assert_eq!(found, expected);
}

#[test]
fn another_pod_of_the_same_name_proves_nothing_of_its_predecessor() {
    for (former, gone) in [(Former::Ended, true), (Former::Silent, false), (Former::Unknown, false)] {
        let mut o = healthy(3);
        o.kill(0);
        o.restart(0);
        o.member(0).server.contact = Contact::Up;
        o.member(0).pod = Some(Pod { uid: "another".into(), running: true, ..Pod::default() });
        o.member(0).former = former;
        assert_eq!(matches!(process_state(&o, &name(0)), ProcessState::Gone(_)), gone, "{former:?}");
    }
    let mut same_pod = healthy(3);
    same_pod.restart(0);
    assert!(
        matches!(process_state(&same_pod, &name(0)), ProcessState::Gone(_)),
        "a container restarts when its process has ended"
    );
}

#[test]
fn a_dead_master_is_replaced_by_the_most_advanced_survivor() {
    let mut o = healthy(3);
    o.kill(0);
    o.info(2).offset = 101;
    let o = o.remembered(SECOND);
    assert_eq!(begins(&o), Some((TransitionKind::Failover, name(2), 1)));
}

/// What it has beyond the point where it left the recorded history is not comparable with anything.
#[test]
fn writes_of_a_rogue_master_count_for_nothing() {
    let mut o = healthy(3);
    o.kill(0);
    let rogue = o.info(2);
    (rogue.previous_replication_id, rogue.previous_offset) = (Some("history".into()), 90);
    (rogue.replication_id, rogue.offset) = ("rogue".into(), 500);
    let o = o.remembered(SECOND);
    assert_eq!(begins(&o).unwrap().1, name(1));
}

#[test]
fn a_restarted_member_never_comes_before_a_survivor() {
    let mut o = healthy(3);
    o.kill(0);
    o.info(1).run_id = "run-1-again".into(); // from its snapshot: the right history, and who knows what is missing
    o.info(1).offset = 100;
    o.info(2).offset = 50;
    let o = o.remembered(SECOND);
    assert_eq!(begins(&o).unwrap().1, name(2));
}

#[test]
fn a_master_that_served_alone_is_waited_for_rather_than_its_former_replicas() {
    let mut o = healthy(2);
    o.settings.persistent = true;
    o.record.min_replicas = 0;
    o.kill(0);
    o.member(0).claim_may_hold_data = true;
    let o = o.remembered(SECOND);
    assert_eq!(begins(&o), None);
    assert!(waits(&o, Topic::Election).contains("shop-0 may hold data that shop-1 lacks"));
    // it is back, from its append-only file, which forgets the history
    let mut o = healthy(2);
    (o.settings.persistent, o.record.min_replicas) = (true, 0);
    o.restart(0);
    o.info(0).keys = 5;
    o.detach(1);
    let o = o.remembered(SECOND);
    assert_eq!(begins(&o).unwrap().1, name(0));
}

/// `shop-0` has hung, and nobody follows it any more.
fn hung_and_cut_off() -> Observation {
    let mut o = healthy(3);
    o.hang(0, 5 * SECOND);
    let mut o = o.remembered(2 * SECOND);
    let detached: Vec<_> = steps(&o).into_iter().map(|s| matches!(s, Step::Detach { .. })).collect();
    assert_eq!(detached, [true, true]);
    (1..3).for_each(|i| o.detach(i));
    o.remembered(Duration::ZERO)
}

#[test]
fn a_hung_master_is_ended_and_not_overtaken() {
    let mut o = hung_and_cut_off();
    assert!(
        matches!(change(&o), Some(Change::Begin { transition: t, .. }) if t.phase == TransitionPhase::Ending && t.to == name(1)),
        "{:?}",
        plan(&o)
    );
    o.fail_over(1);
    o.record.transition.as_mut().unwrap().phase = TransitionPhase::Ending;
    assert_eq!(steps(&o), vec![Step::Route { to: name(1) }], "the Service before the pod");
    o.route = Some(Some(name(1)));
    assert!(
        matches!(steps(&o).as_slice(), [Step::DeleteHungPod { member, .. }] if *member == name(0)),
        "{:?}",
        plan(&o)
    );
    o.memory.killed.insert("uid-0".into(), o.now);
    assert_eq!(steps(&o), vec![], "until its end is seen");
    assert!(waits(&o, Topic::Fence).contains("is being ended"));

    let promotes =
        |o: &Observation| matches!(steps(o).as_slice(), [Step::Promote { member, .. }] if *member == name(1));
    let mut dead = o.clone();
    dead.kill(0);
    assert!(promotes(&dead), "{:?}", plan(&dead));

    let cannot = o.clone().remembered(7 * SECOND);
    assert!(promotes(&cannot), "it could not be ended, and has been cut off for long: {:?}", plan(&cannot));
    let mut late = cannot;
    late.memory.detached.get_mut(&name(2)).unwrap().since = late.now;
    assert_eq!(steps(&late), vec![], "it may have found a replica until now");
    assert!(waits(&late, Topic::Fence).contains("could not be ended"));
}

/// One that had hung goes on before it is ended: it is no master any more.
#[test]
fn a_hung_master_that_goes_on_is_demoted() {
    let mut o = hung_and_cut_off();
    o.fail_over(1);
    o.record.transition.as_mut().unwrap().phase = TransitionPhase::Ending;
    o.member(0).server.silent_since = None;
    let mut o = o.remembered(Duration::ZERO);
    assert!(matches!(steps(&o).as_slice(), [Step::Demote { member, .. }] if *member == name(0)), "{:?}", plan(&o));
    o.detach(0);
    assert!(
        steps(&o).iter().any(|s| matches!(s, Step::Promote { member, .. } if *member == name(1))),
        "{:?}",
        plan(&o)
    );
}

/// What a master had that served alone is nowhere else; it is not given up before it is known to be gone.
#[test]
fn a_hung_master_that_served_alone_is_ended_first() {
    let mut o = healthy(3);
    (o.record.min_replicas, o.settings.persistent) = (0, true);
    o.hang(0, 5 * SECOND);
    let o = o.remembered(2 * SECOND);
    assert!(
        matches!(steps(&o).as_slice(), [Step::DeleteHungPod { member, .. }] if *member == name(0)),
        "{:?}",
        plan(&o)
    );
}

#[test]
fn a_master_that_a_replica_hears_is_left_alone() {
    for hang in [true, false] {
        let mut o = healthy(3);
        if hang {
            o.hang(0, 5 * SECOND);
        } else {
            o.cut(0, 5 * SECOND);
        }
        o.memory = o.memory.after(&o);
        let mut o = o.remembered(5 * SECOND);
        o.hears(1);
        assert_eq!(steps(&o), vec![], "hang: {hang}");
        assert!(waits(&o, Topic::Isolation).contains("shop-1 hears it"), "hang: {hang}: {:?}", plan(&o).waits);
    }
}

#[test]
fn an_operator_that_reaches_nobody_does_nothing() {
    let mut o = healthy(3);
    (0..3).for_each(|i| o.cut(i, 10 * SECOND));
    let o = o.remembered(5 * SECOND);
    assert_eq!(steps(&o), vec![]);
    assert!(waits(&o, Topic::Isolation).contains("operator's own trouble"));
}

#[test]
fn an_unreachable_master_is_cut_off_and_waited_out() {
    let mut o = healthy(3);
    o.cut(0, SECOND);
    let mut o = o.remembered(2 * SECOND);
    let detached: Vec<_> = steps(&o).into_iter().map(|s| matches!(s, Step::Detach { .. })).collect();
    assert_eq!(detached, [true, true]);
    (1..3).for_each(|i| o.detach(i));
    let detached = o.remembered(Duration::ZERO);
    let early = detached.clone().remembered(FENCE_DELAY.saturating_sub(Duration::from_millis(1)));
    assert_eq!(steps(&early), vec![], "it may take writes until then");
    assert!(waits(&early, Topic::Fence).contains("refuses writes"));
    assert_eq!(plan(&early).due, Some(early.now + Duration::from_millis(1)), "nobody has to wake the operator then");
    assert_eq!(begins(&detached.remembered(FENCE_DELAY)), Some((TransitionKind::Failover, name(1), 1)));
}

#[test]
fn a_false_alarm_ends_with_everybody_behind_the_same_master() {
    let mut o = healthy(3);
    (1..3).for_each(|i| o.detach(i));
    let o = o.remembered(Duration::from_millis(10));
    let followers: Vec<_> = steps(&o).into_iter().filter(|s| matches!(s, Step::Follow { .. })).collect();
    assert_eq!(followers.len(), 2);
    assert_eq!(begins(&o), None);
}

/// The target is lost before its promotion; that replicas still hear the former master does not speak for it.
#[test]
fn who_hears_the_former_master_does_not_vouch_for_a_lost_target() {
    let mut o = healthy(3);
    o.fail_over(1);
    o.cut(1, 10 * SECOND);
    let o = o.remembered(SECOND);
    assert_eq!(waits(&o, Topic::Suspicion) + &waits(&o, Topic::Isolation), "");
    assert!(
        steps(&o).iter().any(|s| matches!(s, Step::Detach { member, .. } if *member == name(2))),
        "{:?}",
        steps(&o)
    );
}

/// The former master serves on, unfenced target lost: it may have been promoted and serve as well. An administrator's word is neither
/// taken for done nor passed over.
#[test]
fn a_person_decides_when_the_target_is_lost_and_the_former_master_serves() {
    let mut o = healthy(3);
    o.record.min_replicas = 0;
    o.fail_over(1);
    o.cut(1, 10 * SECOND);
    let mut o = o.remembered(SECOND);
    assert!(waits(&o, Topic::NotFenced).contains("served alone"), "{:?}", plan(&o).waits);
    o.settings.request = Some(Request { kind: RequestKind::Failover, to: None });
    assert!(!steps(&o).iter().any(|s| matches!(s, Step::ResolveRequest { .. })), "{:?}", steps(&o));
    o.detach(2);
    let mut o = o.remembered(SECOND);
    assert!(
        steps(&o).iter().any(|s| matches!(s, Step::Demote { member, .. } if *member == name(0))),
        "{:?}",
        steps(&o)
    );
    o.detach(0);
    assert_eq!(begins(&o.remembered(SECOND)).unwrap().1, name(0));
}

#[test]
fn an_unreachable_master_without_a_fence_is_not_replaced_but_by_a_person() {
    let mut o = healthy(2);
    o.record.min_replicas = 0;
    o.detach(1);
    o.cut(0, 10 * SECOND);
    let mut o = o.remembered(10 * SECOND);
    assert_eq!(begins(&o), None);
    assert!(waits(&o, Topic::NotFenced).contains("served alone"));
    o.settings.request = Some(Request { kind: RequestKind::Failover, to: None });
    assert_eq!(begins(&o).unwrap().1, name(1));
}

#[rstest]
#[case::both_replicas_needed(3, 1, 2, true)]
#[case::one_is_missing(3, 1, 1, false)]
#[case::two_confirmed(3, 2, 1, true)]
#[case::five_members(5, 2, 3, true)]
#[case::five_members_too_few(5, 2, 2, false)]
fn consistency_needs_a_quorum(#[case] n: usize, #[case] k: usize, #[case] survivors: usize, #[case] elects: bool) {
    let mut o = consistent(n, k);
    o.kill(0);
    (survivors + 1..n).for_each(|i| o.restart(i));
    let o = o.remembered(SECOND);
    assert_eq!(begins(&o).is_some(), elects, "{:?}", plan(&o).waits);
    if !elects {
        let message = waits(&o, Topic::Quorum);
        assert!(message.contains(&format!("{survivors} do (not {}", name(survivors + 1))), "{message}");
        let mut forced = o.clone();
        forced.settings.request = Some(Request { kind: RequestKind::Failover, to: Some(name(1)) });
        assert_eq!(begins(&forced).unwrap().1, name(1));
    }
}

#[test]
fn a_lower_fence_is_recorded_first_and_a_higher_one_set_first() {
    let mut alone = healthy(2);
    alone.info(0).role = Role::Master(MasterSide::default());
    alone.kill(1);
    let alone = alone.remembered(SECOND);
    let lowered = change(&alone);
    assert!(matches!(lowered, Some(Change::Commit(Commitments { min_replicas: 0, .. }))), "{lowered:?}");
    let mut recorded = alone.clone();
    recorded.record.min_replicas = 0;
    assert_eq!(steps(&recorded), [Step::SetMinReplicas { member: name(0), min_replicas: 0 }]);

    let mut back = healthy(2);
    (back.record.min_replicas, back.info(0).min_replicas) = (0, 0);
    assert_eq!(steps(&back.clone().remembered(SECOND)), vec![], "not before it has had one for some seconds");
    let back = back.remembered(3 * SECOND);
    assert_eq!(steps(&back), [Step::SetMinReplicas { member: name(0), min_replicas: 1 }]);
    let mut set = back.clone();
    set.info(0).min_replicas = 1;
    assert!(matches!(change(&set), Some(Change::Commit(Commitments { min_replicas: 1, .. }))));
}

#[test]
fn consistency_never_lets_a_master_go_on_alone() {
    let mut o = consistent(3, 1);
    o.info(0).role = Role::Master(MasterSide::default());
    (1..3).for_each(|i| o.kill(i));
    assert_eq!(steps(&o.remembered(SECOND)), vec![]);
}

#[test]
fn only_a_recorded_member_follows() {
    let mut o = healthy(3);
    o.record.members.remove(&name(2));
    o.detach(2);
    let o = o.remembered(SECOND);
    let found = change(&o);
    assert!(matches!(&found, Some(Change::Commit(p)) if p.members.contains(&name(2))), "{found:?}");
    let mut recorded = o.clone();
    recorded.record.members.insert(name(2), super::Recorded::default());
    assert!(matches!(steps(&recorded).as_slice(), [Step::Follow { member, .. }] if *member == name(2)));
}

#[test]
fn more_confirmations_are_relied_on_only_when_the_past_has_them() {
    let mut o = consistent(3, 1);
    o.settings.wait_replicas = 2;
    o.info(2).offset = 60;
    let o = o.remembered(SECOND);
    let two = |c: &Change| matches!(c, Change::Commit(p) if p.wait_replicas == 2);
    assert!(!plan(&o).changes().iter().any(two), "shop-2 is behind");
    let mut o = o.remembered(SECOND);
    o.info(2).offset = 100;
    assert!(plan(&o).changes().iter().any(two), "{:?}", plan(&o));
}

#[test]
fn a_removed_member_counts_until_others_have_what_it_confirmed() {
    let mut o = consistent(4, 1);
    o.settings.replicas = 3;
    o.members.remove(&name(3));
    let Role::Master(side) = &mut o.info(0).role else { unreachable!() };
    side.slaves.pop();
    o.info(1).offset = 60;
    o.info(2).offset = 60;
    let o = o.remembered(SECOND).remembered(SECOND);
    assert_eq!(steps(&o), vec![]);
    let mut o = o;
    o.info(1).offset = 100;
    assert!(matches!(change(&o), Some(Change::Commit(p)) if !p.members.contains(&name(3))), "{:?}", plan(&o));
}

#[rstest]
#[case::to_a_replica(Some("shop-2"), "begin shop-2")]
#[case::to_anybody(None, "begin shop-1")]
#[case::to_the_master(Some("shop-0"), "Accepted")]
#[case::to_nobody(Some("shop-7"), "Refused")]
fn a_switchover_can_be_asked_for(#[case] to: Option<&str>, #[case] expected: &str) {
    let mut o = healthy(3);
    o.settings.request = Some(Request { kind: RequestKind::Switchover, to: to.map(str::to_owned) });
    let o = o.remembered(SECOND);
    let found = match steps(&o).as_slice() {
        [Step::Record(_)] => match change(&o) {
            Some(Change::Begin { transition: t, .. }) if t.kind == TransitionKind::Switchover => {
                format!("begin {}", t.to)
            }
            other => format!("{other:?}"),
        },
        [Step::ResolveRequest { answer: Answer::Accepted, .. }] => "Accepted".into(),
        [Step::ResolveRequest { answer: Answer::Refused, .. }] => "Refused".into(),
        other => format!("{other:?}"),
    };
    assert_eq!(found, expected);
}

#[test]
fn a_failover_by_force_is_refused_while_a_master_serves() {
    let mut o = healthy(3);
    o.settings.request = Some(Request { kind: RequestKind::Failover, to: None });
    assert!(matches!(steps(&o.remembered(SECOND)).as_slice(), [Step::ResolveRequest { answer: Answer::Refused, .. }]));
}

/// It comes back while a failover from it is recorded, whose target cannot be reached: it is counted, and not waited for.
#[test]
fn a_former_master_that_comes_back_during_a_failover_does_not_serve() {
    let mut o = consistent(3, 2);
    o.fail_over(1);
    o.detach(2);
    o.cut(1, 10 * SECOND);
    let mut waiting = o.remembered(SECOND);
    waiting.now += Duration::from_millis(10); // no answer is of the very moment
    assert_eq!(waits(&waiting, Topic::Quorum), "", "two that lost nothing answer");
    let found = steps(&waiting.remembered(FENCE_DELAY));
    assert!(matches!(found.as_slice(), [Step::Demote { member, .. }] if *member == name(0)), "{found:?}");
}

#[test]
fn the_preferred_master_gets_its_role_back_when_it_has_everything() {
    let mut o = healthy(3);
    o.settings.preferred_master = Some(name(2));
    assert_eq!(begins(&o.clone().remembered(SECOND)).unwrap().1, name(2));
    if let Role::Replica(side) = &mut o.info(2).role {
        side.follow = FollowState::Syncing(Some(10));
    }
    assert_eq!(begins(&o.remembered(SECOND)), None);
}

#[test]
fn a_switchover_that_may_be_abandoned_promises_no_more_than_the_old_master_keeps() {
    let mut o = healthy(3);
    (o.record.min_replicas, o.info(0).min_replicas) = (0, 0);
    o.settings.request = Some(Request { kind: RequestKind::Switchover, to: None });
    assert_eq!(begins(&o.remembered(SECOND)).unwrap().2, 0);
}

#[test]
fn a_rival_is_disarmed_before_anybody_is_chosen() {
    let mut o = healthy(3);
    o.kill(0);
    o.info(1).role = Role::Master(MasterSide::default());
    let found = steps(&o.remembered(SECOND));
    assert!(matches!(found.as_slice(), [Step::Demote { member, .. }] if *member == name(1)), "{found:?}");
}

#[test]
fn the_service_moves_while_the_recorded_target_is_promoted_and_not_before() {
    let mut o = healthy(3);
    o.kill(0);
    let o = o.remembered(SECOND);
    assert!(!steps(&o).iter().any(|s| matches!(s, Step::Route { .. })), "nothing is recorded yet");
    let mut recorded = o.clone();
    recorded.fail_over(1);
    let promote = Step::Promote { member: name(1), min_replicas: 1 };
    assert_eq!(steps(&recorded), [promote, Step::Route { to: name(1) }]);
}

/// Another's Service of that name is none of ours: it is neither moved nor waited for.
#[test]
fn a_change_of_master_ends_also_where_there_is_no_service() {
    let mut o = healthy(2);
    o.fail_over(1);
    o.kill(0);
    o.member(1).server.info.as_mut().unwrap().1.role = Role::Master(MasterSide::default());
    o.route = Some(Some(name(0)));
    let completes = |o: &Observation| {
        plan(o).changes().iter().any(|c| matches!(c, Change::Complete { outcome: Outcome::Completed, .. }))
    };
    assert!(!completes(&o), "{:?}", plan(&o));
    o.route = None;
    assert!(completes(&o) && !steps(&o).iter().any(|s| matches!(s, Step::Route { .. })), "{:?}", plan(&o));
}
