//! What a Redis that lies, or is somebody else's program, can do to the operator: nothing but be believed of itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod planner;
mod ports;
