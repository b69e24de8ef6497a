//! The closed lists that the record, the decisions and the resource's API share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to prefer when data and availability conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FailoverPolicy {
    /// A master as soon as one replica has its data.
    #[default]
    Availability,
    /// No master rather than one that may lack a confirmed write.
    Consistency,
}

/// Why the master changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TransitionKind {
    /// There was no master: the first one, or all members had restarted.
    Election,
    /// The master was lost.
    Failover,
    /// The master hands over.
    Switchover,
}

/// How far a change of master is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TransitionPhase {
    /// The target is chosen; the process of the former master has hung, and is ended first.
    Ending,
    /// The target is chosen, and is promoted as soon as the former master takes no more writes.
    Promoting,
}

/// How a transition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// The new master is in place.
    Completed,
    /// A switchover that could not end in time: the old master goes on.
    Abandoned,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Another master, without a loss.
    Switchover,
    /// A master in spite of what is missing; an administrator answers for what is lost.
    Failover,
}

impl RequestKind {
    /// The annotation; its value is a pod's name or `any`.
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::Switchover => "redis.replication.dev/switchover-to",
            Self::Failover => "redis.replication.dev/force-failover",
        }
    }
}
