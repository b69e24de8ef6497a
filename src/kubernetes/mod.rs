//! Reading and writing the Kubernetes API: thin, and with a limit on every wait.

pub mod apply;
pub mod client;
pub mod events;
#[cfg(test)]
pub mod fake;
mod fault;
pub mod isolation;
pub mod lease;
pub mod owned;
pub mod ownership;
pub mod stores;
pub mod undecodable;
