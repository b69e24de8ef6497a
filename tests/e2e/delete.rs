//! Deleting the resource takes everything with it, and at once.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{ResourceExt, api::ListParams};

use crate::harness::{LONG, Replication, Scene, ensure, objects, poll::eventually, scenario};

#[test]
fn everything_goes() {
    scenario("delete", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        delete(scene, &cache, false).await
    });
}

#[test]
fn claims_stay_by_default_and_bring_the_data_back() {
    scenario("delete-retain", async |scene| {
        let spec = "{replicas: 2, persistence: {size: 64Mi}}";
        let cache = scene.ready("cache", spec).await?;
        cache.populate(1000).await?;
        delete(scene, &cache, true).await?;
        let claims = claims(&cache).await?;
        ensure(claims.len() == 2, || format!("two claims should have stayed, these did: {claims:?}"))?;
        let again = scene.ready("cache", spec).await?;
        again.holds(1000).await
    });
}

#[test]
fn claims_go_if_asked() {
    scenario("delete-claims", async |scene| {
        let cache = scene.ready("cache", "{replicas: 2, persistence: {size: 64Mi, whenDeleted: Delete}}").await?;
        delete(scene, &cache, false).await
    });
}

/// The pods of the one before end; the new one elects none of them.
#[test]
fn created_again_at_once_it_has_pods_of_its_own() {
    scenario("delete-create", async |scene| {
        for (name, spec, keys) in
            [("memory", "replicas: 3", 0), ("volume", "{replicas: 2, persistence: {size: 64Mi}}", 100)]
        {
            let before = scene.ready(name, spec).await?;
            before.populate(100).await?;
            let pods = before.pods().await?;
            before.delete().await?;
            let after = scene.ready(name, spec).await?;
            for pod in pods {
                ensure(Some(after.uid(&pod.name_any()).await?) != pod.uid(), || format!("{} stayed", pod.name_any()))?;
            }
            after.holds(keys).await?;
            let epoch = after.status().await?.epoch;
            ensure(epoch == 1, || format!("there were {epoch} changes of master"))?;
        }
        Ok(())
    });
}

#[test]
fn what_never_became_ready_goes_too() {
    scenario("delete-broken", async |scene| {
        let cache = scene.replication("cache", "{replicas: 3, image: 'docker.io/library/redis:no-such-tag'}").await?;
        eventually("its pods are made", LONG, async || {
            let pods = cache.pods().await?.len();
            ensure(pods == 3, || format!("there are {pods}"))
        })
        .await?;
        cache.delete().await?;
        gone(scene, "cache", false).await
    });
}

/// Kubernetes deletes the pods first and the resource last, and nothing new can be made meanwhile.
#[test]
fn a_namespace_goes_quickly() {
    scenario("delete-namespace", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let (limit, began) = (limit(&cache).await?, Instant::now());
        scene.namespace.delete().await;
        eventually("all pods are gone", LONG, async || {
            let left = cache.pods().await?.len();
            ensure(left == 0, || format!("{left} are left"))
        })
        .await?;
        let took = began.elapsed();
        ensure(took < limit, || format!("{took:?}: some pod used up its time for handing over, {limit:?}"))
    });
}

/// Deletes it, and waits until nothing is left. No pod may use up the time that it has for handing over.
async fn delete(scene: &Scene, cache: &Replication, with_claims: bool) -> Result<()> {
    let limit = limit(cache).await?;
    let began = Instant::now();
    cache.delete().await?;
    gone(scene, &cache.name, with_claims).await?;
    let took = began.elapsed();
    println!("{}: everything was gone after {:.1} s", cache.namespace, took.as_secs_f64());
    ensure(took < limit, || format!("{took:?}: some pod used up its time for handing over, {limit:?}"))
}

/// A pod that waits in vain for somebody to hand over to does so for half of its grace period.
async fn limit(cache: &Replication) -> Result<Duration> {
    let graces = cache.pods().await?.into_iter().filter_map(|pod| pod.spec?.termination_grace_period_seconds);
    Ok(Duration::from_secs(u64::try_from(graces.min().unwrap_or_default())?) / 2)
}

async fn gone(scene: &Scene, name: &str, with_claims: bool) -> Result<()> {
    eventually("everything is gone", 2 * LONG, async || {
        let all = objects::resource_versions(&scene.client, scene.namespace.name()).await?;
        let of_it = |key: &String| {
            let object = key.split_once('/').map_or("", |(_, object)| object);
            let claim = key.starts_with("PersistentVolumeClaim/");
            (object == name || object.starts_with(&format!("{name}-")) || claim) && !(with_claims && claim)
        };
        let left: Vec<_> = all.keys().filter(|key| of_it(key)).collect();
        if !left.is_empty() {
            bail!("left are {left:?}");
        }
        Ok(())
    })
    .await
}

async fn claims(cache: &Replication) -> Result<Vec<String>> {
    let all = cache.all::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    Ok(all.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()).map(ResourceExt::name_any).collect())
}
