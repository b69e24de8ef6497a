//! One `RedisReplication`: making it, waiting for it, and speaking to its members.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use formats::info::Fields;
use k8s_openapi::{
    api::core::v1::{Pod, Secret},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use redis_replication_operator::api::{ConditionType, Reason, RedisReplication, RedisReplicationStatus};
use serde_json::{Value, json};

use super::{
    exec::{Output, exec},
    poll::eventually,
};

/// Finds the client program, and takes the password from its input: it is in no argument list.
const REDIS_CLI: &str = r#"IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH
exec "$(command -v redis-cli || command -v valkey-cli)" -e "$@""#;
const WITHOUT_PASSWORD: &str = r#"exec "$(command -v redis-cli || command -v valkey-cli)" -e "$@""#;

/// A handle on a `RedisReplication`.
#[derive(Clone)]
pub struct Replication {
    pub client: Client,
    pub namespace: String,
    pub name: String,
}

impl Replication {
    /// A handle on one that somebody else made.
    pub fn existing(client: &Client, namespace: &str, name: &str) -> Self {
        Self { client: client.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Makes one of a spec in YAML.
    pub async fn create(client: &Client, namespace: &str, name: &str, spec: &str) -> Result<Self> {
        let object: RedisReplication =
            serde_json::from_value(manifest(name, spec)?).with_context(|| format!("the spec of {name}"))?;
        let this = Self::existing(client, namespace, name);
        this.api().create(&PostParams::default(), &object).await.with_context(|| format!("creating {name}"))?;
        Ok(this)
    }

    pub fn api(&self) -> Api<RedisReplication> {
        self.all()
    }

    /// Objects of any kind in the same namespace.
    pub fn all<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn get(&self) -> Result<RedisReplication> {
        Ok(self.api().get(&self.name).await?)
    }

    pub async fn status(&self) -> Result<RedisReplicationStatus> {
        Ok(self.get().await?.status.unwrap_or_default())
    }

    /// The recorded master.
    pub async fn master(&self) -> Result<String> {
        self.status().await?.master.context("no master is recorded")
    }

    /// Changes the spec by a merge patch.
    pub async fn patch_spec(&self, spec: Value) -> Result<()> {
        self.api().patch(&self.name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await?;
        Ok(())
    }

    /// Through the scale subresource, as `kubectl scale` does.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.api().patch_scale(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub async fn delete(&self) -> Result<()> {
        self.api().delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the condition has this reason, and returns it.
    pub async fn reason(&self, type_: ConditionType, reason: Reason, within: Duration) -> Result<Condition> {
        eventually(&format!("{}: condition {type_} with reason {reason}", self.name), within, async || {
            let status = self.status().await?;
            let found = status.conditions.iter().find(|c| c.type_ == type_.to_string());
            match found {
                Some(condition) if condition.reason == reason.to_string() => Ok(condition.clone()),
                Some(c) => bail!("{type_} is {}, {}: {}", c.status, c.reason, c.message),
                None => bail!("there is no condition {type_}"),
            }
        })
        .await
    }

    /// Waits until another pod than `former` is recorded as master and no transition is open.
    pub async fn another_master(&self, former: &str, within: Duration) -> Result<String> {
        eventually(&format!("{}: another master than {former}", self.name), within, async || {
            let status = self.status().await?;
            match (&status.master, &status.transition) {
                (Some(master), None) if master != former => Ok(master.clone()),
                (master, transition) => bail!("master {master:?}, transition {transition:?}"),
            }
        })
        .await
    }

    /// Its pods, by name.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let selector = format!("app.kubernetes.io/name=redis-replication,app.kubernetes.io/instance={}", self.name);
        let mut pods = self.all::<Pod>().list(&ListParams::default().labels(&selector)).await?.items;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    pub async fn pod(&self, name: &str) -> Result<Pod> {
        Ok(self.all::<Pod>().get(name).await?)
    }

    /// Names of all members that there should be.
    pub async fn members(&self) -> Result<Vec<String>> {
        let replicas = self.get().await?.spec.replicas;
        Ok((0..replicas).map(|ordinal| format!("{}-{ordinal}", self.name)).collect())
    }

    /// Members other than the master.
    pub async fn replicas(&self) -> Result<Vec<String>> {
        let master = self.master().await?;
        Ok(self.members().await?.into_iter().filter(|member| *member != master).collect())
    }

    /// The Secret and the key in it that hold the password.
    pub async fn password_secret(&self) -> Result<(String, String)> {
        let auth = self.get().await?.spec.auth.unwrap_or_default();
        let key = if auth.secret_key.is_empty() { "password".to_owned() } else { auth.secret_key };
        Ok((auth.secret_name.unwrap_or_else(|| format!("{}-auth", self.name)), key))
    }

    pub async fn password(&self) -> Result<String> {
        let (name, key) = self.password_secret().await?;
        let secret = self.all::<Secret>().get(&name).await?;
        let bytes = secret.data.unwrap_or_default().remove(&key).with_context(|| format!("{name} has no {key}"))?;
        Ok(String::from_utf8(bytes.0)?)
    }

    /// What `redis-cli` prints, whether Redis answers with an error or not.
    pub async fn try_cli(&self, pod: &str, command: &[&str]) -> Result<Output> {
        let password = format!("{}\n", self.password().await?);
        let command: Vec<&str> = ["sh", "-c", REDIS_CLI, "sh"].iter().chain(command).copied().collect();
        exec(&self.client, &self.namespace, pod, "redis", &password, &command).await
    }

    /// What `redis-cli` prints; an error if Redis answers with one.
    pub async fn cli(&self, pod: &str, command: &[&str]) -> Result<String> {
        self.try_cli(pod, command).await?.ok()
    }

    /// `redis-cli` without a password.
    pub async fn cli_without_password(&self, pod: &str, command: &[&str]) -> Result<Output> {
        let command: Vec<&str> = ["sh", "-c", WITHOUT_PASSWORD, "sh"].iter().chain(command).copied().collect();
        exec(&self.client, &self.namespace, pod, "redis", "", &command).await
    }

    pub async fn info(&self, pod: &str, section: &str) -> Result<Fields> {
        Ok(Fields::parse(&self.cli(pod, &["INFO", section]).await?))
    }
}

/// A whole manifest of a name and a spec.
pub fn manifest(name: &str, spec: &str) -> Result<Value> {
    let spec: Option<Value> = serde_saphyr::from_str(spec)?;
    Ok(json!({
        "apiVersion": "redis.replication.dev/v1alpha1",
        "kind": "RedisReplication",
        "metadata": { "name": name },
        "spec": spec.unwrap_or_else(|| json!({})),
    }))
}
