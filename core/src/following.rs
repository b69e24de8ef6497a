//! Replicas that point at the master and do not follow it, or hear nothing from it although their link is up. Their link is
//! given up and opened again, after growing pauses; what is known of the cause is told.
//!
//! Redis itself asks for the next full copy at once when one has failed, for which the master forks each time; and it takes a
//! link over which nothing comes for a good one until `repl-timeout`, which is minutes.

use std::{collections::BTreeMap, time::Duration};

use super::{
    durability,
    failure_detector::{Liveness, liveness},
    memory::Memory,
    observation::{Moment, Observation},
    steps::{Plan, Step},
};
use crate::{info::FollowState, info::Info, info::REDIS_PORT};

/// A replica that has not had for so long what the master had before hears nothing from it.
const DEAF_AFTER: Duration = Duration::from_secs(3);
/// An offset that stands still for less is not looked at: the master moves it every second.
const STANDS_STILL: Duration = Duration::from_millis(1300);
/// So many full copies in a row may fail before the link is given up for the first time.
const COPIES: u64 = 3;
/// So long a replica may try to connect; in a network that is well it takes milliseconds.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A replica that has followed for so long is well again: the next trouble is another one.
const OVER_AFTER: Duration = Duration::from_secs(10);
/// For so long after an attempt began the members are asked all the time, so that one more failure is noticed at once.
const WATCHED_FOR: Duration = Duration::from_secs(2);

/// What is known of a replica that does not follow the master, or hears nothing from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTrouble {
    /// Its process.
    pub run_id: String,
    /// The master's process.
    pub master: String,
    /// When the present attempt began; or, if it follows nobody, when its link was given up; or when it began to follow.
    pub at: Moment,
    /// Full copies that have failed in the present attempt.
    pub copies: u64,
    /// Why its link was given up last, and how often it was.
    pub cause: Option<LinkFault>,
    /// How often its link was given up.
    pub renewals: u32,
    /// Where it is.
    state: State,
    /// Since when it has been seen to wait for the next copy, and how many the master had given away after that.
    waits: (Moment, Option<u64>),
    /// While no other asks for copies: how many the master had given away when the present attempt began.
    given: Option<u64>,
    /// Of when the answer is that was counted last.
    counted: Moment,
}

/// Why a link is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Full copies fail, one after the other.
    Copies,
    /// Nothing comes over the link.
    Deaf,
    /// It does not come about.
    Unconnected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It follows nobody.
    Detached,
    /// It connects, or waits for a copy.
    Waiting,
    /// A copy is under way, so much of it in percent.
    Copying(Option<u8>),
    /// Its link is up, and nothing comes over it.
    Deaf,
    /// It follows.
    Following,
}

impl LinkTrouble {
    /// Is its link to be given up, and why?
    fn fault(&self, seen_by_master: bool, now: Moment) -> Option<LinkFault> {
        let allowed = if self.renewals == 0 { COPIES } else { 1 };
        match self.state {
            State::Deaf if now >= self.at + pause(self.renewals) => Some(LinkFault::Deaf),
            State::Waiting | State::Copying(_) if self.copies >= allowed => Some(LinkFault::Copies),
            State::Waiting if !seen_by_master && now >= self.at + pause(self.renewals).max(CONNECTS_WITHIN) => {
                Some(LinkFault::Unconnected)
            }
            _ => None,
        }
    }

    /// Where no other asks for copies, each but the first means that one has failed.
    fn count_alone(&mut self, alone: bool, given_away: u64) {
        if !alone {
            self.given = None;
            return;
        }
        let before = *self.given.get_or_insert(given_away);
        self.copies = self.copies.max(given_away.saturating_sub(before).saturating_sub(1));
    }

    /// Takes in another answer, and counts the copies that have failed since the one before.
    fn count(&mut self, state: State, now: Moment, (asked, given_away): (Moment, u64)) {
        match (self.state, state) {
            (State::Copying(Some(before)), State::Copying(Some(now))) if now < before => self.copies += 1,
            // One that waits is taken along by the next copy that begins. If several have begun, it has been given one, and is
            // waiting again.
            (State::Waiting, State::Waiting) if asked > self.waits.0 => {
                let before = *self.waits.1.get_or_insert(given_away);
                let failed = given_away.saturating_sub(before).saturating_sub(2);
                self.copies = self.copies.saturating_add(failed);
                self.waits.1 = Some(before.saturating_add(failed));
            }
            (State::Waiting, State::Waiting) => {}
            (before, State::Waiting) => {
                self.copies += u64::from(matches!(before, State::Copying(_)));
                self.waits = (now, None);
            }
            _ => {}
        }
        self.state = state;
    }
}

/// So long after the link was given up for the n-th time it is left as it is.
fn pause(renewals: u32) -> Duration {
    match renewals {
        0 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 1).min(6)).min(LONGEST_PAUSE),
    }
}

/// What is to be remembered of each replica after another look, while `serving` is the master.
pub(super) fn watch(o: &Observation, now: &Memory, serving: Option<(&str, &Info)>) -> BTreeMap<String, LinkTrouble> {
    let Some((master, master_info)) = serving.filter(|_| o.record.transition.is_none()) else { return BTreeMap::new() };
    let others = o.members.iter().filter(|(n, _)| *n != master);
    let trouble = others.filter_map(|(name, member)| {
        let before = now.links.get(name).filter(|t| t.master == master_info.run_id);
        let deaf = is_behind_for(o, now, name, DEAF_AFTER);
        let after = match liveness(o, member) {
            Liveness::Alive(info) => {
                trouble(o, name, info, deaf, (master, master_info), before.filter(|t| t.run_id == info.run_id))
            }
            _ => before.cloned(),
        };
        Some((name.clone(), after?))
    });
    trouble.collect()
}

fn trouble(
    o: &Observation,
    name: &str,
    info: &Info,
    deaf: bool,
    (master, master_info): (&str, &Info),
    before: Option<&LinkTrouble>,
) -> Option<LinkTrouble> {
    let replica = info.replica()?;
    if info.follows_nobody() {
        let mut t = before?.clone();
        if t.state != State::Detached {
            // it was made to, or its link was given up for another reason, which begins anew
            t.cause = Some(t.fault(is_seen(o, name, master_info), o.now)?);
            (t.state, t.at, t.copies, t.renewals) = (State::Detached, o.now, 0, t.renewals.saturating_add(1));
        }
        return Some(t);
    }
    if !points_at(o, master, info) {
        return None;
    }
    let state = match replica.follow {
        _ if info.loading => State::Copying(info.loading_percent),
        FollowState::Connecting | FollowState::Handshake => State::Waiting,
        FollowState::Syncing(percent) => State::Copying(percent),
        FollowState::Online if deaf => State::Deaf,
        FollowState::Online => State::Following,
    };
    let mut t = match (before, state) {
        (None, State::Following) => return None,
        (Some(t), _) => t.clone(),
        (None, _) => LinkTrouble {
            run_id: info.run_id.clone(),
            master: master_info.run_id.clone(),
            at: o.now,
            copies: 0,
            cause: None,
            renewals: 0,
            state,
            waits: (o.now, None),
            given: None,
            counted: o.asked_at(name),
        },
    };
    if t.state == State::Detached || (t.state == State::Following) != (state == State::Following) {
        (t.at, t.given) = (o.now, None);
    }
    if t.state != state || o.asked_at(name) > t.counted {
        t.count(state, o.now, (o.asked_at(master), master_info.full_syncs));
        t.counted = o.asked_at(name);
    }
    let others = o.members.keys().filter(|n| *n != name && *n != master);
    t.count_alone(others.into_iter().all(|n| is_online(o, n)) && o.asked_at(master) > t.at, master_info.full_syncs);
    let over = state == State::Following && (t.renewals == 0 || o.now >= t.at + OVER_AFTER);
    (!over).then_some(t)
}

pub(super) fn is_online(o: &Observation, name: &str) -> bool {
    o.members.get(name).is_some_and(|m| matches!(liveness(o, m), Liveness::Alive(info) if durability::online(info)))
}

/// Does it point at the master?
pub(super) fn points_at(o: &Observation, master: &str, info: &Info) -> bool {
    let address = o.address(master);
    info.replica().is_some_and(|r| Some(&r.master_host) == address.as_ref() && r.master_port == REDIS_PORT)
}

/// Has the master heard of it?
fn is_seen(o: &Observation, name: &str, master_info: &Info) -> bool {
    let address = o.address(name);
    master_info.slaves().iter().any(|s| Some(&s.ip) == address.as_ref())
}

/// Since when replicas whose link is up have stood still without what the master had.
pub(super) fn behind(o: &Observation, before: &Memory, serving: Option<(&str, &Info)>) -> BTreeMap<String, Moment> {
    let Some((master, master_info)) = serving else { return BTreeMap::new() };
    let asked = o.asked_at(master);
    let others = o.members.iter().filter(|(n, _)| *n != master);
    let behind = others.filter_map(|(name, member)| {
        let Liveness::Alive(info) = liveness(o, member) else { return None };
        let still =
            member.server.offset_stall.filter(|s| s.length() >= STANDS_STILL && member.asked_at() >= s.since)?;
        let lacks =
            info.is_online() && info.replication_id == master_info.replication_id && info.offset < master_info.offset;
        let known = before.behind.get(name).filter(|since| **since >= still.since).copied();
        lacks.then(|| (name.clone(), known.unwrap_or(asked.max(still.since))))
    });
    behind.collect()
}

/// Does one member at least follow the master, by its own word too? The master counts one as online that has been sent a copy
/// and may not be able to load it.
pub(super) fn has_company(o: &Observation, master: &str) -> bool {
    o.members.keys().any(|n| n != master && is_online(o, n) && !is_stalled(o, n))
}

fn is_behind_for(o: &Observation, memory: &Memory, name: &str, long: Duration) -> bool {
    let still = o.members.get(name).and_then(|m| m.server.offset_stall);
    memory.behind.get(name).zip(still).is_some_and(|(since, still)| still.until >= *since + long)
}

/// Does this replica hear nothing from the master, although its link is up? Its data is out of date.
pub fn is_stalled(o: &Observation, name: &str) -> bool {
    o.memory.links.get(name).is_some_and(|t| t.state == State::Deaf)
}

/// Is the link of this replica, which points at the master, to be given up now?
pub(super) fn give_up(o: &Observation, name: &str, master_info: &Info, p: &mut Plan) -> bool {
    let cause = o.memory.links.get(name).and_then(|t| t.fault(is_seen(o, name, master_info), o.now));
    let Some(cause) = cause.filter(|_| o.record.transition.is_none()) else { return false };
    let reason = match cause {
        LinkFault::Copies => {
            "its full copies of the master's data fail, and each costs the master a fork: it tries again later"
        }
        LinkFault::Deaf => "its link is up and nothing comes over it: it is opened again",
        LinkFault::Unconnected => "its link to the master does not come about: it is opened again",
    };
    p.steps.push(Step::Detach { member: name.to_owned(), reason: reason.into() });
    true
}

/// Is it too early for this replica, whose copies have failed, to ask for the next?
pub(super) fn rests(o: &Observation, name: &str) -> bool {
    let rests = |t: &&LinkTrouble| t.state == State::Detached && t.cause == Some(LinkFault::Copies);
    o.memory.links.get(name).filter(rests).is_some_and(|t| o.now < t.at + pause(t.renewals))
}

/// Is it known that this replica cannot follow the master as both are?
pub(super) fn is_hopeless(o: &Observation, name: &str) -> bool {
    o.memory.links.get(name).is_some_and(|t| t.cause == Some(LinkFault::Copies) && t.state != State::Following)
}

/// When more may be done for them, and whom a fresh answer tells of.
pub(super) fn look(o: &Observation, master: &str, p: &mut Plan) {
    let mut members = Vec::new();
    for (name, t) in &o.memory.links {
        if rests(o, name) {
            let until = t.at + pause(t.renewals);
            p.wake_by(until);
        } else if t.renewals > 0 && t.state != State::Following && o.now < t.at + WATCHED_FOR {
            members.push(name.clone());
        }
    }
    if !members.is_empty() {
        members.push(master.to_owned());
        p.steps.push(Step::Refresh { members });
    }
}

/// Why this replica does not follow the master, as far as it is known. The words stay the same as long as the trouble does.
pub fn message(o: &Observation, name: &str) -> Option<String> {
    let t = o.memory.links.get(name).filter(|t| t.state != State::Following)?;
    let cause = if t.state == State::Deaf { LinkFault::Deaf } else { t.cause? };
    Some(match cause {
        LinkFault::Deaf => "it has heard nothing from the master for some seconds, although its link is up: packets between them are lost; its link is opened again after growing pauses".into(),
        LinkFault::Unconnected => "it has heard nothing from the master, and gets no connection to it; check the network between them, whether both were started with the same password, and settings such as bind-source-addr".into(),
        LinkFault::Copies => format!(
            "it copied the master's data several times and did not come to follow{}; it tries again after growing pauses, of a minute at most",
            versions(o, name)
        ),
    })
}

/// Is one of an older version, which may not be able to read the other's snapshot?
fn versions(o: &Observation, name: &str) -> String {
    let info = |name: &str| o.members.get(name)?.server.info.as_ref().map(|(_, info)| info);
    let master = o.record.master.as_deref().and_then(info);
    match (info(name), master) {
        (Some(replica), Some(master)) if replica.product != master.product => {
            format!(": {} may not be able to load the snapshot of the master's {}", replica.product, master.product)
        }
        _ => ": its log and the master's say why".into(),
    }
}

#[cfg(test)]
#[path = "following_tests.rs"]
mod tests;
