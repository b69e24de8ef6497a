//! Reading and writing the Kubernetes API: thin, and with a limit on every wait.

pub mod apply;
pub mod client;
pub mod events;
pub mod lease;
pub mod stores;
