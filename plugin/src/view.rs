//! What `status` shows of one resource, as data. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt;
use redis_replication_operator::api::{
    CompletedTransition, ConditionType, FailoverPolicy, MemberPhase, MemberRole, Reason, RedisReplication, Transition,
};
use serde::Serialize;

use crate::{
    cluster,
    live::{Live, lag},
};

/// One resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub namespace: String,
    /// The condition `Ready` is true, and it is about the present spec.
    pub healthy: bool,
    /// The reason of the condition `Ready`.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// Who may accept writes.
    pub master: Option<String>,
    /// How often the master has been chosen.
    pub epoch: i64,
    /// What to prefer when data and availability conflict.
    pub policy: FailoverPolicy,
    /// How many replicas are to confirm a write.
    pub wait_replicas: usize,
    /// The member that is to be the master whenever it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_master: Option<String>,
    /// `spec.paused`.
    pub paused: bool,
    /// Members that serve.
    pub ready_replicas: i32,
    /// Members wanted.
    pub replicas: i32,
    /// What is not as it should be, and why.
    pub waiting_for: Vec<Waiting>,
    /// The change of master in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// The last change of master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition: Option<CompletedTransition>,
    /// The pods.
    pub members: Vec<Member>,
    /// When the resource was made.
    pub created: Option<Time>,
    /// What could not be found out, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Conditions that say the same: something is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Their types.
    pub conditions: Vec<String>,
    /// Their reason.
    pub reason: String,
    /// Their message.
    pub message: String,
    /// Since when.
    pub since: Option<Time>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name of the pod.
    pub name: String,
    /// The node that it is on.
    pub node: Option<String>,
    /// What it is.
    pub role: MemberRole,
    /// How far it is on the way to following the master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<MemberPhase>,
    /// Bytes of the history that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Bytes that it lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Seconds since the master heard from it, or it from the master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u64>,
    /// How much of the data it has, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_percent: Option<f64>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A resource, its pods, and what those said at this moment.
/// `pods` is `None` where they were not read.
pub fn view(resource: &RedisReplication, pods: Option<&[Pod]>, lives: &BTreeMap<String, Live>) -> View {
    let status = resource.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|c| c.type_ == ConditionType::Ready.to_string());
    let stale = resource.metadata.generation.is_some_and(|now| status.observed_generation.unwrap_or(0) < now);
    let unseen = resource.status.is_none();
    View {
        name: resource.name_any(),
        namespace: resource.namespace().unwrap_or_default(),
        healthy: !stale && ready.is_some_and(|c| c.status == "True"),
        reason: ready.map_or("Unknown", |c| &c.reason).to_owned(),
        message: ready.map_or("", |c| &c.message).to_owned(),
        master: status.master.clone(),
        epoch: status.epoch,
        policy: resource.spec.failover_policy(),
        wait_replicas: resource.spec.wait_replicas(),
        preferred_master: resource.spec.failover.as_ref().and_then(|failover| failover.preferred_master.clone()),
        paused: resource.spec.paused,
        ready_replicas: status.ready_replicas,
        replicas: resource.spec.replicas,
        waiting_for: waiting(resource, stale, unseen),
        transition: status.transition.clone(),
        last_transition: status.last_transition.clone(),
        members: cluster::members(resource).iter().map(|name| member(resource, name, pods, lives)).collect(),
        created: resource.metadata.creation_timestamp.clone(),
        notes: Vec::new(),
    }
}

fn member(resource: &RedisReplication, name: &str, pods: Option<&[Pod]>, lives: &BTreeMap<String, Live>) -> Member {
    let status = resource.status.as_ref();
    let said = status.and_then(|status| status.members.iter().find(|member| member.name == name));
    let pod = pods.and_then(|pods| pods.iter().find(|pod| pod.name_any() == name));
    let live = lives.get(name);
    let master = status.and_then(|status| status.master.as_ref());
    let master = master.filter(|master| *master != name).and_then(|master| lives.get(master)).filter(|m| m.master);
    let address = pod.and_then(|pod| pod.status.as_ref()).and_then(|status| status.pod_ip.as_deref());
    let lag = master.zip(live).map(|(master, replica)| lag(master, replica, address));
    let phase = said.and_then(|member| member.phase);
    let percent = match phase {
        Some(MemberPhase::Online) => Some(100.0),
        _ => live
            .and_then(|live| live.sync_percent)
            .or_else(|| said.and_then(|member| member.sync_percent).map(f64::from)),
    };
    Member {
        name: name.to_owned(),
        node: pod.and_then(|pod| pod.spec.as_ref()).and_then(|spec| spec.node_name.clone()),
        role: said.map_or(MemberRole::Unknown, |member| member.role),
        phase,
        offset: live.map(|live| live.offset),
        lag_bytes: lag.map(|lag| lag.bytes),
        lag_seconds: lag.and_then(|lag| lag.seconds),
        sync_percent: percent,
        message: match (said, pod) {
            (Some(member), _) if member.message.is_some() => member.message.clone(),
            (_, None) => pods.is_some().then(|| "there is no pod".into()),
            (_, Some(pod)) if pod.metadata.deletion_timestamp.is_some() => Some("is being deleted".into()),
            _ => None,
        },
    }
}

/// Conditions that are not as they should be. Those of the same reason and words are told once.
fn waiting(resource: &RedisReplication, stale: bool, unseen: bool) -> Vec<Waiting> {
    let mut all: Vec<Waiting> = Vec::new();
    let silent = |message: &str| Waiting {
        conditions: Vec::new(),
        reason: "OperatorSilent".into(),
        message: message.to_owned(),
        since: None,
    };
    match (unseen, stale) {
        (true, _) => all.push(silent("the operator has not looked at it yet: does it run, and in this namespace?")),
        (false, true) => all.push(silent("the operator has not seen the newest spec yet: does it run?")),
        _ => {}
    }
    let conditions = resource.status.iter().flat_map(|status| &status.conditions);
    for condition in conditions {
        let should_be = match condition.type_.as_str() {
            "Progressing" | "FailoverBlocked" => "False",
            _ => "True",
        };
        if condition.status == should_be || condition.reason == Reason::SingleMember.to_string() {
            continue;
        }
        let same = all.iter_mut().find(|w| w.reason == condition.reason && w.message == condition.message);
        if let Some(same) = same {
            same.conditions.push(condition.type_.clone());
        } else {
            all.push(Waiting {
                conditions: vec![condition.type_.clone()],
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                since: Some(condition.last_transition_time.clone()),
            });
        }
    }
    all
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
