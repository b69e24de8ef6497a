//! The cluster that the kubeconfig names, and what is read from it and asked of it.

use std::collections::BTreeSet;

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use redis_replication_operator::{api::RedisReplication, kubernetes::isolation::Isolated, objects::names};
use serde_json::Value;

use crate::{
    args::Connection,
    error::{Error, hint, is_not_found, listed, one_line},
};

/// A cluster, and the namespace in it that commands are about.
#[derive(Clone)]
pub struct Cluster {
    /// Speaks to the API server.
    pub client: Client,
    /// The namespace that was given, or the context's.
    pub namespace: String,
    server: String,
}

impl Cluster {
    /// The cluster that the command line, the environment and the kubeconfig name. Nothing is sent yet.
    pub async fn connect(connection: &Connection) -> Result<Self, Error> {
        let mut config = config(connection).await?;
        // a user is waiting: no hidden retries
        config.default_retry = false;
        config.connect_timeout = Some(std::time::Duration::from_secs(5));
        let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|e| Error::api(&server, "connect", &e))?;
        Ok(Self { client, namespace, server })
    }

    /// A cluster behind a client that there is already.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), server: "https://test".into() }
    }

    /// Objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The same cluster, seen from another namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// What became of an attempt to `action` (an infinitive: "read pods in namespace shop").
    pub fn error(&self, action: &str, error: &kube::Error) -> Error {
        Error::api(&self.server, action, error)
    }

    /// One resource by its name.
    pub async fn get(&self, name: &str) -> Result<RedisReplication, Error> {
        match self.api::<Isolated<RedisReplication>>().get(name).await {
            Ok(found) => found.0.map_err(|broken| Error::Undecodable {
                name: name.to_owned(),
                namespace: self.namespace.clone(),
                fault: broken.fault,
            }),
            Err(error) if is_not_found(&error) => Err(self.missing(name).await),
            Err(error) => Err(self.error(&self.reading("redisreplications"), &error)),
        }
    }

    /// All resources of the namespace, or of all namespaces. Of those that cannot be decoded a line on the standard error tells.
    pub async fn list(&self, everywhere: bool) -> Result<Vec<RedisReplication>, Error> {
        let api = if everywhere { Api::all(self.client.clone()) } else { self.api::<Isolated<RedisReplication>>() };
        match api.list(&ListParams::default()).await {
            Ok(list) => Ok(list.items.into_iter().filter_map(understood).collect()),
            Err(error) if is_not_found(&error) => Err(Error::NotInstalled),
            Err(error) if everywhere => Err(self.error("list redisreplications in all namespaces", &error)),
            Err(error) => Err(self.error(&self.reading("redisreplications"), &error)),
        }
    }

    /// Why there is no resource of this name.
    async fn missing(&self, name: &str) -> Error {
        let not_found = |hint| Error::NotFound { name: name.to_owned(), namespace: self.namespace.clone(), hint };
        let names: Vec<String> = match self.list(false).await {
            Ok(found) => found.iter().map(ResourceExt::name_any).collect(),
            Err(Error::NotInstalled) => return Error::NotInstalled,
            Err(_) => return not_found(String::new()),
        };
        if let Ok(all) = self.list(true).await
            && let Some(elsewhere) = all.iter().find(|one| one.name_any() == name)
        {
            let namespace = elsewhere.namespace().unwrap_or_default();
            return not_found(format!("; there is one in another namespace: -n {namespace}"));
        }
        not_found(hint(name, &names))
    }

    /// Changes a resource by a merge patch.
    pub async fn patch(&self, name: &str, body: Value) -> Result<RedisReplication, Error> {
        let patched = self.api::<RedisReplication>().patch(name, &PatchParams::default(), &Patch::Merge(body)).await;
        patched.map_err(|e| self.error(&format!("change redisreplications in namespace {}", self.namespace), &e))
    }

    /// The pods of a resource, by name.
    pub async fn pods(&self, name: &str) -> Result<Vec<Pod>, Error> {
        let pods = self.api::<Pod>().list(&ListParams::default().labels(&names::selector(name))).await;
        let mut pods = pods.map_err(|e| self.error(&self.reading("pods"), &e))?.items;
        pods.sort_by_key(|pod| (names::ordinal(&pod.name_any()), pod.name_any()));
        Ok(pods)
    }

    /// "read pods in namespace shop".
    pub fn reading(&self, what: &str) -> String {
        format!("read {what} in namespace {}", self.namespace)
    }
}

fn understood(one: Isolated<RedisReplication>) -> Option<RedisReplication> {
    let (namespace, name) = (one.namespace().unwrap_or_default(), one.name_any());
    one.0.inspect_err(|broken| eprintln!("{namespace}/{name} cannot be decoded: {}", broken.fault)).ok()
}

/// The members that a resource has or is to have.
pub fn members(resource: &RedisReplication) -> Vec<String> {
    let name = resource.name_any();
    let seen = resource.status.iter().flat_map(|status| status.members.iter().map(|member| member.name.clone()));
    let all: BTreeSet<_> = seen
        .chain(names::expected_members(&name, resource.spec.replicas))
        .map(|pod| (names::ordinal(&pod), pod))
        .collect();
    all.into_iter().map(|(_, pod)| pod).collect()
}

/// The member that a user names: the pod's name, or the number at its end.
pub fn member(resource: &RedisReplication, given: &str) -> Result<String, Error> {
    let (name, members) = (resource.name_any(), members(resource));
    let numbered = format!("{name}-{given}");
    members.iter().find(|pod| *pod == given || **pod == numbered).cloned().ok_or_else(|| Error::NoMember {
        replication: name,
        member: given.to_owned(),
        hint: listed(&members), // they differ by one digit: none is more likely than another
    })
}

/// The recorded master.
pub fn master(resource: &RedisReplication) -> Result<String, Error> {
    let master = resource.status.as_ref().and_then(|status| status.master.clone());
    master.ok_or_else(|| {
        let name = resource.name_any();
        Error::Pointless(format!("{name} has no master at present; see `kubectl rr status {name}`"))
    })
}

async fn config(connection: &Connection) -> Result<Config, Error> {
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let broken = |error: &dyn std::fmt::Display| Error::NoKubeconfig(one_line(&error.to_string()));
    let Some(file) = &connection.kubeconfig else {
        return match connection.context {
            None => Config::infer().await.map_err(|e| {
                // in a pod there would be no kubeconfig; that it is no pod is no news
                let cause = std::error::Error::source(&e).map(ToString::to_string);
                broken(&cause.unwrap_or_else(|| e.to_string()))
            }),
            Some(_) => Config::from_kubeconfig(&options).await.map_err(|e| broken(&e)),
        };
    };
    let kubeconfig = Kubeconfig::read_from(file).map_err(|e| broken(&e))?;
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| broken(&e))
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
pub(crate) mod tests;
