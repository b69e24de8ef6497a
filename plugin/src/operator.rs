//! The operator as it is installed: its Deployment and its pods.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{Api, ResourceExt, api::ListParams};
use redis_replication_operator::objects::names;

use crate::{
    cluster::Cluster,
    error::{Error, is_forbidden},
};

/// Where the documentation installs it.
const NAMESPACE: &str = "redis-replication-system";

fn selection() -> ListParams {
    ListParams::default().labels(&format!("{}={}", names::NAME_LABEL, names::MANAGED_BY))
}

/// Finds it: in all namespaces, or, who may not look there, in the one of the documentation.
pub async fn deployment(cluster: &Cluster) -> Result<Deployment, Error> {
    let everywhere = Api::<Deployment>::all(cluster.client.clone()).list(&selection()).await;
    let found = match everywhere {
        Err(error) if is_forbidden(&error) => {
            Api::<Deployment>::namespaced(cluster.client.clone(), NAMESPACE).list(&selection()).await
        }
        other => other,
    };
    let found = found.map_err(|e| cluster.error(&format!("list deployments in namespace {NAMESPACE}"), &e))?;
    found.items.into_iter().next().ok_or_else(|| {
        Error::Pointless(format!("no Deployment with the label {}={} was found", names::NAME_LABEL, names::MANAGED_BY))
    })
}

/// Its pods.
pub async fn pods(cluster: &Cluster, deployment: &Deployment) -> Result<Vec<Pod>, Error> {
    let cluster = cluster.within(&deployment.namespace().unwrap_or_default());
    let pods = cluster.api::<Pod>().list(&selection()).await;
    Ok(pods.map_err(|e| cluster.error(&cluster.reading("pods"), &e))?.items)
}

/// Its image.
pub fn image(deployment: &Deployment) -> Option<String> {
    let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
    spec.containers.first()?.image.clone()
}
