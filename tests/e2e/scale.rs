//! More members, fewer members; never at the cost of a write.

use anyhow::Result;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{ResourceExt, api::ListParams};
use redis_replication_operator::api::{Outcome, TransitionKind};

use crate::harness::{LONG, Replication, ensure, poll::eventually, scenario};

#[test]
fn scaling_loses_no_write() {
    scenario("scale", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let writer = cache.writer(&[]).await?;
        cache.scale(5).await?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()?;

        move_the_master_up(&cache, 3).await?;
        let writer = cache.writer(&[]).await?;
        for replicas in [2, 1] {
            let former = cache.master().await?;
            let epoch = cache.status().await?.epoch;
            cache.scale(replicas).await?;
            cache.agrees().await?;
            let status = cache.status().await?;
            if ordinal(&former)? < replicas {
                ensure(status.epoch == epoch, || format!("{former} could stay, and the epoch is {}", status.epoch))?;
            } else {
                let last = status.last_transition.clone();
                let good = last
                    .as_ref()
                    .is_some_and(|last| last.kind == TransitionKind::Switchover && last.outcome == Outcome::Completed);
                ensure(good, || format!("{former} had to go, and should have handed over: {last:?}"))?;
            }
            writer.writes_on().await?;
        }
        cache.scale(3).await?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()
    });
}

/// Kills all members below `lowest` at once, so that one from there on takes over.
async fn move_the_master_up(cache: &Replication, lowest: i32) -> Result<()> {
    let mut low = Vec::new();
    for member in cache.members().await? {
        if ordinal(&member)? < lowest {
            low.push(member);
        }
    }
    eventually(&format!("a member from {lowest} on is master"), LONG, async || {
        let master = cache.agrees().await?;
        if ordinal(&master)? >= lowest {
            return Ok(());
        }
        try_join_all(low.iter().map(|member| cache.kill(member))).await?;
        let master = cache.agrees().await?;
        ensure(ordinal(&master)? >= lowest, || format!("{master} is master"))
    })
    .await
}

fn ordinal(pod: &str) -> Result<i32> {
    Ok(pod.rsplit('-').next().unwrap_or_default().parse()?)
}

#[test]
fn claims_go_with_their_pods_if_asked() {
    scenario("scale-claims", async |scene| {
        let cache = scene.ready("cache", "{replicas: 3, persistence: {size: 64Mi, whenScaled: Delete}}").await?;
        cache.populate(1000).await?;
        ensure(claims(&cache).await? == 3, || "there should be three claims".to_owned())?;
        cache.scale(1).await?;
        cache.agrees().await?;
        eventually("two claims are deleted", LONG, async || {
            let left = claims(&cache).await?;
            ensure(left == 1, || format!("{left} are left"))
        })
        .await?;
        cache.holds(1000).await
    });
}

async fn claims(cache: &Replication) -> Result<usize> {
    let all = cache.all::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    Ok(all.iter().filter(|claim| claim.name_any().contains("cache-")).count())
}
