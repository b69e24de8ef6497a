//! One Redis server over its own connection: what it says of itself, and the few commands that change its role.

mod clock;
mod commands;
mod errors;
mod link;
mod login;
mod reply_limit;
mod report;
mod stream;

pub use crate::replication::{
    Files, FollowState, Info, MAX_LAG, MasterSide, MemoryUse, NOBODY, ParseError, ReplicaSide, Role, SlaveState,
};
pub use clock::Clock;
pub use commands::CommandError;
pub use link::{LeadershipCheck, Link, NOTICEABLE};
pub use login::OPERATOR;
pub use reply_limit::LONGEST as LONGEST_ANSWER;
pub use report::{Problem, Report, Target};
