//! One Redis server over its own connection: what it says of itself, and the few commands that change its role.

mod info;
mod link;

pub use info::{FollowState, Info, MasterSide, ParseError, ReplicaSide, Role, SlaveState};
pub use link::{CommandError, Health, Link, Loss, Problem, Report, Target};
