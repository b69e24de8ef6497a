//! Who is measured: a replication of this operator, or one that Sentinel looks after.

use std::{os::unix::fs::OpenOptionsExt, path::PathBuf};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::json;

use crate::{
    harness::{
        LONG, Namespace, Replication, client, ensure, namespace::wait_for_terminating, objects, operator,
        poll::eventually,
    },
    plan::{Subject, Variant},
    sentinel,
    servers::{self, Syncs},
    service_churn::Bustle,
    writer::Target,
};

const OPERATOR: &str = include_str!("operator.yaml");
/// The image of both.
pub const IMAGE: &str = "docker.io/library/redis:8.0";

/// One of them, as it stands.
pub struct Standing {
    pub subject: Subject,
    pub namespace: Namespace,
    /// Also a handle on the pods of one that is not ours.
    pub pods: Replication,
    pub target: Target,
    password: Option<String>,
    /// Keeps kube-proxy busy, where that is the question.
    service_churn: Option<Bustle>,
}

impl Standing {
    /// Makes it in a namespace of its own when all former ones are gone, and waits until it works.
    pub async fn create(subject: Subject) -> Result<Self> {
        let client = client().await?;
        // its Services go with it, and each is a change that makes kube-proxy wait a second before the next
        wait_for_terminating(&client).await?;
        let title = format!("bench-{}", clap::ValueEnum::to_possible_value(&subject).context("a name")?.get_name());
        let namespace = Namespace::create(&client, &title).await?;
        match Self::fill(subject, &client, namespace.name()).await {
            Ok((pods, target, password)) => {
                let busy = subject == Subject::OperatorBusyCluster;
                let service_churn = busy.then(|| Bustle::start(&client, namespace.name()));
                Ok(Self { subject, namespace, pods, target, password, service_churn })
            }
            Err(error) => {
                namespace.clear().await;
                Err(error)
            }
        }
    }

    async fn fill(subject: Subject, client: &Client, namespace: &str) -> Result<(Replication, Target, Option<String>)> {
        if let Some((down_after, boot_rule)) = subject.sentinel() {
            sentinel::create(client, namespace, down_after, boot_rule).await?;
            let pods = Replication::existing(client, namespace, "redis");
            let address = format!("{}:26379", cluster_ip(&pods, "sentinel").await?);
            let target = Target { address, sentinel_master: Some(sentinel::MASTER.to_owned()), password_file: None };
            return Ok((pods, target, None));
        }
        operator::is_installed(client).await.context("install the operator first: make install")?;
        objects::apply(client, namespace, OPERATOR).await?;
        let pods = Replication::existing(client, namespace, "cache");
        if subject == Subject::OperatorOwnSlice {
            pods.patch_spec(json!({ "services": { "masterRouting": "EndpointSlice" } })).await?;
        }
        pods.agrees().await?;
        let password = pods.password().await?;
        let target = Target {
            address: format!("{}:6379", cluster_ip(&pods, "cache-master").await?),
            sentinel_master: None,
            password_file: Some(keep(namespace, &password)?),
        };
        Ok((pods, target, Some(password)))
    }

    /// Promises what the writer of a variant relies on: that no write which `WAIT` confirmed is lost.
    pub async fn suit(&self, variant: Variant) -> Result<()> {
        if !self.subject.is_ours() {
            return Ok(());
        }
        let spec = match variant.wait() {
            0 => json!({ "durability": null, "failover": null }),
            wait => json!({ "durability": { "waitReplicas": wait }, "failover": { "policy": "Consistency" } }),
        };
        self.pods.patch_spec(spec).await
    }

    /// Waits until there is one master whom all others follow, and nothing is under way. Returns its pod's name.
    pub async fn healthy(&self) -> Result<String> {
        if self.subject.is_ours() {
            return self.pods.agrees().await;
        }
        eventually("Sentinel has one master, and all follow it", LONG, async || {
            sentinel::check(&self.pods, &self.members().await?).await
        })
        .await
    }

    pub async fn members(&self) -> Result<Vec<Pod>> {
        if self.subject.is_ours() {
            return self.pods.pods().await;
        }
        Ok(self.pods.all::<Pod>().list(&ListParams::default().labels("app=redis")).await?.items)
    }

    /// The full copies that the members have given.
    pub async fn syncs(&self) -> Result<Syncs> {
        let members = self.members().await?;
        let infos = members.iter().map(async |pod| servers::info(&ip(pod)?, self.password.as_deref(), "all").await);
        let mut syncs = Syncs::default();
        for info in try_join_all(infos).await? {
            syncs.note(&info);
        }
        Ok(syncs)
    }

    /// Removes all data, so that a long run ends as it began.
    pub async fn flush(&self, master: &str) -> Result<()> {
        let ip = ip(&self.pods.pod(master).await?)?;
        servers::command::<()>(&ip, 6379, self.password.as_deref(), &["FLUSHALL"]).await
    }

    /// Fails if the cluster has not been as busy as it should be.
    pub fn is_busy(&self) -> Result<()> {
        self.service_churn.as_ref().map_or(Ok(()), Bustle::goes_on)
    }

    pub async fn remove(self) {
        drop(self.service_churn);
        if let Some(file) = &self.target.password_file {
            let _ = std::fs::remove_file(file);
        }
        self.namespace.clear().await;
    }
}

/// The address of a pod.
pub fn ip(pod: &Pod) -> Result<String> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    ip.with_context(|| format!("{} has no address", pod.name_any()))
}

async fn cluster_ip(pods: &Replication, service: &str) -> Result<String> {
    let spec = pods.all::<Service>().get(service).await?.spec.unwrap_or_default();
    match spec.cluster_ip {
        Some(ip) if ip != "None" => Ok(ip),
        other => bail!("Service {service} has the address {other:?}"),
    }
}

/// For the writer, which reads it from a file.
fn keep(namespace: &str, password: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("{namespace}.password"));
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
    std::io::Write::write_all(&mut file, password.as_bytes())?;
    Ok(path)
}

/// Waits until the operator's pods all run.
pub async fn operator_is_whole(client: &Client) -> Result<()> {
    operator::rolled_out(client, LONG).await?;
    eventually("an operator leads", LONG, async || operator::leader(client).await.map(drop)).await
}

/// Whether the operator that leads is on `node`.
pub async fn leader_is_on(client: &Client, node: &str) -> Result<bool> {
    let leader = operator::leader(client).await?;
    Ok(leader.spec.and_then(|spec| spec.node_name).as_deref() == Some(node))
}

/// Waits until a node can be used.
pub async fn node_is_ready(client: &Client, node: &str) -> Result<()> {
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
    eventually(&format!("{node} is ready"), LONG, async || {
        let status = nodes.get(node).await?.status.unwrap_or_default();
        let ready = status.conditions.unwrap_or_default().into_iter().find(|c| c.type_ == "Ready");
        ensure(ready.as_ref().is_some_and(|c| c.status == "True"), || format!("{ready:?}"))
    })
    .await
}
