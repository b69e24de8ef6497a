//! One Redis server over its own connection: what it says of itself, and the few commands that change its role.

mod commands;
mod errors;
mod guard;
mod info;
mod link;
mod login;
mod report;
mod stream;

pub use commands::{CommandError, MAX_LAG};
pub use guard::LONGEST as LONGEST_ANSWER;
pub use info::{Files, FollowState, Info, MasterSide, MemoryUse, NOBODY, ParseError, ReplicaSide, Role, SlaveState};
pub use link::{Authority, Link, NOTICEABLE};
pub use login::OPERATOR;
pub use report::{Health, Loss, Problem, Report, Standstill, Target};
