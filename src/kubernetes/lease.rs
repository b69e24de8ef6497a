//! Who acts: leader election by a Lease.
//!
//! Compare-and-swap on the resource version; expiry is judged by the local monotonic clock since the record last
//! changed, never by another machine's timestamp. The holder may act until [`Leadership::deadline`], counted from
//! *before* the write that renewed it, so it stops before anyone else can begin.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{Instant, timeout};

/// How long a lease lasts that is not renewed.
pub const LEASE_DURATION: Duration = Duration::from_secs(5);
/// How often it is renewed, or asked about.
pub const RENEW_EVERY: Duration = Duration::from_millis(1500);
/// How often a process that stands by looks whether the lease has expired: reading costs the API server little, and what it
/// takes longer comes on top of an outage.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a request may take.
const LEASE_TIMEOUT: Duration = Duration::from_millis(1200);

/// Whether this process may act, for all who act.
#[derive(Clone, Default, Debug)]
pub struct Leadership(Arc<RwLock<Option<Instant>>>);

impl Leadership {
    /// Until when this process may act.
    pub fn deadline(&self) -> Option<Instant> {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// May this process act now?
    pub fn holds(&self) -> bool {
        self.deadline().is_some_and(|d| Instant::now() < d)
    }

    fn set(&self, deadline: Option<Instant>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = deadline;
    }
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    leadership: Leadership,
    seen: Option<(String, Instant)>, // resource version, and when it was first seen
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This process leads.
    Leading,
    /// Another does.
    Following,
}

/// Why it is not known who leads: act until the deadline that is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be asked.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The API server did not answer in time.
    #[error("no answer from the API server")]
    NoAnswer,
}

impl Elector {
    /// `api` should have a client of its own, so that nothing else is in the way of a renewal.
    pub fn new(api: Api<Lease>, name: &str, identity: &str, leadership: Leadership) -> Self {
        Self { api, name: name.into(), identity: identity.into(), leadership, seen: None }
    }

    /// Acquires or renews.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn attempt(&mut self) -> Result<Outcome, Error> {
        let sent = Instant::now();
        let holds = timeout(LEASE_TIMEOUT, self.exchange(sent)).await.map_err(|_| Error::NoAnswer)??;
        self.leadership.set(holds.then_some(sent + LEASE_DURATION));
        Ok(if holds { Outcome::Leading } else { Outcome::Following })
    }

    /// Gives the lease up, so that another need not wait for it to expire.
    pub async fn release(&mut self) {
        self.leadership.set(None);
        let attempt = async {
            let mut lease = self.api.get(&self.name).await?;
            if holder(&lease) == self.identity
                && let Some(spec) = lease.spec.as_mut()
            {
                spec.holder_identity = Some(String::new());
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Ok(Err(error)) = timeout(LEASE_TIMEOUT, attempt).await {
            tracing::warn!(%error, "lease not released; another leads when it expires");
        }
    }

    async fn exchange(&mut self, now: Instant) -> Result<bool, kube::Error> {
        let params = PostParams::default();
        let written = match self.api.get_opt(&self.name).await? {
            None => self.api.create(&params, &self.record(None)).await,
            Some(lease) if self.may_take(&lease, now) => {
                self.api.replace(&self.name, &params, &self.record(Some(lease))).await
            }
            Some(_) => return Ok(false),
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(s)) if s.is_conflict() || s.is_already_exists() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn may_take(&mut self, lease: &Lease, now: Instant) -> bool {
        let holder = holder(lease);
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        let version = lease.resource_version().unwrap_or_default();
        match &self.seen {
            Some((seen, since)) if *seen == version => now.duration_since(*since) >= LEASE_DURATION,
            _ => {
                self.seen = Some((version, now));
                false
            }
        }
    }

    fn record(&self, old: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let (metadata, spec) = match old {
            Some(lease) => (lease.metadata, lease.spec.unwrap_or_default()), // with its resource version: the guard
            None => (ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, LeaseSpec::default()),
        };
        let ours = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
                acquire_time: if ours { spec.acquire_time.clone() } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(spec.lease_transitions.unwrap_or(0) + i32::from(!ours)),
                ..spec
            }),
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref()).unwrap_or_default()
}
