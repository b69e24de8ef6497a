//! Wire contracts with the API server, against a mock of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
    client::Body,
};
use redis_replication_operator::{
    api::{RedisReplication, RedisReplicationStatus},
    kubernetes::{
        apply::{self, ensure},
        lease::{self, Elector, Leadership, Outcome},
        ownership::Place,
        stores::Key,
    },
    logging::{Payloads, without_payloads},
    web::{Gate, Refusal, Unanswered},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Duration};
use tracing_subscriber::layer::SubscriberExt;

type Handle = tower_test::mock::Handle<Request<Body>, Response<Body>>;

fn client() -> (Client, Handle) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    (Client::new(service, "shop"), handle)
}

/// Answers one request, after a look at it.
async fn answer(h: &mut Handle, code: StatusCode, look: impl FnOnce(&Method, &str, Option<Value>) -> Value) {
    let (request, send) = h.next_request().await.expect("another request");
    let (method, uri) = (request.method().clone(), request.uri().to_string());
    let bytes = request.into_body().collect_bytes().await.unwrap();
    let body = look(&method, &uri, serde_json::from_slice(&bytes).ok());
    let body = Body::from(serde_json::to_vec(&body).unwrap());
    send.send_response(Response::builder().status(code).body(body).unwrap());
}

/// The mock's side must be done soon: a request that never comes is a failure, not a hang.
async fn done(server: JoinHandle<()>) {
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("all requests came").unwrap();
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason})
}

fn lease(holder: &str, version: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "resourceVersion": version},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 5}})
}

fn elector(client: Client) -> (Elector, Leadership) {
    let leadership = Leadership::default();
    (Elector::new(Api::namespaced(client, "shop"), "l", "me", leadership.clone()), leadership)
}

#[tokio::test]
async fn a_lost_race_for_the_lease_means_following() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        answer(&mut h, StatusCode::OK, |m, _, _| {
            assert_eq!(m, Method::GET);
            lease("", "7")
        })
        .await;
        answer(&mut h, StatusCode::CONFLICT, |m, _, body| {
            assert_eq!(m, Method::PUT);
            assert_eq!(body.unwrap()["metadata"]["resourceVersion"], "7", "the guard");
            failure(409, "Conflict")
        })
        .await;
    });
    let (mut elector, leadership) = elector(client);
    assert_eq!(elector.attempt().await.unwrap(), Outcome::Following);
    assert!(!leadership.holds());
    done(server).await;
}

#[tokio::test(start_paused = true)]
async fn another_holders_lease_is_taken_only_after_it_has_not_changed_for_its_duration() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        for version in ["7", "8", "8"] {
            answer(&mut h, StatusCode::OK, |_, _, _| lease("other", version)).await;
        }
        answer(&mut h, StatusCode::OK, |m, _, body| {
            assert_eq!(m, Method::PUT);
            assert_eq!(body.unwrap()["spec"]["holderIdentity"], "me");
            lease("me", "9")
        })
        .await;
    });
    let (mut elector, leadership) = elector(client);
    assert_eq!(elector.attempt().await.unwrap(), Outcome::Following);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(elector.attempt().await.unwrap(), Outcome::Following, "it was renewed in between");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(elector.attempt().await.unwrap(), Outcome::Leading);
    assert!(leadership.holds());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(!leadership.holds(), "not renewed: the holder stops by its own clock");
    done(server).await;
}

#[tokio::test]
async fn an_error_neither_grants_nor_takes_leadership() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        answer(&mut h, StatusCode::OK, |_, _, _| lease("me", "7")).await;
        answer(&mut h, StatusCode::OK, |_, _, _| lease("me", "8")).await;
        answer(&mut h, StatusCode::INTERNAL_SERVER_ERROR, |_, _, _| failure(500, "InternalError")).await;
    });
    let (mut elector, leadership) = elector(client);
    assert_eq!(elector.attempt().await.unwrap(), Outcome::Leading);
    let refused = elector.attempt().await;
    assert!(
        matches!(&refused, Err(lease::Error::Api(error)) if error.to_string().contains("InternalError")),
        "{refused:?}"
    );
    assert!(leadership.holds(), "until its deadline");
    done(server).await;
}

#[rstest]
#[case::missing(None, true)]
#[case::edited_by_hand(Some("other"), true)]
#[case::as_it_should_be(Some("x"), false)]
#[tokio::test]
async fn objects_are_written_only_where_they_differ(#[case] live: Option<&'static str>, #[case] written: bool) {
    let wanted: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "cache-config"}, "data": {"a": "x"}})).unwrap();
    // what a first apply sends is what the server has afterwards
    let (first, mut h) = client();
    let server = tokio::spawn(async move {
        let mut sent = Value::Null;
        answer(&mut h, StatusCode::CREATED, |m, uri, body| {
            assert_eq!(m, Method::PATCH);
            assert!(!uri.contains("force") && uri.contains("fieldManager=redis-replication-operator"), "{uri}");
            sent = body.unwrap();
            sent.clone()
        })
        .await;
        sent
    });
    assert!(ensure(&first, "shop", &wanted, &Place::Free).await.unwrap());
    let mut object = server.await.unwrap();
    let place = match live {
        Some(live) => {
            object["data"]["a"] = json!(live);
            Place::Ours { uid: "u".into(), live: Some(Arc::new(serde_json::from_value(object).unwrap())) }
        }
        None => Place::Free,
    };

    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        if written {
            answer(&mut h, StatusCode::CREATED, |m, uri, body| {
                let body = body.unwrap();
                assert_eq!(m, Method::PATCH);
                let (forced, guarded) = (uri.contains("force=true"), body["metadata"]["uid"] == "u");
                assert_eq!((forced, guarded), (live.is_some(), live.is_some()), "by force on this very object only");
                body
            })
            .await;
        }
    });
    assert_eq!(ensure(&client, "shop", &wanted, &place).await.unwrap(), written);
    done(server).await;
}

#[tokio::test]
async fn the_status_is_guarded_by_the_resource_version() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        answer(&mut h, StatusCode::CONFLICT, |m, uri, body| {
            let body = body.unwrap();
            assert_eq!(m, Method::PATCH);
            assert!(uri.contains("/redisreplications/cache/status?"), "{uri}");
            assert_eq!(body["metadata"]["resourceVersion"], "41");
            assert!(body.get("spec").is_none(), "the spec belongs to people");
            failure(409, "Conflict")
        })
        .await;
    });
    let resource: RedisReplication = serde_json::from_value(json!({
        "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": {"name": "cache", "namespace": "shop", "resourceVersion": "41"}, "spec": {}
    }))
    .unwrap();
    let error = apply::status(&client, &resource, &RedisReplicationStatus::default()).await.unwrap_err();
    assert!(error.is_conflict());
    done(server).await;
}

/// An older `CustomResourceDefinition` drops what it does not know. Nothing may rest on a record that is not kept.
#[tokio::test]
async fn a_status_that_is_not_kept_is_an_error() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        answer(&mut h, StatusCode::OK, |_, _, body| {
            let mut stored = body.unwrap();
            stored["spec"] = json!({});
            stored["status"]["members"][0].as_object_mut().unwrap().remove("quorumMember");
            stored
        })
        .await;
    });
    let resource: RedisReplication = serde_json::from_value(json!({
        "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": {"name": "cache", "namespace": "shop", "resourceVersion": "41"}, "spec": {}
    }))
    .unwrap();
    let status: RedisReplicationStatus =
        serde_json::from_value(json!({"members": [{"name": "cache-0", "role": "Master", "quorumMember": true}]}))
            .unwrap();
    let error = apply::status(&client, &resource, &status).await.unwrap_err().to_string();
    assert!(
        error.contains("status.members[0].quorumMember was not kept") && error.contains("apply the one"),
        "{error}"
    );
    done(server).await;
}

/// A write that the server took counts, also where it answers with a spec that cannot be decoded at the moment; and the spec is
/// the last one that could be.
#[tokio::test]
async fn the_record_is_written_although_the_spec_cannot_be_decoded() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        answer(&mut h, StatusCode::OK, |_, _, body| {
            let mut stored = body.unwrap();
            stored["metadata"]["resourceVersion"] = json!("42");
            stored["metadata"]["uid"] = json!("u");
            stored["spec"] = json!({"replicas": "SECRET"});
            stored
        })
        .await;
    });
    let resource: RedisReplication = serde_json::from_value(json!({
        "metadata": {"name": "cache", "namespace": "shop", "resourceVersion": "41", "uid": "u"}, "spec": {"replicas": 5}
    }))
    .unwrap();
    let status = RedisReplicationStatus { epoch: 3, ..RedisReplicationStatus::default() };
    let written = apply::status(&client, &resource, &status).await.unwrap();
    let version = written.metadata.resource_version.as_deref();
    assert_eq!((written.spec.replicas, written.status.unwrap().epoch, version), (5, 3, Some("42")));
    done(server).await;
}

/// The condition of a resource without a supervisor names nothing of the record, so it changes nothing of it.
#[tokio::test]
async fn a_condition_is_written_beside_the_record() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        answer(&mut h, StatusCode::OK, |m, uri, body| {
            assert_eq!(m, Method::PATCH);
            assert!(
                uri.contains("/cache/status?") && uri.contains("fieldManager=redis-replication-operator-isolation"),
                "{uri}"
            );
            let mut body = body.unwrap();
            assert_eq!(body["status"], json!({"conditions": [{"type": "Ready"}]}));
            assert_eq!(body["metadata"], json!({"name": "cache"}));
            body["spec"] = json!({"replicas": "SECRET"});
            body
        })
        .await;
    });
    let key = Key { namespace: "shop".into(), name: "cache".into() };
    apply::condition(&client, &key, &json!({"type": "Ready"})).await.unwrap();
    done(server).await;
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All that is logged, at the most talkative level, while answers arrive that cannot be decoded: a list, an object, a `Status`
/// with a body that is none.
async fn logged(filter: Option<Payloads>) -> String {
    let written = Written::default();
    let writer = written.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(filter).with(lines));
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        let item = json!({"metadata": {"name": "cache"}, "spec": {"replicas": "SECRET"}});
        answer(&mut h, StatusCode::OK, |_, _, _| json!({"metadata": {}, "items": [item]})).await;
        answer(
            &mut h,
            StatusCode::OK,
            |_, _, _| json!({"metadata": {}, "spec": {"image": "SECRET", "replicas": true}}),
        )
        .await;
        answer(&mut h, StatusCode::OK, |_, _, _| json!({"kind": "Status", "code": "SECRET"})).await;
        answer(&mut h, StatusCode::BAD_REQUEST, |_, _, _| json!({"neither": "SECRET"})).await;
    });
    let api: Api<RedisReplication> = Api::namespaced(client, "shop");
    assert!(api.list(&ListParams::default()).await.is_err());
    assert!(api.get("cache").await.is_err());
    assert!(api.delete("cache", &DeleteParams::default()).await.is_err());
    assert!(api.get("cache").await.is_err());
    done(server).await;
    tracing::info!("the end");
    String::from_utf8(std::mem::take(&mut *written.0.lock().unwrap())).unwrap()
}

#[tokio::test]
async fn the_log_has_no_answers_of_the_api_server() {
    let all = logged(None).await;
    assert!(all.matches("SECRET").count() >= 3, "what is being guarded against: {all}");
    let kept = logged(Some(without_payloads())).await;
    assert!(!kept.contains("SECRET") && kept.contains("the end"), "{kept}");
}

fn with_token(token: &str) -> HeaderMap {
    [(http::header::AUTHORIZATION, token.parse().unwrap())].into_iter().collect()
}

/// Answers the two reviews of a token: whose it is, and whether they may read the metrics.
async fn review(h: &mut Handle, token: &'static str, user: Option<&'static str>, allowed: bool) {
    answer(h, StatusCode::CREATED, |m, uri, body| {
        let body = body.unwrap();
        assert_eq!((m, uri), (&Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews?"));
        assert_eq!(body["spec"], json!({"token": token}));
        let user =
            user.map(|name| json!({"username": name, "groups": ["system:serviceaccounts"], "extra": {"x": ["y"]}}));
        json!({"spec": {}, "status": {"authenticated": user.is_some(), "user": user, "error": "expired"}})
    })
    .await;
    let Some(user) = user else { return };
    answer(h, StatusCode::CREATED, |m, uri, body| {
        assert_eq!((m, uri), (&Method::POST, "/apis/authorization.k8s.io/v1/subjectaccessreviews?"));
        let spec = json!({"user": user, "groups": ["system:serviceaccounts"], "extra": {"x": ["y"]},
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"}});
        assert_eq!(body.unwrap()["spec"], spec);
        json!({"spec": {}, "status": {"allowed": allowed}})
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_the_metrics_is_reviewed_once_a_minute() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        review(&mut h, "abc", Some("system:serviceaccount:monitoring:prometheus"), true).await;
        review(&mut h, "abc", Some("system:serviceaccount:monitoring:prometheus"), false).await;
    });
    let gate = Gate::new(client);
    let headers = with_token("bearer abc");
    for _ in 0..2 {
        gate.admits(&headers).await.unwrap();
        tokio::time::advance(Duration::from_secs(29)).await;
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    let refused = gate.admits(&headers).await;
    assert!(
        matches!(&refused, Err(Refusal::NotAllowed(name)) if name == "system:serviceaccount:monitoring:prometheus"),
        "the right was taken away: {refused:?}"
    );
    done(server).await;
}

#[rstest]
#[case(HeaderMap::new())]
#[case(with_token("abc"))]
#[case(with_token("Bearer "))]
#[case(with_token("Basic YWJj"))]
#[tokio::test]
async fn without_a_token_nobody_is_asked(#[case] headers: HeaderMap) {
    let (client, _) = client();
    let refused = Gate::new(client).admits(&headers).await;
    assert!(matches!(refused, Err(Refusal::NoToken)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_not_tried_faster_than_ten_a_second() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        for _ in 0..5 {
            review(&mut h, "guess", None, false).await;
        }
    });
    let gate = Gate::new(client);
    let before = tokio::time::Instant::now();
    for _ in 0..5 {
        let refused = gate.admits(&with_token("Bearer guess")).await;
        assert!(matches!(&refused, Err(Refusal::BadToken(why)) if why == ": expired"), "{refused:?}");
    }
    assert!(before.elapsed() >= Duration::from_millis(400), "{:?}", before.elapsed());
    done(server).await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_tell_admits_nobody() {
    let (client, mut h) = client();
    let server = tokio::spawn(async move {
        answer(&mut h, StatusCode::FORBIDDEN, |_, _, _| failure(403, "tokenreviews is forbidden")).await;
        let (_, kept) = h.next_request().await.expect("another request"); // and never answers it
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(kept);
    });
    let gate = Gate::new(client);
    let forbidden = gate.admits(&with_token("Bearer abc")).await;
    assert!(
        matches!(&forbidden, Err(Refusal::Unknown(Unanswered::Api(why))) if why.to_string().contains("tokenreviews is forbidden")),
        "{forbidden:?}"
    );
    let slow = gate.admits(&with_token("Bearer abc")).await;
    assert!(matches!(slow, Err(Refusal::Unknown(Unanswered::Slow))), "{slow:?}");
    server.abort();
}
