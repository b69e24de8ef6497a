//! Settings of former revisions: when does certainly no pod read them any more, nor will? Pure.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
};
use kube::{Resource, ResourceExt};

use super::holdings::update_revision;
use crate::{api::RedisReplication, kubernetes::ownership::is_controlled_by, objects::names};

/// The maps that may be deleted.
///
/// A pod of a former revision may be there, or be made by a `StatefulSet` controller that has not seen the present one yet. So
/// nothing is deleted before the controller has seen it, all pods are there, and all are of the present revision.
pub fn unused_settings(
    maps: &[Arc<ConfigMap>],
    present: &str,
    resource: &RedisReplication,
    set: Option<&StatefulSet>,
    pods: &[Arc<Pod>],
) -> Vec<Arc<ConfigMap>> {
    let Some(revision) = set.and_then(|set| seen_revision(set, present)) else { return Vec::new() };
    let is_present = |pod: &Arc<Pod>| pod.labels().get(names::REVISION_LABEL) == Some(&revision);
    let there = usize::try_from(resource.spec.replicas).is_ok_and(|replicas| pods.len() >= replicas);
    if !there || !pods.iter().all(is_present) {
        return Vec::new();
    }
    let maps_of_settings = names::settings_maps(&resource.name_any());
    let owner = resource.uid().unwrap_or_default();
    let is_old = |map: &&Arc<ConfigMap>| {
        let name = map.name_any();
        let of_settings =
            name.strip_prefix(&maps_of_settings).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        is_controlled_by(map.meta(), &owner) && of_settings && name != present
    };
    maps.iter().filter(is_old).cloned().collect()
}

/// The revision that a `StatefulSet` makes pods of, if its controller has seen the present template.
fn seen_revision(set: &StatefulSet, present: &str) -> Option<String> {
    let volumes = set.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let sources = volumes.iter().filter_map(|volume| volume.projected.as_ref()?.sources.as_ref()).flatten();
    let reads = sources.filter_map(|source| source.config_map.as_ref()).any(|map| map.name == present);
    update_revision(set).filter(|_| reads)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn resource() -> RedisReplication {
        serde_json::from_value(json!({
            "apiVersion": "redis.replication.dev/v1alpha1",
            "kind": "RedisReplication",
            "metadata": { "name": "cache", "namespace": "shop", "uid": "u" },
            "spec": { "replicas": 2 },
        }))
        .unwrap()
    }

    fn map(name: &str, owner: &str) -> Arc<ConfigMap> {
        let owner = json!({ "apiVersion": "x/v1", "kind": "RedisReplication", "name": "cache", "uid": owner, "controller": true });
        Arc::new(serde_json::from_value(json!({ "metadata": { "name": name, "ownerReferences": [owner] } })).unwrap())
    }

    fn pods(revisions: &[&str]) -> Vec<Arc<Pod>> {
        let pod = |revision: &&str| json!({ "metadata": { "labels": { "controller-revision-hash": revision } } });
        revisions.iter().map(pod).map(|pod| Arc::new(serde_json::from_value(pod).unwrap())).collect()
    }

    fn set(observed: i64, map: &str) -> StatefulSet {
        let volume = json!({ "name": "config", "projected": { "sources": [{ "configMap": { "name": map } }] } });
        serde_json::from_value(json!({
            "metadata": { "generation": 7 },
            "spec": {
                "selector": {},
                "serviceName": "x",
                "template": { "spec": { "containers": [], "volumes": [volume] } },
            },
            "status": { "observedGeneration": observed, "updateRevision": "b", "replicas": 2 },
        }))
        .unwrap()
    }

    fn deleted(set: Option<&StatefulSet>, revisions: &[&str]) -> Vec<String> {
        let maps = ["cache-config-1", "cache-config-2", "cache-config", "cache-scripts", "cache-configuration"];
        let maps: Vec<_> =
            maps.map(|name| map(name, "u")).into_iter().chain([map("cache-config-3", "other")]).collect();
        let unused = unused_settings(&maps, "cache-config-2", &resource(), set, &pods(revisions));
        unused.into_iter().map(|map| map.name_any()).collect()
    }

    #[test]
    fn settings_go_when_all_pods_are_of_the_present_revision() {
        assert_eq!(deleted(Some(&set(7, "cache-config-2")), &["b", "b"]), ["cache-config-1", "cache-config"]);
    }

    #[rstest]
    #[case::no_set(None, &["b", "b"])]
    #[case::the_controller_has_not_seen_the_template(Some(set(6, "cache-config-2")), &["b", "b"])]
    #[case::the_template_is_a_former_one(Some(set(7, "cache-config-1")), &["b", "b"])]
    #[case::a_pod_is_of_a_former_revision(Some(set(7, "cache-config-2")), &["b", "a"])]
    #[case::a_pod_is_missing(Some(set(7, "cache-config-2")), &["b"])]
    fn settings_stay_while_a_pod_may_read_them(#[case] set: Option<StatefulSet>, #[case] revisions: &[&str]) {
        assert_eq!(deleted(set.as_ref(), revisions), Vec::<String>::new());
    }
}
