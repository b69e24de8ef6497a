//! The master does not answer, or somebody cannot hear it. Only one that cannot take writes any more is replaced.

use std::time::Duration;

use anyhow::{Context, Result};
use redis_replication_operator::api::{ConditionType, Reason};

use crate::harness::{
    LONG, Replication, SHORT, ensure, operator,
    poll::{always, eventually},
    scenario,
};

/// What `WAIT 1` confirms survives everything.
pub const CONSISTENT: &str = "{replicas: 3, failover: {policy: Consistency}, durability: {waitReplicas: 1}}";
const ENDLESS: &str = "while true do end";

/// A hung process cannot be relied on to stay hung: it is ended.
#[test]
fn a_hung_master_is_replaced() {
    scenario("hang", async |scene| {
        let cache = scene.ready("cache", CONSISTENT).await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let (former, copies, epoch) = (cache.master().await?, cache.copies().await?, cache.status().await?.epoch);
        let uid = cache.uid(&former).await?;
        cache.hang(&former).await?;
        cache.event("HungMasterDeleted", &former).await?;
        cache.another_master(&former, LONG).await?;
        writer.writes_on().await?;
        cache.replaced(&former, &uid).await?;
        cache.agrees().await?;
        cache.copied_since(&copies, 1).await?;
        let now = cache.status().await?.epoch;
        ensure(now == epoch + 1, || format!("the epoch went from {epoch} to {now}"))?;
        writer.stop().await?.nothing_confirmed_lost()
    });
}

#[test]
fn a_short_pause_is_no_failover() {
    scenario("pause", async |scene| {
        let cache = scene.ready("cache", CONSISTENT).await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let before = cache.fingerprint().await?;
        cache.pause(&cache.master().await?, Duration::from_secs(2)).await?;
        writer.writes_on().await?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("before {before:?}, after {after:?}"))
    });
}

/// `-BUSY` is an answer.
#[test]
fn a_master_that_runs_a_script_is_alive() {
    scenario("script", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(100).await?;
        let (master, before) = (cache.master().await?, cache.fingerprint().await?);
        let epoch = cache.status().await?.epoch;
        let (endless, patience) = tokio::join!(cache.try_cli(&master, &["EVAL", ENDLESS, "0"]), async {
            // Three times as long as a hung process is given.
            let patience = always("no failover", Duration::from_secs(15), async || {
                let status = cache.status().await?;
                ensure(status.epoch == epoch && status.transition.is_none(), || format!("epoch {}", status.epoch))
            });
            let patience = patience.await;
            let killed = eventually("the script is killed", SHORT, async || {
                let answer = cache.try_cli(&master, &["SCRIPT", "KILL"]).await?;
                ensure(answer.success || format!("{answer:?}").contains("NOTBUSY"), || format!("{answer:?}"))
            });
            killed.await.and(patience)
        });
        patience?;
        let endless = format!("{endless:?}");
        ensure(endless.contains("killed by user"), || format!("the script did not run: {endless}"))?;
        cache.agrees().await?;
        cache.holds(100).await?;
        let events = cache.events("HungMasterDeleted").await?;
        ensure(events.is_empty(), || format!("{events:?}"))?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("before {before:?}, after {after:?}"))
    });
}

/// The replicas hear it, so the fault may be the operator's.
#[test]
fn a_master_that_only_the_operator_cannot_reach_stays() {
    scenario("isolate-operator", async |scene| {
        let cache = scene.ready("cache", CONSISTENT).await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let (master, before) = (cache.master().await?, cache.fingerprint().await?);
        let operators: Vec<_> = operator::pods(&scene.client).await?;
        let operators: Vec<_> = operators.into_iter().filter_map(|pod| pod.status?.pod_ip).collect();
        ensure(!operators.is_empty(), || "the operator has no address".to_owned())?;
        cache.isolate(&master, &operators).await?;
        let blocked = cache.reason(ConditionType::FailoverBlocked, Reason::OperatorIsolated, SHORT).await;
        let wrote = writer.writes_on().await.context("while the operator cannot reach the master");
        let still = cache.reason(ConditionType::FailoverBlocked, Reason::OperatorIsolated, SHORT).await;
        cache.reconnect(&master, &operators).await?;
        let blocked = blocked?;
        ensure(blocked.status == "True" && blocked.message.contains(&master), || format!("{blocked:?}"))?;
        wrote.and(still)?;
        cache.event("OperatorIsolated", &master).await?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("before {before:?}, after {after:?}"))
    });
}

/// Under `Availability` a master that the operator reaches goes on without replicas.
#[test]
fn a_master_that_its_replicas_cannot_reach_goes_on() {
    scenario("isolate-replicas", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        fence_is(&cache, "1").await?;
        let writer = cache.writer(&[]).await?;
        let (master, before) = (cache.master().await?, cache.fingerprint().await?);
        let mut replicas = Vec::new();
        for replica in cache.replicas().await? {
            replicas.push(cache.address(&replica).await?);
        }
        cache.isolate(&master, &replicas).await?;
        let relaxed = fence_is(&cache, "0").await;
        let wrote = writer.writes_on().await.context("alone");
        // Redis itself takes the links for good until `repl-timeout`.
        let told = cache.reason(ConditionType::Replicating, Reason::MembersMissing, SHORT).await;
        cache.reconnect(&master, &replicas).await?;
        relaxed.and(wrote)?;
        let told = told?;
        ensure(told.message.contains("heard nothing"), || format!("{told:?}"))?;
        fence_is(&cache, "1").await.context("when the replicas are back")?;
        cache.agrees().await?;
        writer.stop().await?.nothing_lost()?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("before {before:?}, after {after:?}"))
    });
}

/// Waits until the master refuses writes below so many replicas.
async fn fence_is(cache: &Replication, replicas: &str) -> Result<()> {
    eventually(&format!("min-replicas-to-write is {replicas}"), SHORT, async || {
        let answer = cache.cli(&cache.master().await?, &["CONFIG", "GET", "min-replicas-to-write"]).await?;
        ensure(answer.lines().last() == Some(replicas), || answer.clone())
    })
    .await
}
