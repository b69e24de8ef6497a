//! Scenarios on a real cluster: whatever KUBECONFIG names, with the operator installed.
//!
//! `cargo test --test e2e -- --test-threads=4`; with KEEP=1 the namespace of a scenario that failed stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::format_push_string, clippy::format_collect, reason = "reports are short")]

mod authentication;
mod by_hand;
mod causes;
mod create;
mod damage;
mod data;
mod deaf;
mod decoding;
mod delete;
mod disk;
mod examples;
mod failover;
mod files;
mod helm;
mod hostile_fields;
mod idle;
mod images;
mod names;
mod nodes;
mod operator;
mod outside;
mod plugin;
mod requests;
mod revisions;
mod rollout;
mod routing;
mod scale;
mod secrets;
mod taken_back;
mod unresponsive;
mod wrong_specs;

use test_support::harness;
