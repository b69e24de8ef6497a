//! Observation → steps and the reasons for waiting. Start reading here.

use super::{
    cause::Cause,
    exchange, lost,
    memory::serving_master,
    observation::{Observation, Settings},
    persistence, promises,
    record::Record,
    rollout, shepherd,
    steps::{Plan, Step, Topic},
    suspicion::{Verdict, verdict},
    switchover, transition,
};

/// What to do now.
pub fn plan(o: &Observation) -> Plan {
    let mut p = Plan::default();
    if o.settings.removed {
        release_leaving(o, &mut p);
        return p;
    }
    if o.settings.paused {
        p.wait(Topic::Paused, "spec.paused is set: nothing is changed, and there is no failover");
        if let (None, Some((master, truth))) = (&o.record.transition, serving_master(o))
            && !exchange::took_over_other_data(o, truth)
        {
            promises::record_facts(o, master, truth, &mut p); // it only observes, and this is what it sees
        }
        return p;
    }
    switchover::refuse_nonsense(o, &mut p);
    rollout::replace_broken(o, &mut p);
    match (&o.record.transition, &o.record.master) {
        (Some(t), _) => transition::proceed(o, t, &mut p),
        (None, Some(master)) => with_master(o, master, &mut p),
        (None, None) => lost::choose(o, None, None, Cause::FirstMaster, &Cause::FirstMaster.to_string(), &mut p),
    }
    p
}

/// There is a recorded master and no change of it under way.
fn with_master(o: &Observation, master: &str, p: &mut Plan) {
    let answer = o.members.get(master).map(|m| (m, verdict(o, m)));
    match answer {
        Some((member, Verdict::Alive(info))) if o.is_recorded_process(master, info) => {
            if exchange::took_over_other_data(o, info) {
                exchange::answer(o, master, info, p);
            } else if info.is_master() {
                shepherd::gather(o, master, info, p);
                switchover::consider(o, master, info, p);
                if p.begins().is_none() {
                    rollout::replace_replicas(o, master, info, p); // the target is no pod to be replaced now
                    persistence::converge(o, master, p);
                }
            } else if member.leaving() {
                p.wait(Topic::Switchover, format!("{master} is being deleted and has been let go"));
            } else if !shepherd::disarm_rivals(o, Some(master), p) {
                // somebody demoted it: the record decides
                p.steps.push(Step::Promote { member: master.to_owned(), min_replicas: o.record.fence });
            }
        }
        _ => lost::lost(o, master, p),
    }
}

/// The resource is gone: a preStop hook that waits for a hand-over would wait in vain.
fn release_leaving(o: &Observation, p: &mut Plan) {
    for (name, member) in o.members.iter().filter(|(_, m)| m.leaving()) {
        if let Verdict::Alive(info) = verdict(o, member)
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
