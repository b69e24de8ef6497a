//! Observation → steps and the reasons for waiting. Start reading here.

use std::time::Duration;

use super::{
    election::{Election, elect},
    observation::{Observation, Record, Settings},
    rollout, shepherd,
    steps::{Plan, Step, Topic},
    suspicion::{Verdict, verdict},
    transition,
};
use crate::{api::TransitionKind, redis::Info};

/// After an abandoned switchover the next is not tried before so long.
const SWITCHOVER_RETRY: Duration = Duration::from_secs(5);

/// A planned switchover begins when no Service of the replication has changed for so long: kube-proxy waits a second between
/// two syncs, so what follows a change too closely is late, and clients are sent to the wrong pod meanwhile. A deletion is
/// such a change itself, for its endpoint becomes *terminating*.
const CALM: Duration = Duration::from_secs(2);
/// For a pod that is being deleted, calm is waited for no longer than this: its `preStop` hook does not hold it for ever.
const CALM_PATIENCE: Duration = Duration::from_secs(10);

/// What to do now.
pub fn plan(o: &Observation) -> Plan {
    let mut p = Plan::default();
    if o.settings.removed {
        release_leaving(o, &mut p);
        return p;
    }
    if o.settings.paused {
        p.wait(Topic::Paused, "spec.paused is set: nothing is changed, and there is no failover");
        return p;
    }
    rollout::replace_broken(o, &mut p);
    match (&o.record.transition, &o.record.master) {
        (Some(t), _) => transition::proceed(o, t, &mut p),
        (None, Some(master)) => with_master(o, master, &mut p),
        (None, None) => without_master(o, None, TransitionKind::Election, "there was no master yet", &mut p),
    }
    p
}

/// There is a recorded master and no change of it under way.
fn with_master(o: &Observation, master: &str, p: &mut Plan) {
    let Some(member) = o.members.get(master) else {
        return without_master(o, Some(master), TransitionKind::Failover, "its pod does not exist", p);
    };
    match verdict(o.now, member) {
        Verdict::Alive(info) if !o.is_recorded_process(master, info) => {
            without_master(o, None, TransitionKind::Failover, "its Redis restarted", p);
        }
        Verdict::Alive(info) if !info.is_master() => {
            if member.leaving() {
                p.wait(Topic::Switchover, format!("{master} is being deleted and has been let go"));
            } else if !shepherd::disarm_rivals(o, Some(master), p) {
                p.steps.push(Step::Promote { member: master.to_owned() }); // somebody demoted it: the record decides
            }
        }
        Verdict::Alive(info) => {
            shepherd::gather(o, master, info, p);
            rollout::replace_replicas(o, master, p);
            if let Some(reason) = should_hand_over(o, master) {
                switch_over(o, master, info, reason, p);
            }
        }
        Verdict::Dead(evidence) => without_master(o, Some(master), TransitionKind::Failover, &evidence, p),
        Verdict::Silent(words) => p.wait(Topic::Suspicion, format!("the master {master} is silent: {words}")),
    }
}

/// Nobody accepts writes: choose somebody. `lost` is a process that is known to be gone.
fn without_master(o: &Observation, lost: Option<&str>, kind: TransitionKind, evidence: &str, p: &mut Plan) {
    // a master that the record does not know is frozen, and then counted like the others
    if shepherd::disarm_rivals(o, None, p) {
        return;
    }
    match elect(o, lost, o.memory.masterless_since.unwrap_or(o.now)) {
        Election::Elected(to) => {
            let from = o.record.master.clone();
            let reason = from.as_deref().map_or(evidence.to_owned(), |m| format!("{m}: {evidence}"));
            p.steps.push(Step::Begin { epoch: o.record.epoch + 1, kind, from, to, reason });
        }
        Election::Wait(words) => {
            let stale: Vec<_> = o.members.keys().filter(|n| Some(n.as_str()) != lost).cloned().collect();
            p.steps.push(Step::Look { members: stale }); // a fresh word of the survivors
            p.wait(Topic::Election, words);
        }
    }
}

/// Why the master should be another, if it should.
fn should_hand_over(o: &Observation, master: &str) -> Option<&'static str> {
    let leaving = o.members.get(master).is_some_and(super::Member::leaving);
    if leaving {
        Some("its pod is being deleted")
    } else if !o.wanted(master) {
        Some("its pod is to be removed, because replicas was reduced")
    } else if rollout::master_is_last(o, master) {
        Some("its pod is to be replaced, because the spec was changed")
    } else {
        None
    }
}

fn switch_over(o: &Observation, master: &str, truth: &Info, reason: &str, p: &mut Plan) {
    let alone = o.settings.replicas == 1 && o.members.keys().all(|n| n == master || !rollout::online(o, n));
    if alone && o.wanted(master) {
        let leaving = o.members.get(master).is_some_and(super::Member::leaving);
        p.steps.push(if leaving {
            Step::Freeze {
                member: master.to_owned(),
                offset: truth.offset,
                reason: format!("{reason}, and there is no other member to take over"),
            }
        } else {
            Step::Restart { member: master.to_owned(), reason: reason.to_owned() }
        });
        return;
    }
    let leaving_since =
        o.members.get(master).and_then(|m| m.pod.as_ref()).filter(|p| p.leaving).map(|p| p.leaving_since);
    if o.now < o.stirred_at + CALM && leaving_since.is_none_or(|since| o.now < since + CALM_PATIENCE) {
        return p.wait(Topic::Switchover, format!("{master} hands over in a moment: {reason}"));
    }
    if o.memory.abandoned_at.is_some_and(|at| o.now < at + SWITCHOVER_RETRY) {
        return p.wait(
            Topic::Switchover,
            format!("{master} should hand over ({reason}); the next attempt follows shortly"),
        );
    }
    let same = |n: &str| {
        let info = o.members.get(n).and_then(|m| m.server.info.as_ref());
        info.map(|(_, i)| i).filter(|i| i.replication_id == truth.replication_id)
    };
    let target = o
        .members
        .keys()
        .filter(|n| *n != master && o.wanted(n) && rollout::online(o, n))
        .filter_map(|n| Some((same(n)?.offset, std::cmp::Reverse(o.ordinal(n)), n)))
        .max();
    match target {
        Some((_, _, to)) => p.steps.push(Step::Begin {
            epoch: o.record.epoch + 1,
            kind: TransitionKind::Switchover,
            from: Some(master.to_owned()),
            to: to.clone(),
            reason: format!("{master}: {reason}"),
        }),
        None => {
            p.wait(Topic::Switchover, format!("{master} should hand over ({reason}), and no replica follows it yet"));
        }
    }
}

/// The resource is gone: a preStop hook that waits for a hand-over would wait in vain.
fn release_leaving(o: &Observation, p: &mut Plan) {
    for (name, member) in o.members.iter().filter(|(_, m)| m.leaving()) {
        if let Verdict::Alive(info) = verdict(o.now, member)
            && info.is_master()
        {
            let reason = "the resource was deleted".to_owned();
            p.steps.push(Step::Freeze { member: name.clone(), offset: info.offset, reason });
        }
    }
}

/// How many pods the StatefulSet must have now: as many as are wanted, and as many more as it takes to keep the master,
/// and the one that is to be, until another has taken over. A StatefulSet removes the highest ordinals first.
pub fn stateful_set_replicas(settings: &Settings, record: &Record) -> usize {
    let t = record.transition.as_ref();
    let needed = [record.master.as_ref(), t.map(|t| &t.to), t.and_then(|t| t.from.as_ref())];
    let needed = needed.into_iter().flatten().map(|n| settings.ordinal(n)).filter(|i| *i < 64).map(|i| i + 1).max();
    settings.replicas.max(needed.unwrap_or(0))
}
