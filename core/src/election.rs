//! Which survivor holds the most, and whether enough of them have answered.

use std::{cmp::Reverse, time::Duration};

use super::{
    cause::Cause,
    durability, failover,
    failure_detector::{Liveness, liveness},
    observation::{Member, Moment, Observation},
};
use crate::{conditions::Reason, info::FollowState, info::Info, kinds::FailoverPolicy, kinds::RequestKind};

/// How long a failover waits for survivors that are silent, or that have not noticed yet that the master is gone: one
/// of them may hold the newest write. In the usual case all have answered within milliseconds.
const SURVIVORS_PATIENCE: Duration = Duration::from_millis(300);
/// How long, after a restart of all members, those are waited for whose memory or volume may hold newer data.
const RESTART_PATIENCE: Duration = Duration::from_secs(60);
/// How long the very first election waits for all members, so that it is usually the first pod that is chosen.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Election {
    /// This one.
    Elected {
        /// Who.
        to: String,
        /// Its `min-replicas-to-write` from the first moment on.
        min_replicas: usize,
        /// What it may cost, in words; empty if nothing.
        note: String,
    },
    /// Nobody yet; why, in words.
    Wait(String),
    /// Nobody, as long as what is missing is missing.
    Blocked {
        /// What is missing, in words.
        message: String,
        /// When a member may be chosen all the same: `failover.acceptDataLossAfter`.
        until: Option<Moment>,
    },
}

/// How much a candidate has; the greatest is elected.
///
/// A *survivor* is a process that the record knows: nothing of its memory was lost. One that restarted from its volume
/// may show the right history and lack its end, so it never comes before a survivor. An append-only file forgets its
/// history, and the one of the last recorded master lacks a second at most. Otherwise only a history in common makes
/// offsets comparable, and of a history that another continued, only what was before that; without one, more keys are the
/// better guess. An empty member comes last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::struct_excessive_bools)] // an order of criteria, not a state
struct Worth {
    survivor: bool,
    last_master_with_data: bool,
    restored: bool,
    lineage: Lineage,
    shared: u64,
    offset: u64,
    keys: u64,
    stays: bool,
    preferred: bool,
    first: Reverse<usize>,
}

/// What a member's history has to do with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lineage {
    /// Nothing.
    Foreign,
    /// It is the one that the recorded one continues: the member has not followed the recorded master yet.
    Before,
    /// It is the recorded one, or continues it.
    Recorded,
    /// It continues the recorded one while a change of master is open, whose target may have begun it: a member that has it has
    /// followed that target, and may have confirmed what was written since.
    Successor,
}

/// Chooses a master among all members. The process of `lost` is known to be gone, or to take no more writes.
pub fn elect(o: &Observation, lost: Option<&str>) -> Election {
    let forced = failover::forced(o);
    let ended = ended(o);
    let waited = o.now.saturating_sub(ended);
    let asked_for = o.settings.request.as_ref().filter(|_| forced).and_then(|r| r.to.as_deref());
    let mut best: Option<(Worth, &str)> = None;
    let mut unsettled = Vec::new(); // survivors whose last word is still to come
    let mut connected = false; // is one of them about to answer?
    let mut unheard = Vec::new(); // those that may hold data that nobody has seen
    let mut loading = Vec::new();
    for (name, member) in &o.members {
        match liveness(o, member) {
            Liveness::Alive(info) if info.loading => loading.push(name.as_str()),
            Liveness::Alive(info) => {
                // an answer from before the loss may lack what has arrived since, in a copy or in the stream
                let old = member.asked_at() < ended && lost != Some(name);
                if old {
                    unsettled.push(name.as_str());
                    connected |= o.recorded_run_id(name).is_some();
                }
                if asked_for.is_some_and(|n| n != name) {
                    continue;
                }
                if syncing(info) {
                    // its data is being replaced by a copy that will not be complete; until then it has what it had
                    if info.keys > 0 {
                        unheard.push(name.as_str());
                    }
                    continue;
                }
                let worth = worth(o, name, info);
                let knows = worth.lineage != Lineage::Foreign && o.is_recorded_process(name, info);
                if knows && !old && info.is_online() {
                    unsettled.push(name.as_str());
                }
                if best.as_ref().is_none_or(|(b, _)| *b < worth) {
                    best = Some((worth, name));
                }
            }
            Liveness::Dead(_) if member.claim_may_hold_data => unheard.push(name.as_str()),
            Liveness::Dead(_) => {}
            _ if lost == Some(name) => {}
            _ => {
                if o.recorded_run_id(name).is_some() {
                    unsettled.push(name);
                }
                unheard.push(name.as_str());
            }
        }
    }
    let Some((worth, name)) = best else {
        return Election::Wait(match (asked_for, loading.is_empty(), unheard.is_empty()) {
            (Some(name), ..) => format!("{name} is asked for, and does not answer or has no data of its own"),
            (_, false, _) => format!("waiting for {} to load its data", list(&loading)),
            (_, true, false) => format!("waiting for {} to answer", list(&unheard)),
            (_, true, true) => "waiting for a member to start".into(),
        });
    };
    let elected = |note: String| Election::Elected {
        to: name.to_owned(),
        min_replicas: durability::min_replicas_at_promotion(o, name),
        note,
    };
    if forced {
        return elected(Cause::Forced.to_string());
    }
    if !unsettled.is_empty() && (connected || o.now < ended + SURVIVORS_PATIENCE) {
        return Election::Wait(format!("waiting for the last word of {}", list(&unsettled)));
    }
    let accepted_at = o.settings.accept_data_loss_after.map(|after| ended + after);
    let better = better(o, name, &worth);
    if !better.is_empty() && accepted_at.is_none_or(|at| o.now < at) {
        let message = format!("{} may hold data that {name} lacks, and does not answer", list(&better));
        return if waited < RESTART_PATIENCE {
            Election::Wait(message)
        } else {
            let force = RequestKind::Failover.annotation();
            Election::Blocked {
                message: format!(
                    "{message}: restore the connection to it, or choose a member with the annotation {force}; spec.failover.acceptDataLossAfter lets the operator choose after a time"
                ),
                until: accepted_at,
            }
        };
    }
    if !worth.survivor {
        if !loading.is_empty() {
            return Election::Wait(format!("waiting for {} to load its data", list(&loading)));
        }
        if !unheard.is_empty() && waited < RESTART_PATIENCE {
            return Election::Wait(format!("waiting for {}: it may hold the newest data", list(&unheard)));
        }
        if is_empty(o, name)
            && let Some(message) = data_unread(o, &unheard)
        {
            return Election::Wait(format!("{name} has no data, and {message}"));
        }
        let missing: Vec<_> =
            o.members.iter().filter(|(_, m)| m.server.info.is_none()).map(|(n, _)| n.as_str()).collect();
        if o.record.epoch == 0 && !missing.is_empty() && waited < FIRST_PATIENCE {
            return Election::Wait(format!("waiting for {} to start", list(&missing)));
        }
    }
    match lost.and_then(|lost| missing_quorum(o, lost)) {
        Some(message) => Election::Blocked { message, until: None },
        None => elected(cost(o, lost)),
    }
}

/// Members that are never given up for `best`, which has lost something, without an administrator: those whose recorded process
/// nothing has proven to be gone. They are silent towards the operator, which says nothing about their data.
///
/// Of a master that served alone (`min-replicas-to-write` 0) the others lack what it accepted since. So it is the other way
/// round: the election waits for its volume, and once its process is back from it, for no other member.
fn better<'a>(o: &'a Observation, best: &str, worth: &Worth) -> Vec<&'a str> {
    let alone = o.record.min_replicas == 0;
    let intact = |info: &Info| o.is_recorded_process(best, info) && worth.lineage != Lineage::Foreign;
    let intact = o.members.get(best).and_then(|m| m.server.info.as_ref()).is_some_and(|(_, info)| intact(info));
    let is_last_master = |name: &str| o.record.master.as_deref() == Some(name);
    let may_return = |name: &str, member: &Member| match liveness(o, member) {
        Liveness::Alive(_) => false,
        Liveness::Dead(_) => alone && is_last_master(name) && member.claim_may_hold_data,
        _ => !intact && is_recorded_pod(o, name, member),
    };
    if alone && is_last_master(best) && (worth.restored || worth.last_master_with_data) {
        return Vec::new();
    }
    o.members.iter().filter(|(n, m)| may_return(n, m)).map(|(n, _)| n.as_str()).collect()
}

/// Is its pod the one in which the record knows a process? The memory of a pod that was replaced is gone.
fn is_recorded_pod(o: &Observation, name: &str, member: &Member) -> bool {
    let Some(recorded) = o.record.members.get(name).filter(|r| r.run_id.is_some()) else { return false };
    member.pod.as_ref().is_some_and(|pod| recorded.uid.as_ref().is_none_or(|uid| *uid == pod.uid))
}

fn is_empty(o: &Observation, name: &str) -> bool {
    o.members.get(name).and_then(|m| m.server.info.as_ref()).is_some_and(|(_, info)| info.keys == 0)
}

/// Members that have data on their volumes and do not come to load it, in words: one without data is not chosen instead of them. At
/// the first start a volume that is older than the resource was put there for its data; later it takes a Redis that fails on it.
fn data_unread(o: &Observation, unheard: &[&str]) -> Option<String> {
    let fails = |m: &Member| {
        m.pod.as_ref().and_then(|pod| pod.failure.as_ref()).is_some_and(|f| f.reason == Reason::DataDamaged)
    };
    let has_data = |name: &&&str| {
        let was_empty = o.record.epoch > 0 && o.memory.keys_before == Some(0);
        let claims = |m: &Member| m.claim_may_hold_data && !was_empty && (o.record.epoch == 0 || fails(m));
        o.members.get(**name).is_some_and(claims)
    };
    let names: Vec<_> = unheard.iter().filter(has_data).copied().collect();
    (!names.is_empty()).then(|| {
        format!(
            "the volume of {} may have it: it is waited for; repair it, or delete its pod and its claim if the data is not needed, or \
             choose among what is left by the annotation redis.replication.dev/force-failover",
            list(&names)
        )
    })
}

/// What is missing before another may be chosen under `Consistency`, in words; `None` when nothing is.
///
/// Of N replicas, N-k+1 that have lost nothing meet every set of k that can have confirmed a write.
pub(super) fn missing_quorum(o: &Observation, lost: &str) -> Option<String> {
    if o.settings.policy != FailoverPolicy::Consistency || o.record.master.is_none() {
        return None;
    }
    if o.memory.outsiders.is_some() {
        let force = RequestKind::Failover.annotation();
        return Some(format!(
            "a replica that is no member followed the master, so a write may be confirmed that no member has; restore the master, or choose among what is left with the annotation {force}"
        ));
    }
    let (counted, replicas) = counted(o, lost);
    let k = o.record.wait_replicas.max(1);
    let needed = (replicas + 1).saturating_sub(k).max(1);
    (counted.len() < needed).then(|| {
        let others = o.record.members.keys().filter(|n| *n != lost && !counted.contains(&n.as_str()));
        let others: Vec<_> = others.map(String::as_str).collect();
        format!(
            "of its {replicas} replicas {needed} must answer that have lost nothing, so that no write is missing which {k} confirmed; {} do{}; \
             one that has restarted without its data never will: the annotation redis.replication.dev/force-failover chooses among what is left",
            counted.len(),
            if others.is_empty() { String::new() } else { format!(" (not {})", list(&others)) }
        )
    })
}

/// What a failover under `Availability` may cost where `Consistency` would not have allowed it.
fn cost(o: &Observation, lost: Option<&str>) -> String {
    let k = o.record.wait_replicas;
    let Some(lost) = lost.filter(|_| k > 0 && o.settings.policy == FailoverPolicy::Availability) else {
        return String::new();
    };
    let (counted, replicas) = counted(o, lost);
    if counted.len().saturating_add(k) > replicas {
        return String::new();
    }
    format!("only {} of its {replicas} replicas could be asked: writes that {k} confirmed may be lost", counted.len())
}

/// From when on an answer tells all that a replica will ever have of the lost master. It may have been silent for long: until
/// its end was proven, bytes of it were on their way.
fn ended(o: &Observation) -> Moment {
    o.memory.gone_since.or(o.memory.masterless_since).unwrap_or(o.now)
}

/// The replicas of `lost` that have answered since its end, follow nobody alive, and have lost nothing; and how many it had.
/// One that hangs may hold the very write that is missing elsewhere.
fn counted<'a>(o: &'a Observation, lost: &str) -> (Vec<&'a str>, usize) {
    let replicas = o.record.members.keys().filter(|n| *n != lost).count();
    let counts = |n: &str, m: &Member| match liveness(o, m) {
        Liveness::Alive(i) => {
            n != lost
                && m.asked_at() >= ended(o)
                && o.record.members.contains_key(n)
                && o.is_recorded_process(n, i)
                && lineage(o, i) != Lineage::Foreign
                && !i.loading
                && !syncing(i)
        }
        _ => false,
    };
    (o.members.iter().filter(|(n, m)| counts(n, m)).map(|(n, _)| n.as_str()).collect(), replicas)
}

fn worth(o: &Observation, name: &str, info: &Info) -> Worth {
    let lineage = lineage(o, info);
    // what a process that has not restarted has of another history, it has from a stranger
    let loaded = lineage == Lineage::Foreign && info.keys > 0 && !o.is_recorded_process(name, info);
    let last_master = o.record.master.as_deref() == Some(name) && loaded;
    // a master that nobody was known to follow closely has more than anybody else
    let alone = o.record.min_replicas == 0;
    let present = o.record.replication_id.as_deref() == Some(info.replication_id.as_str());
    let survivor = lineage != Lineage::Foreign && o.is_recorded_process(name, info) && !alone;
    Worth {
        survivor,
        last_master_with_data: last_master,
        restored: !survivor && info.keys > 0,
        lineage,
        shared: match lineage {
            Lineage::Foreign => 0,
            Lineage::Before | Lineage::Successor => info.offset,
            Lineage::Recorded if present => info.offset,
            Lineage::Recorded => info.offset.min(info.previous_offset),
        },
        offset: if lineage == Lineage::Foreign { 0 } else { info.offset },
        keys: if lineage == Lineage::Foreign { info.keys } else { 0 },
        stays: o.wanted(name) && !o.members.get(name).is_some_and(Member::leaving),
        preferred: o.settings.preferred_master.as_deref() == Some(name),
        first: Reverse(o.ordinal(name)),
    }
}

pub(super) fn lineage(o: &Observation, info: &Info) -> Lineage {
    let recorded = o.record.replication_id.as_deref();
    let before = o.record.previous_replication_id.as_deref();
    if recorded.is_some_and(|id| info.descends_from(id)) {
        let began = o.record.transition.is_some() && recorded != Some(info.replication_id.as_str());
        if began { Lineage::Successor } else { Lineage::Recorded }
    } else if before == Some(info.replication_id.as_str()) {
        Lineage::Before
    } else {
        Lineage::Foreign
    }
}

fn syncing(info: &Info) -> bool {
    info.replica().is_some_and(|r| matches!(r.follow, FollowState::Syncing(_)))
}

pub(super) fn list(names: &[&str]) -> String {
    names.join(", ")
}
