//! Carries steps out. Before each that cannot be undone: does this process still hold the lease?

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::{
    context::Context, error::Error, observe::Observer, registry::ReconcileReport, route::MasterService, trace,
};
use crate::{
    api::{EventReason, Occasion, Reason, RedisReplication, TransitionKind},
    kubernetes::{
        apply::{self, limited},
        events::Severity,
    },
    objects::names,
    redis::{CommandError, Link, Target},
    replication::{Act, Answer, Attempt, Change, Effect, HOLD, Memory, Observation, Plan, RoleLabel, Step},
};

/// How long a look at others may take.
const LOOK_PATIENCE: Duration = Duration::from_millis(100);

/// What came of a step.
struct Done {
    effect: Effect,
    /// The resource, if it was written to.
    resource: Option<Box<RedisReplication>>,
}

impl From<Effect> for Done {
    fn from(effect: Effect) -> Self {
        Self { effect, resource: None }
    }
}

/// All that a step needs to know.
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

impl Actor<'_> {
    /// Takes the steps of a plan side by side; returns whether all went well.
    pub async fn carry_out(mut self, o: &Observation, p: &Plan) -> bool {
        let began = Instant::now();
        let results = join_all(p.steps.iter().map(|step| self.take(o, p, step).instrument(trace::step(step)))).await;
        let mut well = true;
        for (step, result) in p.steps.iter().zip(results) {
            match result {
                Ok(done) => self.note(done, began),
                Err(Error::Api(e)) if e.is_conflict() => {
                    tracing::debug!(?step, "the resource was written by somebody else in between");
                    self.reread().await;
                    well = false;
                }
                Err(error) => {
                    tracing::warn!(resource = %self.resource.name_any(), ?step, %error, "step failed; it is planned again");
                    if let Error::Api(apply::Error::Pruned(_)) = error
                        && self.is_new
                    {
                        self.say(Severity::Warning, Reason::ApplyFailed, "Observe", &error.to_string());
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
        }
    }

    fn note(&mut self, done: Done, began: Instant) {
        let Done { effect, resource } = done;
        self.memory.apply(&effect);
        self.observer.note(&effect);
        if let Some(resource) = resource {
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

    async fn take(&self, o: &Observation, p: &Plan, step: &Step) -> Result<Done, Error> {
        if !self.ctx.leadership.holds() {
            return Err(Error::NotLeading);
        }
        let name = self.resource.name_any();
        let namespace = self.resource.namespace().unwrap_or_default();
        match step {
            Step::Refresh { members } => {
                let links = members.iter().filter_map(|m| self.observer.link(m));
                // what came of it is in the reports, be it later: a slow one does not hold up what is known of another
                let _ = timeout(LOOK_PATIENCE, join_all(links.map(Link::refresh))).await;
                Ok(Effect::Nothing.into())
            }
            Step::Record(changes) => {
                let resource = Some(Box::new(self.record(o, p, changes).await?));
                let effect = Effect::Recorded { changes: changes.clone(), at: self.observer.now() };
                Ok(Done { effect, resource })
            }
            Step::SetMinReplicas { member, min_replicas } => {
                self.link(member)?.set_min_replicas(*min_replicas).await.map_err(on(member))?;
                tracing::info!(resource = %name, %namespace, member, min_replicas, "min-replicas-to-write set");
                Ok(Effect::Nothing.into())
            }
            Step::Detach { member, reason } => {
                self.link(member)?.detach().await.map_err(on(member))?;
                tracing::info!(resource = %name, %namespace, member, reason, "follows nobody");
                Ok(Effect::Nothing.into())
            }
            Step::DeleteHungPod { member, reason } => {
                let Some(uid) = self.delete_pod(o, member, Some(1)).await? else { return Ok(Effect::Nothing.into()) };
                tracing::info!(resource = %name, %namespace, member, reason, "hung process is ended");
                let note = format!("{member} is deleted, so that its hung process takes no more writes: {reason}");
                self.say(Severity::Warning, EventReason::HungMasterDeleted, "Fence", &note);
                Ok(Effect::Killed { uid, at: self.observer.now() }.into())
            }
            Step::ResolveRequest { request, answer, note } => {
                let annotation = request.annotation();
                let body = json!({ "metadata": { "annotations": { (annotation): null } } });
                let resource = apply::amend(&self.ctx.client, self.resource, &body).await?;
                tracing::info!(resource = %name, %namespace, annotation, ?answer, note, "request dealt with");
                let (severity, event) = match answer {
                    Answer::Accepted => (Severity::Normal, EventReason::RequestAccepted),
                    Answer::Refused => (Severity::Warning, EventReason::RequestRefused),
                };
                self.say(severity, event, "Request", &format!("{annotation}: {note}"));
                Ok(Done { effect: Effect::Nothing, resource: Some(Box::new(resource)) })
            }
            Step::Promote { member, min_replicas } => {
                let info = self.link(member)?.promote(*min_replicas).await.map_err(on(member))?;
                if !info.is_master() {
                    return Err(Error::NotPromoted(member.clone()));
                }
                tracing::info!(resource = %name, %namespace, member, epoch = o.record.epoch, offset = info.offset, "promoted");
                Ok(Effect::Nothing.into())
            }
            Step::Demote { member, offset, reason } => {
                let run_id = self.link(member)?.detach().await.map_err(on(member))?.run_id;
                tracing::info!(resource = %name, %namespace, member, offset, reason, "demoted");
                let hands_over = o.record.transition.as_ref();
                let hands_over =
                    hands_over.is_some_and(|t| t.kind == TransitionKind::Switchover && t.from.as_ref() == Some(member));
                if !hands_over {
                    self.say(
                        Severity::Warning,
                        EventReason::MemberDemoted,
                        "Demote",
                        &format!("{member} takes no more writes: {reason}"),
                    );
                }
                let at = self.observer.now();
                Ok(Effect::Demoted { member: member.clone(), run_id, at, offset: *offset }.into())
            }
            Step::Follow { member, master, reason } => {
                let address = self.link(master)?.target();
                let was_master =
                    o.members.get(member).and_then(|m| m.server.info.as_ref()).is_some_and(|(_, i)| i.is_master());
                let info = self.follow(member, address).await?;
                tracing::info!(resource = %name, %namespace, member, master, reason, "follows");
                if !was_master {
                    return Ok(Effect::Nothing.into());
                }
                self.say(
                    Severity::Warning,
                    EventReason::MemberDemoted,
                    "Demote",
                    &format!("{member} now follows {master}: {reason}"),
                );
                let at = self.observer.now();
                Ok(Effect::Demoted { member: member.clone(), run_id: info.run_id, at, offset: info.offset }.into())
            }
            Step::HoldWrites { member } => {
                let link = self.link(member)?;
                let asked = self.observer.now();
                let run_id = link.hold_writes(HOLD).await.map_err(on(member))?.run_id;
                // `since` must not be later than the answer that followed the hold
                let since = link.report().info.map_or(asked, |(at, _)| self.observer.at(at));
                Ok(Effect::Held { member: member.clone(), run_id, asked, since }.into())
            }
            Step::ReleaseWrites { member } => {
                self.link(member)?.release_writes().await.map_err(on(member))?;
                Ok(Effect::Released.into())
            }
            Step::DropClients { member } => {
                let result = match self.link(member) {
                    Ok(link) => link.drop_clients().await,
                    Err(_) => Ok(()), // it is gone, and so are its clients
                };
                if let Err(error) = result {
                    tracing::debug!(member, %error, "clients of the former master not sent away");
                }
                Ok(Effect::Dropped { member: member.clone() }.into())
            }
            Step::DropReplicas { member, addresses } => {
                self.link(member)?.drop_replicas(addresses).await.map_err(on(member))?;
                if !addresses.iter().all(|address| self.memory.disconnected.contains_key(address)) {
                    let list = addresses.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                    tracing::info!(resource = %name, %namespace, member, addresses = list, "replicas that are no members disconnected");
                    let note = format!(
                        "{member} disconnected {list}: no failover can ask a replica that is not a member, and it counts for WAIT; let it follow {name}-replicas instead"
                    );
                    self.say(Severity::Warning, EventReason::OutsideReplicaDisconnected, "Disconnect", &note);
                }
                Ok(Effect::Disconnected { addresses: addresses.clone(), at: self.observer.now() }.into())
            }
            Step::Route { to } => {
                let began = Instant::now();
                let service =
                    MasterService { client: &self.ctx.client, observer: self.observer, resource: self.resource };
                service.lead_to(to).await?;
                tracing::info!(resource = %name, %namespace, to, ms = ms(began), "master Service points at");
                Ok(Effect::Routed { to: to.clone(), at: self.observer.now() }.into())
            }
            Step::Label { member, role } => {
                let value = match role {
                    RoleLabel::Master => names::ROLE_MASTER,
                    RoleLabel::Replica => names::ROLE_REPLICA,
                    RoleLabel::Stale => names::ROLE_STALE,
                };
                let Some(uid) = o.members.get(member).and_then(|m| m.pod.as_ref()).map(|pod| &pod.uid) else {
                    return Ok(Effect::Nothing.into());
                };
                let mut labels = names::labels(&name); // one that was changed by hand as well
                labels.insert(names::ROLE_LABEL.into(), value.into());
                let body = json!({ "metadata": { "labels": labels } });
                apply::merge::<KubePod>(&self.ctx.client, &namespace, member, uid, body).await?;
                Ok(Effect::Labelled { uid: uid.clone(), role: *role }.into())
            }
            Step::Persist { member, act } => self.persist(o, member, act).await,
            Step::ReplacePod { member, reason } => {
                let Some(uid) = self.delete_pod(o, member, None).await? else { return Ok(Effect::Nothing.into()) };
                tracing::info!(resource = %name, %namespace, member, reason, "pod is replaced");
                self.say(
                    Severity::Normal,
                    EventReason::PodReplaced,
                    "Replace",
                    &format!("{member} is made anew: {reason}"),
                );
                Ok(Effect::Replaced { uid }.into())
            }
        }
    }

    /// Changes what a running Redis writes to its disk. What it refuses is remembered, and tried again after a while.
    async fn persist(&self, o: &Observation, member: &str, act: &Act) -> Result<Done, Error> {
        let Some((_, info)) = o.members.get(member).and_then(|m| m.server.info.as_ref()) else {
            return Ok(Effect::Nothing.into());
        };
        let link = self.link(member)?;
        let at = self.observer.now();
        let done = match act {
            Act::BeginLog => link.begin_log().await,
            Act::Snapshot => link.snapshot().await,
            Act::EndLog(times) => link.end_log(times).await,
            Act::Schedule(times) => link.schedule_snapshots(times).await,
        };
        let name = self.resource.name_any();
        match &done {
            Ok(_) => {
                tracing::info!(resource = %name, member, ?act, "persistence changed");
                let (event, note) = persisted(member, act);
                self.say(Severity::Normal, event, "Persist", &note);
            }
            Err(error) => tracing::warn!(resource = %name, member, ?act, %error, "persistence not changed"),
        }
        let refused = done.err().map(|error| error.to_string());
        let (run_id, saved) = (info.run_id.clone(), info.files.saved);
        let attempt = Attempt { run_id, act: act.clone(), at, saved, refused };
        Ok(Effect::Persisted { member: member.to_owned(), attempt }.into())
    }

    /// Deletes the pod that was observed, and no other of that name; returns its identity. `grace` is in seconds; the pod's
    /// own if it is not given.
    async fn delete_pod(&self, o: &Observation, member: &str, grace: Option<u32>) -> Result<Option<String>, Error> {
        let Some(pod) = o.members.get(member).and_then(|m| m.pod.as_ref()) else { return Ok(None) };
        let this_one = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
        let params =
            DeleteParams { grace_period_seconds: grace, preconditions: Some(this_one), ..DeleteParams::default() };
        let namespace = self.resource.namespace().unwrap_or_default();
        let api: Api<KubePod> = Api::namespaced(self.ctx.client.clone(), &namespace);
        limited("delete", "Pod", member, api.delete(member, &params)).await?;
        Ok(Some(pod.uid.clone()))
    }

    async fn follow(&self, member: &str, master: Target) -> Result<crate::redis::Info, Error> {
        self.link(member)?.follow(master).await.map_err(on(member))
    }

    fn link(&self, member: &str) -> Result<&Link, Error> {
        self.observer.link(member).ok_or_else(|| Error::NoLink(member.to_owned()))
    }

    pub(super) fn say(&self, severity: Severity, reason: impl Into<Occasion>, action: &str, note: &str) {
        self.ctx.events.publish(severity, reason, action, note, self.resource.object_ref(&()));
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

fn on(member: &str) -> impl Fn(CommandError) -> Error {
    move |source| Error::Redis { member: member.to_owned(), source }
}

#[allow(clippy::cast_possible_truncation)] // milliseconds
pub(super) fn ms(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}
