//! The slow side: validates the resource, fetches what it refers to, applies the objects. Knows nothing of roles.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Resource, ResourceExt, runtime::controller::Action};
use serde_json::json;
use tokio::time::Instant;

use super::{
    conflict::Conflict,
    context::Context,
    eviction, holdings,
    isolation::advice,
    leftovers,
    password::{self, Found},
    registry::ReconcileReport,
    site::Site,
    supervisor::supervise,
};
use crate::{
    api::{EventReason, Reason, RedisReplication},
    kubernetes::{apply, events::Severity, stores::Key},
    objects::{self, Cluster, names},
    password::Password,
};

/// How soon a missing Secret is looked for, or a refused object applied, again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often the Secret is read when nothing else happens. A watch would take the right to read all Secrets.
const SECRET_EVERY: Duration = Duration::from_secs(5);
/// How often it is asked at least whether a name that was taken is free.
const CONFLICT_EVERY: Duration = Duration::from_secs(10);

/// Why the objects are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec cannot be made into objects.
    #[error(transparent)]
    Invalid(#[from] objects::InvalidSpec),
    /// Names that the objects need belong to others.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// There is no password.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// The API server refused, or did not answer.
    #[error(transparent)]
    Api(#[from] apply::Error),
}

/// Makes the objects of one resource what its spec says.
pub async fn reconcile(resource: Arc<RedisReplication>, ctx: Arc<Context>) -> Result<Action, Error> {
    let key = Key::of(&*resource);
    let (handle, new) = ctx.registry.get_or_insert(&key);
    if new {
        tokio::spawn(supervise(key.clone(), Arc::clone(&handle), (*ctx).clone()));
    }
    if resource.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let began = Instant::now();
    let read = handle.report.borrow().password.clone();
    let known = handle.accepted.borrow().clone().or_else(|| read.clone());
    let generation = resource.meta().generation;
    let mut report = ReconcileReport { generation, password: read, ..ReconcileReport::default() };
    let kept = *handle.pods.borrow();
    let result = Box::pin(converge(&resource, &ctx, &key, kept, known, &mut report)).await;
    ctx.metrics.reconciled(began.elapsed(), result.is_ok());
    let fault = ctx.faults.of(&RedisReplication::kind(&()), &key);
    let fault = fault.map(|fault| (Reason::InvalidSpec, advice(&fault, &key, true)));
    report.problem = fault.or_else(|| result.as_ref().err().map(|error| (error.reason(), error.to_string())));
    handle.count_conflict(matches!(result, Err(Error::Conflict(_))));
    let changed = handle.report.send_if_modified(|old| {
        let differs = *old != report;
        *old = report;
        differs
    });
    if changed {
        handle.changed.notify_one();
    }
    tracing::debug!(namespace = key.namespace, resource = key.name, took = ?began.elapsed(), ok = result.is_ok(), "objects");
    // a change of what is kept wakes nobody by itself
    let held = kept.is_none_or(|pods| i32::try_from(pods).is_ok_and(|pods| pods > resource.spec.replicas));
    result.map(|()| Action::requeue(if held { LOOK_AGAIN } else { SECRET_EVERY }))
}

/// What to do about an error: what only a user can repair is not tried again until something changes.
#[allow(clippy::needless_pass_by_value)] // the signature is kube's
pub fn on_error(resource: Arc<RedisReplication>, error: &Error, ctx: Arc<Context>) -> Action {
    let key = Key::of(&*resource);
    let conflicts = ctx.registry.get(&key).map_or(0, |handle| handle.conflicts());
    if conflicts > 1 {
        tracing::debug!(namespace = key.namespace, resource = key.name, %error, "objects still not applied");
    } else {
        tracing::warn!(namespace = key.namespace, resource = key.name, %error, "objects not applied");
    }
    match error {
        Error::Invalid(_) => Action::await_change(),
        // no watch shows the end of an object without our labels
        Error::Conflict(conflict) if !conflict.is_passing() => {
            Action::requeue((LOOK_AGAIN * 2_u32.pow(conflicts.min(4))).min(CONFLICT_EVERY))
        }
        Error::Conflict(_) | Error::Password(_) | Error::Api(_) => Action::requeue(LOOK_AGAIN),
    }
}

impl Error {
    fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidSpec,
            Self::Conflict(_) => Reason::NameConflict,
            Self::Password(error) => error.reason(),
            Self::Api(apply::Error::Taken(_)) => Reason::NameConflict,
            Self::Api(_) => Reason::ApplyFailed,
        }
    }
}

/// Makes all that the resource needs. What is learned on the way goes into the report: the members are looked after whatever
/// becomes of the objects. `kept` is how many pods must be kept, once that is known; `known` is the password that the members
/// accept.
async fn converge(
    resource: &RedisReplication,
    ctx: &Context,
    key: &Key,
    kept: Option<usize>,
    known: Option<Password>,
    report: &mut ReconcileReport,
) -> Result<(), Error> {
    let cluster = match objects::validate(resource) {
        Ok(cluster) => cluster,
        Err(invalid) => {
            let _ = learn_password(resource, ctx, key, None, known, report).await;
            return Err(invalid.into());
        }
    };
    let live = holdings::stateful_set(&ctx.stores.stateful_sets, key, &cluster.owner.uid);
    // until the supervisor has looked, nothing is known that could let a pod go
    let there = live.as_ref().map_or(0, |set| holdings::pod_count(set));
    let kept = kept.map_or(there, |pods| i32::try_from(pods).unwrap_or(i32::MAX));
    let mut wanted = objects::build(&cluster, kept.max(resource.spec.replicas));
    if let Some(live) = &live {
        objects::keep_immutable(&mut wanted.stateful_set, live);
    }
    let pods = holdings::pods(&ctx.stores.pods, key, &report.strangers);
    let taken = holdings::taken_ordinals(&pods, key, live.and_then(|set| set.uid()).as_deref());
    objects::leave_out(&mut wanted.stateful_set, taken);
    let site = if resource.spec.paused {
        Ok(None)
    } else {
        Site::survey(&ctx.client, Some(&ctx.stores), &cluster, &wanted).await.map(Some)
    };
    if let Ok(Some(site)) = &site {
        report.strangers = site.strangers();
    }
    let maker = (site.is_ok() && report.strangers.is_empty()).then_some(&cluster);
    let learnt = learn_password(resource, ctx, key, maker, known, report).await;
    let site = site?;
    if !report.strangers.is_empty() {
        return Err(Conflict::of(resource, report.strangers.clone()).into());
    }
    learnt?;
    let Some(site) = site else { return Ok(()) }; // paused
    let written = match site.build().await {
        // the watch was behind: an object is gone, or another has come to its name
        Err(error) if error.is_conflict() => {
            let site = Site::survey(&ctx.client, None, &cluster, &wanted).await?;
            report.strangers = site.strangers();
            if !report.strangers.is_empty() {
                return Err(Conflict::of(resource, report.strangers.clone()).into());
            }
            site.build().await?
        }
        built => built?,
    };
    if !written.is_empty() {
        tracing::info!(namespace = key.namespace, resource = key.name, objects = written.join(", "), "applied");
    }
    let pods = holdings::pods(&ctx.stores.pods, key, &report.strangers);
    tidy(resource, ctx, key, &wanted.settings.name_any(), &pods).await
}

/// Reads the password, or makes one where there is a `maker`.
async fn learn_password(
    resource: &RedisReplication,
    ctx: &Context,
    key: &Key,
    maker: Option<&Cluster>,
    known: Option<Password>,
    report: &mut ReconcileReport,
) -> Result<(), password::Error> {
    let pods = holdings::pods(&ctx.stores.pods, key, &report.strangers);
    match password::find(resource, maker, &ctx.client, &pods, known).await {
        Ok(Found { password, restored, stranger }) => {
            report.password = Some(password);
            report.strangers.extend(stranger);
            if let Some(note) = restored {
                tracing::warn!(namespace = key.namespace, resource = key.name, "{note}");
                let on = resource.object_ref(&());
                ctx.events.publish(Severity::Warning, EventReason::SecretRestored, "Create", &note, on);
            }
            Ok(())
        }
        Err(error) => {
            if let password::Error::Taken(stranger) = &error {
                report.strangers.push((**stranger).clone());
            }
            Err(error)
        }
    }
}

/// What follows from pods that have come or gone: settings that none reads any more are deleted, and the autoscaler learns which
/// pods it may evict. `present` is the map with the settings of the present revision.
async fn tidy(
    resource: &RedisReplication,
    ctx: &Context,
    key: &Key,
    present: &str,
    pods: &[Arc<Pod>],
) -> Result<(), Error> {
    let (client, known, namespace) = (&ctx.client, &ctx.stores, key.namespace.as_str());
    let set = holdings::stateful_set(&known.stateful_sets, key, &resource.uid().unwrap_or_default());
    let maps = known.config_maps.of(key);
    for map in leftovers::unused_settings(&maps, present, resource, set.as_deref(), pods) {
        let name = map.name_any();
        apply::delete::<ConfigMap>(client, namespace, &name, map.uid()).await?;
        tracing::info!(namespace, resource = key.name, config_map = name, "deleted settings that no pod reads");
    }
    for (pod, value) in eviction::changes(resource, pods) {
        let annotations = json!({ (names::SAFE_TO_EVICT_ANNOTATION): value });
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        apply::merge::<Pod>(client, namespace, &name, &uid, json!({ "metadata": { "annotations": annotations } }))
            .await?;
    }
    Ok(())
}
