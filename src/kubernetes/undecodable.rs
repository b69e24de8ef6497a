//! Which objects cannot be decoded, and how the watches go on without them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt, future::ready};
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use super::{
    isolation::{Isolated, Undecodable},
    stores::Key,
};
use crate::api::{RedisReplication, RedisReplicationStatus};

pub use super::fault::Fault;

/// The faults of all objects that cannot be decoded, by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<BTreeMap<(String, Key), Fault>>>);

impl Faults {
    /// That of one object.
    pub fn of(&self, kind: &str, key: &Key) -> Option<Fault> {
        self.lock().get(&(kind.to_owned(), key.clone())).cloned()
    }

    /// Kind and name of all of them.
    pub fn all(&self) -> Vec<(String, Key)> {
        self.lock().keys().cloned().collect()
    }

    /// One to test with.
    #[cfg(test)]
    pub fn fake(&self, kind: &str, key: &Key) {
        self.note(kind, key, &super::fault::Fault::too_deep("spec.podOverrides".into(), 64));
    }

    /// Returns whether this is news.
    fn note(&self, kind: &str, key: &Key, fault: &Fault) -> bool {
        self.lock().insert((kind.to_owned(), key.clone()), fault.clone()).as_ref() != Some(fault)
    }

    fn forget(&self, kind: &str, key: &Key) -> bool {
        self.lock().remove(&(kind.to_owned(), key.clone())).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, Key), Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a watch tells of an object that cannot be decoded.
#[derive(Debug)]
pub enum Notice<'a> {
    /// It cannot be decoded, or is at fault in another way than before.
    Broken {
        /// Which.
        object: ObjectReference,
        /// Its metadata.
        metadata: &'a ObjectMeta,
        /// The first field at fault.
        fault: &'a Fault,
        /// Something stands in for it.
        goes_on: bool,
    },
    /// It can be decoded again, or is gone.
    Over {
        /// Its kind.
        kind: &'a str,
        /// Its name.
        key: &'a Key,
    },
}

/// Who is told.
pub type Reporter = Arc<dyn Fn(Notice<'_>) + Send + Sync>;

/// What stands in for an object that cannot be decoded, given what is known of it from before.
pub type Substitute<K> = fn(Option<&K>, &Undecodable) -> Option<K>;

/// For the resource: what was known before, with the metadata of now and the part that is well. A spec must not be guessed, and
/// without a record of who is master nothing may be decided: where nothing is known from before there is no substitute.
pub fn last_known(last: Option<&RedisReplication>, now: &Undecodable) -> Option<RedisReplication> {
    let last = last.filter(|last| last.metadata.uid == now.metadata.uid)?;
    let mut resource = RedisReplication { metadata: now.metadata.clone(), ..last.clone() };
    if let Some(spec) = now.part("spec") {
        resource.spec = spec;
    }
    match now.part::<Option<RedisReplicationStatus>>("status") {
        Some(status) => resource.status = status,
        // another has recorded more: what is known here is out of date, and no write may pass for one that knows that record
        None if now.integer("/status/epoch") > resource.status.as_ref().map(|s| s.epoch) => {
            resource.metadata.resource_version.clone_from(&last.metadata.resource_version);
        }
        None => {}
    }
    Some(resource)
}

/// For what the resource owns: it without the fields at fault. What is missing is known not to be there, or is written again.
pub fn without_faults<K: DeserializeOwned + Clone + Resource>(last: Option<&K>, now: &Undecodable) -> Option<K> {
    now.pruned().or_else(|| {
        let mut object = last?.clone();
        *object.meta_mut() = now.metadata.clone();
        Some(object)
    })
}

/// The events of a watch with what can be decoded only. `known` is the store that they go into.
pub fn decoded<K>(
    events: impl Stream<Item = watcher::Result<Event<Isolated<K>>>> + Send,
    known: Store<K>,
    substitute: Substitute<K>,
    faults: Faults,
    report: Reporter,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let mut watch = Watch { known, substitute, faults, report, listed: BTreeSet::new() };
    events.filter_map(move |event| {
        ready(match event {
            Ok(event) => watch.take_in(event).map(Ok),
            Err(error) => Some(Err(error)),
        })
    })
}

struct Watch<K: Resource<DynamicType = ()> + Clone + 'static> {
    known: Store<K>,
    substitute: Substitute<K>,
    faults: Faults,
    report: Reporter,
    /// Those at fault in the list that is arriving.
    listed: BTreeSet<Key>,
}

impl<K> Watch<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + 'static,
{
    fn take_in(&mut self, event: Event<Isolated<K>>) -> Option<Event<K>> {
        match event {
            Event::Init => {
                self.listed.clear();
                Some(Event::Init)
            }
            Event::InitApply(object) => {
                if object.0.is_err() {
                    self.listed.insert(Key::of(&object));
                }
                self.here(object).map(Event::InitApply)
            }
            Event::InitDone => {
                let kind = K::kind(&());
                for (_, key) in
                    self.faults.all().into_iter().filter(|(k, key)| *k == kind && !self.listed.contains(key))
                {
                    self.over(&key);
                }
                Some(Event::InitDone)
            }
            Event::Apply(object) => {
                let before = self.before(&Key::of(&object));
                let uid = object.uid();
                match self.here(object) {
                    Some(object) => Some(Event::Apply(object)),
                    // another of the same name has taken its place
                    None => before.filter(|b| b.uid() != uid).map(|b| Event::Delete((*b).clone())),
                }
            }
            Event::Delete(object) => {
                let key = Key::of(&object);
                self.over(&key);
                match object.0 {
                    Ok(object) => Some(Event::Delete(object)),
                    Err(_) => self.before(&key).map(|before| Event::Delete((*before).clone())),
                }
            }
        }
    }

    fn before(&self, key: &Key) -> Option<Arc<K>> {
        self.known.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// The object, or what stands in for it.
    fn here(&self, object: Isolated<K>) -> Option<K> {
        let key = Key::of(&object);
        let broken = match object.0 {
            Ok(object) => {
                self.over(&key);
                return Some(object);
            }
            Err(broken) => broken,
        };
        let substitute = (self.substitute)(self.before(&key).as_deref(), &broken);
        if self.faults.note(&K::kind(&()), &key, &broken.fault) {
            let object = ObjectReference {
                api_version: Some(K::api_version(&()).into_owned()),
                kind: Some(K::kind(&()).into_owned()),
                name: Some(key.name),
                namespace: Some(key.namespace),
                uid: broken.metadata.uid.clone(),
                ..ObjectReference::default()
            };
            let goes_on = substitute.is_some();
            (self.report)(Notice::Broken { object, metadata: &broken.metadata, fault: &broken.fault, goes_on });
        }
        substitute
    }

    fn over(&self, key: &Key) {
        let kind = K::kind(&());
        if self.faults.forget(&kind, key) {
            (self.report)(Notice::Over { kind: &kind, key });
        }
    }
}

#[cfg(test)]
#[path = "undecodable_tests.rs"]
mod tests;
