//! The three Services.

use std::iter;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Cluster, exporter, metadata::object_meta, names};
use crate::api::{ServiceSettings, ServiceType};

/// `<name>-headless`: DNS names of the pods, ready or not, since a member must be found before it can become ready. With an
/// exporter, its port too: here Prometheus finds each member once.
pub(super) fn headless(cluster: &Cluster) -> Service {
    let metrics = exporter::wanted(&cluster.spec).map(|_| metrics_port());
    Service {
        metadata: object_meta(cluster, names::headless_service(&cluster.name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(true),
            selector: Some(names::selector_labels(&cluster.name)),
            ports: Some(iter::once(port(names::REDIS_PORT.into(), None)).chain(metrics).collect()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// `<name>-master`: no selector here. The supervisor owns that field and names the recorded master's pod in it, so that
/// one write moves the Service. Ready or not: waiting for the kubelet's word would only lengthen an outage.
pub(super) fn master(cluster: &Cluster) -> Service {
    let settings = cluster.spec.services.as_ref().and_then(|services| services.master.clone()).unwrap_or_default();
    let mut service = service(cluster, names::master_service(&cluster.name), settings);
    if let Some(spec) = &mut service.spec {
        spec.publish_not_ready_addresses = Some(true);
    }
    service
}

/// `<name>-replicas`: the pods that carry the role label of a replica and are ready.
pub(super) fn replicas(cluster: &Cluster) -> Service {
    let settings = cluster.spec.services.as_ref().and_then(|services| services.replicas.clone()).unwrap_or_default();
    let mut service = service(cluster, names::replicas_service(&cluster.name), settings);
    if let Some(spec) = &mut service.spec {
        let mut selector = names::selector_labels(&cluster.name);
        selector.insert(names::ROLE_LABEL.into(), names::ROLE_REPLICA.into());
        spec.selector = Some(selector);
    }
    service
}

fn service(cluster: &Cluster, name: String, settings: ServiceSettings) -> Service {
    let mut metadata = object_meta(cluster, name);
    metadata.annotations = (!settings.annotations.is_empty()).then_some(settings.annotations);
    let type_ = match settings.type_ {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_.into()),
            ports: Some(vec![port(settings.port, settings.node_port)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(port: i32, node_port: Option<i32>) -> ServicePort {
    ServicePort {
        name: Some(names::REDIS_PORT_NAME.into()),
        port,
        node_port,
        target_port: Some(IntOrString::String(names::REDIS_PORT_NAME.into())),
        protocol: Some("TCP".into()),
        app_protocol: Some("redis".into()),
    }
}

fn metrics_port() -> ServicePort {
    ServicePort {
        name: Some(names::METRICS_PORT_NAME.into()),
        port: names::METRICS_PORT.into(),
        target_port: Some(IntOrString::String(names::METRICS_PORT_NAME.into())),
        protocol: Some("TCP".into()),
        app_protocol: Some("http".into()),
        ..ServicePort::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::fixture::cluster;
    use super::*;

    #[test]
    fn the_master_service_leaves_its_selector_to_the_supervisor() {
        let service = master(&cluster("{}"));
        let spec = service.spec.unwrap();
        assert_eq!(service.metadata.name.as_deref(), Some("cache-master"));
        assert_eq!(spec.selector, None);
        assert_eq!(spec.publish_not_ready_addresses, Some(true));
    }

    #[test]
    fn the_replicas_service_selects_ready_replicas_only() {
        let service = replicas(&cluster("{}"));
        let spec = service.spec.unwrap();
        assert_eq!(service.metadata.name.as_deref(), Some("cache-replicas"));
        let selector = spec.selector.unwrap();
        assert_eq!(selector["redis.replication.dev/role"], "replica");
        assert_eq!(selector["app.kubernetes.io/instance"], "cache");
        assert_ne!(spec.publish_not_ready_addresses, Some(true));
    }

    #[test]
    fn the_headless_service_selects_all_pods_at_once() {
        let spec = headless(&cluster("{}")).spec.unwrap();
        assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
        assert_eq!(spec.publish_not_ready_addresses, Some(true));
        assert_eq!(spec.selector.unwrap(), names::selector_labels("cache"));
    }

    #[test]
    fn settings_are_applied_to_their_own_service() {
        let cluster = cluster(
            "services: {master: {type: LoadBalancer, port: 7000, nodePort: 30700, annotations: {lb: internal}}, replicas: {type: NodePort}}",
        );
        let master = master(&cluster);
        assert_eq!(master.metadata.annotations.unwrap()["lb"], "internal");
        let spec = master.spec.unwrap();
        assert_eq!(spec.type_.as_deref(), Some("LoadBalancer"));
        let port = &spec.ports.unwrap()[0];
        assert_eq!((port.port, port.node_port), (7000, Some(30700)));
        assert_eq!(port.target_port, Some(IntOrString::String("redis".into())));

        let replicas = replicas(&cluster);
        assert_eq!(replicas.metadata.annotations, None);
        let spec = replicas.spec.unwrap();
        assert_eq!(spec.type_.as_deref(), Some("NodePort"));
        assert_eq!(spec.ports.unwrap()[0].port, 6379);
    }
}
