//! What in the stores belongs to one resource. Labels and names can be copied; the owner reference decides.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Pod, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use crate::{
    kubernetes::{
        owned::Owned,
        ownership::{Stranger, controller, is_controlled_by},
        stores::Key,
    },
    objects::names,
};

/// Those of the resource with the identity `owner`.
pub fn of<K>(store: &Owned<K>, key: &Key, owner: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut all = store.of(key);
    all.retain(|object| is_controlled_by(object.meta(), owner));
    all
}

/// The resource's own object of this name.
pub fn named<K>(store: &Owned<K>, key: &Key, owner: &str, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(&key.namespace)).filter(|object| is_controlled_by(object.meta(), owner))
}

/// The `StatefulSet`.
pub fn stateful_set(store: &Owned<StatefulSet>, key: &Key, owner: &str) -> Option<Arc<StatefulSet>> {
    named(store, key, owner, &names::stateful_set(&key.name))
}

/// How many pods it has when all are there: the ordinals that it leaves out are counted.
pub fn pod_count(set: &StatefulSet) -> i32 {
    let spec = set.spec.as_ref();
    let start = spec.and_then(|s| s.ordinals.as_ref()).and_then(|o| o.start).unwrap_or(0);
    spec.and_then(|s| s.replicas).unwrap_or(0).saturating_add(start)
}

/// The revision that its controller makes pods of, once that has seen the present template.
pub fn update_revision(set: &StatefulSet) -> Option<String> {
    let status = set.status.as_ref()?;
    (status.observed_generation == set.metadata.generation).then(|| status.update_revision.clone()).flatten()
}

/// The pods of the members. Labels can be copied (`kubectl debug --copy-to` does): a pod of another name is no member, whatever it
/// says.
pub fn pods(store: &Owned<Pod>, key: &Key, strangers: &[Stranger]) -> Vec<Arc<Pod>> {
    let mut all = store.of(key);
    all.retain(|pod| {
        let name = pod.name_any();
        let of_this_name = names::ordinal(&name).is_some_and(|ordinal| names::pod(&key.name, ordinal) == name);
        of_this_name && is_member(pod, key, strangers)
    });
    all
}

/// Is the pod controlled by another `StatefulSet` than the one with the identity `set`?
pub fn is_of_another_set(pod: &Pod, set: Option<&str>) -> bool {
    controller(pod.meta()).is_some_and(|by| Some(by.uid.as_str()) != set)
}

/// How many of the first ordinals are taken by pods of a deleted `StatefulSet` that end; `set` is the identity of the present one.
pub fn taken_ordinals(pods: &[Arc<Pod>], key: &Key, set: Option<&str>) -> i32 {
    let taken = |ordinal: &i32| {
        let name = names::pod(&key.name, *ordinal);
        let pod = pods.iter().find(|pod| pod.name_any() == name);
        pod.is_some_and(|pod| is_of_another_set(pod, set) && pod.metadata.deletion_timestamp.is_some())
    };
    (0..i32::MAX).find(|ordinal| !taken(ordinal)).unwrap_or(0)
}

/// The endpoint slices of the resource's Services: the operator's own, and those that Kubernetes writes for a Service or for the
/// Endpoints of its name.
pub fn slices(
    slices: &Owned<EndpointSlice>,
    services: &Owned<Service>,
    key: &Key,
    owner: &str,
) -> Vec<Arc<EndpointSlice>> {
    let services = of(services, key, owner);
    let (uids, names): (BTreeSet<_>, BTreeSet<_>) = services.iter().map(|s| (s.uid(), s.name_any())).unzip();
    let mut all = slices.of(key);
    all.retain(|slice| {
        controller(slice.meta()).is_some_and(|by| match by.kind.as_str() {
            "Service" => uids.contains(&Some(by.uid.clone())),
            "Endpoints" => names.contains(&by.name),
            _ => by.uid == owner,
        })
    });
    all
}

/// Is the pod a member? One that another controller keeps is not, whatever its labels and its name are. One without a controller
/// was left behind by a `StatefulSet` that was deleted with `--cascade=orphan`.
pub fn is_member(pod: &Pod, key: &Key, strangers: &[Stranger]) -> bool {
    is_of_set(pod.meta(), &names::stateful_set(&key.name))
        && !controller(pod.meta())
            .is_some_and(|by| strangers.iter().any(|stranger| stranger.uid == by.uid && !stranger.is_being_removed()))
}

/// Kept by the `StatefulSet` of this name, by one before it, or by nobody.
pub fn is_of_set(meta: &ObjectMeta, set: &str) -> bool {
    controller(meta).is_none_or(|by| by.kind == "StatefulSet" && by.name == set && by.api_version.starts_with("apps/"))
}

#[cfg(test)]
#[path = "holdings_tests.rs"]
mod tests;
