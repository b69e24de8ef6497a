//! What every task of the operator needs.

use kube::Client;

use super::{Metrics, observe::Stores, registry::Registry};
use crate::kubernetes::{events::Publisher, lease::Leadership, undecodable::Faults};

/// What every task needs.
#[derive(Clone)]
pub struct Context {
    /// For everything but the lease.
    pub client: Client,
    /// What the watches have seen.
    pub stores: Stores,
    /// May this process act?
    pub leadership: Leadership,
    /// For people.
    pub events: Publisher,
    /// For machines.
    pub metrics: Metrics,
    /// What cannot be decoded.
    pub faults: Faults,
    /// Who is looked after.
    pub registry: Registry,
}
