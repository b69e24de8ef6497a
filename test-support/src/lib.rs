//! What the tests of several packages share. Nothing that is shipped depends on it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]
#![allow(missing_docs, reason = "most names say it")]

pub mod passwords;
pub mod redis_server;
