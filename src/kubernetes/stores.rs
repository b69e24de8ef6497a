//! What is known of the cluster: one watch for each kind, one store, and a wake-up for whoever is concerned.

use std::fmt::Debug;

use futures::{
    FutureExt, Stream, StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::BoxFuture,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;

use super::{
    isolation::Isolated,
    owned::{Owned, owned},
    undecodable::{Faults, Reporter, decoded, without_faults},
};
use crate::objects::names::{COMPONENT, COMPONENT_LABEL, INSTANCE_LABEL, NAME, NAME_LABEL, RESOURCE_LABEL};

/// Namespace and name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// Of the resource itself.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }

    /// Of the resource that an object belongs to, by the label that all of its objects carry. Volume claims do not have the
    /// one of Kubernetes, objects of an older operator not ours.
    pub fn of_owner(object: &impl ResourceExt) -> Option<Self> {
        let name = object.labels().get(RESOURCE_LABEL).or_else(|| object.labels().get(INSTANCE_LABEL))?.clone();
        Some(Self { namespace: object.namespace()?, name })
    }
}

/// An API for one namespace, or for all.
pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The objects that a watch has seen change, deletions among them, for a controller to be woken by. (A store's own
/// subscribers do not hear of deletions.)
pub type Changes<K> = UnboundedReceiver<watcher::Result<K>>;

/// Watches the objects that belong to our resources. Returns the store, the changes, and the future that keeps both going.
pub fn watch_managed<K>(
    client: &Client,
    namespace: Option<&str>,
    (faults, report): (Faults, Reporter),
    wake: impl Fn(Key) + Send + 'static,
) -> (Owned<K>, Changes<K>, BoxFuture<'static, ()>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static,
{
    let (store, mut writer) = owned::<K>();
    let (seen, changes) = unbounded();
    let selector = format!("{NAME_LABEL}={NAME},{COMPONENT_LABEL}={COMPONENT}");
    let config = watcher::Config::default().labels(&selector);
    let events = watcher(api::<Isolated<K>>(client, namespace), config).default_backoff();
    let events = decoded(events, store.store(), without_faults, faults, report).inspect(move |event| {
        if let Ok(event) = event {
            writer.apply(event);
        }
    });
    (store, changes, drive(events, seen, wake).boxed())
}

async fn drive<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    seen: UnboundedSender<watcher::Result<K>>,
    wake: impl Fn(Key) + Send,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(o) | watcher::Event::InitApply(o) | watcher::Event::Delete(o)) => {
                if let Some(key) = Key::of_owner(&o) {
                    wake(key);
                }
                let _ = seen.unbounded_send(Ok(o)); // nobody listens where only the store is of interest
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted"),
        }
    }
}
