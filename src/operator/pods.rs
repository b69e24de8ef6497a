//! What Kubernetes says of a pod, as facts for the planner.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod as KubePod};
use kube::ResourceExt;

use crate::{
    api::Reason,
    objects::names::{REDIS_CONTAINER, ROLE_LABEL, ROLE_MASTER, ROLE_REPLICA},
    replication::{Failure, Moment, Pod, RoleLabel},
};

/// How many characters of Redis' last words are shown.
const LAST_WORDS: usize = 400;

/// Reads a pod; `update_revision` is the StatefulSet's present one, where it is known.
pub fn facts(pod: &KubePod, update_revision: Option<&str>) -> Pod {
    let status = pod.status.as_ref();
    let containers = || status.into_iter().flat_map(|s| s.container_statuses.iter().flatten());
    let redis = containers().find(|c| c.name == REDIS_CONTAINER);
    let revision = pod.labels().get("controller-revision-hash").map(String::as_str);
    Pod {
        uid: pod.uid().unwrap_or_default(),
        ip: status.and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        leaving_since: Moment::ZERO, // the observer knows
        running: redis.and_then(|c| c.state.as_ref()).is_some_and(|s| s.running.is_some()),
        ready: status
            .and_then(|s| s.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True")),
        outdated: matches!((revision, update_revision), (Some(is), Some(should)) if is != should),
        role: match pod.labels().get(ROLE_LABEL).map(String::as_str) {
            Some(ROLE_MASTER) => Some(RoleLabel::Master),
            Some(ROLE_REPLICA) => Some(RoleLabel::Replica),
            _ => None,
        },
        failure: unschedulable(pod).or_else(|| containers().find_map(container_failure)),
    }
}

fn unschedulable(pod: &KubePod) -> Option<Failure> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let c = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    let message = format!("{} finds no node: {}", pod.name_any(), c.message.as_deref().unwrap_or("no reason given"));
    Some(Failure { reason: Reason::Unschedulable, message })
}

fn container_failure(c: &ContainerStatus) -> Option<Failure> {
    let waiting = c.state.as_ref().and_then(|s| s.waiting.as_ref());
    let why = waiting.and_then(|w| w.reason.as_deref()).unwrap_or_default();
    match why {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable" => {
            let words = waiting.and_then(|w| w.message.as_deref()).unwrap_or(why);
            let message = format!(
                "the image {} cannot be pulled: {}; check spec.image and imagePullSecrets",
                c.image,
                short(words)
            );
            Some(Failure { reason: Reason::ImageUnavailable, message })
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            let words = waiting.and_then(|w| w.message.as_deref()).unwrap_or(why);
            Some(Failure {
                reason: Reason::RedisFailsToStart,
                message: format!("the container {} does not start: {}", c.name, short(words)),
            })
        }
        _ => {
            // 0 and 137, 143: it was stopped or killed, which is no fault of the configuration
            let ended = |s: &Option<ContainerState>| {
                let t = s.as_ref()?.terminated.as_ref()?;
                (!matches!(t.exit_code, 0 | 137 | 143)).then(|| (t.exit_code, t.message.clone().unwrap_or_default()))
            };
            let running = c.state.as_ref().is_some_and(|s| s.running.is_some());
            let (code, words) =
                ended(&c.state).or_else(|| if running && c.ready { None } else { ended(&c.last_state) })?;
            let message = format!("the container {} ends with code {code}: {}", c.name, short(&words));
            Some(Failure { reason: Reason::RedisFailsToStart, message })
        }
    }
}

/// The last words, on one line.
fn short(words: &str) -> String {
    let line = words.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" | ");
    let skip = line.chars().count().saturating_sub(LAST_WORDS);
    if line.is_empty() { "it said nothing".into() } else { line.chars().skip(skip).collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: &Value) -> KubePod {
        let labels = json!({"controller-revision-hash": "a", "redis.replication.dev/role": "replica"});
        serde_json::from_value(json!({"metadata": {"name": "cache-1", "uid": "u", "labels": labels}, "status": status}))
            .unwrap()
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({"podIP": "10.0.0.7", "containerStatuses": [{"name": "redis", "image": "redis:9", "imageID": "", "ready": false,
            "restartCount": 1, "state": state, "lastState": last}]})
    }

    #[test]
    fn a_running_pod() {
        let f = facts(&pod(&container(&json!({"running": {}}), &json!({}))), Some("a"));
        assert_eq!((f.running, f.outdated, f.role, f.failure), (true, false, Some(RoleLabel::Replica), None));
        assert_eq!(f.ip, Some("10.0.0.7".parse().unwrap()));
        assert!(facts(&pod(&json!({})), Some("b")).outdated);
        assert!(!facts(&pod(&json!({})), None).outdated);
    }

    #[test]
    fn why_it_does_not_run() {
        let reason = |state: Value, last: Value| {
            facts(&pod(&container(&state, &last)), None).failure.map(|f| (f.reason, f.message))
        };
        let (r, m) =
            reason(json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}), json!({})).unwrap();
        assert!(r == Reason::ImageUnavailable && m.contains("redis:9") && m.contains("no such image"));
        let last = json!({"terminated": {"exitCode": 1, "message": "*** FATAL ***\nBad directive\n"}});
        let (r, m) = reason(json!({"waiting": {"reason": "CrashLoopBackOff"}}), last.clone()).unwrap();
        assert!(r == Reason::RedisFailsToStart && m.contains("Bad directive"));
        assert!(reason(json!({"running": {}}), last).is_some(), "just restarted, and not ready");
        assert_eq!(
            reason(json!({"waiting": {"reason": "CrashLoopBackOff"}}), json!({"terminated": {"exitCode": 137}})),
            None
        );
        let unschedulable =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]});
        assert_eq!(facts(&pod(&unschedulable), None).failure.unwrap().reason, Reason::Unschedulable);
    }
}
