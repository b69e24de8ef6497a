//! Specs that can't work: refused, or explained in the status; and mended, they work.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use redis_replication_operator::api::{ConditionType, Reason, RedisReplication};
use serde_json::{Value, json};

use crate::harness::{
    LONG, Replication, SHORT, Scene, ensure,
    poll::{always, eventually},
    replication::manifest,
    scenario,
};

/// What is refused at creation: name, spec, and what the message must say.
const REFUSED: &[(&str, &str, &str)] = &[
    ("a-name-that-is-much-too-long-for-the-names-of-pods", "replicas: 1", "choose a shorter one"),
    ("7up", "replicas: 1", "start with a letter"),
    ("a.b", "replicas: 1", "lower-case letters, digits and '-'"),
    ("cache", "replicas: 0", "greater than or equal to 1"),
    ("cache", "replicas: 10", "less than or equal to 9"),
    ("cache", "image: ''", "at least 1 chars"),
    ("cache", "imagePullPolicy: Sometimes", "supported values"),
    ("cache", "config: {requirepass: x}", "for the password use spec.auth"),
    ("cache", "config: {ReplicaOf: 'a 1'}", "in capital letters"),
    (
        "cache",
        "config: {appendonly: 'yes'}",
        "may not set appendonly, which the operator sets itself: remove it; use spec.persistence.mode",
    ),
    ("cache", "config: {dbfilename: x.rdb}", "may not set dbfilename"),
    ("cache", "config: {save: '900 1'}", "change the mode, or remove save"),
    ("cache", "{persistence: {size: 1Gi}, config: {Save: '900 1'}}", "change the mode, or remove save"),
    ("cache", "config: {port: 6380}", "for the port of clients use spec.services"),
    ("cache", "config: {'maxmemory 1gb': ''}", "names of redis.conf directives"),
    (
        "cache",
        "config: {aof-use-rdb-preamble: true}",
        "config.aof-use-rdb-preamble in body must be of type integer,string",
    ),
    ("cache", "config: {maxmemory: 0.5}", "config.maxmemory in body must be of type integer,string"),
    ("cache", "image: 'redis: 8'", "spec.image in body should match"),
    ("cache", "auth: {secretName: My_Secret}", "spec.auth.secretName in body should match"),
    ("cache", "auth: {secretKey: a/b}", "spec.auth.secretKey in body should match"),
    ("cache", "priorityClassName: High", "spec.priorityClassName in body should match"),
    ("cache", "serviceAccountName: a_b", "spec.serviceAccountName in body should match"),
    ("cache", "persistence: {size: lots}", "spec.persistence.size in body should match"),
    ("cache", "persistence: {size: 0Gi}", "spec.persistence.size in body should match"),
    ("cache", "persistence: {size: 0}", "spec.persistence.size in body should be greater than or equal to 1"),
    (
        "cache",
        "persistence: {size: 1Gi, storageClassName: A}",
        "spec.persistence.storageClassName in body should match",
    ),
    ("cache", "persistence: {mode: AOF}", "spec.persistence.size"),
    ("cache", "persistence: {size: 1Gi, mode: Tape}", "supported values"),
    ("cache", "services: {master: {nodePort: 30001}}", "nodePort needs type"),
    ("cache", "services: {master: {type: ExternalName}}", "supported values"),
    ("cache", "services: {replicas: {port: 70000}}", "less than or equal to 65535"),
    ("cache", "{replicas: 3, durability: {waitReplicas: 3}}", "waitReplicas must be less than spec.replicas"),
    ("cache", "{replicas: 1, failover: {policy: Consistency}}", "Consistency needs spec.replicas of 2 or more"),
    ("cache", "failover: {policy: Luck}", "supported values"),
    ("cache", "failover: {unreachableAfter: 100ms}", "unreachableAfter must be from 500ms to 60s"),
    ("cache", "failover: {unreachableAfter: 61s}", "unreachableAfter must be from 500ms to 60s"),
    ("cache", "failover: {unreachableAfter: 1h}", "should match"),
    ("cache", "failover: {unresponsiveAfter: 2s}", "unresponsiveAfter must be from 3s to 600s"),
    ("cache", "failover: {preferredMaster: other-0}", "preferredMaster must be the name of one of the pods"),
    ("cache", "failover: {preferredMaster: cache-x}", "preferredMaster must be the name of one of the pods"),
];

/// What is refused as a change: the spec before, the patch, and what the message must say.
const UNCHANGEABLE: &[(&str, &str, &str)] = &[
    ("replicas: 1", "persistence: {size: 1Gi}", "can't be added or removed later"),
    ("persistence: {size: 1Gi}", "persistence: null", "can't be added or removed later"),
    ("persistence: {size: 1Gi}", "persistence: {size: 2Gi}", "spec.persistence.size can't be changed"),
    ("persistence: {size: 1Gi}", "persistence: {storageClassName: fast}", "storageClassName can't be changed"),
    ("{replicas: 3, durability: {waitReplicas: 2}}", "replicas: 2", "waitReplicas must be less than spec.replicas"),
];

fn untyped(scene: &Scene) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<RedisReplication>(&());
    Api::namespaced_with(scene.client.clone(), scene.namespace.name(), &resource)
}

fn is_refused<T>(what: &str, result: Result<T, kube::Error>, words: &str) -> Result<()> {
    match result {
        Ok(_) => bail!("{what}: was accepted; expected {words:?}"),
        Err(kube::Error::Api(status)) if status.code == 422 => {
            ensure(status.message.contains(words), || format!("{what}: {words:?} isn't in {}", status.message))
        }
        Err(error) => bail!("{what}: {error}"),
    }
}

#[test]
fn the_api_server_refuses_what_cannot_work() {
    scenario("refused", async |scene| {
        let api = untyped(scene);
        let trial = PostParams { dry_run: true, ..PostParams::default() };
        for (name, spec, words) in REFUSED {
            let object: DynamicObject = serde_json::from_value(manifest(name, spec)?)?;
            is_refused(&format!("{name}, {spec}"), api.create(&trial, &object).await, words)?;
        }
        for (number, (spec, patch, words)) in UNCHANGEABLE.iter().enumerate() {
            let name = format!("cache-{number}");
            // Paused, so that nothing is made of it.
            let mut object = manifest(&name, spec)?;
            object["spec"]["paused"] = json!(true);
            api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
            let patch = json!({ "spec": serde_saphyr::from_str::<Value>(patch)? });
            let result = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch.clone())).await;
            is_refused(&format!("{spec}, then {patch}"), result, words)?;
        }
        Ok(())
    });
}

#[test]
fn a_missing_secret_is_waited_for() {
    scenario("secret-missing", async |scene| {
        let cache = scene.replication("cache", "{replicas: 2, auth: {secretName: later}}").await?;
        let condition = cache.reason(ConditionType::Ready, Reason::SecretMissing, SHORT).await?;
        ensure(condition.status == "False" && condition.message.contains("later"), || format!("{condition:?}"))?;
        warning(&cache, "SecretMissing").await?;

        let secrets: Api<Secret> = cache.all();
        let secret = |key: &str| {
            serde_json::from_value(json!({ "metadata": { "name": "later" }, "stringData": { key: "pa55word" } }))
        };
        secrets.create(&PostParams::default(), &secret("wrong-key")?).await?;
        let condition = eventually("the message names the missing key", SHORT, async || {
            let condition = cache.reason(ConditionType::Ready, Reason::SecretMissing, SHORT).await?;
            ensure(condition.message.contains("password"), || condition.message.clone())?;
            Ok(condition)
        })
        .await?;
        println!("{}: {}", cache.namespace, condition.message);
        secrets.patch("later", &PatchParams::default(), &Patch::Merge(secret("password")?)).await?;
        cache.agrees().await?;
        cache.populate(10).await
    });
}

/// Waits for a warning about the replication.
async fn warning(cache: &Replication, reason: &str) -> Result<()> {
    eventually(&format!("a warning {reason}"), SHORT, async || {
        let events = cache.all::<Event>().list(&ListParams::default()).await?;
        let of_it = events.iter().filter(|event| event.involved_object.name.as_deref() == Some(cache.name.as_str()));
        let seen: Vec<_> = of_it.map(|event| (event.type_.as_deref(), event.reason.as_deref())).collect();
        ensure(seen.contains(&(Some("Warning"), Some(reason))), || format!("the events are {seen:?}"))
    })
    .await
}

#[test]
fn a_broken_image_can_be_mended() {
    scenario("image-broken", async |scene| {
        let cache = scene.replication("cache", "{replicas: 3, image: 'docker.io/library/redis:no-such-tag'}").await?;
        let condition = cache.reason(ConditionType::Ready, Reason::ImageUnavailable, LONG).await?;
        ensure(condition.message.contains("no-such-tag"), || format!("which image? {}", condition.message))?;
        warning(&cache, "ImageUnavailable").await?;
        cache.patch_spec(json!({ "image": "docker.io/library/redis:8.0" })).await?;
        cache.agrees().await?;
        cache.populate(10).await
    });
}

/// A script that Redis would say nothing about before it counts as hung: the spec is refused, and what was there before goes on.
#[test]
fn a_busy_threshold_above_the_limit_for_silence_is_refused() {
    scenario("busy-threshold", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(100).await?;
        let before = cache.fingerprint().await?;
        for (config, failover) in [
            (json!({ "busy-reply-threshold": 10000 }), Value::Null),
            (json!({ "lua-time-limit": "0", "busy-reply-threshold": null }), Value::Null),
            (json!({ "lua-time-limit": 9000 }), json!({ "unresponsiveAfter": "9s" })),
        ] {
            cache.patch_spec(json!({ "config": config, "failover": failover })).await?;
            let condition = cache.reason(ConditionType::Ready, Reason::InvalidSpec, SHORT).await?;
            ensure(condition.message.contains("failover.unresponsiveAfter is"), || condition.message.clone())?;
            cache.reason(ConditionType::MasterAvailable, Reason::MasterServes, SHORT).await?;
        }
        let script = "local from = redis.call('TIME')[1]; while redis.call('TIME')[1] - from < 7 do end";
        let _ = cache.try_cli(&cache.master().await?, &["EVAL", script, "0"]).await;
        cache.patch_spec(json!({ "config": null, "failover": null })).await?;
        cache.agrees().await?;
        let after = cache.fingerprint().await?;
        ensure(after == before, || format!("before {before:?}, after {after:?}"))
    });
}

/// The first pod shows that the new image doesn't work; the others go on as they are.
#[test]
fn a_broken_image_stops_a_rollout() {
    scenario("image-rollout", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        change_to_broken(
            &cache,
            &json!({ "image": "docker.io/library/redis:no-such-tag" }),
            Reason::ImageUnavailable,
            "no-such-tag",
            &json!({ "image": "docker.io/library/redis:8.0" }),
        )
        .await
    });
}

#[test]
fn an_illegal_directive_can_be_mended() {
    scenario("directive-broken", async |scene| {
        let cache = scene.replication("cache", "{replicas: 3, config: {maxmemory-policy: keep-the-best}}").await?;
        let condition = cache.reason(ConditionType::Ready, Reason::RedisFailsToStart, LONG).await?;
        ensure(condition.message.contains("maxmemory-policy"), || {
            format!("the message should have Redis' own words: {}", condition.message)
        })?;
        cache.patch_spec(json!({ "config": { "maxmemory-policy": "allkeys-lru" } })).await?;
        cache.agrees().await?;
        cache.populate(10).await
    });
}

#[test]
fn an_illegal_directive_stops_a_rollout() {
    scenario("directive-rollout", async |scene| {
        let cache = scene.ready("cache", "{replicas: 3, config: {maxmemory: 50mb}}").await?;
        cache.populate(1000).await?;
        change_to_broken(
            &cache,
            &json!({ "config": { "no-such-directive": "1" } }),
            Reason::RedisFailsToStart,
            "no-such-directive",
            &json!({ "config": { "no-such-directive": null } }),
        )
        .await
    });
}

/// A healthy replication gets a spec that can't work, stays available, and is mended.
async fn change_to_broken(
    cache: &Replication,
    broken: &Value,
    reason: Reason,
    words: &str,
    mended: &Value,
) -> Result<()> {
    let master = cache.master().await?;
    let writer = cache.writer(&[]).await?;
    cache.patch_spec(broken.clone()).await?;
    let condition = cache.reason(ConditionType::Ready, reason, LONG).await?;
    ensure(condition.message.contains(words), || format!("{words:?} isn't in {}", condition.message))?;
    cache.reason(ConditionType::MasterAvailable, Reason::MasterServes, SHORT).await?;
    always("only one pod is sacrificed", Duration::from_secs(15), async || {
        let status = cache.status().await?;
        ensure(status.master.as_deref() == Some(&master), || format!("the master is {:?}", status.master))?;
        ensure(status.ready_replicas >= 2, || format!("{} members serve", status.ready_replicas))
    })
    .await?;
    writer.writes_on().await.context("while the new spec is broken")?;
    cache.patch_spec(mended.clone()).await?;
    cache.agrees().await?;
    writer.stop().await?.nothing_lost()
}

#[test]
fn a_paused_replication_is_left_alone() {
    scenario("paused", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let (former, epoch) = (cache.master().await?, cache.status().await?.epoch);
        cache.patch_spec(json!({ "paused": true })).await?;
        eventually("some condition says that it is paused", SHORT, async || {
            let status = cache.status().await?;
            let reasons: Vec<_> = status.conditions.iter().map(|c| (c.type_.as_str(), c.reason.as_str())).collect();
            ensure(reasons.iter().any(|(_, reason)| *reason == "Paused"), || format!("{reasons:?}"))
        })
        .await?;
        let replica = cache.replicas().await?.remove(0);
        cache.cli(&replica, &["REPLICAOF", "192.0.2.1", "6379"]).await?;
        cache.kill(&former).await?;
        always("nobody is promoted", Duration::from_secs(10), async || {
            let status = cache.status().await?;
            ensure(status.epoch == epoch, || format!("the epoch is {}", status.epoch))?;
            let info = cache.info(&replica, "replication").await?;
            let host = info.get("master_host");
            ensure(host == "192.0.2.1", || format!("the replica was pointed at {host}"))
        })
        .await?;
        cache.patch_spec(json!({ "paused": false })).await?;
        cache.another_master(&former, LONG).await?;
        cache.agrees().await?;
        cache.holds(1000).await
    });
}
