//! Starts everything, and stops it in order.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    coordination::v1::Lease,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Config,
    runtime::{Controller, WatchStreamExt, controller, reflector, watcher, watcher::Event},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    Metrics,
    context::Context,
    controller::{on_error, reconcile},
    isolation::Isolation,
    observe::Stores,
    registry::Registry,
};
use crate::{
    api::RedisReplication,
    kubernetes::{
        client::client,
        events::Publisher,
        isolation::Isolated,
        lease::{self, Elector, LOOK_EVERY, Leadership, Outcome, RENEW_EVERY},
        stores::{self, Key, watch_managed},
        undecodable::{decoded, last_known},
    },
    web::{ListenError, Web, WebArgs},
};

/// Arguments of `run`; each can be given by the environment.
#[derive(clap::Args, Clone, Debug)]
pub struct RunArgs {
    /// Name of this process in the lease and in events.
    #[arg(long, env = "POD_NAME", default_value = "redis-replication-operator")]
    pub identity: String,
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Name of the lease: two operators that look after different namespaces need different ones.
    #[arg(long, env = "LEASE_NAME", default_value = "redis-replication-operator")]
    pub lease_name: String,
    /// The one namespace to look after; empty: all.
    #[arg(long, env = "WATCH_NAMESPACE", default_value = "")]
    pub watch_namespace: String,
    /// Health and metrics.
    #[command(flatten)]
    pub web: WebArgs,
}

/// Why the operator ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable kubeconfig or service account.
    #[error("no access to a cluster: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("client: {0}")]
    Client(#[from] kube::Error),
    /// The address is taken, or not ours.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signal(std::io::Error),
    /// Another process leads, or the lease could not be renewed in time. A fresh start is the safest way to stop acting.
    #[error("the lease was lost: {0}")]
    LeaseLost(LeaseLost),
    /// The web server ended.
    #[error("http: {0}")]
    Http(std::io::Error),
}

/// Why this process may not act any more.
#[derive(Debug, thiserror::Error)]
pub enum LeaseLost {
    /// It was too late.
    #[error("another process holds it")]
    Taken,
    /// It could not be renewed in time.
    #[error(transparent)]
    NotRenewed(#[from] lease::Error),
}

/// Runs until a signal, or until the lease is lost.
pub async fn run(args: RunArgs) -> Result<(), Error> {
    let metrics = Metrics::default();
    let config = Config::infer().await?;
    let main = client(config.clone(), metrics.requests.clone())?;
    let own = client(config, metrics.requests.clone())?; // nothing else may be in the way of a renewal
    let leadership = Leadership::default();
    let leases: Api<Lease> = Api::namespaced(own, &args.namespace);
    let mut elector = Elector::new(leases, &args.lease_name, &args.identity, leadership.clone());

    let web = Web::bind(&args.web).await?;
    let shown = metrics.clone();
    let mut http = tokio::spawn(web.serve(move || shown.text(), main.clone())).map(|r| match r {
        Ok(Err(e)) => Error::Http(e),
        Ok(Ok(())) | Err(_) => Error::Http(std::io::Error::other("the server ended")),
    });
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;

    let election = async {
        let ended = lead(&mut elector, &leadership, &main, &metrics, &args).await;
        Err(Error::LeaseLost(ended))
    };
    let result = tokio::select! {
        ended = election => ended,
        ended = &mut http => Err(ended),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if result.is_ok() {
        tracing::info!("asked to stop");
        elector.release().await; // another need not wait for it to expire
    }
    result
}

/// Stands by, then leads; returns why the lease was lost.
async fn lead(
    elector: &mut Elector,
    leadership: &Leadership,
    client: &Client,
    metrics: &Metrics,
    args: &RunArgs,
) -> LeaseLost {
    tracing::info!(identity = args.identity, lease = args.lease_name, "standing by");
    let mut acting = None;
    loop {
        let next = Instant::now() + if acting.is_some() { RENEW_EVERY } else { LOOK_EVERY };
        match elector.attempt().await {
            Ok(Outcome::Leading) if acting.is_none() => {
                tracing::info!(identity = args.identity, "leading");
                metrics.leading.set(1);
                let namespace = Some(args.watch_namespace.clone()).filter(|n| !n.is_empty());
                acting = Some(AbortOnDrop(tokio::spawn(run_controllers(
                    client.clone(),
                    namespace,
                    args.identity.clone(),
                    leadership.clone(),
                    metrics.clone(),
                ))));
            }
            Ok(Outcome::Following) if acting.is_some() => return LeaseLost::Taken,
            Ok(Outcome::Leading | Outcome::Following) => {}
            Err(error) => {
                tracing::warn!(%error, "lease neither renewed nor refused");
                if acting.is_some() && !leadership.holds() {
                    return error.into();
                }
            }
        }
        let deadline = leadership.deadline().filter(|_| acting.is_some());
        sleep_until(deadline.map_or(next, |d| next.min(d))).await;
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);
impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The watches, the controller, and through it the supervisors.
async fn run_controllers(
    client: Client,
    namespace: Option<String>,
    identity: String,
    leadership: Leadership,
    metrics: Metrics,
) {
    let registry = Registry::default();
    let namespace = namespace.as_deref();
    let publisher = Publisher::new(client.clone(), identity);
    let faults = metrics.faults.clone();
    let isolation = Isolation { client: client.clone(), events: publisher.clone(), leadership: leadership.clone() };
    let isolation = (faults.clone(), isolation.reporter());
    let wake = || {
        let registry = registry.clone();
        move |key: Key| registry.wake(&key)
    };
    let (pods, _, pod_watch) = watch_managed::<Pod>(&client, namespace, isolation.clone(), wake());
    let (claims, _, claim_watch) =
        watch_managed::<PersistentVolumeClaim>(&client, namespace, isolation.clone(), wake());
    let (stateful_sets, set_events, set_watch) =
        watch_managed::<StatefulSet>(&client, namespace, isolation.clone(), wake());
    let (services, service_events, service_watch) =
        watch_managed::<Service>(&client, namespace, isolation.clone(), wake());
    let (slices, _, slice_watch) = watch_managed::<EndpointSlice>(&client, namespace, isolation.clone(), wake());
    let (config_maps, map_events, map_watch) =
        watch_managed::<ConfigMap>(&client, namespace, isolation.clone(), |_| {});
    let (budgets, budget_events, budget_watch) =
        watch_managed::<PodDisruptionBudget>(&client, namespace, isolation.clone(), |_| {});

    let (resources, writer) = reflector::store::<RedisReplication>();
    let wake_all = wake();
    let api = stores::api::<Isolated<RedisReplication>>(&client, namespace);
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let events = decoded(events, resources.clone(), last_known, isolation.0, isolation.1)
        .reflect(writer)
        .inspect(move |event| {
            if let Ok(Event::Apply(r) | Event::Delete(r)) = event {
                wake_all(Key::of(r));
            }
        })
        .touched_objects();

    let known = resources.clone();
    let stores = Stores { resources: known, pods, claims, stateful_sets, services, slices, config_maps, budgets };
    let ctx = Context { client, stores: stores.clone(), leadership, events: publisher, metrics, faults, registry };
    // nothing is decided before the watches have told what there is: an absent pod would look like a lost one
    let ready = async {
        let _ = tokio::join!(
            stores.pods.wait_until_ready(),
            stores.claims.wait_until_ready(),
            stores.stateful_sets.wait_until_ready(),
            stores.services.wait_until_ready(),
            stores.slices.wait_until_ready(),
            stores.config_maps.wait_until_ready(),
            stores.budgets.wait_until_ready(),
        );
    };
    let controller = async {
        ready.await;
        Controller::for_stream(events, resources)
            .owns_stream(set_events)
            .owns_stream(service_events)
            .owns_stream(map_events)
            .owns_stream(budget_events)
            .with_config(controller::Config::default().concurrency(8).debounce(Duration::from_millis(50)))
            .run(reconcile, on_error, Arc::new(ctx))
            .for_each(|result| async move {
                if let Err(error) = result {
                    tracing::debug!(%error, "controller");
                }
            })
            .await;
    };
    tokio::join!(pod_watch, claim_watch, set_watch, service_watch, slice_watch, map_watch, budget_watch, controller);
}
