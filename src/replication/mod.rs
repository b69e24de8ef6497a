//! Pure: who is master, who follows whom, what to do next. No clock, no I/O: time and answers are inputs.
//!
//! [`plan`] is a total, deterministic function from an [`Observation`] to the [`Step`]s that may be taken now, side by
//! side, and the reasons for waiting. What a step changed is observed again before the next is planned, so the order
//! of a failover is nowhere written down as a program: each step is the answer to a situation, and whoever resumes
//! after a crash finds the situation and goes on.

mod election;
mod observation;
mod plan;
mod rollout;
mod shepherd;
mod steps;
mod suspicion;
mod transition;

pub use observation::{
    Contact, Demotion, Failure, Hold, Member, Memory, Moment, Observation, Pending, Pod, Record, RoleLabel, Server,
    Settings,
};
pub use plan::{plan, stateful_set_replicas};
pub use shepherd::demotion_over;
pub use steps::{Plan, Step, Topic, Wait};
pub use suspicion::{Verdict, verdict};
pub use transition::HOLD;

#[cfg(test)]
mod world;
