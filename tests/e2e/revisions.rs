//! A pod boots with the settings of its own revision, whatever has been asked for since; and what the objects carry for others.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::{ResourceExt, api::ListParams};
use redis_replication_operator::api::{ConditionType, Reason};
use serde_json::json;

use crate::harness::{LONG, Replication, SHORT, ensure, poll::eventually, scenario};

const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// The names of the maps with settings.
async fn settings(cache: &Replication) -> Result<Vec<String>> {
    let maps = cache.all::<ConfigMap>().list(&ListParams::default()).await?;
    Ok(maps.iter().map(ResourceExt::name_any).filter(|name| name.starts_with("cache-config")).collect())
}

/// Kills the master's process, and waits until another member serves and the former one follows it, in the same pod.
async fn loses_its_master(cache: &Replication) -> Result<()> {
    let master = cache.master().await?;
    let uid = cache.uid(&master).await?;
    cache.kill(&master).await?;
    cache.another_master(&master, SHORT).await?;
    eventually(&format!("{master} follows again"), LONG, async || {
        let info = cache.info(&master, "replication").await?;
        ensure(info.get("master_link_status") == "up", || format!("{info:?}"))
    })
    .await?;
    ensure(cache.uid(&master).await? == uid, || format!("the pod of {master} was replaced"))
}

/// Settings that Redis refuses are an outage of no member but the first one that is replaced.
#[test]
fn a_bad_directive_reaches_no_pod_of_a_former_revision() {
    scenario("revision-directive", async |scene| {
        let cache = scene.ready("cache", "{replicas: 3, config: {maxmemory: 50mb}}").await?;
        cache.populate(100).await?;
        let good = settings(&cache).await?;
        for (bad, word) in [
            (json!({ "no-such-directive": "1" }), "no-such-directive"),
            (json!({ "no-such-directive": null, "maxmemory-policy": "no-such-policy" }), "maxmemory-policy"),
            (json!({ "maxmemory-policy": null, "loadmodule": "/no/such.so" }), "/no/such.so"),
        ] {
            cache.patch_spec(json!({ "config": bad })).await?;
            eventually(&format!("the status names {word}"), LONG, async || {
                let status = cache.status().await?;
                let ready = status.conditions.iter().find(|c| c.type_ == ConditionType::Ready.to_string());
                let ready = ready.context("no condition Ready")?;
                ensure(ready.reason == Reason::RedisFailsToStart.to_string() && ready.message.contains(word), || {
                    format!("{}: {}", ready.reason, ready.message)
                })
            })
            .await?;
            loses_its_master(&cache).await?;
        }
        cache.patch_spec(json!({ "config": { "loadmodule": null } })).await?;
        cache.agrees().await?;
        cache.holds(100).await?;
        eventually("only the present settings are left", SHORT, async || {
            let left = settings(&cache).await?;
            ensure(left == good, || format!("{left:?}, expected {good:?}"))
        })
        .await
    });
}

/// What tools for whole clusters read: no claim carries the label by which they prune, and the autoscaler may evict a pod whose
/// data others have.
#[test]
fn objects_carry_what_others_read() {
    scenario("revision-labels", async |scene| {
        let kept = scene.replication("kept", "{replicas: 1, persistence: {size: 1Gi}}").await?;
        let cache = scene.ready("cache", "replicas: 1").await?;
        let annotation = async |replication: &Replication, pod: &str| {
            anyhow::Ok(replication.pod(pod).await?.annotations().get(SAFE_TO_EVICT).cloned())
        };
        ensure(annotation(&cache, "cache-0").await?.is_none(), || "the only copy may be evicted".into())?;
        let uid = cache.uid("cache-0").await?;
        cache.scale(2).await?;
        cache.agrees().await?;
        for pod in ["cache-0", "cache-1"] {
            eventually(&format!("{pod} may be evicted"), SHORT, async || {
                let is = annotation(&cache, pod).await?;
                ensure(is.as_deref() == Some("data"), || format!("{is:?}"))
            })
            .await?;
        }
        cache.scale(1).await?;
        eventually("the only copy may not be evicted", LONG, async || {
            let is = annotation(&cache, "cache-0").await?;
            ensure(is.is_none(), || format!("{is:?}"))
        })
        .await?;
        ensure(cache.uid("cache-0").await? == uid, || "the pod was replaced".into())?;

        kept.agrees().await?;
        let claim = kept.all::<PersistentVolumeClaim>().get("data-kept-0").await?;
        let labels = claim.labels();
        ensure(
            labels.get("redis.replication.dev/name").is_some_and(|name| name == "kept")
                && !labels.contains_key("app.kubernetes.io/instance"),
            || format!("{labels:?}"),
        )?;
        ensure(annotation(&kept, "kept-0").await?.is_none(), || "a claim is no local volume".into())
    });
}

/// Where the platform chooses the user and the group of the volumes, as `OpenShift` does: nothing rests on the image's user.
#[test]
fn members_run_as_any_user() {
    scenario("revision-user", async |scene| {
        let spec = "
replicas: 2
persistence: {size: 1Gi}
metrics: {enabled: true}
podOverrides:
  spec:
    securityContext: {runAsUser: 1000660000, runAsGroup: 0, fsGroup: 1000660000}";
        let cache = scene.ready("cache", spec).await?;
        cache.populate(100).await?;
        loses_its_master(&cache).await?;
        cache.agrees().await?;
        cache.holds(100).await
    });
}
