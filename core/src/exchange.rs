//! Does the data of the next master continue that of the former one? If not, the status says so until a user acknowledges it.

use super::{
    cause::Cause,
    durability,
    election::{self, Lineage},
    failover,
    observation::Observation,
    record::Replaced,
    steps::Plan,
    transition::{self, Choice},
};
use crate::{info::Info, kinds::TransitionKind, kinds::TransitionPhase};

/// Has the recorded process, which lost nothing of its memory, other data than the record says? Somebody made it follow a
/// stranger by hand. `false` while nothing tells: a master without replicas begins a new history by itself, and that
/// continues none.
pub(super) fn took_over_other_data(o: &Observation, info: &Info) -> bool {
    let foreign = o.record.replication_id.is_some() && election::lineage(o, info) == Lineage::Foreign;
    match info.replica() {
        // what it had is gone before the copy is loaded
        Some(_) => foreign || info.loading,
        None => foreign && info.previous_replication_id.is_some(),
    }
}

/// The recorded master has other data.
pub(super) fn answer(o: &Observation, master: &str, info: &Info, p: &mut Plan) {
    if info.is_master() {
        report(o, master, info, p);
    } else {
        replace(o, master, p);
    }
}

/// The recorded master has other data, and accepts no writes: another member that still has the recorded data takes its place.
/// Without one it is the master again, and the status says what happened.
fn replace(o: &Observation, master: &str, p: &mut Plan) {
    // a replica that follows it would copy what it has
    if failover::cut_off_since(o, master, "has data of another history", p).is_some() {
        let cause = Cause::DataExchanged;
        failover::elect_another(o, master, cause, &cause.to_string(), p);
    }
}

/// The recorded master has other data, and accepts writes again: it goes on, because it may have confirmed some. A new epoch
/// is what an earlier acknowledgement does not cover.
fn report(o: &Observation, master: &str, info: &Info, p: &mut Plan) {
    let cause = Cause::DataExchanged;
    let choice = Choice {
        cause,
        from: Some(master.to_owned()),
        to: master.to_owned(),
        phase: TransitionPhase::Promoting,
        reason: format!("{master}: {cause}"),
        min_replicas: o
            .record
            .min_replicas
            .min(durability::min_replicas_at_promotion(o, master))
            .min(info.min_replicas),
    };
    transition::begin(o, choice, p);
}

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
    // a process that has not restarted did not load its volume
    let loaded = o.settings.persistent && !o.is_recorded_process(to, info) && info.keys > 0;
    let own = loaded && o.record.master.as_deref() == Some(to);
    // another member's volume, after all have restarted from theirs: as many keys as the master had are taken for the same
    let as_many = loaded && o.memory.keys_before == Some(info.keys);
    if election::lineage(o, info) != Lineage::Foreign || own || as_many {
        return None;
    }
    let before = o.record.master.as_deref().unwrap_or("the master before");
    let former = o.members.get(before).and_then(|m| m.server.info.as_ref()).map(|(_, former)| former);
    if former.is_some_and(|former| o.is_recorded_process(before, former) && took_over_other_data(o, former)) {
        return Some(format!(
            "{before} followed a server that is no member, because somebody typed REPLICAOF, and that server's data took the place of its \
             own, which no member could continue; {to} is the master, with {}",
            count(info.keys)
        ));
    }
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
