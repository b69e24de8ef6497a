//! A healthy master should hand over: why, to whom, and whether now.

use std::{cmp::Reverse, time::Duration};

use super::{
    cause::Cause,
    durability::min_replicas_at_promotion,
    observation::{Member, Observation, Request},
    rollout,
    steps::{Answer, Plan, Step, Topic},
    transition::{self, Choice},
};
use crate::{info::Info, kinds::RequestKind, kinds::TransitionPhase};

/// After an abandoned switchover the next is not tried before so long.
const RETRY: Duration = Duration::from_secs(5);

/// A planned switchover begins when no Service of the replication has changed for so long: kube-proxy waits a second between
/// two syncs, so what follows a change too closely is late, and clients are sent to the wrong pod meanwhile. A deletion is
/// such a change itself, for its endpoint becomes *terminating*.
const QUIET_PERIOD: Duration = Duration::from_secs(2);
/// For a pod that is being deleted, calm is waited for no longer than this: its `preStop` hook does not hold it for ever.
const QUIET_PATIENCE: Duration = Duration::from_secs(10);

/// So long a request waits for its target to follow the master with all data: a copy of much data takes a while.
const REQUEST_PATIENCE: Duration = Duration::from_secs(600);

/// The target has told its state within this; it is asked each second.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Begins a switchover of the master, which serves, if there is a reason for one.
pub(super) fn consider(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) {
    let leaving = o.members.get(master).is_some_and(Member::leaving);
    let preferred = o.settings.preferred_master.as_deref().filter(|n| *n != master);
    let must = if leaving {
        Some(Cause::PodDeleted)
    } else if !o.wanted(master) {
        Some(Cause::ScaledDown)
    } else if rollout::master_is_last(o, master, master_info, p) {
        Some(Cause::RollingUpdate)
    } else {
        None
    };
    if let Some(cause) = must {
        refuse_request(o, &format!("{master} hands over already: {cause}"), p);
        return begin(o, master, master_info, cause, None, p);
    }
    if let Some(request) = o.settings.request.as_ref().filter(|r| !is_nonsense(o, r)) {
        return requested(o, master, master_info, request, p);
    }
    if let Some(preferred) = preferred.filter(|n| rollout::online(o, n)) {
        begin(o, master, master_info, Cause::Preferred, Some(preferred), p);
    }
}

/// Does a request name nobody that could be meant?
pub(super) fn is_nonsense(o: &Observation, request: &Request) -> bool {
    request.to.as_ref().is_some_and(|to| !o.members.contains_key(to))
}

/// Refuses a request that names nobody, whether a master serves or not.
pub(super) fn refuse_nonsense(o: &Observation, p: &mut Plan) {
    let Some(request) = o.settings.request.as_ref().filter(|r| is_nonsense(o, r)) else { return };
    let names = (0..o.settings.replicas).map(|i| o.settings.name_of(i)).collect::<Vec<_>>().join(", ");
    let note = match request.to.as_deref() {
        Some("") | None => {
            format!("the annotation {} has no value: it is {names}, or any", request.kind.annotation())
        }
        Some(to) => format!("{to:?} is not a member; there are {names}, or any"),
    };
    refuse_request(o, &note, p);
}

/// A user requests it.
fn requested(o: &Observation, master: &str, master_info: &Info, request: &Request, p: &mut Plan) {
    if request.kind == RequestKind::Failover {
        let note = format!("{master} is the master and accepts writes: use switchover-to instead");
        return refuse_request(o, &note, p);
    }
    match request.to.as_deref() {
        Some(to) if to == master => {
            let note = format!("{to} is the master already");
            p.steps.push(Step::ResolveRequest { request: request.kind, answer: Answer::Accepted, note });
        }
        Some(to) if !o.wanted(to) => refuse_request(o, &format!("{to} is about to be removed"), p),
        None if o.settings.replicas < 2 => refuse_request(o, "there is no other member", p),
        to if waits_too_long(o) && target(o, master, master_info, to).is_none() => {
            let who = to.map_or_else(|| "no replica has followed".to_owned(), |to| format!("{to} has not followed"));
            let why = to.and_then(|to| o.members.get(to)).and_then(why_not).map(|why| format!(" ({why})"));
            let minutes = REQUEST_PATIENCE.as_secs() / 60;
            let note = format!(
                "{who} {master} with all data for {minutes} minutes{}: it is given up; ask again when it does",
                why.unwrap_or_default()
            );
            refuse_request(o, &note, p);
        }
        to => begin(o, master, master_info, Cause::Requested, to, p),
    }
}

fn waits_too_long(o: &Observation) -> bool {
    o.memory.request_since.as_ref().is_some_and(|(_, since)| o.now >= *since + REQUEST_PATIENCE)
}

/// What is known of a member that does not follow.
fn why_not(m: &Member) -> Option<&str> {
    let failure = m.pod.as_ref().and_then(|pod| pod.failure.as_ref());
    failure.or(m.absent.as_ref()).or(m.server.problem.as_ref()).map(|f| f.message.as_str())
}

fn refuse_request(o: &Observation, note: &str, p: &mut Plan) {
    let answered = p.steps.iter().any(|s| matches!(s, Step::ResolveRequest { .. }));
    if let Some(request) = o.settings.request.as_ref().filter(|_| !answered) {
        p.steps.push(Step::ResolveRequest { request: request.kind, answer: Answer::Refused, note: note.to_owned() });
    }
}

fn begin(o: &Observation, master: &str, master_info: &Info, cause: Cause, to: Option<&str>, p: &mut Plan) {
    let reason = cause.message(to);
    let pod = o.members.get(master).and_then(|m| m.pod.as_ref());
    let alone = o.settings.replicas == 1 && o.members.keys().all(|n| n == master || !rollout::online(o, n));
    if alone && o.wanted(master) {
        p.steps.push(if pod.is_some_and(|pod| pod.leaving) {
            Step::Demote {
                member: master.to_owned(),
                offset: master_info.offset,
                reason: format!("{reason}, and there is no other member to take over"),
            }
        } else {
            Step::ReplacePod { member: master.to_owned(), reason }
        });
        return;
    }
    let leaving_since = pod.filter(|p| p.leaving).map(|p| p.leaving_since);
    if o.now < o.endpoints_changed_at + QUIET_PERIOD && leaving_since.is_none_or(|since| o.now < since + QUIET_PATIENCE)
    {
        return p.wait(Topic::Switchover, format!("{master} hands over in a moment: {reason}"));
    }
    if o.memory.abandoned_at.is_some_and(|at| o.now < at + RETRY) {
        let text = format!("{master} should hand over ({reason}); the next attempt follows shortly");
        return p.wait(Topic::Switchover, text);
    }
    let Some(target) = target(o, master, master_info, to) else {
        let who = to.map_or("no replica follows it".to_owned(), |to| format!("{to} does not follow it"));
        return p.wait(Topic::Switchover, format!("{master} should hand over ({reason}), and {who} with all data yet"));
    };
    // if it is abandoned, the old master goes on with the fence that it has
    let min_replicas = min_replicas_at_promotion(o, target).min(o.record.after(p.changes()).min_replicas);
    let choice = Choice {
        cause,
        from: Some(master.to_owned()),
        to: target.to_owned(),
        phase: TransitionPhase::Promoting,
        reason: format!("{master}: {reason}"),
        min_replicas,
    };
    transition::begin(o, choice, p);
}

/// The replica that takes over: it follows, is known to have all data, and is the closest.
fn target<'a>(o: &'a Observation, master: &str, master_info: &Info, to: Option<&str>) -> Option<&'a str> {
    let candidates = o.members.iter().filter(|(n, _)| *n != master && o.wanted(n) && to.is_none_or(|to| to == *n));
    let able = candidates.filter_map(|(n, m)| {
        let info = m.server.info.as_ref().map(|(_, i)| i).filter(|i| i.replication_id == master_info.replication_id)?;
        // of one whose answers cannot be used only the old is known: writes would be held for nothing, again and again
        let readable = o.now < m.asked_at() + READ_WITHIN;
        let known = o.is_recorded_process(n, info) || o.memory.caught_up(n, info);
        let preferred = o.settings.preferred_master.as_deref() == Some(n);
        (known && readable && rollout::online(o, n)).then_some((
            preferred,
            info.offset,
            Reverse(o.ordinal(n)),
            n.as_str(),
        ))
    });
    able.max().map(|(.., n)| n)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "switchover_tests.rs"]
mod tests;
