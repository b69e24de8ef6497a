//! A cluster in which other Services change all the time, so that kube-proxy is never at rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::harness::ensure;

/// Between two changes.
const EVERY: Duration = Duration::from_millis(200);
/// The Service that changes, and its `EndpointSlice`. Nobody connects to it.
const NAME: &str = "service_churn";

/// Changes a Service until it is dropped.
pub struct Bustle {
    changes: Arc<AtomicU64>,
    /// How many there had been when it was last looked.
    seen: AtomicU64,
    task: JoinHandle<()>,
}

impl Bustle {
    pub fn start(client: &Client, namespace: &str) -> Self {
        let changes = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(go_on(client.clone(), namespace.to_owned(), Arc::clone(&changes)));
        Self { changes, seen: AtomicU64::new(0), task }
    }

    /// Fails if nothing has changed since the last call.
    pub fn goes_on(&self) -> Result<()> {
        let now = self.changes.load(Ordering::Relaxed);
        let before = self.seen.swap(now, Ordering::Relaxed);
        ensure(now > before, || format!("after {now} changes no Service changes any more: the cluster is not busy"))
    }
}

impl Drop for Bustle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn go_on(client: Client, namespace: String, changes: Arc<AtomicU64>) {
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let slices: Api<EndpointSlice> = Api::namespaced(client, &namespace);
    let as_bench = PatchParams::apply("bench").force();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        ticks.tick().await;
        if number == 0 && services.patch(NAME, &as_bench, &Patch::Apply(service())).await.is_err() {
            return; // `goes_on` tells
        }
        if slices.patch(NAME, &as_bench, &Patch::Apply(slice(number))).await.is_ok() {
            changes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Without a selector: its addresses are ours.
fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": NAME },
        "spec": { "ports": [{ "name": "nothing", "port": 9 }] },
    })
}

/// An address for documentation (RFC 5737), another one each time.
fn slice(number: u64) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": NAME, "labels": { "kubernetes.io/service-name": NAME } },
        "addressType": "IPv4",
        "ports": [{ "name": "nothing", "port": 9, "protocol": "TCP" }],
        "endpoints": [{ "addresses": [format!("192.0.2.{}", 1 + number % 250)] }],
    })
}
