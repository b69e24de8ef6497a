//! Data files that cannot be loaded: the status has the commands, and running exactly those heals.

use std::process::Command;

use anyhow::{Context, Result};
use redis_replication_operator::api::Reason;

use crate::{
    causes::says,
    harness::{Replication, ensure, exec::exec, scenario},
};

/// Twelve NUL bytes at the end, as after a power failure.
const TAIL: &str = "cd /data/appendonlydir && for file in *.incr.aof; do head -c 12 /dev/zero >>$file; done";
/// A file that the manifest names is not there.
const MISSING: &str = "rm /data/appendonlydir/*.incr.aof";
/// Half a snapshot.
const HALF: &str = "cd /data/appendonlydir && for file in *.base.rdb; do head -c 40 $file >half && mv half $file; done";
const HALF_SNAPSHOT: &str = "cd /data && head -c 40 dump.rdb >half && mv half dump.rdb";

/// Damages a member's file, ends its Redis, and returns what the status says.
async fn damage(cache: &Replication, pod: &str, script: &str) -> Result<String> {
    exec(&cache.client, &cache.namespace, pod, "redis", "", &["sh", "-c", script]).await?.ok()?;
    cache.kill(pod).await?;
    says(cache, Reason::DataDamaged, &[&format!("{pod}: ")]).await
}

/// Runs the command that a message ends with.
async fn obey(message: &str) -> Result<()> {
    let at = message.find("echo '{").or_else(|| message.find("kubectl ")).context(message.to_owned())?;
    let command = &message[at..];
    let script = command.to_owned();
    let output = tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &script]).output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{command}\n{said}");
    ensure(output.status.success(), || format!("{command}: {said}"))
}

#[test]
fn a_replica_with_a_damaged_file_copies_the_data_by_the_command_in_the_status() {
    scenario("damaged-replica", async |scene| {
        let cache = scene.ready("cache", "{replicas: 2, persistence: {size: 64Mi}}").await?;
        cache.populate(1000).await?;
        for script in [TAIL, MISSING] {
            let replica = cache.replicas().await?.remove(0);
            let message = damage(&cache, &replica, script).await?;
            ensure(message.contains(&format!("delete pvc data-{replica}")), || message.clone())?;
            obey(&message).await?;
            cache.agrees().await?;
            cache.holds(1000).await?;
        }
        Ok(())
    });
}

#[test]
fn a_sole_copy_is_repaired_by_the_command_in_the_status() {
    scenario("damaged-master", async |scene| {
        let cache = scene.ready("cache", "{replicas: 1, persistence: {size: 64Mi}}").await?;
        cache.populate(1000).await?;
        let message = damage(&cache, "cache-0", TAIL).await?;
        ensure(message.contains("--fix"), || message.clone())?;
        obey(&message).await?;
        cache.agrees().await?;
        cache.holds(1000).await?;

        // nothing to repair: without a backup it starts with what is left, and that is said
        cache.cli("cache-0", &["BGREWRITEAOF"]).await?;
        crate::harness::poll::eventually("the file is rewritten", crate::harness::SHORT, async || {
            let info = cache.info("cache-0", "persistence").await?;
            let busy = info.get("aof_rewrite_in_progress") != "0"
                || info.number::<u64>("aof_base_size").is_none_or(|size| size < 1000);
            ensure(!busy, || "not yet".to_owned())
        })
        .await?;
        let snapshot = scene.ready("snapshot", "{replicas: 1, persistence: {size: 64Mi, mode: RDB}}").await?;
        snapshot.populate(10).await?;
        snapshot.cli("snapshot-0", &["SAVE"]).await?;
        for (cache, pod, script) in [(&cache, "cache-0", HALF), (&snapshot, "snapshot-0", HALF_SNAPSHOT)] {
            let message = damage(cache, pod, script).await?;
            ensure(message.contains("Put a backup"), || message.clone())?;
            obey(&message).await?;
            says(cache, Reason::DataReplaced, &[&format!("{pod} became the master without data")]).await?;
        }
        Ok(())
    });
}
