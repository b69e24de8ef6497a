//! The slow side: validates the resource, fetches what it refers to, applies the objects. Knows nothing of roles.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource, api::PostParams, runtime::controller::Action};
use rand::{Rng, distr::Alphanumeric};
use tokio::time::Instant;

use super::{context::Context, observe::stateful_set_replicas, registry::ObjectsReport, supervisor::supervise};
use crate::{
    api::{Reason, RedisReplication},
    kubernetes::{
        apply::{self, ensure, limited},
        stores::Key,
    },
    objects::{self, Cluster, names},
};

/// Length of a password that the operator makes: 62^32, some 190 bits.
const PASSWORD_LENGTH: usize = 32;
/// How soon a missing Secret is looked for, or a refused object applied, again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why the objects are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec cannot be made into objects.
    #[error(transparent)]
    Invalid(#[from] objects::InvalidSpec),
    /// The given Secret, or its key, is missing.
    #[error("{0}")]
    Secret(String),
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
    let known = handle.report.borrow().password.clone();
    let result = converge(&resource, &ctx, &key).await;
    ctx.metrics.reconciled(began.elapsed(), result.is_ok());
    let (problem, password) = match &result {
        Ok(password) => (None, Some(password.clone())),
        Err(e) => (Some((e.reason(), e.to_string())), known),
    };
    let report = ObjectsReport { generation: resource.meta().generation, problem, password };
    let changed = handle.report.send_if_modified(|old| {
        let differs = *old != report;
        *old = report;
        differs
    });
    if changed {
        handle.changed.notify_one();
    }
    tracing::debug!(namespace = key.namespace, resource = key.name, took = ?began.elapsed(), ok = result.is_ok(), "objects");
    result.map(|_| Action::await_change())
}

/// What to do about an error: what only a person can mend is not tried again until something changes.
#[allow(clippy::needless_pass_by_value)] // the signature is kube's
pub fn on_error(resource: Arc<RedisReplication>, error: &Error, _: Arc<Context>) -> Action {
    let key = Key::of(&*resource);
    tracing::warn!(namespace = key.namespace, resource = key.name, %error, "objects not applied");
    match error {
        Error::Invalid(_) => Action::await_change(),
        Error::Secret(_) | Error::Api(_) => Action::requeue(LOOK_AGAIN),
    }
}

impl Error {
    fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidSpec,
            Self::Secret(_) => Reason::SecretMissing,
            Self::Api(_) => Reason::ApplyFailed,
        }
    }
}

/// Returns the password.
async fn converge(resource: &RedisReplication, ctx: &Context, key: &Key) -> Result<String, Error> {
    let cluster = objects::validate(resource)?;
    let password = password(resource, &cluster, ctx, key).await?;
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

/// The password: of the given Secret, or of one that the operator makes once.
async fn password(resource: &RedisReplication, cluster: &Cluster, ctx: &Context, key: &Key) -> Result<String, Error> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let name = names::auth_secret(&key.name, &resource.spec);
    let entry = names::auth_secret_key(&resource.spec);
    let given = resource.spec.auth.as_ref().is_some_and(|a| a.secret_name.is_some());
    let secret = match limited("read", "Secret", &name, api.get_opt(&name)).await? {
        Some(secret) => secret,
        None if given => {
            return Err(Error::Secret(format!(
                "the Secret {name} does not exist in the namespace {}: create it with the password under the key {entry}, or leave out spec.auth.secretName to have one made",
                key.namespace
            )));
        }
        None => {
            let password: String =
                rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect();
            let secret = objects::generated_secret(cluster, &password);
            limited("create", "Secret", &name, api.create(&PostParams::default(), &secret)).await?
        }
    };
    let value = secret.data.as_ref().and_then(|d| d.get(entry)).map(|v| v.0.clone());
    let value = value.or_else(|| secret.string_data.as_ref()?.get(entry).map(|v| v.clone().into_bytes()));
    let Some(value) = value else {
        return Err(Error::Secret(format!(
            "the Secret {name} has no key {entry}: add it, or name the right one in spec.auth.secretKey"
        )));
    };
    let text = String::from_utf8(value).map_err(|_| {
        Error::Secret(format!("the password in the Secret {name} (key {entry}) is not UTF-8 text: put a text there"))
    })?;
    let text = text.trim_end_matches(['\n', '\r']).to_owned(); // as the pods do: a file's last line break is not meant
    if text.is_empty() || text.contains(['\n', '\r', '\0']) {
        return Err(Error::Secret(format!(
            "the password in the Secret {name} (key {entry}) is empty or has several lines: put one line there"
        )));
    }
    Ok(text)
}
