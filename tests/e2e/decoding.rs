//! Resources that the operator cannot decode: each is alone in its misery, and nobody else notices.

use anyhow::{Context, Result, bail};
use http::Request;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use redis_replication_operator::{
    api::{ConditionType, Reason, RedisReplication},
    kubernetes::isolation::Isolated,
};
use serde_json::{Value, json};

use crate::harness::{LONG, Replication, SHORT, Scene, ensure, poll::eventually, scenario_alone};

/// In the specs that cannot be decoded, and so never in the log.
const MARKER: &str = "not-for-the-log";

/// An object so deep that no parser of a whole list gets through it.
fn deep(levels: usize) -> String {
    format!("{}\"{MARKER}\"{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

async fn send(scene: &Scene, method: &str, path: &str, kind: &str, body: String) -> Result<()> {
    let namespace = scene.namespace.name();
    let uri = format!("/apis/redis.replication.dev/v1alpha1/namespaces/{namespace}/redisreplications{path}");
    let request = Request::builder().method(method).uri(uri).header("content-type", kind).body(body.into_bytes())?;
    scene.client.request_text(request).await?;
    Ok(())
}

async fn patch(scene: &Scene, name: &str, spec: &str) -> Result<()> {
    send(scene, "PATCH", &format!("/{name}"), "application/merge-patch+json", format!(r#"{{"spec":{spec}}}"#)).await
}

/// Its status, although the whole cannot be decoded.
async fn status(of: &Replication) -> Result<Value> {
    let path =
        format!("/apis/redis.replication.dev/v1alpha1/namespaces/{}/redisreplications/{}", of.namespace, of.name);
    let text = of.client.request_text(Request::get(path).body(Vec::new())?).await?;
    match serde_json::from_str::<Isolated<RedisReplication>>(&text)?.0 {
        Ok(_) => bail!("it can be decoded"),
        Err(broken) => broken.part::<Option<Value>>("status").flatten().context("no status"),
    }
}

/// The condition and the event say what is at fault.
async fn told(of: &Replication, words: &[&str]) -> Result<()> {
    eventually(&format!("{}: the status says what is at fault", of.name), SHORT, async || {
        let status = status(of).await?;
        let conditions = status["conditions"].as_array().context("no conditions")?;
        let ready = conditions.iter().find(|c| c["type"] == ConditionType::Ready.to_string()).context("no Ready")?;
        let message = ready["message"].as_str().unwrap_or_default();
        let is = ready["reason"] == Reason::InvalidSpec.to_string() && words.iter().all(|w| message.contains(w));
        ensure(is && ready["status"] == "False", || format!("{ready}"))
    })
    .await?;
    eventually(&format!("{}: a warning", of.name), SHORT, async || {
        let events = of.all::<Event>().list(&ListParams::default()).await?;
        let of_it = events.iter().filter(|e| e.involved_object.name.as_deref() == Some(of.name.as_str()));
        let warnings = of_it.filter(|e| e.reason.as_deref() == Some("InvalidSpec"));
        let notes: Vec<_> = warnings.filter_map(|e| e.message.clone()).collect();
        ensure(notes.iter().any(|note| words.iter().all(|w| note.contains(w))), || {
            format!("the warnings are {notes:?}")
        })
    })
    .await
}

/// The recorded status as it is, without what is told.
async fn record(of: &Replication) -> Result<Value> {
    let mut status = status(of).await?;
    status
        .as_object_mut()
        .context("no object")?
        .retain(|field, _| field != "conditions" && field != "observedGeneration");
    Ok(status)
}

/// Numbers beyond 32 bits are nothing special. One that cannot be decoded from the beginning, and one that becomes so, beside a
/// healthy one; the operator starts again; the healthy one fails over, what was recorded of the others stays, and they heal.
#[test]
fn a_resource_that_cannot_be_decoded_is_alone() {
    scenario_alone("undecodable", async |scene| {
        let well = scene.replication("well", "{replicas: 2, config: {maxmemory: 4294967296}}").await?;
        let once = scene.replication("once", "{replicas: 2}").await?;
        well.agrees().await?;
        once.agrees().await?;
        well.populate(100).await?;
        once.populate(100).await?;
        let limit = well.cli(&well.master().await?, &["CONFIG", "GET", "maxmemory"]).await?;
        ensure(limit.contains("4294967296"), || limit.clone())?;

        let bad = Replication::existing(&scene.client, scene.namespace.name(), "bad");
        let spec = format!(r#"{{"podAnnotations":{{"note":"{MARKER}"}},"podOverrides":{}}}"#, deep(2000));
        let head =
            r#""apiVersion":"redis.replication.dev/v1alpha1","kind":"RedisReplication","metadata":{"name":"bad"}"#;
        send(scene, "POST", "", "application/json", format!(r#"{{{head},"spec":{spec}}}"#)).await?;
        told(&bad, &["spec.podOverrides is nested more than 64 levels deep", "nothing is done for this resource"])
            .await?;

        // while it runs, it goes on by the last spec
        let (former, epoch) = (once.master().await?, once.status().await?.epoch);
        patch(scene, "once", &format!(r#"{{"podOverrides":{}}}"#, deep(70))).await?;
        told(&once, &["spec.podOverrides is nested more than 64 levels deep", "keeps to the last spec"]).await?;
        once.kill(&former).await?;
        let now = eventually("a failover of the one without a spec", LONG, async || {
            let record = record(&once).await?;
            ensure(record["epoch"].as_i64() > Some(epoch) && record["transition"].is_null(), || record.to_string())?;
            Ok(record)
        })
        .await?;
        ensure(now["master"] != former.as_str(), || now.to_string())?;

        scene.restart_operator().await?;
        let master = well.master().await?;
        well.kill(&master).await?;
        well.another_master(&master, LONG).await?;
        well.agrees().await?;
        well.holds(100).await?;
        told(&bad, &["spec.podOverrides"]).await?;
        told(&once, &["spec.podOverrides", "nothing is done for this resource"]).await?;
        let after = record(&once).await?;
        ensure(after["epoch"] == now["epoch"] && after["master"] == now["master"], || format!("{now}\n{after}"))?;
        ensure(after["replicationId"] == now["replicationId"] && after["members"].is_array(), || {
            format!("{now}\n{after}")
        })?;
        ensure(once.pods().await?.len() == 2, || "its pods should be left alone".into())?;

        for one in [&bad, &once] {
            patch(scene, &one.name, r#"{"podOverrides":null,"replicas":2}"#).await?;
            one.agrees().await.with_context(|| format!("{} is corrected", one.name))?;
        }
        once.holds(100).await?;
        if let Some(log) = scene.operator_log() {
            ensure(!log.contains(MARKER), || "the log has what is in a spec".into())?;
            let lines =
                log.lines().filter(|l| l.contains("cannot be decoded") && l.contains("spec.podOverrides")).count();
            ensure((2..=6).contains(&lines), || format!("{lines} lines tell of it"))?;
        }
        Ok(())
    });
}

/// A time that the API server takes and the operator cannot, in the record: it goes on from what it knows and writes that again.
/// After a restart it does not guess; corrected by hand, it is looked after again.
#[test]
fn a_damaged_status_is_written_again_or_left_alone() {
    scenario_alone("damaged-status", async |scene| {
        let cache = scene.ready("cache", "{replicas: 2}").await?;
        cache.populate(10).await?;
        let (before, last) = (cache.status().await?, "/status/lastTransition/startedAt");
        ensure(before.last_transition.is_some(), || "there is no last transition".into())?;
        let damage = |path: &str, value: &str| format!(r#"[{{"op":"add","path":"{path}","value":"{value}"}}]"#);
        let patch =
            async |body: String| send(scene, "PATCH", "/cache/status", "application/json-patch+json", body).await;

        patch(damage(last, "9999-12-31T23:59:59.999999999Z")).await?;
        cache.reason(ConditionType::Ready, Reason::Healthy, SHORT).await.context("the status is written again")?;
        let now = cache.status().await?;
        ensure(now.last_transition == before.last_transition && now.epoch == before.epoch, || format!("{now:?}"))?;

        if !scene.stop_operator()? {
            return Ok(()); // it is not the scenario's own
        }
        // nobody is there who knows it
        patch(damage(last, "2026-11-27T10:00:00.1234567891234Z")).await?;
        scene.restart_operator().await?;
        told(&cache, &["status.lastTransition.startedAt", "does not guess it"]).await?;
        let record = record(&cache).await?;
        ensure(record["epoch"] == before.epoch && record["master"] == json!(before.master), || record.to_string())?;
        patch(damage(last, "2026-11-27T10:00:00.000000Z")).await?;
        cache.agrees().await?;
        cache.holds(10).await
    });
}
