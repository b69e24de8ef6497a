//! Against a mock of the API server: with one name taken nothing is made, and nothing of others is ever written to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::large_futures)]

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::RedisReplication,
    kubernetes::fake::{Memory, server},
    objects::{build, validate},
};

const PERSISTENT: &str = "{replicas: 2, persistence: {size: 1Gi}}";

fn cluster(spec: &str) -> Cluster {
    let resource: RedisReplication = serde_json::from_value(json!({
        "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": { "name": "shop", "namespace": "web", "uid": "u1" },
        "spec": serde_saphyr::from_str::<Value>(spec).unwrap(),
    }))
    .unwrap();
    validate(&resource).unwrap()
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name, "uid": "theirs"}})
}

fn by(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u9", "controller": true})
}

/// Who is in the way, and what is written where the strangers are not heeded.
async fn outcome(
    spec: &str,
    put: impl FnOnce(&Memory),
) -> (Vec<String>, Result<Vec<&'static str>, Error>, Vec<String>) {
    let (client, memory) = server();
    put(&memory);
    let cluster = cluster(spec);
    let wanted = build(&cluster, cluster.spec.replicas);
    let site = Site::survey(&client, None, &cluster, &wanted).await.unwrap();
    assert!(memory.writes().is_empty(), "a survey changes nothing");
    let strangers = site.strangers().iter().map(ToString::to_string).collect();
    let built = site.build().await;
    (strangers, built, memory.writes())
}

#[tokio::test]
async fn where_all_names_are_free_everything_is_made_without_force() {
    let (client, memory) = server();
    let cluster = cluster(PERSISTENT);
    let wanted = build(&cluster, 2);
    let site = Site::survey(&client, None, &cluster, &wanted).await.unwrap();
    assert_eq!(site.strangers(), []);
    assert_eq!(site.build().await.unwrap().len(), 7);
    let patches: Vec<_> = memory.asked().into_iter().filter(|asked| asked.method == "PATCH").collect();
    assert_eq!(patches.len(), 7);
    for asked in patches {
        assert!(!asked.query.contains("force"), "{asked:?}");
        assert_eq!(asked.body["metadata"]["ownerReferences"][0]["uid"], "u1");
    }

    // and what is ours then is written to by force, if it is still the same object
    let site = Site::survey(&client, None, &cluster, &wanted).await.unwrap();
    assert_eq!(site.build().await.unwrap().len(), 7);
    let again = memory.asked().into_iter().filter(|asked| asked.method == "PATCH").skip(7);
    for asked in again {
        assert!(asked.query.contains("force=true"), "{asked:?}");
        assert_eq!(asked.body["metadata"]["uid"], format!("new {}", asked.what));
    }
}

#[rstest]
#[case("configmaps", "shop-scripts", "ConfigMap shop-scripts")]
#[case("services", "shop-headless", "Service shop-headless")]
#[case("services", "shop-master", "Service shop-master")]
#[case("services", "shop-replicas", "Service shop-replicas")]
#[case("poddisruptionbudgets", "shop", "PodDisruptionBudget shop")]
#[case("statefulsets", "shop", "StatefulSet shop")]
#[tokio::test]
async fn an_object_of_others_is_named_and_never_written_to(
    #[case] plural: &str,
    #[case] name: &str,
    #[case] expected: &str,
) {
    let (strangers, built, writes) = outcome(PERSISTENT, |memory| memory.put(plural, named(name))).await;
    assert_eq!(strangers, [expected]);
    assert!(matches!(built, Err(Error::Taken(_))));
    assert!(!writes.contains(&format!("PATCH {plural}/{name}")), "{writes:?}");
}

#[tokio::test]
async fn all_of_them_are_named() {
    let (strangers, ..) = outcome(PERSISTENT, |memory| {
        memory.put("services", named("shop-master"));
        memory.put("configmaps", named("shop-scripts"));
        memory.put("poddisruptionbudgets", named("shop"));
    })
    .await;
    assert_eq!(strangers, ["ConfigMap shop-scripts", "PodDisruptionBudget shop", "Service shop-master"]);
}

#[rstest]
#[case::of_our_own_slice("{replicas: 1, services: {masterRouting: EndpointSlice}}", true)]
#[case::not_used("replicas: 1", false)]
#[tokio::test]
async fn the_slice_counts_where_the_operator_writes_it(#[case] spec: &str, #[case] counts: bool) {
    let (strangers, ..) = outcome(spec, |memory| memory.put("endpointslices", named("shop-master"))).await;
    assert_eq!(strangers == ["EndpointSlice shop-master"], counts, "{strangers:?}");
}

#[rstest]
#[case::of_anybody(json!({}), json!([]), Some("Pod shop-1"))]
#[case::of_others_with_our_labels(json!(names::selector_labels("shop")), json!([by("ReplicaSet", "web")]), Some("Pod shop-1 (controlled by ReplicaSet web)"))]
#[case::left_behind(json!(names::stateful_set_selector("shop")), json!([]), None)]
#[case::of_a_set_before_ours(json!(names::stateful_set_selector("shop")), json!([by("StatefulSet", "shop")]), None)]
#[tokio::test]
async fn a_pod_that_the_set_could_not_make_is_in_the_way(
    #[case] labels: Value,
    #[case] owners: Value,
    #[case] expected: Option<&str>,
) {
    let pod = json!({"metadata": {"name": "shop-1", "uid": "p", "labels": labels, "ownerReferences": owners}});
    let (strangers, ..) = outcome("replicas: 2", |memory| memory.put("pods", pod)).await;
    assert_eq!(strangers.first().map(String::as_str), expected);
}

#[rstest]
#[case::of_anybody(json!({}), json!([]), Some("PersistentVolumeClaim data-shop-0"))]
#[case::of_another_instance(json!(names::selector_labels("web")), json!([]), Some("PersistentVolumeClaim data-shop-0"))]
#[case::kept(json!(names::claim_labels("shop")), json!([]), None)]
#[case::kept_with_all_labels(json!(names::labels("shop")), json!([]), None)]
#[case::to_be_deleted_with_the_set(json!(names::claim_labels("shop")), json!([by("StatefulSet", "shop")]), None)]
#[case::to_be_deleted_with_the_pod(json!(names::claim_labels("shop")), json!([by("Pod", "shop-0")]), None)]
#[case::of_a_set_of_others(json!(names::claim_labels("shop")), json!([by("StatefulSet", "web")]), Some("PersistentVolumeClaim data-shop-0 (controlled by StatefulSet web)"))]
#[tokio::test]
async fn a_claim_that_is_not_labelled_as_ours_is_not_mounted(
    #[case] labels: Value,
    #[case] owners: Value,
    #[case] expected: Option<&str>,
) {
    let claim = json!({"metadata": {"name": "data-shop-0", "uid": "p", "labels": labels, "ownerReferences": owners}});
    let (strangers, ..) = outcome(PERSISTENT, |memory| memory.put("persistentvolumeclaims", claim.clone())).await;
    assert_eq!(strangers.first().map(String::as_str), expected);
    let (strangers, ..) = outcome("replicas: 2", |memory| memory.put("persistentvolumeclaims", claim)).await;
    assert!(strangers.is_empty(), "nothing is mounted: {strangers:?}");
}

#[test]
fn only_pods_that_are_about_to_be_made_are_looked_for() {
    let cluster = cluster(PERSISTENT);
    let wanted = build(&cluster, 3);
    let mut live = wanted.stateful_set.clone();
    live.spec.as_mut().unwrap().replicas = Some(2);
    let ours = |live: StatefulSet| Place::Ours { uid: "s".into(), live: Some(std::sync::Arc::new(live)) };
    assert_eq!(new_ordinals(&ours(live.clone()), &wanted, "u1"), 2..3);
    assert_eq!(new_ordinals(&ours(live.clone()), &wanted, "another"), 0..3, "left behind: its pods may be gone");
    assert_eq!(new_ordinals(&Place::Free, &wanted, "u1"), 0..3);
    live.spec.as_mut().unwrap().replicas = Some(4);
    assert!(new_ordinals(&ours(live), &wanted, "u1").is_empty());
}

/// Between the look and the write somebody makes an object of that name.
#[tokio::test]
async fn what_another_makes_meanwhile_stays_the_others() {
    let (client, memory) = server();
    let cluster = cluster("replicas: 1");
    let wanted = build(&cluster, 1);
    let site = Site::survey(&client, None, &cluster, &wanted).await.unwrap();
    memory.put("configmaps", named("shop-scripts"));
    let error = site.build().await.unwrap_err();
    assert!(matches!(&error, Error::Taken(stranger) if stranger.name == "shop-scripts"), "{error}");
    let patches: Vec<_> = memory.asked().into_iter().filter(|asked| asked.method == "PATCH").collect();
    assert!(patches.iter().all(|asked| asked.what == "configmaps/shop-scripts" && !asked.query.contains("force")));
    let released = &patches.last().unwrap().body;
    assert_eq!(
        released["metadata"],
        json!({"name": "shop-scripts", "uid": "theirs"}),
        "all that was applied is taken out"
    );
    assert_eq!(released.as_object().unwrap().keys().collect::<Vec<_>>(), ["apiVersion", "kind", "metadata"]);
}

/// The watch still shows ours, and another has come to its name.
#[tokio::test]
async fn an_object_that_was_exchanged_is_not_written_to() {
    let (client, memory) = server();
    let cluster = cluster("replicas: 1");
    let wanted = build(&cluster, 1);
    let mut ours = wanted.scripts.clone();
    ours.metadata.uid = Some("ours".into());
    ours.data = None;
    memory.put("configmaps", named("shop-scripts"));
    let place = Place::Ours { uid: "ours".into(), live: Some(std::sync::Arc::new(ours)) };
    let error = ensure(&client, "web", &wanted.scripts, &place).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert_eq!(memory.asked()[0].body["metadata"]["uid"], "ours");
}
