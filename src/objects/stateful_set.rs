//! The `StatefulSet`.

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetOrdinals, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{Cluster, metadata::object_meta, names};
use crate::api::{ClaimRetention, Persistence};

/// The `StatefulSet` only keeps pods in being. `Parallel`, because members need not wait for each other; `OnDelete`,
/// because it is the operator who knows in which order to replace them, and who moves the master away first.
pub(super) fn build(cluster: &Cluster, replicas: i32) -> StatefulSet {
    let persistence = cluster.spec.persistence.as_ref();
    StatefulSet {
        metadata: object_meta(cluster, names::stateful_set(&cluster.name)),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(names::headless_service(&cluster.name)),
            selector: LabelSelector {
                match_labels: Some(names::stateful_set_selector(&cluster.name)),
                ..LabelSelector::default()
            },
            pod_management_policy: Some("Parallel".into()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            revision_history_limit: Some(3),
            min_ready_seconds: Some(0),
            persistent_volume_claim_retention_policy: persistence.map(|persistence| {
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(retention(persistence.when_deleted)),
                    when_scaled: Some(retention(persistence.when_scaled)),
                }
            }),
            volume_claim_templates: persistence.map(|persistence| vec![claim(cluster, persistence)]),
            template: cluster.pod_template.clone(),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// Its labels are all fixed: the API server refuses any change of a claim template.
fn claim(cluster: &Cluster, persistence: &Persistence) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::DATA_VOLUME.into()),
            labels: Some(names::claim_labels(&cluster.name)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: persistence.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), persistence.size.clone())].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// Leaves out the first ordinals, so many, but never all.
///
/// The controller makes the first missing pod before any other, and stops where that fails. It fails as long as a pod of a deleted
/// `StatefulSet` has the name, and such a pod may be the master, which ends only when another member has its data
/// (`slowStartBatch` in Kubernetes' `stateful_set_control.go`).
pub fn leave_out(wanted: &mut StatefulSet, ordinals: i32) {
    let Some(spec) = &mut wanted.spec else { return };
    let replicas = spec.replicas.unwrap_or(1);
    let start = ordinals.min(replicas - 1);
    if start > 0 {
        spec.replicas = Some(replicas - start);
        spec.ordinals = Some(StatefulSetOrdinals { start: Some(start) });
    }
}

/// Takes over from the `StatefulSet` as it is what the API server does not let change: an older operator made it otherwise.
pub fn keep_immutable(wanted: &mut StatefulSet, live: &StatefulSet) {
    let (Some(wanted), Some(live)) = (&mut wanted.spec, &live.spec) else { return };
    wanted.selector = live.selector.clone();
    let templates = wanted.volume_claim_templates.iter_mut().flatten();
    for (wanted, live) in templates.zip(live.volume_claim_templates.iter().flatten()) {
        wanted.metadata.labels.clone_from(&live.metadata.labels);
    }
}

fn retention(retention: ClaimRetention) -> String {
    match retention {
        ClaimRetention::Retain => "Retain".into(),
        ClaimRetention::Delete => "Delete".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::fixture::cluster;
    use super::*;

    #[test]
    fn selector_and_template_agree() {
        let spec = build(&cluster("podLabels: {team: web}"), 3).spec.unwrap();
        let selector = spec.selector.match_labels.unwrap();
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        assert_eq!(selector, names::stateful_set_selector("cache"));
        assert!(selector.iter().all(|(key, value)| labels.get(key) == Some(value)));
    }

    #[test]
    fn ordinals_that_are_taken_are_left_out() {
        for (replicas, taken, expected) in
            [(3, 0, (3, None)), (3, 1, (2, Some(1))), (3, 3, (1, Some(2))), (1, 1, (1, None))]
        {
            let mut set = build(&cluster("{}"), replicas);
            leave_out(&mut set, taken);
            let spec = set.spec.unwrap();
            let start = spec.ordinals.and_then(|ordinals| ordinals.start);
            assert_eq!((spec.replicas.unwrap(), start), expected, "{replicas} {taken}");
        }
    }

    /// What tracks its objects by this label would prune the claims: they have no owner. The controller of the `StatefulSet`
    /// copies the labels of the selector to them.
    #[test]
    fn no_claim_carries_the_label_by_which_others_track() {
        let spec = build(&cluster("persistence: {size: 1Gi}"), 3).spec.unwrap();
        let claim = spec.volume_claim_templates.unwrap().remove(0).metadata.labels.unwrap();
        for labels in [claim, spec.selector.match_labels.unwrap()] {
            assert!(!labels.contains_key(names::INSTANCE_LABEL), "{labels:?}");
        }
    }

    #[test]
    fn what_cannot_change_stays_as_an_older_operator_made_it() {
        let old = |set: &mut StatefulSet| {
            let spec = set.spec.as_mut().unwrap();
            spec.selector.match_labels = Some(names::selector_labels("cache"));
            let claim = &mut spec.volume_claim_templates.as_mut().unwrap()[0];
            claim.metadata.labels = Some(names::selector_labels("cache"));
        };
        let mut live = build(&cluster("persistence: {size: 1Gi}"), 3);
        old(&mut live);
        let mut wanted = build(&cluster("{persistence: {size: 1Gi}, config: {maxmemory: 1gb}}"), 3);
        let mut expected = wanted.clone();
        old(&mut expected);
        keep_immutable(&mut wanted, &live);
        assert_eq!(wanted, expected);
        let labels = wanted.spec.unwrap().template.metadata.unwrap().labels.unwrap();
        assert!(names::selector_labels("cache").iter().all(|(key, value)| labels.get(key) == Some(value)));
    }

    #[test]
    fn the_count_is_the_callers() {
        assert_eq!(build(&cluster("replicas: 2"), 5).spec.unwrap().replicas, Some(5));
    }

    #[test]
    fn the_operator_replaces_pods_not_the_controller() {
        let spec = build(&cluster("{}"), 3).spec.unwrap();
        assert_eq!(spec.update_strategy.unwrap().type_.as_deref(), Some("OnDelete"));
        assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
        assert_eq!(spec.service_name.as_deref(), Some("cache-headless"));
    }

    #[test]
    fn without_persistence_there_is_no_claim() {
        let spec = build(&cluster("{}"), 3).spec.unwrap();
        assert_eq!(spec.volume_claim_templates, None);
        assert_eq!(spec.persistent_volume_claim_retention_policy, None);
        let volumes = spec.template.spec.unwrap().volumes.unwrap();
        assert!(volumes.iter().any(|volume| volume.name == "data" && volume.empty_dir.is_some()));
    }

    #[test]
    fn with_persistence_the_data_is_a_claim() {
        let yaml = "persistence: {size: 10Gi, storageClassName: fast, whenDeleted: Delete}";
        let spec = build(&cluster(yaml), 3).spec.unwrap();
        let claim = &spec.volume_claim_templates.unwrap()[0];
        assert_eq!(claim.metadata.name.as_deref(), Some("data"));
        assert_eq!(claim.metadata.labels.as_ref().unwrap()["redis.replication.dev/name"], "cache");
        let claim = claim.spec.as_ref().unwrap();
        assert_eq!(claim.storage_class_name.as_deref(), Some("fast"));
        assert_eq!(claim.resources.as_ref().unwrap().requests.as_ref().unwrap()["storage"].0, "10Gi");
        let policy = spec.persistent_volume_claim_retention_policy.unwrap();
        assert_eq!((policy.when_deleted.as_deref(), policy.when_scaled.as_deref()), (Some("Delete"), Some("Retain")));
        let volumes = spec.template.spec.unwrap().volumes.unwrap();
        assert!(volumes.iter().all(|volume| volume.name != "data"), "the claim is the volume");
    }
}
