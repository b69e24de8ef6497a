//! Replacing pods that were made from an older template. First those that only their replacement can heal, whatever the others
//! do; then one at a time, replicas first, the master last by switchover.
//!
//! No pod waits for itself, and none waits for another that waits to be replaced: what a rollout waits for are pods of the
//! present template, which have to stay well for a while, so that a broken template does not spread.

use std::{collections::BTreeMap, time::Duration};

use super::{
    durability,
    failure_detector::{Liveness, liveness},
    following,
    memory::Memory,
    observation::{Contact, Member, Moment, Observation, Pod, RoleLabel},
    steps::{Plan, Step, Topic},
};
use crate::{info::FollowState, info::Info};

/// So long a pod of the present template has to have been well before the next is replaced. The first crash of a template that
/// makes Redis die within half a minute comes before the master is reached.
const STAYS_WELL: Duration = Duration::from_secs(10);
/// The same for a pod whose container has been started again: with the kubelet's growing pauses crashes come in ever longer turns.
const STAYS_WELL_AGAIN: Duration = Duration::from_secs(60);
/// A pod of an older template that has not been well for so long will not be. A container that has ended once is back sooner.
const NOT_WELL: Duration = Duration::from_secs(15);

/// One that was well and has not followed for less than this is well still: the master may have changed.
const LAPSE: Duration = Duration::from_secs(3);

const OLDER: &str = "it was made from an older spec";

/// Whether a pod is well, and since when without a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steady {
    /// Which pod.
    pub uid: String,
    /// Which process, while it answers.
    pub run_id: Option<String>,
    /// How often its containers have been started again.
    pub restarts: u32,
    /// It is ready, and the master, or follows it.
    pub well: bool,
    /// Since when this has been so.
    pub since: Moment,
    /// When it was seen to be well last.
    seen: Moment,
    /// The master's process, and since when it has been there for it.
    master: (Option<String>, Moment),
}

/// What is to be remembered of each pod after another look, while `serving` is the master.
pub(super) fn watch(o: &Observation, now: &Memory, serving: Option<(&str, &Info)>) -> BTreeMap<String, Steady> {
    let pods = o.members.iter().filter_map(|(name, member)| Some((name, member, member.pod.as_ref()?)));
    let steady = pods.map(|(name, member, pod)| {
        let serves = serving.is_some_and(|(master, _)| master == name);
        let is_well = pod.ready && !pod.leaving && (serves || is_read_from(o, name, pod));
        let run_id = match liveness(o, member) {
            Liveness::Alive(info) => Some(info.run_id.clone()),
            _ => None,
        };
        let master = serving.map(|(_, info)| info.run_id.clone());
        let before = now.steady.get(name).filter(|s| s.uid == pod.uid);
        let same_process = |s: &Steady| s.run_id == run_id && s.restarts == pod.restarts;
        let still = |s: &Steady| s.well && run_id.is_some() && same_process(s) && o.now < s.seen + LAPSE;
        let well = is_well || (!pod.leaving && before.is_some_and(still));
        let same = |s: &&Steady| s.well == well && (!well || same_process(s));
        let since = before.filter(same).map_or(o.now, |s| s.since);
        let master_since = before.filter(|s| master.is_some() && s.master.0 == master).map_or(o.now, |s| s.master.1);
        let master = (master, master_since);
        let seen = if is_well { o.now } else { before.map_or(Moment::ZERO, |s| s.seen) };
        (name.clone(), Steady { uid: pod.uid.clone(), run_id, restarts: pod.restarts, well, since, seen, master })
    });
    steady.collect()
}

/// Does the replicas Service lead to it, and is what it says up to date?
fn is_read_from(o: &Observation, name: &str, pod: &Pod) -> bool {
    online(o, name) && pod.role == Some(RoleLabel::Replica)
}

/// Outdated pods that hold nothing in memory, because their Redis has never run or does not come back, are replaced at once, so
/// that a spec that was put right heals them.
pub(super) fn replace_broken(o: &Observation, p: &mut Plan) {
    for (name, member) in &o.members {
        let Some(pod) = member.pod.as_ref().filter(|pod| pod.outdated && !pod.leaving) else { continue };
        let failed = member.server.contact == Contact::None && pod.failure.is_some();
        let reason = match liveness(o, member) {
            Liveness::Alive(_) => continue,
            _ if !has_run(o, name, member, pod) => "its Redis has not started",
            Liveness::Dead(_) if not_well_for(o, name) >= NOT_WELL => "its Redis does not run",
            _ if failed && not_well_for(o, name) >= NOT_WELL => "its Redis does not stay",
            _ => continue,
        };
        p.steps.push(Step::ReplacePod { member: name.clone(), reason: format!("{OLDER}, and {reason}") });
    }
}

/// Has there been a process in this pod? What the kubelet last said may be from before its start.
fn has_run(o: &Observation, name: &str, member: &Member, pod: &Pod) -> bool {
    let recorded = o.record.members.get(name).filter(|m| m.run_id.is_some()).and_then(|m| m.uid.as_ref());
    pod.ran || pod.running || !matches!(member.server.contact, Contact::None) || recorded == Some(&pod.uid)
}

/// What a replica does not do without a master, or has not done under another one, says nothing about it.
fn not_following_for(o: &Observation, name: &str) -> Duration {
    let master_since = o.memory.steady.get(name).map_or(o.now, |s| s.master.1);
    not_well_for(o, name).min(o.now.saturating_sub(master_since))
}

fn not_well_for(o: &Observation, name: &str) -> Duration {
    let since = o.memory.steady.get(name).filter(|s| !s.well).map_or(o.now, |s| s.since);
    o.now.saturating_sub(since)
}

/// The next replicas to be replaced, while `master` serves.
pub(super) fn replace_replicas(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) {
    let goes =
        |p: &Plan, name: &str| p.steps.iter().any(|s| matches!(s, Step::ReplacePod { member, .. } if member == name));
    let outdated = |n: &&String| *n != master && is_outdated(o, n) && !goes(p, n);
    let outdated: Vec<_> = o.members.keys().filter(outdated).collect();
    let lost: Vec<_> = outdated.iter().filter_map(|n| Some((*n, why_lost(o, n, master_info)?))).collect();
    for (name, why) in &lost {
        p.steps.push(Step::ReplacePod { member: (*name).clone(), reason: format!("{OLDER}, and {why}") });
    }
    if !lost.is_empty() {
        return;
    }
    if o.members.get(master).is_some_and(Member::leaving) {
        return; // one of them takes over first
    }
    // one that is not well holds up the others, and so it comes before them
    let next = outdated.into_iter().max_by_key(|n| (!serves(o, n, master_info), o.ordinal(n)));
    let Some(next) = next else { return };
    match blocker(o, master, Some(next), master_info) {
        Some((name, why)) => wait(o, next, &name, &why, p),
        None => p.steps.push(Step::ReplacePod { member: next.clone(), reason: OLDER.into() }),
    }
}

/// Is the master the only one left that was made from an older template, and have all others been well for a while?
pub(super) fn master_is_last(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) -> bool {
    if !is_outdated(o, master) || o.members.keys().any(|n| n != master && is_outdated(o, n)) {
        return false;
    }
    let blocker = blocker(o, master, None, master_info);
    if let Some((name, why)) = &blocker {
        wait(o, master, name, why, p);
    }
    blocker.is_none()
}

fn is_outdated(o: &Observation, name: &str) -> bool {
    o.members.get(name).and_then(|m| m.pod.as_ref()).is_some_and(|pod| pod.outdated && !pod.leaving)
}

fn wait(o: &Observation, next: &str, name: &str, why: &str, p: &mut Plan) {
    if let Some(until) = o.members.get(name).and_then(|m| Some(well_since(o, name)? + stays_well(m.pod.as_ref()?)))
        && until > o.now
    {
        p.wake_by(until);
    }
    p.wait(Topic::Rollout, format!("{next} waits to be replaced: {name} {why}"));
}

/// Why an outdated replica will not follow before it is replaced, in words. A master serves, so nothing that it has is needed.
fn why_lost(o: &Observation, name: &str, master_info: &Info) -> Option<String> {
    let member = o.members.get(name)?;
    if serves(o, name, master_info) || is_seen_online(o, name, master_info) {
        return None;
    }
    if following::is_hopeless(o, name) {
        return Some("it cannot load the master's data".into());
    }
    let on_its_way = match (liveness(o, member), member.server.contact) {
        (Liveness::Alive(info), _) => {
            info.loading || info.replica().is_some_and(|r| matches!(r.follow, FollowState::Syncing(_)))
        }
        (_, Contact::HostSilent { .. }) => true, // its node may be back, and could not end it now
        _ => false,
    };
    (!on_its_way && not_following_for(o, name) >= NOT_WELL).then(|| "it does not come to follow the master".into())
}

/// Would readers miss it?
fn serves(o: &Observation, name: &str, master_info: &Info) -> bool {
    let pod = o.members.get(name).and_then(|m| m.pod.as_ref()).filter(|pod| pod.ready && !pod.leaving);
    pod.is_some_and(|pod| {
        is_read_from(o, name, pod) || pod.role == Some(RoleLabel::Replica) && is_seen_online(o, name, master_info)
    })
}

/// Does the master count it as online? The operator may be the only one who does not reach it.
fn is_seen_online(o: &Observation, name: &str, master_info: &Info) -> bool {
    let address = o.address(name);
    durability::good(master_info).any(|s| Some(&s.ip) == address.as_ref())
}

/// The first wanted member because of which `next` must not be replaced yet, and why, in words.
fn blocker(o: &Observation, master: &str, next: Option<&str>, master_info: &Info) -> Option<(String, String)> {
    let others = (0..o.settings.replicas).map(|i| o.settings.name_of(i)).filter(|n| Some(n.as_str()) != next);
    let mut others = others.filter_map(|name| {
        let why = if name == master {
            // it took over in the middle of a rollout
            (!is_outdated(o, master) && well_since(o, master).is_some()).then(|| unsteady(o, master)).flatten()
        } else if is_outdated(o, &name) {
            (!serves(o, &name, master_info)).then(|| missing(o, &name))
        } else {
            unsteady(o, &name)
        };
        Some((name, why?))
    });
    others.next()
}

/// Why a pod of the present template is not relied on yet, in words.
fn unsteady(o: &Observation, name: &str) -> Option<String> {
    let pod = o.members.get(name).and_then(|m| m.pod.as_ref());
    let (Some(pod), Some(since)) = (pod, well_since(o, name)) else { return Some(missing(o, name)) };
    let long = stays_well(pod);
    (o.now < since + long).then(|| {
        let again = if pod.restarts > 0 { "its container was started again, and " } else { "" };
        format!("is new: {again}it has to stay well for {} s", long.as_secs())
    })
}

fn well_since(o: &Observation, name: &str) -> Option<Moment> {
    o.memory.steady.get(name).filter(|s| s.well).map(|s| s.since)
}

fn stays_well(pod: &Pod) -> Duration {
    if pod.restarts > 0 { STAYS_WELL_AGAIN } else { STAYS_WELL }
}

/// Why a member is not there for readers, in words.
fn missing(o: &Observation, name: &str) -> String {
    let member = o.members.get(name);
    let Some((member, pod)) = member.and_then(|m| Some((m, m.pod.as_ref()?))) else { return "has no pod yet".into() };
    if pod.leaving {
        return "is being deleted".into();
    }
    let present =
        if pod.outdated { "" } else { " (it is of the present spec: once that is changed, it is replaced at once)" };
    if let Some(failure) = pod.failure.as_ref().or(member.server.problem.as_ref()) {
        return format!("is not well: {}{present}", failure.message);
    }
    if let Some(message) = following::message(o, name) {
        return format!("does not follow the master: {message}{present}");
    }
    match liveness(o, member) {
        Liveness::Alive(info) if info.loading => "loads its data".into(),
        Liveness::Alive(_) if let Some(unready) = &pod.unready => format!("is not ready: {unready}{present}"),
        Liveness::Alive(info) => match info.replica().map(|r| r.follow) {
            Some(FollowState::Syncing(_)) => "is copying the master's data".into(),
            Some(FollowState::Online) if !pod.ready => "follows the master and is not ready yet".into(),
            Some(FollowState::Online) => "follows the master, and readers are not led to it yet".into(),
            _ => format!("does not follow the master yet{present}"),
        },
        _ if !pod.running => format!("has not started yet{present}"),
        _ => format!("does not answer{present}"),
    }
}

/// Does the member follow a master, with all data?
pub(super) fn online(o: &Observation, name: &str) -> bool {
    let leaving = o.members.get(name).is_some_and(Member::leaving);
    following::is_online(o, name) && !leaving && !following::is_stalled(o, name)
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
