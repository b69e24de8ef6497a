//! What is known at one instant: facts, each with its time, and no judgement.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{memory::Memory, persistence::PersistenceSettings, record::Record};
use crate::{conditions::Reason, info::Info, kinds::FailoverPolicy, kinds::RequestKind};

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
    pub endpoints_changed_at: Moment,
    /// The pod that the master Service selects; `None` while the Service does not exist.
    pub route: Option<Option<String>>,
    /// What this operator did and Redis does not tell.
    pub memory: Memory,
}

/// What the spec asks for, as far as replication is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the resource: pods are called `<name>-<ordinal>`.
    pub name: String,
    /// Members wanted.
    pub replicas: usize,
    /// Data is on volumes, and so survives a restart.
    pub persistent: bool,
    /// What members write to their disks; `None` where that is not to be changed: without volumes.
    pub persistence: Option<PersistenceSettings>,
    /// A user paused the operator.
    pub paused: bool,
    /// The resource is gone or going: all there is left to do is not to stand in the pods' way.
    pub removed: bool,
    /// What to prefer when data and availability conflict.
    pub policy: FailoverPolicy,
    /// How many replicas clients let confirm a write (`WAIT`), as the spec says. What may be relied on is in the record.
    pub wait_replicas: usize,
    /// How long a host may be silent.
    pub unreachable_after: Duration,
    /// How long a process may be silent whose host is not.
    pub unresponsive_after: Duration,
    /// After so long without a master a member may be chosen that has lost data, although others may return that have not;
    /// `None`: never.
    pub accept_data_loss_after: Option<Duration>,
    /// The member that is to be master whenever it can be.
    pub preferred_master: Option<String>,
    /// what a user requests.
    pub request: Option<Request>,
}

/// What a user requests by an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub kind: RequestKind,
    /// The member that is to be the master; `None`: the best.
    pub to: Option<String>,
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
    /// What became of the process in the pod that the record knows, if that pod is gone.
    pub former: Former,
    /// Why its pod is not made, if Kubernetes has said so.
    pub absent: Option<Failure>,
}

/// What became of the process in a pod that is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Former {
    /// This operator had no connection to it.
    #[default]
    Unknown,
    /// Its connection was closed, or its container had ended.
    Ended,
    /// Its host fell silent; it may be alive where nobody sees it.
    Silent,
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
    /// Its Redis container has run at some time. Until then there is nothing in its memory.
    pub ran: bool,
    /// How often its Redis container has been started again.
    pub restarts: u32,
    /// Its Redis container runs, as far as the kubelet has said.
    pub running: bool,
    /// And the kubelet's probe has had an answer from it.
    pub started: bool,
    /// The kubelet counts it as ready.
    pub ready: bool,
    /// It was made from an older template than the present one.
    pub outdated: bool,
    /// Its role label.
    pub role: Option<RoleLabel>,
    /// Why it does not run, if Kubernetes knows.
    pub failure: Option<Failure>,
    /// How far it has come, while its Redis does not run: the end of a sentence about it.
    pub stage: Option<String>,
    /// What keeps it from being ready although its Redis is: a container beside it, a readiness gate. The end of a sentence.
    pub unready: Option<String>,
    /// Since when that was seen.
    pub unready_since: Moment,
    /// A container of it was killed for want of memory a while ago, and runs again.
    pub short_of_memory: Option<Failure>,
}

/// Values of the label `redis.replication.dev/role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleLabel {
    /// The recorded master.
    Master,
    /// A member that follows it.
    Replica,
    /// A member whose data is out of date: it hears nothing from the master. The replicas Service does not lead to it.
    Stale,
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
    /// When the oldest question was asked that is unanswered over the open connection; `None` if none is.
    pub silent_since: Option<Moment>,
    /// For how long its offset has stood still. A master that a replica hears moves it every second.
    pub offset_stall: Option<OffsetStall>,
    /// Why it cannot be used although it can be reached.
    pub problem: Option<Failure>,
    /// Since when there has been no connection although the kubelet has seen it answer.
    pub unreached_since: Option<Moment>,
}

/// The same answer, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetStall {
    /// When it was asked for first.
    pub since: Moment,
    /// When it was asked for last.
    pub until: Moment,
}

impl OffsetStall {
    /// How long it has lasted, as far as answers tell.
    pub fn length(self) -> Duration {
        self.until.saturating_sub(self.since)
    }
}

/// The connection to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contact {
    /// None has come about yet, and nothing is known of why.
    #[default]
    None,
    /// It is open: the kernel of its host acknowledges what is sent.
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
    /// Its host acknowledges nothing, neither bytes nor attempts to connect.
    HostSilent {
        /// When the first byte or attempt was sent that is not acknowledged.
        since: Moment,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            replicas: 0,
            persistent: false,
            persistence: None,
            paused: false,
            removed: false,
            policy: FailoverPolicy::Availability,
            wait_replicas: 0,
            unreachable_after: Duration::from_secs(1),
            unresponsive_after: Duration::from_secs(5),
            accept_data_loss_after: None,
            preferred_master: None,
            request: None,
        }
    }
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
            .filter(|ordinal| self.name_of(*ordinal) == pod) // `cache-01` is somebody else's
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
    ///
    /// Where the record has lost its master's process (an older `CustomResourceDefinition` drops what it does not know), a
    /// master is taken for it: only a recorded decision makes one.
    pub fn is_recorded_process(&self, pod: &str, info: &Info) -> bool {
        match self.recorded_run_id(pod) {
            Some(run_id) => run_id == info.run_id,
            None => self.record.master.as_deref() == Some(pod) && info.is_master(),
        }
    }

    /// When the member was asked for the state that is known.
    pub fn asked_at(&self, pod: &str) -> Moment {
        self.members.get(pod).map(Member::asked_at).unwrap_or_default()
    }

    /// The address of the member's pod, as Redis writes it.
    pub fn address(&self, pod: &str) -> Option<String> {
        self.members.get(pod).and_then(Member::ip).map(|ip| ip.to_string())
    }

    /// The member's process when it last had all data.
    pub fn recorded_run_id(&self, pod: &str) -> Option<&str> {
        self.record.members.get(pod).and_then(|m| m.run_id.as_deref())
    }
}

impl Member {
    /// Is its pod being deleted?
    pub fn leaving(&self) -> bool {
        self.pod.as_ref().is_some_and(|p| p.leaving)
    }

    /// When it was asked for the state that is known: what is known was true then or later.
    pub fn asked_at(&self) -> Moment {
        self.server.info.as_ref().map(|(at, _)| *at).unwrap_or_default()
    }

    /// The address of its pod.
    pub fn ip(&self) -> Option<IpAddr> {
        self.pod.as_ref().and_then(|p| p.ip)
    }
}
