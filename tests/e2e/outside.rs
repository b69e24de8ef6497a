//! What is no member, and stands between or beside the members: a firewall that answers in the place of a master, a replica of
//! somebody else.

use std::time::Duration;

use anyhow::{Context, Result};
use redis_replication_operator::api::{ConditionType, Reason};

use crate::{
    harness::{
        LONG, Replication, SHORT, Scene,
        cluster::Cluster,
        ensure, operator,
        poll::{always, eventually},
        scenario,
    },
    unresponsive::CONSISTENT,
};

/// Connections between the operator and the master are reset and refused; clients and replicas reach it. A refused connection
/// looks like the end of a process, and is none.
#[test]
fn a_firewall_that_rejects_the_operator_is_no_death() {
    scenario("reject", async |scene| {
        let Some(cluster) = Cluster::of_ours("reject")? else { return Ok(()) };
        let cache = scene.ready("cache", CONSISTENT).await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let (master, epoch) = (cache.master().await?, cache.status().await?.epoch);
        let (leader, address) = (operator_address(scene).await?, cache.address(&master).await?);
        cluster.reject(&address, &leader).await?;
        let stays = stays_master(&cache, &master, epoch).await;
        let wrote = writer.writes_on().await.context("while the operator is refused");
        cluster.accept(&address, &leader).await?;
        stays?;
        wrote?;
        cache.agrees().await?;
        ensure(cache.status().await?.epoch == epoch, || "the epoch has changed".into())?;
        writer.stop().await?.nothing_lost()
    });
}

/// The same firewall, and then the master dies behind it: that its replicas notice.
#[test]
fn a_master_that_dies_behind_a_firewall_is_replaced() {
    scenario("reject-kill", async |scene| {
        let Some(cluster) = Cluster::of_ours("reject-kill")? else { return Ok(()) };
        let cache = scene.ready("cache", CONSISTENT).await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let (master, epoch) = (cache.master().await?, cache.status().await?.epoch);
        let (leader, address) = (operator_address(scene).await?, cache.address(&master).await?);
        cluster.reject(&address, &leader).await?;
        let stays = stays_master(&cache, &master, epoch).await;
        let killed = cache.kill(&master).await;
        let replaced = cache.another_master(&master, LONG).await;
        let wrote = writer.writes_on().await.context("after the master has died");
        cluster.accept(&address, &leader).await?;
        stays?;
        killed?;
        replaced?;
        wrote?;
        cache.agrees().await?;
        writer.stop().await?.nothing_confirmed_lost()
    });
}

async fn operator_address(scene: &Scene) -> Result<String> {
    let leader = operator::leader(&scene.client).await?;
    leader.status.and_then(|status| status.pod_ip).context("the leader has no address")
}

/// The status says that it is the operator's trouble, and nothing is changed for a while.
async fn stays_master(cache: &Replication, master: &str, epoch: i64) -> Result<()> {
    cache.reason(ConditionType::FailoverBlocked, Reason::OperatorIsolated, SHORT).await?;
    always("the master stays", Duration::from_secs(10), async || {
        let status = cache.status().await?;
        ensure(status.master.as_deref() == Some(master) && status.epoch == epoch, || format!("{status:?}"))
    })
    .await
}

/// It counts for `WAIT`, and no failover can ask it.
#[test]
fn a_replica_that_is_not_a_member_is_disconnected() {
    scenario("outsider", async |scene| {
        let cache = scene.ready("cache", CONSISTENT).await?;
        let other = scene.ready("other", "{replicas: 1, paused: false}").await?;
        let (master, outsider) = (cache.master().await?, other.master().await?);
        let (address, password) = (cache.address(&master).await?, cache.password().await?);
        other.patch_spec(serde_json::json!({ "paused": true })).await?;
        other.cli(&outsider, &["CONFIG", "SET", "masterauth", &password]).await?;
        other.cli(&outsider, &["REPLICAOF", &address, "6379"]).await?;
        let from = other.address(&outsider).await?;
        cache.event("OutsideReplicaDisconnected", &from).await?;
        cache.agrees().await.context("beside a replica that is not a member")?;
        // it comes back each second, and is never counted for long
        other.cli(&outsider, &["REPLICAOF", "NO", "ONE"]).await?;
        eventually("the master needs its members alone", SHORT, async || {
            let needed = cache.cli(&master, &["CONFIG", "GET", "min-replicas-to-write"]).await?;
            ensure(needed.lines().last() == Some("1"), || needed)
        })
        .await?;
        let told = cache.events("OutsideReplicaDisconnected").await?;
        ensure(told.len() == 1, || format!("once, and not each second: {told:?}"))
    });
}
