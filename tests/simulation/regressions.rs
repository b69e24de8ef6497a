//! Histories that broke an invariant once, in their shortest form.

use redis_replication_operator::{
    api::FailoverPolicy::{self, Availability, Consistency},
    replication::Settings,
};

use super::{
    histories::History,
    world::{
        Event::{self, *},
        Shape, Tampering, World,
    },
};

const ROUND: Event = Round { cut_after: usize::MAX, luck: 0 };

fn holds(replicas: usize, policy: FailoverPolicy, wait: usize, events: &[Event]) {
    let name = "shop".into();
    let settings = Settings { name, replicas, policy, wait_replicas: wait, ..Settings::default() };
    let history = History { shape: Shape { settings, appendonly: false, backlog: 64 }, events: events.to_vec() };
    let broken = history.run(Tampering::default()).0;
    assert!(broken.is_none(), "{}", history.tell(Tampering::default()));
}

/// What a member said before the master was lost may be older than the copy that it has received since.
#[test]
fn a_copy_that_arrived_a_moment_ago_counts() {
    let begin = [Outdate, Later { ms: 300 }, ROUND, PowerOff { member: 1 }, Later { ms: 300 }, Kubelet];
    let middle = [ForceDelete { member: 0 }, Start { member: 2 }, Later { ms: 1100 }, ROUND, Later { ms: 300 }];
    holds(3, Availability, 0, &[&begin[..], &middle[..], &[ReceiveAll]].concat());
}

/// A master that was out of reach for long and then proves dead: its replicas may still have bytes of it to read, and get
/// their time from the proof on.
#[test]
fn the_last_words_are_waited_for_from_the_proof_of_death_on() {
    let unread =
        [Isolate { member: 0 }, Write { wait: true }, Crash, ROUND, Kill { member: 0 }, Heal, Later { ms: 1100 }];
    let settings = Settings { name: "shop".into(), replicas: 3, ..Settings::default() };
    let mut world = World::new(&Shape { settings, appendonly: false, backlog: 64 }, Tampering::default());
    for event in unread {
        world.happen(event);
    }
    world.happen(ROUND);
    assert_eq!(world.record.epoch, 1, "{}", world.picture());
    world.happen(Later { ms: 310 });
    world.happen(ROUND);
    assert_eq!(world.record.epoch, 2, "and no longer than that\n{}", world.picture());
}

/// A pod of the same name that ended says nothing of its predecessor, which lives on without a pod.
#[test]
fn the_end_of_a_later_pod_is_not_that_of_the_master() {
    let begin = [ForceDelete { member: 0 }, Kubelet, Round { cut_after: 0, luck: 0 }, Start { member: 0 }, ROUND];
    let end = [Delete { member: 0 }, Kill { member: 0 }, Later { ms: 300 }, Round { cut_after: 2, luck: 0 }, ROUND];
    holds(4, Availability, 0, &[&begin[..], &end[..]].concat());
}

/// A history in common is not enough: the member that is ahead of an empty master would lose what it has.
#[test]
fn the_last_copy_does_not_follow_an_empty_master_of_its_own_history() {
    let begin = [Kill { member: 0 }, Save { member: 3 }, Kill { member: 1 }, Kill { member: 2 }, Start { member: 2 }];
    let end = [Delete { member: 4 }, Later { ms: 20 }, Kubelet, Kill { member: 3 }, ROUND];
    holds(5, Availability, 1, &[&begin[..], &end[..]].concat());
}

/// A switchover whose target dies before the old master was demoted: the old one may be alive where nobody sees it.
#[test]
fn the_former_master_of_a_broken_switchover_is_not_forgotten() {
    let begin = [Later { ms: 5000 }, Later { ms: 5000 }, ForceDelete { member: 0 }, ROUND, Crash];
    let end = [
        Round { cut_after: 2, luck: 0 },
        Kill { member: 1 },
        Later { ms: 300 },
        ROUND,
        Round { cut_after: 2, luck: 0 },
    ];
    holds(5, Availability, 0, &[&begin[..], &end[..]].concat());
}

/// A restored member with data comes before an empty one, whatever their histories.
#[test]
fn an_empty_member_of_the_recorded_history_comes_last() {
    let begin = [Kill { member: 0 }, ReceiveAll, Crash, ROUND, Round { cut_after: 2, luck: 0 }];
    let end = [Save { member: 1 }, Kill { member: 2 }, Kill { member: 1 }];
    holds(3, Consistency, 2, &[&begin[..], &end[..]].concat());
}

/// A former master that comes back while the target of a failover from it cannot be reached is one of those that must answer,
/// and not the master that serves.
#[test]
fn a_former_master_that_comes_back_is_counted() {
    let fenced = [Isolate { member: 0 }, ForceDelete { member: 1 }, Stop { member: 2 }, Later { ms: 5000 }, ROUND];
    let begun = [Round { cut_after: 1, luck: 0 }, ROUND, Later { ms: 3000 }, Later { ms: 3000 }, ROUND, Crash];
    holds(3, Consistency, 2, &[&fenced[..], &begun[..]].concat());
}
