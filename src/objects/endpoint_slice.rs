//! The slice of the master Service, where `services.masterRouting` has the operator write it.

use std::net::IpAddr;

use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, Pod},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::ResourceExt;

use super::names;

/// Label with the Service's name.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Label that says who writes a slice.
pub const SLICE_MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// Leads to `pod`; `None` as long as that has no address. Ready or not: waiting for the kubelet's word would only lengthen an
/// outage.
pub fn to_master(resource: &str, namespace: &str, owner: Option<OwnerReference>, pod: &Pod) -> Option<EndpointSlice> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    let mut labels = names::labels(resource);
    labels.insert(SERVICE_LABEL.into(), names::master_service(resource));
    labels.insert(SLICE_MANAGER_LABEL.into(), names::MANAGED_BY.into());
    Some(EndpointSlice {
        metadata: ObjectMeta {
            name: Some(names::master_slice(resource)),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        address_type: if ip.is_ipv4() { "IPv4" } else { "IPv6" }.into(),
        endpoints: vec![Endpoint {
            addresses: vec![ip.to_string()],
            conditions: Some(EndpointConditions { ready: Some(true), serving: Some(true), terminating: Some(false) }),
            node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()), // for traffic policies `Local`
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                name: Some(pod.name_any()),
                namespace: Some(namespace.to_owned()),
                uid: pod.uid(),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        }],
        ports: Some(vec![EndpointPort {
            name: Some(names::REDIS_PORT_NAME.into()),
            port: Some(names::REDIS_PORT.into()),
            protocol: Some("TCP".into()),
            app_protocol: Some("redis".into()),
        }]),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod(ip: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "cache-1", "namespace": "shop", "uid": "u1" },
            "spec": { "nodeName": "n1", "containers": [] },
            "status": { "podIP": ip },
        }))
        .unwrap()
    }

    #[rstest]
    #[case("10.0.0.2", "IPv4")]
    #[case("fd00::2", "IPv6")]
    fn it_names_the_pod_as_the_slices_controller_would(#[case] ip: &str, #[case] family: &str) {
        let slice = to_master("cache", "shop", None, &pod(&json!(ip))).unwrap();
        assert_eq!((slice.name_any(), slice.address_type.as_str()), ("cache-master".into(), family));
        assert_eq!(slice.labels()[SERVICE_LABEL], "cache-master");
        assert_eq!(slice.labels()[names::INSTANCE_LABEL], "cache", "so that the operator sees it");
        let endpoint = &slice.endpoints[0];
        assert_eq!(
            (endpoint.addresses.as_slice(), endpoint.node_name.as_deref()),
            ([ip.to_owned()].as_slice(), Some("n1"))
        );
        assert_eq!(endpoint.target_ref.as_ref().unwrap().uid.as_deref(), Some("u1"));
    }

    #[test]
    fn a_pod_without_an_address_cannot_be_led_to() {
        assert_eq!(to_master("cache", "shop", None, &pod(&json!(null))), None);
    }
}
