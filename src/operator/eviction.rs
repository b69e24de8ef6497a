//! Which pods the cluster autoscaler may evict although they have data in a local volume. Pure.
//!
//! It keeps a node that runs a pod with an `emptyDir` on its disk, unless an annotation of the pod names the volume
//! (cluster-autoscaler FAQ, "What types of pods can prevent CA from removing a node?"). A member without a claim hands over
//! before it ends, and copies the data again, so nothing is lost where there is another member. The annotation is
//! written to the pods and is not in their template: adding a second member restarts nothing.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{
    api::RedisReplication,
    objects::names::{DATA_VOLUME, SAFE_TO_EVICT_ANNOTATION},
};

/// The pods whose annotation has to change, and its value; `None` removes it.
pub fn changes(resource: &RedisReplication, pods: &[Arc<Pod>]) -> Vec<(Arc<Pod>, Option<&'static str>)> {
    if resource.spec.pod_annotations.contains_key(SAFE_TO_EVICT_ANNOTATION) {
        return Vec::new(); // the user decides
    }
    let wanted = (resource.spec.persistence.is_none() && resource.spec.replicas > 1).then_some(DATA_VOLUME);
    let differs = |pod: &&Arc<Pod>| {
        let is = pod.annotations().get(SAFE_TO_EVICT_ANNOTATION).map(String::as_str);
        let ours = is.is_none_or(|is| is == DATA_VOLUME); // anything else came by `podOverrides` or by hand
        is != wanted && ours && pod.metadata.deletion_timestamp.is_none()
    };
    pods.iter().filter(differs).map(|pod| (Arc::clone(pod), wanted)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::memory_only_with_a_replica("replicas: 2", None, Some(Some("data")))]
    #[case::done("replicas: 2", Some("data"), None)]
    #[case::the_only_copy("replicas: 1", None, None)]
    #[case::the_only_copy_that_is_left("replicas: 1", Some("data"), Some(None))]
    #[case::a_claim_is_no_local_volume("{replicas: 2, persistence: {size: 1Gi}}", None, None)]
    #[case::the_users_word_counts(
        "{replicas: 2, podAnnotations: {cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes: ''}}",
        None,
        None
    )]
    #[case::anothers_value("replicas: 2", Some("data,cache"), None)]
    fn evictable(#[case] spec: &str, #[case] is: Option<&str>, #[case] expected: Option<Option<&str>>) {
        let spec = serde_saphyr::from_str(spec).unwrap();
        let resource = RedisReplication::new("cache", spec);
        let annotations = json!({ (SAFE_TO_EVICT_ANNOTATION): is });
        let annotations = if is.is_some() { annotations } else { json!({}) };
        let pod = Arc::new(serde_json::from_value(json!({ "metadata": { "annotations": annotations } })).unwrap());
        let changes = changes(&resource, &[pod]);
        assert_eq!(changes.first().map(|(_, value)| *value), expected);
    }
}
