//! Situations in which data was lost or exchanged, and what has to follow from them.

use std::time::Duration;

use rstest::rstest;

use super::{
    Contact, FENCE_DELAY, Failure, Former, Liveness, Observation, OffsetStall, Outcome, Reason, Request, RequestKind,
    Settings, Step, Topic,
    fixture::{NOW, consistent, healthy, name},
    liveness, plan, stateful_set_replicas,
};
use crate::{
    FailoverPolicy,
    record::{Change, Pending},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTES: Duration = Duration::from_secs(600);

fn chosen(o: &Observation) -> Option<String> {
    plan(o).begins().map(|t| t.to.clone())
}

fn waits(o: &Observation, topic: Topic) -> String {
    plan(o).waiting_for(topic).unwrap_or_default().to_owned()
}

fn lost_for(o: &mut Observation, long: Duration) {
    o.memory.masterless_since = Some(NOW.saturating_sub(long));
    o.memory.gone_since = Some(NOW.saturating_sub(long));
}

fn forced(o: &mut Observation, to: usize) {
    o.settings.request = Some(Request { kind: RequestKind::Failover, to: Some(name(to)) });
}

/// After all that are to be detached are.
fn detached(mut o: Observation) -> Observation {
    for step in plan(&o).steps {
        if let Step::Detach { member, .. } = step {
            o.detach(o.ordinal(&member));
        }
    }
    o.remembered(FENCE_DELAY)
}

/// The master has restarted empty; both replicas have its data, and the operator cannot reach them.
fn restarted_empty_and_replicas_cut_off() -> Observation {
    let mut o = healthy(3);
    o.restart(0);
    for i in [1, 2] {
        o.cut(i, MINUTES);
    }
    lost_for(&mut o, MINUTES);
    o
}

#[test]
fn a_survivor_beyond_reach_is_never_given_up_for_an_empty_member() {
    let mut o = restarted_empty_and_replicas_cut_off();
    assert_eq!(chosen(&o), None);
    let message = waits(&o, Topic::Quorum);
    assert!(message.contains("shop-1, shop-2"), "{message}");
    assert!(message.contains("force-failover") && message.contains("acceptDataLossAfter"), "{message}");
    forced(&mut o, 0);
    assert_eq!(chosen(&o), Some(name(0)), "an administrator decides");
}

#[rstest]
#[case::wrong_password(Contact::None)] // or maxclients
#[case::closed(Contact::Closed { since: NOW })]
#[case::hangs(Contact::Up)]
fn a_survivor_that_answers_nothing_is_not_given_up_either(#[case] contact: Contact) {
    let mut o = restarted_empty_and_replicas_cut_off();
    for i in [1, 2] {
        o.member(i).server.contact = contact;
        o.member(i).server.silent_since = Some(NOW.saturating_sub(MINUTES));
    }
    assert_eq!(chosen(&o), None);
}

#[test]
fn who_would_rather_be_empty_than_wait_says_so() {
    let mut o = restarted_empty_and_replicas_cut_off();
    o.settings.accept_data_loss_after = Some(MINUTES + SECOND);
    assert_eq!(chosen(&o), None);
    assert_eq!(plan(&o).due, Some(NOW + SECOND));
    o.settings.accept_data_loss_after = Some(MINUTES);
    assert_eq!(chosen(&o), Some(name(0)));
}

/// A pod that was replaced has taken the memory of its predecessor with it.
#[test]
fn a_survivor_whose_pod_was_replaced_is_not_waited_for() {
    let mut o = restarted_empty_and_replicas_cut_off();
    for i in [1, 2] {
        o.member(i).pod.as_mut().unwrap().uid = "another".into();
    }
    assert_eq!(chosen(&o), Some(name(0)));
}

#[test]
fn another_survivor_is_chosen_without_the_one_beyond_reach() {
    let mut o = healthy(3);
    o.kill(0);
    o.cut(1, MINUTES);
    lost_for(&mut o, SECOND);
    assert_eq!(chosen(&o), Some(name(2)));
}

/// A master that served alone restarts from its volume. What the replicas have is older.
#[test]
fn a_sole_holder_that_is_back_is_not_held_up_by_stale_replicas() {
    let mut o = restarted_empty_and_replicas_cut_off();
    o.record.min_replicas = 0;
    o.info(0).keys = 20;
    o.settings.persistent = true;
    assert_eq!(chosen(&o), Some(name(0)));
}

/// After a reboot of some minutes the 60 s have passed since the loss, and not since the proof.
#[test]
fn the_wait_for_a_sole_holder_begins_with_the_proof_and_has_no_end() {
    let mut o = healthy(3);
    o.settings.persistent = true;
    o.record.min_replicas = 0;
    o.kill(0);
    o.member(0).pod.as_mut().unwrap().running = false;
    o.member(0).claim_may_hold_data = true;
    o.memory.masterless_since = Some(NOW.saturating_sub(MINUTES));
    o.memory.gone_since = Some(NOW.saturating_sub(SECOND));
    assert_eq!(chosen(&o), None);
    lost_for(&mut o, MINUTES);
    assert_eq!(chosen(&o), None);
    let message = waits(&o, Topic::Quorum);
    assert!(message.contains("shop-0"), "{message}");
    forced(&mut o, 1);
    assert_eq!(chosen(&o), Some(name(1)));
}

/// M0 was cut off at 120 without a confirmation. M1 was promoted at 100, its successors' writes are confirmed by M2. The
/// transition is open when M1 dies and M0 returns.
#[test]
fn who_follows_the_promoted_target_outranks_the_former_masters_tail() {
    let mut o = healthy(3);
    o.fail_over(1);
    o.restart(0);
    let former = o.info(0);
    (former.run_id, former.keys, former.offset) = ("run-0".into(), 10, 120);
    former.replication_id = "history".into();
    let m2 = o.info(2);
    (m2.replication_id, m2.previous_replication_id) = ("second".into(), Some("history".into()));
    (m2.previous_offset, m2.offset) = (100, 150);
    o.kill(1);
    o.detach(2);
    lost_for(&mut o, SECOND);
    let p = plan(&o);
    assert_eq!(p.begins().map(|t| t.to.clone()), Some(name(2)), "{p:?}");
    let record = o.record.after(p.changes());
    assert_eq!(
        (record.replication_id.as_deref(), record.previous_replication_id.as_deref()),
        (Some("second"), Some("history"))
    );
}

/// Without an open transition such a history is nobody's decision.
#[test]
fn a_replica_that_was_promoted_by_hand_outranks_nobody() {
    let mut o = healthy(3);
    o.kill(0);
    let by_hand = o.info(1);
    (by_hand.replication_id, by_hand.previous_replication_id) = ("by hand".into(), Some("history".into()));
    (by_hand.previous_offset, by_hand.offset) = (80, 200);
    lost_for(&mut o, SECOND);
    assert_eq!(chosen(&o), Some(name(2)));
}

fn refused(o: &mut Observation, i: usize) {
    o.member(i).server.contact = Contact::Refused { since: NOW };
}

/// A firewall answers REJECT between the operator and a master that its replicas hear.
#[test]
fn a_refusal_proves_nothing_while_a_replica_hears_the_master() {
    for mut o in [healthy(3), consistent(3, 1)] {
        refused(&mut o, 0);
        for i in [1, 2] {
            o.hears(i);
        }
        lost_for(&mut o, MINUTES);
        assert!(matches!(liveness(&o, &o.members[&name(0)]), Liveness::Silent(_)));
        assert_eq!(chosen(&o), None);
        assert!(waits(&o, Topic::Isolation).contains("shop-1 hears it"), "{:?}", plan(&o).waits);
        assert!(!plan(&o).steps.iter().any(|s| !matches!(s, Step::Refresh { .. })), "{:?}", plan(&o).steps);
    }
}

/// The operator's connection ended, the pod object was deleted by force, and packets between the process and its replicas are lost.
#[rstest]
#[case::refused(false)]
#[case::deleted_by_force(true)]
fn an_open_link_over_which_nothing_comes_is_no_proof_of_an_end(#[case] deleted: bool) {
    let mut o = healthy(3);
    if deleted {
        o.member(0).pod = None;
        o.member(0).server.contact = Contact::None;
        o.member(0).former = Former::Ended;
    } else {
        refused(&mut o, 0);
        o.member(0).server.contact = Contact::Refused { since: NOW.saturating_sub(MINUTES) };
    }
    for i in [1, 2] {
        o.member(i).server.offset_stall = Some(OffsetStall { since: NOW.saturating_sub(5 * SECOND), until: NOW });
    }
    lost_for(&mut o, MINUTES);
    assert_eq!(chosen(&o), None, "{:?}", plan(&o));
    assert!(plan(&o).steps.iter().any(|s| matches!(s, Step::Detach { .. })), "it is fenced: {:?}", plan(&o));
    assert_eq!(chosen(&detached(o)), Some(name(1)));
}

/// The write may have ended the transition that the operator would go on with.
#[test]
fn nothing_is_done_on_a_record_of_which_a_write_was_not_answered() {
    for under_way in [false, true] {
        let mut o = healthy(3);
        if under_way {
            o.fail_over(1);
        } else {
            o.kill(0);
            lost_for(&mut o, SECOND);
        }
        assert_ne!(plan(&o).steps, vec![]);
        o.memory.record_unsure = true;
        assert_eq!(plan(&o).steps, vec![]);
        assert!(waits(&o, Topic::Isolation).contains("not answered"));
        assert_eq!(stateful_set_replicas(&o), 3);
    }
}

#[test]
fn a_refusal_is_not_judged_by_what_replicas_said_before_it() {
    let mut o = healthy(3);
    o.now = NOW + Duration::from_millis(5);
    o.member(0).server.contact = Contact::Refused { since: o.now };
    assert_eq!(chosen(&o), None, "their last answers are older");
    o.kill(0);
    o.member(0).server.contact = Contact::Refused { since: o.now };
    for i in [1, 2] {
        o.member(i).server.info.as_mut().unwrap().0 = o.now;
    }
    lost_for(&mut o, SECOND);
    assert_eq!(chosen(&o), Some(name(1)), "they have noticed");
}

#[rstest]
#[case::refused(Contact::Refused { since: NOW })]
#[case::closed(Contact::Closed { since: NOW })]
fn the_end_of_the_container_is_the_proof(#[case] contact: Contact) {
    let mut o = healthy(3);
    o.member(0).server.contact = contact;
    assert!(!matches!(liveness(&o, &o.members[&name(0)]), Liveness::Dead(_)));
    o.member(0).pod.as_mut().unwrap().running = false;
    assert!(matches!(liveness(&o, &o.members[&name(0)]), Liveness::Dead(_)));
}

/// Where nobody can say whether a master is gone that refuses connections, it is unreachable after the time for that.
#[rstest]
#[case::no_replica_follows(|o: &mut Observation| (1..3).for_each(|i| o.detach(i)))]
#[case::nothing_comes_over_their_links(|o: &mut Observation| (1..3).for_each(|i| {
    o.member(i).server.offset_stall = Some(OffsetStall { since: NOW.saturating_sub(5 * SECOND), until: NOW });
}))]
fn a_refusal_without_a_witness_is_silence_and_then_unreachable(#[case] lose: fn(&mut Observation)) {
    let mut o = healthy(3);
    lose(&mut o);
    let ago = |o: &mut Observation, ms| {
        o.member(0).server.contact = Contact::Refused { since: NOW.saturating_sub(Duration::from_millis(ms)) };
    };
    ago(&mut o, 900);
    assert!(matches!(liveness(&o, &o.members[&name(0)]), Liveness::Silent(_)));
    ago(&mut o, 1000);
    assert!(matches!(liveness(&o, &o.members[&name(0)]), Liveness::Unreachable(_)));
}

/// A new leader finds a master that refuses every connection. Nothing of it can end, and so nothing was ever proven.
#[test]
fn a_master_that_a_new_operator_never_reaches_is_unreachable_in_the_end() {
    let mut o = healthy(3);
    o.kill(0);
    o.member(0).server.contact = Contact::None;
    o.member(0).server.unreached_since = Some(NOW.saturating_sub(SECOND));
    o.memory.masterless_since = Some(NOW.saturating_sub(MINUTES));
    assert_eq!(plan(&o).steps.iter().filter(|s| !matches!(s, Step::Refresh { .. })).count(), 0);
    o.member(0).server.unreached_since = Some(NOW.saturating_sub(5 * SECOND));
    assert_eq!(chosen(&detached(o.clone())), Some(name(1)), "fenced, and replaced");
    let refuses = Failure { reason: Reason::WrongPassword, message: String::new() };
    o.member(0).server.problem = Some(refuses);
    assert_eq!(chosen(&detached(o)), None, "it is there");
}

/// The pod object was deleted by force, its connection reset by a firewall; the process goes on, and its replicas hear it.
#[test]
fn a_forced_deletion_proves_nothing_while_a_replica_hears_the_master() {
    let mut o = healthy(3);
    o.member(0).pod = None;
    o.member(0).server.contact = Contact::None;
    o.member(0).former = Former::Ended;
    for i in [1, 2] {
        o.hears(i);
    }
    lost_for(&mut o, MINUTES);
    assert_eq!(chosen(&o), None, "{:?}", plan(&o));
}

#[rstest]
#[case::only_copy(false, false)]
#[case::on_a_disk(true, true)]
fn a_hung_sole_copy_is_not_deleted(#[case] persistent: bool, #[case] deleted: bool) {
    let mut o = healthy(2);
    o.record.min_replicas = 0;
    o.settings.persistent = persistent;
    o.hang(0, o.settings.unresponsive_after);
    o.memory.masterless_since = Some(NOW.saturating_sub(MINUTES));
    o.member(1).server.offset_stall = Some(OffsetStall { since: NOW.saturating_sub(MINUTES), until: NOW });
    let deletes = |o: &Observation| plan(o).steps.iter().any(|s| matches!(s, Step::DeleteHungPod { .. }));
    assert_eq!(deletes(&o), deleted, "{:?}", plan(&o));
    if !deleted {
        assert!(waits(&o, Topic::NotFenced).contains("shop-0"), "{:?}", plan(&o).waits);
        forced(&mut o, 1);
        assert_eq!(chosen(&detached(o)), Some(name(1)), "an administrator decides");
    }
}

/// `WAIT 1` was confirmed by a replica that is connected and takes half a second to answer.
#[test]
fn a_survivor_that_is_connected_is_waited_for_until_it_answers() {
    let mut o = healthy(3);
    o.kill(0);
    lost_for(&mut o, Duration::from_millis(700));
    o.member(1).server.info.as_mut().unwrap().0 = NOW.saturating_sub(SECOND);
    o.member(1).server.silent_since = Some(NOW.saturating_sub(Duration::from_millis(700)));
    assert_eq!(chosen(&o), None);
    o.member(1).server.silent_since = Some(NOW.saturating_sub(SECOND));
    assert_eq!(chosen(&o), Some(name(2)), "it is silent");
}

#[test]
fn a_target_that_is_leaving_is_a_reason_to_abandon() {
    let mut o = healthy(3);
    let transition = Pending {
        epoch: 2,
        kind: crate::TransitionKind::Switchover,
        from: Some(name(0)),
        to: name(1),
        phase: crate::TransitionPhase::Promoting,
        reason: String::new(),
    };
    (o.record.epoch, o.record.transition) = (2, Some(transition));
    o.member(1).pod.as_mut().unwrap().leaving = true;
    let p = plan(&o);
    assert!(
        matches!(p.changes(), [Change::Complete { outcome: Outcome::Abandoned, note }] if note.contains("deleted")),
        "{p:?}"
    );
}

/// The pods that are to go may hold what no other has.
#[test]
fn pods_are_removed_only_while_a_master_serves_and_others_have_all_data() {
    let shrunk = |o: &Observation| stateful_set_replicas(o);
    let five = |o: Observation| Observation { settings: Settings { replicas: 3, ..o.settings.clone() }, ..o };
    assert_eq!(shrunk(&five(healthy(5))), 3);
    let mut masterless = five(healthy(5));
    masterless.kill(0);
    assert_eq!(shrunk(&masterless), 5, "the master is lost");
    let mut under_way = five(healthy(5));
    under_way.fail_over(1);
    assert_eq!(shrunk(&under_way), 5, "another takes over");
    let mut alone = five(healthy(5));
    for i in [1, 2] {
        alone.detach(i);
    }
    assert_eq!(shrunk(&alone), 5, "of those that stay only the master has the data");
    let mut one_is_out = five(healthy(5));
    one_is_out.detach(2);
    assert_eq!(shrunk(&one_is_out), 3);
    (one_is_out.settings.wait_replicas, one_is_out.record.wait_replicas) = (2, 2);
    assert_eq!(shrunk(&one_is_out), 5, "two are to confirm a write");
    let mut last = healthy(2);
    last.settings.replicas = 1;
    assert_eq!(shrunk(&last), 1);
    last.record.master = Some(name(1));
    assert_eq!(shrunk(&last), 2, "the master hands over first");
}

/// With one member there is no other to ask, and its pod was replaced while no operator looked.
#[test]
fn a_single_member_whose_pod_was_replaced_unseen() {
    let mut o = healthy(1);
    o.record.min_replicas = 0;
    o.restart(0);
    o.member(0).pod.as_mut().unwrap().uid = "another".into();
    o.member(0).former = Former::Unknown;
    lost_for(&mut o, MINUTES);
    o.memory.gone_since = None;
    assert_eq!(chosen(&o), None);
    assert!(waits(&o, Topic::NotFenced).contains("force-failover"), "{:?}", plan(&o).waits);
    let mut on_disk = o.clone();
    on_disk.settings.persistent = true;
    on_disk.info(0).keys = 5;
    assert_eq!(chosen(&on_disk), Some(name(0)), "it has the volume: {:?}", plan(&on_disk).waits);
    forced(&mut o, 0);
    assert_eq!(chosen(&detached(o)), Some(name(0)));
}

/// Everything that keeps the operator from a failover is for an administrator to overrule.
#[rstest]
#[case::unsure(|o: &mut Observation| o.hang(0, SECOND))]
#[case::isolated(|o: &mut Observation| { o.cut(0, MINUTES); o.hears(1); })]
#[case::hung_without_a_quorum(|o: &mut Observation| { o.hang(0, MINUTES); o.cut(2, MINUTES); o.settings.policy = FailoverPolicy::Consistency; o.record.wait_replicas = 1; })]
#[case::refused_and_heard(|o: &mut Observation| { refused(o, 0); o.hears(1); })]
#[case::not_fenced(|o: &mut Observation| { o.cut(0, MINUTES); o.record.min_replicas = 0; })]
fn force_failover_is_never_ignored(#[case] lose: fn(&mut Observation)) {
    let mut o = healthy(3);
    lose(&mut o);
    o.memory.masterless_since = Some(NOW.saturating_sub(MINUTES));
    assert_eq!(chosen(&o), None, "{:?}", plan(&o));
    forced(&mut o, 1);
    let o = detached(o);
    assert_eq!(chosen(&o), Some(name(1)), "{:?}", plan(&o));
}
