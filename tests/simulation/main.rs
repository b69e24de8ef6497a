//! The protocol, proven: the real planner in a simulated world with every fault, and the simulated Redis against a real one.
//! See docs/simulation.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chance;
mod clock;
mod cluster;
mod connection;
mod differential;
mod directed;
mod event;
mod exhaustive;
mod fence;
mod fleet;
mod histories;
mod invariants;
mod mutations;
mod offset_stall;
mod operator;
mod picture;
mod ports;
mod random;
mod recovery;
mod redis;
mod regressions;
mod succession;
mod world;
