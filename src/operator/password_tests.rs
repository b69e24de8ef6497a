//! What becomes of the Secret, against a mock of the API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use rstest::rstest;
use serde_json::{Value, json};
use tower_test::mock::pair;

use super::*;
use crate::objects::validate;

const GIVEN: &str = "auth: {secretName: c-auth, secretKey: word.txt}";

fn resource(spec: &str, epoch: i64) -> RedisReplication {
    serde_json::from_value(json!({
        "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": { "name": "c", "namespace": "shop", "uid": "u" },
        "spec": serde_saphyr::from_str::<Value>(spec).unwrap(),
        "status": { "epoch": epoch, "master": "c-1" },
    }))
    .unwrap()
}

fn pod(name: &str, running: bool) -> Arc<Pod> {
    let state = if running { json!({"running": {}}) } else { json!({"waiting": {"reason": "ContainerCreating"}}) };
    let redis = json!({"name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    Arc::new(
        serde_json::from_value(json!({"metadata": {"name": name}, "status": {"containerStatuses": [redis]}})).unwrap(),
    )
}

fn holding(key: &str, value: &[u8]) -> Value {
    let secret =
        Secret { data: Some([(key.to_owned(), k8s_openapi::ByteString(value.to_vec()))].into()), ..Secret::default() };
    let mut secret = serde_json::to_value(secret).unwrap();
    let owner = json!({"apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication", "name": "c", "uid": "u", "controller": true});
    secret["metadata"] = json!({"name": "c-auth", "ownerReferences": [owner]});
    secret
}

/// Looks for the password where the API server has this Secret; what comes of it, and the password in a Secret that was made.
async fn look(
    resource: &RedisReplication,
    pods: &[Arc<Pod>],
    known: Option<&str>,
    there: Option<Value>,
) -> (Result<String, Error>, Option<String>) {
    let (service, mut handle) = pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(async move {
        let mut made = None;
        while let Some((request, send)) = handle.next_request().await {
            let method = request.method().clone();
            let body = request.into_body().collect_bytes().await.unwrap();
            let (code, answer) = match (method, &there) {
                (Method::GET, Some(secret)) => (StatusCode::OK, secret.clone()),
                (Method::GET, None) => (
                    StatusCode::NOT_FOUND,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": ""}),
                ),
                (Method::POST, None) => {
                    let secret: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "u");
                    made = Some(secret.clone());
                    (StatusCode::CREATED, secret)
                }
                other => panic!("{other:?}"),
            };
            let body = Body::from(serde_json::to_vec(&answer).unwrap());
            send.send_response(Response::builder().status(code).body(body).unwrap());
        }
        made.map(|secret| serde_json::from_value::<Secret>(secret).unwrap())
    });
    let client = Client::new(service, "shop");
    let cluster = validate(resource).unwrap();
    let known = known.map(|text| Password::read(text.as_bytes()).unwrap());
    let found =
        find(resource, Some(&cluster), &client, pods, known).await.map(|found| found.password.text().to_owned());
    drop(client);
    let made = server.await.unwrap();
    let made = made.map(|secret| String::from_utf8(secret.data.unwrap()["password"].0.clone()).unwrap());
    (found, made)
}

#[rstest]
#[case::ours("{}", "password")]
#[case::given(GIVEN, "word.txt")]
#[tokio::test]
async fn what_the_secret_holds_counts(#[case] spec: &str, #[case] key: &str) {
    let there = Some(holding(key, b"pa55\n"));
    for known in [None, Some("other")] {
        let (found, made) = look(&resource(spec, 3), &[pod("c-0", true)], known, there.clone()).await;
        assert_eq!((found.unwrap().as_str(), made), ("pa55", None));
    }
}

#[tokio::test]
async fn a_new_one_is_made_up_where_nobody_knows_another() {
    for pods in [vec![], vec![pod("c-0", false)]] {
        let (found, made) = look(&resource("{}", 0), &pods, None, None).await;
        let password = found.unwrap();
        assert_eq!((made.as_ref(), password.len()), (Some(&password), 32));
        let (again, _) = look(&resource("{}", 0), &pods, None, None).await;
        assert_ne!(again.unwrap(), password);
    }
}

#[tokio::test]
async fn a_lost_one_comes_back_as_it_was() {
    for (epoch, pods) in [(3, vec![pod("c-0", true)]), (3, vec![]), (0, vec![pod("c-0", true)]), (0, vec![])] {
        let (found, made) = look(&resource("{}", epoch), &pods, Some("as it was"), None).await;
        assert_eq!((found.unwrap().as_str(), made.as_deref()), ("as it was", Some("as it was")));
    }
}

#[rstest]
#[case::there_was_a_master(3, vec![pod("c-0", true), pod("c-1", true)], Some("c-1"))]
#[case::it_does_not_run(3, vec![pod("c-0", true), pod("c-1", false)], Some("c-0"))]
#[case::pods_run_that_never_had_one(0, vec![pod("c-0", true)], Some("c-0"))]
#[case::nobody_runs(3, vec![pod("c-0", false)], None)]
#[case::nobody_is_there(3, vec![], None)]
#[tokio::test]
async fn nothing_is_made_up_where_somebody_may_know_it(
    #[case] epoch: i64,
    #[case] pods: Vec<Arc<Pod>>,
    #[case] from: Option<&str>,
) {
    let (found, made) = look(&resource("{}", epoch), &pods, None, None).await;
    let error = found.unwrap_err();
    assert_eq!((error.reason(), made), (Reason::SecretMissing, None));
    let words = error.to_string();
    let label = "kubectl -n shop label secret c-auth app.kubernetes.io/component=redis app.kubernetes.io/instance=c \
        app.kubernetes.io/managed-by=redis-replication-operator app.kubernetes.io/name=redis-replication \
        redis.replication.dev/name=c";
    let advice = match from {
        Some(pod) => format!(
            "kubectl -n shop create secret generic c-auth --from-literal=password=\"$(kubectl -n shop exec {pod} -c redis -- cat /run/redis/password)\" && {label}"
        ),
        None => format!("kubectl -n shop create secret generic c-auth --from-literal=password=PASSWORD && {label}"),
    };
    assert!(words.ends_with(&advice), "{words}");
}

#[tokio::test]
async fn a_given_one_is_never_made() {
    for known in [None, Some("known")] {
        for (pods, words) in [(vec![], "to have one made"), (vec![pod("c-1", true)], "exec c-1 -c redis")] {
            let (found, made) = look(&resource(GIVEN, 3), &pods, known, None).await;
            let error = found.unwrap_err();
            assert_eq!((error.reason(), made), (Reason::SecretMissing, None));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[rstest]
#[case::removed(
    "{}",
    holding("other", b"x"),
    Reason::SecretMissing,
    "has no key password: add it; or delete the Secret"
)]
#[case::emptied("{}", holding("password", b""), Reason::InvalidPassword, "is empty: store one line")]
#[case::given_without_the_key(GIVEN, holding("password", b"x"), Reason::SecretMissing, "spec.auth.secretKey")]
#[case::windows(
    GIVEN,
    holding("word.txt", b"x\r\n"),
    Reason::InvalidPassword,
    "jsonpath='{.data.word\\.txt}' | base64 -d | tr -d '\\r'"
)]
#[tokio::test]
async fn what_cannot_be_used_is_left_alone_and_told(
    #[case] spec: &str,
    #[case] there: Value,
    #[case] reason: Reason,
    #[case] words: &str,
) {
    for known in [None, Some("known")] {
        let (found, made) = look(&resource(spec, 3), &[], known, Some(there.clone())).await;
        let error = found.unwrap_err();
        assert_eq!((error.reason(), made), (reason, None));
        let said = error.to_string();
        assert!(said.contains(words), "{said}");
        let again = said.contains("the operator makes it again as it was: kubectl -n shop delete secret c-auth");
        assert_eq!(again, known.is_some() && spec != GIVEN, "{said}");
    }
}

/// What the advice for a carriage return says works in a shell.
#[test]
fn the_command_removes_the_carriage_return() {
    let place = Place::of(&resource(GIVEN, 0));
    let words = place.unusable(PasswordError::CarriageReturn, false);
    let command = words.split_once("remove it: ").unwrap().1;
    let kubectl = r#"kubectl() { case $3 in get) printf 'pa$$ w"rd\r\n' | base64 ;; *) printf '%s|' "$@" ;; esac; }"#;
    let output = std::process::Command::new("sh").args(["-c", &format!("{kubectl}; {command}")]).output().unwrap();
    let expected = r#"-n|shop|patch|secret|c-auth|-p|{"data":{"word.txt":"cGEkJCB3InJkCg=="}}|"#;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

fn of(uid: Option<&str>) -> Value {
    let mut secret = holding("password", b"theirs");
    secret["metadata"]["uid"] = json!("s");
    match uid {
        Some(uid) => secret["metadata"]["ownerReferences"][0]["uid"] = json!(uid),
        None => secret["metadata"]["ownerReferences"] = json!([]),
    }
    secret
}

#[tokio::test]
async fn a_secret_of_others_is_not_taken_for_the_one_that_the_operator_makes() {
    for (there, passing) in [(of(None), false), (of(Some("earlier")), true)] {
        let (found, made) = look(&resource("{}", 0), &[], None, Some(there.clone())).await;
        let error = found.unwrap_err();
        assert!(matches!(&error, Error::Taken(s) if s.name == "c-auth" && s.is_being_removed() == passing), "{error}");
        assert_eq!((error.reason(), made), (Reason::NameConflict, None));
        // where it is asked for, it is used
        let (found, _) = look(&resource("auth: {secretName: c-auth}", 0), &[], None, Some(there)).await;
        assert_eq!(found.unwrap(), "theirs");
    }
}

#[tokio::test]
async fn one_that_was_left_behind_is_used_again() {
    let mut there = of(None);
    there["metadata"]["labels"] = json!(names::labels("c"));
    let (found, _) = look(&resource("{}", 0), &[], None, Some(there)).await;
    assert_eq!(found.unwrap(), "theirs");
}

/// Failover goes on while an administrator decides.
#[tokio::test]
async fn members_go_on_with_what_they_have_when_another_secret_comes_to_the_name() {
    for (known, expected) in [(Some("ours"), "ours"), (None, "theirs")] {
        let (found, made) = look(&resource("{}", 3), &[pod("c-0", true)], known, Some(of(None))).await;
        assert_eq!((found.unwrap().as_str(), made), (expected, None));
    }
}
