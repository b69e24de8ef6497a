//! From an observation to the status that a user reads. Pure, and decides nothing: what it says of the record is what the
//! record says.

mod conditions;
mod members;
pub mod record;
mod remedy;
mod trouble;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;

use super::{ignored::ignored, registry::ReconcileReport};
use crate::{
    api::{ConditionType, MemberPhase, RedisReplication, RedisReplicationStatus},
    objects::names,
    replication::{Observation, Plan, serving_master},
};
use trouble::Place;

/// What the status should say.
pub fn describe(
    o: &Observation,
    p: &Plan,
    resource: &RedisReplication,
    report: &ReconcileReport,
    now: Timestamp,
) -> RedisReplicationStatus {
    let old = resource.status.clone().unwrap_or_default();
    let serving = serving_master(o);
    let online = |name: &str| o.members.get(name).is_some_and(|m| members::phase(o, m) == Some(MemberPhase::Online));
    let place = Place::of(resource);
    let ready = o.members.keys().filter(|n| serving.is_some_and(|(m, _)| m == *n) || online(n)).count();
    let mut status = RedisReplicationStatus {
        observed_generation: report.generation.or(old.observed_generation),
        last_transition: old.last_transition.clone(),
        members: members::describe(o, &place, serving),
        replicas: count(o.members.values().filter(|m| m.pod.is_some()).count()),
        ready_replicas: count(ready),
        selector: names::selector(&o.settings.name),
        ..record::write(&o.record, &old, now)
    };
    let generation = resource.meta().generation;
    status.conditions = conditions::judge(o, p, report, &place, &status)
        .into_iter()
        .map(|(type_, holds, reason, mut message)| {
            if type_ == ConditionType::Ready {
                message = [message].into_iter().chain(ignored(resource)).collect::<Vec<_>>().join("; ");
            }
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

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
