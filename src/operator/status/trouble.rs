//! What is wrong with a member that somebody has to do something about.

use std::time::Duration;

use kube::ResourceExt;

use super::remedy;
use crate::{
    api::{Reason, RedisReplication},
    objects::names,
    replication::{Contact, Liveness, Member, Observation, liveness, serving_master},
};

/// So long the operator may fail to connect to a Redis that the kubelet has heard: its status lags behind by seconds.
const OUT_OF_REACH_AFTER: Duration = Duration::from_secs(8);

/// So long a container beside Redis may take to be ready, or a readiness gate to open.
const UNREADY_AFTER: Duration = Duration::from_secs(30);

/// Where it is, for commands to copy.
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) persistent: bool,
}

impl Place {
    pub(super) fn of(resource: &RedisReplication) -> Self {
        Self {
            namespace: resource.namespace().unwrap_or_else(|| "default".into()),
            name: resource.name_any(),
            image: resource.spec.image.clone(),
            persistent: resource.spec.persistence.is_some(),
        }
    }
}

/// Why it does not do its part, and what to do about it.
pub(super) fn trouble(o: &Observation, place: &Place, name: &str, m: &Member) -> Option<(Reason, String)> {
    if let Some(failure) = m.pod.as_ref().and_then(|p| p.failure.as_ref()) {
        let words = match failure.reason {
            Reason::DataDamaged => remedy::of_damage(
                &failure.message,
                place,
                name,
                serving_master(o).is_some_and(|(_, info)| info.keys > 0),
            ),
            _ => failure.message.clone(),
        };
        return Some((failure.reason, words));
    }
    let told = m.absent.as_ref().filter(|_| m.pod.is_none()).or(m.server.problem.as_ref());
    told.map(|f| (f.reason, f.message.clone()))
        .or_else(|| out_of_reach(o, m))
        .or_else(|| dropped(o, name, m))
        .or_else(|| unready(o, m))
}

/// Its Redis is well, and readers are not led to it.
fn unready(o: &Observation, m: &Member) -> Option<(Reason, String)> {
    let pod = m.pod.as_ref().filter(|pod| !pod.leaving)?;
    let words = pod.unready.as_ref().filter(|_| o.now >= pod.unready_since + UNREADY_AFTER)?;
    let words = format!(
        "its Redis is ready and its pod is not: {words}. The replicas Service does not lead to it, and no pod is replaced after a \
         change of the spec before it is ready; look at spec.podOverrides and at what admission webhooks add"
    );
    Some((Reason::PodNotReady, words))
}

/// A member that lost a container for want of memory a while ago. It may be well at the moment.
pub(super) fn short_of_memory(o: &Observation) -> Option<String> {
    o.members.iter().find_map(|(name, m)| {
        let failure = m.pod.as_ref().filter(|pod| !pod.leaving && !pod.outdated)?.short_of_memory.as_ref()?;
        Some(format!("{name}: {}", failure.message))
    })
}

/// The kubelet has heard its Redis, and the operator cannot connect to it.
fn out_of_reach(o: &Observation, m: &Member) -> Option<(Reason, String)> {
    let since = m.server.unreached_since?;
    let pod = m.pod.as_ref().filter(|p| p.running && p.started && !p.leaving)?;
    if o.now < since + OUT_OF_REACH_AFTER {
        return None;
    }
    let how = match m.server.contact {
        Contact::Refused { .. } => "the connection is refused",
        Contact::Closed { .. } => "the connection is closed",
        Contact::HostSilent { .. } => "there is no answer",
        Contact::None | Contact::Up => "no connection comes about",
    };
    let address = pod.ip.map_or_else(|| "its address".into(), |ip| ip.to_string());
    let words = format!(
        "its Redis runs, as the kubelet says, and the operator cannot connect to it at {address}, port {}: {how}. A NetworkPolicy, \
         a firewall or a service mesh may be in the way, or its node is gone; allow connections from the operator's namespace to \
         port {} of the pods",
        names::REDIS_PORT,
        names::REDIS_PORT
    );
    Some((Reason::MemberUnreachable, words))
}

/// It loses its copy again and again because the master drops it.
fn dropped(o: &Observation, name: &str, m: &Member) -> Option<(Reason, String)> {
    let follows = matches!(liveness(o, m), Liveness::Alive(info) if info.is_online());
    (!follows && o.memory.drops.is_dropped(name)).then(|| {
        let words = "the master drops it in the course of its copy: what is written meanwhile does not fit into its output buffer. Set \
                     spec.config.client-output-buffer-limit to more than is written during a copy, for example \"replica 2gb 0 0\", \
                     and leave room for it in spec.resources.limits.memory; or write less until it follows";
        (Reason::OutputBufferTooSmall, words.to_owned())
    })
}
