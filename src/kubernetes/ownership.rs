//! Whose is the object under a name? The operator writes only to what its resource controls, and to what it made for a resource
//! of this name that was deleted with `--cascade=orphan`.

use std::{fmt, fmt::Debug, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Api, Client, Resource, api::ListParams, core::NamespaceResourceScope, runtime::reflector::ObjectRef};
use serde::de::DeserializeOwned;

use super::{
    apply::{APPLIED, Error, limited},
    owned::Owned,
};
use crate::objects::names;

/// An object that has a name of ours and is not ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Who keeps it.
    pub holder: Holder,
}

/// Who keeps an object that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A deleted resource of the same kind and name: the garbage collector removes the object.
    Predecessor(String),
    /// Another controller: its kind and name.
    Controller(String),
    /// No controller. It was not made by this operator, or for another resource.
    Nobody,
}

impl Stranger {
    /// Describes an object that is not ours.
    pub fn new(kind: &str, meta: &ObjectMeta, holder: Holder) -> Self {
        let (name, uid) = (meta.name.clone().unwrap_or_default(), meta.uid.clone().unwrap_or_default());
        Self { kind: kind.to_owned(), name, uid, holder }
    }

    /// Does it go away without help?
    pub fn is_being_removed(&self) -> bool {
        matches!(self.holder, Holder::Predecessor(_))
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, .. } = self;
        match &self.holder {
            Holder::Predecessor(of) => write!(f, "{kind} {name} (of a deleted {of}, being removed)"),
            Holder::Controller(of) => write!(f, "{kind} {name} (controlled by {of})"),
            Holder::Nobody => write!(f, "{kind} {name}"),
        }
    }
}

/// The owner reference that says who controls an object.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Is the object controlled by the resource with this identity?
pub fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller(meta).is_some_and(|owner| owner.uid == uid)
}

/// May the resource `owner` write to the object?
pub fn judge(kind: &str, meta: &ObjectMeta, owner: &OwnerReference) -> Result<(), Stranger> {
    let holder = match controller(meta) {
        Some(by) if by.uid == owner.uid => return Ok(()),
        Some(by) if (&by.kind, &by.name) == (&owner.kind, &owner.name) && group(by) == group(owner) => {
            Holder::Predecessor(format!("{} {}", by.kind, by.name))
        }
        Some(by) => Holder::Controller(format!("{} {}", by.kind, by.name)),
        None if is_orphan(kind, meta, &owner.name) => return Ok(()),
        None => Holder::Nobody,
    };
    Err(Stranger::new(kind, meta, holder))
}

fn group(owner: &OwnerReference) -> &str {
    owner.api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Made by the operator for a resource of this name, and left behind on request. A generated Secret and a slice carry no digest.
fn is_orphan(kind: &str, meta: &ObjectMeta, resource: &str) -> bool {
    let labels = meta.labels.clone().unwrap_or_default();
    let applied = meta.annotations.as_ref().is_some_and(|all| all.contains_key(APPLIED));
    names::carries(&labels, &names::labels(resource)) && (applied || matches!(kind, "Secret" | "EndpointSlice"))
}

/// What is under the name of an object that is wanted.
#[derive(Clone, Debug)]
pub enum Place<K> {
    /// Nothing.
    Free,
    /// An object of ours.
    Ours {
        /// Its identity.
        uid: String,
        /// All of it, where the watch has it.
        live: Option<Arc<K>>,
    },
    /// An object that is not ours.
    Taken(Stranger),
}

impl<K> Place<K> {
    /// What is in the way.
    pub fn stranger(&self) -> Option<&Stranger> {
        match self {
            Self::Taken(stranger) => Some(stranger),
            Self::Free | Self::Ours { .. } => None,
        }
    }
}

/// Looks up what is under a name. What the watch knows to be ours is not asked for. The API server is asked about all else: an
/// object of others carries no label by which the watch would show it.
pub async fn look_up<K>(
    client: &Client,
    known: Option<&Owned<K>>,
    namespace: &str,
    name: &str,
    owner: &OwnerReference,
) -> Result<Place<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let kind = K::kind(&());
    let seen = known.and_then(|known| known.get(&ObjectRef::new(name).within(namespace)));
    if let Some(live) = seen
        && let Some(uid) = live.meta().uid.clone()
        && judge(&kind, live.meta(), owner).is_ok()
    {
        return Ok(Place::Ours { uid, live: Some(live) });
    }
    Ok(match metadata::<K>(client, namespace, name).await? {
        None => Place::Free,
        Some(meta) => match judge(&kind, &meta, owner) {
            Ok(()) => Place::Ours { uid: meta.uid.unwrap_or_default(), live: None },
            Err(stranger) => Place::Taken(stranger),
        },
    })
}

/// The metadata of one object. A list of that one name takes no right to read single objects, and its content is not sent.
pub async fn metadata<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let only = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = limited("look up", &K::kind(&()), name, api.list_metadata(&only)).await?;
    Ok(found.items.into_iter().next().map(|object| object.metadata))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn owner() -> OwnerReference {
        serde_json::from_value(by("redis.replication.dev/v1alpha1", "RedisReplication", "shop", "u1")).unwrap()
    }

    fn by(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true})
    }

    fn labels(instance: &str) -> Value {
        json!(names::labels(instance))
    }

    fn holder(kind: &str, meta: Value) -> Option<Holder> {
        judge(kind, &serde_json::from_value(meta).unwrap(), &owner()).err().map(|stranger| stranger.holder)
    }

    #[rstest]
    #[case::ours(by("redis.replication.dev/v1alpha1", "RedisReplication", "shop", "u1"), None)]
    #[case::of_a_later_version_of_the_api(by("redis.replication.dev/v1", "RedisReplication", "shop", "u1"), None)]
    #[case::of_one_that_was_deleted(
        by("redis.replication.dev/v1alpha1", "RedisReplication", "shop", "u0"),
        Some(Holder::Predecessor("RedisReplication shop".into()))
    )]
    #[case::of_a_kind_of_the_same_name(
        by("databases.example.com/v1", "RedisReplication", "shop", "u0"),
        Some(Holder::Controller("RedisReplication shop".into()))
    )]
    #[case::of_another_resource(
        by("redis.replication.dev/v1alpha1", "RedisReplication", "shop-cache", "u0"),
        Some(Holder::Controller("RedisReplication shop-cache".into()))
    )]
    #[case::of_something_else(by("apps/v1", "Deployment", "web", "u0"), Some(Holder::Controller("Deployment web".into())))]
    fn the_controller_decides(#[case] by: Value, #[case] expected: Option<Holder>) {
        // labels and annotations can be copied
        let meta = json!({"labels": labels("shop"), "annotations": {(APPLIED): "x"}, "ownerReferences": [by]});
        assert_eq!(holder("Service", meta), expected);
    }

    #[test]
    fn an_owner_that_does_not_control_it_does_not_count() {
        let mut by = by("redis.replication.dev/v1alpha1", "RedisReplication", "shop", "u1");
        by["controller"] = json!(false);
        assert_eq!(holder("Service", json!({"ownerReferences": [by]})), Some(Holder::Nobody));
    }

    #[rstest]
    #[case::left_behind("Service", labels("shop"), json!({(APPLIED): "x"}), true)]
    #[case::left_behind("StatefulSet", labels("shop"), json!({(APPLIED): "x"}), true)]
    #[case::of_another_resource("Service", labels("cache"), json!({(APPLIED): "x"}), false)]
    #[case::labelled_by_somebody("Service", labels("shop"), json!({}), false)]
    #[case::of_another_product("Service", json!({"app.kubernetes.io/instance": "shop"}), json!({(APPLIED): "x"}), false)]
    #[case::a_secret_is_never_applied("Secret", labels("shop"), json!({}), true)]
    #[case::a_secret_of_somebody("Secret", json!({}), json!({}), false)]
    #[case::a_slice("EndpointSlice", labels("shop"), json!({}), true)]
    fn what_was_left_behind_is_taken_up(
        #[case] kind: &str,
        #[case] labels: Value,
        #[case] annotations: Value,
        #[case] ours: bool,
    ) {
        let expected = (!ours).then_some(Holder::Nobody);
        assert_eq!(holder(kind, json!({"labels": labels, "annotations": annotations})), expected);
    }
}
