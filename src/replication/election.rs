//! Which survivor holds the most, and whether enough of them have answered.

use std::{cmp::Reverse, time::Duration};

use super::{
    observation::{Moment, Observation},
    suspicion::{Verdict, verdict},
};
use crate::redis::{FollowState, Info};

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
    Elected(String),
    /// Nobody yet; why, in words.
    Wait(String),
}

/// How much a candidate has; the greatest is elected.
///
/// A *survivor* is a process that the record knows: nothing of its memory was lost. One that restarted from its volume
/// may show the right history and lack its end, so it never comes before a survivor. Only a history in common makes
/// offsets comparable; an append-only file forgets its history, so then the last recorded master with data is the one
/// that was written to, and otherwise more keys are the better guess. An empty member comes last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::struct_excessive_bools)] // an order of criteria, not a state
struct Worth {
    survivor: bool,
    lineage: bool,
    offset: u64,
    last_master_with_data: bool,
    keys: u64,
    stays: bool,
    first: Reverse<usize>,
}

/// Chooses a master among all members but `lost` (whose process is known to be gone), since `since` without one.
pub fn elect(o: &Observation, lost: Option<&str>, since: Moment) -> Election {
    let waited = o.now.saturating_sub(since);
    let others = || o.members.iter().filter(|(name, _)| Some(name.as_str()) != lost);
    let mut best: Option<(Worth, &str)> = None;
    let mut unsettled = Vec::new(); // survivors whose last word is still to come
    let mut unheard = Vec::new(); // those that may hold data that nobody has seen
    let mut loading = Vec::new();
    for (name, member) in others() {
        match verdict(o.now, member) {
            Verdict::Alive(info) if info.loading => loading.push(name.as_str()),
            Verdict::Alive(info) => {
                let at = member.server.info.as_ref().map(|(at, _)| *at).unwrap_or_default();
                if syncing(info) {
                    continue; // its data is being replaced by a copy that will not be complete
                }
                let worth = worth(o, name, info);
                if worth.survivor && (at < since || follows_live(info)) {
                    unsettled.push(name.as_str());
                }
                if best.as_ref().is_none_or(|(b, _)| *b < worth) {
                    best = Some((worth, name));
                }
            }
            Verdict::Silent(_) => {
                if o.record.run_ids.contains_key(name) {
                    unsettled.push(name);
                }
                unheard.push(name.as_str());
            }
            Verdict::Dead(_) if member.claim_may_hold_data => unheard.push(name),
            Verdict::Dead(_) => {}
        }
    }
    let Some((worth, name)) = best else {
        return Election::Wait(match (loading.is_empty(), unheard.is_empty()) {
            (false, _) => format!("waiting for {} to load its data", list(&loading)),
            (true, false) => format!("waiting for {} to answer", list(&unheard)),
            (true, true) => "waiting for a member to start".into(),
        });
    };
    if worth.survivor {
        if !unsettled.is_empty() && waited < SURVIVORS_PATIENCE {
            return Election::Wait(format!("waiting for the last word of {}", list(&unsettled)));
        }
    } else {
        if !loading.is_empty() {
            return Election::Wait(format!("waiting for {} to load its data", list(&loading)));
        }
        if !unheard.is_empty() && waited < RESTART_PATIENCE {
            return Election::Wait(format!("waiting for {}: it may hold the newest data", list(&unheard)));
        }
        let missing: Vec<_> = others().filter(|(_, m)| m.server.info.is_none()).map(|(n, _)| n.as_str()).collect();
        if o.record.epoch == 0 && !missing.is_empty() && waited < FIRST_PATIENCE {
            return Election::Wait(format!("waiting for {} to start", list(&missing)));
        }
    }
    Election::Elected(name.to_owned())
}

fn worth(o: &Observation, name: &str, info: &Info) -> Worth {
    let lineage = o.record.replication_id.as_deref().is_some_and(|id| info.descends_from(id));
    Worth {
        survivor: lineage && o.is_recorded_process(name, info),
        lineage,
        offset: if lineage { info.offset } else { 0 },
        last_master_with_data: !lineage && o.record.master.as_deref() == Some(name) && info.keys > 0,
        keys: if lineage { 0 } else { info.keys },
        stays: o.wanted(name) && !o.members.get(name).is_some_and(super::Member::leaving),
        first: Reverse(o.ordinal(name)),
    }
}

fn syncing(info: &Info) -> bool {
    info.replica().is_some_and(|r| matches!(r.follow, FollowState::Syncing(_)))
}

fn follows_live(info: &Info) -> bool {
    info.replica().is_some_and(|r| r.follow == FollowState::Online)
}

pub(super) fn list(names: &[&str]) -> String {
    names.join(", ")
}
