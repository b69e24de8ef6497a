//! What the operator counts.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::{
    api::{Outcome, TransitionKind},
    kubernetes::client::Requests,
};

/// All metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Requests to the API server.
    pub requests: Requests,
    /// 1 while this process holds the lease.
    pub leading: Gauge,
    /// Resources that are looked after.
    pub resources: Gauge,
    transitions: Family<TransitionLabels, Counter>,
    durations: Family<KindLabel, Histogram, Buckets>,
}

/// From the fastest failover to one that waits for data to load.
#[derive(Clone, Copy, Default)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0])
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransitionLabels {
    kind: Kind,
    outcome: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Kind {
    Election,
    Failover,
    Switchover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Ending {
    Completed,
    Abandoned,
}

impl From<TransitionKind> for Kind {
    fn from(kind: TransitionKind) -> Self {
        match kind {
            TransitionKind::Election => Self::Election,
            TransitionKind::Failover => Self::Failover,
            TransitionKind::Switchover => Self::Switchover,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Requests::default(),
            leading: Gauge::default(),
            resources: Gauge::default(),
            transitions: Family::default(),
            durations: Family::new_with_constructor(Buckets),
        }
    }
}

impl Metrics {
    /// Counts a change of master that has ended.
    pub fn transition(&self, kind: TransitionKind, outcome: Outcome, seconds: f64) {
        let (kind, outcome) = (
            kind.into(),
            match outcome {
                Outcome::Completed => Ending::Completed,
                Outcome::Abandoned => Ending::Abandoned,
            },
        );
        self.transitions.get_or_create(&TransitionLabels { kind, outcome }).inc();
        self.durations.get_or_create(&KindLabel { kind }).observe(seconds);
    }

    /// The text that Prometheus reads (`OpenMetrics`).
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("redis_replication");
        registry.register("api_requests", "Requests to the Kubernetes API server", self.requests.clone());
        registry.register("lease_held", "1 while this process is the one that acts", self.leading.clone());
        registry.register("resources", "RedisReplications looked after by this process", self.resources.clone());
        registry.register("transitions", "Changes of master", self.transitions.clone());
        registry.register(
            "transition_duration_seconds",
            "From the beginning of a change of master until the master Service named the new one",
            self.durations.clone(),
        );
        let mut text = String::new();
        // writing to a String does not fail
        let _ = encode(&mut text, &registry);
        text
    }
}
