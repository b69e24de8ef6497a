//! Pure: a resource → the Kubernetes objects that it should have, one file per kind.
//!
//! [`validate`] turns the resource into a [`Cluster`], of which [`build`] can always make objects. Applying them, and
//! asking the API server anything, is the caller's.

mod config_map;
pub mod endpoint_slice;
mod exporter;
mod metadata;
pub mod names;
mod overrides;
mod pod_disruption_budget;
mod pod_template;
mod scripts;
mod secret;
mod service;
mod stateful_set;
mod syntax;
mod validate;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Service},
    policy::v1::PodDisruptionBudget,
};

pub use config_map::persistence;
pub use names::expected_members;
pub use secret::generated_secret;
pub use stateful_set::{keep_immutable, leave_out};
pub use validate::{Cluster, InvalidSpec, validate};

/// What a cluster consists of, besides the Secret, which is made only once.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// `<name>-scripts`: what the containers run.
    pub scripts: ConfigMap,
    /// `<name>-config-<digest>`: the settings of the pods of the present revision.
    pub settings: ConfigMap,
    /// `<name>-headless`: the pods' DNS names.
    pub headless_service: Service,
    /// `<name>-master`: without a selector, which the supervisor owns.
    pub master_service: Service,
    /// `<name>-replicas`: the ready replicas.
    pub replicas_service: Service,
    /// `<name>`: the pods.
    pub stateful_set: StatefulSet,
    /// `<name>`: evictions come one at a time.
    pub pod_disruption_budget: PodDisruptionBudget,
}

/// Makes the objects. `stateful_set_replicas` differs from `spec.replicas` while a master with a high ordinal hands over
/// before its pod goes.
pub fn build(cluster: &Cluster, stateful_set_replicas: i32) -> Objects {
    Objects {
        scripts: config_map::scripts(cluster),
        settings: config_map::settings(cluster),
        headless_service: service::headless(cluster),
        master_service: service::master(cluster),
        replicas_service: service::replicas(cluster),
        stateful_set: stateful_set::build(cluster, stateful_set_replicas),
        pod_disruption_budget: pod_disruption_budget::build(cluster),
    }
}

#[cfg(test)]
mod fixture;
