//! What a plan consists of.

use std::collections::BTreeSet;

use super::{
    observation::{Moment, RoleLabel},
    persistence::Act,
    record::{Change, Pending},
};
use crate::kinds::RequestKind;

/// What may be done now, and what is being waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Steps that may be taken now, side by side.
    pub steps: Vec<Step>,
    /// Why not more is done.
    pub waits: Vec<Wait>,
    /// When more may be done although nothing has happened until then.
    pub due: Option<Moment>,
}

/// One act on Redis or on the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write changes of the record into the status, all in one write. Only the newest version of the resource is written to:
    /// two such steps of one plan would refuse each other.
    Record(Vec<Change>),
    /// `REPLICAOF NO ONE`, on the recorded target only, and its fence with it.
    Promote {
        /// On which.
        member: String,
        /// `min-replicas-to-write`.
        min_replicas: usize,
    },
    /// Set a master's `min-replicas-to-write`.
    SetMinReplicas {
        /// Which.
        member: String,
        /// How many.
        min_replicas: usize,
    },
    /// Make a replica follow nobody, so that a master that cannot be reached does not find it.
    Detach {
        /// Which.
        member: String,
        /// Why, in words.
        reason: String,
    },
    /// Delete the pod of a hung process with a grace of one second.
    DeleteHungPod {
        /// Which.
        member: String,
        /// Why, in words.
        reason: String,
    },
    /// Make a master a replica of nobody: it takes no more writes and keeps its data.
    Demote {
        /// Which.
        member: String,
        /// All that it acknowledged is below this offset, where that is known.
        offset: u64,
        /// Why, in words.
        reason: String,
    },
    /// `REPLICAOF` the master.
    Follow {
        /// Which.
        member: String,
        /// Whom.
        master: String,
        /// Why, in words.
        reason: String,
    },
    /// Hold back clients' writes on the master that hands over.
    HoldWrites {
        /// Which.
        member: String,
    },
    /// Let them through again.
    ReleaseWrites {
        /// Which.
        member: String,
    },
    /// Send a former master's clients away, so that they find the new one.
    DropClients {
        /// Which.
        member: String,
    },
    /// Disconnect replicas that are no members.
    DropReplicas {
        /// From which master.
        member: String,
        /// Their addresses.
        addresses: BTreeSet<String>,
    },
    /// Ask members for their state now.
    Refresh {
        /// Which.
        members: Vec<String>,
    },
    /// Point the master Service at a pod.
    Route {
        /// Which.
        to: String,
    },
    /// Write a pod's role label.
    Label {
        /// Which.
        member: String,
        /// What.
        role: RoleLabel,
    },
    /// Take the request of a user off the resource: it has been dealt with.
    ResolveRequest {
        /// Which.
        request: RequestKind,
        /// How.
        answer: Answer,
        /// In words.
        note: String,
    },
    /// Change what a running Redis writes to its disk.
    Persist {
        /// Which.
        member: String,
        /// How.
        act: Act,
    },
    /// Delete a pod so that the StatefulSet makes it anew from the present template.
    ReplacePod {
        /// Which.
        member: String,
        /// Why, in words.
        reason: String,
    },
}

/// What became of a request of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is being done, or is so already.
    Accepted,
    /// It cannot be done.
    Refused,
}

/// A reason for waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What it is about.
    pub topic: Topic,
    /// In plain words.
    pub text: String,
}

/// What a wait is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// `spec.paused`.
    Paused,
    /// There is no master, and not all who may have the data have answered.
    Election,
    /// The master does not answer and nothing proves that it is gone.
    Suspicion,
    /// The master is lost, and it is being made sure that it takes no more writes.
    Fence,
    /// The master is lost; it had no replicas, so nothing keeps it from taking writes and nobody else has them.
    NotFenced,
    /// Too few replicas answer to know that nothing confirmed is lost.
    Quorum,
    /// It may be the operator that cannot reach others.
    Isolation,
    /// The master should hand over and cannot yet.
    Switchover,
    /// Pods wait to be replaced.
    Rollout,
    /// Members are brought into another persistence mode.
    Persistence,
    /// A member has data of another history, and the master has none.
    DivergentHistory,
}

impl Plan {
    /// Adds a change of the record to those of this round.
    pub(super) fn record(&mut self, change: Change) {
        let recorded = self.steps.iter_mut().find_map(|s| if let Step::Record(c) = s { Some(c) } else { None });
        match recorded {
            Some(changes) => changes.push(change),
            None => self.steps.push(Step::Record(vec![change])),
        }
    }

    /// The changes of the record.
    pub fn changes(&self) -> &[Change] {
        self.steps
            .iter()
            .find_map(|s| if let Step::Record(c) = s { Some(c.as_slice()) } else { None })
            .unwrap_or_default()
    }

    /// The change of master that begins.
    pub fn begins(&self) -> Option<&Pending> {
        self.changes()
            .iter()
            .find_map(|c| if let Change::Begin { transition, .. } = c { Some(transition) } else { None })
    }

    pub(super) fn wait(&mut self, topic: Topic, text: impl Into<String>) {
        self.waits.push(Wait { topic, text: text.into() });
    }

    /// More may be done then at the latest, although nothing has happened.
    pub(super) fn wake_by(&mut self, at: Moment) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// What is said about a topic, if it is being waited for.
    pub fn waiting_for(&self, topic: Topic) -> Option<&str> {
        self.waits.iter().find(|w| w.topic == topic).map(|w| w.text.as_str())
    }
}
