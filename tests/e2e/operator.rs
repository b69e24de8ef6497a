//! The operator itself is restarted or killed.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::DeleteParams};

use crate::harness::{LONG, ensure, hand, operator, scenario_alone};

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
        let leader = operator::leader(&scene.client).await?;
        let container = leader.spec.as_ref().and_then(|spec| spec.containers.first()).map(|c| c.name.clone());
        hand::signal(&scene.client, &leader, &container.unwrap_or_default(), "KILL", "").await?;
        cache.kill(&former).await?;
        cache.another_master(&former, LONG).await?;
        cache.agrees().await?;
        cache.holds(1000).await?;
        operator::rolled_out(&scene.client, LONG).await
    });
}

/// The master dies, and in the middle of the failover the leader does too.
#[test]
fn the_leader_dies_during_a_failover() {
    scenario_alone("kill-leader-amid", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let former = cache.master().await?;
        let leader = operator::leader(&scene.client).await?;
        let container = leader.spec.as_ref().and_then(|spec| spec.containers.first()).map(|c| c.name.clone());
        let container = container.unwrap_or_default();
        let (one, other) =
            tokio::join!(cache.kill(&former), hand::signal(&scene.client, &leader, &container, "KILL", ""),);
        one?;
        other?;
        cache.another_master(&former, LONG).await?;
        cache.agrees().await?;
        cache.holds(1000).await?;
        operator::rolled_out(&scene.client, LONG).await
    });
}
