//! The operator itself is restarted or killed.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::DeleteParams};
use tokio::time::Instant;

use crate::{
    harness::{
        LONG, Replication, SHORT, ensure, hand, operator,
        poll::{always, eventually},
        scenario_alone,
    },
    unresponsive::CONSISTENT,
};

#[test]
fn a_restart_changes_nothing_in_redis() {
    scenario_alone("restart-operator", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let before = cache.fingerprint().await?;
        let writer = cache.writer(&[]).await?;
        operator::restart(&scene.client, LONG).await?;
        cache.agrees().await?;
        let after = cache.fingerprint().await?;
        writer.stop().await?.nothing_lost()?;
        ensure(after == before, || format!("before {before:?}, after {after:?}"))
    });
}

/// The leader goes, and the master with it: the other operator takes the lease and fails over.
#[test]
fn the_leader_is_deleted_and_then_the_master_dies() {
    scenario_alone("delete-leader", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let (former, leader) = (cache.master().await?, operator::leader(&scene.client).await?.name_any());
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), operator::NAMESPACE);
        pods.delete(&leader, &DeleteParams::default().grace_period(0)).await?;
        cache.kill(&former).await?;
        operator::another_leader(&scene.client, &leader, LONG).await?;
        cache.another_master(&former, LONG).await?;
        cache.agrees().await?;
        cache.holds(1000).await?;
        operator::rolled_out(&scene.client, LONG).await
    });
}

/// kill -9 leaves the lease held: it must expire.
#[test]
fn the_leader_is_killed_and_then_the_master_dies() {
    scenario_alone("kill-leader", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let former = cache.master().await?;
        let (leader, container) = leader(&scene.client).await?;
        hand::signal(&scene.client, &leader, &container, "KILL", "").await?;
        cache.kill(&former).await?;
        cache.another_master(&former, LONG).await?;
        cache.agrees().await?;
        cache.holds(1000).await?;
        operator::rolled_out(&scene.client, LONG).await
    });
}

/// The masters of six replications die one after the other, and then the leader: each failover is at another step. Whoever
/// leads next ends it with the same master, or opens another epoch.
#[test]
fn the_leader_dies_during_failovers() {
    scenario_alone("kill-leader-amid", async |scene| {
        let ages = [0, 10, 20, 40, 80, 160].map(Duration::from_millis);
        let names: Vec<_> = ages.iter().map(|age| format!("cache-{}", age.as_millis())).collect();
        let caches = try_join_all(names.iter().map(|name| scene.ready(name, "{replicas: 2}"))).await?;
        try_join_all(caches.iter().map(|cache| cache.populate(100))).await?;
        let writer = caches[3].writer(&["--wait=1"]).await?;
        let before = try_join_all(caches.iter().map(Replication::status)).await?;
        let (leader, container) = leader(&scene.client).await?;
        let at = Instant::now() + 2 * hand::MADE_READY;
        let masters = caches.iter().zip(&before).zip(ages).map(async |((cache, status), age)| {
            cache.kill_at(&[(status.master.as_deref().unwrap_or_default(), at - age)]).await
        });
        let (killed, died) =
            tokio::join!(try_join_all(masters), hand::signal_at(&scene.client, &leader, &container, "KILL", "", at),);
        killed?;
        died?;
        for (cache, before) in caches.iter().zip(before) {
            let former = before.master.unwrap_or_default();
            cache.another_master(&former, LONG).await?;
            cache.agrees().await?;
            let (epoch, status) = (before.epoch, cache.status().await?);
            let (now, took) = (status.epoch, status.last_transition.map(|last| last.duration_ms));
            println!("{}/{}: from epoch {epoch} to {now}, the last change in {took:?} ms", cache.namespace, cache.name);
            ensure((epoch + 1..=epoch + 2).contains(&now), || format!("the epoch went from {epoch} to {now}"))?;
        }
        writer.stop().await?.nothing_confirmed_lost()?;
        for (number, cache) in caches.iter().enumerate().filter(|(number, _)| *number != 3) {
            cache.holds(100).await.with_context(|| format!("cache {number}"))?;
        }
        operator::rolled_out(&scene.client, LONG).await
    });
}

/// A leader that was stopped and goes on believes for a moment that it still leads.
#[test]
fn a_stale_leader_changes_nothing() {
    scenario_alone("stale-leader", async |scene| {
        let cache = scene.ready("cache", CONSISTENT).await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let (former, copies, epoch) = (cache.master().await?, cache.copies().await?, cache.status().await?.epoch);
        let (leader, container) = leader(&scene.client).await?;
        hand::signal(&scene.client, &leader, &container, "STOP", "").await?;
        let killed = cache.kill(&former).await;
        let taken = cache.another_master(&former, LONG).await;
        hand::signal(&scene.client, &leader, &container, "CONT", "").await?;
        killed?;
        stays(&cache, &taken?, epoch + 1).await?;
        cache.agrees().await?;
        cache.copied_since(&copies, 1).await?;
        writer.stop().await?.nothing_confirmed_lost()?;
        operator::rolled_out(&scene.client, LONG).await
    });
}

/// Cut off from the API server and from the members, the leader loses the lease and ends; the other operator fails over.
#[test]
fn the_leader_is_cut_off_and_then_the_master_dies() {
    scenario_alone("isolate-leader", async |scene| {
        let everybody = ["0.0.0.0/1", "128.0.0.0/1"].map(str::to_owned);
        let cache = scene.ready("cache", CONSISTENT).await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let (former, copies, epoch) = (cache.master().await?, cache.copies().await?, cache.status().await?.epoch);
        let (leader, container) = leader(&scene.client).await?;
        hand::isolate(&scene.client, &leader, &container, &everybody).await?;
        let killed = cache.kill(&former).await;
        let taken = cache.another_master(&former, LONG).await;
        reconnect(&scene.client, &leader.name_any(), &container, &everybody).await?;
        killed?;
        stays(&cache, &taken?, epoch + 1).await?;
        cache.agrees().await?;
        cache.copied_since(&copies, 1).await?;
        writer.stop().await?.nothing_confirmed_lost()?;
        operator::rolled_out(&scene.client, LONG).await
    });
}

async fn leader(client: &Client) -> Result<(Pod, String)> {
    let leader = operator::leader(client).await?;
    let container = leader.spec.as_ref().and_then(|spec| spec.containers.first()).map(|c| c.name.clone());
    Ok((leader, container.unwrap_or_default()))
}

/// Its process has ended and is another.
async fn reconnect(client: &Client, pod: &str, container: &str, addresses: &[String]) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), operator::NAMESPACE);
    let reconnected = eventually("the operator is reconnected", SHORT, async || {
        hand::reconnect(client, &pods.get(pod).await?, container, addresses).await
    });
    if let Err(error) = reconnected.await {
        pods.delete(pod, &DeleteParams::default()).await?;
        return Err(error);
    }
    Ok(())
}

async fn stays(cache: &Replication, master: &str, epoch: i64) -> Result<()> {
    always(&format!("{master} stays the master"), Duration::from_secs(8), async || {
        let status = cache.status().await?;
        ensure(status.master.as_deref() == Some(master) && status.epoch == epoch, || {
            format!("master {:?}, epoch {}", status.master, status.epoch)
        })
    })
    .await
}
