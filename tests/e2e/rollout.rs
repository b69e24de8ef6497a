//! A change of the spec replaces the pods: replicas first, one at a time, the master last and after it handed over.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use kube::ResourceExt;
use redis_replication_operator::api::{Outcome, TransitionKind};
use serde_json::{Value, json};

use crate::harness::{LONG, Replication, ensure, poll::eventually, scenario};

#[test]
fn a_change_of_the_configuration_loses_no_write() {
    rollout("rollout-config", &json!({ "config": { "maxmemory": "600mb" } }), async |cache| {
        for pod in cache.members().await? {
            let value = cache.cli(&pod, &["CONFIG", "GET", "maxmemory"]).await?;
            ensure(value.contains("629145600"), || format!("{pod} has {value}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_change_of_the_resources_loses_no_write() {
    rollout("rollout-resources", &json!({ "resources": { "requests": { "cpu": "11m" } } }), async |cache| {
        for pod in cache.pods().await? {
            let manifest = serde_json::to_string(&pod.spec)?;
            ensure(manifest.contains("\"11m\""), || format!("{} still asks for the former CPU", pod.name_any()))?;
        }
        Ok(())
    });
}

/// An exporter can be had by a replication that is in use, and answers beside each member.
#[test]
fn exporters_are_added_without_losing_a_write() {
    rollout("rollout-metrics", &json!({ "metrics": { "enabled": true } }), async |cache| {
        for pod in cache.members().await? {
            let path = format!("/api/v1/namespaces/{}/pods/{pod}:9121/proxy/metrics", cache.namespace);
            eventually(&format!("the exporter of {pod} reaches its Redis"), LONG, async || {
                let figures = cache.client.request_text(http::Request::get(&path).body(Vec::new())?).await?;
                ensure(figures.lines().any(|line| line == "redis_up 1"), || "redis_up is not 1".into())
            })
            .await?;
        }
        Ok(())
    });
}

fn rollout(title: &str, change: &Value, check: impl AsyncFnOnce(&Replication) -> Result<()>) {
    scenario(title, async |scene| {
        let cache = scene.ready("cache", "{replicas: 3, config: {maxmemory: 500mb}}").await?;
        cache.populate(1000).await?;
        let former = cache.master().await?;
        let old = uids(&cache).await?;
        let writer = cache.writer(&["--rate=0"]).await?;
        cache.patch_spec(change.clone()).await?;

        let mut order = Vec::new();
        eventually("all pods are replaced", 2 * LONG, async || {
            let now = uids(&cache).await?;
            for (pod, uid) in &now {
                if old.get(pod) != Some(uid) && !order.contains(pod) {
                    order.push(pod.clone());
                }
            }
            // A member that is being replaced is missing; a second one must not be, until the first follows again.
            let missing = old.len() - ready(&cache).await?;
            if missing > 1 {
                order.push(format!("!! {missing} at once"));
            }
            if old.keys().any(|pod| !order.contains(pod)) {
                bail!("replaced until now: {order:?}");
            }
            Ok(())
        })
        .await?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()?;

        ensure(order.len() == old.len() && order.last() == Some(&former), || {
            format!("one at a time was wanted, the former master {former} last; it was {order:?}")
        })?;
        let last = cache.status().await?.last_transition.context("no last transition")?;
        ensure(last.kind == TransitionKind::Switchover && last.outcome == Outcome::Completed, || {
            format!("the master should have handed over: {last:?}")
        })?;
        check(&cache).await
    });
}

async fn uids(cache: &Replication) -> Result<BTreeMap<String, String>> {
    Ok(cache.pods().await?.iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect())
}

async fn ready(cache: &Replication) -> Result<usize> {
    let is_ready = |pod: &k8s_openapi::api::core::v1::Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    Ok(cache.pods().await?.iter().filter(|pod| is_ready(pod)).count())
}
