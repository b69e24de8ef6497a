//! Names, labels and constants that the objects and their readers share.

use std::collections::BTreeMap;

use crate::api::RedisReplicationSpec;

/// The port that every Redis listens on.
pub use crate::replication::REDIS_PORT;
/// Name of that port in containers and Services.
pub const REDIS_PORT_NAME: &str = "redis";
/// Name of the Redis container.
pub const REDIS_CONTAINER: &str = "redis";
/// The port that the exporter listens on.
pub const METRICS_PORT: u16 = 9121;
/// Name of that port in containers and Services: `ServiceMonitor` and `PodMonitor` find it by this.
pub const METRICS_PORT_NAME: &str = "metrics";
/// Name of the container with the exporter.
pub const EXPORTER_CONTAINER: &str = "metrics";
/// Name of the volume, and of the claim template, that holds the data.
pub const DATA_VOLUME: &str = "data";

/// Field manager of the objects.
pub const FIELD_MANAGER: &str = "redis-replication-operator";
/// Field manager of what moves with the master: the master Service's selector, the pods' role labels.
pub const SUPERVISOR_FIELD_MANAGER: &str = "redis-replication-operator-supervisor";

/// Field manager of the condition of a resource that cannot be decoded.
pub const ISOLATION_FIELD_MANAGER: &str = "redis-replication-operator-isolation";

/// Label: what the product is.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Label: which `RedisReplication`.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Label: which part of it.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Label: who manages it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`NAME_LABEL`].
pub const NAME: &str = "redis-replication";
/// Value of [`COMPONENT_LABEL`].
pub const COMPONENT: &str = "redis";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "redis-replication-operator";

/// Label that the supervisor sets on pods. Never in the pod template: a restarted pod has no role until it is given one.
pub const ROLE_LABEL: &str = "redis.replication.dev/role";
/// Value of [`ROLE_LABEL`] on the pod that accepts writes.
pub const ROLE_MASTER: &str = "master";
/// Value of [`ROLE_LABEL`] on the pods that follow it.
pub const ROLE_REPLICA: &str = "replica";
/// Value of [`ROLE_LABEL`] on the pods that hear nothing from it: the replicas Service does not lead to them.
pub const ROLE_STALE: &str = "stale";
/// What all labels and annotations of the operator itself begin with.
pub const OWN_PREFIX: &str = "redis.replication.dev/";
/// Label: which `RedisReplication`. Unlike [`INSTANCE_LABEL`] it is this operator's alone: tools that track what they have
/// installed by the latter (Argo CD with label tracking) would prune volume claims that carry it.
pub const RESOURCE_LABEL: &str = "redis.replication.dev/name";
/// Annotation of the cluster autoscaler: the volumes of a pod that do not keep its node from being removed.
pub const SAFE_TO_EVICT_ANNOTATION: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
/// Annotation of the `StatefulSet`: when its controller was last reminded of pods that are missing.
pub const REMINDED_ANNOTATION: &str = "redis.replication.dev/reminded-at";
/// Label that the `StatefulSet` controller puts on each pod: the revision that the pod was made from.
pub const REVISION_LABEL: &str = "controller-revision-hash";
/// Label that the `StatefulSet` controller puts on each pod; the master Service selects by it.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The `StatefulSet`.
pub fn stateful_set(name: &str) -> String {
    name.to_owned()
}

/// The Service for writes.
pub fn master_service(name: &str) -> String {
    format!("{name}-master")
}

/// The endpoint slice of the Service for writes, where the operator writes it.
pub fn master_slice(name: &str) -> String {
    master_service(name)
}

/// The Service for reads.
pub fn replicas_service(name: &str) -> String {
    format!("{name}-replicas")
}

/// The Service that gives pods their DNS names.
pub fn headless_service(name: &str) -> String {
    format!("{name}-headless")
}

/// The `ConfigMap` with the scripts of the pods.
pub fn scripts_map(name: &str) -> String {
    format!("{name}-scripts")
}

/// The `ConfigMap` with the settings of the pods of one revision; `digest` is that of its content.
pub fn settings_map(name: &str, digest: &str) -> String {
    format!("{}-{digest}", settings_maps(name))
}

/// What the names of all of them begin with.
pub fn settings_maps(name: &str) -> String {
    format!("{name}-config")
}

/// The `PodDisruptionBudget`.
pub fn pod_disruption_budget(name: &str) -> String {
    name.to_owned()
}

/// The Secret that holds the password: the given one, or the generated one.
pub fn auth_secret(name: &str, spec: &RedisReplicationSpec) -> String {
    spec.auth.as_ref().and_then(|auth| auth.secret_name.clone()).unwrap_or_else(|| generated_auth_secret(name))
}

/// The Secret with a password of the operator's making.
pub fn generated_auth_secret(name: &str) -> String {
    format!("{name}-auth")
}

/// The password's key in [`auth_secret`].
pub fn auth_secret_key(spec: &RedisReplicationSpec) -> &str {
    spec.auth.as_ref().map_or("password", |auth| &auth.secret_key)
}

/// The pod with this ordinal.
pub fn pod(name: &str, ordinal: i32) -> String {
    format!("{name}-{ordinal}")
}

/// The pods that a `StatefulSet` of `replicas` has, in order.
pub fn expected_members(name: &str, replicas: i32) -> Vec<String> {
    (0..replicas).map(|ordinal| pod(name, ordinal)).collect()
}

/// The number at the end of a pod's name; `None` if this is not the name of a `StatefulSet`'s pod.
pub fn ordinal(pod_name: &str) -> Option<i32> {
    let (_, digits) = pod_name.rsplit_once('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    (digits == ordinal.to_string()).then_some(ordinal)
}

/// The labels by which the `StatefulSet` finds its pods. They can never change, and its controller puts them on the volume
/// claims too: so [`INSTANCE_LABEL`] is not among them.
pub fn stateful_set_selector(name: &str) -> BTreeMap<String, String> {
    labels_of([(NAME_LABEL, NAME), (COMPONENT_LABEL, COMPONENT), (RESOURCE_LABEL, name)])
}

/// The labels by which a cluster's pods are found.
pub fn selector_labels(name: &str) -> BTreeMap<String, String> {
    labels_of([(NAME_LABEL, NAME), (INSTANCE_LABEL, name), (COMPONENT_LABEL, COMPONENT)])
}

/// The labels of the volume claims: what carries them holds the data of this replication. They can never change.
pub fn claim_labels(name: &str) -> BTreeMap<String, String> {
    stateful_set_selector(name)
}

/// Is a claim with these labels one of this replication? An older operator gave it others.
pub fn is_claim_of(labels: &BTreeMap<String, String>, name: &str) -> bool {
    carries(labels, &claim_labels(name)) || carries(labels, &selector_labels(name))
}

/// Are all of `wanted` among these labels?
pub fn carries(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Labels as `kubectl` takes them: joined by a space to write them, by a comma to select by them.
pub fn joined(labels: &BTreeMap<String, String>, separator: &str) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(separator)
}

/// The labels of every object.
pub fn labels(name: &str) -> BTreeMap<String, String> {
    let mut labels = selector_labels(name);
    labels.insert(MANAGED_BY_LABEL.into(), MANAGED_BY.into());
    labels.insert(RESOURCE_LABEL.into(), name.into());
    labels
}

/// [`selector_labels`] as `status.selector` has it.
pub fn selector(name: &str) -> String {
    joined(&selector_labels(name), ",")
}

fn labels_of<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn ordinal_is_the_number_at_the_end() {
        for (pod, expected) in [
            ("cache-0", Some(0)),
            ("cache-12", Some(12)),
            ("my-cache-2-3", Some(3)),
            ("cache", None),
            ("cache-", None),
            ("cache-x1", None),
            ("cache-01", None),
            ("cache-+1", None),
            ("cache-99999999999", None),
        ] {
            assert_eq!(ordinal(pod), expected, "{pod}");
        }
    }

    #[test]
    fn members_are_numbered_from_zero() {
        assert_eq!(expected_members("cache", 3), ["cache-0", "cache-1", "cache-2"]);
        assert!(expected_members("cache", 0).is_empty());
    }

    #[test]
    fn selector_names_the_instance() {
        assert_eq!(
            selector("cache"),
            "app.kubernetes.io/component=redis,app.kubernetes.io/instance=cache,app.kubernetes.io/name=redis-replication"
        );
    }

    #[test]
    fn the_given_secret_is_used() {
        for (yaml, secret, key) in [
            ("{}", "cache-auth", "password"),
            ("auth: {}", "cache-auth", "password"),
            ("auth: {secretName: given}", "given", "password"),
            ("auth: {secretName: given, secretKey: word}", "given", "word"),
        ] {
            let spec: RedisReplicationSpec = serde_saphyr::from_str(yaml).unwrap();
            assert_eq!((auth_secret("cache", &spec).as_str(), auth_secret_key(&spec)), (secret, key), "{yaml}");
        }
    }
}
