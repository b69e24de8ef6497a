//! What people type into a running Redis, and write on the resource beside its spec.

use anyhow::{Context, Result};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::api::{Patch, PatchParams, PostParams};
use redis_replication_operator::api::{
    ConditionType, Reason,
    RequestKind::{Failover, Switchover},
};
use serde_json::json;

use crate::{
    causes::says,
    harness::{LONG, Replication, SHORT, ensure, exec::exec, poll::eventually, scenario},
};

/// The master is made to follow another replication's, which has the same password: whatever data it has afterwards, the status
/// does not say that all is well with data that is not its own.
#[test]
fn a_master_that_is_made_to_follow_a_stranger() {
    scenario("stranger", async |scene| {
        let secret: Secret = serde_json::from_value(
            json!({"metadata": {"name": "shared"}, "stringData": {"password": "one for both"}}),
        )?;
        let api = kube::Api::<Secret>::namespaced(scene.client.clone(), scene.namespace.name());
        api.create(&PostParams::default(), &secret).await?;
        let cache = scene.ready("cache", "{replicas: 3, auth: {secretName: shared}}").await?;
        let other = scene.ready("other", "{replicas: 1, auth: {secretName: shared}}").await?;
        other.cli(&other.master().await?, &["SET", "whose", "others"]).await?;
        cache.cli(&cache.master().await?, &["SET", "whose", "own"]).await?;
        let at = other.pod(&other.master().await?).await?.status.and_then(|s| s.pod_ip).context("no address")?;

        for round in 0..3 {
            let master = cache.master().await?;
            cache.cli(&master, &["REPLICAOF", &at, "6379"]).await?;
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            let now = eventually("a master that serves", LONG, async || {
                let status = cache.status().await?;
                let calm = |c: &&Condition| {
                    c.type_ == "Ready" && c.status == "True" && ["Healthy", "DataReplaced"].contains(&c.reason.as_str())
                };
                ensure(status.conditions.iter().any(|c| calm(&c)), || format!("{:?}", status.conditions))?;
                status.master.context("no master")
            })
            .await?;
            let whose = cache.cli(&now, &["GET", "whose"]).await?.trim().to_owned();
            let intact = cache.status().await?.data_replaced.is_none();
            ensure((whose == "own") == intact, || {
                format!("round {round}: {now} has the data of {whose}, intact: {intact}")
            })?;
            if !intact {
                cache.event("DataReplaced", "somebody typed REPLICAOF").await?;
                break;
            }
        }

        let before = cache.status().await?.data_replaced.map(|replaced| replaced.epoch);
        // Everybody has the stranger's data before the operator looks.
        cache.patch_spec(json!({"paused": true})).await?;
        cache.reason(ConditionType::Ready, Reason::Paused, SHORT).await?;
        let master = cache.master().await?;
        cache.cli(&master, &["REPLICAOF", &at, "6379"]).await?;
        eventually("the copy", SHORT, async || {
            let whose = cache.cli(&master, &["GET", "whose"]).await?;
            ensure(whose.trim() == "others", || whose)
        })
        .await?;
        cache.cli(&master, &["REPLICAOF", "NO", "ONE"]).await?;
        cache.patch_spec(json!({"paused": null})).await?;
        let epoch = eventually("another epoch", LONG, async || {
            let replaced = cache.status().await?.data_replaced.context("nothing is recorded")?;
            ensure(Some(replaced.epoch) != before, || format!("{before:?}"))?;
            ensure(replaced.reason.contains("somebody typed REPLICAOF"), || replaced.reason.clone())?;
            Ok(replaced.epoch)
        })
        .await?;
        cache.reason(ConditionType::Ready, Reason::DataReplaced, LONG).await?;
        annotate(&cache, "redis.replication.dev/acknowledged-epoch", Some(&epoch.to_string())).await?;
        cache.reason(ConditionType::Ready, Reason::Healthy, SHORT).await?;
        cache.agrees().await?;
        Ok(())
    });
}

/// It closes no connection, and clients are refused all the same.
#[test]
fn a_password_that_is_changed_in_a_running_redis() {
    scenario("requirepass", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        let master = cache.master().await?;
        cache.cli(&master, &["SET", "key", "value"]).await?;
        cache.cli(&master, &["CONFIG", "SET", "requirepass", "typed"]).await?;
        let words = ["somebody changed it in the running Redis", "Put it back with: kubectl"];
        let message = says(&cache, Reason::WrongPassword, &words).await?;
        let (_, command) = message.split_once(&format!("exec {master} -c redis -- sh -c '")).context("no command")?;
        let (script, _) = command.split_once('\'').context("the command has no end")?;
        exec(&scene.client, scene.namespace.name(), &master, "redis", "", &["sh", "-c", script]).await?.ok()?;
        cache.reason(ConditionType::Ready, Reason::Healthy, LONG).await?;
        let value = cache.cli(&master, &["GET", "key"]).await?;
        ensure(value.trim() == "value", || value)
    });
}

async fn annotate(cache: &Replication, key: &str, value: Option<&str>) -> Result<()> {
    let patch = json!({ "metadata": { "annotations": { (key): value } } });
    cache.api().patch(&cache.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

#[test]
fn what_has_no_effect_is_said() {
    scenario("no-effect", async |scene| {
        let cache = scene.ready("cache", "{replicas: 2, failover: {preferredMaster: cache-2}}").await?;
        let preferred = "spec.failover.preferredMaster is \"cache-2\" and has no effect";
        says(&cache, Reason::Healthy, &[preferred, "the members are cache-0, cache-1"]).await?;
        cache.event("SettingIgnored", preferred).await?;
        let epoch = cache.status().await?.epoch;

        annotate(&cache, "redis.replication.dev/switchoverTo", Some("cache-1")).await?;
        cache.event("SettingIgnored", "it is written redis.replication.dev/switchover-to").await?;
        says(&cache, Reason::Healthy, &["it is written redis.replication.dev/switchover-to"]).await?;
        annotate(&cache, "redis.replication.dev/switchoverTo", None).await?;
        for kind in [Switchover, Failover] {
            cache.request(kind, "").await?;
            cache
                .answered(kind, "RequestRefused", &format!("the annotation {} has no value", kind.annotation()))
                .await?;
        }
        ensure(cache.status().await?.epoch == epoch, || "the master has changed".into())?;
        cache.patch_spec(json!({"failover": null})).await?;
        eventually("the sentences are gone", SHORT, async || {
            let conditions = cache.status().await?.conditions;
            let ready = conditions.into_iter().find(|c| c.type_ == "Ready").context("no Ready")?;
            ensure(!ready.message.contains("no effect"), || ready.message.clone())
        })
        .await
    });
}

#[test]
fn a_readiness_gate_that_stays_closed_is_named() {
    scenario("gate", async |scene| {
        let spec = "{replicas: 2, podOverrides: {spec: {readinessGates: [{conditionType: example.com/wired}]}}}";
        let cache = scene.replication("cache", spec).await?;
        says(&cache, Reason::PodNotReady, &["example.com/wired, which is a readiness gate of it, is not True"]).await?;
        cache.event("PodNotReady", "example.com/wired").await?;
        cache.patch_spec(json!({"podOverrides": null})).await?;
        cache.reason(ConditionType::Ready, Reason::Healthy, LONG).await?;
        Ok(())
    });
}

#[test]
fn a_reserved_directive_is_refused_by_its_name() {
    scenario("reserved", async |scene| {
        for (config, words) in [
            (
                "{maxmemory: 64mb, requirepass: x}",
                "spec.config may not set requirepass, which the operator sets itself",
            ),
            ("{Port: '1'}", "in capital letters, a directive that the operator sets itself"),
        ] {
            let refused = scene.replication("cache", &format!("{{config: {config}}}")).await.map(|_| ());
            let error = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
            ensure(error.contains(words) && !error.contains("appenddirname"), || format!("{config}: {error:?}"))?;
        }
        Ok(())
    });
}
