//! Why the master changes, from a closed list. The planner decides it; metrics and events take it from there. The evidence
//! beside it, in words, is for people.

use std::fmt;

use crate::kinds::TransitionKind;

/// Why a change of master begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No master is recorded.
    FirstMaster,
    /// The process that should be master has ended.
    ProcessEnded,
    /// The process that should be master hung; it is ended.
    Hung,
    /// The process that should be master cannot be reached; it is fenced.
    Unreachable,
    /// A user forced it by the annotation `force-failover`.
    Forced,
    /// The process that should be master was made to follow a stranger, and has other data.
    DataExchanged,
    /// The former master has been demoted, and the target of the switchover lacks writes of it.
    TargetBehind,
    /// The master's pod is being deleted or evicted.
    PodDeleted,
    /// The master's pod is one too many.
    ScaledDown,
    /// The master's pod is the last one of an older template.
    RollingUpdate,
    /// A user requested it by the annotation `switchover-to`.
    Requested,
    /// The preferred master has all data.
    Preferred,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::FirstMaster,
        Self::ProcessEnded,
        Self::Hung,
        Self::Unreachable,
        Self::Forced,
        Self::DataExchanged,
        Self::TargetBehind,
        Self::PodDeleted,
        Self::ScaledDown,
        Self::RollingUpdate,
        Self::Requested,
        Self::Preferred,
    ];

    /// The kind of change that it leads to.
    pub fn kind(self) -> TransitionKind {
        match self {
            Self::FirstMaster => TransitionKind::Election,
            Self::ProcessEnded
            | Self::Hung
            | Self::Unreachable
            | Self::Forced
            | Self::DataExchanged
            | Self::TargetBehind => TransitionKind::Failover,
            Self::PodDeleted | Self::ScaledDown | Self::RollingUpdate | Self::Requested | Self::Preferred => {
                TransitionKind::Switchover
            }
        }
    }

    /// In words; `to` is the member that is to be the master because of it, where there is one.
    pub(super) fn message(self, to: Option<&str>) -> String {
        match (self, to) {
            (Self::Preferred, Some(to)) => format!("{to} is the preferred master, and has all data"),
            _ => self.to_string(),
        }
    }
}

/// In words, as far as they do not depend on who and when.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstMaster => "there was no master yet",
            Self::ProcessEnded => "its process has ended",
            Self::Hung => "its process has hung",
            Self::Unreachable => "it cannot be reached",
            Self::Forced => "forced by a user",
            Self::DataExchanged => "it followed a server that is no member, and has data of another history",
            Self::TargetBehind => "it lacks writes that the former master has",
            Self::PodDeleted => "its pod is being deleted",
            Self::ScaledDown => "its pod is to be removed, because replicas was reduced",
            Self::RollingUpdate => "its pod is to be replaced, because the spec was changed",
            Self::Requested => "requested by a user",
            Self::Preferred => "the preferred master has all data",
        })
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
#[path = "cause_tests.rs"]
mod tests;
