//! Packets between the master and a replica are lost, and no connection ends: Redis itself takes such a link for a good one for
//! minutes, and serves old data.

use anyhow::{Context, Result};
use redis_replication_operator::api::MemberPhase;

use crate::harness::{Replication, SHORT, ensure, poll::eventually, scenario};

#[test]
fn a_deaf_replica_is_not_read_from_and_comes_back_with_the_network() {
    scenario("deaf", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(100).await?;
        let before = cache.fingerprint().await?;
        let (master, replica) = (cache.master().await?, cache.replicas().await?.remove(0));
        let (from, to) = (cache.address(&replica).await?, cache.address(&master).await?);
        // what the replica sends is lost, and then what the master sends
        for (pod, lost) in [(&replica, &to), (&master, &from)] {
            cache.isolate(pod, std::slice::from_ref(lost)).await?;
            let out = is_out_of_the_service(&cache, &replica, &from).await;
            cache.reconnect(pod, std::slice::from_ref(lost)).await?;
            out.with_context(|| format!("while what {pod} sends is lost"))?;
            // long before `repl-timeout`
            eventually("everything is well again", SHORT, async || cache.check().await).await?;
        }
        cache.holds(100).await?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("no copy, no restart: before {before:?}, after {after:?}"))
    });
}

/// Both replicas at once.
#[test]
fn all_replicas_can_be_out_of_the_service() {
    scenario("deaf-all", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let master = cache.master().await?;
        let mut addresses = Vec::new();
        for replica in cache.replicas().await? {
            addresses.push(cache.address(&replica).await?);
        }
        cache.isolate(&master, &addresses).await?;
        let mut out = Ok(());
        for (replica, address) in cache.replicas().await?.iter().zip(&addresses) {
            out = out.and(is_out_of_the_service(&cache, replica, address).await);
        }
        cache.reconnect(&master, &addresses).await?;
        out?;
        cache.agrees().await?;
        ensure(cache.master().await? == master, || "the master has changed".into())
    });
}

async fn is_out_of_the_service(cache: &Replication, replica: &str, address: &str) -> Result<()> {
    eventually(&format!("the replicas Service does not lead to {replica}"), SHORT, async || {
        let led_to = cache.endpoints("replicas").await?;
        ensure(!led_to.contains(address), || format!("it leads to {led_to:?}"))?;
        let status = cache.status().await?;
        let member = status.members.iter().find(|m| m.name == replica).context("the status does not name it")?;
        ensure(member.phase != Some(MemberPhase::Online), || format!("by the status it is online: {member:?}"))?;
        ensure(member.message.is_some(), || format!("the status does not say why: {member:?}"))
    })
    .await
}
