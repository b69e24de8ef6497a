//! What each change makes of the record, and which changes are planned together.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Cause, Change, Commitments, Observation, Pending, Record, Recorded, Replaced, Step,
    fixture::{NOW, consistent, healthy, name},
    plan,
};
use crate::{
    info::FollowState, info::MasterSide, info::Role, kinds::Outcome, kinds::TransitionKind, kinds::TransitionPhase,
};

const SECOND: Duration = Duration::from_secs(1);

fn full() -> Record {
    Record {
        wait_replicas: 1,
        previous_replication_id: Some("before".into()),
        replaced: Some(Replaced { epoch: 1, master: name(0), reason: "before".into() }),
        ..healthy(3).record
    }
}

fn pending(to: usize) -> Pending {
    let (kind, phase) = (TransitionKind::Failover, TransitionPhase::Ending);
    Pending { epoch: 2, kind, from: Some(name(0)), to: name(to), phase, reason: "it is gone".into() }
}

fn process(run_id: &str, uid: &str) -> Recorded {
    Recorded { run_id: Some(run_id.into()), uid: Some(uid.into()) }
}

fn enrol(member: usize, run_id: &str) -> Change {
    Change::Enrol { member: name(member), run_id: run_id.into(), uid: format!("uid-{member}") }
}

fn names(of: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    of.into_iter().map(name).collect()
}

#[test]
fn a_change_of_master_that_begins() {
    let replaced = Some(Replaced { epoch: 2, master: name(1), reason: "without data".into() });
    let begin = |members, replaced| Change::Begin {
        cause: Cause::ProcessEnded,
        transition: pending(1),
        target: process("chosen", "uid-chosen"),
        members: names(members),
        min_replicas: 2,
        replaced,
    };
    let next = full().next(&begin(vec![1, 2, 3], replaced.clone()));
    let mut expected = Record { epoch: 2, min_replicas: 2, transition: Some(pending(1)), replaced, ..full() };
    expected.members.insert(name(1), process("chosen", "uid-chosen"));
    expected.members.insert(name(3), Recorded::default());
    assert_eq!(next, expected, "who was recorded stays recorded, with its process");
    assert_eq!(full().next(&begin(vec![], None)).replaced, None, "the choice before came to nothing");
    assert_eq!(Record::default().next(&begin(vec![], None)).members[&name(1)], process("chosen", "uid-chosen"));
}

#[test]
fn promises() {
    let members = names([0, 2, 4]);
    let next = full().next(&Change::Commit(Commitments { min_replicas: 3, wait_replicas: 2, members }));
    let mut expected = Record { min_replicas: 3, wait_replicas: 2, ..full() };
    expected.members.remove(&name(1));
    expected.members.insert(name(4), Recorded::default());
    assert_eq!(next, expected);
}

#[test]
fn a_change_of_master_that_ends() {
    let complete = |outcome| Change::Complete { outcome, note: "why".into() };
    let under_way = Record { transition: Some(pending(2)), ..full() };
    assert_eq!(under_way.next(&complete(Outcome::Completed)), Record { master: Some(name(2)), ..full() });
    assert_eq!(under_way.next(&complete(Outcome::Abandoned)), full());
    assert_eq!(full().next(&complete(Outcome::Completed)), full(), "none was under way");
}

#[test]
fn a_process_that_counts() {
    let next = full().next(&Change::Enrol { member: name(1), run_id: "new".into(), uid: "uid-new".into() });
    let mut expected = full();
    expected.members.insert(name(1), process("new", "uid-new"));
    assert_eq!(next, expected);
    assert_eq!(full().next(&enrol(7, "new")), full(), "its member is not recorded");
}

#[test]
fn a_history() {
    let history = |previous: Option<&str>| Change::History {
        replication_id: "next".into(),
        previous: previous.map(str::to_owned),
    };
    let expected = Record { replication_id: Some("next".into()), ..full() };
    assert_eq!(full().next(&history(Some("before"))), expected);
    assert_eq!(full().next(&history(None)), Record { previous_replication_id: None, ..expected });
}

#[test]
fn changes_of_one_round_follow_one_another() {
    let commit = Change::Commit(Commitments { min_replicas: 1, wait_replicas: 1, members: names(0..4) });
    let recorded = |changes: &[Change]| full().after(changes).members[&name(3)].clone();
    assert_eq!(recorded(&[commit.clone(), enrol(3, "run-3")]), process("run-3", "uid-3"));
    assert_eq!(recorded(&[enrol(3, "run-3"), commit]), Recorded::default());
    assert_eq!(full().after(&[]), full());
}

/// One write for all: the steps that write are one at most.
fn changes(o: &Observation) -> Vec<Change> {
    let steps = plan(o).steps;
    let written: Vec<_> =
        steps.into_iter().filter_map(|s| if let Step::Record(c) = s { Some(c) } else { None }).collect();
    assert!(written.len() <= 1, "{written:?}");
    written.into_iter().flatten().collect()
}

/// `shop-1` has restarted, follows again, and has what the master had after it came.
fn restarted(mut o: Observation) -> Observation {
    o.info(1).run_id = "run-1-again".into();
    o.remembered(SECOND)
}

/// It continued without a full copy, so it follows at once and may still lack what another had confirmed.
#[test]
fn a_restarted_replica_is_recorded_when_it_has_what_the_master_had_after_it_came() {
    let mut o = healthy(3);
    o.info(1).run_id = "run-1-again".into();
    o.info(1).offset = 60;
    o.member(0).server.info.as_mut().unwrap().0 = NOW.saturating_sub(SECOND); // an answer from before
    let o = o.clone().remembered(Duration::ZERO);
    assert!(!o.memory.caught_up(&name(1), &o.members[&name(1)].server.info.clone().unwrap().1));
    let mut o = o.remembered(SECOND);
    let caught_up =
        |o: &Observation| o.memory.caught_up(&name(1), &o.members[&name(1)].server.info.as_ref().unwrap().1);
    assert!(!caught_up(&o), "at 60 of 100");
    o.info(1).offset = 100;
    assert!(caught_up(&o));
}

#[test]
fn a_process_is_enrolled_once_it_has_all_data() {
    let mut o = restarted(healthy(3));
    assert_eq!(changes(&o), [enrol(1, "run-1-again")]);
    o.info(1).offset = 60;
    assert_eq!(changes(&o), vec![], "it lacks what the master had");
    o.info(1).offset = 100;
    o.member(1).pod = None;
    assert_eq!(changes(&o), vec![], "it is not known which pod it is in");
    let recorded = restarted(healthy(3));
    let mut recorded = Observation { record: recorded.record.after(&changes(&recorded)), ..recorded };
    assert_eq!(changes(&recorded), vec![], "once");
    recorded.kill(0);
    assert_eq!(changes(&recorded.remembered(SECOND)).len(), 1, "the failover, in which it counts");
}

#[test]
fn a_member_that_follows_already_is_recorded_and_enrolled_by_one_write() {
    let mut o = healthy(3);
    o.record.members.remove(&name(2));
    let found = changes(&o.remembered(SECOND));
    assert!(matches!(found.as_slice(), [Change::Commit(_), e] if *e == enrol(2, "run-2")), "{found:?}");
}

/// Else another pod of its name would pass for the proof of its end.
#[test]
fn the_process_of_a_master_is_enrolled_where_the_record_has_lost_it() {
    for lost in [Recorded::default(), Recorded { uid: None, ..process("run-0", "") }] {
        let mut o = healthy(3);
        o.record.members.insert(name(0), lost);
        assert_eq!(changes(&o.remembered(SECOND)), [enrol(0, "run-0")]);
    }
}

#[test]
fn a_history_is_recorded_when_the_master_writes_another() {
    let mut o = healthy(3);
    (o.info(0).replication_id, o.info(0).previous_replication_id) = ("next".into(), Some("history".into()));
    let history = Change::History { replication_id: "next".into(), previous: Some("history".into()) };
    assert_eq!(changes(&o), [history]);
    o.info(0).replication_id = "history".into();
    let previous = Change::History { replication_id: "history".into(), previous: Some("history".into()) };
    assert_eq!(changes(&o), [previous], "the one before counts as well");
}

/// A failover is two writes, whatever is found out meanwhile.
#[test]
fn what_is_found_out_during_a_change_of_master_is_recorded_with_its_end() {
    let mut o = healthy(3);
    o.fail_over(1);
    o.kill(0);
    o.info(1).role = Role::Master(MasterSide::default());
    (o.info(1).replication_id, o.info(1).previous_replication_id) = ("next".into(), Some("history".into()));
    if let Role::Replica(side) = &mut o.info(2).role {
        (side.master_host, side.follow) = (super::fixture::ip(1).to_string(), FollowState::Online);
    }
    (o.info(2).run_id, o.info(2).replication_id) = ("run-2-again".into(), "next".into());
    o.route = Some(Some(name(0)));
    let mut o = o.remembered(SECOND);
    assert_eq!(changes(&o), vec![], "the Service does not lead to it yet");
    o.route = Some(Some(name(1)));
    let complete = Change::Complete { outcome: Outcome::Completed, note: String::new() };
    let history = Change::History { replication_id: "next".into(), previous: Some("history".into()) };
    assert_eq!(changes(&o), [complete, history, enrol(2, "run-2-again")]);
}

#[test]
fn a_switchover_begins_with_all_that_is_known() {
    let mut o = restarted(healthy(3));
    o.settings.preferred_master = Some(name(1));
    let found = changes(&o);
    let [first, Change::Begin { cause: Cause::Preferred, transition, target, members, min_replicas, replaced }] =
        found.as_slice()
    else {
        panic!("{found:?}")
    };
    assert_eq!(*first, enrol(1, "run-1-again"));
    assert_eq!((transition.to.as_str(), transition.epoch), ("shop-1", 2));
    assert_eq!((target, members), (&process("run-1-again", "uid-1"), &names(0..3)));
    assert_eq!((*min_replicas, replaced), (1, &None));
}

/// If it is abandoned, the old master goes on with what is promised now.
#[test]
fn a_switchover_keeps_a_fence_that_is_lowered_with_it() {
    let mut o = consistent(4, 2);
    o.settings.wait_replicas = 1;
    o.settings.preferred_master = Some(name(1));
    let o = o.remembered(SECOND);
    let found = changes(&o);
    let fences: Vec<_> = found
        .iter()
        .map(|c| match c {
            Change::Commit(promises) => promises.min_replicas,
            Change::Begin { min_replicas, .. } => *min_replicas,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(fences, [1, 1], "{found:?}");
}

/// A paused operator only observes, and this is what it sees.
#[test]
fn what_is_seen_is_recorded_while_paused_and_nothing_is_done() {
    let mut o = restarted(healthy(3));
    o.settings.paused = true;
    o.detach(2);
    o.record.min_replicas = 0;
    assert_eq!(plan(&o).steps, [Step::Record(vec![enrol(1, "run-1-again")])]);
    o.kill(0);
    assert_eq!(plan(&o).steps, vec![], "without a master nobody has all data");
}
