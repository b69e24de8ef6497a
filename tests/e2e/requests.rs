//! What a person asks for: another master, the preferred master, a decision.

use std::time::Duration;

use anyhow::Result;
use redis_replication_operator::api::{
    ConditionType, Reason,
    RequestKind::{Failover, Switchover},
};
use tokio::time::Instant;

use crate::{
    harness::{LONG, ensure, hand, poll::eventually, scenario},
    unresponsive::CONSISTENT,
};

#[test]
fn a_person_asks_for_another_master() {
    scenario("switchover", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let writer = cache.writer(&["--rate=0"]).await?;
        let (former, copies, epoch) = (cache.master().await?, cache.copies().await?, cache.status().await?.epoch);
        let to = cache.replicas().await?.remove(1);

        cache.request(Switchover, &to).await?;
        cache.answered(Switchover, "RequestAccepted", &to).await?;
        let master = cache.another_master(&former, LONG).await?;
        ensure(master == to, || format!("{to} was asked for, and {master} is the master"))?;
        cache.agrees().await?;

        cache.request(Switchover, "any").await?;
        cache.another_master(&to, LONG).await?;
        cache.answered(Switchover, "RequestAccepted", "").await?;
        let master = cache.agrees().await?;

        cache.request(Switchover, "cache-7").await?;
        cache.answered(Switchover, "RequestRefused", "there are cache-0, cache-1, cache-2").await?;
        cache.request(Switchover, &master).await?;
        cache.answered(Switchover, "RequestAccepted", "is the master already").await?;
        cache.request(Failover, "any").await?;
        cache.answered(Failover, "RequestRefused", "use switchover-to instead").await?;

        let now = cache.status().await?.epoch;
        ensure(now == epoch + 2, || format!("two switchovers, and the epoch went from {epoch} to {now}"))?;
        cache.agrees().await?;
        cache.copied_since(&copies, 0).await?;
        writer.stop().await?.nothing_lost()
    });
}

/// It comes back as a replica, copies the data, and then the role comes back to it.
#[test]
fn the_preferred_master_takes_over_again() {
    scenario("preferred", async |scene| {
        let cache = scene.ready("cache", "{replicas: 3, failover: {preferredMaster: cache-1}}").await?;
        let is_master = async || {
            eventually("cache-1 is the master", LONG, async || {
                let master = cache.agrees().await?;
                ensure(master == "cache-1", || format!("it is {master}"))
            })
            .await
        };
        is_master().await?;
        cache.populate(1000).await?;
        let epoch = cache.status().await?.epoch;
        cache.kill("cache-1").await?;
        eventually("a failover and a switchover", LONG, async || {
            let now = cache.status().await?.epoch;
            ensure(now == epoch + 2, || format!("the epoch went from {epoch} to {now}"))
        })
        .await?;
        is_master().await?;
        cache.event("SwitchoverStarted", "preferred").await?;
        cache.holds(1000).await
    });
}

/// A confirmed write may be on the lost ones only: under `Consistency` a person has to decide.
#[test]
fn a_person_decides_when_too_few_are_left() {
    scenario("forced", async |scene| {
        let cache = scene.ready("cache", CONSISTENT).await?;
        cache.populate(1000).await?;
        let (master, replicas) = (cache.master().await?, cache.replicas().await?);
        let epoch = cache.status().await?.epoch;
        // The replica just before: its process cannot have copied the data anew when the master dies.
        let at = Instant::now() + hand::MADE_READY;
        cache.kill_at(&[(&replicas[0], at), (&master, at + Duration::from_millis(50))]).await?;
        let blocked = cache.reason(ConditionType::FailoverBlocked, Reason::QuorumMissing, LONG).await?;
        let (named, left) = blocked.message.split_once("(not ").unwrap_or_default();
        ensure(blocked.status == "True" && left.contains(&replicas[0]) && named.contains(&master), || {
            format!("{blocked:?}")
        })?;
        cache.event("QuorumMissing", &replicas[0]).await?;
        is_refused(&cache, &replicas[1]).await?;
        let now = cache.status().await?.epoch;
        ensure(now == epoch, || format!("the epoch went from {epoch} to {now}"))?;

        cache.request(Failover, "any").await?;
        cache.answered(Failover, "RequestAccepted", &replicas[1]).await?;
        let taken = cache.agrees().await?;
        ensure(taken == replicas[1], || format!("{} has the data, and {taken} is the master", replicas[1]))?;
        cache.holds(1000).await
    });
}

/// Nobody writes meanwhile.
async fn is_refused(cache: &crate::harness::Replication, pod: &str) -> Result<()> {
    let answer = format!("{:?}", cache.try_cli(pod, &["SET", "meanwhile", "1"]).await?);
    ensure(answer.contains("READONLY"), || format!("{pod} took a write: {answer}"))
}
