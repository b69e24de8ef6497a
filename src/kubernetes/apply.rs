//! Server-side apply, and only where something differs: at rest nothing is written.

use std::{collections::hash_map::DefaultHasher, fmt::Debug, hash::Hasher, time::Duration};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    core::NamespaceResourceScope,
    runtime::reflector::{ObjectRef, Store},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    client::REQUEST_TIMEOUT,
    isolation::Isolated,
    stores::Key,
    undecodable::{Fault, last_known},
};
use crate::{
    api::{RedisReplication, RedisReplicationStatus},
    objects::names::{FIELD_MANAGER, ISOLATION_FIELD_MANAGER, SUPERVISOR_FIELD_MANAGER},
};

/// Annotation with a digest of what was last applied: a field that is no longer wanted shows in it.
const APPLIED: &str = "redis.replication.dev/applied";

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error("{act} {kind} {name}: {source}")]
    Api {
        /// What was tried.
        act: &'static str,
        /// On which kind.
        kind: String,
        /// On which object.
        name: String,
        /// What came of it.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{act} {kind} {name}: no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout {
        /// What was tried.
        act: &'static str,
        /// On which kind.
        kind: String,
        /// On which object.
        name: String,
    },
    /// The API server dropped what it does not know: nothing may rest on a record that is not kept.
    #[error(
        "the CustomResourceDefinition redisreplications.redis.replication.dev is not this operator's: {0} was not kept; \
         apply the one of this version (kubectl apply --server-side -f crds/)"
    )]
    Pruned(String),
    /// The answer is not of the resource that was written, and cannot be decoded.
    #[error("RedisReplication {name} cannot be decoded: {fault}")]
    Undecodable {
        /// On which object.
        name: String,
        /// The first field at fault.
        fault: Fault,
    },
    /// An object could not be written as JSON: a bug.
    #[error("serialize: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(s) if s.is_not_found()))
    }

    /// Somebody else wrote in between: what was decided on may be out of date.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(s) if s.is_conflict()))
    }
}

/// Runs a request with a limit, and says what it was if it fails.
pub async fn limited<T>(
    act: &'static str,
    kind: &str,
    name: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Api { act, kind: kind.into(), name: name.into(), source: Box::new(source) }),
        Err(_) => Err(Error::Timeout { act, kind: kind.into(), name: name.into() }),
    }
}

/// Makes the object on the server what it should be; returns whether anything had to be written.
///
/// What there is, is taken from the watch and not asked for: this happens at each change of a status, in the middle of a failover
/// too, and the API server has better things to do then. What the watch has not heard of yet will wake whoever called.
pub async fn ensure<K>(client: &Client, known: &Store<K>, namespace: &str, wanted: &K) -> Result<bool, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let (kind, name) = (K::kind(&()).into_owned(), wanted.name_any());
    let mut body = serde_json::to_value(wanted)?;
    let digest = digest(&body);
    body["metadata"]["annotations"][APPLIED] = json!(digest);
    body["apiVersion"] = json!(K::api_version(&()));
    body["kind"] = json!(kind);
    if let Some(live) = known.get(&ObjectRef::new(&name).within(namespace)) {
        match difference(&serde_json::to_value(&*live)?, &body) {
            None => return Ok(false),
            Some(path) => tracing::debug!(kind, name, path, "differs"),
        }
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    limited("apply", &kind, &name, api.patch(&name, &params, &Patch::Apply(&body))).await?;
    Ok(true)
}

fn digest(value: &Value) -> String {
    let mut hasher = DefaultHasher::new(); // SipHash with fixed keys: the same for the same program
    hasher.write(value.to_string().as_bytes());
    format!("{:016x}", hasher.finish())
}

/// Where `live` does not say what `wanted` says. Fields that the server added do not matter, except in a selector: there
/// one more key is another selection.
fn difference(live: &Value, wanted: &Value) -> Option<String> {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().find_map(|(key, w)| {
            let inner = match live.get(key) {
                Some(l) if key == "selector" => (l != w).then(String::new),
                Some(l) => difference(l, w),
                None => (!is_empty(w)).then(String::new), // the server drops what is empty
            };
            inner.map(|path| format!(".{key}{path}"))
        }),
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            let mut pairs = live.iter().zip(wanted).enumerate();
            pairs.find_map(|(i, (l, w))| difference(l, w).map(|path| format!("[{i}]{path}")))
        }
        _ => (live != wanted).then(String::new),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(o) => o.values().all(is_empty),
        Value::Array(a) => a.is_empty(),
        Value::String(s) => s.is_empty(),
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
    }
}

/// Writes the status, if nobody has written the resource since it was read (the resource version is the guard).
pub async fn status(
    client: &Client,
    of: &RedisReplication,
    status: &RedisReplicationStatus,
) -> Result<RedisReplication, Error> {
    let namespace = of.namespace().unwrap_or_default();
    let name = of.name_any();
    let api = resources(client, &namespace);
    let body = json!({
        "apiVersion": RedisReplication::api_version(&()),
        "kind": RedisReplication::kind(&()),
        "metadata": { "name": name, "resourceVersion": of.resource_version() },
        "status": status,
    });
    let params = PatchParams::apply(SUPERVISOR_FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    let request = api.patch_status(&name, &params, &patch);
    let written = answer(of, limited("write the status of", KIND, &name, request).await?)?;
    match difference(&serde_json::to_value(&written.status)?, &body["status"]) {
        Some(field) => Err(Error::Pruned(format!("status{field}"))),
        None => Ok(written),
    }
}

/// Reads the resource again.
pub async fn read(client: &Client, of: &RedisReplication) -> Result<RedisReplication, Error> {
    let (namespace, name) = (of.namespace().unwrap_or_default(), of.name_any());
    answer(of, limited("read", KIND, &name, resources(client, &namespace).get(&name)).await?)
}

/// One merge patch on the resource.
pub async fn amend(client: &Client, of: &RedisReplication, body: &Value) -> Result<RedisReplication, Error> {
    let (namespace, name) = (of.namespace().unwrap_or_default(), of.name_any());
    let params = PatchParams { field_manager: Some(SUPERVISOR_FIELD_MANAGER.into()), ..PatchParams::default() };
    let request = resources(client, &namespace);
    answer(of, limited("patch", KIND, &name, request.patch(&name, &params, &Patch::Merge(body))).await?)
}

/// Sets one condition of a resource that cannot be decoded. Under a field manager of its own: of what the status has recorded
/// nothing is named here, so nothing of it changes.
pub async fn condition(client: &Client, key: &Key, condition: &Value) -> Result<(), Error> {
    let body = json!({
        "apiVersion": RedisReplication::api_version(&()),
        "kind": KIND,
        "metadata": { "name": key.name },
        "status": { "conditions": [condition] },
    });
    let params = PatchParams::apply(ISOLATION_FIELD_MANAGER).force();
    let api = resources(client, &key.namespace);
    limited("write a condition of", KIND, &key.name, api.patch_status(&key.name, &params, &Patch::Apply(&body)))
        .await?;
    Ok(())
}

const KIND: &str = "RedisReplication";

fn resources(client: &Client, namespace: &str) -> Api<Isolated<RedisReplication>> {
    Api::namespaced(client.clone(), namespace)
}

/// What the API server answered: a write that it took counts, also where the spec cannot be decoded at the moment.
fn answer(of: &RedisReplication, answer: Isolated<RedisReplication>) -> Result<RedisReplication, Error> {
    answer.0.or_else(|broken| {
        let known = last_known(Some(of), &broken);
        known.ok_or_else(|| Error::Undecodable { name: of.name_any(), fault: broken.fault })
    })
}

/// Makes the endpoint slice what it should be, in one request.
pub async fn slice(client: &Client, wanted: &EndpointSlice) -> Result<(), Error> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), &wanted.namespace().unwrap_or_default());
    let name = wanted.name_any();
    let params = PatchParams::apply(SUPERVISOR_FIELD_MANAGER).force();
    limited("apply", "EndpointSlice", &name, api.patch(&name, &params, &Patch::Apply(wanted))).await?;
    Ok(())
}

/// One merge patch.
pub async fn merge<K>(client: &Client, namespace: &str, name: &str, body: &Value) -> Result<K, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(SUPERVISOR_FIELD_MANAGER.into()), ..PatchParams::default() };
    limited("patch", &K::kind(&()), name, api.patch(name, &params, &Patch::Merge(body))).await
}

/// Deletes an object, unless it is gone already.
pub async fn delete<K>(client: &Client, namespace: &str, name: &str) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match limited("delete", &K::kind(&()), name, api.delete(name, &DeleteParams::default())).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// How long to wait before the next attempt after `failures` in a row.
pub fn backoff(failures: u32) -> Duration {
    Duration::from_millis(250 << failures.min(6)).min(Duration::from_secs(15))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(json!({"a": 1, "b": 2}), json!({"a": 1}), true)]
    #[case(json!({"a": 1}), json!({"a": 2}), false)]
    #[case(json!({"a": 1}), json!({"a": 1, "b": {}}), true)]
    #[case(json!({"a": 1}), json!({"a": 1, "b": {"c": 3}}), false)]
    #[case(json!({"l": [{"n": "x", "default": true}]}), json!({"l": [{"n": "x"}]}), true)]
    #[case(json!({"selector": {"a": "x", "added": "y"}}), json!({"selector": {"a": "x"}}), false)]
    #[case(json!({"l": [{"n": "x"}, {"n": "y"}]}), json!({"l": [{"n": "x"}]}), false)]
    fn the_server_may_add_but_not_change(#[case] live: Value, #[case] wanted: Value, #[case] same: bool) {
        assert_eq!(difference(&live, &wanted).is_none(), same);
    }

    #[test]
    fn a_difference_is_named() {
        let (live, wanted) = (json!({"a": [{"b": 1}]}), json!({"a": [{"b": 2}]}));
        assert_eq!(difference(&live, &wanted).as_deref(), Some(".a[0].b"));
    }

    #[test]
    fn backoff_grows_and_ends() {
        assert_eq!(backoff(0), Duration::from_millis(250));
        assert!(backoff(3) > backoff(2));
        assert_eq!(backoff(60), Duration::from_secs(15));
    }
}
