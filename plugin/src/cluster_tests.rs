//! What a user reads when something is wrong, against a mock of the API server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use http::{Request, Response};
use kube::client::Body;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::error::exit;

/// A cluster that answers each request by its method and path.
fn answering(answer: impl Fn(&str, &str) -> (u16, Value) + Send + 'static) -> Cluster {
    answering_queries(move |method, path, _| answer(method, path))
}

/// A cluster that answers each request by its method, path and query.
pub(crate) fn answering_queries(answer: impl Fn(&str, &str, &str) -> (u16, Value) + Send + 'static) -> Cluster {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        while let Some((request, send)) = handle.next_request().await {
            let (code, body) = {
                let uri = request.uri();
                answer(request.method().as_str(), uri.path(), uri.query().unwrap_or_default())
            };
            let body = Body::from(serde_json::to_vec(&body).unwrap());
            send.send_response(Response::builder().status(code).body(body).unwrap());
        }
    });
    Cluster::new(Client::new(service, "shop"), "shop")
}

/// Those of the objects that the label selector of a query selects.
pub(crate) fn selected(objects: &[Value], query: &str) -> Vec<Value> {
    let selector = query.split('&').find_map(|parameter| parameter.strip_prefix("labelSelector=")).unwrap_or_default();
    let selector = selector.replace("%2F", "/").replace("%3D", "=").replace("%2C", ",");
    let carries = |object: &Value| {
        let wanted = selector.split(',').filter_map(|pair| pair.split_once('='));
        wanted.into_iter().all(|(key, value)| object["metadata"]["labels"][key] == value)
    };
    objects.iter().filter(|object| carries(object)).cloned().collect()
}

fn failure(code: u16, message: &str) -> (u16, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message });
    (code, status)
}

fn one(name: &str, namespace: &str) -> Value {
    json!({ "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": { "name": name, "namespace": namespace }, "spec": { "replicas": 2 } })
}

fn list(items: &[Value]) -> (u16, Value) {
    let kind = json!({ "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplicationList",
        "metadata": {}, "items": items });
    (200, kind)
}

const IN_SHOP: &str = "/apis/redis.replication.dev/v1alpha1/namespaces/shop/redisreplications";
const EVERYWHERE: &str = "/apis/redis.replication.dev/v1alpha1/redisreplications";

#[tokio::test]
async fn a_name_that_does_not_exist_gets_a_suggestion() {
    let cluster = answering(|_, path| match path {
        IN_SHOP => list(&[one("cache", "shop"), one("sessions", "shop")]),
        EVERYWHERE => failure(403, "no"),
        _ => failure(404, "redisreplications.redis.replication.dev \"cahce\" not found"),
    });
    let error = cluster.get("cahce").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no RedisReplication cahce in namespace shop; did you mean cache?");
    assert_eq!(error.exit_code(), exit::FAILED);
}

#[tokio::test]
async fn one_that_cannot_be_decoded_hides_no_other() {
    let bad = json!({ "metadata": { "name": "bad", "namespace": "shop" }, "spec": { "replicas": "SECRET" } });
    let cluster = answering(move |_, path| match path {
        IN_SHOP => list(&[bad.clone(), one("cache", "shop")]),
        _ => (200, bad.clone()),
    });
    let seen: Vec<_> = cluster.list(false).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!(seen, ["cache"]);
    let error = cluster.get("bad").await.unwrap_err().to_string();
    assert!(
        error.contains("bad in namespace shop cannot be decoded: spec.replicas is a text, expected i32"),
        "{error}"
    );
    assert!(!error.contains("SECRET"), "{error}");
}

#[tokio::test]
async fn a_name_of_another_namespace_is_found_there() {
    let cluster = answering(|_, path| match path {
        IN_SHOP => list(&[]),
        EVERYWHERE => list(&[one("cache", "bank")]),
        _ => failure(404, "not found"),
    });
    let error = cluster.get("cache").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no RedisReplication cache in namespace shop; there is one in another namespace: -n bank"
    );
}

#[rstest]
#[case::no_definition(
    404,
    "404 page not found",
    "this cluster has no resource type RedisReplication: install redis-replication-operator first"
)]
#[case::no_right(
    403,
    "is forbidden",
    "you may not read redisreplications in namespace shop; ask the cluster's administrator"
)]
#[case::no_login(401, "Unauthorized", "the API server does not accept your credentials; log in again")]
#[case::trouble(
    500,
    "etcd\nis gone",
    "the API server refused to read redisreplications in namespace shop: etcd is gone"
)]
#[tokio::test]
async fn what_is_wrong_is_one_line_that_says_what_to_do(
    #[case] code: u16,
    #[case] message: &'static str,
    #[case] expected: &str,
) {
    let cluster = answering(move |_, _| failure(code, message));
    let got = cluster.get("cache").await.unwrap_err().to_string();
    assert!(got.starts_with(expected), "{got}");
    let listed = cluster.list(false).await.unwrap_err().to_string();
    assert!(listed.starts_with(expected), "{listed}");
    assert!(!got.contains('\n') && !listed.contains('\n'));
}

#[tokio::test]
async fn no_answer_names_the_server_and_the_cause() {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    drop(handle);
    let cluster = Cluster::new(Client::new(service, "shop"), "shop");
    let error = cluster.get("cache").await.unwrap_err().to_string();
    assert!(error.starts_with("no answer from the API server https://test: "), "{error}");
}

#[tokio::test]
async fn a_right_that_is_missing_for_a_change_is_named() {
    let cluster = answering(|method, _| match method {
        "PATCH" => failure(403, "no"),
        _ => (200, one("cache", "shop")),
    });
    let error = cluster.patch("cache", json!({})).await.unwrap_err().to_string();
    assert!(error.starts_with("you may not change redisreplications in namespace shop"), "{error}");
}

#[test]
fn a_member_is_meant_by_its_name_or_number() {
    let resource: RedisReplication = serde_json::from_value(one("cache", "shop")).unwrap();
    assert_eq!(member(&resource, "cache-1").unwrap(), "cache-1");
    assert_eq!(member(&resource, "1").unwrap(), "cache-1");
    let error = member(&resource, "cache-2").unwrap_err().to_string();
    assert_eq!(error, "cache has no member cache-2; there is cache-0, cache-1");
    assert_eq!(
        member(&resource, "mongo").unwrap_err().to_string(),
        "cache has no member mongo; there is cache-0, cache-1"
    );
    let error = master(&resource).unwrap_err().to_string();
    assert_eq!(error, "cache has no master at present; see `kubectl rr status cache`");
}

#[tokio::test]
async fn without_a_kubeconfig_it_says_how_to_give_one() {
    let nowhere = Connection { kubeconfig: Some("/nonexistent/config".into()), ..Connection::default() };
    let error = Cluster::connect(&nowhere).await.err().expect("there is none").to_string();
    assert!(error.starts_with("no cluster is configured: "), "{error}");
    assert!(error.ends_with("set KUBECONFIG, or give --kubeconfig and --context"), "{error}");
}
