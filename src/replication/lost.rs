//! The master does not answer. What must be known or done before another may be chosen: proof that its process is gone, or
//! the certainty that it takes no more writes.

use std::time::Duration;

use super::{
    cause::Cause,
    election::{self, Election, elect},
    memory::serving_master,
    observation::{Moment, Observation},
    shepherd,
    steps::{Plan, Step, Topic},
    suspicion::{Fate, Verdict, fate, hears, verdict},
    switchover,
    transition::{self, Choice},
};
use crate::{
    api::{RequestKind, TransitionPhase},
    redis::{Info, MAX_LAG},
};

/// How long after its replicas were frozen a master that nobody can reach takes no more writes. It counts a replica for
/// [`MAX_LAG`] after its last acknowledgement, looks once a second, and one second is for good measure. Measured: the last
/// accepted write came 0.02 to 1.05 s after the maximal lag.
pub const FENCE: Duration = MAX_LAG.saturating_add(Duration::from_secs(2));

/// How long the kubelet may take to end a hung process. With a grace of one second it takes three.
const KILL_PATIENCE: Duration = Duration::from_secs(6);

/// For how long nothing is said of members that hear a master that the operator does not.
const ISOLATED_AFTER: Duration = Duration::from_secs(3);

/// The recorded process of `lost`, who is master or was chosen as one, does not serve.
pub(super) fn lost(o: &Observation, lost: &str, p: &mut Plan) {
    match fate(o, lost) {
        Fate::Gone(evidence) => elect_another(o, lost, hung_or(o, lost, Cause::ProcessEnded), &evidence, p),
        Fate::Hung(words) => hung(o, lost, &words, p),
        Fate::Unreachable(words) => unreachable(o, lost, hung_or(o, lost, Cause::Unreachable), &words, p),
        Fate::Unsure(words) => {
            look_at_others(o, lost, p);
            p.wait(Topic::Suspicion, format!("{lost} is silent: {words}"));
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
fn hung(o: &Observation, lost: &str, words: &str, p: &mut Plan) {
    match end_of(o, lost, words, p) {
        End::NotBegun => {}
        End::UnderWay => return look_at_others(o, lost, p),
        End::Impossible => {
            return unreachable(o, lost, Cause::Hung, &format!("{words}, and it could not be ended"), p);
        }
    }
    let others = alive(o, lost);
    if let Some(name) = who_hears(o, lost, &others) {
        look_at_others(o, lost, p);
        return p.wait(isolation(o), format!("{lost} does not answer the operator, and {name} hears it: no failover"));
    }
    if !others.iter().any(|(n, i)| o.is_recorded_process(n, i) && !i.loading) {
        return p.wait(Topic::Election, format!("{lost} has hung ({words}), and no replica has its data"));
    }
    if let Some(missing) = election::missing_quorum(o, lost) {
        look_at_others(o, lost, p);
        return p.wait(Topic::Quorum, format!("{lost} has hung ({words}), and {missing}"));
    }
    // who served alone, or is a target that was perhaps promoted, is ended first: then it is known what is left
    if o.record.transition.is_some() || o.record.fence == 0 {
        return p.steps.push(Step::Kill { member: lost.to_owned(), reason: words.to_owned() });
    }
    if cut_off_since(o, lost, "has hung", p).is_none() {
        return p.wait(Topic::Fence, format!("{lost} has hung: {words}"));
    }
    choose(o, Some(lost), o.record.master.clone(), Cause::Hung, &format!("{lost}: {words}"), p);
}

/// Is it certain that the process of `former`, which had hung when another was chosen, takes no more writes? Otherwise does
/// what it takes. (If it goes on, it is demoted like every rival.)
///
/// Its pod is deleted when the Service has been moved: that changes the Service's endpoints too, and of the second of two changes
/// kube-proxy hears a second later.
pub(super) fn is_over(o: &Observation, former: &str, routed: bool, p: &mut Plan) -> bool {
    let goes_on = |m| matches!(verdict(o, m), Verdict::Alive(i) if o.is_recorded_process(former, i));
    if forced(o) || o.members.get(former).is_some_and(goes_on) {
        return true;
    }
    match fate(o, former) {
        Fate::Gone(_) => true,
        Fate::Unreachable(words) => is_fenced(o, former, &words, p),
        Fate::Unsure(words) => {
            p.wait(Topic::Suspicion, format!("{former} is silent: {words}"));
            false
        }
        Fate::Hung(words) => match end_of(o, former, &words, p) {
            End::NotBegun => {
                if routed {
                    p.steps.push(Step::Kill { member: former.to_owned(), reason: words });
                }
                false
            }
            End::UnderWay => false,
            End::Impossible => is_fenced(o, former, &format!("{words}, and it could not be ended"), p),
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
fn end_of(o: &Observation, hung: &str, words: &str, p: &mut Plan) -> End {
    let Some(pod) = o.members.get(hung).and_then(|m| m.pod.as_ref()) else { return End::Impossible };
    match o.memory.killed.get(&pod.uid).map(|at| *at + KILL_PATIENCE) {
        None => End::NotBegun,
        Some(until) if o.now < until => {
            p.wake_by(until);
            p.wait(Topic::Fence, format!("{hung} has hung and is being ended: {words}"));
            End::UnderWay
        }
        Some(_) => End::Impossible,
    }
}

/// Cuts it off from every replica that can be reached, and waits until it refuses writes for want of them.
fn unreachable(o: &Observation, lost: &str, cause: Cause, words: &str, p: &mut Plan) {
    let others = alive(o, lost);
    if others.is_empty() {
        let text = format!(
            "{lost} cannot be reached ({words}), nor can any other member: this may be the operator's own trouble"
        );
        return p.wait(isolation(o), text);
    }
    if let Some(name) = who_hears(o, lost, &others) {
        look_at_others(o, lost, p);
        return p.wait(isolation(o), format!("{lost} cannot be reached ({words}), and {name} hears it: no failover"));
    }
    let forced = forced(o);
    if o.record.fence == 0 && !forced {
        let text = format!(
            "{lost} cannot be reached ({words}), and when it could be it served alone: what it has since then is nowhere else"
        );
        return p.wait(Topic::NotFenced, text);
    }
    if let Some(missing) = election::missing_quorum(o, lost).filter(|_| !forced) {
        look_at_others(o, lost, p);
        return p.wait(Topic::Quorum, format!("{lost} cannot be reached ({words}), and {missing}"));
    }
    if is_fenced(o, lost, words, p) {
        elect_another(o, lost, cause, words, p);
    }
}

/// Has it been cut off from its replicas for so long that it refuses writes?
fn is_fenced(o: &Observation, lost: &str, words: &str, p: &mut Plan) -> bool {
    let since = cut_off_since(o, lost, "cannot be reached", p);
    if since.is_some_and(|since| o.now >= since + FENCE || forced(o)) {
        return true;
    }
    if let Some(since) = since {
        p.wake_by(since + FENCE);
    }
    let text = format!("{lost} cannot be reached ({words}); waiting until it refuses writes for want of replicas");
    p.wait(Topic::Fence, text);
    false
}

/// Since when no replica that answers has followed it; makes those leave that do.
pub(super) fn cut_off_since(o: &Observation, lost: &str, why: &str, p: &mut Plan) -> Option<Moment> {
    let mut since = Some(Duration::ZERO);
    for (name, info) in alive(o, lost) {
        match o.memory.frozen_since(name, info).filter(|_| info.follows_nobody()) {
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
    // a master that the record does not know is frozen, and then counted like the others
    let granted = o.record.transition.as_ref().map(|t| t.to.as_str()).filter(|t| Some(*t) != lost);
    if shepherd::disarm_rivals(o, granted, p) {
        return;
    }
    match elect(o, lost) {
        Election::Elected { to, fence, note } => {
            let reason = if note.is_empty() { reason.to_owned() } else { format!("{reason}; {note}") };
            // without a master recorded there is nothing that force would decide
            let cause = if lost.is_some() && forced(o) { Cause::Forced } else { cause };
            p.record(transition::begin(o, Choice { cause, from, to, phase: phase(o, lost), reason, fence }));
        }
        Election::Wait(words) => {
            look_at_others(o, lost.unwrap_or_default(), p);
            p.wait(Topic::Election, words);
        }
        Election::Blocked(words) => {
            look_at_others(o, lost.unwrap_or_default(), p);
            p.wait(Topic::Quorum, format!("{reason}, and {words}"));
        }
    }
}

/// Does a process that has hung have to be ended before the next is promoted? That of `lost`, or of the master before it, if
/// `lost` was to follow it.
fn phase(o: &Observation, lost: Option<&str>) -> TransitionPhase {
    match (&o.record.transition, lost) {
        (Some(t), _) => t.phase,
        (None, Some(lost)) if matches!(fate(o, lost), Fate::Hung(_)) && !forced(o) => TransitionPhase::Ending,
        _ => TransitionPhase::Promoting,
    }
}

/// A replica that hears `lost`. One that follows another member, as all do until the target of a change of master is promoted,
/// says nothing about it.
fn who_hears<'a>(o: &Observation, lost: &str, others: &[(&'a str, &Info)]) -> Option<&'a str> {
    let of_another = |info: &Info| {
        let pods = o.members.iter().filter(|(n, _)| *n != lost).filter_map(|(_, m)| m.pod.as_ref()?.ip);
        info.replica().is_some_and(|r| pods.map(|ip| ip.to_string()).any(|ip| ip == r.master_host))
    };
    others.iter().find(|(n, i)| hears(o, n, i) && !of_another(i)).map(|(n, _)| *n)
}

/// Did a person take the decision? A former master that still serves while the target of a change is lost does not decide it:
/// the target may serve as well.
pub(super) fn forced(o: &Observation) -> bool {
    let asked = o.settings.request.as_ref().filter(|r| !switchover::is_nonsense(o, r));
    asked.is_some_and(|r| r.kind == RequestKind::Failover)
        && serving_master(o).is_none_or(|(name, _)| o.record.granted() != Some(name))
}

/// A replica notices a silence a moment after the operator does: at first it is nothing to call a person for.
fn isolation(o: &Observation) -> Topic {
    let since = o.memory.masterless_since.unwrap_or(o.now);
    if o.now >= since + ISOLATED_AFTER { Topic::Isolation } else { Topic::Suspicion }
}

/// The members that answer, but `lost`.
fn alive<'a>(o: &'a Observation, lost: &str) -> Vec<(&'a str, &'a Info)> {
    let alive = |m| if let Verdict::Alive(info) = verdict(o, m) { Some(info) } else { None };
    o.members.iter().filter(|(n, _)| *n != lost).filter_map(|(n, m)| Some((n.as_str(), alive(m)?))).collect()
}

fn look_at_others(o: &Observation, lost: &str, p: &mut Plan) {
    let members: Vec<_> = o.members.keys().filter(|n| *n != lost).cloned().collect();
    p.steps.push(Step::Look { members });
}
