//! What is kept of one resource: the last look at it, and how often and how fast its master changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prometheus_client::metrics::histogram::Histogram;

use super::{cause, reading::Reading};
use crate::{
    api::{Outcome, TransitionKind},
    replication::Cause,
};

/// From the fastest failover to one that waits for data to load; in seconds.
const TRANSITION_BUCKETS: [f64; 13] = [0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0];

/// One resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// What the last look at it has shown.
    pub reading: Option<Arc<Reading>>,
    /// Why the present change of master began, if this process began it.
    pub cause: Option<Cause>,
    /// Changes of master by kind, reason and outcome.
    pub transitions: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    /// How long they took, by kind.
    pub durations: BTreeMap<&'static str, Histogram>,
}

impl Default for Resource {
    /// Counts begin at zero: of a series that begins at one, Prometheus does not see the first increase.
    fn default() -> Self {
        let abandoned = cause::known().filter(|(kind, _)| *kind == TransitionKind::Switchover);
        let completed = cause::known().map(|known| (known, Outcome::Completed));
        let all = completed.chain(abandoned.map(|known| (known, Outcome::Abandoned)));
        let transitions = all.map(|((kind, reason), outcome)| ((kind_label(kind), reason, outcome_label(outcome)), 0));
        Self { reading: None, cause: None, transitions: transitions.collect(), durations: BTreeMap::new() }
    }
}

impl Resource {
    /// A change of master has ended.
    pub fn ended(&mut self, kind: TransitionKind, outcome: Outcome, took: Duration) {
        let (kind, outcome) = (kind_label(kind), outcome_label(outcome));
        let reason = cause::label(self.cause.take());
        *self.transitions.entry((kind, reason, outcome)).or_default() += 1;
        let histogram = self.durations.entry(kind).or_insert_with(|| Histogram::new(TRANSITION_BUCKETS));
        histogram.observe(took.as_secs_f64());
    }
}

fn kind_label(kind: TransitionKind) -> &'static str {
    match kind {
        TransitionKind::Election => "Election",
        TransitionKind::Failover => "Failover",
        TransitionKind::Switchover => "Switchover",
    }
}

fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "Completed",
        Outcome::Abandoned => "Abandoned",
    }
}
