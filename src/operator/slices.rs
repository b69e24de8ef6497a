//! The endpoint slices of a resource's Services: what kube-proxy acts on.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

use crate::objects::{
    endpoint_slice::{SERVICE_LABEL as SERVICE, SLICE_MANAGER_LABEL as MANAGER},
    names,
};

/// Label of those of headless Services.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Who usually writes them.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Who copies an `Endpoints` object, of a Service without a selector.
const MIRRORING_CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";

/// Does kube-proxy look at it?
pub fn is_looked_at(slice: &EndpointSlice) -> bool {
    !slice.labels().contains_key(HEADLESS)
}

/// The name of the master Service's slice, and the endpoint that its controller is about to write when the Service comes to
/// lead to the pod `uid`: the one that the headless Service has of it, since both have pods that are not ready. Nothing if
/// things are not as simple as they usually are.
pub fn ahead(slices: &[Arc<EndpointSlice>], resource: &str, uid: &str) -> Option<(Arc<EndpointSlice>, Endpoint)> {
    let of = |service: String| slices.iter().filter(move |s| s.labels().get(SERVICE) == Some(&service));
    let mut of_master = of(names::master_service(resource));
    let slice = of_master.next()?;
    if of_master.next().is_some() || slice.labels().get(MANAGER).is_none_or(|by| by != CONTROLLER) {
        return None; // two families of addresses, or somebody else's
    }
    let same_family = of(names::headless_service(resource)).filter(|s| s.address_type == slice.address_type);
    let is_it = |e: &&Endpoint| e.target_ref.as_ref().is_some_and(|pod| pod.uid.as_deref() == Some(uid));
    let endpoint = same_family.flat_map(|s| &s.endpoints).find(is_it)?;
    Some((Arc::clone(slice), Endpoint { hostname: None, hints: None, ..endpoint.clone() }))
}

/// The slice that the operator itself writes for the master Service.
pub fn own(slices: &[Arc<EndpointSlice>], resource: &str) -> Option<Arc<EndpointSlice>> {
    let name = names::master_slice(resource);
    slices.iter().find(|s| s.name_any() == name).cloned()
}

/// Those that Kubernetes writes for the master Service: beside the operator's own they would lead elsewhere.
pub fn of_controllers(slices: &[Arc<EndpointSlice>], resource: &str) -> Vec<Arc<EndpointSlice>> {
    let service = names::master_service(resource);
    let theirs = |s: &&Arc<EndpointSlice>| {
        s.labels().get(SERVICE) == Some(&service)
            && s.labels().get(MANAGER).is_some_and(|by| by == CONTROLLER || by == MIRRORING_CONTROLLER)
    };
    slices.iter().filter(theirs).cloned().collect()
}

/// The identity of the pod that a slice leads to, and its address there.
pub fn leads_to(slice: &EndpointSlice) -> Option<(&str, &str)> {
    let [endpoint] = slice.endpoints.as_slice() else { return None };
    Some((endpoint.target_ref.as_ref()?.uid.as_deref()?, endpoint.addresses.first()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn slice(name: &str, service: &str, manager: &str, pods: &[(&str, &str)]) -> Arc<EndpointSlice> {
        let endpoint = |(uid, ip): &(&str, &str)| {
            json!({
                "addresses": [ip],
                "conditions": { "ready": true, "serving": false, "terminating": false },
                "hostname": "cache-0",
                "nodeName": "n1",
                "zone": "z1",
                "targetRef": { "kind": "Pod", "uid": uid },
            })
        };
        let object = json!({
            "metadata": { "name": name, "labels": { (SERVICE): service, (MANAGER): manager } },
            "addressType": "IPv4",
            "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn headless() -> Arc<EndpointSlice> {
        slice("cache-headless-x", "cache-headless", CONTROLLER, &[("u0", "10.0.0.1"), ("u1", "10.0.0.2")])
    }

    #[test]
    fn the_endpoint_is_the_one_that_the_headless_service_has() {
        let master = slice("cache-master-x", "cache-master", CONTROLLER, &[("u0", "10.0.0.1")]);
        let (slice, endpoint) = ahead(&[headless(), master], "cache", "u1").unwrap();
        assert_eq!(slice.name_any(), "cache-master-x");
        assert_eq!((endpoint.addresses, endpoint.zone.as_deref()), (vec!["10.0.0.2".to_owned()], Some("z1")));
        assert_eq!(endpoint.hostname, None, "only the headless Service gives names to pods");
    }

    #[rstest]
    #[case::none(&[])]
    #[case::two_families(&[CONTROLLER, CONTROLLER])]
    #[case::somebody_elses(&["endpointslicemirroring-controller.k8s.io"])]
    fn what_is_not_simple_is_left_to_the_controller(#[case] managers: &[&str]) {
        let masters = managers.iter().map(|by| slice("cache-master-x", "cache-master", by, &[]));
        let all: Vec<_> = masters.chain([headless()]).collect();
        assert_eq!(ahead(&all, "cache", "u1"), None);
    }

    #[test]
    fn a_pod_that_the_headless_service_does_not_have_yet_is_left_to_the_controller() {
        let master = slice("cache-master-x", "cache-master", CONTROLLER, &[]);
        assert_eq!(ahead(&[headless(), master], "cache", "u2"), None);
    }
}
