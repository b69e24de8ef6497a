//! Replicas of the master that are no members: a migration tool, a cluster of another region, the process of a pod that was
//! deleted by force. Redis counts them for `WAIT` and for `min-replicas-to-write`, and no failover can ask them. So they are
//! disconnected, and until that has had its effect nothing is relied on that they may have confirmed.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use super::{
    durability, following,
    memory::CatchUpTarget,
    observation::Observation,
    steps::{Plan, Step},
};
use crate::{info::Info, info::SlaveState};

/// One that connects again within this time is the same: it was reported already.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Those that the master lists and that are no members.
///
/// Where addresses are translated, the master lists a member under an address that is not its pod's. Such a member says that it
/// follows, and is not in the list: then only their number is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outsiders {
    /// Their addresses, if it is certain which they are.
    pub addresses: BTreeSet<String>,
    /// How many there are.
    pub count: usize,
}

/// Who follows `master` and is no member.
pub fn outsiders(o: &Observation, master: &str, master_info: &Info) -> Outsiders {
    let address = |slave: &SlaveState| slave.ip.parse::<IpAddr>().ok();
    let pods: BTreeSet<IpAddr> = o.members.values().filter_map(super::Member::ip).collect();
    let listed: BTreeSet<IpAddr> = master_info.slaves().iter().filter_map(address).collect();
    let unknown = master_info.slaves().iter().filter(|s| address(s).is_none_or(|ip| !pods.contains(&ip)));
    let unknown: Vec<_> = unknown.collect();
    let translated = o.members.iter().filter(|(n, m)| {
        *n != master
            && m.ip().is_some_and(|ip| !listed.contains(&ip))
            && m.server.info.as_ref().is_some_and(|(_, i)| i.is_online() && following::points_at(o, master, i))
    });
    let translated = translated.count();
    let addresses = if translated == 0 { unknown.iter().map(|s| s.ip.clone()).collect() } else { BTreeSet::new() };
    Outsiders { addresses, count: unknown.len().saturating_sub(translated) }
}

/// Disconnects those that are known.
pub(super) fn disconnect(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) {
    let Outsiders { addresses, .. } = outsiders(o, master, master_info);
    if !addresses.is_empty() {
        p.steps.push(Step::DropReplicas { member: master.to_owned(), addresses });
    }
}

/// What enough members have to have before a confirmed write is known to be on them, although outsiders may have confirmed it.
pub(super) fn watch(
    o: &Observation,
    before: Option<&CatchUpTarget>,
    serving: Option<(&str, &Info)>,
) -> Option<CatchUpTarget> {
    let Some((master, master_info)) = serving else { return before.cloned() };
    if outsiders(o, master, master_info).count > 0 {
        return Some(CatchUpTarget::since(o.now));
    }
    let mut target = before?.clone();
    target.set(o.asked_at(master), master_info);
    let holders = o.members.iter().filter(|(n, m)| {
        *n != master
            && m.server
                .info
                .as_ref()
                .is_some_and(|(_, i)| o.is_recorded_process(n, i) && durability::online(i) && target.is_reached_by(i))
    });
    (holders.count() < o.record.wait_replicas.max(1)).then_some(target)
}

#[cfg(test)]
#[path = "outsiders_tests.rs"]
mod tests;
