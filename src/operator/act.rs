//! Carries a plan out through this process's connections, and takes over what came of it.

use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tracing::Instrument;

use super::{context::Context, error::Error, observe::Observer, registry::ReconcileReport, trace};
use crate::{
    api::{Occasion, Reason, RedisReplication},
    kubernetes::{apply, events::Severity},
    replication::{
        self, Change, Effect, Memory, Moment, Observation, Plan, Step, StepError, StepOutcome, Taken, carry_out,
    },
};

/// What the carrying out of a plan changes.
pub struct Actor<'a> {
    pub ctx: &'a Context,
    pub observer: &'a mut Observer,
    pub memory: &'a mut Memory,
    pub resource: &'a mut RedisReplication,
    pub report: &'a ReconcileReport,
    /// When this process began the present transition.
    pub begun: &'a mut Option<Instant>,
    /// The plan is another than that of the last round: what fails now has not been told yet.
    pub is_new: bool,
}

/// What this process acts through during one plan: the connections in `servers.rs`, the API in `cluster.rs`.
pub(super) struct Ports<'a> {
    pub(super) ctx: &'a Context,
    pub(super) observer: &'a Observer,
    pub(super) resource: &'a RedisReplication,
    pub(super) report: &'a ReconcileReport,
    pub(super) begun: Option<Instant>,
    pub(super) o: &'a Observation,
    pub(super) p: &'a Plan,
}

impl Actor<'_> {
    /// Takes the steps of a plan side by side; returns whether all went well.
    pub async fn carry_out(mut self, o: &Observation, p: &Plan) -> bool {
        let began = Instant::now();
        let ports = Ports {
            ctx: self.ctx,
            observer: &*self.observer,
            resource: &*self.resource,
            report: self.report,
            begun: *self.begun,
            o,
            p,
        };
        let outcomes = carry_out(&ports, o, &p.steps, self.memory).await;
        let mut well = true;
        for (step, outcome) in p.steps.iter().zip(outcomes) {
            match outcome {
                Ok(taken) => self.note(taken, began),
                Err(StepError::Port(Error::Api(e))) if e.is_conflict() => {
                    tracing::debug!(?step, "the resource was written by somebody else in between");
                    self.reread().await;
                    well = false;
                }
                Err(error) => {
                    tracing::warn!(resource = %self.resource.name_any(), ?step, %error, "step failed; it is planned again");
                    if let StepError::Port(Error::Api(apply::Error::Pruned(_))) = error
                        && self.is_new
                    {
                        let on = self.resource.object_ref(&());
                        self.ctx.events.publish(
                            Severity::Warning,
                            Reason::ApplyFailed,
                            "Observe",
                            &error.to_string(),
                            on,
                        );
                    }
                    well = false;
                }
            }
        }
        well
    }

    async fn reread(&mut self) {
        if let Ok(fresh) = apply::read(&self.ctx.client, self.resource).await {
            *self.resource = fresh;
            self.memory.record_unsure = false;
        }
    }

    fn note(&mut self, taken: Taken<Box<RedisReplication>>, began: Instant) {
        let Taken { effect, written, info: _ } = taken;
        self.observer.note(&effect);
        if let Some(resource) = written {
            *self.resource = *resource;
        }
        if let Effect::Recorded { changes, .. } = &effect {
            for change in changes {
                match change {
                    Change::Begin { .. } => *self.begun = Some(began),
                    Change::Complete { .. } => *self.begun = None,
                    Change::Commit(_) | Change::Enrol { .. } | Change::History { .. } => {}
                }
            }
        }
    }
}

impl Ports<'_> {
    pub(super) fn say(&self, severity: Severity, reason: impl Into<Occasion>, action: &str, note: &str) {
        self.ctx.events.publish(severity, reason, action, note, self.resource.object_ref(&()));
    }
}

impl replication::Ports for Ports<'_> {
    fn now(&self) -> Moment {
        self.observer.now()
    }

    fn may_act(&self) -> bool {
        self.ctx.leadership.holds()
    }

    async fn accompany(&self, step: &Step, taking: impl Future<Output = StepOutcome<Self>>) -> StepOutcome<Self> {
        let announced = async {
            let began = Instant::now();
            let outcome = taking.await;
            if let Ok(taken) = &outcome {
                self.announce(step, taken, began);
            }
            outcome
        };
        announced.instrument(trace::step(step)).await
    }
}
