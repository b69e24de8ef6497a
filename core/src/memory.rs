//! What this operator process has seen and done and no single answer of Redis tells. Losing it (with the operator) costs
//! time, never safety: everything that safety rests on is in the record.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    drops::Drops,
    durability,
    failure_detector::{Liveness, ProcessState, liveness, process_state},
    followers,
    following::{self, LinkTrouble},
    observation::{Moment, Observation, Request},
    outsiders,
    persistence::{self, Attempt},
    rollout::{self, Steady},
};
use crate::{info::Info, kinds::TransitionKind};

/// What is remembered from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The writes held back on a master that hands over.
    pub hold: Option<Hold>,
    /// Former masters that were demoted while alive: their clients are sent away until these have found the new one.
    pub demoted: BTreeMap<String, Demotion>,
    /// Since when there has been no usable master.
    pub masterless_since: Option<Moment>,
    /// Since when it has been proven that the recorded master's process is gone.
    pub gone_since: Option<Moment>,
    /// When the master Service was last pointed at another pod.
    pub routed_at: Option<Moment>,
    /// Since when nothing has been learned of the target of a switchover.
    pub target_unread_since: Option<Moment>,
    /// Since when the present request of a user has been waiting.
    pub request_since: Option<(Request, Moment)>,
    /// When a switchover was last abandoned.
    pub abandoned_at: Option<Moment>,
    /// Members that follow nobody, and since when they have been seen so without a break.
    pub detached: BTreeMap<String, Detached>,
    /// Processes that follow the master and are not yet known to have all its data.
    pub catching_up: BTreeMap<String, CatchingUp>,
    /// Since when the master has been reachable and without a replica that acknowledges in time.
    pub without_replicas_since: Option<Moment>,
    /// A change of promises that waits for replicas to have what was written before it.
    pub commitment_change: Option<CommitmentChange>,
    /// Set when replicas of the master were seen that are no members, until enough members have what these may have confirmed.
    pub outsiders: Option<CatchUpTarget>,
    /// Replicas that are no members, by their addresses, and when they were disconnected last.
    pub disconnected: BTreeMap<String, Moment>,
    /// A write of the record failed or was not answered: until the resource has been read again it is not known what it says.
    pub record_unsure: bool,
    /// How many keys the master had when it was last seen.
    pub keys_before: Option<u64>,
    /// Replicas that the master drops.
    pub drops: Drops,
    /// What was last done about the files of each member.
    pub files: BTreeMap<String, Attempt>,
    /// Pods that were deleted because their process hung, by their identity.
    pub killed: BTreeMap<String, Moment>,
    /// Since when the master has had a replica that acknowledges in time.
    pub company_since: Option<Moment>,
    /// Since when replicas whose link is up have stood still without what the master had.
    pub behind: BTreeMap<String, Moment>,
    /// Replicas that do not follow the master by themselves.
    pub links: BTreeMap<String, LinkTrouble>,
    /// Whether members are well, and since when without a change.
    pub steady: BTreeMap<String, Steady>,
}

/// Writes held back by `CLIENT PAUSE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Where.
    pub member: String,
    /// In which process.
    pub run_id: String,
    /// When it was certainly in force.
    pub since: Moment,
    /// When Redis ends it by itself.
    pub until: Moment,
}

/// A former master that was demoted while alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demotion {
    /// The process.
    pub run_id: String,
    /// When.
    pub at: Moment,
    /// All writes that it had acknowledged are below this offset.
    pub offset: u64,
    /// How often its clients have been sent away since.
    pub dropped: usize,
}

/// A process that follows nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Which.
    pub run_id: String,
    /// When it was first certainly so.
    pub since: Moment,
}

/// What the master had at some time after `seen`. An older answer of it may lack what a replica had confirmed, and has lost
/// since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchUpTarget {
    /// When it was set.
    pub seen: Moment,
    /// The history and the offset that the master had after that; `None` until it has been asked.
    pub needed: Option<(String, u64)>,
}

impl CatchUpTarget {
    pub(super) fn since(now: Moment) -> Self {
        Self { seen: now, needed: None }
    }

    /// Takes what the master says, and anew when its history has changed.
    pub(super) fn set(&mut self, asked: Moment, master_info: &Info) {
        if asked > self.seen && self.needed.as_ref().is_none_or(|(id, _)| *id != master_info.replication_id) {
            self.needed = Some((master_info.replication_id.clone(), master_info.offset));
        }
    }

    pub(super) fn is_reached_by(&self, info: &Info) -> bool {
        self.needed.as_ref().is_some_and(|(id, offset)| *id == info.replication_id && info.offset >= *offset)
    }
}

/// A process that has to catch up with what the master had when it was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchingUp {
    /// Which.
    pub run_id: String,
    /// What it has to have before it counts.
    pub target: CatchUpTarget,
}

/// What has to be on enough replicas before other promises may be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentChange {
    /// How many replicas are to confirm a write.
    pub wait_replicas: usize,
    /// Which members there are to be.
    pub members: BTreeSet<String>,
    /// What they have to have before the change may be relied on.
    pub target: CatchUpTarget,
}

impl Memory {
    /// What is to be remembered after another look.
    #[must_use]
    pub fn after(&self, o: &Observation) -> Self {
        let mut m = self.clone();
        let serving = serving_master(o);
        match serving {
            Some(_) => m.masterless_since = None,
            None => drop(m.masterless_since.get_or_insert(o.now)),
        }
        let gone = serving.is_none()
            && o.record.authorized_master().is_some_and(|n| matches!(process_state(o, n), ProcessState::Gone(_)));
        m.gone_since = gone.then(|| m.gone_since.unwrap_or(o.now));
        m.demoted.retain(|name, d| {
            let same =
                o.members.get(name).and_then(|m| m.server.info.as_ref()).is_some_and(|(_, i)| i.run_id == d.run_id);
            same && !followers::demotion_over(d) && serving.is_none_or(|(master, _)| master != name)
        });
        m.files = persistence::watch(o, &m.files);
        m.killed.retain(|uid, _| o.members.values().any(|m| m.pod.as_ref().is_some_and(|p| p.uid == *uid)));
        if let Some((_, info)) = serving {
            m.keys_before = Some(info.keys);
            m.drops = self.drops.after(o, info);
        }
        let unread = o.record.transition.as_ref().is_some_and(|t| {
            let target = o.members.get(&t.to).map(|target| liveness(o, target));
            t.kind == TransitionKind::Switchover && !matches!(target, Some(Liveness::Alive(_)))
        });
        m.target_unread_since = unread.then(|| m.target_unread_since.unwrap_or(o.now));
        m.request_since = o.settings.request.clone().filter(|_| !o.settings.paused).map(|request| {
            let since = m.request_since.take().filter(|(before, _)| *before == request);
            (request, since.map_or(o.now, |(_, since)| since))
        });
        m.watch_detached(o);
        m.watch_catching_up(o, serving);
        let lonely = serving.is_some_and(|(_, i)| durability::good_replicas(o, i) == 0);
        m.without_replicas_since = lonely.then(|| m.without_replicas_since.unwrap_or(o.now));
        let company = serving.is_some_and(|(master, _)| !lonely && following::has_company(o, master));
        m.company_since = company.then(|| m.company_since.unwrap_or(o.now));
        m.behind = following::behind(o, &m, serving);
        m.links = following::watch(o, &m, serving);
        m.steady = rollout::watch(o, &m, serving);
        m.disconnected.retain(|_, at| o.now < *at + outsiders::FORGOTTEN_AFTER);
        m.outsiders = outsiders::watch(o, self.outsiders.as_ref(), serving);
        m.commitment_change = durability::pending_change(o, self.commitment_change.as_ref(), serving);
        m
    }

    fn watch_detached(&mut self, o: &Observation) {
        let before = std::mem::take(&mut self.detached);
        for (name, member) in &o.members {
            let (Liveness::Alive(info), Some((at, _))) = (liveness(o, member), &member.server.info) else { continue };
            if info.follows_nobody() {
                let before = before.get(name).filter(|f| f.run_id == info.run_id).cloned();
                let detached = before.unwrap_or_else(|| Detached { run_id: info.run_id.clone(), since: *at });
                self.detached.insert(name.clone(), detached);
            }
        }
    }

    fn watch_catching_up(&mut self, o: &Observation, serving: Option<(&str, &Info)>) {
        let catching_up = std::mem::take(&mut self.catching_up);
        let Some((master, master_info)) = serving else { return };
        let asked = o.asked_at(master);
        for (name, member) in o.members.iter().filter(|(n, _)| *n != master) {
            let Liveness::Alive(info) = liveness(o, member) else { continue };
            if !info.is_online() || o.is_recorded_process(name, info) {
                continue;
            }
            let before = catching_up.get(name).filter(|j| j.run_id == info.run_id).cloned();
            let mut j =
                before.unwrap_or(CatchingUp { run_id: info.run_id.clone(), target: CatchUpTarget::since(o.now) });
            j.target.set(asked, master_info);
            self.catching_up.insert(name.clone(), j);
        }
    }

    /// Is this process, which follows the master, known to have all that the master had when it came?
    pub fn caught_up(&self, name: &str, info: &Info) -> bool {
        self.catching_up.get(name).is_some_and(|j| j.run_id == info.run_id && j.target.is_reached_by(info))
    }

    /// Since when this process has followed nobody.
    pub fn detached_since(&self, name: &str, info: &Info) -> Option<Moment> {
        self.detached.get(name).filter(|f| f.run_id == info.run_id).map(|f| f.since)
    }
}

/// The member that accepts writes by the record, and what it says. The former master does so until it has handed over; after
/// a failover has been recorded it does not, even if it comes back: its successor may have been promoted already.
pub fn serving_master(o: &Observation) -> Option<(&str, &Info)> {
    let t = o.record.transition.as_ref();
    let former = o.record.master.as_ref().filter(|_| t.is_none_or(|t| t.kind == TransitionKind::Switchover));
    let mut authorized_master = t.map(|t| &t.to).into_iter().chain(former);
    authorized_master.find_map(|name| {
        let (name, member) = o.members.get_key_value(name)?;
        match liveness(o, member) {
            Liveness::Alive(info) if info.is_master() && o.is_recorded_process(name, info) => {
                Some((name.as_str(), info))
            }
            _ => None,
        }
    })
}
