//! The resources that are looked after, and what the two sides of each share: the slow one that applies objects and the
//! fast one that supervises Redis.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use crate::{
    api::Reason,
    kubernetes::{ownership::Stranger, stores::Key},
    password::Password,
};

/// What the side that applies objects tells the side that supervises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The generation that was last applied, or tried.
    pub generation: Option<i64>,
    /// What has names of ours and is not ours.
    pub strangers: Vec<Stranger>,
    /// What is in the way.
    pub problem: Option<(Reason, String)>,
    /// The password, once it is known.
    pub password: Option<Password>,
}

/// One resource.
#[derive(Debug)]
pub struct Handle {
    /// Wakes the supervisor.
    pub changed: Arc<Notify>,
    /// From the controller to the supervisor.
    pub report: watch::Sender<ReconcileReport>,
    /// From the supervisor to the controller: the password that the members were last logged in to with. It outlives a Secret
    /// that was deleted or changed, and the resource as long as there are pods.
    pub accepted: watch::Sender<Option<Password>>,
    /// From the supervisor to the controller: how many pods the `StatefulSet` must have; `None` until it has looked.
    pub pods: watch::Sender<Option<usize>>,
    /// Looks in a row that found a name taken.
    conflicts: AtomicU32,
}

impl Handle {
    /// A look at the names that found one taken, or none.
    pub fn count_conflict(&self, found: bool) {
        let conflicts = if found { self.conflicts().saturating_add(1) } else { 0 };
        self.conflicts.store(conflicts, Ordering::Relaxed);
    }

    /// How many looks in a row have found a name taken.
    pub fn conflicts(&self) -> u32 {
        self.conflicts.load(Ordering::Relaxed)
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<HashMap<Key, Arc<Handle>>>>);

impl Registry {
    /// The resource's handle, and whether it is new (then somebody must begin to supervise it).
    pub fn get_or_insert(&self, key: &Key) -> (Arc<Handle>, bool) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = map.get(key) {
            return (Arc::clone(handle), false);
        }
        let handle = Arc::new(Handle {
            changed: Arc::new(Notify::new()),
            report: watch::Sender::new(ReconcileReport::default()),
            accepted: watch::Sender::new(None),
            pods: watch::Sender::new(None),
            conflicts: AtomicU32::new(0),
        });
        map.insert(key.clone(), Arc::clone(&handle));
        (handle, true)
    }

    /// The handle of a resource that is looked after.
    pub fn get(&self, key: &Key) -> Option<Arc<Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Forgets a resource.
    pub fn remove(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Wakes its supervisor, if it has one.
    pub fn wake(&self, key: &Key) {
        if let Some(handle) = self.get(key) {
            handle.changed.notify_one();
        }
    }
}
