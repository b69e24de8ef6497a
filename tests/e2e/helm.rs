//! The charts, installed, changed and removed by Helm.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    coordination::v1::Lease,
};
use kube::{Api, ResourceExt, api::ListParams, api::PostParams};

use crate::harness::{
    LONG, Namespace, Replication, Scene, ensure,
    helm::{helm, install_operator},
    objects, operator,
    poll::{always, eventually},
    scenario, scenario_alone,
};

const REPLICATION: &str = "charts/redis-replication";
const SMALL: &str = "persistence.size=64Mi,persistence.whenDeleted=Delete,resources.requests.memory=32Mi";

#[test]
fn a_release_is_installed_tested_changed_and_removed() {
    scenario("helm", async |scene| {
        let namespace = scene.namespace.name();
        let notes = helm(namespace, &["install", "cache", REPLICATION, "--set", SMALL]).await?;
        ensure(notes.contains("get secret cache-redis-auth"), || {
            format!("the notes do not tell of the password: {notes}")
        })?;
        let cache = Replication::existing(&scene.client, namespace, "cache-redis");
        cache.agrees().await?;
        cache.populate(1000).await?;
        helm(namespace, &["test", "cache"]).await?;

        let changed = ["--set", SMALL, "--set", "replica.replicaCount=1,config.maxmemory-policy=allkeys-lfu"];
        helm(namespace, &[["upgrade", "cache", REPLICATION].as_slice(), &changed].concat()).await?;
        eventually("the changed directive", LONG, async || {
            for member in cache.members().await? {
                let policy = cache.cli(&member, &["CONFIG", "GET", "maxmemory-policy"]).await?;
                ensure(policy.ends_with("allkeys-lfu"), || format!("{member} has {policy:?}"))?;
            }
            Ok(())
        })
        .await?;
        cache.agrees().await?;
        ensure(cache.members().await?.len() == 2, || "there should be two members".to_owned())?;
        cache.holds(1000).await?;
        helm(namespace, &["test", "cache"]).await?;

        helm(namespace, &["uninstall", "cache"]).await?;
        nothing_is_left(scene, "cache").await
    });
}

#[test]
fn a_password_of_ones_own_is_the_one_that_counts() {
    scenario("helm-password", async |scene| {
        let namespace = scene.namespace.name();
        let values = "auth.password=s3cret word,architecture=standalone,persistence.enabled=false";
        helm(namespace, &["install", "my-redis", REPLICATION, "--set", values]).await?;
        let single = Replication::existing(&scene.client, namespace, "my-redis");
        single.agrees().await?;
        ensure(single.password().await? == "s3cret word", || "the password is another".to_owned())?;
        helm(namespace, &["test", "my-redis"]).await?;
        Ok(())
    });
}

/// Everything whose name begins with the release's is gone, Helm's own record too.
async fn nothing_is_left(scene: &Scene, release: &str) -> Result<()> {
    eventually("everything is gone", LONG, async || {
        let all = objects::resource_versions(&scene.client, scene.namespace.name()).await?;
        let left: Vec<_> =
            all.keys().filter(|key| key.contains(&format!("/{release}")) || key.contains("helm")).collect();
        if !left.is_empty() {
            bail!("left are {left:?}");
        }
        Ok(())
    })
    .await
}

/// Two operators, each for its own namespace. The one that looks after all namespaces rests meanwhile.
#[test]
fn two_operators_keep_to_their_namespaces() {
    scenario_alone("helm-two", async |scene| {
        let other = Namespace::create(&scene.client, "helm-two-other").await?;
        let pods = operator::scale(&scene.client, 0, LONG).await?;
        let outcome = two_operators(scene, &other).await;
        // Whatever is left of them could do nothing useful beside the operator for all namespaces.
        for namespace in [scene.namespace.name(), other.name()] {
            let _ = helm(namespace, &["uninstall", "only", "--ignore-not-found", "--wait"]).await;
        }
        operator::scale(&scene.client, pods, LONG).await?;
        operator::rolled_out(&scene.client, LONG).await?;
        other.clear().await;
        outcome
    });
}

async fn two_operators(scene: &Scene, other: &Namespace) -> Result<()> {
    let namespaces = [scene.namespace.name(), other.name()];
    let image = operator::image(&scene.client).await?;
    for namespace in namespaces {
        install_operator(namespace, "only", &lease(namespace), &image, &[]).await?;
    }
    let mut caches = Vec::new();
    for namespace in namespaces {
        let cache = Replication::create(&scene.client, namespace, "cache", "replicas: 2").await?;
        cache.agrees().await.with_context(|| format!("in {namespace}"))?;
        cache.populate(100).await?;
        let leases: Api<Lease> = Api::namespaced(scene.client.clone(), namespace);
        let names: Vec<_> = leases.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
        ensure(names == [lease(namespace)], || format!("{namespace} has the leases {names:?}"))?;
        caches.push(cache);
    }
    for (one, another) in [(namespaces[0], namespaces[1]), (namespaces[1], namespaces[0])] {
        ensure(may_read_secrets(scene, one, one).await?, || format!("the operator of {one} has too few rights there"))?;
        let beyond = may_read_secrets(scene, one, another).await?;
        ensure(!beyond, || format!("the operator of {one} may read Secrets in {another}"))?;
    }
    // Without its operator, nobody fails over for the first; the second's goes on.
    helm(namespaces[0], &["uninstall", "only", "--wait"]).await?;
    let masters = [caches[0].master().await?, caches[1].master().await?];
    caches[0].kill(&masters[0]).await?;
    caches[1].kill(&masters[1]).await?;
    caches[1].another_master(&masters[1], LONG).await?;
    caches[1].agrees().await?;
    caches[1].holds(100).await?;
    always("the first is left alone", Duration::from_secs(5), async || {
        let master = caches[0].master().await?;
        ensure(master == masters[0], || format!("{master} is master, with no operator there"))
    })
    .await?;
    install_operator(namespaces[0], "only", &lease(namespaces[0]), &image, &[]).await?;
    caches[0].agrees().await?;
    caches[0].holds(100).await
}

/// Called after the namespace, so that no two have the same name and Lease.
fn lease(namespace: &str) -> String {
    format!("keeper-{}", namespace.rsplit('-').next().unwrap_or_default())
}

async fn may_read_secrets(scene: &Scene, of: &str, in_: &str) -> Result<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{of}:{}", lease(of))),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(in_.to_owned()),
                verb: Some("get".to_owned()),
                resource: Some("secrets".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::<SubjectAccessReview>::all(scene.client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
