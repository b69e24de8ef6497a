//! Pure: who is master, who follows whom, what to do next. No clock, no I/O: time and answers are inputs.
//!
//! [`plan`] is a total, deterministic function from an [`Observation`] to the [`Step`]s that may be taken now, side by
//! side, and the reasons for waiting. What a step changed is observed again before the next is planned, so the order
//! of a failover is nowhere written down as a program: each step is the answer to a situation, and whoever resumes
//! after a crash finds the situation and goes on.
//!
//! This crate has neither tokio nor kube among its dependencies: the compiler keeps decisions apart from clocks, sockets and
//! the API. The operator, the simulation and the hostile tests run it.

mod actor;
mod bond;
mod cause;
mod closed_list;
mod conditions;
mod drops;
mod durability;
mod effect;
mod election;
mod exchange;
mod failover;
mod failure_detector;
mod followers;
mod following;
mod health;
mod info;
mod kinds;
mod memory;
mod observation;
mod outsiders;
mod persistence;
mod plan;
mod record;
mod rollout;
mod steps;
mod switchover;
mod transition;

pub use actor::{Cluster, Outcome as StepOutcome, Ports, Servers, StepError, Taken, carry_out};
pub use bond::{Bond, is_worth_connecting};
pub use cause::Cause;
pub use conditions::{ConditionType, Reason};
pub use drops::Drops;
pub use durability::{Commitments, MAX_LAG, good_replicas};
pub use effect::Effect;
pub use failover::FENCE_DELAY;
pub use failure_detector::{Liveness, ProcessState, SILENT_AFTER, liveness, process_state};
pub use following::{LinkFault, LinkTrouble, is_stalled, message as link_message};
pub use health::{Event as ConnectionEvent, Health};
pub use info::{
    Files, FollowState, Info, MasterSide, MemoryUse, NOBODY, ParseError, REDIS_PORT, ReplicaSide, Role, SlaveState,
};
pub use kinds::{FailoverPolicy, Outcome, RequestKind, TransitionKind, TransitionPhase};
pub use memory::{CatchUpTarget, CatchingUp, CommitmentChange, Demotion, Detached, Hold, Memory, serving_master};
pub use observation::{
    Contact, Failure, Former, Member, Moment, Observation, OffsetStall, Pod, Request, RoleLabel, Server, Settings,
};
pub use outsiders::{Outsiders, outsiders};
pub use persistence::{Act, Attempt, PersistenceSettings};
pub use plan::{plan, stateful_set_replicas};
pub use record::{Change, Pending, Record, Recorded, Replaced};
pub use rollout::Steady;
pub use steps::{Answer, Plan, Step, Topic, Wait};
pub use transition::HOLD;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod election_tests;
#[cfg(any(test, feature = "fixture"))]
#[allow(missing_docs)] // for tests
pub mod fixture;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod loss_tests;
#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod record_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod rules_tests;
