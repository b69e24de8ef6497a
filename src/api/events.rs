//! The closed list of events.

use std::fmt;

use redis_replication_core::{Reason, closed_list};

closed_list! {
    /// Reasons of events that tell of what was done.
    pub enum EventReason {
        /// There was no master; one is being made.
        ElectionStarted,
        /// It is the master.
        MasterElected,
        /// The master was lost; another is to be the master.
        FailoverStarted,
        /// Another is the master.
        FailoverCompleted,
        /// The master hands over.
        SwitchoverStarted,
        /// It has handed over.
        SwitchoverCompleted,
        /// It stays the master.
        SwitchoverAbandoned,
        /// The pod of a hung master was deleted.
        HungMasterDeleted,
        /// A replica that is not a member followed the master.
        OutsideReplicaDisconnected,
        /// A request of a user is accepted.
        RequestAccepted,
        /// A request of a user is refused.
        RequestRefused,
        /// A master that is not the recorded one takes no more writes.
        MemberDemoted,
        /// A pod was deleted so that it is made from the present template.
        PodReplaced,
        /// A member begins to write an append-only file.
        AppendOnlyFileBegun,
        /// A member writes the snapshot after which its append-only file ends.
        SnapshotBegun,
        /// A member writes no append-only file any more.
        AppendOnlyFileEnded,
        /// The times at which a member writes snapshots were set.
        SnapshotsScheduled,
        /// The Secret that the operator had made was gone, and was made again.
        SecretRestored,
        /// A setting or an annotation of a user has no effect.
        SettingIgnored,
        /// An object that belongs to a resource cannot be decoded.
        Undecodable,
    }
}

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Something was done.
    Done(EventReason),
    /// A condition requires an action of an administrator.
    Condition(Reason),
}

impl From<EventReason> for Occasion {
    fn from(reason: EventReason) -> Self {
        Self::Done(reason)
    }
}

impl From<Reason> for Occasion {
    fn from(reason: Reason) -> Self {
        Self::Condition(reason)
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(reason) => reason.fmt(f),
            Self::Condition(reason) => reason.fmt(f),
        }
    }
}
