//! Why a command to Redis or a write to Kubernetes fails.

use crate::{kubernetes::apply, redis::CommandError};

/// A command or a write that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to the member.
    #[error("no connection to {0}")]
    NoLink(String),
    /// Redis refused, or did not answer.
    #[error("{member}: {source}")]
    Redis {
        /// Which.
        member: String,
        /// What came of it.
        #[source]
        source: CommandError,
    },
    /// The Service cannot lead to a pod without an address.
    #[error("the pod {0} has no address yet")]
    NoAddress(String),
    /// There is no master Service, or not one of this resource.
    #[error("there is no Service {0} that this RedisReplication controls")]
    NoService(String),
    /// The API server refused, or did not answer.
    #[error(transparent)]
    Api(#[from] apply::Error),
}
