//! The `PodDisruptionBudget`.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{Cluster, metadata::object_meta, names};

/// One pod may be evicted at a time, and one that is not ready always: otherwise a cluster that is broken, perhaps by
/// the very node, would keep the node from being drained.
pub(super) fn build(cluster: &Cluster) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: object_meta(cluster, names::pod_disruption_budget(&cluster.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(names::selector_labels(&cluster.name)),
                ..LabelSelector::default()
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
