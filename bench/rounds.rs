//! One round: wait until all is well and calm, strike, wait until writes go on, undo, and look what it cost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::{
    faults::Damage,
    harness::{LONG, ensure, operator, poll::eventually},
    plan::{Fault, Subject, Variant},
    results::Round,
    sentinel,
    subjects::{Standing, ip, leader_is_on},
    trace::Tracer,
    writer::{Writer, outages},
};

/// In this time nothing is asked of the API server: most outages are over then, and a request would lengthen them.
const UNASKED: Duration = Duration::from_millis(500);

/// How patient a round is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Seconds in which nothing happens but writes before the fault, as in production.
    pub calm: Duration,
    /// How long a new master may take before the damage is undone by hand.
    pub limit: Duration,
}

/// Carries out one round.
pub async fn run(
    standing: &Standing,
    fault: Fault,
    variant: Variant,
    spares_leader: bool,
    patience: Patience,
) -> Result<Round> {
    standing.suit(variant).await?;
    let master = standing.healthy().await.context("before the round")?;
    let address = ip(&standing.pods.pod(&master).await?)?;
    let damage = Damage::prepare(fault, standing, &master).await?;
    let client = &standing.pods.client;
    let loses_node = standing.subject.is_ours() && matches!(fault, Fault::NodeCut | Fault::NodeKill);
    let mut leader_lost = loses_node && leader_is_on(client, &damage.node).await?;
    if leader_lost && spares_leader {
        operator::replace_leader(client, LONG).await?;
        leader_lost = leader_is_on(client, &damage.node).await?;
    }
    let before = standing.syncs().await?;

    let writer = Writer::start(&standing.target, variant)?;
    tokio::time::sleep(patience.calm).await;
    goes_on(&writer, LONG).await?;
    let tracer = (fault == Fault::Crash && standing.subject == Subject::Operator).then(|| Tracer::start(standing));

    let at = Timestamp::now();
    let struck = damage.strike().await;
    let recovered = match &struck {
        Ok(()) => recovers(standing, &writer, &master, &address, at, patience.limit).await,
        Err(_) => Ok(()),
    };
    if let Err(error) = &recovered {
        println!("    no recovery: {error:#}");
    }
    let undone = damage.undo().await;
    struck.with_context(|| format!("{fault:?} of {master}"))?;
    undone.with_context(|| format!("undoing {fault:?} of {master}"))?;
    // A process that goes on is the master again; any other has lost what made it one.
    if let (Err(_), Some((down_after_ms, _)), true) = (&recovered, standing.subject.sentinel(), fault != Fault::Hang) {
        sentinel::rescue(&standing.pods, down_after_ms).await.context("the rescue by hand")?;
    }

    let master = standing.healthy().await.context("after the round")?;
    goes_on(&writer, LONG).await?;
    standing.is_busy()?;
    let (full_syncs, restarts) = standing.syncs().await?.since(&before);
    let (verdict, gaps) = writer.finish(at).await?;
    let gaps = outages(gaps);
    let trace = match tracer {
        Some(tracer) => tracer.finish(standing, &gaps, at).await?,
        None => None,
    };
    standing.flush(&master).await?;
    if !standing.subject.is_ours() {
        sentinel::forget_the_gone(&standing.pods).await?; // the next round waits until they know each other again
    }
    Ok(Round {
        subject: standing.subject,
        fault,
        variant,
        at,
        outage_ms: (gaps.iter().map(|gap| gap.ms).sum::<f64>() * 10.0).round() / 10.0,
        recovered: recovered.is_ok(),
        leader_lost,
        full_syncs,
        restarts,
        verdict,
        gaps,
        trace,
    })
}

/// Waits until a master other than `former` takes writes; of Sentinel's, until writes have failed and go on, for with it the
/// former may be the next one. Asks as little as possible meanwhile.
async fn recovers(
    standing: &Standing,
    writer: &Writer,
    former: &str,
    former_ip: &str,
    since: Timestamp,
    limit: Duration,
) -> Result<()> {
    let began = Instant::now();
    tokio::time::sleep(UNASKED).await;
    if standing.subject.is_ours() {
        standing.pods.another_master(former, limit).await?;
    } else {
        eventually("writes fail, or Sentinel names another master", limit, async || {
            let failed = writer.gaps(since).iter().any(|gap| !gap.errors.is_empty());
            let moved = failed || sentinel::address(&standing.target.address).await? != former_ip;
            ensure(moved, || format!("the writer's last word is {}", writer.last_word()))
        })
        .await?;
    }
    goes_on(writer, limit.saturating_sub(began.elapsed())).await
}

/// Waits until further writes are acknowledged.
async fn goes_on(writer: &Writer, within: Duration) -> Result<()> {
    let since = Timestamp::now();
    eventually("the writer writes", within, async || {
        ensure(writer.writes(since), || format!("its last word is {}", writer.last_word()))
    })
    .await
}
