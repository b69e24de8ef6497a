//! The master cannot save its data.

use redis_replication_operator::api::{ConditionType, Reason};

use crate::harness::{SHORT, ensure, exec::exec, poll::eventually, scenario};

/// The volume is a small piece of memory, which can be filled without harm to others.
const SMALL: &str = "
replicas: 3
persistence: {size: 16Mi, mode: AOF}
podOverrides:
  spec:
    containers: [{name: redis, volumeMounts: [{mountPath: /data, name: small}]}]
    volumes: [{name: small, emptyDir: {medium: Memory, sizeLimit: 16Mi}}]
";
const FILL: &str = "dd if=/dev/zero of=/data/ballast bs=1M count=64 2>/dev/null; true";
/// More than what is left in the last page of the append-only file.
const LARGE_WRITE: &str = "redis.call('SET', 'large', string.rep('x', 100000))";

/// Redis refuses writes then; the status says so, and nobody is promoted: the replicas would get the same writes.
#[test]
fn a_full_disk_is_told() {
    scenario("disk-full", async |scene| {
        let cache = scene.ready("cache", SMALL).await?;
        cache.populate(1000).await?;
        let (master, before) = (cache.master().await?, cache.fingerprint().await?);
        let shell = async |command: &str| {
            exec(&cache.client, &cache.namespace, &master, "redis", "", &["sh", "-c", command]).await?.ok()
        };
        shell(FILL).await?;
        eventually("writes are refused", SHORT, async || {
            let answer = format!("{:?}", cache.try_cli(&master, &["EVAL", LARGE_WRITE, "0"]).await?);
            ensure(answer.contains("MISCONF"), || answer.clone())
        })
        .await?;
        for type_ in [ConditionType::MasterAvailable, ConditionType::Ready] {
            let condition = cache.reason(type_, Reason::WritesRefused, SHORT).await?;
            ensure(condition.status == "False" && condition.message.contains("No space left"), || {
                format!("{condition:?}")
            })?;
        }
        cache.event("WritesRefused", &master).await?;

        shell("rm /data/ballast").await?;
        cache.agrees().await?;
        cache.cli(&master, &["DEL", "large"]).await?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("before {before:?}, after {after:?}"))?;
        cache.holds(1000).await
    });
}
