//! A change of the spec that cannot work, and that is taken back: everything heals without hands, whatever the members were in.

use std::time::Duration;

use anyhow::{Context, Result};
use redis_replication_operator::api::{ConditionType, Reason, RequestKind};
use serde_json::{Value, json};

use crate::harness::{
    LONG, Replication, SHORT, ensure,
    poll::{always, eventually},
    scenario,
};

const REDIS_7: &str = "docker.io/library/redis:7.0";
const REDIS_8: &str = "docker.io/library/redis:8.0";

/// Redis 7.0 cannot load the snapshot of Redis 8.0.
#[test]
fn a_downgrade_that_cannot_work_is_taken_back() {
    scenario("downgrade", async |scene| {
        let cache = scene.ready("cache", &format!("{{replicas: 2, image: '{REDIS_8}'}}")).await?;
        cache.populate(1000).await?;
        let (master, replica, epoch) =
            (cache.master().await?, cache.replicas().await?.remove(0), cache.status().await?.epoch);
        cache.patch_spec(json!({ "image": REDIS_7 })).await?;
        eventually("the status says why it does not follow", LONG, async || {
            let message = message(&cache, &replica).await?;
            let says = message.contains("Redis 7.0") && message.contains("may not be able to load the snapshot");
            ensure(says, || message.clone())?;
            let progress = progress(&cache).await?;
            ensure(progress.contains(&format!("{master} waits to be replaced: {replica}")), || progress.clone())
        })
        .await?;
        let before = forks(&cache, &master).await?;
        always("the master forks rarely", Duration::from_secs(10), async || {
            let forks = forks(&cache, &master).await? - before;
            ensure(forks < 30, || format!("{forks} forks"))
        })
        .await?;
        cache.patch_spec(json!({ "image": REDIS_8 })).await?;
        cache.agrees().await?;
        cache.holds(1000).await?;
        ensure(cache.status().await?.epoch == epoch, || "the master has changed".into())
    });
}

/// The crashed member comes back empty with the older version, and cannot load the copy of the newer master.
#[test]
fn an_upgrade_ends_although_a_member_crashes_in_the_middle() {
    scenario("upgrade-crash", async |scene| {
        let cache = scene.ready("cache", &format!("{{replicas: 3, image: '{REDIS_7}'}}")).await?;
        cache.populate(1000).await?;
        let former = cache.master().await?;
        let first = cache.replicas().await?.pop().context("no replica")?;
        let uid = cache.uid(&first).await?;
        cache.patch_spec(json!({ "image": REDIS_8 })).await?;
        cache.replaced(&first, &uid).await?;
        eventually("the new one follows", LONG, async || {
            let link = cache.info(&first, "replication").await?;
            ensure(link.get("master_link_status") == "up", || "its link is down".into())
        })
        .await?;
        cache.request(RequestKind::Switchover, &first).await?;
        cache.another_master(&former, LONG).await?;
        // it has not been replaced yet: the new master has to stay well first
        cache.kill(&former).await?;
        cache.agrees().await?;
        cache.holds(1000).await?;
        for pod in cache.members().await? {
            let server = cache.info(&pod, "server").await?;
            ensure(server.get("redis_version").starts_with("8."), || format!("{pod} is of the older version"))?;
        }
        Ok(())
    });
}

/// Pods that do not start, do not run, or run and do not follow: the first one shows it, and is replaced as soon as the spec
/// is right.
#[test]
fn what_keeps_a_pod_from_starting_or_following_is_taken_back() {
    scenario("taken-back", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(100).await?;
        let before = cache.status().await?;
        let (master, replica) = (cache.master().await?, cache.replicas().await?.remove(0));
        let volume = json!([{ "name": "more", "configMap": { "name": "no-such-config-map" } }]);
        let mount = json!([{ "name": "redis", "volumeMounts": [{ "name": "more", "mountPath": "/more" }] }]);
        let init = json!([{ "name": "first", "image": "docker.io/library/redis:no-such-tag", "command": ["true"],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } }]);
        let spec = |spec: Value| json!({ "podOverrides": { "spec": spec } });
        let changes = [
            ("a volume of a missing ConfigMap", spec(json!({ "volumes": volume, "containers": mount }))),
            ("an init container without an image", spec(json!({ "initContainers": init }))),
            ("no node", json!({ "nodeSelector": { "there-is": "no-such-node" } })),
            ("no connection to the master", json!({ "config": { "bind-source-addr": "192.0.2.1" } })),
        ];
        for (what, change) in changes {
            let uid = cache.uid(&replica).await?;
            cache.patch_spec(change).await?;
            cache.replaced(&replica, &uid).await.context(what)?;
            eventually("the status says which one holds up the others", LONG, async || {
                let words = progress(&cache).await?;
                ensure(words.contains(&format!("{master} waits to be replaced: {replica}")), || words.clone())?;
                ensure(cache.replicas_online().await? == 0, || format!("{replica} follows"))
            })
            .await
            .context(what)?;
            cache.patch_spec(json!({ "podOverrides": null, "nodeSelector": null, "config": null })).await?;
            cache.agrees().await.context(what)?;
        }
        cache.holds(100).await?;
        let after = cache.status().await?;
        ensure(after.epoch == before.epoch, || "the master has changed".into())
    });
}

/// One moment of readiness between two crashes is not enough to go on.
#[test]
fn a_template_that_crashes_does_not_spread() {
    scenario("crashes", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(100).await?;
        let (master, epoch) = (cache.master().await?, cache.status().await?.epoch);
        let first = cache.replicas().await?.pop().context("no replica")?;
        let uids = uids(&cache).await?;
        // as the kernel does it when memory runs out: not in the first moment, and again and again
        let kill = "while sleep 7; do for p in /proc/[0-9]*; do \
                    if [ \"$(cat $p/comm 2>/dev/null)\" = redis-server ]; then kill -9 ${p#/proc/}; fi; done; done";
        let killer = json!([{ "name": "killer", "image": REDIS_8, "command": ["sh", "-c", kill],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } }]);
        cache.patch_spec(json!({ "podOverrides": { "spec": { "containers": killer } } })).await?;
        eventually("its first container has been started again", LONG, async || {
            let pod = cache.pod(&first).await?;
            let containers = pod.status.and_then(|s| s.container_statuses).unwrap_or_default();
            let restarts: i32 = containers.iter().filter(|c| c.name == "redis").map(|c| c.restart_count).sum();
            ensure(restarts >= 1, || format!("{restarts} restarts"))
        })
        .await?;
        always("no other is replaced", Duration::from_secs(20), async || {
            let status = cache.status().await?;
            ensure(status.master.as_ref() == Some(&master) && status.epoch == epoch, || {
                format!("{:?}", status.master)
            })?;
            let now = self::uids(&cache).await?;
            let other = uids.iter().find(|(pod, uid)| *pod != first && !now.contains(&(pod.clone(), uid.clone())));
            ensure(other.is_none(), || format!("{other:?} was replaced"))
        })
        .await?;
        let words = progress(&cache).await?;
        ensure(words.contains(&format!("waits to be replaced: {first}")), || words.clone())?;
        cache.patch_spec(json!({ "podOverrides": null })).await?;
        cache.agrees().await?;
        cache.holds(100).await
    });
}

async fn uids(cache: &Replication) -> Result<Vec<(String, String)>> {
    let pods = cache.pods().await?;
    Ok(pods.into_iter().filter_map(|pod| Some((pod.metadata.name?, pod.metadata.uid?))).collect())
}

async fn message(cache: &Replication, member: &str) -> Result<String> {
    let status = cache.status().await?;
    let member = status.members.into_iter().find(|m| m.name == member).context("the status does not name it")?;
    member.message.with_context(|| format!("{} {:?} without a message", member.name, member.phase))
}

/// What a rollout waits for.
async fn progress(cache: &Replication) -> Result<String> {
    let condition = cache.reason(ConditionType::Progressing, Reason::RollingOut, SHORT).await?;
    Ok(condition.message)
}

async fn forks(cache: &Replication, pod: &str) -> Result<i64> {
    Ok(cache.info(pod, "stats").await?.number("total_forks").unwrap_or_default())
}
