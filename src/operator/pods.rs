//! What Kubernetes says of a pod, as facts for the planner.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod as KubePod};
use kube::ResourceExt;

use super::containers;
use crate::{
    api::Reason,
    objects::names::{REDIS_CONTAINER, REVISION_LABEL, ROLE_LABEL, ROLE_MASTER, ROLE_REPLICA, ROLE_STALE},
    replication::{Failure, Moment, Pod, RoleLabel},
};

/// Reads a pod; `update_revision` is the StatefulSet's present one, where it is known.
pub fn facts(pod: &KubePod, update_revision: Option<&str>) -> Pod {
    let status = pod.status.as_ref();
    let redis = statuses(pod).find(|c| c.name == REDIS_CONTAINER);
    let running = redis.and_then(|c| c.state.as_ref()).is_some_and(|s| s.running.is_some());
    let leaving = pod.metadata.deletion_timestamp.is_some();
    let revision = pod.labels().get(REVISION_LABEL).map(String::as_str);
    Pod {
        uid: pod.uid().unwrap_or_default(),
        ip: status.and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
        leaving,
        leaving_since: Moment::ZERO, // the observer knows
        ran: redis.is_some_and(has_run),
        restarts: restarts(pod),
        running,
        started: running && redis.and_then(|c| c.started) == Some(true),
        ready: status
            .and_then(|s| s.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True")),
        outdated: matches!((revision, update_revision), (Some(is), Some(should)) if is != should),
        role: match pod.labels().get(ROLE_LABEL).map(String::as_str) {
            Some(ROLE_MASTER) => Some(RoleLabel::Master),
            Some(ROLE_REPLICA) => Some(RoleLabel::Replica),
            Some(ROLE_STALE) => Some(RoleLabel::Stale),
            _ => None,
        },
        // what ends while it is being deleted was told to
        failure: if leaving { None } else { failure(pod) },
        stage: (!running).then(|| stage(pod, leaving)),
        unready: if leaving { None } else { unready(pod) },
        unready_since: Moment::ZERO, // this too
        short_of_memory: None,       // it depends on the time
    }
}

/// A container that was killed for want of memory not long ago and runs again, or is about to. The next time is a question of
/// minutes, and the kubelet waits five at most before it starts one again.
pub fn short_of_memory(pod: &KubePod, now: Timestamp) -> Option<Failure> {
    const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);
    let recent = |c: &&ContainerStatus| {
        let last = c.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        last.is_some_and(|t| {
            let ago = t.finished_at.as_ref().map(|at| now.duration_since(at.0));
            t.reason.as_deref() == Some("OOMKilled") && ago.is_some_and(|ago| ago < REMEMBERED)
        })
    };
    let init = init_statuses(pod).find(recent).map(|c| (c, true));
    let (container, init) = init.or_else(|| statuses(pod).find(recent).map(|c| (c, false)))?;
    Some(containers::out_of_memory(pod, container, init))
}

/// Why a pod is not ready whose Redis is: the replicas Service does not lead to it, and a rollout waits for it.
fn unready(pod: &KubePod) -> Option<String> {
    let redis = statuses(pod).find(|c| c.name == REDIS_CONTAINER)?;
    let status = pod.status.as_ref()?;
    let condition = |type_: &str| status.conditions.iter().flatten().find(|c| c.type_ == type_);
    if !redis.ready || condition("Ready").is_none_or(|c| c.status == "True") {
        return None;
    }
    let sidecars = init_statuses(pod).filter(|c| goes_on(pod, &c.name));
    if let Some(c) = statuses(pod).chain(sidecars).find(|c| !c.ready) {
        let why = match c.state.as_ref() {
            Some(state) if state.running.is_some() => "runs, and its readiness probe does not succeed",
            _ => "does not run",
        };
        return Some(format!("its container {} {why}", c.name));
    }
    let gates = pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    let mut closed = gates.filter(|gate| condition(&gate.condition_type).is_none_or(|c| c.status != "True"));
    closed.next().map(|gate| {
        let gate = &gate.condition_type;
        format!("the condition {gate}, which is a readiness gate of it, is not True; who sets it is not the operator")
    })
}

/// Is it an init container that runs beside the others?
fn goes_on(pod: &KubePod, name: &str) -> bool {
    let all = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
    all.into_iter().any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
}

fn statuses(pod: &KubePod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten())
}

fn init_statuses(pod: &KubePod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|s| s.init_container_statuses.iter().flatten())
}

/// How often containers have been started again, those beside Redis among them.
fn restarts(pod: &KubePod) -> u32 {
    let counts = statuses(pod).chain(init_statuses(pod)).map(|c| u32::try_from(c.restart_count).unwrap_or(0));
    counts.fold(0, u32::saturating_add)
}

fn failure(pod: &KubePod) -> Option<Failure> {
    refused_by_node(pod)
        .or_else(|| unschedulable(pod))
        .or_else(|| init_statuses(pod).find_map(|c| containers::failure(pod, c, true)))
        .or_else(|| statuses(pod).find_map(|c| containers::failure(pod, c, false)))
}

/// Evicted, refused by the kubelet, lost with its node. Its controller makes another one as soon as it can.
fn refused_by_node(pod: &KubePod) -> Option<Failure> {
    let status = pod.status.as_ref()?;
    let reason = status.reason.as_deref()?;
    let words = status.message.as_deref().unwrap_or("no reason given");
    (status.phase.as_deref() == Some("Failed") || reason == "NodeLost").then(|| Failure {
        reason: Reason::PodFailsToStart,
        message: format!("its node has ended the pod ({reason}): {}", containers::one_line(words)),
    })
}

fn has_run(c: &ContainerStatus) -> bool {
    let ran = |s: &Option<ContainerState>| s.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some());
    c.restart_count > 0 || ran(&c.state) || ran(&c.last_state)
}

fn unschedulable(pod: &KubePod) -> Option<Failure> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let c = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    let words = c.message.as_deref().unwrap_or("no reason given");
    let words = words.strip_suffix(". not found").filter(|rest| rest.ends_with("not found")).unwrap_or(words);
    let message = format!("it finds no node: {words}");
    Some(Failure { reason: Reason::Unschedulable, message })
}

/// Has the kubelet not come as far as its containers? Then the reason is in events, if anywhere.
pub fn has_not_begun(pod: &KubePod) -> bool {
    let begins = |c: &ContainerStatus| {
        let waiting =
            c.state.as_ref().and_then(|s| s.waiting.as_ref()).map(|w| w.reason.as_deref().unwrap_or_default());
        matches!(waiting, Some("" | "ContainerCreating" | "PodInitializing"))
    };
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    phase.is_none_or(|phase| phase == "Pending")
        && pod.metadata.deletion_timestamp.is_none()
        && statuses(pod).all(begins)
        && init_statuses(pod).all(|c| begins(c) || c.state.as_ref().is_some_and(|s| s.terminated.is_some()))
}

/// How far a pod whose Redis does not run has come, in words: the end of a sentence about it.
fn stage(pod: &KubePod, leaving: bool) -> String {
    if leaving {
        let finalizers = pod.finalizers().join(", ");
        return match finalizers.as_str() {
            "" => "is being deleted".into(),
            names => format!("is being deleted, and its finalizers ({names}) keep it"),
        };
    }
    let scheduled = pod.spec.as_ref().is_some_and(|s| s.node_name.is_some());
    if !scheduled {
        return "waits for a node".into();
    }
    // one that goes on beside the others is done when it has started, any other when it has ended
    let pending = |c: &&ContainerStatus| {
        let ended = c.state.as_ref().and_then(|s| s.terminated.as_ref());
        let has_started = goes_on(pod, &c.name) && c.started == Some(true);
        ended.is_none_or(|t| t.exit_code != 0) && !(c.ready || has_started)
    };
    if let Some(init) = init_statuses(pod).find(pending) {
        let runs = init.state.as_ref().is_some_and(|s| s.running.is_some());
        let (name, does) = (&init.name, if runs { "has not ended" } else { "has not been started" });
        return format!("does not run yet: its init container {name} {does}");
    }
    let redis = statuses(pod).find(|c| c.name == REDIS_CONTAINER).and_then(|c| c.state.as_ref());
    let waiting = redis.and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.as_deref());
    match (waiting, redis.is_some_and(|s| s.terminated.is_some())) {
        (Some("CrashLoopBackOff"), _) | (_, true) => "is being started again: its container has ended".into(),
        _ => "does not run yet: its volumes, its image and its containers are being prepared".into(),
    }
}

#[cfg(test)]
#[path = "pods_tests.rs"]
mod tests;
