//! What a user writes: `spec`, its defaults and the rules that the API server checks.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FailoverPolicy, config::ConfigValue, status::RedisReplicationStatus};

/// An image: no spaces and no control characters.
const IMAGE: &str = "^[!-~]+$";
/// The name of another object.
const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A quantity above zero. A size can't be changed later, so a wrong one must not get in.
const SIZE: &str = r"^\+?(0*[1-9][0-9]*(\.[0-9]*)?|0*\.0*[1-9][0-9]*)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$";

/// One Redis or Valkey master with replicas that follow it, kept so by the operator: whatever dies, there is always
/// exactly one master and it has the newest data.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "redis.replication.dev",
    version = "v1alpha1",
    kind = "RedisReplication",
    plural = "redisreplications",
    shortname = "rr",
    namespaced,
    status = "RedisReplicationStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Master", type_ = "string", json_path = ".status.master", description = "the pod that accepts writes"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas", description = "members that serve: the master and the replicas that follow it"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas", description = "members wanted"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "the reason of the condition Ready"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", description = "how often the master has changed", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    cel,
    validation = Rule::new("!has(self.spec.failover) || !has(self.spec.failover.preferredMaster) || (self.spec.failover.preferredMaster.startsWith(self.metadata.name + '-') && self.spec.failover.preferredMaster.substring(size(self.metadata.name) + 1).matches('^[0-8]$'))")
        .message("spec.failover.preferredMaster must be the name of one of the pods: <metadata.name>-0 and so on"),
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name may have 40 characters at most: the names of pods and Services are made from it; choose a shorter one"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be lower-case letters, digits and '-', and start with a letter: Services are named after it")
)]
#[x_kube(validation = Rule::new("!has(self.durability) || self.durability.waitReplicas < self.replicas")
    .message("spec.durability.waitReplicas must be less than spec.replicas: one of the members is the master; lower it, or raise replicas")
    .field_path(".durability.waitReplicas"))]
#[x_kube(validation = Rule::new("!has(self.failover) || self.failover.policy != 'Consistency' || self.replicas > 1")
    .message("spec.failover.policy Consistency needs spec.replicas of 2 or more: without a replica no write can be confirmed")
    .field_path(".failover.policy"))]
#[x_kube(validation = Rule::new("!has(self.config) || !self.config.exists(k, k.lowerAscii() == 'save') || (has(self.persistence) && self.persistence.mode in ['RDB', 'RDBAndAOF'])")
    .message("spec.config.save is the times of snapshots, which spec.persistence.mode RDB and RDBAndAOF write and the others do not: change the mode, or remove save")
    .field_path(".config"))]
#[x_kube(validation = Rule::new("has(self.persistence) == has(oldSelf.persistence)")
    .message("spec.persistence can't be added or removed later: a StatefulSet's volume claims are fixed; make a second RedisReplication with it and move the data (docs/operations.md)")
    .field_path(".persistence"))]
#[serde(rename_all = "camelCase")]
pub struct RedisReplicationSpec {
    /// Redis pods in all: one master, the others follow it. 1 to 9; default 3. A change adds or removes pods with the
    /// highest numbers and restarts none; if the master is among those to go, it hands over first.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 9))]
    pub replicas: i32,

    /// Container image: any Redis from 6.2 or Valkey from 7.2 with `sh` and `redis-cli` or `valkey-cli` in its PATH.
    /// Default `redis:8.0`. A change restarts the pods one by one, replicas first.
    #[serde(default = "default_image")]
    #[schemars(length(min = 1, max = 512), regex(pattern = IMAGE))]
    pub image: String,

    /// When the kubelet pulls the image: `Always`, `IfNotPresent` or `Never`. Absent: Kubernetes decides by the tag. A change
    /// restarts the pods one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Secrets in this namespace that hold the registry's credentials. Absent: none. A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// Directives of redis.conf, e.g. `maxmemory: 2gb`. Integers may be written plainly; quote fractions, and `"yes"` and `"no"`, which
    /// YAML takes for booleans. A directive that is given several times has one value on each line. A change restarts the
    /// pods one by one, replicas first; one of `save` restarts nothing. `save: "900 1 300 10"` says when snapshots are written
    /// under `persistence.mode` `RDB` and `RDBAndAOF`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200))]
    #[x_kube(
        validation = Rule::new("!('aclfile' in self)")
            .message("spec.config may not set aclfile, which the operator sets itself: remove it; for the password use spec.auth"),
        validation = Rule::new("!('appenddirname' in self)")
            .message("spec.config may not set appenddirname, which the operator sets itself: remove it; files are in the volume that spec.persistence makes"),
        validation = Rule::new("!('appendfilename' in self)")
            .message("spec.config may not set appendfilename, which the operator sets itself: remove it; files are in the volume that spec.persistence makes"),
        validation = Rule::new("!('appendonly' in self)")
            .message("spec.config may not set appendonly, which the operator sets itself: remove it; use spec.persistence.mode"),
        validation = Rule::new("!('bind' in self)")
            .message("spec.config may not set bind, which the operator sets itself: remove it"),
        validation = Rule::new("!('cluster-enabled' in self)")
            .message("spec.config may not set cluster-enabled, which the operator sets itself: remove it; the operator does not run Redis Cluster"),
        validation = Rule::new("!('daemonize' in self)")
            .message("spec.config may not set daemonize, which the operator sets itself: remove it"),
        validation = Rule::new("!('dbfilename' in self)")
            .message("spec.config may not set dbfilename, which the operator sets itself: remove it; files are in the volume that spec.persistence makes"),
        validation = Rule::new("!('dir' in self)")
            .message("spec.config may not set dir, which the operator sets itself: remove it; files are in the volume that spec.persistence makes"),
        validation = Rule::new("!('include' in self)")
            .message("spec.config may not set include, which the operator sets itself: remove it; write the directives themselves into spec.config"),
        validation = Rule::new("!('logfile' in self)")
            .message("spec.config may not set logfile, which the operator sets itself: remove it; Redis' log is that of its container"),
        validation = Rule::new("!('masterauth' in self)")
            .message("spec.config may not set masterauth, which the operator sets itself: remove it; for the password use spec.auth"),
        validation = Rule::new("!('masteruser' in self)")
            .message("spec.config may not set masteruser, which the operator sets itself: remove it; for the password use spec.auth"),
        validation = Rule::new("!('min-replicas-max-lag' in self)")
            .message("spec.config may not set min-replicas-max-lag, which the operator sets itself: remove it; use spec.durability.waitReplicas and spec.failover.policy"),
        validation = Rule::new("!('min-replicas-to-write' in self)")
            .message("spec.config may not set min-replicas-to-write, which the operator sets itself: remove it; use spec.durability.waitReplicas and spec.failover.policy"),
        validation = Rule::new("!('min-slaves-max-lag' in self)")
            .message("spec.config may not set min-slaves-max-lag, which the operator sets itself: remove it; use spec.durability.waitReplicas and spec.failover.policy"),
        validation = Rule::new("!('min-slaves-to-write' in self)")
            .message("spec.config may not set min-slaves-to-write, which the operator sets itself: remove it; use spec.durability.waitReplicas and spec.failover.policy"),
        validation = Rule::new("!('pidfile' in self)")
            .message("spec.config may not set pidfile, which the operator sets itself: remove it"),
        validation = Rule::new("!('port' in self)")
            .message("spec.config may not set port, which the operator sets itself: remove it; for the port of clients use spec.services"),
        validation = Rule::new("!('protected-mode' in self)")
            .message("spec.config may not set protected-mode, which the operator sets itself: remove it"),
        validation = Rule::new("!('rename-command' in self)")
            .message("spec.config may not set rename-command, which the operator sets itself: remove it"),
        validation = Rule::new("!('repl-ping-replica-period' in self)")
            .message("spec.config may not set repl-ping-replica-period, which the operator sets itself: remove it"),
        validation = Rule::new("!('repl-ping-slave-period' in self)")
            .message("spec.config may not set repl-ping-slave-period, which the operator sets itself: remove it"),
        validation = Rule::new("!('replica-announce-ip' in self)")
            .message("spec.config may not set replica-announce-ip, which the operator sets itself: remove it"),
        validation = Rule::new("!('replica-announce-port' in self)")
            .message("spec.config may not set replica-announce-port, which the operator sets itself: remove it"),
        validation = Rule::new("!('replica-read-only' in self)")
            .message("spec.config may not set replica-read-only, which the operator sets itself: remove it"),
        validation = Rule::new("!('replica-serve-stale-data' in self)")
            .message("spec.config may not set replica-serve-stale-data, which the operator sets itself: remove it"),
        validation = Rule::new("!('replicaof' in self)")
            .message("spec.config may not set replicaof, which the operator sets itself: remove it; for another master use the annotation redis.replication.dev/switchover-to"),
        validation = Rule::new("!('requirepass' in self)")
            .message("spec.config may not set requirepass, which the operator sets itself: remove it; for the password use spec.auth"),
        validation = Rule::new("!('slave-announce-ip' in self)")
            .message("spec.config may not set slave-announce-ip, which the operator sets itself: remove it"),
        validation = Rule::new("!('slave-announce-port' in self)")
            .message("spec.config may not set slave-announce-port, which the operator sets itself: remove it"),
        validation = Rule::new("!('slave-read-only' in self)")
            .message("spec.config may not set slave-read-only, which the operator sets itself: remove it"),
        validation = Rule::new("!('slave-serve-stale-data' in self)")
            .message("spec.config may not set slave-serve-stale-data, which the operator sets itself: remove it"),
        validation = Rule::new("!('slaveof' in self)")
            .message("spec.config may not set slaveof, which the operator sets itself: remove it; for another master use the annotation redis.replication.dev/switchover-to"),
        validation = Rule::new("!('supervised' in self)")
            .message("spec.config may not set supervised, which the operator sets itself: remove it"),
        validation = Rule::new("!('unixsocket' in self)")
            .message("spec.config may not set unixsocket, which the operator sets itself: remove it"),
        validation = Rule::new("!('user' in self)")
            .message("spec.config may not set user, which the operator sets itself: remove it; for the password use spec.auth"),
        validation = Rule::new("self.all(k, k.lowerAscii() == k || !(k.lowerAscii() in ['aclfile','appenddirname','appendfilename','appendonly','bind','cluster-enabled','daemonize','dbfilename','dir','include','logfile','masterauth','masteruser','min-replicas-max-lag','min-replicas-to-write','min-slaves-max-lag','min-slaves-to-write','pidfile','port','protected-mode','rename-command','repl-ping-replica-period','repl-ping-slave-period','replica-announce-ip','replica-announce-port','replica-read-only','replica-serve-stale-data','replicaof','requirepass','slave-announce-ip','slave-announce-port','slave-read-only','slave-serve-stale-data','slaveof','supervised','unixsocket','user']))")
            .message("spec.config has, in capital letters, a directive that the operator sets itself: write it in small letters to be told which, or remove it"),
        validation = Rule::new("self.all(k, k.matches('^[a-zA-Z][a-zA-Z0-9._-]*$'))")
            .message("the keys of spec.config are names of redis.conf directives, such as maxmemory-policy: letters, digits, '-', '_' and '.'")
    )]
    pub config: BTreeMap<String, ConfigValue>,

    /// The password, which clients, replicas and the operator use. Absent: the operator makes a random one in the
    /// Secret `<name>-auth`, under the key `password`. Passwords are not rotated live: to change one, see `WrongPassword` in
    /// docs/operations.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// Keeps the data on a volume for each pod. Absent: memory only; then the data lives as long as one member does. Can't be
    /// added or removed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,

    /// CPU and memory of the Redis container, as in any pod. Leave room above `maxmemory` for a snapshot's copies.
    /// A change restarts the pods one by one, replicas first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Labels that a node must have for a pod to run there. Absent: none. A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// Rules for which nodes and pods to be near or far from. Absent: none; `topologySpreadConstraints` spread the members.
    /// A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// Taints of nodes that the pods put up with. Absent: none. A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// How to spread the members. Absent: evenly over zones and nodes, as far as possible. A change restarts the pods
    /// one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// Priority class of the pods. Absent: the cluster's default. A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub priority_class_name: Option<String>,

    /// Service account of the pods; they need no permissions and get no token. Default: the namespace's `default`.
    /// A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub service_account_name: Option<String>,

    /// More labels for the pods. Those of the operator (`app.kubernetes.io/…`, `redis.replication.dev/…`) win.
    /// A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,

    /// More annotations for the pods. A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,

    /// Whatever else a pod template can say, merged over the one that the operator makes: objects are merged, lists
    /// whose items have a `name` (containers, volumes, env) are merged by name, volume mounts by path, other lists are
    /// replaced; `null` removes. The Redis container is called `redis`. A change restarts the pods one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form_object")]
    pub pod_overrides: Option<Map<String, Value>>,

    /// When a silent master counts as lost, and what to prefer when data and availability conflict. A change restarts
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,

    /// How many replicas hold a write before clients rely on it. A change restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,

    /// The Services `<name>-master` (writes) and `<name>-replicas` (reads): type, port, annotations, and how the first finds
    /// the master. A change restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Services>,

    /// An exporter of Redis' own figures for Prometheus, beside each Redis. A change restarts the pods one by one,
    /// replicas first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,

    /// `true`: the operator leaves the Kubernetes objects and the roles of the Redis servers alone, whatever happens,
    /// and only observes. No failover while this is set. Default `false`. A change by itself
    /// restarts nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// How the loss of the master is judged and dealt with.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.acceptDataLossAfter) || !has(self.policy) || self.policy != 'Consistency'")
    .message("spec.failover.acceptDataLossAfter contradicts spec.failover.policy Consistency: use Availability, or remove it"))]
pub struct Failover {
    /// `Availability` (default): a lost master is replaced as long as one replica has its data. `Consistency`: only by one
    /// that certainly has every write that `WAIT` reported as confirmed by `durability.waitReplicas` (1 if that is not set);
    /// while that is not certain there is no master, and the condition `FailoverBlocked` says what is missing. A master
    /// under `Consistency` refuses writes while fewer replicas follow it.
    #[serde(default)]
    pub policy: FailoverPolicy,
    /// A master whose host acknowledges nothing for so long counts as unreachable: `500ms` to `60s`, default `1s`. It is
    /// replaced some 4 s later, when it certainly refuses writes.
    #[serde(default = "default_unreachable_after")]
    #[schemars(length(max = 10), regex(pattern = "^[0-9]+(ms|s)$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('500ms') && duration(self) <= duration('60s')")
        .message("spec.failover.unreachableAfter must be from 500ms to 60s"))]
    pub unreachable_after: String,
    /// A master whose host is well and whose Redis answers nothing for so long has hung; its pod is deleted: `3s` to `600s`,
    /// default `5s`. `-BUSY` and `-LOADING` are answers; a single slow command is not, so it must be longer than your
    /// slowest one. While a script runs, `-BUSY` is answered after 2.5 s.
    #[serde(default = "default_unresponsive_after")]
    #[schemars(length(max = 10), regex(pattern = "^[0-9]+(ms|s)$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('3s') && duration(self) <= duration('600s')")
        .message("spec.failover.unresponsiveAfter must be from 3s to 600s"))]
    pub unresponsive_after: String,
    /// Without a master for so long, the operator chooses a member that may lack data, although a member that does not
    /// answer may have it: `10s` to `86400s`. A cache that would rather be empty than unavailable sets it. Absent (default):
    /// the operator never does so by itself; the condition `FailoverBlocked` names the members that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = "^[0-9]+(ms|s)$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('86400s')")
        .message("spec.failover.acceptDataLossAfter must be from 10s to 86400s"))]
    pub accept_data_loss_after: Option<String>,
    /// The pod that is to be the master whenever it can be, e.g. `cache-0`: when it has caught up again, the master hands
    /// over to it. Absent (default): a master stays until there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub preferred_master: Option<String>,
}

/// How many replicas hold a write before clients rely on it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Durability {
    /// The number that clients give to `WAIT`: a write that so many replicas confirmed survives every failover under
    /// `failover.policy: Consistency`. It must be less than `replicas`. Default 0 (1 under `Consistency`).
    #[serde(default)]
    #[schemars(range(min = 0, max = 8))]
    pub wait_replicas: i32,
}

/// Where the password is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Secret in this namespace that holds the password, one line of text. Absent: the operator makes `<name>-auth`. A change
    /// restarts the pods one by one, and comes to its end only if the password is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub secret_name: Option<String>,
    /// Key of the password in the Secret. Default `password`. A change does what a change of `secretName` does: it restarts the
    /// pods.
    #[serde(default = "default_secret_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub secret_key: String,
}

/// A volume for each pod, and how Redis writes to it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.size == oldSelf.size")
        .message("spec.persistence.size can't be changed: a StatefulSet's volume claims are fixed; make a second RedisReplication and move the data (docs/operations.md)")
        .field_path(".size"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("spec.persistence.storageClassName can't be changed: a StatefulSet's volume claims are fixed; make a second RedisReplication and move the data (docs/operations.md)")
        .field_path(".storageClassName")
)]
pub struct Persistence {
    /// Size of each pod's volume, e.g. `10Gi`: three times the largest data set is comfortable. Can't be changed.
    #[schemars(extend("minimum" = 1, "maxLength" = 40, "pattern" = SIZE))]
    pub size: Quantity,
    /// Storage class of the volumes. Absent: the cluster's default. Can't be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub storage_class_name: Option<String>,
    /// `AOF` (default): every write is logged and synced each second. `RDB`: snapshots from time to time; a member
    /// that restarts from one can rejoin without a full copy, but after a crash of all members the newest minutes are
    /// gone. `RDBAndAOF`: both. A change restarts nothing.
    #[serde(default)]
    pub mode: PersistenceMode,
    /// What happens to the claims when the resource is deleted: `Retain` (default) or `Delete`. A change restarts nothing.
    #[serde(default)]
    pub when_deleted: ClaimRetention,
    /// What happens to a claim when its pod is removed by a smaller `replicas`: `Retain` (default) or
    /// `Delete`. A change restarts nothing.
    #[serde(default)]
    pub when_scaled: ClaimRetention,
}

/// How Redis writes to its volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PersistenceMode {
    /// An append-only file, synced each second.
    #[default]
    #[serde(rename = "AOF")]
    Aof,
    /// Snapshots.
    #[serde(rename = "RDB")]
    Rdb,
    /// An append-only file and snapshots.
    #[serde(rename = "RDBAndAOF")]
    RdbAndAof,
}

/// What happens to a volume claim that is no longer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimRetention {
    /// It stays, and a pod of the same name takes it up again.
    #[default]
    Retain,
    /// It is deleted, and with most storage classes so is the data.
    Delete,
}

/// When the kubelet pulls the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// The Services that clients use.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// `<name>-master`: always the one pod that accepts writes. Absent: a `ClusterIP` on port 6379.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<ServiceSettings>,
    /// How `<name>-master` finds its pod. `Selector` (default): by the pod's name; `kubectl port-forward service/<name>-master`
    /// works, and the address goes with the pod even while no operator runs. `EndpointSlice`: the operator writes the address
    /// itself and the Service has no selector; after a forced deletion of the master's pod clients write again within 0.1 s
    /// instead of a second. A change restarts nothing.
    #[serde(default)]
    pub master_routing: Routing,
    /// `<name>-replicas`: the replicas that follow it, for reads. Absent: a `ClusterIP` on port 6379.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ServiceSettings>,
}

/// How the master Service finds its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Routing {
    /// By a selector that names the pod.
    #[default]
    Selector,
    /// By a slice that the operator writes.
    EndpointSlice,
}

/// What can be said about a Service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.nodePort) || (has(self.type) && self.type != 'ClusterIP')")
    .message("nodePort needs type: NodePort or LoadBalancer")
    .field_path(".nodePort"))]
pub struct ServiceSettings {
    /// `ClusterIP` (default), `NodePort` or `LoadBalancer`.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Port of the Service; the pods always listen on 6379. Default 6379.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Port on every node, for `NodePort` and `LoadBalancer`. Absent: Kubernetes chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,
    /// Annotations of the Service, e.g. for a cloud's load balancer. Absent: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An exporter beside each Redis.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// `true`: each pod gets a container `metrics` that serves the figures on port 9121, path `/metrics`; the Service
    /// `<name>-headless` gets the port `metrics`. A change restarts the pods one by one, replicas first. Default `false`.
    #[serde(default)]
    pub enabled: bool,
    /// Image of the exporter, a `redis_exporter`. Default `oliver006/redis_exporter:v1.86.0`.
    #[serde(default = "default_exporter")]
    #[schemars(length(min = 1, max = 512), regex(pattern = IMAGE))]
    pub image: String,
    /// CPU and memory of the exporter's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

impl RedisReplicationSpec {
    /// What to prefer when data and availability conflict.
    pub fn failover_policy(&self) -> FailoverPolicy {
        self.failover.as_ref().map(|f| f.policy).unwrap_or_default()
    }

    /// How many replicas are to confirm a write.
    pub fn wait_replicas(&self) -> usize {
        let given = self.durability.as_ref().map_or(0, |d| usize::try_from(d.wait_replicas).unwrap_or(0));
        match self.failover_policy() {
            FailoverPolicy::Consistency => given.max(1),
            FailoverPolicy::Availability => given,
        }
    }

    /// How the master Service finds its pod.
    pub fn master_routing(&self) -> Routing {
        self.services.as_ref().map(|services| services.master_routing).unwrap_or_default()
    }

    /// How long a host may be silent.
    pub fn unreachable_after(&self) -> Duration {
        let text = self.failover.as_ref().map(|f| f.unreachable_after.as_str());
        text.and_then(duration).unwrap_or(Duration::from_secs(1))
    }

    /// After how long without a master data is given up.
    pub fn accept_data_loss_after(&self) -> Option<Duration> {
        self.failover.as_ref().and_then(|f| f.accept_data_loss_after.as_deref()).and_then(duration)
    }

    /// How long a process may be silent.
    pub fn unresponsive_after(&self) -> Duration {
        let text = self.failover.as_ref().map(|f| f.unresponsive_after.as_str());
        text.and_then(duration).unwrap_or(Duration::from_secs(5))
    }
}

/// The schema lets nothing in that is no duration.
fn duration(text: &str) -> Option<Duration> {
    formats::duration::parse(text).ok()
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self { type_: ServiceType::ClusterIP, port: default_port(), node_port: None, annotations: BTreeMap::new() }
    }
}

/// How a Service can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

fn default_replicas() -> i32 {
    3
}
fn default_image() -> String {
    "redis:8.0".into()
}
fn default_unreachable_after() -> String {
    "1s".into()
}
fn default_unresponsive_after() -> String {
    "5s".into()
}
fn default_exporter() -> String {
    "oliver006/redis_exporter:v1.86.0".into()
}
fn default_secret_key() -> String {
    "password".into()
}
fn default_port() -> i32 {
    6379
}

fn free_form_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
