//! Why a step fails.

use crate::{kubernetes::apply, redis::CommandError};

/// A step that failed. Nothing is lost: what is the case is observed again, and planned again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process acts now, or may.
    #[error("this process does not hold the lease")]
    NotLeading,
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
    /// It was told to be a master and is not.
    #[error("{0} did not become a master")]
    NotPromoted(String),
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
