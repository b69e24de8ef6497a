//! A namespace for each scenario.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace as Object, Pod, ServiceAccount};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};

use redis_replication_operator::api::RedisReplication;

use super::{ensure, poll::eventually};

const LABEL: &str = "rr-e2e";

/// A namespace in which only restricted pods may run.
pub struct Namespace {
    client: Client,
    name: String,
}

impl Namespace {
    /// Makes one for the scenario `title`.
    pub async fn create(client: &Client, title: &str) -> Result<Self> {
        let name = format!("{LABEL}-{}-{:04x}", title.replace('_', "-"), rand::random::<u16>());
        let labels = BTreeMap::from([
            (LABEL.to_owned(), "scenario".to_owned()),
            ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned()),
        ]);
        let metadata = ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() };
        let object = Object { metadata, ..Object::default() };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.context("creating the namespace")?;
        // Pods are refused before the service account is there.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
        eventually("the default service account", Duration::from_secs(60), async || {
            Ok(accounts.get("default").await?)
        })
        .await?;
        Ok(Self { client: client.clone(), name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Deletes the resources in it and then, without waiting, itself.
    pub async fn clear(&self) {
        let resources: Api<RedisReplication> = Api::namespaced(self.client.clone(), &self.name);
        if let Err(error) = resources.delete_collection(&DeleteParams::default(), &ListParams::default()).await {
            println!("{}: its resources could not be deleted: {error}", self.name);
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.name);
        // Whether the namespace's own deletion is quick is a scenario; the others needn't wait for it.
        let gone = eventually("all pods are gone", Duration::from_secs(20), async || {
            let left = pods.list(&ListParams::default()).await?.items.len();
            ensure(left == 0, || format!("{left} are left"))
        });
        let _ = gone.await;
        self.delete().await;
    }

    /// Begins to delete it.
    pub async fn delete(&self) {
        let namespaces: Api<Object> = Api::all(self.client.clone());
        if let Err(error) = namespaces.delete(&self.name, &DeleteParams::default()).await
            && !matches!(&error, kube::Error::Api(status) if status.is_not_found() || status.is_conflict())
        {
            println!("{}: could not be deleted: {error}", self.name);
        }
    }

    /// Deletes it, unless KEEP=1 asks for the evidence.
    pub async fn delete_unless_kept(&self) {
        if std::env::var("KEEP").is_ok_and(|keep| keep == "1") {
            println!("{}: kept, as KEEP=1 asks", self.name);
        } else {
            self.clear().await;
        }
    }
}

/// Waits until the namespaces of former scenarios are gone: their deletion keeps the operator busy.
pub async fn wait_for_terminating(client: &Client) -> Result<()> {
    let namespaces: Api<Object> = Api::all(client.clone());
    eventually("former namespaces gone", Duration::from_secs(300), async || {
        let all = namespaces.list(&ListParams::default().labels(LABEL)).await?;
        let going: Vec<_> = all.iter().filter(|n| n.metadata.deletion_timestamp.is_some()).collect();
        if let Some(one) = going.first() {
            bail!("{} are being deleted, {:?} among them", going.len(), one.metadata.name);
        }
        Ok(())
    })
    .await
}
