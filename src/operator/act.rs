//! Carries steps out. Before each that cannot be undone: does this process still hold the lease?

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::{
    announce::announce, context::Context, error::Error, observe::Observer, registry::ObjectsReport,
    route::MasterService, status, trace,
};
use crate::{
    api::{CompletedTransition, Outcome, RedisReplication, TransitionKind},
    kubernetes::{
        apply::{self, limited},
        events::Severity,
        stores::Key,
    },
    objects::names,
    redis::{CommandError, Link, Target},
    replication::{
        Act, Answer, Attempt, Demotion, HOLD, Hold, Memory, Observation, Pending, Plan, Promises, Recorded, RoleLabel,
        Step, replaced,
    },
};

/// How long a look at others may take.
const LOOK_PATIENCE: Duration = Duration::from_millis(100);

/// What a step changed that no watch will tell.
enum Effect {
    None,
    Held(Hold),
    Released,
    Frozen(String, Demotion),
    Dropped(String),
    Routed(String),
    Labelled(String, RoleLabel),
    Restarted(String),
    Killed(String),
    Persisted(String, Attempt),
    Written(Box<RedisReplication>),
    Begun { resource: Box<RedisReplication>, at: Instant },
    Ended { resource: Box<RedisReplication>, abandoned: bool },
}

/// All that a step needs to know.
pub struct Actor<'a> {
    pub ctx: &'a Context,
    pub observer: &'a mut Observer,
    pub memory: &'a mut Memory,
    pub resource: &'a mut RedisReplication,
    pub report: &'a ObjectsReport,
    /// When this process began the present transition.
    pub begun: &'a mut Option<Instant>,
}

impl Actor<'_> {
    /// Takes the steps of a plan side by side; returns whether all went well.
    pub async fn carry_out(mut self, o: &Observation, p: &Plan) -> bool {
        let results = join_all(p.steps.iter().map(|step| self.take(o, p, step).instrument(trace::step(step)))).await;
        let mut well = true;
        for (step, result) in p.steps.iter().zip(results) {
            match result {
                Ok(effect) => self.note(effect),
                Err(Error::Api(e)) if e.is_conflict() => {
                    tracing::debug!(?step, "the resource was written by somebody else in between");
                    self.reread().await;
                    well = false;
                }
                Err(error) => {
                    tracing::warn!(resource = %self.resource.name_any(), ?step, %error, "step failed; it is planned again");
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

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Held(hold) => self.memory.hold = Some(hold),
            Effect::Released => self.memory.hold = None,
            Effect::Frozen(member, demotion) => {
                self.memory.demoted.insert(member, demotion);
            }
            Effect::Dropped(member) => {
                if let Some(d) = self.memory.demoted.get_mut(&member) {
                    d.dropped += 1;
                }
            }
            Effect::Routed(to) => {
                self.observer.note_route(&to);
                self.memory.routed_at = Some(self.observer.now());
            }
            Effect::Labelled(uid, role) => self.observer.note_label(&uid, role),
            Effect::Restarted(uid) => self.observer.note_restart(&uid),
            Effect::Killed(uid) => drop(self.memory.killed.insert(uid, self.observer.now())),
            Effect::Persisted(member, attempt) => drop(self.memory.files.insert(member, attempt)),
            Effect::Written(resource) => *self.resource = *resource,
            Effect::Begun { resource, at } => {
                *self.resource = *resource;
                *self.begun = Some(at);
            }
            Effect::Ended { resource, abandoned } => {
                *self.resource = *resource;
                *self.begun = None;
                self.memory.hold = None;
                if abandoned {
                    self.memory.abandoned_at = Some(self.observer.now());
                }
            }
        }
    }

    async fn take(&self, o: &Observation, p: &Plan, step: &Step) -> Result<Effect, Error> {
        if !self.ctx.leadership.holds() {
            return Err(Error::NotLeading);
        }
        let name = self.resource.name_any();
        let namespace = self.resource.namespace().unwrap_or_default();
        match step {
            Step::Look { members } => {
                let links = members.iter().filter_map(|m| self.observer.link(m));
                // what came of it is in the reports, be it later: a slow one does not hold up what is known of another
                let _ = timeout(LOOK_PATIENCE, join_all(links.map(Link::refresh))).await;
                Ok(Effect::None)
            }
            Step::Begin { epoch, kind, from, to, phase, reason, fence } => {
                let began = Instant::now();
                self.ctx.metrics.transition_begins(&Key::of(self.resource), o, *kind);
                let replaced = replaced(o, *kind, *epoch, to);
                let mut o = o.clone();
                o.record.epoch = *epoch;
                o.record.transition = Some(Pending {
                    epoch: *epoch,
                    kind: *kind,
                    from: from.clone(),
                    to: to.clone(),
                    phase: *phase,
                    reason: reason.clone(),
                });
                o.record.replaced = replaced;
                o.record.fence = *fence;
                for (name, _) in o.members.iter().filter(|(_, m)| m.pod.is_some()) {
                    o.record.members.entry(name.clone()).or_default();
                }
                if let Some(member) = o.members.get(to)
                    && let Some((_, info)) = &member.server.info
                {
                    let uid = member.pod.as_ref().map(|p| p.uid.clone());
                    o.record.members.insert(to.clone(), Recorded { run_id: Some(info.run_id.clone()), uid });
                }
                let resource = self.write(&o, p, None).await?;
                tracing::info!(resource = %name, %namespace, epoch, ?kind, ?from, to, reason, ms = ms(began), "transition begins");
                let (severity, event) = match kind {
                    TransitionKind::Election => (Severity::Normal, "ElectionStarted"),
                    TransitionKind::Failover => (Severity::Warning, "FailoverStarted"),
                    TransitionKind::Switchover => (Severity::Normal, "SwitchoverStarted"),
                };
                self.say(
                    severity,
                    event,
                    "ChangeMaster",
                    &format!("{to} is to be the master (epoch {epoch}): {reason}"),
                );
                Ok(Effect::Begun { resource: Box::new(resource), at: began })
            }
            Step::Close { outcome, note } => self.close(o, p, *outcome, note).await,
            Step::Promise(promises) => {
                let Promises { fence, wait_replicas, members } = promises;
                let mut o = o.clone();
                (o.record.fence, o.record.wait_replicas) = (*fence, *wait_replicas);
                o.record.members.retain(|name, _| members.contains(name));
                for name in members {
                    o.record.members.entry(name.clone()).or_default();
                }
                let resource = self.write(&o, p, None).await?;
                let members = members.iter().map(String::as_str).collect::<Vec<_>>().join(",");
                tracing::info!(resource = %name, %namespace, fence, wait_replicas, members, "promises recorded");
                Ok(Effect::Written(Box::new(resource)))
            }
            Step::Fence { member, min_replicas } => {
                self.link(member)?.fence(*min_replicas).await.map_err(on(member))?;
                tracing::info!(resource = %name, %namespace, member, min_replicas, "min-replicas-to-write set");
                Ok(Effect::None)
            }
            Step::Detach { member, reason } => {
                self.link(member)?.freeze().await.map_err(on(member))?;
                tracing::info!(resource = %name, %namespace, member, reason, "follows nobody");
                Ok(Effect::None)
            }
            Step::Kill { member, reason } => {
                let Some(uid) = self.delete_pod(o, member, Some(1)).await? else { return Ok(Effect::None) };
                tracing::info!(resource = %name, %namespace, member, reason, "hung process is ended");
                let note = format!("{member} is deleted, so that its hung process takes no more writes: {reason}");
                self.say(Severity::Warning, "HungMasterDeleted", "Fence", &note);
                Ok(Effect::Killed(uid))
            }
            Step::Dismiss { request, answer, note } => {
                let annotation = request.annotation();
                let body = json!({ "metadata": { "annotations": { (annotation): null } } });
                let resource = apply::amend(&self.ctx.client, self.resource, &body).await?;
                tracing::info!(resource = %name, %namespace, annotation, ?answer, note, "request dealt with");
                let (severity, event) = match answer {
                    Answer::Accepted => (Severity::Normal, "RequestAccepted"),
                    Answer::Refused => (Severity::Warning, "RequestRefused"),
                };
                self.say(severity, event, "Request", &format!("{annotation}: {note}"));
                Ok(Effect::Written(Box::new(resource)))
            }
            Step::Promote { member, min_replicas } => {
                let info = self.link(member)?.promote(*min_replicas).await.map_err(on(member))?;
                if !info.is_master() {
                    return Err(Error::NotPromoted(member.clone()));
                }
                tracing::info!(resource = %name, %namespace, member, epoch = o.record.epoch, offset = info.offset, "promoted");
                Ok(Effect::None)
            }
            Step::Freeze { member, offset, reason } => {
                let run_id = self.link(member)?.freeze().await.map_err(on(member))?.run_id;
                tracing::info!(resource = %name, %namespace, member, offset, reason, "demoted");
                let hands_over = o.record.transition.as_ref();
                let hands_over =
                    hands_over.is_some_and(|t| t.kind == TransitionKind::Switchover && t.from.as_ref() == Some(member));
                if !hands_over {
                    self.say(
                        Severity::Warning,
                        "MemberDemoted",
                        "Demote",
                        &format!("{member} takes no more writes: {reason}"),
                    );
                }
                Ok(Effect::Frozen(
                    member.clone(),
                    Demotion { run_id, at: self.observer.now(), offset: *offset, dropped: 0 },
                ))
            }
            Step::Follow { member, master, reason } => {
                let address = self.link(master)?.target();
                let was_master =
                    o.members.get(member).and_then(|m| m.server.info.as_ref()).is_some_and(|(_, i)| i.is_master());
                let info = self.follow(member, address).await?;
                tracing::info!(resource = %name, %namespace, member, master, reason, "follows");
                if !was_master {
                    return Ok(Effect::None);
                }
                self.say(
                    Severity::Warning,
                    "MemberDemoted",
                    "Demote",
                    &format!("{member} now follows {master}: {reason}"),
                );
                let demotion =
                    Demotion { run_id: info.run_id, at: self.observer.now(), offset: info.offset, dropped: 0 };
                Ok(Effect::Frozen(member.clone(), demotion))
            }
            Step::HoldWrites { member } => {
                let link = self.link(member)?;
                let asked = self.observer.now();
                let run_id = link.hold_writes(HOLD).await.map_err(on(member))?.run_id;
                // `since` must not be later than the answer that followed the hold; `until` not later than its end
                let since = link.report().info.map_or(asked, |(at, _)| self.observer.at(at));
                Ok(Effect::Held(Hold { member: member.clone(), run_id, since, until: asked + HOLD }))
            }
            Step::ReleaseWrites { member } => {
                self.link(member)?.release_writes().await.map_err(on(member))?;
                Ok(Effect::Released)
            }
            Step::DropClients { member } => {
                let result = match self.link(member) {
                    Ok(link) => link.drop_clients().await,
                    Err(_) => Ok(()), // it is gone, and so are its clients
                };
                if let Err(error) = result {
                    tracing::debug!(member, %error, "clients of the former master not sent away");
                }
                Ok(Effect::Dropped(member.clone()))
            }
            Step::Route { to } => {
                let began = Instant::now();
                let service =
                    MasterService { client: &self.ctx.client, observer: self.observer, resource: self.resource };
                service.lead_to(to).await?;
                tracing::info!(resource = %name, %namespace, to, ms = ms(began), "master Service points at");
                Ok(Effect::Routed(to.clone()))
            }
            Step::Label { member, role } => {
                let value = match role {
                    RoleLabel::Master => names::ROLE_MASTER,
                    RoleLabel::Replica => names::ROLE_REPLICA,
                    RoleLabel::Stale => names::ROLE_STALE,
                };
                let Some(uid) = o.members.get(member).and_then(|m| m.pod.as_ref()).map(|pod| &pod.uid) else {
                    return Ok(Effect::None);
                };
                let body = json!({ "metadata": { "labels": { (names::ROLE_LABEL): value } } });
                apply::merge::<KubePod>(&self.ctx.client, &namespace, member, uid, body).await?;
                Ok(Effect::Labelled(uid.clone(), *role))
            }
            Step::Persist { member, act } => self.persist(o, member, act).await,
            Step::Restart { member, reason } => {
                let Some(uid) = self.delete_pod(o, member, None).await? else { return Ok(Effect::None) };
                tracing::info!(resource = %name, %namespace, member, reason, "pod is replaced");
                self.say(Severity::Normal, "PodReplaced", "Replace", &format!("{member} is made anew: {reason}"));
                Ok(Effect::Restarted(uid))
            }
        }
    }

    /// Changes what a running Redis writes to its disk. What it refuses is remembered, and tried again after a while.
    async fn persist(&self, o: &Observation, member: &str, act: &Act) -> Result<Effect, Error> {
        let Some((_, info)) = o.members.get(member).and_then(|m| m.server.info.as_ref()) else {
            return Ok(Effect::None);
        };
        let link = self.link(member)?;
        let at = self.observer.now();
        let done = match act {
            Act::BeginLog => link.begin_log().await,
            Act::Snapshot => link.snapshot().await,
            Act::EndLog => link.end_log().await,
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
        Ok(Effect::Persisted(member.to_owned(), Attempt { run_id, act: act.clone(), at, saved, refused }))
    }

    async fn close(&self, o: &Observation, p: &Plan, outcome: Outcome, note: &str) -> Result<Effect, Error> {
        let Some(t) = o.record.transition.clone() else { return Ok(Effect::None) };
        let recorded = self.resource.status.as_ref().and_then(|s| s.transition.as_ref());
        let started_at = recorded.map_or_else(Timestamp::now, |r| r.since.0);
        let took = match *self.begun {
            Some(at) => at.elapsed(),
            None => Timestamp::now().duration_since(started_at).unsigned_abs(), // another process began it
        };
        let mut o = o.clone();
        o.record.transition = None;
        if outcome == Outcome::Completed {
            o.record.master = Some(t.to.clone());
        }
        let duration_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        let reason = if note.is_empty() { t.reason.clone() } else { note.to_owned() };
        let last = CompletedTransition {
            epoch: t.epoch,
            kind: t.kind,
            from: t.from.clone(),
            to: t.to.clone(),
            reason: reason.clone(),
            started_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(started_at),
            duration_ms,
            outcome,
        };
        let resource = self.write(&o, p, Some(last)).await?;
        self.ctx.metrics.transition_ended(&Key::of(self.resource), t.kind, outcome, took);
        tracing::info!(resource = %self.resource.name_any(), epoch = t.epoch, kind = ?t.kind, to = t.to, ?outcome, duration_ms, reason, "transition ended");
        let abandoned = outcome == Outcome::Abandoned;
        let (severity, event, words) = match (abandoned, t.kind) {
            (true, _) => (Severity::Warning, "SwitchoverAbandoned", reason),
            (false, TransitionKind::Election) => {
                (Severity::Normal, "MasterElected", format!("{} is the master (epoch {})", t.to, t.epoch))
            }
            (false, TransitionKind::Failover) => (
                Severity::Normal,
                "FailoverCompleted",
                format!("{} is the master (epoch {}); the failover took {duration_ms} ms", t.to, t.epoch),
            ),
            (false, TransitionKind::Switchover) => (
                Severity::Normal,
                "SwitchoverCompleted",
                format!("{} is the master (epoch {}); the switchover took {duration_ms} ms", t.to, t.epoch),
            ),
        };
        self.say(severity, event, "ChangeMaster", &words);
        Ok(Effect::Ended { resource: Box::new(resource), abandoned })
    }

    /// The status of a situation that is about to be the case, written only if nobody wrote in between.
    async fn write(
        &self,
        o: &Observation,
        p: &Plan,
        ended: Option<CompletedTransition>,
    ) -> Result<RedisReplication, Error> {
        let mut status = status::describe(o, p, self.resource, self.report, Timestamp::now());
        if ended.is_some() {
            status.last_transition = ended;
        }
        let written = apply::status(&self.ctx.client, self.resource, &status).await?;
        announce(&self.ctx.events, self.resource, &written);
        Ok(written)
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

    fn say(&self, severity: Severity, reason: &str, action: &str, note: &str) {
        self.ctx.events.publish(severity, reason, action, note, self.resource.object_ref(&()));
    }
}

/// The event that tells of a change of what a member writes to its disk.
fn persisted(member: &str, act: &Act) -> (&'static str, String) {
    match act {
        Act::BeginLog => ("AppendOnlyFileBegun", format!("{member} begins to write an append-only file")),
        Act::Snapshot => {
            ("SnapshotBegun", format!("{member} writes a snapshot, after which its append-only file ends"))
        }
        Act::EndLog => {
            ("AppendOnlyFileEnded", format!("{member} has a complete snapshot and writes no append-only file"))
        }
        Act::Schedule(times) if times.is_empty() => {
            ("SnapshotsScheduled", format!("{member} writes no snapshots by itself"))
        }
        Act::Schedule(times) => ("SnapshotsScheduled", format!("{member} writes snapshots by the times {times}")),
    }
}

fn on(member: &str) -> impl Fn(CommandError) -> Error {
    move |source| Error::Redis { member: member.to_owned(), source }
}

#[allow(clippy::cast_possible_truncation)] // milliseconds
fn ms(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}
