//! What members start with, and what they write to their volumes while they run.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};
use redis_replication_operator::api::{ConditionType, Reason};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    failover::data_is_replaced,
    harness::{LONG, Replication, SHORT, ensure, exec::exec, poll::eventually, scenario},
};

const SCHEDULE: &str = "900 1 300 10";

async fn set_mode(cache: &Replication, mode: &str) -> Result<()> {
    cache.patch_spec(json!({ "persistence": { "mode": mode } })).await
}

/// Waits until each Redis writes this, and nothing else.
async fn writes(cache: &Replication, append_only: &str, save: &str) -> Result<()> {
    eventually(&format!("appendonly is {append_only}, save is {save:?}"), LONG, async || {
        for pod in cache.members().await? {
            for (directive, wanted) in [("appendonly", append_only), ("save", save)] {
                let own = cache.cli(&pod, &["CONFIG", "GET", directive]).await?;
                let own = own.strip_prefix(directive).context(own.clone())?.trim();
                ensure(own == wanted, || format!("{pod}: {directive} {own}"))?;
            }
        }
        Ok(())
    })
    .await?;
    cache.reason(ConditionType::Progressing, Reason::Stable, SHORT).await.map(drop)
}

/// The pods and the processes in them.
async fn processes(cache: &Replication) -> Result<Vec<(String, String)>> {
    let mut processes = Vec::new();
    for pod in cache.members().await? {
        let run_id = cache.info(&pod, "server").await?.get("run_id").to_owned();
        processes.push((cache.uid(&pod).await?, run_id));
    }
    Ok(processes)
}

/// A single member: what it starts with is all that there is. After each change it is killed.
#[test]
fn a_single_member_keeps_its_data_in_every_mode() {
    scenario("data-single", async |scene| {
        let spec = format!("{{replicas: 1, persistence: {{size: 64Mi, mode: RDB}}, config: {{save: '{SCHEDULE}'}}}}");
        let cache = scene.ready("cache", &spec).await?;
        writes(&cache, "no", SCHEDULE).await?;
        cache.populate(10).await?;
        let before = processes(&cache).await?;
        cache.patch_spec(json!({ "persistence": { "mode": "AOF" }, "config": null })).await?;
        writes(&cache, "yes", "").await?;
        ensure(processes(&cache).await? == before, || "it was restarted".to_owned())?;
        cache.event("AppendOnlyFileBegun", "cache-0").await?;
        cache.kill("cache-0").await?;
        cache.agrees().await?;
        cache.holds(10).await?;

        cache.populate(11).await?;
        set_mode(&cache, "RDB").await?;
        writes(&cache, "no", "3600 1 300 100 60 10000").await?;
        cache.event("AppendOnlyFileEnded", "cache-0").await?;
        cache.kill("cache-0").await?;
        cache.agrees().await?;
        cache.holds(11).await?;
        writes(&cache, "no", "3600 1 300 100 60 10000").await?;

        set_mode(&cache, "RDBAndAOF").await?;
        writes(&cache, "yes", "3600 1 300 100 60 10000").await?;
        cache.populate(12).await?;
        cache.kill("cache-0").await?;
        cache.agrees().await?;
        cache.holds(12).await
    });
}

/// Whatever is going on, a kill costs nothing of what the mode before and the one after have promised.
#[test]
fn a_change_of_the_mode_is_interrupted_and_taken_back() {
    scenario("data-interrupted", async |scene| {
        let cache = scene.ready("cache", "{replicas: 1, persistence: {size: 64Mi}}").await?;
        for (round, after) in [0, 200, 800, 2000, 5000].into_iter().enumerate() {
            cache.populate(10 + u32::try_from(round)?).await?;
            set_mode(&cache, "RDB").await?;
            sleep(Duration::from_millis(after)).await; // wherever it is by then
            if round % 2 == 0 {
                set_mode(&cache, "AOF").await?;
            }
            cache.kill("cache-0").await?;
            cache.agrees().await?;
            cache.holds(10 + u32::try_from(round)?).await?;
            set_mode(&cache, "AOF").await?;
            writes(&cache, "yes", "").await?;
        }
        Ok(())
    });
}

/// No write waits, no pod and no process is another, and a failover in the middle ends with the same.
#[test]
fn the_mode_is_changed_under_a_writer() {
    scenario("data-writer", async |scene| {
        let cache = scene.ready("cache", "{replicas: 3, persistence: {size: 64Mi}}").await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        let before = processes(&cache).await?;
        for (mode, append_only, save) in [
            ("RDB", "no", "3600 1 300 100 60 10000"),
            ("RDBAndAOF", "yes", "3600 1 300 100 60 10000"),
            ("AOF", "yes", ""),
        ] {
            set_mode(&cache, mode).await?;
            writes(&cache, append_only, save).await?;
        }
        ensure(processes(&cache).await? == before, || "a member was restarted".to_owned())?;
        let refused: Vec<_> = writer.gaps().into_iter().filter(|gap| !gap.errors.is_empty()).collect();
        ensure(refused.is_empty(), || format!("{refused:?}"))?;

        set_mode(&cache, "RDB").await?;
        cache.reason(ConditionType::Progressing, Reason::ChangingPersistence, SHORT).await?;
        let master = cache.master().await?;
        cache.kill(&master).await?;
        cache.another_master(&master, SHORT).await?;
        writes(&cache, "no", "3600 1 300 100 60 10000").await?;
        cache.agrees().await?;
        let account = writer.stop().await?;
        let confirmed = account.verdict.confirmed_lost;
        ensure(confirmed == 0, || format!("{account}"))
    });
}

/// Changed by hand, it is put back.
#[test]
fn what_is_changed_by_hand_is_put_back() {
    scenario("data-by-hand", async |scene| {
        let cache = scene.ready("cache", "{replicas: 2, persistence: {size: 64Mi}}").await?;
        cache.populate(10).await?;
        for pod in cache.members().await? {
            cache.cli(&pod, &["CONFIG", "SET", "appendonly", "no"]).await?;
            cache.cli(&pod, &["CONFIG", "SET", "save", "60 1"]).await?;
        }
        writes(&cache, "yes", "").await?;
        for pod in cache.members().await? {
            cache.kill(&pod).await?;
        }
        cache.agrees().await?;
        cache.holds(10).await
    });
}

/// A member without persistence has a dump.rdb of its last full copy; it never comes back.
#[test]
fn without_persistence_nothing_old_comes_back() {
    scenario("data-memory", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(1000).await?;
        let replica = cache.replicas().await?.remove(0);
        let uid = cache.uid(&replica).await?;
        cache.delete_pod(&replica).await?;
        cache.replaced(&replica, &uid).await?;
        cache.agrees().await?;
        let master = cache.master().await?;
        for pod in cache.members().await? {
            cache.cli(&pod, &["SAVE"]).await?;
        }
        cache.cli(&master, &["FLUSHALL"]).await?;
        cache.cli(&master, &["SET", "new", "1"]).await?;
        for pod in cache.members().await? {
            let litter = "touch /data/temp-1.rdb /data/temp-2.rdb";
            exec(&cache.client, &cache.namespace, &pod, "redis", "", &["sh", "-c", litter]).await?.ok()?;
        }
        for pod in cache.members().await? {
            cache.kill(&pod).await?;
        }
        data_is_replaced(&cache).await?;
        for pod in cache.members().await? {
            let keys = cache.cli(&pod, &["KEYS", "*"]).await?;
            ensure(keys.trim().is_empty(), || format!("{pod} has {keys}"))?;
            let list = ["sh", "-c", "ls /data"];
            let files = exec(&cache.client, &cache.namespace, &pod, "redis", "", &list).await?.ok()?;
            ensure(!files.contains("temp-1") && !files.contains("temp-2"), || format!("{pod}: {files}"))?;
        }
        Ok(())
    });
}

/// By exactly the commands of the documentation, whatever the mode and the number of members.
#[test]
fn a_dump_on_the_first_volume_is_where_all_begin() {
    scenario("data-dump", async |scene| {
        let source = scene.ready("source", "{replicas: 1, persistence: {size: 64Mi, mode: RDB}}").await?;
        source.populate(100).await?;
        source.cli("source-0", &["SAVE"]).await?;
        let directory = std::env::temp_dir().join(&source.namespace);
        std::fs::create_dir_all(&directory)?;
        let manual =
            include_str!("../../docs/operations.md").split_once("### Start from a dump").context("no heading")?.1;
        let commands =
            manual.split("```").nth(1).and_then(|block| block.strip_prefix("sh\n")).context("no commands")?;
        for (name, replicas, mode) in [("cache", 3, "AOF"), ("single", 1, "RDBAndAOF"), ("plain", 1, "RDB")] {
            let script = format!(
                "set -eu; kubectl() {{ command kubectl -n {} \"$@\"; }}\n\
                 kubectl exec source-0 -c redis -- cat /data/dump.rdb >dump.rdb\n{}",
                source.namespace,
                commands.replace("cache", name).replace("load-dump", &format!("load-{name}"))
            );
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]).current_dir(&directory);
            let output = tokio::task::spawn_blocking(move || shell.output()).await??;
            ensure(output.status.success(), || format!("{output:?}"))?;
            let spec = format!("{{replicas: {replicas}, persistence: {{size: 1Gi, mode: {mode}}}}}");
            let cache = scene.ready(name, &spec).await?;
            cache.holds(100).await?;
            let master = cache.master().await?;
            cache.kill(&master).await?; // the first start was no accident
            cache.agrees().await?;
            cache.holds(100).await?;
        }
        std::fs::remove_dir_all(&directory)?;
        Ok(())
    });
}
