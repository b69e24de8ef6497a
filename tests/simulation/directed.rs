//! Rules that chance seldom needs: a history made for each, which holds with the rule and breaks without it.

use std::time::Duration;

use redis_replication_operator::{
    api::{
        FailoverPolicy::{Availability, Consistency},
        TransitionPhase,
    },
    redis::{ReplicaSide, Role},
    replication::{Contact, Detached, Hold, Observation, Settings, Step},
};

use super::{
    histories::History,
    world::{
        Event::{self, *},
        Shape, Tampering,
    },
};

const ROUND: Event = Round { cut_after: usize::MAX, luck: 0 };
const WAIT: Event = Write { wait: true };

/// Three members under Consistency with k = 1, or under Availability.
fn history(consistent: bool, parts: &[&[Event]]) -> History {
    let policy = if consistent { Consistency } else { Availability };
    let wait_replicas = usize::from(consistent);
    let settings = Settings { name: "shop".into(), replicas: 3, policy, wait_replicas, ..Settings::default() };
    History { shape: Shape { settings, appendonly: false, backlog: 64 }, events: parts.concat() }
}

fn breaks(history: &History, tampering: Tampering, invariant: &str) {
    let end = |ends_early| Tampering { ends_early, ..Tampering::default() };
    assert_eq!(history.run(end(true)).0, None, "it must hold with the rule:\n{}", history.tell(end(true)));
    let tampering = Tampering { ends_early: true, ..tampering };
    let broken = history.run(tampering).0.map(|(v, _)| v.invariant);
    assert_eq!(broken, Some(invariant), "{}", history.tell(tampering));
}

/// The master is cut off, and another is chosen in the end.
const FAILOVER: [Event; 13] = [
    Isolate { member: 0 },
    Later { ms: 3000 },
    ROUND,
    ROUND,
    ROUND,
    Later { ms: 5000 },
    ROUND,
    ROUND,
    ROUND,
    ROUND,
    ReceiveAll,
    ReceiveAll,
    ROUND,
];

/// The confirmed write is on one replica, and that one cannot be asked.
#[test]
fn without_the_quorum() {
    fn facts(o: &mut Observation) {
        o.record.wait_replicas = o.record.members.len(); // as if one replica were always enough
    }
    let confirm = [Isolate { member: 2 }, WAIT, Receive { member: 1, count: 9 }];
    let lose = [PowerOff { member: 0 }, PowerOff { member: 1 }, Heal, Later { ms: 3000 }, ROUND, ROUND, ROUND];
    let wait = [Later { ms: 5000 }, ROUND, ROUND, ROUND, ROUND];
    breaks(&history(true, &[&confirm, &lose, &wait]), Tampering { facts, ..Tampering::default() }, "I4");
}

/// Whoever has the least is chosen. Random histories hardly meet this: a replica whose link ends has received all before.
#[test]
fn without_the_offsets() {
    fn facts(o: &mut Observation) {
        if o.memory.masterless_since.is_some() {
            for (_, info) in o.members.values_mut().filter_map(|m| m.server.info.as_mut()) {
                info.offset = 1_000_000 - info.offset;
            }
        }
    }
    let confirm = [WAIT, Receive { member: 2, count: 99 }];
    breaks(&history(true, &[&confirm, &FAILOVER]), Tampering { facts, ..Tampering::default() }, "I4");
}

/// A refused connection is the proof of death, whatever the replicas say.
#[test]
fn without_the_word_of_the_replicas() {
    fn facts(o: &mut Observation) {
        for member in o.members.values_mut().filter(|m| matches!(m.server.contact, Contact::Refused { .. })) {
            member.pod.iter_mut().for_each(|pod| pod.running = false); // as if the kubelet had said so
        }
    }
    let reject = [Reject { member: 0 }, Later { ms: 300 }, Poll { member: 1 }, Poll { member: 2 }];
    let rounds = [ROUND, WAIT, ReceiveAll, Later { ms: 300 }, ROUND, ROUND, Later { ms: 300 }, ROUND, ROUND];
    for consistent in [true, false] {
        breaks(&history(consistent, &[&reject, &rounds]), Tampering { facts, ..Tampering::default() }, "I16");
    }
}

/// The second master was promoted without `min-replicas-to-write`, is cut off, and nothing stops it.
#[test]
fn without_min_replicas() {
    fn facts(o: &mut Observation) {
        let infos = o.members.values_mut().filter_map(|m| m.server.info.as_mut());
        infos.filter(|(_, i)| i.is_master()).for_each(|(_, i)| i.min_replicas = 1); // as if it had one
    }
    fn steps(_: &Observation, steps: &mut Vec<Step>) {
        for step in steps {
            if let Step::Promote { min_replicas, .. } | Step::SetMinReplicas { min_replicas, .. } = step {
                *min_replicas = 0;
            }
        }
    }
    let first = [Kill { member: 0 }, ReceiveAll, Later { ms: 300 }, ROUND, ROUND, ROUND, ROUND, ReceiveAll, ROUND];
    let settle = [Later { ms: 1100 }, ReceiveAll, ROUND, Later { ms: 1100 }, ROUND, ROUND, Isolate { member: 1 }];
    let second = [Later { ms: 3000 }, ROUND, ROUND, Later { ms: 5000 }, ROUND, ROUND, ROUND, ROUND];
    let history = history(false, &[&first, &settle, &second]);
    breaks(&history, Tampering { facts, steps, ..Tampering::default() }, "I3");
}

/// A replica that still follows the former master finds it again, and confirms what it writes.
#[test]
fn without_the_freeze() {
    fn facts(o: &mut Observation) {
        let lost = |m: &redis_replication_operator::replication::Member| {
            matches!(m.server.contact, Contact::HostSilent { .. })
        };
        if !o.members.values().any(lost) {
            return;
        }
        for (name, member) in &mut o.members {
            if let Some((_, info)) = &mut member.server.info
                && let Role::Replica(side) = &mut info.role
            {
                *side = ReplicaSide {
                    master_host: "127.0.0.1".into(),
                    master_port: 1,
                    follow: redis_replication_operator::redis::FollowState::Connecting,
                };
                let detached = Detached { run_id: info.run_id.clone(), since: Duration::ZERO };
                o.memory.detached.insert(name.clone(), detached);
            }
        }
    }
    fn steps(_: &Observation, steps: &mut Vec<Step>) {
        steps.retain(|s| !matches!(s, Step::Detach { .. } | Step::Follow { .. }));
    }
    let found = [Heal, Cut { from: None, to: Some(0) }, Cut { from: Some(0), to: None }, ReceiveAll, ReceiveAll];
    let confirm = [Later { ms: 1100 }, Later { ms: 1100 }, WriteTo { member: 0, wait: true }];
    let history = history(true, &[&FAILOVER[..9], &found, &confirm]);
    breaks(&history, Tampering { facts, steps, ..Tampering::default() }, "I6");
}

/// The former master is ahead by what nobody needs, and lacks what was confirmed since.
#[test]
fn without_the_lineage() {
    fn facts(o: &mut Observation) {
        let Some(id) = o.record.replication_id.clone() else { return };
        for (_, info) in o.members.values_mut().filter_map(|m| m.server.info.as_mut()) {
            info.replication_id.clone_from(&id);
        }
    }
    let ahead = [Later { ms: 5000 }, Later { ms: 5000 }, ROUND, ROUND, WAIT, ReceiveAll, ReceiveAll];
    let lose = [Kill { member: 1 }, Heal, Later { ms: 300 }, ReceiveAll, ROUND, ROUND, ROUND, ROUND];
    breaks(&history(true, &[&FAILOVER, &ahead, &lose]), Tampering { facts, ..Tampering::default() }, "I4");
}

/// Somebody made a second master by hand.
#[test]
fn without_the_demotion_of_rivals() {
    fn facts(o: &mut Observation) {
        let authorized_master = o.record.transition.as_ref().map(|t| t.to.clone()).or(o.record.master.clone());
        for (_, member) in o.members.iter_mut().filter(|(n, _)| Some(*n) != authorized_master.as_ref()) {
            if let Some((_, info)) = &mut member.server.info
                && info.is_master()
            {
                let follow = redis_replication_operator::redis::FollowState::Connecting;
                info.role = Role::Replica(ReplicaSide { master_host: "127.0.0.1".into(), master_port: 1, follow });
            }
        }
    }
    let by_hand = [Kill { member: 0 }, ReceiveAll, PromoteByHand { member: 2 }, Later { ms: 300 }];
    let rounds = [ROUND, ROUND, ROUND, Later { ms: 300 }, ROUND, ROUND, ROUND];
    breaks(&history(false, &[&by_hand, &rounds]), Tampering { facts, ..Tampering::default() }, "I3");
}

/// A new member follows before the record knows it.
#[test]
fn without_the_record_of_members() {
    fn facts(o: &mut Observation) {
        let there: Vec<_> = o.members.iter().filter(|(_, m)| m.pod.is_some()).map(|(n, _)| n.clone()).collect();
        for n in there {
            o.record.members.entry(n).or_default();
        }
    }
    let grow = [Scale { replicas: 4 }, Kubelet, Start { member: 3 }, ROUND, ROUND, ROUND];
    breaks(&history(true, &[&grow]), Tampering { facts, ..Tampering::default() }, "I11");
}

/// A write is accepted between the comparison of the offsets and the demotion. The offset after the demotion is what the target
/// has to reach, so even without the hold nothing that was confirmed is lost.
#[test]
fn a_write_between_the_comparison_and_the_demotion_is_waited_for() {
    fn facts(o: &mut Observation) {
        if let Some(from) = o.record.transition.as_ref().and_then(|t| t.from.clone())
            && let Some((_, info)) = o.members.get(&from).and_then(|m| m.server.info.as_ref())
        {
            let (run_id, until) = (info.run_id.clone(), o.now + Duration::from_secs(2));
            o.memory.hold = Some(Hold { member: from, run_id, since: Duration::ZERO, until });
        }
    }
    let begin = [Delete { member: 0 }, Later { ms: 5000 }, ReceiveAll, Poll { member: 0 }, Poll { member: 1 }, ROUND];
    let confirm = [WAIT, Receive { member: 2, count: 99 }, ROUND, ROUND, ROUND];
    let history = history(true, &[&begin, &confirm]);
    let tampering = Tampering { facts, ends_early: true, ..Tampering::default() };
    let (broken, world) = history.run(tampering);
    assert_eq!(broken, None, "{}", history.tell(tampering));
    assert!(world.facts.switchovers > 0, "one was under way");
}

/// **The known exception of I3 and I6.** A stopped master that is cut off is replaced; when it goes on it counts on what its
/// replicas had said before. The bound: that is over after the lag and two seconds, and no `WAIT` confirms what it takes.
#[test]
fn a_resumed_master_takes_unconfirmed_writes_for_a_few_seconds() {
    let end = Tampering { ends_early: true, ..Tampering::default() };
    let write = [WriteTo { member: 0, wait: true }];
    let stop = [Stop { member: 0 }, Later { ms: 1100 }]; // what the replicas say now lies in its sockets
    let go_on = [Continue { member: 0 }];
    let seconds = |n| vec![Later { ms: 1000 }; n];
    let taken = |parts: &[&[Event]]| {
        let history = history(true, &[&[&stop[..], &write, &FAILOVER], parts].concat());
        let (broken, world) = history.run(end);
        assert_eq!(broken, None, "{}", history.tell(end));
        assert_eq!(world.facts.confirmed & 0b1110, 0, "WAIT confirms nothing:\n{}", history.tell(end));
        assert_eq!(history.run(Tampering::default()).0, None, "and afterwards all is well");
        world.facts.belated
    };
    assert_eq!(taken(&[&go_on]), 1, "what had been sent to it");
    assert_eq!(taken(&[&go_on, &seconds(2), &write]), 2, "and what comes soon after");
    assert_eq!(taken(&[&go_on, &seconds(4), &write]), 1, "and nothing later");
}

/// One that has hung and whose host is well is ended before another is promoted: it does not go on, and acknowledges nothing.
#[test]
fn without_the_wait_for_the_end_of_a_hung_process() {
    fn facts(o: &mut Observation) {
        if let Some(t) = &mut o.record.transition {
            t.phase = TransitionPhase::Promoting;
        }
    }
    let hang = [Stop { member: 0 }, WriteTo { member: 0, wait: true }, Later { ms: 3000 }, ROUND, Later { ms: 3000 }];
    let go_on = [Continue { member: 0 }, Later { ms: 300 }, ReceiveAll];
    let history = history(true, &[&hang, &[ROUND; 8], &[Kubelet, Later { ms: 300 }], &[ROUND; 8], &go_on]);
    let belated = |tampering| {
        let (broken, world) = history.run(Tampering { ends_early: true, ..tampering });
        assert_eq!(broken, None);
        assert_eq!(world.facts.promoted.len(), 2, "another is promoted:\n{}", history.tell(tampering));
        world.facts.belated
    };
    assert_eq!(belated(Tampering::default()), 0);
    assert_eq!(belated(Tampering { facts, ..Tampering::default() }), 1, "the write is acknowledged, and lost");
}

/// An operator that was stopped between the look at its lease and its commands, for longer than a whole failover takes,
/// would send replicas back to the former master, which then confirms writes again; they are lost when it is demoted.
#[test]
fn without_the_end_of_the_former_operators_connections() {
    let alarm = [Isolate { member: 0 }, Later { ms: 3000 }, ROUND, ROUND, Heal, Later { ms: 1100 }, Poll { member: 0 }];
    let part = [Heal, Cut { from: None, to: Some(0) }, Cut { from: Some(0), to: None }];
    let attach = [ReceiveAll, ReceiveAll, ReceiveAll, Later { ms: 1100 }, Later { ms: 1100 }];
    let confirm = [WriteTo { member: 0, wait: true }, ReceiveAll, ReceiveAll, ROUND, ROUND, ROUND];
    let late = history(true, &[&alarm, &[Stall], &FAILOVER, &part, &[Unstall], &attach, &confirm]);
    breaks(&late, Tampering { spares_predecessors: true, ..Tampering::default() }, "I6");
}
