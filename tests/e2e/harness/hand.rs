//! The hand that kills: a privileged pod on each node, which sends signals to processes in other pods.
//!
//! It finds a process by the container's id in its cgroup, so it works with cgroup v1 and v2, and also where several
//! "nodes" share one machine's process ids.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{exec::exec, poll::eventually};

const NAMESPACE: &str = "rr-e2e-hand";
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Names of processes that are Redis servers.
pub const SERVERS: &str = "redis-server valkey-server";

/// Arguments: container id, signal, names of processes (none: all).
const SIGNAL: &str = r#"found=
for file in $(grep -ls "$1" /proc/[0-9]*/cgroup); do
  process=${file%/cgroup}
  read -r name <"$process/comm" || continue
  case "$3" in ''|*"$name"*) kill -"$2" "${process#/proc/}" && found=yes;; esac
done
[ "$found" ]"#;

/// Sends a signal to the processes of a container.
pub async fn signal(client: &Client, pod: &Pod, container: &str, signal: &str, processes: &str) -> Result<()> {
    let name = pod.name_any();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("the pod has no node")?;
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let status = statuses.iter().find(|status| status.name == container).context("no such container")?;
    let id = status.container_id.as_deref().and_then(|id| id.split("//").last()).context("it has no id")?;
    let hand = on_node(client, &node).await?;
    exec(client, NAMESPACE, &hand, "hand", "", &["sh", "-c", SIGNAL, "sh", id, signal, processes])
        .await?
        .ok()
        .with_context(|| format!("sending {signal} to {processes:?} in {name}, container {id} on {node}"))?;
    Ok(())
}

/// Name of the hand on this node. Makes the hands at first use.
pub async fn on_node(client: &Client, node: &str) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let selection = ListParams::default().labels("app=hand").fields(&format!("spec.nodeName={node}"));
    if let Some(name) = ready(&pods, &selection).await? {
        return Ok(name);
    }
    apply(client).await.context("making the hands")?;
    eventually(&format!("the hand on {node}"), READY_WITHIN, async || {
        ready(&pods, &selection).await?.context("it is not ready")
    })
    .await
}

async fn ready(pods: &Api<Pod>, selection: &ListParams) -> Result<Option<String>> {
    let is_ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        pod.metadata.deletion_timestamp.is_none()
            && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    Ok(pods.list(selection).await?.iter().find(|pod| is_ready(pod)).map(ResourceExt::name_any))
}

async fn apply(client: &Client) -> Result<()> {
    let manager = PatchParams::apply("rr-e2e").force();
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": { "pod-security.kubernetes.io/enforce": "privileged" },
        },
    });
    Api::<Namespace>::all(client.clone()).patch(NAMESPACE, &manager, &Patch::Apply(namespace)).await?;
    Api::<DaemonSet>::namespaced(client.clone(), NAMESPACE)
        .patch("hand", &manager, &Patch::Apply(daemon_set()))
        .await?;
    Ok(())
}

fn daemon_set() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "hand" },
        "spec": {
            "selector": { "matchLabels": { "app": "hand" } },
            "template": {
                "metadata": { "labels": { "app": "hand" } },
                "spec": {
                    "hostPID": true,
                    "terminationGracePeriodSeconds": 1,
                    "tolerations": [{ "operator": "Exists" }],
                    "containers": [{
                        "name": "hand",
                        "image": "docker.io/library/redis:8.0",
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["tail", "-f", "/dev/null"],
                        "securityContext": { "privileged": true, "runAsUser": 0 },
                    }],
                },
            },
        },
    })
}
