//! Applying manifests of any kind, and looking at all objects of a namespace.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    core::ApiResource,
    discovery,
};
use serde_json::Value;

/// The kinds that a replication consists of.
pub const KINDS: &[(&str, &str, &str)] = &[
    ("redis.replication.dev", "v1alpha1", "RedisReplication"),
    ("apps", "v1", "StatefulSet"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "PersistentVolumeClaim"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
];

/// Applies all documents of a YAML file, as `kubectl apply` does.
pub async fn apply(client: &Client, namespace: &str, text: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    let mut applied = Vec::new();
    for document in documents {
        let object: DynamicObject = serde_json::from_value(document)?;
        let types = object.types.clone().context("a document without apiVersion and kind")?;
        let kind = GroupVersionKind::try_from(&types)?;
        let (resource, _) = discovery::pinned_kind(client, &kind).await?;
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let manager = PatchParams::apply("kubectl").force();
        applied.push(api.patch(&object.name_any(), &manager, &Patch::Apply(&object)).await?);
    }
    Ok(applied)
}

/// Resource versions of all objects of these kinds.
pub async fn resource_versions(client: &Client, namespace: &str) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        for object in api.list(&ListParams::default()).await? {
            let version = object.resource_version().unwrap_or_default();
            versions.insert(format!("{kind}/{}", object.name_any()), version);
        }
    }
    Ok(versions)
}
