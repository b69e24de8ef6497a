#![allow(clippy::unwrap_used)]

use kube::runtime::watcher;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::{owned::owned, ownership::Holder};

fn key() -> Key {
    Key { namespace: "web".into(), name: "shop".into() }
}

fn meta(name: &str, uid: &str, by: &Value) -> Value {
    let labels = names::labels("shop");
    json!({"name": name, "namespace": "web", "uid": uid, "labels": labels, "ownerReferences": [by]})
}

fn by(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true})
}

fn ours() -> Value {
    by("redis.replication.dev/v1alpha1", "RedisReplication", "shop", "u1")
}

fn store<K>(objects: &[Value]) -> Owned<K>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    let (store, mut writer) = owned();
    for object in objects {
        writer.apply(&watcher::Event::Apply(serde_json::from_value(object.clone()).unwrap()));
    }
    store
}

#[test]
fn an_object_with_our_labels_and_another_controller_is_not_there() {
    let other = by("apps/v1", "Deployment", "web", "u2");
    let earlier = by("redis.replication.dev/v1alpha1", "RedisReplication", "shop", "u0");
    let mut beside = ours();
    beside["controller"] = json!(false);
    for (by, found) in [(ours(), true), (other, false), (earlier, false), (beside, false)] {
        let services: Owned<Service> = store(&[json!({"metadata": meta("shop-master", "s", &by)})]);
        assert_eq!(named(&services, &key(), "u1", "shop-master").is_some(), found, "{by}");
        let sets: Owned<StatefulSet> = store(&[json!({"metadata": meta("shop", "s", &by)})]);
        assert_eq!(stateful_set(&sets, &key(), "u1").is_some(), found, "{by}");
    }
}

#[test]
fn slices_are_ours_where_their_service_is() {
    let services: Owned<Service> = store(&[
        json!({"metadata": meta("shop-master", "s1", &ours())}),
        json!({"metadata": meta("shop-replicas", "s2", &by("apps/v1", "Deployment", "web", "u2"))}),
    ]);
    let slice =
        |name: &str, by: Value| json!({"metadata": meta(name, name, &by), "addressType": "IPv4", "endpoints": []});
    let all: Owned<EndpointSlice> = store(&[
        slice("of-ours", by("v1", "Service", "shop-master", "s1")),
        slice("of-one-before-it", by("v1", "Service", "shop-master", "s0")),
        slice("of-anothers", by("v1", "Service", "shop-replicas", "s2")),
        slice("copied", by("v1", "Endpoints", "shop-master", "e1")),
        slice("copied-of-anothers", by("v1", "Endpoints", "shop-replicas", "e2")),
        slice("own", ours()),
        slice("own-of-another", by("redis.replication.dev/v1alpha1", "RedisReplication", "shop", "u0")),
        slice("of-nobody", json!({"apiVersion": "v1", "kind": "Service", "name": "shop-master", "uid": "s1"})),
    ]);
    let mut found: Vec<_> = slices(&all, &services, &key(), "u1").iter().map(|slice| slice.name_any()).collect();
    found.sort();
    assert_eq!(found, ["copied", "of-ours", "own"]);
}

#[rstest]
#[case::of_the_set(Some(by("apps/v1", "StatefulSet", "shop", "set")), true)]
#[case::of_a_set_before_it(Some(by("apps/v1", "StatefulSet", "shop", "set0")), true)]
#[case::left_behind(None, true)]
#[case::of_anothers_set(Some(by("apps/v1", "StatefulSet", "shop", "stranger")), false)]
#[case::of_a_deleted_ones_set(Some(by("apps/v1", "StatefulSet", "shop", "removed")), true)]
#[case::of_another_set(Some(by("apps/v1", "StatefulSet", "web", "set")), false)]
#[case::of_a_deployment(Some(by("apps/v1", "ReplicaSet", "shop", "r")), false)]
#[case::of_another_kind_of_set(Some(by("apps.kruise.io/v1", "StatefulSet", "shop", "k")), false)]
fn a_pod_that_another_controller_keeps_is_no_member(#[case] by: Option<Value>, #[case] member: bool) {
    let mut metadata = meta("shop-0", "p", &json!(null));
    metadata["ownerReferences"] = by.map_or(json!([]), |by| json!([by]));
    let pod: Pod = serde_json::from_value(json!({"metadata": metadata})).unwrap();
    let stranger =
        |uid: &str, holder| Stranger { kind: "StatefulSet".into(), name: "shop".into(), uid: uid.into(), holder };
    let removed = stranger("removed", Holder::Predecessor("RedisReplication shop".into()));
    assert_eq!(is_member(&pod, &key(), &[stranger("stranger", Holder::Nobody), removed]), member);
}

/// Of three hundred, each with a StatefulSet, two Services and three pods.
#[test]
fn a_look_visits_the_objects_of_one_resource() {
    let mut by = ours();
    let (mut sets, mut services, mut pods) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..300 {
        let resource = format!("r{i}");
        (by["name"], by["uid"]) = (json!(resource), json!(resource));
        let object = |name: &str, by: &Value| {
            let mut meta = meta(name, name, by);
            meta["labels"] = json!(names::labels(&resource));
            json!({ "metadata": meta })
        };
        sets.push(object(&resource, &by));
        services.extend(["master", "replicas"].map(|which| object(&format!("{resource}-{which}"), &by)));
        let set = self::by("apps/v1", "StatefulSet", &resource, &resource);
        pods.extend((0..3).map(|ordinal| object(&format!("{resource}-{ordinal}"), &set)));
    }
    let (sets, services, all): (Owned<StatefulSet>, Owned<Service>, Owned<Pod>) =
        (store(&sets), store(&services), store(&pods));
    let key = Key { namespace: "web".into(), name: "r7".into() };
    assert_eq!((pods_of(&all, &key), all.visited()), (3, 3));
    assert_eq!((stateful_set(&sets, &key, "r7").is_some(), sets.visited()), (true, 1));
    assert_eq!((of(&services, &key, "r7").len(), services.visited()), (2, 2));
}

fn pods_of(all: &Owned<Pod>, key: &Key) -> usize {
    super::pods(all, key, &[]).len()
}

#[test]
fn the_names_of_pods_that_end_with_a_former_set_are_taken() {
    let pod = |ordinal: i32, set: &str, leaves: bool| {
        let name = format!("shop-{ordinal}");
        let mut meta = meta(&name, &name, &by("apps/v1", "StatefulSet", "shop", set));
        if leaves {
            meta["deletionTimestamp"] = json!("2026-11-27T00:00:00Z");
        }
        Arc::new(serde_json::from_value::<Pod>(json!({ "metadata": meta })).unwrap())
    };
    for (pods, set, expected) in [
        (vec![pod(0, "old", true), pod(1, "old", true), pod(2, "new", false)], Some("new"), 2),
        (vec![pod(0, "old", true)], None, 1),
        (vec![pod(0, "new", true)], Some("new"), 0),
        (vec![pod(0, "old", false)], Some("new"), 0),
        (vec![pod(1, "old", true)], Some("new"), 0),
        (vec![], Some("new"), 0),
    ] {
        assert_eq!(taken_ordinals(&pods, &key(), set), expected, "{set:?}");
    }
}
