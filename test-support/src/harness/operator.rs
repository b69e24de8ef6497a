//! The operator as it is installed.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

use super::{ensure, own_operator::OwnOperator, poll::eventually};

pub const NAMESPACE: &str = "redis-replication-system";
pub const NAME: &str = "redis-replication-operator";
const WRITES: &[&str] = &["create", "post", "patch", "apply", "update", "put", "delete"];

fn deployments(client: &Client) -> Api<Deployment> {
    Api::namespaced(client.clone(), NAMESPACE)
}

/// Fails if the operator isn't there.
pub async fn is_installed(client: &Client) -> Result<()> {
    // Without the operator some parts of the harness can still be tried.
    if std::env::var_os("E2E_IMAGE").is_some() || OwnOperator::wanted() {
        return Ok(());
    }
    deployments(client).get(NAME).await.with_context(|| format!("Deployment {NAME} in {NAMESPACE}"))?;
    Ok(())
}

/// The operator's image, and how it is pulled.
pub async fn image(client: &Client) -> Result<(String, String)> {
    if let Ok(image) = std::env::var("E2E_IMAGE") {
        return Ok((image, "IfNotPresent".to_owned()));
    }
    let spec = deployments(client).get(NAME).await?.spec.and_then(|spec| spec.template.spec);
    let container = spec.and_then(|spec| spec.containers.into_iter().next()).context("it has no container")?;
    let policy = container.image_pull_policy.unwrap_or_else(|| "IfNotPresent".to_owned());
    Ok((container.image.context("it has no image")?, policy))
}

/// The operator's pods.
pub async fn pods(client: &Client) -> Result<Vec<Pod>> {
    let selection = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    Ok(Api::<Pod>::namespaced(client.clone(), NAMESPACE).list(&selection).await?.items)
}

/// The pod that holds the lease.
pub async fn leader(client: &Client) -> Result<Pod> {
    let lease = Api::<Lease>::namespaced(client.clone(), NAMESPACE).get(NAME).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    let found = pods(client).await?.into_iter().find(|pod| holder.starts_with(&pod.name_any()));
    found.with_context(|| format!("{holder:?} holds the lease and is no pod of the operator"))
}

/// Waits until an operator other than the one called `former` leads.
pub async fn another_leader(client: &Client, former: &str, within: Duration) -> Result<String> {
    eventually(&format!("another leader than {former}"), within, async || {
        let leader = leader(client).await?.name_any();
        if leader == former {
            bail!("{former} still holds the lease");
        }
        Ok(leader)
    })
    .await
}

/// Deletes the pod that leads, and waits until another one does and all are there again.
pub async fn replace_leader(client: &Client, within: Duration) -> Result<()> {
    let former = leader(client).await?.name_any();
    Api::<Pod>::namespaced(client.clone(), NAMESPACE).delete(&former, &DeleteParams::default()).await?;
    another_leader(client, &former, within).await?;
    rolled_out(client, within).await
}

/// `kubectl rollout restart`, and waits until it is done.
pub async fn restart(client: &Client, within: Duration) -> Result<()> {
    let stamp = json!({ "kubectl.kubernetes.io/restartedAt": jiff::Timestamp::now().to_string() });
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": stamp } } } });
    deployments(client).patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
    rolled_out(client, within).await
}

/// Changes how many operator pods there are, waits until that is so, and returns how many there were.
pub async fn scale(client: &Client, replicas: i32, within: Duration) -> Result<i32> {
    let spec = deployments(client).get(NAME).await?.spec.context("no spec")?;
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    deployments(client).patch_scale(NAME, &PatchParams::default(), &patch).await?;
    eventually(&format!("{replicas} pods of the operator"), within, async || {
        let pods = pods(client).await?.len();
        ensure(pods == usize::try_from(replicas)?, || format!("there are {pods}"))
    })
    .await?;
    Ok(spec.replicas.unwrap_or(1))
}

/// Waits until all of the operator's pods run, and none is left over.
pub async fn rolled_out(client: &Client, within: Duration) -> Result<()> {
    eventually("the operator's rollout", within, async || {
        let deployment = deployments(client).get(NAME).await?;
        let status = deployment.status.context("no status")?;
        let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let counts = (status.replicas, status.updated_replicas, status.available_replicas);
        ensure(
            status.observed_generation == deployment.metadata.generation
                && counts == (Some(wanted), Some(wanted), Some(wanted)),
            || format!("of {wanted} pods there are, are updated, are available: {counts:?}"),
        )?;
        let pods = pods(client).await?.len();
        ensure(pods == usize::try_from(wanted)?, || format!("there are {pods} pods"))
    })
    .await
}

/// How many writes of each kind the operator has asked the API server for; those of its lease are left out.
pub async fn api_writes(client: &Client) -> Result<BTreeMap<String, f64>> {
    let mut writes = BTreeMap::new();
    for pod in pods(client).await? {
        let name = pod.name_any();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:8080/proxy/metrics");
        let text = client.request_text(http::Request::get(path).body(Vec::new())?).await?;
        let count = count_writes(&text);
        ensure(count.is_some(), || format!("{name} has no metric redis_replication_api_requests_total"))?;
        writes.extend(count.unwrap_or_default().into_iter().map(|(key, value)| (format!("{name} {key}"), value)));
    }
    Ok(writes)
}

/// From the text format of Prometheus.
fn count_writes(metrics: &str) -> Option<BTreeMap<String, f64>> {
    if !metrics.contains("redis_replication_api_requests_total") {
        return None;
    }
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("redis_replication_api_requests_total{"));
    let counts = lines.filter_map(|line| line.rsplit_once(' '));
    let counts = counts.filter_map(|(labels, value)| Some((labels.to_owned(), value.parse().ok()?)));
    let is_write = |labels: &str| WRITES.iter().any(|verb| labels.contains(&format!("verb=\"{verb}\"")));
    Some(counts.filter(|(labels, _)| is_write(labels) && !labels.contains("lease")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_counted() {
        let metrics = "\
# TYPE redis_replication_api_requests counter
redis_replication_api_requests_total{verb=\"patch\",resource=\"redisreplications\"} 7
redis_replication_api_requests_total{verb=\"watch\",resource=\"pods\"} 3
redis_replication_api_requests_total{verb=\"patch\",resource=\"leases\"} 99
other_total{verb=\"patch\"} 5
";
        let counts = count_writes(metrics).expect("the metric is there");
        assert_eq!(counts.values().copied().collect::<Vec<_>>(), [7.0]);
        assert_eq!(count_writes("up 1\n"), None);
    }
}
