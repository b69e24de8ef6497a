//! Where the milliseconds of a failover go: what the writer saw, what the operator's log says, when the Service's
//! `EndpointSlice` changed, and when a connection through the Service came about again. All on the clock of one machine.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use drill::Gap;
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt,
    api::LogParams,
    runtime::{WatchStreamExt, watcher},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use crate::{harness::operator, subjects::Standing};

/// Between two attempts to connect.
const PROBE_EVERY: Duration = Duration::from_millis(2);
const PROBE_LIMIT: Duration = Duration::from_millis(50);
/// A Service that fails no probe for so long will not fail.
const PROBE_FOR: Duration = Duration::from_secs(5);

/// Milliseconds of each stage, in order: they add up to the outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// From the write that failed to the operator's decision.
    pub detection: f64,
    /// Until the decision is in the status.
    pub record: f64,
    /// Until the new master has said that it is one.
    pub promotion: f64,
    /// Until the API server has the Service's new selector.
    pub route: f64,
    /// Until the `EndpointSlice` has the new address.
    pub endpoints: f64,
    /// Until the Service takes connections again.
    pub proxy: f64,
    /// Until the write is acknowledged.
    pub write: f64,
}

impl Trace {
    pub const STAGES: [(&'static str, &'static str); 7] = [
        ("detection", "the connection breaks … the operator has asked the survivors, and decides"),
        ("record", "… the choice is in the status"),
        ("promotion", "… the new master says that it is one"),
        ("route", "… the master Service's selector names it"),
        ("endpoints", "… the EndpointSlice has its address"),
        ("kube-proxy", "… a connection to the Service's address comes about"),
        ("first write", "… the write is acknowledged"),
    ];

    pub fn stages(&self) -> [f64; 7] {
        [self.detection, self.record, self.promotion, self.route, self.endpoints, self.proxy, self.write]
    }
}

/// The moments between the stages.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    begun: Option<Timestamp>,
    recorded: Option<Timestamp>,
    promoted: Option<Timestamp>,
    routed: Option<Timestamp>,
    endpoints: Option<Timestamp>,
    connected: Option<Timestamp>,
}

impl Moments {
    /// The operator's log, from the beginning of the round on.
    fn read(&mut self, log: &str, namespace: &str, since: Timestamp) {
        for line in log.lines().filter(|line| line.contains(namespace)) {
            let Some((at, ms)) = time_and_ms(line).filter(|(at, _)| *at >= since) else { continue };
            if line.contains("transition begins") {
                self.recorded.get_or_insert(at);
                self.begun.get_or_insert(at - Duration::from_millis(ms));
            } else if line.contains("master Service points at") {
                self.routed.get_or_insert(at);
            } else if line.contains("promoted") {
                self.promoted.get_or_insert(at);
            }
        }
    }

    /// The stages of an outage. A moment that is seen late, after the next one, counts as simultaneous with it.
    fn trace(&self, outage: &Gap) -> Option<Trace> {
        let end = outage.from + Duration::from_secs_f64(outage.ms / 1000.0);
        let moments =
            [self.begun?, self.recorded?, self.promoted?, self.routed?, self.endpoints?, self.connected?, end];
        let mut stages = [0.0; 7];
        let mut former = outage.from;
        for (index, stage) in stages.iter_mut().enumerate() {
            let moment = moments[index..].iter().min().copied()?.max(former);
            *stage = moment.duration_since(former).as_secs_f64() * 1000.0;
            former = moment;
        }
        let [detection, record, promotion, route, endpoints, proxy, write] =
            stages.map(|ms| (ms * 10.0).round() / 10.0);
        Some(Trace { detection, record, promotion, route, endpoints, proxy, write })
    }
}

/// When a line of the log was written, and the `ms` in it, in either of the formats.
fn time_and_ms(line: &str) -> Option<(Timestamp, u64)> {
    if let Ok(fields) = serde_json::from_str::<Value>(line) {
        let at = fields.get("timestamp")?.as_str()?.parse().ok()?;
        return Some((at, fields.get("ms").and_then(Value::as_u64).unwrap_or_default()));
    }
    let (at, rest) = line.split_once(' ')?;
    let ms = rest.split(' ').filter_map(|word| word.strip_prefix("ms=")).next_back();
    Some((at.parse().ok()?, ms.and_then(|ms| ms.parse().ok()).unwrap_or_default()))
}

/// The addresses that a Service led to, and from when on.
type Endpoints = Arc<Mutex<Vec<(Timestamp, BTreeSet<String>)>>>;

/// Watches what happens besides.
pub struct Tracer {
    endpoints: Endpoints,
    watching: JoinHandle<Result<()>>,
    probing: JoinHandle<Option<Timestamp>>,
}

impl Tracer {
    pub fn start(standing: &Standing) -> Self {
        let slices: Api<EndpointSlice> = standing.pods.all();
        let service = format!("kubernetes.io/service-name={}-master", standing.pods.name);
        let endpoints = Endpoints::default();
        let seen = Arc::clone(&endpoints);
        let watching = tokio::spawn(async move {
            let config = watcher::Config::default().labels(&service);
            let mut changes = pin!(watcher(slices, config).applied_objects());
            while let Some(slice) = changes.try_next().await? {
                let addresses = slice.endpoints.into_iter().flat_map(|endpoint| endpoint.addresses).collect();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push((Timestamp::now(), addresses));
            }
            Ok(())
        });
        let address = standing.target.address.parse().ok();
        let probing = tokio::spawn(async move { probe(address?).await });
        Self { endpoints, watching, probing }
    }

    /// The stages of the longest of these gaps; none if a moment between them was not seen.
    pub async fn finish(self, standing: &Standing, gaps: &[Gap], since: Timestamp) -> Result<Option<Trace>> {
        self.watching.abort();
        let connected = self.probing.await.context("the probe")?;
        let endpoints = {
            let seen = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            let former = seen.first().map(|(_, addresses)| addresses.clone()).unwrap_or_default();
            seen.iter().find(|(_, now)| !now.is_empty() && *now != former).map(|(at, _)| *at)
        };
        let mut moments = Moments { endpoints, connected, ..Moments::default() };
        let leader = operator::leader(&standing.pods.client).await?.name_any();
        let pods: Api<Pod> = Api::namespaced(standing.pods.client.clone(), operator::NAMESPACE);
        let log = pods
            .logs(&leader, &LogParams { since_time: Some(since - Duration::from_secs(2)), ..LogParams::default() })
            .await?;
        moments.read(&log, standing.namespace.name(), since);
        let outage = gaps.iter().filter(|gap| !gap.open).max_by(|a, b| a.ms.total_cmp(&b.ms));
        Ok(outage.and_then(|gap| moments.trace(gap)))
    }
}

/// When a connection comes about after others did not.
pub async fn probe(address: SocketAddr) -> Option<Timestamp> {
    let until = Timestamp::now() + PROBE_FOR;
    let mut failed = false;
    while failed || Timestamp::now() < until {
        let connected = connects(address).await;
        if connected && failed {
            return Some(Timestamp::now());
        }
        failed |= !connected;
        tokio::time::sleep(PROBE_EVERY).await;
    }
    None
}

/// One attempt.
pub async fn connects(address: SocketAddr) -> bool {
    matches!(timeout(PROBE_LIMIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LOG: &str = "\
2025-01-01T00:00:00.000000Z  INFO a::act: promoted resource=cache namespace=here member=\"cache-2\" epoch=1
2025-01-01T00:00:10.012000Z  INFO a::act: transition begins resource=cache namespace=here epoch=2 reason=\"gone: ms=9 x\" ms=7
2025-01-01T00:00:10.013500Z  INFO a::act: promoted resource=cache namespace=other member=\"cache-1\" epoch=2
2025-01-01T00:00:10.014000Z  INFO a::act: promoted resource=cache namespace=here member=\"cache-1\" epoch=2
{\"timestamp\":\"2025-01-01T00:00:10.020000Z\",\"message\":\"master Service points at\",\"namespace\":\"here\",\"ms\":6}
";

    #[test]
    fn the_stages_add_up_to_the_outage() -> Result<()> {
        let since: Timestamp = "2025-01-01T00:00:09Z".parse()?;
        let at = |ms: u64| Some(since + Duration::from_millis(1000 + ms));
        let mut moments = Moments { endpoints: at(19), connected: at(58), ..Moments::default() };
        moments.read(LOG, "here", since);
        let outage = Gap { from: since + Duration::from_secs(1), ms: 60.0, errors: BTreeMap::new(), open: false };
        let trace = moments.trace(&outage).context("all moments are there")?;
        let expected = [5.0, 7.0, 2.0, 5.0, 0.0, 39.0, 2.0];
        let close = trace.stages().iter().zip(expected).all(|(ms, expected)| (ms - expected).abs() < 0.5);
        assert!(close, "{:?}: the slice was seen before the answer to the write", trace.stages());
        assert!((trace.stages().iter().sum::<f64>() - outage.ms).abs() < 0.5);

        moments.promoted = None;
        assert_eq!(moments.trace(&outage), None);
        Ok(())
    }
}
