//! The baseline: three Redis and three Sentinels of the same image, from the manifests in `sentinel/`.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt, api::ListParams};
use serde_json::Value;
use std::collections::HashMap;

use crate::{
    harness::{LONG, Replication, ensure, objects, poll::eventually},
    servers::{command, info},
    subjects::ip,
};

/// The name by which Sentinel knows the master.
pub const MASTER: &str = "cache";
const SETTINGS: &str = include_str!("sentinel/settings.yaml");
const MANIFESTS: [&str; 3] = [
    include_str!("sentinel/scripts.yaml"),
    include_str!("sentinel/redis.yaml"),
    include_str!("sentinel/sentinels.yaml"),
];

/// Applies the manifests.
pub async fn create(client: &Client, namespace: &str, down_after_ms: u32, boot_rule: bool) -> Result<()> {
    let mut settings: Value = serde_saphyr::from_str(SETTINGS)?;
    settings["data"]["DOWN_AFTER"] = down_after_ms.to_string().into();
    settings["data"]["BOOT_RULE"] = if boot_rule { "yes" } else { "no" }.into();
    objects::apply(client, namespace, &settings.to_string()).await?;
    for manifest in MANIFESTS {
        objects::apply(client, namespace, manifest).await?;
    }
    Ok(())
}

/// Where a Sentinel says that the master is.
pub async fn address(sentinel: &str) -> Result<String> {
    let (ip, port) = sentinel.rsplit_once(':').context("host:port")?;
    let answer: (String, u16) =
        command(ip, port.parse()?, None, &["SENTINEL", "get-master-addr-by-name", MASTER]).await?;
    Ok(answer.0)
}

async fn sentinels(pods: &Replication) -> Result<Vec<Pod>> {
    Ok(pods.all::<Pod>().list(&ListParams::default().labels("app=sentinel")).await?.items)
}

/// What a person does to have another master.
pub async fn switch_over(pods: &Replication) -> Result<()> {
    let ip = ip(sentinels(pods).await?.first().context("there is no Sentinel")?)?;
    command(&ip, 26379, None, &["SENTINEL", "FAILOVER", MASTER]).await
}

/// What a person does when Sentinel finds no replica good enough, since all have been without their master for too long: for
/// one failover a Sentinel counts a link as fresh. `SENTINEL FAILOVER` alone asks the same of the replicas.
pub async fn rescue(pods: &Replication, down_after_ms: u32) -> Result<()> {
    let ip = ip(sentinels(pods).await?.first().context("there is no Sentinel")?)?;
    let sentinel = format!("{ip}:26379");
    let patience = async |ms: &str| {
        command::<()>(&ip, 26379, None, &["SENTINEL", "SET", MASTER, "down-after-milliseconds", ms]).await
    };
    let former = address(&sentinel).await?;
    patience("60000").await?;
    let done = eventually("Sentinel names another master", LONG, async || {
        let _ = command::<()>(&ip, 26379, None, &["SENTINEL", "FAILOVER", MASTER]).await; // refused while one is under way
        ensure(address(&sentinel).await? != former, || format!("it is still {former}"))
    })
    .await;
    patience(&down_after_ms.to_string()).await?;
    done
}

/// Makes the Sentinels forget pods that are gone, as their administrator has to: they keep them in their lists for ever, and each
/// failover would wait a minute for them (`failover-timeout`), and longer from round to round.
pub async fn forget_the_gone(pods: &Replication) -> Result<()> {
    let sentinels = sentinels(pods).await?;
    let lists = try_join_all(sentinels.iter().map(replicas)).await?;
    if lists.iter().any(|list| list.len() > 2) {
        for pod in &sentinels {
            command::<()>(&ip(pod)?, 26379, None, &["SENTINEL", "RESET", MASTER]).await?;
        }
    }
    Ok(())
}

/// The replicas that a Sentinel has heard of.
async fn replicas(sentinel: &Pod) -> Result<Vec<HashMap<String, String>>> {
    command(&ip(sentinel)?, 26379, None, &["SENTINEL", "REPLICAS", MASTER]).await
}

/// Whether all Sentinels agree on one master whom the other pods follow; returns its name.
pub async fn check(pods: &Replication, members: &[Pod]) -> Result<String> {
    ensure(members.len() == 3, || format!("there are {} pods", members.len()))?;
    let sentinels = sentinels(pods).await?;
    ensure(sentinels.len() == 3, || format!("there are {} Sentinels", sentinels.len()))?;
    let views = try_join_all(sentinels.iter().map(async |pod| {
        command::<HashMap<String, String>>(&ip(pod)?, 26379, None, &["SENTINEL", "MASTER", MASTER]).await
    }))
    .await?;
    let address = views[0].get("ip").cloned().unwrap_or_default();
    for view in &views {
        let is = |key: &str, value: &str| view.get(key).is_some_and(|found| found == value);
        let good = is("ip", &address)
            && is("flags", "master")
            && is("num-other-sentinels", "2")
            && !view.contains_key("failover-state");
        ensure(good, || format!("a Sentinel says {view:?}, and another that the master is {address}"))?;
    }
    let mut master = None;
    for pod in members {
        let (ip, name) = (ip(pod)?, pod.name_any());
        let now = info(&ip, None, "replication").await?;
        if ip == address {
            let followers = now.number::<u32>("connected_slaves").unwrap_or_default();
            ensure(now.get("role") == "master" && followers == 2, || {
                format!("{name} should be master of 2, and is {} of {followers}", now.get("role"))
            })?;
            master = Some(name);
        } else {
            let (role, link) = (now.get("role"), now.get("master_link_status"));
            let right = role == "slave" && link == "up" && now.get("master_host") == address;
            ensure(right, || format!("{name} is {role} of {}, link {link}", now.get("master_host")))?;
        }
    }
    let master = master.with_context(|| format!("{address} is no pod"))?;
    known(&sentinels, &address).await?;
    Ok(master)
}

/// Whether each Sentinel has heard of two replicas that could take over.
async fn known(sentinels: &[Pod], master: &str) -> Result<()> {
    for pod in sentinels {
        let replicas = replicas(pod).await?;
        let is = |replica: &HashMap<String, String>, key: &str, value: &str| {
            replica.get(key).is_some_and(|found| found == value)
        };
        let good = replicas
            .iter()
            .filter(|r| is(r, "flags", "slave") && is(r, "master-link-status", "ok") && is(r, "master-host", master));
        let good = good.count();
        ensure(good == 2, || format!("{} knows {good} good replicas of {}", pod.name_any(), replicas.len()))?;
    }
    Ok(())
}
