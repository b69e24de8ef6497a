//! Bringing a running Redis into the persistence mode of the spec: the mode was changed, or Redis started from the file that was
//! current in another mode (`data.sh`), or somebody changed it by hand. No pod is restarted for it, and at each moment the disk
//! has a file that a restart would load and that is as current as the mode before promised.
//!
//! - An append-only file begins with a rewrite of all that Redis has; snapshots go on until it is complete.
//! - It ends after a complete snapshot, which proves that snapshots can be written here. The file stays on the disk, and a
//!   restart loads it as long as no newer snapshot is there. The schedule is set before it ends: Redis writes a snapshot at
//!   `SIGTERM` only where there is a schedule.

use std::{collections::BTreeMap, time::Duration};

use super::{
    failure_detector::{Liveness, liveness},
    observation::{Moment, Observation},
    steps::{Plan, Step, Topic},
};
use crate::info::Info;

/// When an act is tried again that has not had its effect.
const RETRY: Duration = Duration::from_secs(5);
/// How often Redis is asked whether a file is complete.
const LOOK: Duration = Duration::from_secs(1);
/// What a member writes to its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersistenceSettings {
    /// An append-only file (`appendonly`).
    pub append_only: bool,
    /// When snapshots are written, as `CONFIG GET save` answers: pairs of seconds and changed keys. Empty: never.
    pub schedule: String,
}

/// A change of what a running Redis writes to its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Begin an append-only file.
    BeginLog,
    /// Write a snapshot now, while there still is an append-only file.
    Snapshot,
    /// Write no append-only file any more, and snapshots at these times.
    EndLog(String),
    /// Write snapshots at these times.
    Schedule(String),
}

/// The last act on a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// In which process.
    pub run_id: String,
    /// What.
    pub act: Act,
    /// When.
    pub at: Moment,
    /// When the newest complete snapshot was written, as Redis said before (`rdb_last_save_time`).
    pub saved: u64,
    /// Why Redis refused, in its words.
    pub refused: Option<String>,
}

/// What is remembered of the acts after another look. A file that was begun and is complete needs no more looks.
pub(super) fn watch(o: &Observation, before: &BTreeMap<String, Attempt>) -> BTreeMap<String, Attempt> {
    let goes_on = |name: &String, attempt: &Attempt| {
        let Some(member) = o.members.get(name) else { return false };
        let complete = member.server.info.as_ref().is_some_and(|(_, info)| info.files.log_is_complete());
        !(complete && attempt.act == Act::BeginLog)
    };
    before.iter().filter(|(name, attempt)| goes_on(name, attempt)).map(|(n, a)| (n.clone(), a.clone())).collect()
}

/// What is left to do about a member.
enum Next {
    Nothing,
    Act(Act),
    Wait(Moment),
}

/// One member at a time, the master last: a rewrite and a snapshot each cost a fork, and what one member cannot write the
/// others are not asked for.
pub(super) fn converge(o: &Observation, master: &str, p: &mut Plan) {
    let Some(wanted) = &o.settings.persistence else { return };
    let replicas = o.members.keys().map(String::as_str).filter(|name| *name != master);
    for name in replicas.chain([master]) {
        let Some(info) = settled(o, name) else { continue };
        let attempt = o.memory.files.get(name).filter(|a| a.run_id == info.run_id);
        match next(o.now, attempt, info, wanted) {
            Next::Nothing => continue,
            Next::Act(act) => p.steps.push(Step::Persist { member: name.to_owned(), act }),
            Next::Wait(until) => p.wake_by(until),
        }
        p.wait(Topic::Persistence, message(name, info, attempt, wanted));
        return;
    }
}

/// A member that runs by the present spec and does nothing else to its files. One that is to be replaced ends as what it was
/// made to be, and a replica that loads a copy has no append-only file for a while.
fn settled<'a>(o: &'a Observation, name: &str) -> Option<&'a Info> {
    let member = o.members.get(name)?;
    let stays = member.pod.as_ref().is_some_and(|pod| !pod.outdated && !pod.leaving);
    match liveness(o, member) {
        Liveness::Alive(info) if stays && !info.loading && (info.is_master() || info.is_online()) => Some(info),
        _ => None,
    }
}

fn next(now: Moment, attempt: Option<&Attempt>, info: &Info, wanted: &PersistenceSettings) -> Next {
    let files = &info.files;
    let end = Act::EndLog(wanted.schedule.clone());
    let last = |wanted: &Act| attempt.filter(|a| a.act == *wanted);
    let again = |act: Act| match last(&act) {
        Some(a) if now < a.at + RETRY => Next::Wait(now + LOOK),
        _ => Next::Act(act),
    };
    let differs = files.schedule.as_ref().is_some_and(|schedule| *schedule != wanted.schedule);
    match (wanted.append_only, files.append_only) {
        (true, false) => again(Act::BeginLog),
        // Redis rewrites it from time to time: that is no change
        (true, true) if !files.log_is_complete() && (differs || last(&Act::BeginLog).is_some()) => {
            Next::Wait(now + LOOK)
        }
        (false, true) => match last(&Act::Snapshot).or(last(&end)) {
            Some(a) if files.saved != a.saved => again(end),
            _ if files.saving => Next::Wait(now + LOOK),
            _ => again(Act::Snapshot),
        },
        (false, false) | (true, true) if differs => again(Act::Schedule(wanted.schedule.clone())),
        _ => Next::Nothing,
    }
}

/// What is being done, and what is in the way.
fn message(name: &str, info: &Info, attempt: Option<&Attempt>, wanted: &PersistenceSettings) -> String {
    let files = &info.files;
    let what = match (wanted.append_only, files.append_only) {
        (true, false) => "begins to write an append-only file",
        (true, true) if !files.log_is_complete() => "writes its data into an append-only file",
        (false, true) => "writes a snapshot, after which its append-only file ends",
        _ => "changes the times of its snapshots",
    };
    let failed = wanted.append_only && files.rewrite_failed || !wanted.append_only && files.save_failed;
    match attempt.and_then(|a| a.refused.as_ref()) {
        Some(refused) => format!("{name} {what}, which it refuses: {refused}"),
        None if failed => {
            format!("{name} {what}, which failed the last time: its log says why; is there room on its volume?")
        }
        None => format!("{name} {what}"),
    }
}

#[cfg(test)]
#[path = "persistence_tests.rs"]
mod tests;
