//! From an observation to the status that a person reads. Pure, and decides nothing: what it says of the record is what the
//! record says.

mod conditions;
mod members;
mod remedy;
mod trouble;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{Resource, ResourceExt};

use super::registry::ObjectsReport;
use crate::{
    api::{DataReplaced, MemberPhase, RedisReplication, RedisReplicationStatus, Transition, acknowledged_epoch},
    objects::names,
    replication::{Observation, Plan, serving_master},
};
use trouble::Place;

/// What the status should say.
pub fn describe(
    o: &Observation,
    p: &Plan,
    resource: &RedisReplication,
    report: &ObjectsReport,
    now: Timestamp,
) -> RedisReplicationStatus {
    let old = resource.status.clone().unwrap_or_default();
    let master = o.record.master.clone();
    let serving = serving_master(o);
    let transition = o.record.transition.as_ref().map(|t| Transition {
        epoch: t.epoch,
        kind: t.kind,
        phase: t.phase,
        from: t.from.clone(),
        to: t.to.clone(),
        reason: t.reason.clone(),
        since: match &old.transition {
            Some(before) if before.epoch == t.epoch => before.since.clone(),
            _ => MicroTime(now),
        },
    });
    let online = |name: &str| o.members.get(name).is_some_and(|m| members::phase(o, m) == Some(MemberPhase::Online));
    let place = Place::of(resource);
    let ready = o.members.keys().filter(|n| serving.is_some_and(|(m, _)| m == *n) || online(n)).count();
    let mut status = RedisReplicationStatus {
        observed_generation: report.generation.or(old.observed_generation),
        master,
        epoch: o.record.epoch,
        replication_id: o.record.replication_id.clone(),
        previous_replication_id: o.record.previous_replication_id.clone(),
        min_replicas_to_write: count(o.record.fence),
        wait_replicas: count(o.record.wait_replicas),
        transition,
        last_transition: old.last_transition.clone(),
        data_replaced: data_replaced(o, resource, now),
        members: members::describe(o, &place, serving),
        replicas: count(o.members.values().filter(|m| m.pod.is_some()).count()),
        ready_replicas: count(ready),
        selector: names::selector(&o.settings.name),
        conditions: Vec::new(),
    };
    let generation = resource.meta().generation;
    status.conditions = conditions::judge(o, p, report, &place, &status)
        .into_iter()
        .map(|(type_, holds, reason, message)| {
            let (type_, value) = (type_.to_string(), if holds { "True" } else { "False" });
            let before = old.conditions.iter().find(|c| c.type_ == type_ && c.status == value);
            Condition {
                last_transition_time: before.map_or(Time(now), |c| c.last_transition_time.clone()),
                message,
                observed_generation: report.generation.or(generation),
                reason: reason.to_string(),
                status: value.into(),
                type_,
            }
        })
        .collect();
    status
}

/// What nobody has acknowledged yet.
fn data_replaced(o: &Observation, resource: &RedisReplication, now: Timestamp) -> Option<DataReplaced> {
    let replaced = o.record.replaced.as_ref().filter(|r| r.epoch > acknowledged_epoch(resource.annotations()))?;
    let before = resource.status.as_ref().and_then(|s| s.data_replaced.as_ref()).filter(|b| b.epoch == replaced.epoch);
    Some(DataReplaced {
        epoch: replaced.epoch,
        master: replaced.master.clone(),
        reason: replaced.reason.clone(),
        at: before.map_or(MicroTime(now), |b| b.at.clone()),
    })
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
