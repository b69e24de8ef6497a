//! The master is lost, in every way that a master can be lost.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams};
use redis_replication_operator::api::{ACKNOWLEDGED_EPOCH, Reason};
use serde_json::json;

use crate::{
    causes::says,
    harness::{LONG, Replication, ensure, poll::eventually, scenario},
};

const KEYS: u32 = 10_000;
const AOF: &str = "{replicas: 3, persistence: {size: 64Mi, mode: AOF}}";
const RDB: &str = "{replicas: 3, persistence: {size: 64Mi, mode: RDB}}";

/// kill -9, and all that must hold afterwards.
pub async fn survives_a_kill(cache: &Replication) -> Result<()> {
    cache.populate(KEYS).await?;
    let (former, epoch) = (cache.master().await?, cache.status().await?.epoch);
    cache.kill(&former).await?;
    let master = cache.another_master(&former, LONG).await?;
    let agreed = cache.agrees().await?;
    ensure(agreed == master, || format!("{master} took over, and then {agreed}"))?;
    ensure(cache.replicas().await?.contains(&former), || format!("{former} is no replica"))?;
    let status = cache.status().await?;
    ensure(status.epoch == epoch + 1, || format!("the epoch went from {epoch} to {}", status.epoch))?;
    let last = status.last_transition.context("no last transition")?;
    ensure(last.from.as_deref() == Some(former.as_str()) && last.to == master, || format!("wrong record: {last:?}"))?;
    println!("{}: failed over from {former} to {master} in {} ms", cache.namespace, last.duration_ms);
    cache.holds(KEYS).await
}

#[test]
fn kill_the_master_without_persistence() {
    scenario("kill-memory", async |scene| survives_a_kill(&scene.ready("cache", "replicas: 3").await?).await);
}

#[test]
fn kill_the_master_with_aof() {
    scenario("kill-aof", async |scene| survives_a_kill(&scene.ready("cache", AOF).await?).await);
}

#[test]
fn kill_the_master_with_rdb() {
    scenario("kill-rdb", async |scene| survives_a_kill(&scene.ready("cache", RDB).await?).await);
}

#[test]
fn kill_one_master_after_the_other() {
    scenario("kill-often", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(KEYS).await?;
        for _ in 0..5 {
            let former = cache.master().await?;
            cache.kill(&former).await?;
            cache.another_master(&former, LONG).await?;
            cache.agrees().await?;
        }
        cache.holds(KEYS).await
    });
}

#[test]
fn kill_a_replica() {
    scenario("kill-replica", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(KEYS).await?;
        let epoch = cache.status().await?.epoch;
        let writer = cache.writer(&[]).await?;
        let replicas = cache.replicas().await?;
        cache.kill(&replicas[0]).await?;
        writer.writes_on().await?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()?;
        let now = cache.status().await?.epoch;
        ensure(now == epoch, || format!("a replica died, and the epoch went from {epoch} to {now}"))
    });
}

/// A write that a replica confirmed is in the data of the most advanced survivor.
#[test]
fn a_killed_master_costs_no_confirmed_write() {
    scenario("kill-confirmed", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let writer = cache.writer(&["--rate=0", "--wait=1"]).await?;
        for _ in 0..3 {
            let former = cache.master().await?;
            cache.kill(&former).await?;
            cache.another_master(&former, LONG).await?;
            writer.writes_on().await?;
            cache.agrees().await?;
        }
        writer.stop().await?.nothing_confirmed_lost()
    });
}

#[test]
fn a_deleted_master_hands_over_without_a_loss() {
    scenario("delete-master", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let writer = cache.writer(&["--rate=0"]).await?;
        for _ in 0..2 {
            let former = cache.master().await?;
            let uid = cache.uid(&former).await?;
            cache.delete_pod(&former).await?;
            cache.another_master(&former, LONG).await?;
            cache.replaced(&former, &uid).await?;
            cache.agrees().await?;
        }
        writer.stop().await?.nothing_lost()
    });
}

#[test]
fn an_evicted_master_hands_over_without_a_loss() {
    scenario("evict-master", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let writer = cache.writer(&[]).await?;
        let former = cache.master().await?;
        let uid = cache.uid(&former).await?;
        // The budget may not have counted all pods yet.
        eventually("the eviction is allowed", LONG, async || {
            Ok(cache.all::<k8s_openapi::api::core::v1::Pod>().evict(&former, &EvictParams::default()).await?)
        })
        .await?;
        cache.another_master(&former, LONG).await?;
        cache.replaced(&former, &uid).await?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()
    });
}

/// `kubectl delete pod --force` of the master, while a writer relies on `WAIT`.
pub async fn survives_a_forced_deletion(cache: &Replication) -> Result<()> {
    let writer = cache.writer(&["--wait=1"]).await?;
    let former = cache.master().await?;
    let uid = cache.uid(&former).await?;
    cache.force_delete_pod(&former).await?;
    cache.another_master(&former, LONG).await?;
    cache.replaced(&former, &uid).await?;
    cache.agrees().await?;
    writer.writes_on().await?;
    writer.stop().await?.nothing_confirmed_lost()
}

#[test]
fn a_force_deleted_master_costs_no_confirmed_write() {
    scenario("force-delete-master", async |scene| {
        survives_a_forced_deletion(&scene.ready("cache", "replicas: 3").await?).await
    });
}

/// The deleted pods wait for each other's successors, so the data moves from the old ones to the new ones.
#[test]
fn delete_all_pods_without_persistence() {
    scenario("delete-all-memory", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(KEYS).await?;
        replace_all(&cache).await?;
        cache.holds(KEYS).await
    });
}

#[test]
fn delete_all_pods_with_persistence() {
    scenario("delete-all-aof", async |scene| {
        let cache = scene.ready("cache", AOF).await?;
        cache.populate(KEYS).await?;
        replace_all(&cache).await?;
        cache.holds(KEYS).await
    });
}

async fn replace_all(cache: &Replication) -> Result<()> {
    let mut former = Vec::new();
    for pod in cache.members().await? {
        former.push((pod.clone(), cache.uid(&pod).await?));
    }
    cache.delete_all_pods().await?;
    try_join_all(former.iter().map(|(pod, uid)| cache.replaced(pod, uid))).await?;
    cache.agrees().await?;
    Ok(())
}

#[test]
fn force_delete_all_pods_with_aof() {
    force_delete_all("force-delete-all-aof", AOF);
}

#[test]
fn force_delete_all_pods_with_rdb() {
    force_delete_all("force-delete-all-rdb", RDB);
}

fn force_delete_all(title: &str, spec: &str) {
    scenario(title, async |scene| {
        let cache = scene.ready("cache", spec).await?;
        cache.populate(KEYS).await?;
        if spec == RDB {
            // What is in no snapshot is lost with RDB, and said so in the documentation.
            for pod in cache.members().await? {
                cache.cli(&pod, &["SAVE"]).await?;
            }
        }
        force_delete_all_pods(&cache).await?;
        cache.holds(KEYS).await
    });
}

/// It is said that the data was exchanged; acknowledged, it is not said any more.
pub async fn data_is_replaced(cache: &Replication) -> Result<()> {
    let told = says(cache, Reason::DataReplaced, &["became the master without data", "acknowledged-epoch"]).await?;
    println!("{}: {told}", cache.namespace);
    cache.event("DataReplaced", "without data").await?;
    let epoch = cache.status().await?.data_replaced.context("not in the status")?.epoch;
    let patch = json!({ "metadata": { "annotations": { ACKNOWLEDGED_EPOCH: epoch.to_string() } } });
    cache.api().patch(&cache.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    cache.agrees().await?;
    Ok(())
}

/// One member in memory, and one whose volume was exchanged.
#[test]
fn a_single_member_that_lost_its_data_is_not_healthy() {
    scenario("single-lost", async |scene| {
        let memory = scene.ready("memory", "replicas: 1").await?;
        let volume = scene.ready("volume", "{replicas: 1, persistence: {size: 64Mi}}").await?;
        for cache in [&memory, &volume] {
            cache.populate(10).await?;
        }
        memory.kill("memory-0").await?;
        let claims = volume.all::<PersistentVolumeClaim>();
        claims.delete("data-volume-0", &DeleteParams::default()).await?;
        volume.force_delete_pod("volume-0").await?;
        for cache in [&memory, &volume] {
            data_is_replaced(cache).await?;
        }
        Ok(())
    });
}

async fn force_delete_all_pods(cache: &Replication) -> Result<()> {
    replace_all_by_force(cache).await?;
    cache.agrees().await?;
    Ok(())
}

async fn replace_all_by_force(cache: &Replication) -> Result<()> {
    let mut former = Vec::new();
    for pod in cache.members().await? {
        former.push((pod.clone(), cache.uid(&pod).await?));
    }
    try_join_all(former.iter().map(|(pod, _)| cache.force_delete_pod(pod))).await?;
    try_join_all(former.iter().map(|(pod, uid)| cache.replaced(pod, uid))).await?;
    Ok(())
}

/// Then there is nothing left to save; but the replication must work again, and not wait for data for ever. That the data is gone is
/// said until it is acknowledged.
#[test]
fn force_delete_all_pods_without_persistence() {
    scenario("force-delete-all-memory", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(100).await?;
        replace_all_by_force(&cache).await?;
        data_is_replaced(&cache).await?;
        cache.cli(&cache.master().await?, &["FLUSHALL"]).await?;
        cache.populate(100).await
    });
}

#[test]
fn delete_the_stateful_set() {
    scenario("delete-sts", async |scene| {
        let cache = scene.ready("cache", AOF).await?;
        cache.populate(KEYS).await?;
        let sets = cache.all::<StatefulSet>();
        let former = sets.get("cache").await?.metadata.uid;
        sets.delete("cache", &DeleteParams::background()).await?;
        eventually("the StatefulSet is made anew", LONG, async || {
            let now = sets.get("cache").await?.metadata;
            ensure(now.uid != former && now.deletion_timestamp.is_none(), || "it is still the old one".to_owned())
        })
        .await?;
        cache.agrees().await?;
        cache.holds(KEYS).await
    });
}

/// The controller of the new StatefulSet makes the first pod before the others, and its name is taken by the former master,
/// which waits for one of them to have its data.
#[test]
fn delete_the_stateful_set_of_a_first_master_in_memory() {
    scenario("delete-sts-memory", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(KEYS).await?;
        if cache.master().await? != "cache-0" {
            cache.hand_over_to("cache-0").await?;
        }
        cache.all::<StatefulSet>().delete("cache", &DeleteParams::background()).await?;
        cache.another_master("cache-0", LONG).await?;
        cache.agrees().await?;
        cache.holds(KEYS).await
    });
}

/// The master and all but one replica at the same instant.
#[test]
fn kill_all_but_one() {
    scenario("kill-all-but-one", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(KEYS).await?;
        let (master, replicas) = (cache.master().await?, cache.replicas().await?);
        try_join_all([cache.kill(&master), cache.kill(&replicas[0])]).await?;
        let taken = cache.another_master(&master, LONG).await?;
        println!("{}: {taken} took over", cache.namespace);
        cache.agrees().await?;
        cache.holds(KEYS).await
    });
}

/// A failover is measured; how long it may take depends on the machine, so this only tells.
#[test]
fn a_writer_sees_a_short_gap() {
    scenario("gap", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let writer = cache.writer(&[]).await?;
        let former = cache.master().await?;
        cache.kill(&former).await?;
        cache.another_master(&former, LONG).await?;
        writer.writes_on().await?;
        cache.agrees().await?;
        let account = writer.stop().await?;
        let bound = Duration::from_secs(10).as_secs_f64() * 1000.0;
        ensure(account.verdict.max_gap_ms < bound, || format!("that is no short gap: {account}"))
    });
}
