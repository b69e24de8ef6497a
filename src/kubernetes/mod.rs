//! Reading and writing the Kubernetes API: thin, and with a limit on every wait.

pub mod apply;
pub mod client;
pub mod events;
mod fault;
pub mod isolation;
pub mod lease;
pub mod stores;
pub mod undecodable;
