//! The clock that all moments are told by.

use tokio::time::Instant;

use crate::replication::Moment;

/// A monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// It begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The present.
    pub fn now(self) -> Moment {
        self.0.elapsed()
    }
}
