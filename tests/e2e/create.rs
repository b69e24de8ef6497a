//! From nothing to ready.

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use redis_replication_operator::api::{ConditionType, Reason};
use serde_json::json;

use crate::harness::{SHORT, ensure, exec::exec, scenario};

const PROCESSES: &str = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true";

#[test]
fn three_members_become_ready() {
    scenario("create", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let master = cache.master().await?;
        assert_eq!(cache.cli(&master, &["SET", "greeting", "hello"]).await?, "OK");
        assert_eq!(cache.cli(&master, &["WAIT", "2", "10000"]).await?.parse::<u32>()?, 2);
        for pod in cache.members().await? {
            assert_eq!(cache.cli(&pod, &["GET", "greeting"]).await?, "hello", "{pod}");
        }
        for pod in cache.replicas().await? {
            let refused = cache.try_cli(&pod, &["SET", "greeting", "bye"]).await?;
            ensure(format!("{refused:?}").contains("READONLY"), || format!("a replica took a write: {refused:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn nobody_enters_without_the_password() {
    scenario("password", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        let password = cache.password().await?;
        ensure(password.len() >= 20, || format!("a password of {} characters is short", password.len()))?;
        for pod in cache.members().await? {
            let refused = cache.cli_without_password(&pod, &["GET", "greeting"]).await?;
            ensure(format!("{refused:?}").contains("NOAUTH"), || format!("{pod} answers a stranger: {refused:?}"))?;
            let processes = exec(&cache.client, &cache.namespace, &pod, "redis", "", &["sh", "-c", PROCESSES]).await?;
            ensure(processes.stdout.contains("PATH="), || format!("nothing was read: {processes:?}"))?;
            ensure(!processes.stdout.contains(&password), || format!("the password can be seen by ps in {pod}"))?;
            let manifest = serde_json::to_string(&cache.pod(&pod).await?)?;
            ensure(!manifest.contains(&password), || format!("the password is in the manifest of {pod}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_password_of_ones_own() {
    scenario("own-password", async |scene| {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": { "name": "mine" },
            "stringData": { "redis": "p'4$s \"w0rd\\ #with all sorts of %things" },
        }))?;
        kube::Api::namespaced(scene.client.clone(), scene.namespace.name())
            .create(&PostParams::default(), &secret)
            .await?;
        let cache = scene.ready("cache", "{replicas: 2, auth: {secretName: mine, secretKey: redis}}").await?;
        assert_eq!(cache.cli(&cache.master().await?, &["PING"]).await?, "PONG");
        let made = cache.all::<Secret>().get_opt("cache-auth").await?;
        ensure(made.is_none(), || "the operator made a Secret though one was given".to_owned())
    });
}

#[test]
fn a_single_member_is_ready_too() {
    scenario("single", async |scene| {
        let single = scene.ready("single", "replicas: 1").await?;
        single.reason(ConditionType::Replicating, Reason::SingleMember, SHORT).await?;
        single.populate(100).await
    });
}
