//! Values of the label `reason` of transitions: what docs/monitoring.md lists.

use crate::{api::TransitionKind, replication::Cause};

/// A change that another process began, or one that is due to none of the others.
const UNKNOWN: &str = "Unknown";

/// Listed and never counted: where all members have restarted, the recorded master is replaced by a failover.
const ALL_RESTARTED: &str = "AllRestarted";

/// The value for a cause; `None` is that of a change which another process began.
pub fn label(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::FirstMaster) => "FirstMaster",
        Some(Cause::ProcessEnded) => "ProcessEnded",
        Some(Cause::Hung) => "Hung",
        Some(Cause::Unreachable) => "Unreachable",
        Some(Cause::Forced) => "Forced",
        Some(Cause::DataExchanged) => "DataExchanged",
        Some(Cause::PodDeleted) => "PodDeleted",
        Some(Cause::ScaledDown) => "ScaledDown",
        Some(Cause::RollingUpdate) => "RollingUpdate",
        Some(Cause::Requested) => "Requested",
        Some(Cause::Preferred) => "Preferred",
        Some(Cause::TargetBehind) | None => UNKNOWN,
    }
}

/// What each kind of change can be due to, as far as one process sees it from its beginning to its end.
pub fn known() -> impl Iterator<Item = (TransitionKind, &'static str)> {
    let decided = Cause::ALL.into_iter().map(|cause| (cause.kind(), label(Some(cause))));
    decided.filter(|(_, reason)| *reason != UNKNOWN).chain([(TransitionKind::Election, ALL_RESTARTED)])
}
