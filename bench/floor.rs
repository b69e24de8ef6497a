//! What a crash costs on this machine before any operator has done a thing of its own: two requests to the API server and
//! kube-proxy. Once with nothing else going on, once while a container is killed and started again. Nobody decides or promotes.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinHandle};

use crate::{
    faults::ALONE,
    harness::{self, LONG, Namespace, ensure, hand, poll::eventually},
    results::{Line, Log, Results},
    subjects::{IMAGE, ip},
    table::length,
    trace::{connects, probe},
};

/// The Service, its slice, the pod that it leads to, and the object that is written.
const NAME: &str = "floor";
/// The pod that is killed.
const VICTIM: &str = "victim";
const OPEN: u16 = 6379;
/// Nobody listens there: who connects is refused at once, as at a Redis that is gone.
const CLOSED: u16 = 1;

/// Milliseconds of one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    pub at: Timestamp,
    /// It began with the end of a connection to a process that was killed.
    pub beside_crash: bool,
    /// A small object is written.
    pub record: f64,
    /// The slice of a Service is written.
    pub route: f64,
    /// Until a connection to the Service comes about.
    pub proxy: f64,
}

impl Floor {
    pub const STAGES: [(&'static str, &'static str); 3] = [
        ("record", "a small object is written"),
        ("route", "… the slice of a Service is written"),
        ("kube-proxy", "… a connection to the Service's address comes about"),
    ];

    pub fn stages(&self) -> [f64; 3] {
        [self.record, self.route, self.proxy]
    }
}

/// A Service without a selector, a Redis that it may lead to, and another one.
struct Bare<'a> {
    client: &'a Client,
    /// For the requests that are measured: it keeps its connection, and the hand uses up that of the other one.
    requests: Client,
    namespace: &'a str,
    pod: String,
    service: SocketAddr,
}

/// Measures until there are so many rounds of either kind.
pub async fn measure(
    client: &Client,
    rounds: usize,
    calm: Duration,
    interrupted: &AtomicBool,
    log: &mut Log,
    results: &mut Results,
) -> Result<()> {
    let done = |beside_crash| results.floors.iter().filter(|f| f.beside_crash == beside_crash).count();
    let missing: Vec<_> =
        (0..rounds).flat_map(|n| [(n, false), (n, true)]).filter(|(n, kind)| *n >= done(*kind)).collect();
    if missing.is_empty() || interrupted.load(Ordering::Relaxed) {
        return Ok(());
    }
    println!("the floor of a crash: {} rounds", missing.len());
    let namespace = Namespace::create(client, "bench-floor").await?;
    let measured = async {
        let bare = Bare::create(client, namespace.name()).await?;
        for (number, (_, beside_crash)) in missing.iter().enumerate() {
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let floor = bare.round(*beside_crash, calm).await?;
            let what = if *beside_crash { "beside a crash" } else { "quiet" };
            println!("  {}/{} {what}: {}", number + 1, missing.len(), length(floor.stages().iter().sum()));
            log.append(&Line::Floor(floor))?;
            results.floors.push(floor);
        }
        Ok(())
    }
    .await;
    namespace.clear().await;
    measured
}

impl<'a> Bare<'a> {
    async fn create(client: &'a Client, namespace: &'a str) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        for name in [NAME, VICTIM] {
            pods.create(&PostParams::default(), &serde_json::from_value(redis(name))?).await?;
        }
        let service = json!({ "metadata": { "name": NAME }, "spec": { "ports": [{ "name": "redis", "port": OPEN }] } });
        let service = services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        let service = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
        let service = format!("{service}:{OPEN}").parse()?;
        let pod = eventually("the pod has an address", LONG, async || ip(&pods.get(NAME).await?)).await?;
        Ok(Self { client, requests: harness::client().await?, namespace, pod, service })
    }

    async fn round(&self, beside_crash: bool, calm: Duration) -> Result<Floor> {
        for name in [NAME, VICTIM] {
            eventually("both listen", LONG, async || {
                let there = connects(self.listens_at(name).await?).await;
                ensure(there, || format!("{name} refuses"))
            })
            .await?;
        }
        self.lead_to(CLOSED).await?;
        eventually("the Service refuses", LONG, async || {
            ensure(!connects(self.service).await, || "it connects".to_owned())
        })
        .await?;
        tokio::time::sleep(calm).await;

        if !beside_crash {
            let probing = tokio::spawn(probe(self.service));
            return self.measure(beside_crash, probing).await;
        }
        let (victim, mut connection) = self.victim().await?;
        let probing = tokio::spawn(probe(self.service));
        let measured = async {
            let _ = connection.read(&mut [0]).await; // the end, or a reset
            self.measure(beside_crash, probing).await
        };
        let killed = hand::signal_later(self.client, &victim, "redis", "KILL", hand::SERVERS, ALONE);
        let (killed, measured) = tokio::join!(killed, measured);
        killed.and(measured)
    }

    async fn measure(&self, beside_crash: bool, probing: JoinHandle<Option<Timestamp>>) -> Result<Floor> {
        let at = Timestamp::now();
        self.record(at).await?;
        let recorded = Timestamp::now();
        self.lead_to(OPEN).await?;
        let routed = Timestamp::now();
        let Some(connected) = probing.await? else { bail!("the Service did not refuse before") };
        let ms = |from: Timestamp, to: Timestamp| (to.duration_since(from).as_secs_f64() * 10_000.0).round() / 10.0;
        let routed = routed.min(connected); // the answer may come later than what it brings about
        let (record, route, proxy) = (ms(at, recorded), ms(recorded, routed), ms(routed, connected));
        Ok(Floor { at, beside_crash, record, route, proxy })
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn listens_at(&self, pod: &str) -> Result<SocketAddr> {
        Ok(format!("{}:{OPEN}", ip(&self.pods().get(pod).await?)?).parse()?)
    }

    /// The pod that is to be killed, within the hand's reach, and a connection to it.
    async fn victim(&self) -> Result<(Pod, TcpStream)> {
        let pod = self.pods().get(VICTIM).await?;
        eventually("the hand reaches the victim", LONG, async || {
            hand::signal(self.client, &pod, "redis", "0", hand::SERVERS).await
        })
        .await?;
        let connection = TcpStream::connect(self.listens_at(VICTIM).await?).await?;
        Ok((pod, connection))
    }

    async fn record(&self, at: Timestamp) -> Result<()> {
        let objects: Api<ConfigMap> = Api::namespaced(self.requests.clone(), self.namespace);
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": NAME }, "data": { "at": at.to_string() },
        });
        objects.patch(NAME, &PatchParams::apply("bench").force(), &Patch::Apply(object)).await?;
        Ok(())
    }

    async fn lead_to(&self, port: u16) -> Result<()> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.requests.clone(), self.namespace);
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": NAME, "labels": { "kubernetes.io/service-name": NAME } },
            "addressType": "IPv4",
            "ports": [{ "name": "redis", "port": port, "protocol": "TCP" }],
            "endpoints": [{ "addresses": [self.pod] }],
        });
        slices.patch(NAME, &PatchParams::apply("bench").force(), &Patch::Apply(slice)).await?;
        Ok(())
    }
}

/// A Redis that, like the operator's, takes two seconds before it listens when it starts again.
fn redis(name: &str) -> Value {
    let server = format!("sleep 2; exec redis-server --port {OPEN} --save '' --protected-mode no");
    json!({
        "metadata": { "name": name },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 999,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "redis",
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", server],
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}
