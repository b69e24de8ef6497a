//! Server-side apply, and only where something differs: at rest nothing is written.

use std::{collections::hash_map::DefaultHasher, fmt::Debug, hash::Hasher, time::Duration};

use http::StatusCode;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    client::Body,
    core::{NamespaceResourceScope, Request, Status},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    client::REQUEST_TIMEOUT,
    isolation::Isolated,
    ownership::{Holder, Place, Stranger},
    stores::Key,
    undecodable::{Fault, last_known},
};
use crate::{
    api::{RedisReplication, RedisReplicationStatus},
    objects::names::{FIELD_MANAGER, ISOLATION_FIELD_MANAGER, SUPERVISOR_FIELD_MANAGER},
};

/// Annotation with a digest of what was last applied: a field that is no longer wanted shows in it.
pub(super) const APPLIED: &str = "redis.replication.dev/applied";

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error("{act} {kind} {name}: {}", said(source))]
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
    /// The object under this name is not ours, and stays as it is.
    #[error("{0} is not controlled by this RedisReplication and was not changed")]
    Taken(Box<Stranger>),
    /// An object could not be written as JSON: a bug.
    #[error("serialize: {0}")]
    Json(#[from] serde_json::Error),
}

/// The API server's own words, where it sent some: the error of the client repeats them with all fields of the answer.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(s) if s.is_not_found()))
    }

    /// Somebody else wrote in between: what was decided on may be out of date.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(s) if s.is_conflict()))
    }

    /// Is what was to be deleted gone: not there, or another object of that name?
    pub fn is_gone(&self) -> bool {
        self.is_not_found() || self.is_conflict()
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

/// Makes the object on the server what it should be; returns whether anything had to be written. `place` is what is under its
/// name: an object that is not ours is never written to, nor one that has come to that name since.
///
/// What the watch has is not read again: this happens at each change of a status, in the middle of a failover too, and the API
/// server has better things to do then. What the watch has not heard of yet will wake whoever called.
pub async fn ensure<K>(client: &Client, namespace: &str, wanted: &K, place: &Place<K>) -> Result<bool, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let mut body = serde_json::to_value(wanted)?;
    let digest = digest(&body);
    body["metadata"]["annotations"][APPLIED] = json!(digest);
    body["apiVersion"] = json!(K::api_version(&()));
    body["kind"] = json!(K::kind(&()));
    if let Place::Ours { live: Some(live), .. } = place {
        match difference(&serde_json::to_value(&**live)?, &body) {
            None => return Ok(false),
            Some(path) => tracing::debug!(kind = %K::kind(&()), name = wanted.name_any(), path, "differs"),
        }
    }
    apply_to(&api, FIELD_MANAGER, body, place).await?;
    Ok(true)
}

/// Applies `body` to what is under its name. The identity in it is a precondition: the API server refuses the write if another
/// object has come to that name.
async fn apply_to<K>(api: &Api<K>, manager: &str, mut body: Value, place: &Place<K>) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let kind = K::kind(&()).into_owned();
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match place {
        Place::Taken(stranger) => Err(Error::Taken(Box::new(stranger.clone()))),
        Place::Ours { uid, .. } => {
            body["metadata"]["uid"] = json!(uid);
            let params = PatchParams::apply(manager).force();
            limited("apply", &kind, &name, api.patch(&name, &params, &Patch::Apply(&body))).await?;
            Ok(())
        }
        Place::Free => {
            let params = PatchParams::apply(manager); // not by force: what another made meanwhile is the other's
            let (made, is_new) = limited("create", &kind, &name, create(api, &name, &params, &body)).await?;
            if is_new {
                return Ok(());
            }
            // another made it in between, and what was applied was merged into it: all of that is taken out again
            let nothing = json!({
                "apiVersion": body["apiVersion"], "kind": body["kind"],
                "metadata": { "name": name, "uid": made.meta().uid },
            });
            limited("release", &kind, &name, api.patch(&name, &params, &Patch::Apply(&nothing))).await?;
            Err(Error::Taken(Box::new(Stranger::new(&kind, made.meta(), Holder::Nobody))))
        }
    }
}

/// Applies to a name that was free; returns whether it still was. Only the code of the answer tells.
async fn create<K>(api: &Api<K>, name: &str, params: &PatchParams, body: &Value) -> Result<(K, bool), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone,
{
    let request = Request::new(api.resource_url()).patch(name, params, &Patch::Apply(body));
    let request = request.map_err(kube::Error::BuildRequest)?.map(Body::from);
    let answer = api.clone().into_client().send(request).await?;
    let code = answer.status();
    let text = answer.into_body().collect_bytes().await?;
    if code.is_success() {
        let object = serde_json::from_slice(&text).map_err(kube::Error::SerdeError)?;
        return Ok((object, code == StatusCode::CREATED));
    }
    let words = || Status::failure(&String::from_utf8_lossy(&text), "Unknown").with_code(code.as_u16());
    Err(kube::Error::Api(serde_json::from_slice(&text).unwrap_or_else(|_| words()).boxed()))
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
pub async fn slice(client: &Client, wanted: &EndpointSlice, place: &Place<EndpointSlice>) -> Result<(), Error> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), &wanted.namespace().unwrap_or_default());
    apply_to(&api, SUPERVISOR_FIELD_MANAGER, serde_json::to_value(wanted)?, place).await
}

/// One merge patch to the object with this identity, and to no other that has come to its name.
pub async fn merge<K>(client: &Client, namespace: &str, name: &str, uid: &str, mut body: Value) -> Result<K, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(SUPERVISOR_FIELD_MANAGER.into()), ..PatchParams::default() };
    body["metadata"]["uid"] = json!(uid);
    limited("patch", &K::kind(&()), name, api.patch(name, &params, &Patch::Merge(body))).await
}

/// Deletes an object, unless it is gone already; with `uid` only the one with this identity.
pub async fn delete<K>(client: &Client, namespace: &str, name: &str, uid: Option<String>) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    match limited("delete", &K::kind(&()), name, api.delete(name, &params)).await {
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
