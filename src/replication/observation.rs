//! What is known at one instant: facts, each with its time, and no judgement.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    api::{Reason, TransitionKind},
    redis::Info,
};

/// A point in time: how long after the observer's start, by its monotonic clock.
pub type Moment = Duration;

/// Everything that a decision may depend on.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The present.
    pub now: Moment,
    /// What the spec asks for.
    pub settings: Settings,
    /// What the status has recorded.
    pub record: Record,
    /// The pods that should exist and those that do, by name.
    pub members: BTreeMap<String, Member>,
    /// When the endpoints of the Services last changed, or something that changes them: a pod came or went, became ready or
    /// not, is being deleted, got another role label.
    pub stirred_at: Moment,
    /// The pod that the master Service selects; `None` while the Service does not exist.
    pub route: Option<Option<String>>,
    /// What this operator did and Redis does not tell.
    pub memory: Memory,
}

/// What the spec asks for, as far as replication is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Name of the resource: pods are called `<name>-<ordinal>`.
    pub name: String,
    /// Members wanted.
    pub replicas: usize,
    /// Data is on volumes, and so survives a restart.
    pub persistent: bool,
    /// A person asked to leave everything alone.
    pub paused: bool,
    /// The resource is gone or going: all there is left to do is not to stand in the pods' way.
    pub removed: bool,
}

/// What the status has recorded: the decisions that outlive any operator process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who may accept writes.
    pub master: Option<String>,
    /// How often that has been decided.
    pub epoch: i64,
    /// The history that the master writes (`master_replid`).
    pub replication_id: Option<String>,
    /// Each member's process when it was last known to be caught up, or was chosen.
    pub run_ids: BTreeMap<String, String>,
    /// The change of master in progress.
    pub transition: Option<Pending>,
}

/// A recorded change of master that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The epoch that it opened.
    pub epoch: i64,
    /// Why.
    pub kind: TransitionKind,
    /// The master before it.
    pub from: Option<String>,
    /// The master after it.
    pub to: String,
    /// The evidence, in words.
    pub reason: String,
}

/// One pod and its Redis.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// The pod; `None` while it does not exist.
    pub pod: Option<Pod>,
    /// Its Redis.
    pub server: Server,
    /// Its volume may hold data that nobody has seen yet. `false` without persistence, and for a volume that is new.
    pub claim_may_hold_data: bool,
}

/// What Kubernetes says of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub struct Pod {
    /// Its identity: a pod of the same name with another one is another pod.
    pub uid: String,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// It is being deleted, or its object is gone already while its process still answers.
    pub leaving: bool,
    /// Since when it was seen to be so; the beginning of time if its object is gone already.
    pub leaving_since: Moment,
    /// Its Redis container runs, as far as the kubelet has said.
    pub running: bool,
    /// The kubelet counts it as ready.
    pub ready: bool,
    /// It was made from an older template than the present one.
    pub outdated: bool,
    /// Its role label.
    pub role: Option<RoleLabel>,
    /// Why it does not run, if Kubernetes knows.
    pub failure: Option<Failure>,
}

/// Values of the label `redis.replication.dev/role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleLabel {
    /// The recorded master.
    Master,
    /// A member that follows it.
    Replica,
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// From the closed list.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

/// What is known of a Redis server.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// The connection to it.
    pub contact: Contact,
    /// What it last said of itself, and when that was certainly true.
    pub info: Option<(Moment, Info)>,
    /// When it last answered anything.
    pub last_answer: Option<Moment>,
    /// Why it cannot be used although it can be reached.
    pub problem: Option<Failure>,
}

/// The connection to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// None has come about yet.
    #[default]
    None,
    /// It is open.
    Up,
    /// It was open, and was closed by the other side.
    Closed {
        /// When.
        since: Moment,
    },
    /// It was closed, and since then nobody listens there.
    Refused {
        /// When it was closed.
        since: Moment,
    },
}

/// What this operator did and Redis does not tell. Losing it (with the operator) costs time, never safety.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The writes held back on a master that hands over.
    pub hold: Option<Hold>,
    /// Former masters that were demoted while alive: their clients are sent away until these have found the new one.
    pub demoted: BTreeMap<String, Demotion>,
    /// Since when there has been no usable master.
    pub masterless_since: Option<Moment>,
    /// When the master Service was last pointed at another pod.
    pub routed_at: Option<Moment>,
    /// When a switchover was last abandoned.
    pub abandoned_at: Option<Moment>,
}

/// Writes held back by `CLIENT PAUSE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Where.
    pub member: String,
    /// In which process.
    pub run_id: String,
    /// When it was certainly in force.
    pub since: Moment,
    /// When Redis ends it by itself.
    pub until: Moment,
}

/// A former master that was demoted while alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demotion {
    /// The process.
    pub run_id: String,
    /// When.
    pub at: Moment,
    /// All writes that it had acknowledged are below this offset.
    pub offset: u64,
    /// How often its clients have been sent away since.
    pub dropped: usize,
}

impl Settings {
    /// The member's pod name for an ordinal.
    pub fn name_of(&self, ordinal: usize) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// The ordinal in a pod's name; beyond all others for a name that is not of this StatefulSet.
    pub fn ordinal(&self, pod: &str) -> usize {
        pod.strip_prefix(self.name.as_str())
            .and_then(|s| s.strip_prefix('-'))
            .and_then(|n| n.parse().ok())
            .unwrap_or(usize::MAX)
    }
}

impl Observation {
    /// The ordinal in a pod's name.
    pub fn ordinal(&self, pod: &str) -> usize {
        self.settings.ordinal(pod)
    }

    /// Is this pod one of those that the spec wants to have?
    pub fn wanted(&self, pod: &str) -> bool {
        self.ordinal(pod) < self.settings.replicas
    }

    /// Does this process go on from where the record last saw it, with all it had in memory?
    pub fn is_recorded_process(&self, pod: &str, info: &Info) -> bool {
        self.record.run_ids.get(pod) == Some(&info.run_id)
    }
}

impl Member {
    /// Is its pod being deleted?
    pub fn leaving(&self) -> bool {
        self.pod.as_ref().is_some_and(|p| p.leaving)
    }

    /// The address of its pod.
    pub fn ip(&self) -> Option<IpAddr> {
        self.pod.as_ref().and_then(|p| p.ip)
    }
}
