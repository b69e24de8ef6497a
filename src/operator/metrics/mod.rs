//! What the operator counts and shows: figures of the process here, those of each resource and its members in
//! [`resource`]. Values are kept from the last look at a resource and become text only when somebody asks.

mod cause;
mod encode;
mod reading;
mod resource;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use self::{reading::Reading, resource::Resource};
use crate::{
    api::{Outcome, RedisReplication, TransitionKind},
    kubernetes::{client::Requests, stores::Key, undecodable::Faults},
    replication::{Cause, Observation},
};

/// What all names begin with.
const PREFIX: &str = "redis_replication";

/// All metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Requests to the API server.
    pub requests: Requests,
    /// 1 while this process holds the lease.
    pub leading: Gauge,
    /// What cannot be decoded.
    pub faults: Faults,
    reconciles: Family<ResultLabel, Histogram, ReconcileBuckets>,
    resources: Resources,
}

type Resources = Arc<Mutex<BTreeMap<Key, Resource>>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: ReconcileResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum ReconcileResult {
    Applied,
    Failed,
}

/// From a look at what is already so, to an API server that answers nothing.
#[derive(Clone, Copy, Debug, Default)]
struct ReconcileBuckets;

impl MetricConstructor<Histogram> for ReconcileBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Requests::default(),
            leading: Gauge::default(),
            faults: Faults::default(),
            reconciles: Family::new_with_constructor(ReconcileBuckets),
            resources: Resources::default(),
        }
    }
}

impl Metrics {
    /// What a look at a resource has shown; it takes the place of what an earlier one did.
    pub fn observed(&self, key: &Key, o: &Observation, resource: &RedisReplication) {
        let reading = Arc::new(Reading::new(o, resource));
        self.lock().entry(key.clone()).or_default().reading = Some(reading);
    }

    /// A change of master begins.
    pub fn transition_begins(&self, key: &Key, cause: Cause) {
        self.lock().entry(key.clone()).or_default().cause = Some(cause);
    }

    /// Counts a change of master that has ended.
    pub fn transition_ended(&self, key: &Key, kind: TransitionKind, outcome: Outcome, took: Duration) {
        self.lock().entry(key.clone()).or_default().ended(kind, outcome, took);
    }

    /// How long it took to make a resource's objects what they should be, or to fail at it.
    pub fn reconciled(&self, took: Duration, applied: bool) {
        let result = if applied { ReconcileResult::Applied } else { ReconcileResult::Failed };
        self.reconciles.get_or_create(&ResultLabel { result }).observe(took.as_secs_f64());
    }

    /// Nothing is said any more of a resource that is gone.
    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// The text that Prometheus reads (`OpenMetrics`).
    pub fn text(&self) -> String {
        let resources = self.lock().clone(); // supervisors do not wait for the text
        let count = Gauge::<i64>::default();
        count.set(i64::try_from(resources.len()).unwrap_or(i64::MAX));
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register("api_requests", "Requests to the Kubernetes API server", self.requests.clone());
        registry.register("lease_held", "1 while this process is the one that acts", self.leading.clone());
        registry.register("resources", "RedisReplications looked after by this process", count);
        registry.register(
            "reconcile_duration_seconds",
            "How long it took to bring the Kubernetes objects of a RedisReplication in line with its spec",
            self.reconciles.clone(),
        );
        registry.register_collector(Box::new(encode::Collector { resources, undecodable: self.faults.all() }));
        let mut text = String::new();
        // writing to a String does not fail
        let _ = encode(&mut text, &registry);
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Resource>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
