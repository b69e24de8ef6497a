//! Pods that are not made, do not start or do not last: the status says why, in the words of whoever knows it, and is silent about
//! it when it is over.

use std::cell::Cell;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use redis_replication_operator::api::{ConditionType, Reason};
use serde_json::json;

use crate::harness::{LONG, Replication, SHORT, ensure, scenario};

/// Waits until `Ready` has this reason, and says all of this.
pub async fn says(cache: &Replication, reason: Reason, words: &[&str]) -> Result<String> {
    let condition = cache.reason(ConditionType::Ready, reason, LONG).await?;
    for words in words {
        ensure(condition.message.contains(words), || format!("{words:?} is not in {}", condition.message))?;
    }
    Ok(condition.message)
}

/// What the API server refuses: in its own words, and over as soon as what is missing is there.
#[test]
fn a_pod_that_is_refused_says_why() {
    scenario("pods-refused", async |scene| {
        let account = scene.replication("account", "{replicas: 1, serviceAccountName: later}").await?;
        let class = scene.replication("class", "{replicas: 1, priorityClassName: nosuch}").await?;
        let security =
            scene.replication("security", "{replicas: 1, podOverrides: {spec: {hostNetwork: true}}}").await?;
        says(
            &account,
            Reason::PodRefused,
            &["account-0: its pod cannot be created", "serviceaccount \"later\" not found"],
        )
        .await?;
        says(&class, Reason::PodRefused, &["no PriorityClass with name nosuch was found"]).await?;
        says(&security, Reason::PodRefused, &["violates PodSecurity", "hostNetwork=true"]).await?;
        account.event("PodRefused", "not found").await?;

        let made = serde_json::from_value(json!({ "metadata": { "name": "later" } }))?;
        account.all::<ServiceAccount>().create(&PostParams::default(), &made).await?;
        class.patch_spec(json!({ "priorityClassName": null })).await?;
        security.patch_spec(json!({ "podOverrides": null })).await?;
        for cache in [&account, &class, &security] {
            cache.agrees().await?;
        }

        let none =
            serde_json::from_value(json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "3" } } }))?;
        let quotas = account.all::<ResourceQuota>();
        quotas.create(&PostParams::default(), &none).await?;
        account.scale(2).await?;
        says(&account, Reason::PodRefused, &["account-1: its pod cannot be created", "exceeded quota: none"]).await?;
        account.reason(ConditionType::MasterAvailable, Reason::MasterServes, SHORT).await?;
        quotas.delete("none", &DeleteParams::default()).await?;
        account.agrees().await?;
        Ok(())
    });
}

const VOLUME: &str = "podOverrides: {spec: {volumes: [{name: more, SOURCE}], containers: [{name: redis, volumeMounts: [{name: more, mountPath: /more}]}]}}";
const INIT: &str = "podOverrides: {spec: {initContainers: [{name: prepare, image: 'localhost/no-such-image:1', \
                    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}";
const FAILING_INIT: &str = "podOverrides: {spec: {initContainers: [{name: prepare, image: 'docker.io/library/redis:8.0', \
                    command: [sh, -c, 'echo no such bucket >&2; exit 3'], terminationMessagePolicy: FallbackToLogsOnError, \
                    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}";

const KILLED_SIDECAR: &str = "podOverrides: {spec: {containers: [{name: beside, image: 'docker.io/library/redis:8.0', \
                    command: [sh, -c, 'kill -9 $$; exit 137'], \
                    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}";

/// Volumes, claims, init containers, and one beside Redis.
#[test]
fn a_pod_that_does_not_start_says_why() {
    scenario("pods-stuck", async |scene| {
        let of = |source: &str| format!("{{replicas: 1, {}}}", VOLUME.replace("SOURCE", source));
        let map = scene.replication("map", &of("configMap: {name: later}")).await?;
        let secret = scene.replication("secret", &of("secret: {secretName: later}")).await?;
        let claim =
            scene.replication("claim", "{replicas: 1, persistence: {size: 64Mi, storageClassName: nosuch}}").await?;
        let init = scene.replication("init", &format!("{{replicas: 1, {INIT}}}")).await?;
        let killed = scene.replication("killed", &format!("{{replicas: 1, {KILLED_SIDECAR}}}")).await?;
        let fails = scene.replication("fails", &format!("{{replicas: 1, {FAILING_INIT}}}")).await?;
        says(
            &map,
            Reason::VolumeUnavailable,
            &["map-0: its containers cannot be started", "configmap \"later\" not found"],
        )
        .await?;
        says(&secret, Reason::VolumeUnavailable, &["secret \"later\" not found"]).await?;
        says(
            &claim,
            Reason::VolumeUnavailable,
            &["claim-0: its PersistentVolumeClaim data-claim-0", "\"nosuch\" not found"],
        )
        .await?;
        says(
            &init,
            Reason::ImageUnavailable,
            &["localhost/no-such-image:1", "the init container prepare", "spec.podOverrides"],
        )
        .await?;
        says(&fails, Reason::PodFailsToStart, &["the init container prepare ends with code 3: no such bucket"]).await?;
        says(
            &killed,
            Reason::PodFailsToStart,
            &["the container beside is killed again and again (exit code 137, SIGKILL)"],
        )
        .await?;

        let made = serde_json::from_value(json!({ "metadata": { "name": "later" }, "data": { "a": "b" } }))?;
        map.all::<ConfigMap>().create(&PostParams::default(), &made).await?;
        for healed in [&secret, &init, &fails, &killed] {
            healed.patch_spec(json!({ "podOverrides": null })).await?;
        }
        for cache in [&map, &secret, &init, &fails, &killed] {
            cache.agrees().await.with_context(|| format!("{} is healed", cache.name))?;
        }
        Ok(())
    });
}

/// More data than memory: what is on the volume does not fit either, until there is more.
#[test]
fn a_member_that_needs_too_much_memory_says_so() {
    scenario("memory-limit", async |scene| {
        let limit = |limit: &str| json!({ "resources": { "limits": { "memory": limit } } });
        let spec = "{replicas: 1, persistence: {size: 512Mi}, resources: {limits: {memory: 48Mi}}}";
        let cache = scene.ready("cache", spec).await?;
        let write = "for i = 1, 10 do redis.call('SET', ARGV[1] .. i, string.rep('x', 100000)) end";
        for round in 0..1000 {
            // it is killed in the middle of one of them
            let written = cache.try_cli("cache-0", &["EVAL", write, "0", &format!("{round}-")]).await;
            if !written.is_ok_and(|output| output.success) {
                break;
            }
        }
        says(
            &cache,
            Reason::OutOfMemory,
            &["cache-0: the container redis", "its limit of 48Mi", "spec.resources.limits.memory"],
        )
        .await?;
        cache.patch_spec(limit("256Mi")).await?;
        cache.agrees().await?;
        let keys: u32 = cache.cli("cache-0", &["DBSIZE"]).await?.parse()?;
        ensure(keys >= 100, || format!("{keys} keys are left"))
    });
}

/// The kubelet hears it, the operator does not.
#[test]
fn a_member_out_of_reach_is_named() {
    scenario("out-of-reach", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        let replica = cache.replicas().await?.remove(0);
        let operator = operators_address(&cache, &replica).await?;
        cache.isolate(&replica, std::slice::from_ref(&operator)).await?;
        let name = format!("{replica}: its Redis runs");
        let told =
            says(&cache, Reason::MemberUnreachable, &[&name, "NetworkPolicy", "service mesh", "port 6379"]).await;
        let serves = cache.reason(ConditionType::MasterAvailable, Reason::MasterServes, SHORT).await;
        cache.reconnect(&replica, &[operator]).await?;
        told?;
        serves?;
        cache.agrees().await?;
        Ok(())
    });
}

/// Where the operator's connections to a member come from.
async fn operators_address(cache: &Replication, pod: &str) -> Result<String> {
    let clients = cache.cli(pod, &["CLIENT", "LIST"]).await?;
    let own = clients.lines().find(|line| line.contains("name=redis-replication-operator")).context(clients.clone())?;
    let address = own.split(' ').find_map(|field| field.strip_prefix("addr=")).context("no address")?;
    Ok(address.rsplit_once(':').context("no port")?.0.to_owned())
}

/// The copy takes seconds, and more is written meanwhile than the master may keep.
const SMALL_BUFFER: &str = "{replicas: 2, image: 'docker.io/IMAGE', config: {repl-backlog-size: 1mb, \
                            client-output-buffer-limit: replica 1mb 0 0, rdb-key-save-delay: 5000}}";

#[test]
fn a_replica_that_is_dropped_in_the_course_of_its_copy_is_told_the_directive() {
    scenario("output-buffer", async |scene| {
        for (name, image) in [("redis", "library/redis:8.0"), ("valkey", "valkey/valkey:8.1")] {
            let cache = scene.ready(name, &SMALL_BUFFER.replace("IMAGE", image)).await?;
            is_dropped(&cache).await.context(image)?;
        }
        Ok(())
    });
}

async fn is_dropped(cache: &Replication) -> Result<()> {
    cache.populate(1000).await?;
    let (master, replica) = (cache.master().await?, cache.replicas().await?.remove(0));
    cache.kill(&replica).await?;
    let write = "for i = 1, 10 do redis.call('SET', 'large', string.rep('x', 500000)) end";
    let (told, words) = (Cell::new(false), [replica.as_str(), "client-output-buffer-limit", "the master drops it"]);
    // the last write ends before the key is deleted
    let writes = async {
        while !told.get() {
            cache.try_cli(&master, &["EVAL", write, "0"]).await?;
        }
        anyhow::Ok(())
    };
    let reads = async {
        let said = says(cache, Reason::OutputBufferTooSmall, &words).await;
        told.set(true);
        said
    };
    let (written, said) = tokio::join!(writes, reads);
    written?;
    said?;
    cache.cli(&master, &["DEL", "large"]).await?;
    cache.agrees().await?;
    cache.holds(1000).await
}
