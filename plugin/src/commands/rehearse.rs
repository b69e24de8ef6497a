//! `rehearse`: the loss of the master, while a writer writes.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DeleteParams};
use redis_replication_operator::api::{CompletedTransition, ConditionType, RedisReplication};

use super::writer::{self, Account, Writer};
use crate::{
    args::Rehearse,
    cluster::{Cluster, master},
    error::{Error, exit},
    exec::{self, shell},
    operator, render, terminal,
};

/// Before and after, so that the gap stands in the middle of calm writing.
const CALM: Duration = Duration::from_secs(3);
/// Until another is master: preStop may take a minute.
const CHANGE: Duration = Duration::from_secs(120);
const ACCOUNT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);
const END: &str = "# end";
/// Keys removed by one command.
const AT_ONCE: u64 = 200;
/// Ends the process at once, as a crash does; the second line is for Redis before 7.0, which knows no NOW.
const CRASH: &str = "SHUTDOWN NOSAVE NOW FORCE\nSHUTDOWN NOSAVE\n# end\n";

/// Rehearses, and tells what it cost.
pub async fn run(cluster: &Cluster, args: &Rehearse) -> Result<u8, Error> {
    let resource = cluster.get(&args.name).await?;
    let master = is_fit(&resource)?;
    let image = match &args.image {
        Some(image) => image.clone(),
        None => operator::image(&operator::deployment(cluster).await.map_err(|error| no_image(&error))?)
            .ok_or_else(|| no_image(&Error::Pointless("its Deployment has no container".into())))?,
    };
    let prefix = format!("kubectl-rr-rehearsal-{}", Timestamp::now().as_millisecond());
    terminal::confirm(&warning(args, &master, &prefix), &args.name, args.yes)?;

    let interrupted = terminal::interruption()?; // before there is a pod that would stay
    let mut writer = Writer::start(cluster, writer::pod(&resource, &image, &prefix, args.rate)).await?;
    let clean = writer.delete();
    let rehearsed = tokio::select! {
        rehearsed = rehearse(cluster, args, &resource, &master, &mut writer) => rehearsed,
        () = interrupted => Err(Error::Pointless("interrupted; the operator finishes what it has begun".into())),
    };
    clean.await;
    if rehearsed.is_err() {
        tokio::time::sleep(CALM).await; // it stops writing when it hears of its end
    }
    remove(cluster, &args.name, &prefix, writer.account().acknowledged.max(written(&rehearsed))).await;
    let (last, account) = rehearsed?;
    terminal::print(&told(&last, &account))?;
    let complete = account.verdict.as_ref().is_some_and(|verdict| verdict.lost == 0);
    Ok(if complete { exit::OK } else { exit::NOT_HEALTHY })
}

fn no_image(why: &Error) -> Error {
    Error::Pointless(format!("the operator's image, which the writer uses, is unknown ({why}); set --image"))
}

/// The master, if this is a moment for a rehearsal.
fn is_fit(resource: &RedisReplication) -> Result<String, Error> {
    let name = resource.name_any();
    let master = master(resource)?;
    let ready = resource.status.iter().flat_map(|status| &status.conditions);
    let ready = ready.into_iter().find(|condition| condition.type_ == ConditionType::Ready.to_string());
    match ready {
        _ if resource.spec.paused => {
            Err(Error::Pointless(format!("{name} is paused: first `kubectl rr resume {name}`")))
        }
        Some(ready) if ready.status != "True" => Err(Error::Pointless(format!(
            "{name} is not healthy ({}: {}); rehearse when it is healthy",
            ready.reason, ready.message
        ))),
        _ if resource.spec.replicas < 2 => {
            Err(Error::Pointless(format!("{name} has one member: there is no replica to take over")))
        }
        _ => Ok(master),
    }
}

fn warning(args: &Rehearse, master: &str, prefix: &str) -> String {
    let fault = if args.crash {
        format!(
            "the Redis process in {master} is terminated without a hand-over: a failover, which may lose the last writes"
        )
    } else {
        format!("the pod {master} is deleted: the operator hands its role over first")
    };
    format!(
        "{}: a writer pod writes {} keys per second (named {prefix}:*, removed afterwards), and then\n{fault}.\n\
         All clients of the master lose their connection once.",
        args.name, args.rate
    )
}

async fn rehearse(
    cluster: &Cluster,
    args: &Rehearse,
    before: &RedisReplication,
    master: &str,
    writer: &mut Writer,
) -> Result<(CompletedTransition, Account), Error> {
    eprintln!("starting the writer");
    writer.writes().await?;
    tokio::time::sleep(CALM).await;
    eprintln!("{} {master}", if args.crash { "terminating the Redis process in" } else { "deleting the pod" });
    if args.crash {
        // the command's connection ends with the container: only a missing right is an error
        let end = shell(cluster, master, exec::WITH_COMMANDS, &[END], CRASH, Duration::from_secs(10)).await;
        if let Err(error @ Error::Forbidden(_)) = end {
            return Err(error);
        }
    } else {
        let deleted = cluster.api::<Pod>().delete(master, &DeleteParams::default()).await;
        deleted.map_err(|e| cluster.error(&format!("delete pods in namespace {}", cluster.namespace), &e))?;
    }
    let last = change(cluster, before).await?;
    tokio::time::sleep(CALM).await;
    eprintln!("verifying the written keys");
    let account = writer.stop(ACCOUNT).await?;
    Ok((last, account))
}

/// Waits for the end of the change of master.
async fn change(cluster: &Cluster, before: &RedisReplication) -> Result<CompletedTransition, Error> {
    let (began, name) = (Instant::now(), before.name_any());
    let last = |resource: &RedisReplication| resource.status.as_ref().and_then(|s| s.last_transition.clone());
    while began.elapsed() < CHANGE {
        if let Ok(now) = cluster.get(&name).await
            && let Some(ended) = last(&now).filter(|ended| Some(ended) != last(before).as_ref())
        {
            return Ok(ended);
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Error::NotInTime(format!(
        "the master of {name} has not changed within {} s; see `kubectl rr status {name}`",
        CHANGE.as_secs()
    )))
}

fn written(rehearsed: &Result<(CompletedTransition, Account), Error>) -> u64 {
    let verdict = rehearsed.as_ref().ok().and_then(|(_, account)| account.verdict.as_ref());
    verdict.map_or(0, |verdict| verdict.acknowledged)
}

/// Removes the keys; some more than are known to be written, for the last lines may not have been heard.
async fn remove(cluster: &Cluster, name: &str, prefix: &str, written: u64) {
    let mut commands = String::new();
    let upto = written + 10_000;
    for first in (1..=upto).step_by(usize::try_from(AT_ONCE).unwrap_or(1)) {
        commands.push_str("UNLINK");
        for number in first..(first + AT_ONCE).min(upto + 1) {
            let _ = write!(commands, " {prefix}:{number}");
        }
        commands.push('\n');
    }
    let _ = writeln!(commands, "{END}");
    let removed = async {
        let pod = master(&cluster.get(name).await?)?;
        let output = shell(cluster, &pod, exec::WITH_COMMANDS, &[END], &commands, Duration::from_secs(60)).await?;
        output.ok(&pod)
    };
    if let Err(error) = removed.await {
        eprintln!("the keys {prefix}:* could not be removed: {error}");
    }
}

fn told(last: &CompletedTransition, account: &Account) -> String {
    let mut text = format!("{}\n", render::transition(last));
    let (outages, slow): (Vec<_>, Vec<_>) = account.gaps.iter().partition(|gap| !gap.errors.is_empty());
    for gap in &outages {
        let errors: Vec<_> = gap.errors.iter().map(|(what, times)| format!("{times} × {what}")).collect();
        let _ = writeln!(text, "writes were held up for {:.0} ms ({})", gap.ms, errors.join(", "));
    }
    if outages.is_empty() {
        text.push_str("no write failed\n");
    }
    if let Some(longest) = slow.iter().map(|gap| gap.ms).max_by(f64::total_cmp) {
        let _ = writeln!(text, "{} more answer(s) were slow, the slowest took {longest:.0} ms", slow.len());
    }
    if let Some(verdict) = &account.verdict {
        let _ = writeln!(text, "{} writes were acknowledged, {} of them are lost", verdict.acknowledged, verdict.lost);
    }
    text
}

#[cfg(test)]
#[path = "rehearse_tests.rs"]
mod tests;
