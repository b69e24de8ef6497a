//! The master does not answer. What must be known or done before another may be chosen: proof that its process is gone, or
//! the certainty that it takes no more writes.

use std::time::Duration;

use super::{
    cause::Cause,
    election::{self, Election, elect},
    failure_detector::{Liveness, ProcessState, heard_by, liveness, others, process_state},
    followers,
    memory::serving_master,
    observation::{Moment, Observation},
    steps::{Plan, Step, Topic},
    switchover,
    transition::{self, Choice},
};
use crate::{durability::MAX_LAG, kinds::RequestKind, kinds::TransitionPhase};

/// How long after its replicas were detached a master that nobody can reach takes no more writes. It counts a replica for
/// [`MAX_LAG`] after its last acknowledgement, looks once a second, and one second is for good measure. Measured: the last
/// accepted write came 0.02 to 1.05 s after the maximal lag.
pub const FENCE_DELAY: Duration = MAX_LAG.saturating_add(Duration::from_secs(2));

/// How long the kubelet may take to end a hung process. With a grace of one second it takes three.
const KILL_PATIENCE: Duration = Duration::from_secs(6);

/// For how long nothing is said of members that hear a master that the operator does not.
const ISOLATED_AFTER: Duration = Duration::from_secs(3);

/// The recorded process of `lost`, who is master or was chosen as one, does not serve.
pub(super) fn master_lost(o: &Observation, lost: &str, p: &mut Plan) {
    match process_state(o, lost) {
        ProcessState::Hung(message) | ProcessState::Unreachable(message) | ProcessState::Unsure(message)
            if forced(o) =>
        {
            unreachable(o, lost, Cause::Forced, &message, p);
        }
        ProcessState::Gone(evidence) => elect_another(o, lost, hung_or(o, lost, Cause::ProcessEnded), &evidence, p),
        ProcessState::Hung(message) => hung(o, lost, &message, p),
        ProcessState::Unreachable(message) => unreachable(o, lost, hung_or(o, lost, Cause::Unreachable), &message, p),
        ProcessState::Unsure(message) => {
            refresh_others(o, lost, p);
            let topic = if heard_by(o, lost).is_some() { isolation(o) } else { Topic::Suspicion };
            p.wait(topic, format!("{lost} does not answer the operator: {message}"));
        }
    }
}

/// What took away a process that hung is that it hung, whatever its pod looks like after it was deleted for that.
fn hung_or(o: &Observation, lost: &str, otherwise: Cause) -> Cause {
    let uid = o.record.members.get(lost).and_then(|m| m.uid.as_ref());
    if uid.is_some_and(|uid| o.memory.killed.contains_key(uid)) { Cause::Hung } else { otherwise }
}

/// Ends a hung process. It cannot be relied on to stay hung: when it goes on, it first acknowledges what had been sent to
/// it, before it notices that its replicas are gone.
fn hung(o: &Observation, lost: &str, message: &str, p: &mut Plan) {
    match end_of(o, lost, message, p) {
        End::NotBegun => {}
        End::UnderWay => return refresh_others(o, lost, p),
        End::Impossible => {
            return unreachable(o, lost, Cause::Hung, &format!("{message}, and it could not be ended"), p);
        }
    }
    if let Some(name) = heard_by(o, lost) {
        refresh_others(o, lost, p);
        return p.wait(isolation(o), format!("{lost} does not answer the operator, and {name} hears it: no failover"));
    }
    if !others(o, lost).any(|(n, i)| o.is_recorded_process(n, i) && !i.loading) {
        return p.wait(Topic::Election, format!("{lost} has hung ({message}), and no replica has its data"));
    }
    if let Some(missing) = election::missing_quorum(o, lost) {
        refresh_others(o, lost, p);
        return p.wait(Topic::Quorum, format!("{lost} has hung ({message}), and {missing}"));
    }
    if o.record.min_replicas == 0 && !o.settings.persistent {
        let text = format!(
            "{lost} has hung ({message}); it served alone and has no volume, so its memory holds the only copy and its pod is not deleted; the annotation {} gives it up",
            RequestKind::Failover.annotation()
        );
        return p.wait(Topic::NotFenced, text);
    }
    // who served alone, or is a target that was perhaps promoted, is ended first: then it is known what is left
    if o.record.transition.is_some() || o.record.min_replicas == 0 {
        return p.steps.push(Step::DeleteHungPod { member: lost.to_owned(), reason: message.to_owned() });
    }
    if cut_off_since(o, lost, "has hung", p).is_none() {
        return p.wait(Topic::Fence, format!("{lost} has hung: {message}"));
    }
    choose(o, Some(lost), o.record.master.clone(), Cause::Hung, &format!("{lost}: {message}"), p);
}

/// Is it certain that the process of `former`, which had hung when another was chosen, takes no more writes? Otherwise does
/// what it takes. (If it goes on, it is demoted like every rival.)
///
/// Its pod is deleted when the Service has been moved: that changes the Service's endpoints too, and of the second of two changes
/// kube-proxy hears a second later.
pub(super) fn is_over(o: &Observation, former: &str, routed: bool, p: &mut Plan) -> bool {
    let goes_on = |m| matches!(liveness(o, m), Liveness::Alive(i) if o.is_recorded_process(former, i));
    if forced(o) || o.members.get(former).is_some_and(goes_on) {
        return true;
    }
    match process_state(o, former) {
        ProcessState::Gone(_) => true,
        ProcessState::Unreachable(message) => is_fenced(o, former, &message, p),
        ProcessState::Unsure(message) => {
            p.wait(Topic::Suspicion, format!("{former} is silent: {message}"));
            false
        }
        ProcessState::Hung(message) => match end_of(o, former, &message, p) {
            End::NotBegun => {
                if routed {
                    p.steps.push(Step::DeleteHungPod { member: former.to_owned(), reason: message });
                }
                false
            }
            End::UnderWay => false,
            End::Impossible => is_fenced(o, former, &format!("{message}, and it could not be ended"), p),
        },
    }
}

/// How far it is with the ending of a hung process.
enum End {
    NotBegun,
    UnderWay,
    Impossible,
}

/// Says so while it is under way.
fn end_of(o: &Observation, hung: &str, message: &str, p: &mut Plan) -> End {
    let Some(pod) = o.members.get(hung).and_then(|m| m.pod.as_ref()) else { return End::Impossible };
    match o.memory.killed.get(&pod.uid).map(|at| *at + KILL_PATIENCE) {
        None => End::NotBegun,
        Some(until) if o.now < until => {
            p.wake_by(until);
            p.wait(Topic::Fence, format!("{hung} has hung and is being ended: {message}"));
            End::UnderWay
        }
        Some(_) => End::Impossible,
    }
}

/// Cuts it off from every replica that can be reached, and waits until it refuses writes for want of them.
fn unreachable(o: &Observation, lost: &str, cause: Cause, message: &str, p: &mut Plan) {
    if others(o, lost).next().is_none() {
        let text = format!(
            "{lost} cannot be reached ({message}), nor can any other member: this may be the operator's own trouble"
        );
        return p.wait(isolation(o), text);
    }
    let forced = forced(o);
    if let Some(name) = heard_by(o, lost).filter(|_| !forced) {
        refresh_others(o, lost, p);
        return p.wait(isolation(o), format!("{lost} cannot be reached ({message}), and {name} hears it: no failover"));
    }
    if o.record.min_replicas == 0 && !forced {
        if another_has_its_volume(o, lost) {
            return elect_another(o, lost, cause, message, p);
        }
        let text = format!(
            "{lost} cannot be reached ({message}), and when it could be it served alone: what it has since then is nowhere else; the annotation {} gives it up",
            RequestKind::Failover.annotation()
        );
        return p.wait(Topic::NotFenced, text);
    }
    if let Some(missing) = election::missing_quorum(o, lost).filter(|_| !forced) {
        refresh_others(o, lost, p);
        return p.wait(Topic::Quorum, format!("{lost} cannot be reached ({message}), and {missing}"));
    }
    if is_fenced(o, lost, message, p) {
        elect_another(o, lost, cause, message, p);
    }
}

/// Does a new pod of its name answer, with the volume of the lost one? A volume is attached to a second node only after it has been
/// detached from the first.
fn another_has_its_volume(o: &Observation, lost: &str) -> bool {
    o.settings.persistent && others(o, lost).any(|(name, info)| name == lost && !info.loading)
}

/// Has it been cut off from its replicas for so long that it refuses writes?
fn is_fenced(o: &Observation, lost: &str, message: &str, p: &mut Plan) -> bool {
    let since = cut_off_since(o, lost, "cannot be reached", p);
    if since.is_some_and(|since| o.now >= since + FENCE_DELAY || forced(o)) {
        return true;
    }
    if let Some(since) = since {
        p.wake_by(since + FENCE_DELAY);
    }
    let text = format!("{lost} cannot be reached ({message}); waiting until it refuses writes for want of replicas");
    p.wait(Topic::Fence, text);
    false
}

/// Since when no replica that answers has followed it; makes those leave that do.
pub(super) fn cut_off_since(o: &Observation, lost: &str, why: &str, p: &mut Plan) -> Option<Moment> {
    let mut since = Some(Duration::ZERO);
    for (name, info) in others(o, lost) {
        match o.memory.detached_since(name, info).filter(|_| info.follows_nobody()) {
            Some(at) => since = since.map(|since| since.max(at)),
            None if info.is_master() => {} // a rival; it is disarmed before the election
            None => {
                since = None;
                let reason = format!("{lost} {why}, and must not find a replica");
                p.steps.push(Step::Detach { member: name.to_owned(), reason });
            }
        }
    }
    since
}

/// Nobody accepts writes: choose somebody. The process of `lost` takes no more.
pub(super) fn elect_another(o: &Observation, lost: &str, cause: Cause, evidence: &str, p: &mut Plan) {
    let from = o.record.transition.as_ref().map(|t| t.from.clone().unwrap_or_else(|| t.to.clone()));
    let from = from.or_else(|| o.record.master.clone());
    choose(o, Some(lost), from, cause, &format!("{lost}: {evidence}"), p);
}

/// Chooses a master, or says what is being waited for.
pub(super) fn choose(
    o: &Observation,
    lost: Option<&str>,
    from: Option<String>,
    cause: Cause,
    reason: &str,
    p: &mut Plan,
) {
    // a master that the record does not know is detached, and then counted like the others
    let authorized_master = o.record.transition.as_ref().map(|t| t.to.as_str()).filter(|t| Some(*t) != lost);
    if followers::disarm_rivals(o, authorized_master, p) {
        return;
    }
    match elect(o, lost) {
        Election::Elected { to, min_replicas, note } => {
            let reason = if note.is_empty() { reason.to_owned() } else { format!("{reason}; {note}") };
            // without a master recorded there is nothing that force would decide
            let cause = if lost.is_some() && forced(o) { Cause::Forced } else { cause };
            transition::begin(o, Choice { cause, from, to, phase: phase(o, lost), reason, min_replicas }, p);
        }
        Election::Wait(message) => {
            refresh_others(o, lost.unwrap_or_default(), p);
            p.wait(Topic::Election, message);
        }
        Election::Blocked { message, until } => {
            refresh_others(o, lost.unwrap_or_default(), p);
            if let Some(until) = until {
                p.wake_by(until);
            }
            p.wait(Topic::Quorum, format!("{reason}, and {message}"));
        }
    }
}

/// Does a process that has hung have to be ended before the next is promoted? That of `lost`, or of the master before it, if
/// `lost` was to follow it.
fn phase(o: &Observation, lost: Option<&str>) -> TransitionPhase {
    match (&o.record.transition, lost) {
        (Some(t), _) => t.phase,
        (None, Some(lost)) if matches!(process_state(o, lost), ProcessState::Hung(_)) && !forced(o) => {
            TransitionPhase::Ending
        }
        _ => TransitionPhase::Promoting,
    }
}

/// Did an administrator take the decision? A former master that still serves while the target of a change is lost does not decide it:
/// the target may serve as well.
pub(super) fn forced(o: &Observation) -> bool {
    let asked = o.settings.request.as_ref().filter(|r| !switchover::is_nonsense(o, r));
    asked.is_some_and(|r| r.kind == RequestKind::Failover)
        && serving_master(o).is_none_or(|(name, _)| o.record.authorized_master() != Some(name))
}

/// A replica notices a silence a moment after the operator does: at first it is nothing to report.
fn isolation(o: &Observation) -> Topic {
    let since = o.memory.masterless_since.unwrap_or(o.now);
    if o.now >= since + ISOLATED_AFTER { Topic::Isolation } else { Topic::Suspicion }
}

fn refresh_others(o: &Observation, lost: &str, p: &mut Plan) {
    let members: Vec<_> = o.members.keys().filter(|n| *n != lost).cloned().collect();
    p.steps.push(Step::Refresh { members });
}
