#![allow(clippy::unwrap_used)]

use drill::{Gap, Verdict};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::cluster::tests::answering_queries;

fn resource(replicas: i32, paused: bool, ready: &str) -> RedisReplication {
    serde_json::from_value(json!({
        "metadata": { "name": "cache", "namespace": "shop" },
        "spec": { "replicas": replicas, "paused": paused },
        "status": {
            "master": "cache-0",
            "lastTransition": { "epoch": 2, "kind": "Failover", "from": "cache-0", "to": "cache-1", "reason": "refused",
                "startedAt": "2026-01-01T00:00:00.000000Z", "durationMs": 32, "outcome": "Completed" },
            "conditions": [{ "type": "Ready", "status": ready, "reason": "Syncing", "message": "cache-1 loads",
                "lastTransitionTime": "2026-01-01T00:00:00Z" }],
        },
    }))
    .unwrap()
}

#[rstest]
#[case(resource(3, false, "True"), Ok("cache-0"))]
#[case(resource(3, true, "True"), Err("cache is paused: first `kubectl rr resume cache`"))]
#[case(resource(3, false, "False"), Err("cache is not healthy (Syncing: cache-1 loads); rehearse when it is healthy"))]
#[case(resource(1, false, "True"), Err("cache has one member: there is no replica to take over"))]
fn only_a_healthy_replication_is_put_to_the_test(
    #[case] resource: RedisReplication,
    #[case] expected: Result<&str, &str>,
) {
    let found = is_fit(&resource).map_err(|error| error.to_string());
    assert_eq!(found.as_deref().map_err(String::as_str), expected);
}

#[test]
fn the_account_is_told_in_words() {
    let last = resource(3, false, "True").status.unwrap().last_transition.unwrap();
    let gap = |ms, errors: &[(&str, u32)]| Gap {
        from: jiff::Timestamp::UNIX_EPOCH,
        ms,
        errors: errors.iter().map(|(what, times)| ((*what).to_owned(), *times)).collect(),
        open: false,
    };
    let verdict = Verdict {
        acknowledged: 1234,
        lost: 0,
        confirmed: 0,
        confirmed_lost: 0,
        first_lost: Vec::new(),
        gaps: 2,
        max_gap_ms: 93.0,
    };
    let account = Account {
        gaps: vec![gap(93.2, &[("refused", 8), ("reset", 1)]), gap(21.0, &[])],
        verdict: Some(verdict),
        ..Account::default()
    };
    assert_eq!(
        told(&last, &account),
        "Failover from cache-0 to cache-1, completed in 32 ms (refused)\n\
         writes were held up for 93 ms (8 × refused, 1 × reset)\n\
         1 more answer(s) were slow, the slowest took 21 ms\n\
         1234 writes were acknowledged, 0 of them are lost\n"
    );
}

#[tokio::test]
async fn a_writer_whose_image_cannot_be_pulled_ends_the_rehearsal_and_is_removed() {
    let (tell, heard) = std::sync::mpsc::channel();
    let cluster = answering_queries(move |method, path, _| {
        let pod = json!({
            "metadata": { "name": "cache-rehearsal-x" },
            "status": { "phase": "Pending", "containerStatuses": [{
                "name": "writer", "image": "nope:1", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": "ErrImagePull", "message": "nope:1: not found" } },
            }] },
        });
        let _ = tell.send(format!("{method} {path}"));
        match path {
            path if path.ends_with("/redisreplications/cache") => (200, json!(resource(3, false, "True"))),
            path if path.ends_with("/exec") => (404, json!({ "kind": "Status", "code": 404, "message": "gone" })),
            _ => (200, pod),
        }
    });
    let args = Rehearse { name: "cache".into(), crash: false, rate: 200, image: Some("nope:1".into()), yes: true };
    let ended = tokio::time::timeout(Duration::from_secs(30), run(&cluster, &args)).await.unwrap();
    assert_eq!(
        ended.unwrap_err().to_string(),
        "the writer pod cache-rehearsal-x does not come to write: ErrImagePull: nope:1: not found"
    );
    let deleted: Vec<_> = heard.try_iter().filter(|request| request.starts_with("DELETE")).collect();
    assert_eq!(deleted, ["DELETE /api/v1/namespaces/shop/pods/cache-rehearsal-x"]);
}
