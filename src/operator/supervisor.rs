//! One task for each resource: observe → plan → act, whenever something changes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Namespace};
use kube::{Api, Resource, ResourceExt, runtime::reflector::ObjectRef};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::{
    act::Actor,
    announce::announce,
    causes::Causes,
    context::Context,
    missing_pods::MissingPods,
    observe::Observer,
    registry::{Handle, ReconcileReport},
    route::MasterService,
    status,
    trace::Trace,
};
use crate::{
    api::{Reason, RedisReplication},
    kubernetes::{apply, events::Severity, stores::Key},
    objects::names,
    redis::NOTICEABLE,
    replication::{Member, Memory, Observation, Plan, Step, Topic, plan, stateful_set_replicas},
};

/// How often the situation is looked at when nothing wakes the supervisor.
const AT_REST: Duration = Duration::from_millis(500);
/// The same while something is under way that is bound to time.
const UNDER_WAY: Duration = Duration::from_millis(10);
/// Between two writes of the status that announce no decision.
const STATUS_SPACING: Duration = Duration::from_millis(200);
/// So long nothing is said of a master that seems to be missing: connections come about, failovers begin.
const FIRST_IMPRESSION: Duration = Duration::from_secs(2);
/// How often it is asked whether the namespace is being deleted, while a leaving master is all that is left.
const NAMESPACE_EVERY: Duration = Duration::from_secs(1);
/// How long the pods of a deleted resource are accompanied.
const FAREWELL: Duration = Duration::from_secs(150);

/// Looks after one resource until it and its pods are gone.
pub async fn supervise(key: Key, handle: Arc<Handle>, ctx: Context) {
    let Some(resource) = stored(&ctx, &key) else {
        return ctx.registry.remove(&key); // deleted meanwhile: made anew, it must find a supervisor again
    };
    tracing::info!(namespace = key.namespace, resource = key.name, "supervising");
    let leadership = ctx.leadership.clone();
    let authority = Arc::new(move || leadership.holds());
    let observer = Observer::new(key.clone(), ctx.stores.clone(), Arc::clone(&handle.changed), authority);
    let mut s = Supervisor {
        key,
        handle,
        ctx,
        observer,
        resource: (*resource).clone(),
        memory: Memory::default(),
        begun: None,
        trace: Trace::default(),
        written_at: None,
        gone_since: None,
        predecessor_since: None,
        namespace_seen: None,
        namespace_ends: false,
        missing_pods: MissingPods::default(),
        causes: Causes::default(),
        previous: Plan::default(),
        repeated: 0,
        status_failures: 0,
    };
    while s.round().await {}
    tracing::info!(namespace = s.key.namespace, resource = s.key.name, "no longer supervising");
}

fn stored(ctx: &Context, key: &Key) -> Option<Arc<RedisReplication>> {
    ctx.stores.resources.get(&ObjectRef::new(&key.name).within(&key.namespace))
}

struct Supervisor {
    key: Key,
    handle: Arc<Handle>,
    ctx: Context,
    observer: Observer,
    /// The newest version known: from the watch, or from the answer to an own write.
    resource: RedisReplication,
    memory: Memory,
    begun: Option<Instant>,
    trace: Trace,
    written_at: Option<Instant>,
    gone_since: Option<Instant>,
    /// Since when the resource has been another one of the same name, whose predecessor still has pods.
    predecessor_since: Option<Instant>,
    namespace_seen: Option<Instant>,
    namespace_ends: bool,
    missing_pods: MissingPods,
    causes: Causes,
    previous: Plan,
    repeated: u32,
    status_failures: u32,
}

impl Supervisor {
    /// One look at the situation, and what follows from it. Returns whether there is a reason for another.
    async fn round(&mut self) -> bool {
        self.make_sure_of_the_record().await;
        let gone = self.refresh_resource() || self.namespace_ends;
        let removed = gone || self.predecessor_leaves();
        let report = self.handle.report.borrow().clone();
        let o = self.observer.observe(&self.resource, removed, &report, &self.memory);
        self.note_accepted(&o);
        self.memory = self.memory.after(&o);
        let mut o = Observation { memory: self.memory.clone(), ..o };
        let pods = stateful_set_replicas(&o);
        self.handle.pods.send_if_modified(|known| known.replace(pods) != Some(pods));
        let questions = if removed { BTreeSet::new() } else { self.observer.questions(&o) };
        self.causes.explain(&mut o);
        if gone && self.await_termination(&o) {
            return false;
        }
        if removed {
            self.ctx.metrics.forget(&self.key); // that it has no master any more is no reason to wake anybody
        } else {
            self.ctx.metrics.observed(&self.key, &o, &self.resource);
        }
        let p = plan(&o);
        let span = self.trace.span(&self.key, &o, &p);
        span.in_scope(|| self.log(&p));
        let mut well = true;
        // a look changes nothing: what is being waited for is to be told
        if !removed && p.steps.iter().all(|s| matches!(s, Step::Refresh { .. })) {
            self.write_status(&o, &p, &report).instrument(span.clone()).await;
        }
        if !p.steps.is_empty() {
            let actor = Actor {
                ctx: &self.ctx,
                observer: &mut self.observer,
                memory: &mut self.memory,
                resource: &mut self.resource,
                report: &report,
                begun: &mut self.begun,
                is_new: p != self.previous,
            };
            well = actor.carry_out(&o, &p).instrument(span).await;
        }
        self.check_namespace(&o, &p).await;
        self.withdraw_stale_endpoint().await;
        self.remind_stateful_set(&o).await;
        self.causes.ask(questions, &self.ctx.client, &self.key.namespace, &self.handle.changed);
        self.wait_for_change(&o, &p, well).await;
        true
    }

    /// Reads the resource after a write of it that was not answered. The watch may be as far behind as the answer.
    async fn make_sure_of_the_record(&mut self) {
        if !self.memory.record_unsure {
            return;
        }
        match apply::read(&self.ctx.client, &self.resource).await {
            Ok(fresh) => {
                self.resource = fresh;
                self.memory.record_unsure = false;
            }
            Err(error) => tracing::warn!(%error, "the status cannot be read after a write that was not answered"),
        }
    }

    /// What the members accept is what a lost Secret held.
    fn note_accepted(&self, o: &Observation) {
        let Some(password) = self.observer.accepted(o.record.master.as_deref()) else { return };
        self.handle.accepted.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&password);
            *known = Some(password);
            changed
        });
    }

    /// A namespace that is deleted loses its pods first and its resources last, so a master that waits for a replica to hand
    /// over to would wait in vain: nothing is made any more in such a namespace.
    async fn check_namespace(&mut self, o: &Observation, p: &Plan) {
        let waits = p.waiting_for(Topic::Switchover).is_some() && o.members.values().any(Member::leaving);
        let others = o.members.values().filter(|m| m.pod.as_ref().is_some_and(|pod| !pod.leaving)).count();
        if !waits || others > 0 || self.namespace_seen.is_some_and(|at| at.elapsed() < NAMESPACE_EVERY) {
            return;
        }
        self.namespace_seen = Some(Instant::now());
        let api: Api<Namespace> = Api::all(self.ctx.client.clone());
        match apply::limited("read", "Namespace", &self.key.namespace, api.get(&self.key.namespace)).await {
            Ok(namespace) => self.namespace_ends = namespace.metadata.deletion_timestamp.is_some(),
            Err(error) => tracing::warn!(%error, "cannot tell whether the namespace is being deleted"),
        }
    }

    /// No address stays behind the master Service for long that may become somebody else's.
    async fn withdraw_stale_endpoint(&mut self) {
        if !self.observer.lingers() || self.resource.spec.paused || !self.ctx.leadership.holds() {
            return;
        }
        let service = MasterService { client: &self.ctx.client, observer: &self.observer, resource: &self.resource };
        if let Err(error) = service.withdraw().await {
            tracing::warn!(%error, "the address of a pod that is gone is still behind the master Service");
            return;
        }
        tracing::info!(namespace = self.key.namespace, resource = self.key.name, "master Service leads nowhere");
    }

    /// A pod that is not made for long, though it is wanted: its controller may have come to look at it rarely.
    async fn remind_stateful_set(&mut self, o: &Observation) {
        let missing = o.members.iter().filter(|(name, m)| o.wanted(name) && m.pod.is_none());
        let missing = missing.map(|(name, _)| name.clone()).collect();
        let idle = o.settings.removed || o.settings.paused;
        if !self.missing_pods.calls_for_reminder(missing, Instant::now()) || idle || !self.ctx.leadership.holds() {
            return;
        }
        let Some(set) = self.observer.stateful_set() else { return };
        let body =
            json!({ "metadata": { "annotations": { (names::REMINDED_ANNOTATION): Timestamp::now().to_string() } } });
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let uid = set.uid().unwrap_or_default();
        match apply::merge::<StatefulSet>(&self.ctx.client, namespace, &set.name_any(), &uid, body).await {
            Ok(_) => {
                tracing::info!(namespace, resource = name, "the StatefulSet's controller is reminded of missing pods");
            }
            Err(error) => tracing::debug!(%error, "the StatefulSet's controller is not reminded of missing pods"),
        }
    }

    /// Waits for the next reason to look.
    async fn wait_for_change(&mut self, o: &Observation, p: &Plan, well: bool) {
        self.repeated = if *p == self.previous { self.repeated + 1 } else { 0 };
        self.previous.clone_from(p);
        if !p.steps.is_empty() && self.repeated == 0 && well {
            return; // something was done: look at once
        }
        if !p.steps.is_empty() {
            // the same again, or a failure: a short pause, so as not to spin
            let pause =
                if well { 2 * u64::from(self.repeated.min(25)) } else { 50 * u64::from((self.repeated + 1).min(20)) };
            let _ = timeout(Duration::from_millis(pause), self.handle.changed.notified()).await;
            sleep(Duration::from_millis(1)).await;
            return;
        }
        let silent = |m: &Member| m.server.silent_since.is_some_and(|at| o.now > at + NOTICEABLE);
        let under_way = o.record.transition.is_some()
            || !self.memory.demoted.is_empty()
            || self.memory.masterless_since.is_some()
            || o.members.values().any(silent);
        let tick = if under_way && self.repeated < 200 { UNDER_WAY } else { AT_REST };
        let tick = p.due.map_or(tick, |due| tick.min(due.saturating_sub(self.observer.now())));
        let _ = timeout(tick, self.handle.changed.notified()).await;
    }

    /// Takes over what the watch says, unless an own write is newer. Returns whether the resource is gone or going.
    fn refresh_resource(&mut self) -> bool {
        let Some(stored) = stored(&self.ctx, &self.key) else { return true };
        if stored.uid() != self.resource.uid() {
            self.resource = (*stored).clone(); // deleted and made anew
            self.memory = Memory::default();
            self.gone_since = None;
            self.predecessor_since = Some(Instant::now());
        } else if version(&stored) >= version(&self.resource) {
            self.resource = (*stored).clone();
        }
        let orphaning = self.resource.finalizers().iter().any(|f| f == "orphan");
        self.resource.meta().deletion_timestamp.is_some() && !orphaning
    }

    /// Are there pods of the resource that had this name before? They end, are released as those of a deleted resource are, and
    /// are no members of this one.
    fn predecessor_leaves(&mut self) -> bool {
        let owner = self.resource.uid().unwrap_or_default();
        let over = |since: &mut Instant| since.elapsed() > FAREWELL || !self.observer.has_pods_of_another_set(&owner);
        self.predecessor_since.take_if(over);
        self.predecessor_since.is_some()
    }

    /// The pods of a resource that is gone: are they gone too, or has it been long enough?
    fn await_termination(&mut self, o: &Observation) -> bool {
        let since = *self.gone_since.get_or_insert_with(Instant::now);
        let nobody = o.members.values().all(|m| m.pod.is_none());
        if !(nobody || since.elapsed() > FAREWELL) {
            return false;
        }
        self.ctx.registry.remove(&self.key);
        self.ctx.metrics.forget(&self.key);
        true
    }

    fn log(&self, p: &Plan) {
        for wait in &p.waits {
            if !self.previous.waits.contains(wait) {
                tracing::info!(namespace = self.key.namespace, resource = self.key.name, topic = ?wait.topic, "{}", wait.text);
            }
        }
    }

    /// Writes the status if it says something new.
    async fn write_status(&mut self, o: &Observation, p: &Plan, report: &ReconcileReport) {
        let spacing = if self.status_failures > 0 { apply::backoff(self.status_failures) } else { STATUS_SPACING };
        if self.written_at.is_some_and(|at| at.elapsed() < spacing) || !self.ctx.leadership.holds() {
            return;
        }
        let missing =
            o.record.master.is_some() && o.memory.masterless_since.is_some_and(|at| o.now < at + FIRST_IMPRESSION);
        if missing {
            return;
        }
        let status = status::describe(o, p, &self.resource, report, Timestamp::now());
        if self.resource.status.as_ref() == Some(&status) {
            return;
        }
        self.written_at = Some(Instant::now());
        match apply::status(&self.ctx.client, &self.resource, &status).await {
            Ok(written) => {
                self.status_failures = 0;
                announce(&self.ctx.events, &self.resource, &written);
                self.resource = written;
            }
            Err(error) => {
                self.status_failures += 1;
                if !error.is_conflict() {
                    tracing::warn!(%error, "status not written");
                    if self.status_failures == 1 && matches!(error, apply::Error::Pruned(_)) {
                        let on = self.resource.object_ref(&());
                        let reason = Reason::ApplyFailed;
                        self.ctx.events.publish(Severity::Warning, reason, "Observe", &error.to_string(), on);
                    }
                } else if let Some(stored) = stored(&self.ctx, &self.key) {
                    self.resource = (*stored).clone();
                }
            }
        }
    }
}

fn version(resource: &RedisReplication) -> u64 {
    resource.resource_version().and_then(|v| v.parse().ok()).unwrap_or(0)
}
