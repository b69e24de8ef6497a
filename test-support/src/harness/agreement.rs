//! Do the status, the labels, the Services and the Redis servers all say the same?

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{ResourceExt, api::ListParams};
use redis_replication_operator::api::{ConditionType, MemberPhase, MemberRole, Reason, RedisReplication};

use super::{LONG, Replication, ensure, poll::eventually};

impl Replication {
    /// Waits until everything agrees on one master whom all others follow, and returns its name.
    pub async fn agrees(&self) -> Result<String> {
        eventually(&format!("{}: everything agrees on one master", self.name), LONG, async || self.check().await).await
    }

    /// Whether it does now.
    pub async fn check(&self) -> Result<String> {
        let object = self.get().await?;
        let master = check_status(&object)?;
        let pods = self.check_pods(object.spec.replicas, &master).await?;
        self.check_servers(&pods, &master).await?;
        let (masters, replicas): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.name_any() == master);
        self.check_service("master", &masters).await?;
        self.check_service("replicas", &replicas).await?;
        Ok(master)
    }

    async fn check_pods(&self, replicas: i32, master: &str) -> Result<Vec<Pod>> {
        let pods = self.pods().await?;
        let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
        let wanted: Vec<_> = (0..replicas).map(|ordinal| format!("{}-{ordinal}", self.name)).collect();
        ensure(names == wanted, || format!("there are the pods {names:?}"))?;
        for pod in &pods {
            let (name, labels) = (pod.name_any(), pod.labels());
            ensure(pod.metadata.deletion_timestamp.is_none(), || format!("{name} is being deleted"))?;
            let role = labels.get("redis.replication.dev/role").map_or("", String::as_str);
            let right = if name == master { "master" } else { "replica" };
            ensure(role == right, || format!("{name} is labelled {role:?}, and the master is {master}"))?;
        }
        Ok(pods)
    }

    async fn check_servers(&self, pods: &[Pod], master: &str) -> Result<()> {
        let infos = try_join_all(pods.iter().map(async |pod| {
            let name = pod.name_any();
            let info = self.info(&name, "replication").await?;
            anyhow::Ok((name, info))
        }))
        .await?;
        let master_ip =
            pods.iter().find(|pod| pod.name_any() == master).and_then(ip).context("the master has no IP")?;
        for (name, info) in &infos {
            let role = info.get("role");
            if name == master {
                let followers = info.number::<usize>("connected_slaves").unwrap_or_default();
                ensure(role == "master", || format!("{name} should be master, and says it is {role}"))?;
                ensure(followers + 1 == pods.len(), || format!("{followers} replicas are connected to {name}"))?;
                continue;
            }
            let (host, link) = (info.get("master_host"), info.get("master_link_status"));
            ensure(role == "slave", || format!("{master} is master, and {name} says it is {role}"))?;
            ensure(host == master_ip, || format!("{name} follows {host}, and {master} is {master_ip}"))?;
            ensure(link == "up", || format!("the link of {name} to {master} is {link}"))?;
        }
        Ok(())
    }

    /// The Service leads to these pods and no others.
    async fn check_service(&self, which: &str, pods: &[&Pod]) -> Result<()> {
        let wanted: BTreeSet<_> = pods.iter().filter_map(|pod| ip(pod)).collect();
        let found = self.endpoints(which).await?;
        ensure(found == wanted, || format!("Service {}-{which} leads to {found:?}, not to {wanted:?}", self.name))
    }

    /// The endpoint slices of the Service `<name>-<which>`, whoever writes them.
    pub async fn slices(&self, which: &str) -> Result<Vec<EndpointSlice>> {
        let selector = format!("kubernetes.io/service-name={}-{which}", self.name);
        Ok(self.all::<EndpointSlice>().list(&ListParams::default().labels(&selector)).await?.items)
    }

    /// Addresses behind the Service `<name>-<which>`.
    pub async fn endpoints(&self, which: &str) -> Result<BTreeSet<String>> {
        let endpoints = self.slices(which).await?.into_iter().flat_map(|slice| slice.endpoints);
        let ready = endpoints.filter(|e| e.conditions.as_ref().is_none_or(|c| c.ready != Some(false)));
        Ok(ready.flat_map(|endpoint| endpoint.addresses).collect())
    }

    /// The run ids, epoch and master: what a change in Redis can't leave alone.
    pub async fn fingerprint(&self) -> Result<Vec<String>> {
        let status = self.status().await?;
        let mut print = vec![format!("master {:?} epoch {}", status.master, status.epoch)];
        for pod in self.members().await? {
            let info = self.info(&pod, "all").await?;
            let (run, full) = (info.get("run_id"), info.get("sync_full"));
            ensure(!run.is_empty(), || format!("{pod} has no run_id"))?;
            print.push(format!("{pod}: run {run}, {full} full syncs"));
        }
        Ok(print)
    }
}

fn ip(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.pod_ip.clone()
}

fn check_status(object: &RedisReplication) -> Result<String> {
    let status = object.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|c| c.type_ == ConditionType::Ready.to_string());
    let ready = ready.context("there is no condition Ready")?;
    ensure(ready.status == "True" && ready.reason == Reason::Healthy.to_string(), || {
        format!("Ready is {}, {}: {}", ready.status, ready.reason, ready.message)
    })?;
    ensure(status.observed_generation == object.metadata.generation, || {
        format!("generation {:?} is observed, {:?} is there", status.observed_generation, object.metadata.generation)
    })?;
    ensure(status.transition.is_none(), || format!("a transition is open: {:?}", status.transition))?;
    // until it does, the loss of its node is not failed over
    ensure(object.spec.replicas < 2 || status.min_replicas_to_write > 0, || "the master needs no replica yet".into())?;
    ensure(status.ready_replicas == object.spec.replicas && status.replicas == object.spec.replicas, || {
        format!("{} of {} replicas are ready by the status", status.ready_replicas, status.replicas)
    })?;
    let master = status.master.context("no master is recorded")?;
    for member in &status.members {
        let good = if member.name == master {
            member.role == MemberRole::Master
        } else {
            member.role == MemberRole::Replica && member.phase == Some(MemberPhase::Online)
        };
        ensure(good, || format!("the master is {master}, and the status says {member:?}"))?;
    }
    let named: BTreeSet<_> = status.members.iter().map(|member| member.name.as_str()).collect();
    let expected = usize::try_from(object.spec.replicas)?;
    ensure(named.len() == expected, || format!("{expected} members are wanted; the status names {named:?}"))?;
    Ok(master)
}
