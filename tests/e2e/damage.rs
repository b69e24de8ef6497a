//! Somebody changes by hand what the operator looks after. It puts everything back, and never at the master's cost.

use anyhow::{Context, Result};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{LONG, Replication, ensure, poll::eventually, scenario};

/// Changes one object by hand.
async fn change<K>(cache: &Replication, name: &str, patch: Value) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    cache.all::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Fails if another master was made.
async fn same_master(cache: &Replication, before: &(Option<String>, i64)) -> Result<()> {
    let now = record(cache).await?;
    ensure(now == *before, || format!("it was {before:?}, and now it is {now:?}"))
}

async fn record(cache: &Replication) -> Result<(Option<String>, i64)> {
    let status = cache.status().await?;
    Ok((status.master, status.epoch))
}

#[test]
fn roles_are_put_back() {
    scenario("damage-roles", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let before = record(&cache).await?;
        let replicas = cache.replicas().await?;

        cache.cli(&replicas[0], &["REPLICAOF", "NO", "ONE"]).await?;
        is_noticed(&cache, &replicas[0]).await.context("REPLICAOF NO ONE")?;
        let other = cache.pod(&replicas[0]).await?.status.and_then(|status| status.pod_ip).context("no IP")?;
        cache.cli(&replicas[1], &["REPLICAOF", &other, "6379"]).await?;
        is_noticed(&cache, &replicas[1]).await.context("following another replica")?;
        cache.cli(&replicas[0], &["REPLICAOF", "192.0.2.1", "6379"]).await?;
        is_noticed(&cache, &replicas[0]).await.context("following nobody")?;

        same_master(&cache, &before).await?;
        cache.holds(1000).await
    });
}

/// Right after the damage the status may still look good: ask the member itself.
async fn is_noticed(cache: &Replication, pod: &str) -> Result<()> {
    let master = cache.master().await?;
    let address = cache.pod(&master).await?.status.and_then(|status| status.pod_ip).context("no IP")?;
    eventually(&format!("{pod} follows {master}"), LONG, async || {
        let info = cache.info(pod, "replication").await?;
        let (role, host, link) = (info.get("role"), info.get("master_host"), info.get("master_link_status"));
        ensure(role == "slave" && host == address && link == "up", || format!("{role} of {host}, link {link}"))
    })
    .await?;
    cache.agrees().await?;
    Ok(())
}

/// What was written to a second master is discarded, and the first one's data stays.
#[test]
fn a_second_master_is_demoted() {
    scenario("damage-second", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let before = record(&cache).await?;
        let replica = cache.replicas().await?.remove(0);
        // The operator may be quicker than this second command; then it is refused, and there is nothing to discard.
        cache.cli(&replica, &["REPLICAOF", "NO", "ONE"]).await?;
        let _ = cache.try_cli(&replica, &["SET", "rogue", "write"]).await?;
        is_noticed(&cache, &replica).await?;
        same_master(&cache, &before).await?;
        cache.holds(1000).await
    });
}

#[test]
fn labels_are_put_back() {
    scenario("damage-labels", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let before = record(&cache).await?;
        let (master, replicas) = (cache.master().await?, cache.replicas().await?);
        let role = |role: Option<&str>| json!({ "metadata": { "labels": { "redis.replication.dev/role": role } } });
        for pod in [&master, &replicas[0]] {
            change::<Pod>(&cache, pod, role(None)).await?;
            cache.agrees().await.with_context(|| format!("the role label of {pod} was removed"))?;
        }
        change::<Pod>(&cache, &replicas[0], role(Some("master"))).await?;
        cache.agrees().await.context("a replica was labelled master")?;
        for pod in [&master, &replicas[0]] {
            let other = json!({ "metadata": { "labels": { "app.kubernetes.io/instance": "other" } } });
            change::<Pod>(&cache, pod, other).await?;
            let address = cache.address(pod).await?;
            eventually(&format!("the headless Service leads to {pod}"), LONG, async || {
                let led_to = cache.endpoints("headless").await?;
                ensure(led_to.contains(&address), || format!("it leads to {led_to:?}"))
            })
            .await?;
        }
        same_master(&cache, &before).await
    });
}

#[test]
fn services_are_put_back() {
    scenario("damage-services", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let before = record(&cache).await?;
        let (services, replicas) = (cache.all::<Service>(), cache.replicas().await?);
        let address = services.get("cache-master").await?.spec.and_then(|spec| spec.cluster_ip);

        let elsewhere = json!({ "spec": { "selector": { "statefulset.kubernetes.io/pod-name": replicas[0] } } });
        change::<Service>(&cache, "cache-master", elsewhere).await?;
        cache.agrees().await.context("the master Service led to a replica")?;
        let too_much = json!({ "spec": { "selector": { "nobody": "has-this" } } });
        change::<Service>(&cache, "cache-master", too_much).await?;
        selector_is_clean(&cache, "cache-master").await?;
        cache.agrees().await.context("the master Service led nowhere")?;
        change::<Service>(&cache, "cache-replicas", json!({ "spec": { "selector": { "nobody": "has-this" } } }))
            .await?;
        selector_is_clean(&cache, "cache-replicas").await?;
        cache.agrees().await.context("the replicas Service led nowhere")?;
        let now = services.get("cache-master").await?.spec.and_then(|spec| spec.cluster_ip);
        ensure(now == address, || format!("the master Service had {address:?}, and has {now:?}"))?;

        for service in ["cache-master", "cache-replicas", "cache-headless"] {
            services.delete(service, &DeleteParams::default()).await?;
            exists::<Service>(&cache, service).await?;
            cache.agrees().await.with_context(|| format!("Service {service} was deleted"))?;
        }
        same_master(&cache, &before).await
    });
}

async fn selector_is_clean(cache: &Replication, service: &str) -> Result<()> {
    eventually(&format!("the selector of {service} is put back"), LONG, async || {
        let selector = cache.all::<Service>().get(service).await?.spec.and_then(|spec| spec.selector);
        ensure(selector.as_ref().is_some_and(|s| !s.contains_key("nobody")), || format!("it is {selector:?}"))
    })
    .await
}

async fn exists<K>(cache: &Replication, name: &str) -> Result<K>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    eventually(&format!("{name} is made anew"), LONG, async || {
        let object = cache.all::<K>().get(name).await?;
        ensure(object.meta().deletion_timestamp.is_none(), || "it is being deleted".to_owned())?;
        Ok(object)
    })
    .await
}

#[test]
fn objects_are_put_back() {
    scenario("damage-objects", async |scene| {
        let cache = scene.ready("cache", "{replicas: 3, config: {maxmemory: 50mb}}").await?;
        cache.populate(1000).await?;
        let before = cache.fingerprint().await?;

        let sets = cache.all::<StatefulSet>();
        change::<StatefulSet>(
            &cache,
            "cache",
            json!({ "metadata": { "labels": {
            "app.kubernetes.io/instance": null,
            "app.kubernetes.io/managed-by": "somebody-else",
        } } }),
        )
        .await?;
        eventually("the StatefulSet's labels are put back", LONG, async || {
            let labels = sets.get("cache").await?.metadata.labels.unwrap_or_default();
            let label = |key: &str| labels.get(&format!("app.kubernetes.io/{key}")).map_or("", String::as_str);
            ensure(label("instance") == "cache" && label("managed-by") != "somebody-else", || format!("{labels:?}"))
        })
        .await?;

        let maps = cache.all::<ConfigMap>();
        let scripts = maps.get("cache-scripts").await?.data.unwrap_or_default();
        let edited: Value = scripts.keys().map(|key| (key.clone(), json!("edited by hand"))).collect();
        change::<ConfigMap>(&cache, "cache-scripts", json!({ "data": edited })).await?;
        eventually("the scripts are put back", LONG, async || {
            let now = maps.get("cache-scripts").await?.data.unwrap_or_default();
            ensure(now == scripts, || format!("they were {scripts:?}, and are {now:?}"))
        })
        .await?;
        let all = maps.list(&ListParams::default()).await?;
        let settings = all.iter().map(ResourceExt::name_any).find(|name| name.starts_with("cache-config-"));
        let settings = settings.context("no settings")?;
        maps.delete(&settings, &DeleteParams::default()).await?;
        exists::<ConfigMap>(&cache, &settings).await?;

        cache.all::<PodDisruptionBudget>().delete("cache", &DeleteParams::default()).await?;
        exists::<PodDisruptionBudget>(&cache, "cache").await?;
        cache.agrees().await?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("no Redis should have noticed; before {before:?}, after {after:?}"))
    });
}

/// Scaled behind the operator's back: the pods come back, and no write that was there before is lost.
#[test]
fn the_number_of_pods_is_put_back() {
    scenario("damage-replicas", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let sets = cache.all::<StatefulSet>();
        for replicas in [5, 2] {
            change::<StatefulSet>(&cache, "cache", json!({ "spec": { "replicas": replicas } })).await?;
            eventually("the StatefulSet's replicas are put back", LONG, async || {
                let now = sets.get("cache").await?.spec.and_then(|spec| spec.replicas);
                ensure(now == Some(3), || format!("there are {now:?}"))
            })
            .await?;
            cache.agrees().await?;
        }
        cache.holds(1000).await
    });
}
