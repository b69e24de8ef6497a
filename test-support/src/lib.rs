//! What the tests of several packages share. Nothing that is shipped depends on it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]
#![allow(missing_docs, clippy::format_push_string, reason = "names say it; reports are short")]

#[cfg(feature = "harness")]
pub mod harness;
pub mod passwords;
pub mod redis_server;

/// A file or folder of this repository.
pub fn in_repository(path: &str) -> std::path::PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", path].iter().collect()
}
