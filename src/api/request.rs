//! What a person asks for by an annotation on the resource. The operator removes it when it has dealt with it.

use std::collections::BTreeMap;

/// Value of both annotations: whoever is the best.
pub const ANY_MEMBER: &str = "any";

/// The annotation by which a person says to know of all exchanges of data up to an epoch, its value. It may stay.
pub const ACKNOWLEDGED_EPOCH: &str = "redis.replication.dev/acknowledged-epoch";

/// Up to which epoch exchanges of data are acknowledged; 0 without a number.
pub fn acknowledged_epoch(annotations: &BTreeMap<String, String>) -> i64 {
    annotations.get(ACKNOWLEDGED_EPOCH).and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0)
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Another master, without a loss.
    Switchover,
    /// A master in spite of what is missing; a person answers for what is lost.
    Failover,
}

impl RequestKind {
    /// The annotation; its value is a pod's name or [`ANY_MEMBER`].
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::Switchover => "redis.replication.dev/switchover-to",
            Self::Failover => "redis.replication.dev/force-failover",
        }
    }
}
