//! Against a mock of the API server: where the master Service leads is written to objects of ours only.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod},
        policy::v1::PodDisruptionBudget,
    },
    serde::de::DeserializeOwned,
};
use kube::runtime::{reflector, watcher};
use rstest::rstest;

use super::*;
use crate::{
    kubernetes::{
        fake::{Memory, server},
        owned::{Owned, owned},
        stores::Key,
    },
    operator::{observe::Stores, registry::ReconcileReport},
    replication,
};

fn resource(routing: &str) -> RedisReplication {
    serde_json::from_value(json!({
        "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": { "name": "shop", "namespace": "web", "uid": "u1" },
        "spec": { "replicas": 1, "services": { "masterRouting": routing } },
    }))
    .unwrap()
}

fn meta(name: &str, uid: &str, by: &str) -> Value {
    let owner = json!({"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": by, "controller": true});
    json!({"name": name, "namespace": "web", "uid": uid, "labels": names::labels("shop"), "ownerReferences": [owner]})
}

fn service(by: &str) -> Value {
    json!({"metadata": meta("shop-master", "s1", by), "spec": {"selector": {"app": "web"}}})
}

fn store<K>(objects: &[Value]) -> Owned<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    let (store, mut writer) = owned();
    for object in objects {
        writer.apply(&watcher::Event::Apply(serde_json::from_value(object.clone()).unwrap()));
    }
    store
}

/// What is observed, and what was written when the Service was to lead to `shop-0`.
async fn outcome(
    routing: &str,
    services: &[Value],
    slices: &[Value],
) -> (Option<Option<String>>, Result<(), Error>, Memory) {
    let (client, memory) = server();
    for (plural, objects) in [("services", services), ("endpointslices", slices)] {
        for object in objects {
            memory.put(plural, object.clone());
        }
    }
    let stores = Stores {
        resources: reflector::store().0,
        pods: store::<Pod>(&[]),
        claims: store::<PersistentVolumeClaim>(&[]),
        stateful_sets: store::<StatefulSet>(&[]),
        services: store(services),
        slices: store(slices),
        config_maps: store::<ConfigMap>(&[]),
        budgets: store::<PodDisruptionBudget>(&[]),
    };
    let (resource, key) = (resource(routing), Key { namespace: "web".into(), name: "shop".into() });
    let mut observer = Observer::new(key, stores, Arc::default(), Arc::new(|| true));
    let o = observer.observe(&resource, false, &ReconcileReport::default(), &replication::Memory::default());
    let service = MasterService { client: &client, observer: &observer, resource: &resource };
    let led = service.lead_to("shop-0").await;
    service.withdraw().await.unwrap();
    (o.route, led, memory)
}

#[tokio::test]
async fn a_service_of_ours_is_led_to_the_master() {
    let (route, led, memory) = outcome("Selector", &[service("u1")], &[]).await;
    assert_eq!(route, Some(None));
    led.unwrap();
    let asked = memory.asked();
    assert_eq!(memory.writes(), ["PATCH services/shop-master"]);
    assert_eq!(asked[0].body["metadata"]["uid"], "s1", "no other Service of this name is meant");
    assert_eq!(asked[0].body["spec"]["selector"][names::POD_NAME_LABEL], "shop-0");
}

#[rstest]
#[case("Selector")]
#[case("EndpointSlice")]
#[tokio::test]
async fn a_service_of_others_is_as_good_as_none(#[case] routing: &str) {
    let slice = json!({"metadata": meta("shop-master", "e1", "u9"), "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]});
    let (route, led, memory) = outcome(routing, &[service("u9")], &[slice]).await;
    assert_eq!(route, None);
    assert!(matches!(led, Err(Error::NoService(_))), "{led:?}");
    assert!(memory.writes().is_empty(), "{:?}", memory.writes());
}

#[tokio::test]
async fn slices_of_anothers_service_are_neither_written_nor_removed() {
    let mut of_ours = json!({"metadata": meta("shop-master-x", "e1", "s1"), "addressType": "IPv4", "endpoints": []});
    of_ours["metadata"]["ownerReferences"][0]["kind"] = json!("Service");
    let mut of_others = of_ours.clone();
    of_others["metadata"]["name"] = json!("shop-master-y");
    of_others["metadata"]["ownerReferences"][0]["uid"] = json!("s9");
    for slice in [&mut of_ours, &mut of_others] {
        slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!("shop-master");
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
            json!("endpointslice-controller.k8s.io");
    }
    let own = json!({"metadata": meta("shop-master", "e2", "u1"), "addressType": "IPv4", "endpoints": []});
    let (_, led, memory) = outcome("Selector", &[service("u1")], &[of_ours, of_others, own]).await;
    led.unwrap();
    // the own slice is of another routing; the address is taken out of it before the watch shows that it is gone
    let writes = memory.writes();
    assert_eq!(
        writes,
        ["PATCH services/shop-master", "DELETE endpointslices/shop-master", "PATCH endpointslices/shop-master"]
    );
    let deletion = memory.asked().into_iter().find(|asked| asked.method == "DELETE").unwrap();
    assert_eq!(deletion.body["preconditions"]["uid"], "e2");
}
