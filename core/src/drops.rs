//! Replicas that the master drops because their output buffer is full.

use std::collections::{BTreeMap, BTreeSet};

use super::observation::Observation;
use crate::info::Info;

/// What the master has said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// The master's process.
    run_id: String,
    /// How many connections it has closed because their output buffer was full.
    closed: u64,
    /// How many copies it has given.
    copies: u64,
    /// The replicas that were connected to it, by address.
    served: BTreeSet<String>,
    /// The members that were dropped, and have not followed since.
    dropped: BTreeSet<String>,
}

impl Drops {
    /// What is known after another look.
    pub(super) fn after(&self, o: &Observation, master: &Info) -> Self {
        let slaves = master.slaves();
        let served: BTreeSet<_> = slaves.iter().map(|s| s.ip.clone()).collect();
        // one that is there again has to begin anew; a copy that is sent without a file counts as waiting from first to last
        let again = |ip: &String| {
            master.full_syncs > self.copies && slaves.iter().any(|s| s.ip == *ip && s.state == "wait_bgsave")
        };
        let same = self.run_id == master.run_id;
        let mut dropped = if same { self.dropped.clone() } else { BTreeSet::new() };
        if same && master.buffer_drops > self.closed {
            let addresses = o.members.iter().filter_map(|(name, m)| Some((m.ip()?.to_string(), name.clone())));
            let names: BTreeMap<_, _> = addresses.collect();
            let lost = self.served.iter().filter(|ip| !served.contains(*ip) || again(ip));
            dropped.extend(lost.filter_map(|ip| names.get(ip).cloned()));
        }
        let follows = |name: &String| {
            o.members.get(name).and_then(|m| m.server.info.as_ref()).is_some_and(|(_, info)| info.is_online())
        };
        dropped.retain(|name| o.members.contains_key(name) && !follows(name));
        let (closed, copies) = (master.buffer_drops, master.full_syncs);
        Self { run_id: master.run_id.clone(), closed, copies, served, dropped }
    }

    /// Was this member dropped, and has not followed since?
    pub fn is_dropped(&self, member: &str) -> bool {
        self.dropped.contains(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture, info::FollowState, info::MasterSide, info::Role};

    #[test]
    fn one_that_the_master_drops_is_told_from_one_that_leaves() {
        let mut o = fixture::healthy(3);
        let look = |o: &mut Observation,
                    drops: &Drops,
                    (closed, copies): (u64, u64),
                    states: &[(usize, &str)],
                    syncing: bool| {
            let mut master = o.info(0).clone();
            (master.buffer_drops, master.full_syncs) = (closed, copies);
            if let Role::Master(side) = &mut master.role {
                side.slaves.retain(|s| states.iter().any(|(i, _)| s.ip == fixture::ip(*i).to_string()));
                for slave in &mut side.slaves {
                    let state = states.iter().find(|(i, _)| slave.ip == fixture::ip(*i).to_string());
                    slave.state = state.map(|(_, state)| (*state).to_owned()).unwrap_or_default();
                }
            }
            if let Role::Replica(side) = &mut o.info(1).role {
                side.follow = if syncing { FollowState::Syncing(None) } else { FollowState::Online };
            }
            drops.after(o, &master)
        };
        let began = look(&mut o, &Drops::default(), (7, 3), &[(1, "send_bulk"), (2, "online")], true);
        assert!(!began.is_dropped("shop-1"), "what was closed before is not known to be its");
        let left = look(&mut o, &began, (7, 3), &[(2, "online")], true);
        assert!(!left.is_dropped("shop-1"), "it went by itself");
        for state in ["send_bulk", "wait_bgsave"] {
            let another = look(&mut o, &began, (8, 3), &[(1, state), (2, "online")], true);
            assert!(!another.is_dropped("shop-1") && !another.is_dropped("shop-2"), "some client's: {state}");
        }
        let others = look(&mut o, &began, (8, 4), &[(1, "send_bulk"), (2, "online")], true);
        assert!(!others.is_dropped("shop-1"), "its copy goes on");
        for (now, copies) in [(&[(2, "online")][..], 3), (&[(1, "wait_bgsave"), (2, "online")], 4)] {
            let dropped = look(&mut o, &began, (8, copies), now, true);
            assert!(dropped.is_dropped("shop-1") && !dropped.is_dropped("shop-2"));
            let again = look(&mut o, &dropped, (8, 4), &[(1, "send_bulk"), (2, "online")], true);
            assert!(again.is_dropped("shop-1"), "it copies again, and is not there yet");
            let follows = look(&mut o, &again, (8, 4), &[(1, "online"), (2, "online")], false);
            assert!(!follows.is_dropped("shop-1"));
        }
    }

    #[test]
    fn another_master_counts_anew() {
        let mut o = fixture::healthy(2);
        let mut master = o.info(0).clone();
        let began = Drops::default().after(&o, &master);
        (master.run_id, master.buffer_drops, master.role) = ("other".into(), 9, Role::Master(MasterSide::default()));
        if let Role::Replica(side) = &mut o.info(1).role {
            side.follow = FollowState::Connecting;
        }
        assert!(!began.after(&o, &master).is_dropped("shop-1"));
    }
}
