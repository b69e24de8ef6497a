//! A recorded change of master, from wherever it is to its end. Whoever resumes it goes on with the same target, or opens
//! the next epoch.

use std::time::Duration;

use super::{
    cause::Cause,
    durability,
    election::{self, Lineage},
    exchange, failover,
    failure_detector::{Liveness, ProcessState, liveness, process_state},
    followers,
    observation::{Member, Observation},
    record::{Change, Pending, Recorded},
    steps::{Answer, Plan, Step, Topic},
};
use crate::{info::Info, kinds::Outcome, kinds::RequestKind, kinds::TransitionKind, kinds::TransitionPhase};

/// How long a master that hands over holds writes back at most; Redis ends it by itself if the operator dies.
pub const HOLD: Duration = Duration::from_secs(2);
/// A switchover is given up so long before the hold ends: nothing may be decided on a hold that is about to lapse.
const HOLD_MARGIN: Duration = Duration::from_millis(500);
/// How long the target may take to receive what the demoted master had sent; it was equal a moment ago.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// A switchover is given up when its target has told nothing for so long: no failover begins meanwhile. One that hangs, or whose
/// host is silent, is known as such before; one whose answers cannot be used never is.
const UNREAD_PATIENCE: Duration = Duration::from_secs(10);

/// Who is to be master, and why.
pub(super) struct Choice {
    pub cause: Cause,
    pub from: Option<String>,
    pub to: String,
    pub phase: TransitionPhase,
    /// The evidence, in words.
    pub reason: String,
    /// The `min-replicas-to-write` that the target is promoted with.
    pub min_replicas: usize,
}

/// Records that a change of master begins. With it every member that has a pod is recorded: each may follow the target as soon as it is
/// promoted, and one more write would delay that. A recorded member that holds nothing only raises the number of those that
/// have to answer before the next failover, so recording one too many loses nothing.
///
/// A target whose history continues the recorded one has followed the target of a change that has not ended: that history is
/// recorded with the choice. Otherwise, after a second such change, nobody would be known to descend from the first.
pub(super) fn begin(o: &Observation, choice: Choice, p: &mut Plan) {
    let Choice { cause, from, to, phase, reason, min_replicas } = choice;
    let t = Pending { epoch: o.record.epoch.saturating_add(1), kind: cause.kind(), from, to, phase, reason };
    let there = o.members.iter().filter(|(_, m)| m.pod.is_some()).map(|(n, _)| n.clone());
    let target = o.members.get(&t.to);
    let info = target.and_then(|m| m.server.info.as_ref()).map(|(_, info)| info);
    if let Some(info) = info.filter(|info| election::lineage(o, info) == Lineage::Successor) {
        let (replication_id, previous) = (info.replication_id.clone(), info.previous_replication_id.clone());
        p.record(Change::History { replication_id, previous });
    }
    p.record(Change::Begin {
        cause,
        target: Recorded {
            run_id: info.map(|info| info.run_id.clone()),
            uid: target.and_then(|m| m.pod.as_ref()).map(|pod| pod.uid.clone()),
        },
        members: there.collect(),
        min_replicas,
        replaced: exchange::replaced(o, t.kind, t.epoch, &t.to),
        transition: t,
    });
}

/// The next steps of the transition `t`.
pub(super) fn proceed(o: &Observation, t: &Pending, p: &mut Plan) {
    let answer = o.members.get(&t.to).map(|m| liveness(o, m));
    let Some(Liveness::Alive(info)) =
        answer.filter(|v| matches!(v, Liveness::Alive(i) if o.is_recorded_process(&t.to, i)))
    else {
        return target_lost(o, t, p);
    };
    answer_request(o, t, p);
    if o.members.get(&t.to).is_some_and(Member::leaving) && !info.is_master() && still_serves(o, t) {
        return abandon(o, t, &format!("{} is being deleted", t.to), p);
    }
    if info.is_master() {
        // a Service that is not there, or that another controls, is not waited for
        if o.route.as_ref().is_none_or(|r| r.as_deref() == Some(t.to.as_str())) {
            p.record(Change::Complete { outcome: Outcome::Completed, note: String::new() });
            durability::record_facts(o, &t.to, info, p);
        }
        followers::converge_followers(o, &t.to, info, p);
        return;
    }
    match t.kind {
        TransitionKind::Switchover => hand_over(o, t, info, p),
        TransitionKind::Failover | TransitionKind::Election => promote(o, t, p),
    }
}

/// What a user requested is being done, or something else is.
fn answer_request(o: &Observation, t: &Pending, p: &mut Plan) {
    let Some(request) = &o.settings.request else { return };
    let same = match request.kind {
        RequestKind::Switchover => t.kind == TransitionKind::Switchover,
        RequestKind::Failover => t.kind != TransitionKind::Switchover,
    };
    let right = request.to.as_ref().is_none_or(|to| *to == t.to);
    if same && right {
        let note = format!("{} takes over, as was asked for (epoch {})", t.to, t.epoch);
        p.steps.push(Step::ResolveRequest { request: request.kind, answer: Answer::Accepted, note });
    }
}

/// Nobody else may accept writes when the target begins to. The Service is moved at the same time: until kube-proxy has
/// heard of it, the target has long been promoted.
fn promote(o: &Observation, t: &Pending, p: &mut Plan) {
    if followers::disarm_rivals(o, Some(&t.to), p) {
        return;
    }
    let routed = o.route.as_ref().is_none_or(|to| to.as_ref() == Some(&t.to));
    let former = t.from.as_ref().filter(|_| t.phase == TransitionPhase::Ending);
    if former.is_none_or(|former| failover::is_over(o, former, routed, p)) {
        p.steps.push(Step::Promote { member: t.to.clone(), min_replicas: o.record.min_replicas });
    }
    followers::route(o, &t.to, p);
}

/// Writes are held on the old master, the target receives the last of them, the old is demoted, the target promoted.
fn hand_over(o: &Observation, t: &Pending, target: &Info, p: &mut Plan) {
    let Some((name, from)) = t.from.as_ref().and_then(|f| o.members.get_key_value(f)) else {
        return promote(o, t, p);
    };
    let look = || Step::Refresh { members: vec![name.clone(), t.to.clone()] };
    match liveness(o, from) {
        Liveness::Alive(info) if !o.is_recorded_process(name, info) => failover::master_lost(o, name, p),
        Liveness::Alive(info) if info.is_master() => {
            let Some(hold) = o.memory.hold.as_ref().filter(|h| h.member == *name && h.run_id == info.run_id) else {
                p.steps.push(Step::HoldWrites { member: name.clone() });
                return;
            };
            let seen = from.server.info.as_ref().is_some_and(|(at, _)| *at >= hold.since);
            if o.now + HOLD_MARGIN >= hold.until {
                abandon(o, t, &format!("{} did not catch up in time", t.to), p);
            } else if seen && target.offset >= info.offset && target.replication_id == info.replication_id {
                p.steps.push(Step::Demote {
                    member: name.clone(),
                    offset: info.offset,
                    reason: format!("it hands over to {}", t.to),
                });
            } else {
                p.steps.push(look());
            }
        }
        Liveness::Alive(info) => {
            // demoted: all that it acknowledged is below the offset at which the two were equal
            let demotion = o.memory.demoted.get(name).filter(|d| d.run_id == info.run_id);
            let needed = demotion.map_or(info.offset, |d| d.offset);
            let same_history = target.descends_from(&info.replication_id) || info.descends_from(&target.replication_id);
            if target.offset >= needed && same_history {
                promote(o, t, p);
            } else if demotion.is_some_and(|d| o.now < d.at + LAST_BYTES) {
                p.steps.push(look());
            } else {
                let cause = Cause::TargetBehind;
                failover::elect_another(o, &t.to, cause, &cause.to_string(), p);
            }
        }
        _ => failover::master_lost(o, name, p),
    }
}

/// The target does not answer any more, before it was promoted or just after.
fn target_lost(o: &Observation, t: &Pending, p: &mut Plan) {
    let from = t.from.as_ref().and_then(|f| o.members.get_key_value(f));
    if still_serves(o, t) {
        let message = match process_state(o, &t.to) {
            ProcessState::Gone(w) | ProcessState::Hung(w) | ProcessState::Unreachable(w) => w,
            ProcessState::Unsure(w) => {
                let until = o.memory.target_unread_since.map(|since| since + UNREAD_PATIENCE);
                if until.is_none_or(|until| o.now < until) {
                    if let Some(until) = until {
                        p.wake_by(until);
                    }
                    return p.wait(Topic::Suspicion, format!("{} is silent: {w}", t.to));
                }
                let problem = o.members.get(&t.to).and_then(|m| m.server.problem.as_ref()).map(|f| f.message.clone());
                format!("nothing was learned of it for {} s: {}", UNREAD_PATIENCE.as_secs(), problem.unwrap_or(w))
            }
        };
        return abandon(o, t, &format!("{}: {message}", t.to), p);
    }
    if let Some((name, _)) = from
        && matches!(process_state(o, &t.to), ProcessState::Gone(_))
        && t.kind == TransitionKind::Switchover
        && !demoted_or_gone(o, name)
    {
        return failover::master_lost(o, name, p); // it had not been demoted yet, and may still take writes
    }
    // it may have been promoted already, and serve
    failover::master_lost(o, &t.to, p);
}

/// Does the master that is to hand over accept writes still?
fn still_serves(o: &Observation, t: &Pending) -> bool {
    let from = t.from.as_ref().filter(|_| t.kind == TransitionKind::Switchover);
    from.and_then(|name| o.members.get_key_value(name)).is_some_and(
        |(name, m)| matches!(liveness(o, m), Liveness::Alive(i) if i.is_master() && o.is_recorded_process(name, i)),
    )
}

fn demoted_or_gone(o: &Observation, name: &str) -> bool {
    match o.members.get(name).map(|m| liveness(o, m)) {
        Some(Liveness::Alive(info)) if o.is_recorded_process(name, info) => !info.is_master(),
        _ => matches!(process_state(o, name), ProcessState::Gone(_)),
    }
}

fn abandon(o: &Observation, t: &Pending, note: &str, p: &mut Plan) {
    if let Some(hold) = &o.memory.hold {
        p.steps.push(Step::ReleaseWrites { member: hold.member.clone() });
    }
    p.record(Change::Complete {
        outcome: Outcome::Abandoned,
        note: format!("the switchover to {} was given up: {note}", t.to),
    });
}
