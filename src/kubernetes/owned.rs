//! A store of objects with an index by the `RedisReplication` that they belong to. A look at one of them visits its own objects: if it
//! went through the store, the cost at rest would grow with the square of their number.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};

use super::stores::Key;

/// The objects of one kind. Nothing reads all of them.
pub struct Owned<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store: Store<K>,
    index: Arc<RwLock<Index>>,
    #[cfg(test)]
    visited: Arc<std::sync::atomic::AtomicUsize>,
}

impl<K> Clone for Owned<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            index: Arc::clone(&self.index),
            #[cfg(test)]
            visited: Arc::clone(&self.visited),
        }
    }
}

/// Takes in what a watch says.
pub struct OwnedWriter<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    writer: Writer<K>,
    owned: Owned<K>,
    /// Of a list that has not ended.
    listed: Index,
}

/// Namespace and name of an object.
type Name = (String, String);

/// Which objects belong to whom.
#[derive(Debug, Default)]
struct Index {
    owners: HashMap<Name, Key>,
    objects: HashMap<Key, BTreeSet<Name>>,
}

impl Index {
    fn insert(&mut self, object: Name, owner: Key) {
        self.remove(&object); // it may have belonged to another
        self.objects.entry(owner.clone()).or_default().insert(object.clone());
        self.owners.insert(object, owner);
    }

    fn remove(&mut self, object: &Name) {
        let Some(owner) = self.owners.remove(object) else { return };
        if let Some(objects) = self.objects.get_mut(&owner) {
            objects.remove(object);
            if objects.is_empty() {
                self.objects.remove(&owner);
            }
        }
    }
}

/// An empty store, and what fills it.
pub fn owned<K>() -> (Owned<K>, OwnedWriter<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, writer) = kube::runtime::reflector::store();
    let owned = Owned {
        store,
        index: Arc::default(),
        #[cfg(test)]
        visited: Arc::default(),
    };
    (owned.clone(), OwnedWriter { writer, owned, listed: Index::default() })
}

impl<K> Owned<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// The objects that belong to a resource, by name.
    pub fn of(&self, key: &Key) -> Vec<Arc<K>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let names = index.objects.get(key).into_iter().flatten();
        names.filter_map(|(namespace, name)| self.get(&ObjectRef::new(name).within(namespace))).collect()
    }

    /// The object of this name, whomever it belongs to.
    pub fn get(&self, object: &ObjectRef<K>) -> Option<Arc<K>> {
        #[cfg(test)]
        self.visited.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.store.get(object)
    }

    /// Waits for the first list. Ends also when its watch has ended.
    pub async fn wait_until_ready(&self) {
        let _ = self.store.wait_until_ready().await;
    }

    /// The store behind it, for what keeps the last known version of an object.
    pub(super) fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// How many objects were looked at since the last call.
    #[cfg(test)]
    pub(crate) fn visited(&self) -> usize {
        self.visited.swap(0, std::sync::atomic::Ordering::Relaxed)
    }
}

impl<K> OwnedWriter<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// Takes in an event.
    pub fn apply(&mut self, event: &Event<K>) {
        self.writer.apply_watcher_event(event);
        let name = |object: &K| {
            let meta = object.meta();
            (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
        };
        let add = |index: &mut Index, object: &K| match Key::of_owner(object) {
            Some(owner) => index.insert(name(object), owner),
            None => index.remove(&name(object)),
        };
        let mut index = self.owned.index.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) => add(&mut index, object),
            Event::Delete(object) => index.remove(&name(object)),
            Event::Init => self.listed = Index::default(),
            Event::InitApply(object) => add(&mut self.listed, object),
            Event::InitDone => *index = std::mem::take(&mut self.listed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;
    use crate::objects::names;

    fn key(resource: &str) -> Key {
        Key { namespace: "web".into(), name: resource.into() }
    }

    fn pod(resource: &str, name: &str) -> Pod {
        let meta = json!({"name": name, "namespace": "web", "labels": names::labels(resource)});
        serde_json::from_value(json!({ "metadata": meta })).unwrap()
    }

    fn names_of(owned: &Owned<Pod>, resource: &str) -> Vec<String> {
        owned.of(&key(resource)).iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
    }

    #[test]
    fn the_objects_of_a_resource_are_found() {
        let (owned, mut writer) = owned::<Pod>();
        writer.apply(&Event::Init);
        writer.apply(&Event::InitApply(pod("a", "a-0")));
        assert!(names_of(&owned, "a").is_empty(), "the list has not ended");
        writer.apply(&Event::InitApply(pod("b", "b-0")));
        writer.apply(&Event::InitDone);
        writer.apply(&Event::Apply(pod("a", "a-1")));
        assert_eq!(names_of(&owned, "a"), ["a-0", "a-1"]);
        writer.apply(&Event::Apply(pod("b", "a-1"))); // its labels are others
        assert_eq!(
            (names_of(&owned, "a"), names_of(&owned, "b")),
            (vec!["a-0".into()], vec!["a-1".into(), "b-0".into()])
        );
        let mut nobodys = pod("a", "a-1");
        nobodys.metadata.labels = None;
        writer.apply(&Event::Apply(nobodys));
        assert_eq!(names_of(&owned, "b"), ["b-0"]);
        writer.apply(&Event::Delete(pod("a", "a-0")));
        assert!(names_of(&owned, "a").is_empty());
        writer.apply(&Event::Init);
        writer.apply(&Event::InitApply(pod("c", "c-0")));
        assert_eq!(names_of(&owned, "b"), ["b-0"], "the former list counts until the next has ended");
        writer.apply(&Event::InitDone);
        assert_eq!((names_of(&owned, "b"), names_of(&owned, "c")), (vec![], vec!["c-0".to_owned()]));
        assert_eq!(owned.index.read().unwrap().objects.len(), 1, "nothing is kept of those that are gone");
    }

    #[test]
    fn a_look_visits_the_objects_of_one_resource() {
        let (owned, mut writer) = owned::<Pod>();
        for i in 0..300 {
            for j in 0..3 {
                writer.apply(&Event::Apply(pod(&format!("r{i}"), &format!("r{i}-{j}"))));
            }
        }
        owned.visited();
        assert_eq!((owned.of(&key("r7")).len(), owned.visited()), (3, 3));
        assert_eq!((owned.of(&key("none")).len(), owned.visited()), (0, 0));
    }
}
