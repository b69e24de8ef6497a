//! What a user reads: `status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Outcome, TransitionKind, TransitionPhase};

/// What the operator knows and has decided. Written only when something changes: at rest nothing is written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisReplicationStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The pod that may accept writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// How often the master has been chosen. Grows with every transition and never falls.
    #[serde(default)]
    #[schemars(range(min = 0, max = 281_474_976_710_655_i64))]
    pub epoch: i64,
    /// The master's replication id: a member with another one has another history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_id: Option<String>,
    /// The history that the master's continues: that of members which have not followed it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_replication_id: Option<String>,
    /// The master refuses writes while fewer replicas than this follow it (its `min-replicas-to-write` is this or more).
    /// Recorded after it was set and before it is lowered: a master that nobody can reach is known to be fenced by it.
    #[serde(default)]
    pub min_replicas_to_write: i32,
    /// So many replicas hold every write that `WAIT` reported as confirmed by `durability.waitReplicas`. A greater number is
    /// recorded only when what was written before is on so many.
    #[serde(default)]
    pub wait_replicas: i32,
    /// The change of master in progress. Written before the act that it announces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// The last change of master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition: Option<CompletedTransition>,
    /// A master was chosen whose data does not continue that of the one before it. Stays until it is acknowledged by the
    /// annotation `redis.replication.dev/acknowledged-epoch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_replaced: Option<DataReplaced>,
    /// The pods, by name.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub members: Vec<MemberStatus>,
    /// Pods that exist (for the scale subresource).
    #[serde(default)]
    pub replicas: i32,
    /// Members that serve: the master, and the replicas that follow it and are loaded.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the pods (for the scale subresource).
    #[serde(default)]
    pub selector: String,
    /// `Ready`, `MasterAvailable`, `Replicating`, `Progressing`, `FailoverBlocked`, `DataIntact`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A change of master in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// The epoch that it opens.
    pub epoch: i64,
    /// Why the master changes: it was lost, it hands over, or there was none.
    pub kind: TransitionKind,
    /// How far it is.
    pub phase: TransitionPhase,
    /// The master until now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The master to be. Never changed within an epoch.
    pub to: String,
    /// The evidence, in words.
    pub reason: String,
    /// When it began.
    pub since: MicroTime,
}

/// A change of master that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletedTransition {
    /// The epoch that it opened.
    pub epoch: i64,
    /// Why the master changed.
    pub kind: TransitionKind,
    /// The master before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The master after; of an abandoned switchover, the one that was meant.
    pub to: String,
    /// The evidence, in words.
    pub reason: String,
    /// When it began.
    pub started_at: MicroTime,
    /// Milliseconds from its beginning to the moment when the master Service named the new master.
    pub duration_ms: i64,
    /// How it ended.
    pub outcome: Outcome,
}

/// Data that was exchanged for other data, or for none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataReplaced {
    /// The epoch in which that master was chosen.
    pub epoch: i64,
    /// That master.
    pub master: String,
    /// What is known of what was lost, in words.
    pub reason: String,
    /// When.
    pub at: MicroTime,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Name of the pod.
    pub name: String,
    /// What it is at the moment.
    pub role: MemberRole,
    /// How far it is on the way to following the master; absent for the master itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<MemberPhase>,
    /// In a full sync: how much of the snapshot has arrived or is loaded, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_percent: Option<i32>,
    /// It may follow the master and confirm writes, so a failover under `Consistency` has to reckon with it.
    #[serde(default)]
    pub quorum_member: bool,
    /// The Redis process (`run_id` of INFO) when it was last known to have all data; another one may have lost some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The pod of that process (its UID).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// What is wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemberRole {
    /// It accepts writes.
    Master,
    /// It follows the master, or is on its way.
    Replica,
    /// It does not answer.
    Unknown,
}

/// The stages that every Redis replica goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemberPhase {
    /// It knows the master's address and tries to connect.
    Connecting,
    /// It is connected and proves who it is.
    Authenticating,
    /// It waits for the master's snapshot.
    AwaitingSnapshot,
    /// The snapshot arrives.
    Receiving,
    /// The snapshot, or its own file, is being loaded.
    Loading,
    /// It follows the stream of commands.
    Online,
    /// It does not answer.
    Lost,
}
