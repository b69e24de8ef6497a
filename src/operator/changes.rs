//! Writes changes of the record into the status, and says so in logs, events and metrics.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use tokio::time::Instant;

use super::{act::Ports, announce::announce, announce_steps::ms, error::Error, status};
use crate::{
    api::{CompletedTransition, EventReason, Outcome, RedisReplication, TransitionKind},
    kubernetes::{apply, events::Severity, stores::Key},
    replication::{Change, Commitments, Observation, Pending, Record},
};

impl Ports<'_> {
    /// One write for all changes of a round, and only if nobody wrote in between.
    pub(super) async fn record(&self, next: &Record, changes: &[Change]) -> Result<RedisReplication, Error> {
        let (o, p) = (self.o, self.p);
        let began = Instant::now();
        for change in changes {
            if let Change::Begin { cause, .. } = change {
                self.ctx.metrics.transition_begins(&Key::of(self.resource), *cause);
            }
        }
        let ended = o.record.transition.as_ref().zip(changes.iter().find_map(|change| match change {
            Change::Complete { outcome, note } => Some((*outcome, note.as_str())),
            _ => None,
        }));
        let ended = ended.map(|(t, (outcome, note))| self.completed(t, outcome, note));
        let next = Observation { record: next.clone(), ..o.clone() };
        let mut status = status::describe(&next, p, self.resource, self.report, Timestamp::now());
        if let Some((last, _)) = &ended {
            status.last_transition = Some(last.clone());
        }
        let written = apply::status(&self.ctx.client, self.resource, &status).await?;
        announce(&self.ctx.events, self.resource, &written);
        for change in changes {
            self.say_change(change, began);
        }
        if let Some((last, took)) = ended {
            self.ctx.metrics.transition_ended(&Key::of(self.resource), last.kind, last.outcome, took);
            self.say_ended(&last);
        }
        Ok(written)
    }

    fn say_change(&self, change: &Change, began: Instant) {
        let name = self.resource.name_any();
        let namespace = self.resource.namespace().unwrap_or_default();
        match change {
            Change::Begin { transition: t, .. } => {
                let Pending { epoch, kind, from, to, reason, .. } = t;
                tracing::info!(resource = %name, %namespace, epoch, ?kind, ?from, to, reason, ms = ms(began), "transition begins");
                let (severity, event) = match kind {
                    TransitionKind::Election => (Severity::Normal, EventReason::ElectionStarted),
                    TransitionKind::Failover => (Severity::Warning, EventReason::FailoverStarted),
                    TransitionKind::Switchover => (Severity::Normal, EventReason::SwitchoverStarted),
                };
                let note = format!("{to} is to be the master (epoch {epoch}): {reason}");
                self.say(severity, event, "ChangeMaster", &note);
            }
            Change::Commit(Commitments { min_replicas, wait_replicas, members }) => {
                let members = members.iter().map(String::as_str).collect::<Vec<_>>().join(",");
                tracing::info!(resource = %name, %namespace, min_replicas, wait_replicas, members, "promises recorded");
            }
            Change::Enrol { member, run_id, .. } => {
                tracing::info!(resource = %name, %namespace, member, run_id, "has all data, and counts from now on");
            }
            Change::History { replication_id, .. } => {
                tracing::debug!(resource = %name, %namespace, replication_id, "history recorded");
            }
            Change::Complete { .. } => {} // with its duration, below
        }
    }

    /// What becomes of `t` in the status, and how long it took.
    fn completed(&self, t: &Pending, outcome: Outcome, note: &str) -> (CompletedTransition, Duration) {
        let recorded = self.resource.status.as_ref().and_then(|s| s.transition.as_ref());
        let started_at = recorded.map_or_else(Timestamp::now, |r| r.since.0);
        let took = match self.begun {
            Some(at) => at.elapsed(),
            None => Timestamp::now().duration_since(started_at).unsigned_abs(), // another process began it
        };
        let last = CompletedTransition {
            epoch: t.epoch,
            kind: t.kind,
            from: t.from.clone(),
            to: t.to.clone(),
            reason: if note.is_empty() { t.reason.clone() } else { note.to_owned() },
            started_at: MicroTime(started_at),
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            outcome,
        };
        (last, took)
    }

    fn say_ended(&self, last: &CompletedTransition) {
        let CompletedTransition { epoch, kind, to, reason, duration_ms, outcome, .. } = last;
        tracing::info!(resource = %self.resource.name_any(), epoch, ?kind, to, ?outcome, duration_ms, reason, "transition ended");
        let (severity, event, words) = match (outcome, kind) {
            (Outcome::Abandoned, _) => (Severity::Warning, EventReason::SwitchoverAbandoned, reason.clone()),
            (Outcome::Completed, TransitionKind::Election) => {
                (Severity::Normal, EventReason::MasterElected, format!("{to} is the master (epoch {epoch})"))
            }
            (Outcome::Completed, TransitionKind::Failover) => (
                Severity::Normal,
                EventReason::FailoverCompleted,
                format!("{to} is the master (epoch {epoch}); the failover took {duration_ms} ms"),
            ),
            (Outcome::Completed, TransitionKind::Switchover) => (
                Severity::Normal,
                EventReason::SwitchoverCompleted,
                format!("{to} is the master (epoch {epoch}); the switchover took {duration_ms} ms"),
            ),
        };
        self.say(severity, event, "ChangeMaster", &words);
    }
}
