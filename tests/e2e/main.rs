//! Scenarios on a real cluster: whatever KUBECONFIG names, with the operator installed.
//!
//! `cargo test --test e2e -- --test-threads=4`; with KEEP=1 the namespace of a scenario that failed stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod create;
mod harness;
