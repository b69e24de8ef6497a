//! What is promised of the master and its replicas, and the order in which that may change.
//!
//! A promise is recorded *after* it has become true and withdrawn *before* it ceases to be: whoever fails over later, with
//! nothing but the record, may rely on it.
//!
//! - **Members**: one that is not recorded is not made to follow, so it cannot have confirmed a write.
//! - **The fence**: `min-replicas-to-write` on the master. A master that nobody follows refuses writes.
//! - **`waitReplicas`** k: every confirmed write is on k replicas at least, so any N-k+1 of N have it among them.

use std::{collections::BTreeSet, time::Duration};

use super::{
    failure_detector::{Liveness, liveness},
    following,
    memory::{CatchUpTarget, CommitmentChange, Memory},
    observation::{Observation, Settings},
    outsiders,
    record::{Change, Recorded},
    steps::{Plan, Step},
};
use crate::{info::Info, info::SlaveState, kinds::FailoverPolicy};

/// `min-replicas-max-lag`: a replica that has not acknowledged for longer does not count. Replicas acknowledge every second.
pub const MAX_LAG: Duration = Duration::from_secs(2);

/// Under `Availability` a reachable master is let go on alone after so long: a replica that was just repointed is back in
/// milliseconds.
const LONELY_FOR: Duration = Duration::from_millis(200);
/// And it is made to need a replica again only after it has had one for so long: while members crash in turn, each change would
/// be recorded, and each is a moment in which writes are refused.
const COMPANY_FOR: Duration = Duration::from_secs(3);

/// What the record should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitments {
    /// See [`super::Record::min_replicas`].
    pub min_replicas: usize,
    /// See [`super::Record::wait_replicas`].
    pub wait_replicas: usize,
    /// See [`super::Record::members`].
    pub members: BTreeSet<String>,
}

/// How many members follow the recorded master and acknowledge in time. It counts others for its `min-replicas-to-write` too.
pub fn good_replicas(o: &Observation, master: &Info) -> usize {
    good(master).count().saturating_sub(outsiders_of(o, master))
}

fn outsiders_of(o: &Observation, master: &Info) -> usize {
    o.record.authorized_master().map_or(0, |name| outsiders::outsiders(o, name, master).count)
}

/// Replicas that this master counts for its `min-replicas-to-write`.
pub(super) fn good(master: &Info) -> impl Iterator<Item = &SlaveState> {
    master.slaves().iter().filter(|s| s.state == "online" && s.lag <= MAX_LAG.as_secs())
}

/// Brings the promises, and the master's fence, to what the spec asks for and the situation allows.
pub(super) fn keep(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) {
    let min_replicas = wanted_min_replicas(o, master_info);
    let outsiders = if min_replicas == 0 { 0 } else { outsiders_of(o, master_info) };
    let wanted = Commitments {
        min_replicas: if confirmed_by_somebody(o, master) {
            min_replicas.min(master_info.min_replicas)
        } else {
            min_replicas.min(o.record.min_replicas)
        },
        wait_replicas: allowed_wait_replicas(o, master),
        members: allowed_members(o, master),
    };
    let recorded = Commitments {
        min_replicas: o.record.min_replicas,
        wait_replicas: o.record.wait_replicas,
        members: o.record.members.keys().cloned().collect(),
    };
    if wanted != recorded {
        p.record(Change::Commit(wanted));
    }
    record_facts(o, master, master_info, p);
    if master_info.min_replicas != min_replicas + outsiders && recorded.min_replicas <= min_replicas {
        p.steps.push(Step::SetMinReplicas { member: master.to_owned(), min_replicas: min_replicas + outsiders });
    }
}

/// Records what is seen of `master`, which serves, and of those that follow it: the history that it writes, and the processes
/// that have all its data, so that a later failover may count them.
///
/// Beside another change of the record that is the same write; during a change of master it waits for the end of that. A
/// process that does not count yet costs time, one that counts too early costs data.
pub(super) fn record_facts(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) {
    let next = o.record.after(p.changes());
    let history = (Some(&master_info.replication_id), master_info.previous_replication_id.as_ref());
    if history != (next.replication_id.as_ref(), next.previous_replication_id.as_ref()) {
        let (replication_id, previous) =
            (master_info.replication_id.clone(), master_info.previous_replication_id.clone());
        p.record(Change::History { replication_id, previous });
    }
    for (name, member) in &o.members {
        let (Liveness::Alive(info), Some(pod)) = (liveness(o, member), &member.pod) else { continue };
        // The master that serves is the process that was chosen. Where the record has lost that (see `is_recorded_process`), it
        // is recorded again: else another pod of its name would pass for the proof of its end (see `fate`).
        let has_all = name == master || o.memory.caught_up(name, info);
        let process = Recorded { run_id: Some(info.run_id.clone()), uid: Some(pod.uid.clone()) };
        if has_all && next.members.get(name).is_some_and(|recorded| *recorded != process) {
            p.record(Change::Enrol { member: name.clone(), run_id: info.run_id.clone(), uid: pod.uid.clone() });
        }
    }
}

/// `min-replicas-to-write` at a promotion.
pub(super) fn min_replicas_at_promotion(o: &Observation, to: &str) -> usize {
    let company = o.members.iter().any(|(n, m)| {
        n != to && o.record.members.contains_key(n) && matches!(liveness(o, m), Liveness::Alive(i) if !i.loading)
    });
    match o.settings.policy {
        FailoverPolicy::Consistency => consistent_fence(&o.settings),
        FailoverPolicy::Availability => usize::from(company),
    }
}

/// `min-replicas-to-write` of a master that serves. Under `Availability` it is let go on alone, for it can be reached.
fn wanted_min_replicas(o: &Observation, master_info: &Info) -> usize {
    let lonely = o.memory.without_replicas_since.is_some_and(|since| o.now >= since + LONELY_FOR);
    match o.settings.policy {
        FailoverPolicy::Consistency => consistent_fence(&o.settings),
        FailoverPolicy::Availability if lonely || o.settings.replicas < 2 => 0,
        FailoverPolicy::Availability if in_company(o) => 1,
        FailoverPolicy::Availability => master_info.min_replicas.min(1),
    }
}

fn in_company(o: &Observation) -> bool {
    o.memory.company_since.is_some_and(|since| o.now >= since + COMPANY_FOR)
}

fn consistent_fence(settings: &Settings) -> usize {
    settings.wait_replicas.max(1)
}

/// Does one member at least follow that is known to have everything? Only then the master's death costs nothing.
fn confirmed_by_somebody(o: &Observation, master: &str) -> bool {
    o.members.iter().any(|(n, m)| {
        n != master && matches!(liveness(o, m), Liveness::Alive(i) if o.is_recorded_process(n, i) && online(i) && !following::is_stalled(o, n))
    })
}

/// All that were recorded, all that are there, and not those that are gone for good, once others have what these confirmed.
fn allowed_members(o: &Observation, master: &str) -> BTreeSet<String> {
    let kept = target_members(o, master);
    let recorded = || o.record.members.keys().cloned();
    if recorded().all(|n| kept.contains(&n)) || settled(o, master) { kept } else { recorded().chain(kept).collect() }
}

fn target_members(o: &Observation, master: &str) -> BTreeSet<String> {
    let there = |n: &str| o.members.get(n).is_some_and(|m| m.pod.is_some());
    let recorded = o.record.members.keys().filter(|n| o.wanted(n) || there(n) || *n == master);
    recorded.chain(o.members.keys().filter(|n| there(n))).cloned().collect()
}

fn allowed_wait_replicas(o: &Observation, master: &str) -> usize {
    let wanted = o.settings.wait_replicas;
    if wanted <= o.record.wait_replicas || settled(o, master) { wanted } else { o.record.wait_replicas }
}

/// Have as many replicas as are to confirm a write all that was written before the change?
fn settled(o: &Observation, master: &str) -> bool {
    let asked = |m: &&CommitmentChange| m.target.needed.is_some() && is_for(o, master, m);
    let Some(change) = o.memory.commitment_change.as_ref().filter(asked) else { return false };
    let holders = o.members.iter().filter(|(n, m)| {
        *n != master
            && change.members.contains(*n)
            && matches!(liveness(o, m), Liveness::Alive(i)
                if o.is_recorded_process(n, i) && online(i) && change.target.is_reached_by(i))
    });
    let replicas = change.members.iter().filter(|n| *n != master).count();
    // k of them, so that any N-k+1 have one among them; without a k there is nothing to hold
    holders.count() >= change.wait_replicas.min(replicas)
}

fn is_for(o: &Observation, master: &str, change: &CommitmentChange) -> bool {
    change.wait_replicas == o.settings.wait_replicas && change.members == target_members(o, master)
}

/// A change of commitments that is wanted and not recorded yet.
pub(super) fn pending_change(
    o: &Observation,
    before: Option<&CommitmentChange>,
    serving: Option<(&str, &Info)>,
) -> Option<CommitmentChange> {
    let (master, master_info) = serving?;
    let members = target_members(o, master);
    let fewer = o.record.members.keys().any(|n| !members.contains(n));
    if !fewer && o.settings.wait_replicas <= o.record.wait_replicas {
        return None;
    }
    let fresh =
        || CommitmentChange { wait_replicas: o.settings.wait_replicas, members, target: CatchUpTarget::since(o.now) };
    let mut change = before.filter(|m| is_for(o, master, m)).cloned().unwrap_or_else(fresh);
    change.target.set(o.asked_at(master), master_info);
    Some(change)
}

pub(super) fn online(info: &Info) -> bool {
    !info.loading && info.is_online()
}

/// Is there something that a fresh answer decides, lest it takes until the next question?
pub(super) fn refresh_concerned(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) {
    let Memory { catching_up, commitment_change: change, without_replicas_since, .. } = &o.memory;
    let lonely = without_replicas_since.is_some() && master_info.min_replicas > 0;
    if catching_up.is_empty() && change.is_none() && !lonely {
        return;
    }
    let concerned = |n: &str| change.is_some() || n == master || catching_up.contains_key(n);
    p.steps.push(Step::Refresh { members: o.members.keys().filter(|n| concerned(n)).cloned().collect() });
}
