//! What a person asks for by an annotation on the resource. The operator removes it when it has dealt with it.

/// Value of both annotations: whoever is the best.
pub const ANY_MEMBER: &str = "any";

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
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Switchover => "redis.replication.dev/switchover-to",
            Self::Failover => "redis.replication.dev/force-failover",
        }
    }
}
