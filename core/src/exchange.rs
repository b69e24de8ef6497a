//! Does the data of a master to be continue that of the one before it? If not, it is said until somebody acknowledges it.

use super::{
    election::{self, Lineage},
    failover,
    observation::Observation,
    record::Replaced,
};
use crate::kinds::TransitionKind;

/// What is to be recorded of it when `to` is chosen in `epoch`.
///
/// An earlier exchange stays recorded, unless its master was to be one in a change that has not ended: then it is
/// forgotten together with that choice.
pub(super) fn replaced(o: &Observation, kind: TransitionKind, epoch: i64, to: &str) -> Option<Replaced> {
    if let Some(reason) = exchanged(o, kind, to) {
        return Some(Replaced { epoch, master: to.to_owned(), reason });
    }
    let open = o.record.transition.as_ref().map(|t| t.epoch);
    o.record.replaced.clone().filter(|r| kind == TransitionKind::Switchover || Some(r.epoch) != open)
}

/// What is lost, as far as it is known; `None` if the data continues the recorded history, or is what the last master had on
/// its volume: an append-only file does not know the history that it is of.
fn exchanged(o: &Observation, kind: TransitionKind, to: &str) -> Option<String> {
    let recorded = o.record.epoch > 0 && o.record.replication_id.is_some();
    if kind == TransitionKind::Switchover || !recorded || failover::forced(o) {
        return None;
    }
    let (_, info) = o.members.get(to)?.server.info.as_ref()?;
    let own = o.settings.persistent && o.record.master.as_deref() == Some(to) && info.keys > 0;
    // another member's volume, after all have restarted from theirs: as many keys as the master had are taken for the same
    let as_many = o.settings.persistent && info.keys > 0 && o.memory.keys_before == Some(info.keys);
    if election::lineage(o, info) != Lineage::Foreign || own || as_many {
        return None;
    }
    let before = o.record.master.as_deref().unwrap_or("the master before");
    let had = match o.memory.keys_before {
        Some(0) if info.keys == 0 => return None, // nothing was there, and nothing is
        Some(keys) => format!("{before} had {} when it was last seen", count(keys)),
        None => format!("it is not known what {before} had"),
    };
    let has =
        if info.keys == 0 { "without data".into() } else { format!("with {} of another history", count(info.keys)) };
    Some(format!("{to} became the master {has}, because no member was left that continued the data of {before}; {had}"))
}

fn count(keys: u64) -> String {
    if keys == 1 { "1 key".into() } else { format!("{keys} keys") }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
