//! Objects of others that have our names: nothing of them is touched, nothing is made beside them, and the status names them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Secret, Service},
        discovery::v1::EndpointSlice,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use redis_replication_operator::api::{ConditionType, Reason};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{LONG, Replication, SHORT, Scene, ensure, objects, poll::eventually, scenario};

/// A release `redis` of another chart: names like ours, and a server behind them.
const RELEASE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: redis-old, labels: {app.kubernetes.io/name: redis, app.kubernetes.io/instance: redis}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1001, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: redis
    image: docker.io/library/redis:8.0
    command: [sh, -c, 'cd /tmp; exec redis-server --save \"\" --protected-mode no']
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: redis-master, labels: {app.kubernetes.io/name: redis}}
spec: {ports: [{port: 6379}], selector: {app.kubernetes.io/name: redis, app.kubernetes.io/instance: redis}}
---
apiVersion: v1
kind: Service
metadata: {name: redis-headless, labels: {app.kubernetes.io/name: redis}}
spec: {clusterIP: None, ports: [{port: 6379}], selector: {app.kubernetes.io/name: redis}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: redis-scripts}
data: {redis.conf: theirs}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: redis}
spec: {minAvailable: 1, selector: {matchLabels: {app.kubernetes.io/name: redis}}}
";

/// Who made an object and what it is to be; not its status, which controllers write.
async fn intent<K>(scene: &Scene, name: &str) -> Result<Value>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
        + serde::Serialize,
{
    let api: Api<K> = Api::namespaced(scene.client.clone(), scene.namespace.name());
    let mut object = api.get(name).await.with_context(|| format!("{} {name}", K::kind(&())))?;
    let managers: Vec<_> = object.managed_fields().iter().filter_map(|fields| fields.manager.clone()).collect();
    ensure(!managers.iter().any(|m| m.starts_with("redis-replication-operator")), || format!("{name}: {managers:?}"))?;
    object.meta_mut().managed_fields = None;
    object.meta_mut().resource_version = None;
    let mut object = serde_json::to_value(object)?;
    object.as_object_mut().context("an object")?.remove("status");
    Ok(object)
}

async fn intents(scene: &Scene) -> Result<BTreeMap<&'static str, Value>> {
    Ok([
        ("master", intent::<Service>(scene, "redis-master").await?),
        ("headless", intent::<Service>(scene, "redis-headless").await?),
        ("config", intent::<ConfigMap>(scene, "redis-scripts").await?),
        ("budget", intent::<PodDisruptionBudget>(scene, "redis").await?),
    ]
    .into())
}

/// Waits until the status names all of these, and there is a warning.
async fn conflict(cache: &Replication, names: &[&str]) -> Result<String> {
    let message = eventually("all names that are taken are told", SHORT, async || {
        let condition = cache.reason(ConditionType::Ready, Reason::NameConflict, SHORT).await?;
        let missing: Vec<_> = names.iter().filter(|name| !condition.message.contains(**name)).collect();
        ensure(missing.is_empty(), || format!("{missing:?} isn't in {}", condition.message))?;
        Ok(condition.message)
    })
    .await?;
    println!("{}: {message}", cache.namespace);
    eventually("a warning NameConflict", SHORT, async || {
        let events = cache.all::<Event>().list(&ListParams::default()).await?;
        let reasons: Vec<_> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
        ensure(reasons.contains(&"NameConflict"), || format!("the events are {reasons:?}"))
    })
    .await?;
    Ok(message)
}

/// Nothing has been made for it.
async fn nothing_was_made(cache: &Replication) -> Result<()> {
    let all = objects::resource_versions(&cache.client, &cache.namespace).await?;
    let (pod, replicas, auth) = (
        format!("Pod/{}-0", cache.name),
        format!("Service/{}-replicas", cache.name),
        format!("Secret/{}-auth", cache.name),
    );
    let set = format!("StatefulSet/{}", cache.name);
    for object in [pod, replicas, auth, set] {
        ensure(!all.contains_key(&object), || format!("{object} was made"))?;
    }
    Ok(())
}

async fn delete<K>(cache: &Replication, name: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
{
    cache.all::<K>().delete(name, &DeleteParams::default()).await.with_context(|| format!("deleting {name}"))?;
    Ok(())
}

#[test]
fn another_charts_release_of_the_same_name_goes_on_untouched() {
    scenario("names-release", async |scene| {
        objects::apply(&scene.client, scene.namespace.name(), RELEASE).await?;
        let redis = Replication::existing(&scene.client, scene.namespace.name(), "redis");
        let behind = eventually("the release's Service leads to its pod", LONG, async || {
            let behind = redis.endpoints("master").await?;
            ensure(behind.len() == 1, || format!("{behind:?}"))?;
            Ok(behind)
        })
        .await?;
        let before = intents(scene).await?;

        let redis = scene.replication("redis", "replicas: 2").await?;
        let names =
            ["Service redis-master", "Service redis-headless", "ConfigMap redis-scripts", "PodDisruptionBudget redis"];
        conflict(&redis, &names).await?;
        let available = redis.reason(ConditionType::MasterAvailable, Reason::NameConflict, SHORT).await?;
        ensure(available.status == "False", || format!("{available:?}"))?;
        nothing_was_made(&redis).await?;
        ensure(redis.endpoints("master").await? == behind, || "its traffic goes elsewhere".to_owned())?;
        redis.delete().await?;
        eventually("the resource is gone", SHORT, async || {
            ensure(redis.api().get_opt("redis").await?.is_none(), || "it is there".to_owned())
        })
        .await?;
        ensure(intents(scene).await? == before, || "something of the release has changed".to_owned())?;
        ensure(redis.endpoints("master").await? == behind, || "its traffic goes elsewhere".to_owned())?;

        // resolved, it comes about without a hand on the resource
        let redis = scene.replication("redis", "replicas: 2").await?;
        conflict(&redis, &names).await?;
        delete::<Service>(&redis, "redis-master").await?;
        delete::<Service>(&redis, "redis-headless").await?;
        delete::<ConfigMap>(&redis, "redis-scripts").await?;
        delete::<PodDisruptionBudget>(&redis, "redis").await?;
        redis.agrees().await?;
        redis.populate(10).await
    });
}

/// Pods with copied labels, a password, volumes, an endpoint slice: of a StatefulSet that somebody else runs.
#[test]
fn a_statefulset_of_others_and_what_belongs_to_it_stay_theirs() {
    scenario("names-set", async |scene| {
        let labels = json!({
            "app.kubernetes.io/name": "redis-replication", "app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": "redis",
        });
        let container = json!({
            "name": "redis", "image": "docker.io/library/redis:8.0",
            "command": ["sh", "-c", "cd /tmp; exec redis-server --save '' --protected-mode no"],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        });
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "shop" },
            "spec": { "replicas": 1, "serviceName": "web", "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": { "runAsNonRoot": true, "runAsUser": 1001, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [container],
                },
            } },
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data-shop-1" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "64Mi" } } },
        });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "shop-auth" }, "stringData": { "password": "theirs" },
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "shop-master" },
            "addressType": "IPv4", "endpoints": [{ "addresses": ["192.0.2.1"] }],
        });
        let manifests = [&set, &claim, &secret, &slice].map(ToString::to_string).join("\n---\n");
        objects::apply(&scene.client, scene.namespace.name(), &manifests).await?;
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), scene.namespace.name());
        eventually("their pod runs", LONG, async || {
            let pod = pods.get("shop-0").await?;
            ensure(pod.status.and_then(|s| s.phase).as_deref() == Some("Running"), || "not yet".to_owned())
        })
        .await?;
        let before = intent::<StatefulSet>(scene, "shop").await?;

        let spec = "{replicas: 2, persistence: {size: 64Mi}, services: {masterRouting: EndpointSlice}}";
        let shop = scene.replication("shop", spec).await?;
        let names =
            ["StatefulSet shop", "PersistentVolumeClaim data-shop-1", "Secret shop-auth", "EndpointSlice shop-master"];
        let message = conflict(&shop, &names).await?;
        let all = objects::resource_versions(&scene.client, scene.namespace.name()).await?;
        for made in [
            "Service/shop-master",
            "ConfigMap/shop-scripts",
            "PodDisruptionBudget/shop",
            "PersistentVolumeClaim/data-shop-0",
        ] {
            ensure(!all.contains_key(made), || format!("{made} was made"))?;
        }
        let pod = pods.get("shop-0").await?;
        ensure(!pod.labels().contains_key("redis.replication.dev/role"), || "their pod was given a role".to_owned())?;
        let said = shop.cli_without_password("shop-0", &["INFO", "replication"]).await?.ok()?;
        ensure(said.contains("role:master"), || format!("their server was commanded: {said}"))?;
        let known = shop.status().await?;
        ensure(known.epoch == 0 && known.master.is_none(), || format!("a master was chosen: {known:?}"))?;

        // as the message says: the Secret and the claim on purpose, the rest by deleting it
        ensure(intent::<StatefulSet>(scene, "shop").await? == before, || "their StatefulSet has changed".to_owned())?;
        let label = message.split_once("pvc data-shop-1 ").context("no command for the claim")?.1;
        let label: BTreeMap<_, _> = label.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let label = Patch::Merge(json!({ "metadata": { "labels": label } }));
        shop.all::<PersistentVolumeClaim>().patch("data-shop-1", &PatchParams::default(), &label).await?;
        shop.patch_spec(json!({ "auth": { "secretName": "shop-auth" } })).await?;
        delete::<EndpointSlice>(&shop, "shop-master").await?;
        conflict(&shop, &["StatefulSet shop"]).await?;
        delete::<StatefulSet>(&shop, "shop").await?;
        shop.agrees().await?;
        ensure(shop.password().await? == "theirs", || "another password".to_owned())?;
        let secret = shop.all::<Secret>().get("shop-auth").await?;
        ensure(secret.owner_references().is_empty(), || "their Secret would be deleted with the resource".to_owned())
    });
}

/// The Service of a running replication is deleted, and another one comes to its name.
#[test]
fn a_running_replication_fails_over_beside_a_service_of_others() {
    scenario("names-service", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(100).await?;
        let theirs: Service = serde_json::from_value(json!({
            "metadata": { "name": "cache-master" }, "spec": { "selector": { "app": "elsewhere" }, "ports": [{ "port": 6379 }] },
        }))?;
        let services = cache.all::<Service>();
        let mut taken = false;
        for _ in 0..50 {
            services.delete("cache-master", &DeleteParams::default()).await?;
            taken = services.create(&PostParams::default(), &theirs).await.is_ok();
            if taken {
                break;
            }
            eventually("it is made again", SHORT, async || Ok(services.get("cache-master").await?)).await?;
        }
        ensure(taken, || "the operator was always quicker".to_owned())?;
        let before = intent::<Service>(scene, "cache-master").await?;
        let message = conflict(&cache, &["Service cache-master"]).await?;
        ensure(message.contains("failover goes on"), || message)?;

        let former = cache.master().await?;
        cache.kill(&former).await?;
        let master = cache.another_master(&former, LONG).await?;
        eventually("the other follows", LONG, async || {
            let status = cache.status().await?;
            let other = status.members.iter().find(|m| m.name == former).context("no such member")?;
            ensure(other.phase.is_some_and(|p| format!("{p:?}") == "Online"), || format!("{other:?}"))
        })
        .await?;
        cache.cli(&master, &["SET", "written-by", "the new master"]).await?;
        cache.cli(&master, &["DEL", "written-by"]).await?;
        ensure(intent::<Service>(scene, "cache-master").await? == before, || "their Service has changed".to_owned())?;
        let behind = cache.endpoints("master").await?;
        ensure(behind.is_empty(), || format!("their Service leads to {behind:?}"))?;

        delete::<Service>(&cache, "cache-master").await?;
        ensure(cache.agrees().await? == master, || "another master".to_owned())?;
        cache.holds(100).await
    });
}

/// Left behind on request, everything is taken up again, with the data.
#[test]
fn what_a_deleted_resource_leaves_behind_is_ours() {
    scenario("names-again", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(100).await?;
        let password = cache.password().await?;
        let uids = uids(&cache).await?;
        let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
        cache.api().delete("cache", &orphan).await?;
        eventually("the resource is gone", SHORT, async || {
            ensure(cache.api().get_opt("cache").await?.is_none(), || "it is there".to_owned())
        })
        .await?;
        let again = scene.ready("cache", "replicas: 2").await?;
        again.holds(100).await?;
        ensure(again.password().await? == password, || "another password".to_owned())?;
        ensure(self::uids(&again).await? == uids, || "something was made again".to_owned())?;
        let uid = again.get().await?.uid();
        let service = again.all::<Service>().get("cache-master").await?;
        let owner = service.owner_references().iter().find(|owner| owner.controller == Some(true));
        ensure(owner.map(|owner| owner.uid.clone()) == uid, || format!("its owner is {owner:?}"))?;
        Ok(())
    });
}

async fn uids(cache: &Replication) -> Result<BTreeMap<String, Option<String>>> {
    let mut uids = BTreeMap::new();
    for service in cache.all::<Service>().list(&ListParams::default()).await? {
        uids.insert(format!("Service {}", service.name_any()), service.uid());
    }
    for pod in cache.pods().await? {
        uids.insert(format!("Pod {}", pod.name_any()), pod.uid());
    }
    Ok(uids)
}
