//! kubectl-rr: shows and controls `RedisReplications` from the command line.
//!
//! [`view`], [`render`], [`redact`] and [`archive`] are pure; [`cluster`], [`exec`] and [`live`] read; [`commands`] put them
//! together.

pub mod archive;
pub mod args;
pub mod cluster;
pub mod commands;
pub mod error;
pub mod exec;
pub mod live;
pub mod operator;
pub mod redact;
pub mod render;
pub mod terminal;
pub mod view;
