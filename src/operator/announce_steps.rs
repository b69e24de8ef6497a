//! Says in logs and events what a step brought about, as soon as it has.

use std::collections::BTreeSet;

use kube::ResourceExt;
use tokio::time::Instant;

use super::act::Ports;
use crate::{
    api::{EventReason, TransitionKind},
    kubernetes::events::Severity,
    replication::{Act, Answer, Attempt, Effect, Step, Taken},
};

impl Ports<'_> {
    /// What was recorded is announced where it is written.
    pub(super) fn announce<W>(&self, step: &Step, taken: &Taken<W>, began: Instant) {
        let name = self.resource.name_any();
        let namespace = self.namespace();
        match (step, &taken.effect) {
            (Step::SetMinReplicas { member, min_replicas }, _) => {
                tracing::info!(resource = %name, %namespace, member, min_replicas, "min-replicas-to-write set");
            }
            (Step::Detach { member, reason }, _) => {
                tracing::info!(resource = %name, %namespace, member, reason, "follows nobody");
            }
            (Step::Promote { member, .. }, _) => {
                let offset = taken.info.as_ref().map(|info| info.offset);
                tracing::info!(resource = %name, %namespace, member, epoch = self.o.record.epoch, offset, "promoted");
            }
            (Step::Demote { member, offset, reason }, _) => {
                tracing::info!(resource = %name, %namespace, member, offset, reason, "demoted");
                if !self.hands_over(member) {
                    self.say_demoted(&format!("{member} takes no more writes: {reason}"));
                }
            }
            (Step::Follow { member, master, reason }, effect) => {
                tracing::info!(resource = %name, %namespace, member, master, reason, "follows");
                if matches!(effect, Effect::Demoted { .. }) {
                    self.say_demoted(&format!("{member} now follows {master}: {reason}"));
                }
            }
            (Step::DropReplicas { member, addresses }, _) => self.say_disconnected(member, addresses),
            (Step::Route { to }, _) => {
                tracing::info!(resource = %name, %namespace, to, ms = ms(began), "master Service points at");
            }
            (Step::DeleteHungPod { member, reason }, Effect::Killed { .. }) => {
                tracing::info!(resource = %name, %namespace, member, reason, "hung process is ended");
                let note = format!("{member} is deleted, so that its hung process takes no more writes: {reason}");
                self.say(Severity::Warning, EventReason::HungMasterDeleted, "Fence", &note);
            }
            (Step::ReplacePod { member, reason }, Effect::Replaced { .. }) => {
                tracing::info!(resource = %name, %namespace, member, reason, "pod is replaced");
                let note = format!("{member} is made anew: {reason}");
                self.say(Severity::Normal, EventReason::PodReplaced, "Replace", &note);
            }
            (Step::ResolveRequest { request, answer, note }, _) => {
                let annotation = request.annotation();
                tracing::info!(resource = %name, %namespace, annotation, ?answer, note, "request dealt with");
                let (severity, event) = match answer {
                    Answer::Accepted => (Severity::Normal, EventReason::RequestAccepted),
                    Answer::Refused => (Severity::Warning, EventReason::RequestRefused),
                };
                self.say(severity, event, "Request", &format!("{annotation}: {note}"));
            }
            (Step::Persist { .. }, Effect::Persisted { member, attempt }) => self.say_persisted(member, attempt),
            _ => {}
        }
    }

    /// Is it the master that hands over in a switchover? That it is demoted is part of it.
    fn hands_over(&self, member: &str) -> bool {
        let t = self.o.record.transition.as_ref();
        t.is_some_and(|t| t.kind == TransitionKind::Switchover && t.from.as_deref() == Some(member))
    }

    fn say_demoted(&self, note: &str) {
        self.say(Severity::Warning, EventReason::MemberDemoted, "Demote", note);
    }

    /// One that connects again, as replicas do each second, was reported already.
    fn say_disconnected(&self, member: &str, addresses: &BTreeSet<String>) {
        if addresses.iter().all(|address| self.o.memory.disconnected.contains_key(address)) {
            return;
        }
        let (name, list) =
            (self.resource.name_any(), addresses.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        tracing::info!(resource = %name, member, addresses = list, "replicas that are not members disconnected");
        let note = format!(
            "{member} disconnected {list}: a replica that is not a member counts for WAIT, and no failover can ask it; let it follow {name}-replicas instead"
        );
        self.say(Severity::Warning, EventReason::OutsideReplicaDisconnected, "Disconnect", &note);
    }

    fn say_persisted(&self, member: &str, attempt: &Attempt) {
        let (name, act) = (self.resource.name_any(), &attempt.act);
        match &attempt.refused {
            None => {
                tracing::info!(resource = %name, member, ?act, "persistence changed");
                let (event, note) = persisted(member, act);
                self.say(Severity::Normal, event, "Persist", &note);
            }
            Some(error) => tracing::warn!(resource = %name, member, ?act, %error, "persistence not changed"),
        }
    }
}

/// The event that tells of a change of what a member writes to its disk.
fn persisted(member: &str, act: &Act) -> (EventReason, String) {
    match act {
        Act::BeginLog => (EventReason::AppendOnlyFileBegun, format!("{member} begins to write an append-only file")),
        Act::Snapshot => {
            (EventReason::SnapshotBegun, format!("{member} writes a snapshot, after which its append-only file ends"))
        }
        Act::EndLog(_) => (
            EventReason::AppendOnlyFileEnded,
            format!("{member} has a complete snapshot and writes no append-only file"),
        ),
        Act::Schedule(times) if times.is_empty() => {
            (EventReason::SnapshotsScheduled, format!("{member} writes no snapshots by itself"))
        }
        Act::Schedule(times) => {
            (EventReason::SnapshotsScheduled, format!("{member} writes snapshots by the times {times}"))
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // milliseconds
pub(super) fn ms(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}
