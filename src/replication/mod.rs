//! Pure: who is master, who follows whom, what to do next. No clock, no I/O: time and answers are inputs.
//!
//! [`plan`] is a total, deterministic function from an [`Observation`] to the [`Step`]s that may be taken now, side by
//! side, and the reasons for waiting. What a step changed is observed again before the next is planned, so the order
//! of a failover is nowhere written down as a program: each step is the answer to a situation, and whoever resumes
//! after a crash finds the situation and goes on.

mod cause;
mod drops;
mod effect;
mod election;
mod exchange;
mod following;
mod lost;
mod memory;
mod observation;
mod persistence;
mod plan;
mod promises;
mod record;
mod rollout;
mod shepherd;
mod steps;
mod suspicion;
mod switchover;
mod transition;

pub use cause::Cause;
pub use drops::Drops;
pub use effect::Effect;
pub use following::{LinkFault, LinkTrouble, is_deaf, words as link_words};
pub use lost::FENCE;
pub use memory::{Demotion, Frozen, Goal, Hold, Joining, Mark, Memory, serving_master};
pub use observation::{
    Contact, Failure, Former, Member, Moment, Observation, Pod, Request, RoleLabel, Server, Settings, Standstill,
};
pub use persistence::{Act, Attempt, PersistenceSettings};
pub use plan::{plan, stateful_set_replicas};
pub use promises::{Promises, good_replicas};
pub use record::{Change, Pending, Record, Recorded, Replaced};
pub use rollout::Steady;
pub use steps::{Answer, Plan, Step, Topic, Wait};
pub use suspicion::{Fate, SILENT_AFTER, Verdict, fate, verdict};
pub use transition::HOLD;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod election_tests;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod record_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod rules_tests;
