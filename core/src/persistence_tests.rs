#![allow(clippy::unwrap_used)]

use super::super::{fixture::*, plan};
use super::*;

const SCHEDULE: &str = "3600 1";

fn wanted(append_only: bool, schedule: &str) -> PersistenceSettings {
    PersistenceSettings { append_only, schedule: schedule.to_owned() }
}

/// Two members, which write this, while that is wanted.
fn members(has: (bool, &str), wants: (bool, &str)) -> Observation {
    let mut o = healthy(2);
    o.settings.persistence = Some(wanted(wants.0, wants.1));
    for i in 0..2 {
        let files = &mut o.info(i).files;
        (files.append_only, files.schedule, files.saved) = (has.0, Some(has.1.to_owned()), 7);
    }
    o
}

fn acts(o: &Observation) -> Vec<(String, Act)> {
    let acts = plan(o).steps.into_iter().filter_map(|step| match step {
        Step::Persist { member, act } => Some((member, act)),
        _ => None,
    });
    acts.collect()
}

/// The replica has done this so long ago.
fn attempt(o: &mut Observation, act: Act, ago: Duration) {
    let at = NOW.checked_sub(ago).unwrap();
    o.memory.files.insert(name(1), Attempt { run_id: "run-1".into(), act, at, saved: 7, refused: None });
}

/// The replica is as it is to be.
fn replica_is_done(o: &mut Observation) {
    let wanted = o.settings.persistence.clone().unwrap();
    let files = &mut o.info(1).files;
    (files.append_only, files.schedule) = (wanted.append_only, Some(wanted.schedule));
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    for what in [(true, ""), (false, SCHEDULE), (true, SCHEDULE)] {
        let o = members(what, what);
        assert_eq!((acts(&o), plan(&o).waiting_for(Topic::Persistence)), (vec![], None), "{what:?}");
    }
    let mut o = members((true, ""), (false, SCHEDULE));
    o.settings.persistence = None;
    assert_eq!(acts(&o), [], "nothing is kept");
}

#[test]
fn an_append_only_file_is_complete_before_snapshots_end() {
    let mut o = members((false, SCHEDULE), (true, ""));
    assert_eq!(acts(&o), [(name(1), Act::BeginLog)], "the master is the last");
    attempt(&mut o, Act::BeginLog, Duration::from_secs(1));
    assert_eq!(acts(&o), [], "it is given time");
    assert_eq!(plan(&o).due, Some(NOW + LOOK));
    attempt(&mut o, Act::BeginLog, RETRY);
    assert_eq!(acts(&o), [(name(1), Act::BeginLog)]);
    o.info(1).files.append_only = true;
    o.info(1).files.rewriting = true;
    assert_eq!(acts(&o), []);
    (o.info(1).files.rewriting, o.info(1).files.rewrite_failed) = (false, true);
    assert_eq!(acts(&o), []);
    assert!(plan(&o).waiting_for(Topic::Persistence).unwrap().contains("is there room on its volume?"));
    o.info(1).files.rewrite_failed = false;
    assert_eq!(acts(&o), [(name(1), Act::Schedule(String::new()))]);
    replica_is_done(&mut o);
    assert_eq!(acts(&o), [(name(0), Act::BeginLog)]);
}

#[test]
fn a_rewrite_of_its_own_is_no_change() {
    let mut o = members((true, SCHEDULE), (true, SCHEDULE));
    o.info(1).files.rewriting = true;
    assert_eq!(plan(&o).waiting_for(Topic::Persistence), None);
    attempt(&mut o, Act::BeginLog, Duration::from_secs(1));
    assert!(plan(&o).waiting_for(Topic::Persistence).is_some(), "the first one is");
    assert_eq!(o.memory.after(&o).files.len(), 1);
    o.info(1).files.rewriting = false;
    o.memory = o.memory.after(&o);
    o.info(1).files.rewriting = true;
    assert_eq!((o.memory.files.len(), plan(&o).waiting_for(Topic::Persistence)), (0, None));
}

#[test]
fn an_append_only_file_ends_only_after_a_snapshot_of_the_same_process() {
    let mut o = members((true, ""), (false, SCHEDULE));
    assert_eq!(acts(&o), [(name(1), Act::Snapshot)]);
    attempt(&mut o, Act::Snapshot, Duration::from_secs(1));
    assert_eq!(acts(&o), [], "it is given time");
    o.info(1).files.saving = true;
    attempt(&mut o, Act::Snapshot, RETRY);
    assert_eq!(acts(&o), [], "it is written");
    o.info(1).files.saving = false;
    assert_eq!(acts(&o), [(name(1), Act::Snapshot)], "it came to nothing");
    o.info(1).files.save_failed = true;
    assert!(plan(&o).waiting_for(Topic::Persistence).unwrap().contains("is there room on its volume?"));
    o.info(1).files.saved = 9;
    assert_eq!(acts(&o), [(name(1), Act::EndLog(SCHEDULE.into()))]);
    attempt(&mut o, Act::EndLog(SCHEDULE.into()), Duration::from_secs(1));
    assert_eq!(acts(&o), [], "what failed is not tried at once again");
    attempt(&mut o, Act::EndLog(SCHEDULE.into()), RETRY);
    assert_eq!(acts(&o), [(name(1), Act::EndLog(SCHEDULE.into()))]);
    o.memory.files.get_mut(&name(1)).unwrap().run_id = "another".into();
    assert_eq!(acts(&o), [(name(1), Act::Snapshot)], "of another process nothing is known");
}

#[test]
fn the_times_of_snapshots_are_changed() {
    let mut o = members((false, ""), (false, SCHEDULE));
    assert_eq!(acts(&o), [(name(1), Act::Schedule(SCHEDULE.into()))]);
    o.info(1).files.schedule = None;
    o.info(0).files.schedule = None;
    assert_eq!(acts(&o), [], "what it has is not known");
}

#[test]
fn a_change_is_taken_back_at_any_step() {
    let mut o = members((true, SCHEDULE), (true, ""));
    attempt(&mut o, Act::Snapshot, Duration::ZERO);
    assert_eq!(acts(&o), [(name(1), Act::Schedule(String::new()))]);
    let mut o = members((false, ""), (true, ""));
    attempt(&mut o, Act::EndLog(SCHEDULE.into()), Duration::ZERO);
    assert_eq!(acts(&o), [(name(1), Act::BeginLog)]);
    let mut o = members((true, ""), (false, SCHEDULE));
    attempt(&mut o, Act::BeginLog, Duration::ZERO);
    assert_eq!(acts(&o), [(name(1), Act::Snapshot)]);
}

#[test]
fn what_redis_refuses_is_said() {
    let mut o = members((false, SCHEDULE), (true, ""));
    attempt(&mut o, Act::BeginLog, Duration::from_secs(1));
    o.memory.files.get_mut(&name(1)).unwrap().refused = Some("ERR no".into());
    assert_eq!(
        plan(&o).waiting_for(Topic::Persistence).unwrap(),
        "shop-1 begins to write an append-only file, which it refuses: ERR no"
    );
}

#[test]
fn what_goes_or_is_on_its_way_is_left_alone() {
    type Change = fn(&mut Observation);
    let changes: [(&str, Change); 6] = [
        ("outdated", |o| o.member(1).pod.as_mut().unwrap().outdated = true),
        ("leaving", |o| o.member(1).pod.as_mut().unwrap().leaving = true),
        ("loading", |o| o.info(1).loading = true),
        ("copying", |o| o.detach(1)),
        ("silent", |o| o.hang(1, Duration::from_secs(2))),
        ("paused", |o| o.settings.paused = true),
    ];
    for (what, change) in changes {
        for wanted in [true, false] {
            let mut o = members((!wanted, ""), (wanted, ""));
            change(&mut o);
            assert!(acts(&o).iter().all(|(member, _)| *member != name(1)), "{what}");
        }
    }
}
