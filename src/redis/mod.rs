//! One Redis server over its own connection: what it says of itself, and the few commands that change its role.

mod errors;
mod guard;
mod info;
mod link;
mod stream;

pub use info::{FollowState, Info, MasterSide, MemoryUse, NOBODY, ParseError, ReplicaSide, Role, SlaveState};
pub use link::{Authority, CommandError, Health, Link, Loss, MAX_LAG, NOTICEABLE, Problem, Report, Target};
