//! Observation → steps and the reasons for waiting. Start reading here.

use super::{
    cause::Cause,
    durability, exchange, failover,
    failure_detector::{Liveness, liveness},
    followers,
    memory::serving_master,
    observation::Observation,
    persistence, rollout,
    steps::{Plan, Step, Topic},
    switchover, transition,
};

/// What to do now.
pub fn plan(o: &Observation) -> Plan {
    let mut p = Plan::default();
    if o.settings.removed {
        release_leaving(o, &mut p);
        return p;
    }
    if o.memory.record_unsure {
        // the write may have ended the very transition that would be continued
        p.wait(
            Topic::Isolation,
            "a write of the status was not answered: nothing is done until it has been read again",
        );
        return p;
    }
    if o.settings.paused {
        p.wait(Topic::Paused, "spec.paused is set: nothing is changed, and there is no failover");
        if let (None, Some((master, master_info))) = (&o.record.transition, serving_master(o))
            && !exchange::took_over_other_data(o, master_info)
        {
            durability::record_facts(o, master, master_info, &mut p); // it only observes, and this is what it sees
        }
        return p;
    }
    switchover::refuse_nonsense(o, &mut p);
    rollout::replace_broken(o, &mut p);
    match (&o.record.transition, &o.record.master) {
        (Some(t), _) => transition::proceed(o, t, &mut p),
        (None, Some(master)) => with_master(o, master, &mut p),
        (None, None) => failover::choose(o, None, None, Cause::FirstMaster, &Cause::FirstMaster.to_string(), &mut p),
    }
    p
}

/// There is a recorded master and no change of it under way.
fn with_master(o: &Observation, master: &str, p: &mut Plan) {
    let answer = o.members.get(master).map(|m| (m, liveness(o, m)));
    match answer {
        Some((member, Liveness::Alive(info))) if o.is_recorded_process(master, info) => {
            if exchange::took_over_other_data(o, info) {
                exchange::answer(o, master, info, p);
            } else if info.is_master() {
                followers::converge_followers(o, master, info, p);
                switchover::consider(o, master, info, p);
                if p.begins().is_none() {
                    rollout::replace_replicas(o, master, info, p); // the target is no pod to be replaced now
                    persistence::converge(o, master, p);
                }
            } else if member.leaving() {
                p.wait(Topic::Switchover, format!("{master} is being deleted and has been let go"));
            } else if !followers::disarm_rivals(o, Some(master), p) {
                // somebody demoted it: the record decides
                p.steps.push(Step::Promote { member: master.to_owned(), min_replicas: o.record.min_replicas });
            }
        }
        _ => failover::master_lost(o, master, p),
    }
}

/// The resource is gone: a preStop hook that waits for a hand-over would wait in vain.
fn release_leaving(o: &Observation, p: &mut Plan) {
    for (name, member) in o.members.iter().filter(|(_, m)| m.leaving()) {
        if let Liveness::Alive(info) = liveness(o, member)
            && info.is_master()
        {
            let reason = "the resource was deleted".to_owned();
            p.steps.push(Step::Demote { member: name.clone(), offset: info.offset, reason });
        }
    }
}

/// How many pods the StatefulSet must have now: as many as are wanted; as many more as it takes to keep the master, and the one
/// that is to be, until another has taken over; and all that there are until the members that stay serve. A StatefulSet removes
/// the highest ordinals first.
pub fn stateful_set_replicas(o: &Observation) -> usize {
    let t = o.record.transition.as_ref();
    let needed = [o.record.master.as_ref(), t.map(|t| &t.to), t.and_then(|t| t.from.as_ref())];
    let there = o.members.iter().filter(|(_, m)| m.pod.is_some()).map(|(name, _)| name);
    let all_stay = !may_shrink(o);
    let kept = there.filter(|_| all_stay).chain(needed.into_iter().flatten());
    let needed = kept.map(|n| o.ordinal(n)).filter(|i| *i < MOST_PODS).map(|i| i + 1).max();
    o.settings.replicas.max(needed.unwrap_or(0))
}

/// More pods than this are nobody's wish: an ordinal beyond is a mistake.
const MOST_PODS: usize = 64;

/// While a master is lost, a pod that is to go may hold what no other has. So pods are removed only while a master serves, and
/// as many of those that stay have all data as are to confirm a write, one at least.
fn may_shrink(o: &Observation) -> bool {
    if o.memory.record_unsure {
        return false;
    }
    let Some((master, _)) = serving_master(o).filter(|_| o.record.transition.is_none()) else { return false };
    let stay = (0..o.settings.replicas).map(|i| o.settings.name_of(i));
    let have_all = stay.filter(|n| n == master || rollout::online(o, n)).count();
    have_all > o.settings.wait_replicas.max(1).min(o.settings.replicas.saturating_sub(1))
}
