//! The hand that kills: a privileged pod on each node, which sends signals to processes in other pods, and cuts pods off.
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
use tokio::time::Instant;

use super::{exec::exec_at, poll::eventually};

const NAMESPACE: &str = "rr-e2e-hand";
const READY_WITHIN: Duration = Duration::from_secs(120);
/// So long before its instant a signal is asked for, so that the hand waits for it.
pub const MADE_READY: Duration = Duration::from_secs(3);
/// Names of processes that are Redis servers.
pub const SERVERS: &str = "redis-server valkey-server";

/// Sets `found` to the processes of a container, and waits for a line of input. Arguments: container id, names of processes (none: all), more.
const FIND: &str = r#"found=
for file in $(grep -ls "$1" /proc/[0-9]*/cgroup); do
  process=${file%/cgroup}
  read -r name <"$process/comm" || continue
  case "$2" in ''|*"$name"*) found="$found ${process#/proc/}";; esac
done
[ "$found" ] || { echo "no such process" >&2; exit 1; }
read -r _
send() { sent=; for process in $found; do kill -"$1" "$process" && sent=yes; done; [ "$sent" ]; }
"#;
const SIGNAL: &str = r#"send "$3""#;
const SIGNAL_LATER: &str = r#"(sleep "$4"; send "$3") >/dev/null 2>&1 </dev/null &"#;

/// Arguments: add or del, addresses. The first process is enough: all of a pod share one network. A node has `ip` where the
/// image has none.
const ROUTES: &str = r#"set -- "$3" "$4" $found; verb=$1 addresses=$2 process=$3
enter=$(command -v nsenter || echo "busybox nsenter")
ip=$(command -v busybox >/dev/null && echo "busybox ip" || echo "chroot /proc/1/root ip")
for address in $addresses; do $enter -t "$process" -n $ip route "$verb" blackhole "$address" || exit 1; done"#;

/// Sends a signal to the processes of a container.
pub async fn signal(client: &Client, pod: &Pod, container: &str, signal: &str, processes: &str) -> Result<()> {
    signal_at(client, pod, container, signal, processes, Instant::now()).await
}

/// The same at an instant: all is made ready before it, so that several signals come in a given order.
pub async fn signal_at(
    client: &Client,
    pod: &Pod,
    container: &str,
    signal: &str,
    processes: &str,
    at: Instant,
) -> Result<()> {
    reach(client, pod, container, at, SIGNAL, &[processes, signal]).await
}

/// The same after some time, and without the API server being needed then.
pub async fn signal_later(
    client: &Client,
    pod: &Pod,
    container: &str,
    signal: &str,
    processes: &str,
    after: Duration,
) -> Result<()> {
    let seconds = after.as_secs().to_string();
    reach(client, pod, container, Instant::now(), SIGNAL_LATER, &[processes, signal, &seconds]).await
}

/// Lets no packet pass between a pod and these addresses, until it is allowed again.
pub async fn isolate(client: &Client, pod: &Pod, container: &str, addresses: &[String]) -> Result<()> {
    reach(client, pod, container, Instant::now(), ROUTES, &["", "add", &addresses.join(" ")]).await
}

/// Ends what `isolate` began.
pub async fn reconnect(client: &Client, pod: &Pod, container: &str, addresses: &[String]) -> Result<()> {
    reach(client, pod, container, Instant::now(), ROUTES, &["", "del", &addresses.join(" ")]).await
}

/// Runs a script with the processes of a container, when all is made ready, and not before `at`.
async fn reach(
    client: &Client,
    pod: &Pod,
    container: &str,
    at: Instant,
    script: &str,
    arguments: &[&str],
) -> Result<()> {
    let name = pod.name_any();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("the pod has no node")?;
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let status = statuses.iter().find(|status| status.name == container).context("no such container")?;
    let id = status.container_id.as_deref().and_then(|id| id.split("//").last()).context("it has no id")?;
    let hand = on_node(client, &node).await?;
    let script = format!("{FIND}{script}");
    let command: Vec<_> = ["sh", "-c", &script, "sh", id].into_iter().chain(arguments.iter().copied()).collect();
    exec_at(client, NAMESPACE, &hand, "hand", "now\n", at, &command)
        .await?
        .ok()
        .with_context(|| format!("{arguments:?} for {name}, container {id} on {node}"))?;
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
