//! The slow side: validates the resource, fetches what it refers to, applies the objects. Knows nothing of roles.

use std::{sync::Arc, time::Duration};

use kube::{Resource, runtime::controller::Action};
use tokio::time::Instant;

use super::{
    context::Context,
    isolation::advice,
    observe::stateful_set_replicas,
    password::{self, Found},
    registry::ObjectsReport,
    supervisor::supervise,
};
use crate::{
    api::{Reason, RedisReplication},
    kubernetes::{
        apply::{self, ensure},
        events::Severity,
        stores::{self, Key},
    },
    objects,
    password::Password,
};

/// How soon a missing Secret is looked for, or a refused object applied, again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often the Secret is read when nothing else happens. A watch would take the right to read all Secrets.
const SECRET_EVERY: Duration = Duration::from_secs(5);

/// Why the objects are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec cannot be made into objects.
    #[error(transparent)]
    Invalid(#[from] objects::InvalidSpec),
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
    let (handle, new) = ctx.registry.enter(&key);
    if new {
        tokio::spawn(supervise(key.clone(), Arc::clone(&handle), (*ctx).clone()));
    }
    if resource.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let began = Instant::now();
    let read = handle.report.borrow().password.clone();
    let known = handle.accepted.borrow().clone().or_else(|| read.clone());
    let result = converge(&resource, &ctx, &key, known).await;
    ctx.metrics.reconciled(began.elapsed(), result.is_ok());
    let fault = ctx.faults.of(&RedisReplication::kind(&()), &key);
    let fault = fault.map(|fault| (Reason::InvalidSpec, advice(&fault, &key, true)));
    let (problem, password) = match &result {
        Ok(password) => (None, Some(password.clone())),
        Err(e) => (Some((e.reason(), e.to_string())), read),
    };
    let report = ObjectsReport { generation: resource.meta().generation, problem: fault.or(problem), password };
    let changed = handle.report.send_if_modified(|old| {
        let differs = *old != report;
        *old = report;
        differs
    });
    if changed {
        handle.changed.notify_one();
    }
    tracing::debug!(namespace = key.namespace, resource = key.name, took = ?began.elapsed(), ok = result.is_ok(), "objects");
    result.map(|_| Action::requeue(SECRET_EVERY))
}

/// What to do about an error: what only a person can mend is not tried again until something changes.
#[allow(clippy::needless_pass_by_value)] // the signature is kube's
pub fn on_error(resource: Arc<RedisReplication>, error: &Error, _: Arc<Context>) -> Action {
    let key = Key::of(&*resource);
    tracing::warn!(namespace = key.namespace, resource = key.name, %error, "objects not applied");
    match error {
        Error::Invalid(_) => Action::await_change(),
        Error::Password(_) | Error::Api(_) => Action::requeue(LOOK_AGAIN),
    }
}

impl Error {
    fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidSpec,
            Self::Password(error) => error.reason(),
            Self::Api(_) => Reason::ApplyFailed,
        }
    }
}

/// Returns the password. `known` is what the members accept.
async fn converge(
    resource: &RedisReplication,
    ctx: &Context,
    key: &Key,
    known: Option<Password>,
) -> Result<Password, Error> {
    let cluster = objects::validate(resource)?;
    let pods = stores::of(&ctx.sources.pods, key);
    let Found { password, restored } = password::find(resource, &cluster, &ctx.client, &pods, known).await?;
    if let Some(note) = restored {
        tracing::warn!(namespace = key.namespace, resource = key.name, "{note}");
        ctx.events.publish(Severity::Warning, "SecretRestored", "Create", &note, resource.object_ref(&()));
    }
    if resource.spec.paused {
        return Ok(password);
    }
    let wanted = objects::build(&cluster, stateful_set_replicas(resource));
    let (client, namespace) = (&ctx.client, key.namespace.as_str());
    let mut written = Vec::new();
    let mut note = |kind: &'static str, was_written: bool| {
        if was_written {
            written.push(kind);
        }
    };
    let known = &ctx.sources;
    note("ConfigMap", ensure(client, &known.config_maps, namespace, &wanted.config_map).await?);
    note("headless Service", ensure(client, &known.services, namespace, &wanted.headless_service).await?);
    note("master Service", ensure(client, &known.services, namespace, &wanted.master_service).await?);
    note("replicas Service", ensure(client, &known.services, namespace, &wanted.replicas_service).await?);
    note("PodDisruptionBudget", ensure(client, &known.budgets, namespace, &wanted.pod_disruption_budget).await?);
    note("StatefulSet", ensure(client, &known.stateful_sets, namespace, &wanted.stateful_set).await?);
    if !written.is_empty() {
        tracing::info!(namespace, resource = key.name, objects = written.join(", "), "applied");
    }
    Ok(password)
}
