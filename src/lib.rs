//! redis-replication-operator: Redis and Valkey master–replica clusters on Kubernetes that always have one master.
//!
//! Dependencies point downwards only: [`operator`] puts the pieces together; [`replication`] and [`objects`] are pure;
//! [`redis`], [`kubernetes`] and [`web`] are the thin edges; [`api`] is the resource as people write and read it.

pub mod api;
pub mod kubernetes;
pub mod logging;
pub mod objects;
pub mod operator;
pub mod redis;
#[cfg(feature = "otlp")]
pub mod traces;
pub mod web;

pub use formats::password;
pub use redis_replication_core as replication;
