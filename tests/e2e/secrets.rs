//! The password's Secret: deleted, edited, exchanged, or with something in it that is no password; and members that let nobody in.

use std::process::Command;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use redis_replication_operator::api::{ConditionType, Reason, RequestKind::Switchover};
use serde_json::json;

use crate::harness::{LONG, SHORT, ensure, exec::exec, poll::eventually, scenario, scenario_alone};

/// Takes a member's connections in its container, so that it lets nobody in, the operator neither, until `room` is called.
const FULL: &str = r#"IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH; cd /run/redis; rm -f full.*
cli() { exec "$(command -v redis-cli || command -v valkey-cli)" "$@"; }
for i in 1 2 3 4 5 6 7 8; do (cli SUBSCRIBE nothing >"full.$i" 2>&1 </dev/null & echo $! >>full.pids); done
for i in 1 2 3 4 5 6 7 8; do until grep -q subscribe "full.$i"; do sleep 0.1; done; done
printf 'CONFIG SET maxclients 6\nCLIENT KILL USER redis-replication-operator\n' | cli"#;
const ROOM: &str = "kill $(cat /run/redis/full.pids)";

/// Runs the command that a message ends with, and returns what it prints.
fn run(message: &str) -> Result<String> {
    let (_, command) = message.rsplit_once(": ").context("no command")?;
    println!("running {command}");
    let output = Command::new("bash").args(["-ec", command]).output()?;
    ensure(output.status.success(), || format!("{command}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_deleted_secret_comes_back_as_it_was() {
    scenario("secret-deleted", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(10).await?;
        let (password, starts) = (cache.password().await?, cache.starts().await?);
        for _ in 0..2 {
            cache.delete_secret().await?;
            cache.has_password(&password).await?;
        }
        cache.event("SecretRestored", "with the same password").await?;
        let now = cache.starts().await?;
        ensure(now == starts, || format!("{now:?}, before {starts:?}"))?;
        let former = cache.master().await?;
        cache.kill(&former).await?;
        cache.another_master(&former, LONG).await?;
        cache.agrees().await?;
        cache.holds(10).await?;

        // with its master, whose next pod waits for it
        let former = cache.master().await?;
        cache.delete_secret().await?;
        cache.all::<Pod>().delete(&former, &DeleteParams::default()).await?;
        cache.has_password(&password).await?;
        cache.another_master(&former, LONG).await?;
        cache.agrees().await?;
        cache.holds(10).await
    });
}

#[test]
fn an_edited_secret_is_told_and_comes_back_as_it_was() {
    scenario("secret-edited", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        let (password, starts) = (cache.password().await?, cache.starts().await?);
        let (ready, makes) = (ConditionType::Ready, "the operator makes it again");
        for (value, reason, words) in [
            (None, Reason::SecretMissing, "has no key password"),
            (Some(&b""[..]), Reason::InvalidPassword, "is empty"),
            (Some(b"another"), Reason::WrongPassword, "the operator goes on with the former one"),
        ] {
            cache.store("password", value).await?;
            let message = cache.says(ready, reason, words).await?;
            cache.reason(ConditionType::MasterAvailable, Reason::MasterServes, SHORT).await?;
            ensure(message.contains(makes), || message.clone())?;
            run(&message)?;
            cache.has_password(&password).await?;
            cache.agrees().await?;
        }
        let now = cache.starts().await?;
        ensure(now == starts, || format!("{now:?}, before {starts:?}"))
    });
}

#[test]
fn a_secret_that_nobody_knows_is_not_made_up() {
    scenario_alone("secret-lost", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(10).await?;
        let (password, starts) = (cache.password().await?, cache.starts().await?);
        let message = eventually("the operator has not seen the Secret", LONG, async || {
            cache.delete_secret().await?;
            scene.restart_operator().await?;
            // the operator before may have been quicker
            cache.says(ConditionType::Ready, Reason::SecretMissing, "No new one is made").await
        })
        .await?;
        run(&message)?;
        cache.has_password(&password).await?;
        cache.agrees().await?;
        let now = cache.starts().await?;
        ensure(now == starts, || format!("{now:?}, before {starts:?}"))?;
        cache.delete_secret().await?;
        cache.has_password(&password).await?;
        cache.holds(10).await
    });
}

#[test]
fn what_is_no_password_is_told_with_what_to_do() {
    scenario("secret-invalid", async |scene| {
        let cache = scene.replication("cache", "{replicas: 1, auth: {secretName: mine, secretKey: pass.word}}").await?;
        let secret =
            serde_json::from_value(json!({ "metadata": { "name": "mine" }, "stringData": { "pass.word": "" } }))?;
        cache.secrets().create(&PostParams::default(), &secret).await?;
        let ready = ConditionType::Ready;
        for (value, words) in [
            (&b""[..], "is empty"),
            (b"\xff\xfep\0w\0", "is not UTF-8 text"),
            (b"\xef\xbb\xbfpa55 w\"rd$\n", "begins with a byte order mark"),
            (b"pa55\nw\"rd$\n", "has several lines"),
            (b"pa55 w\"rd$\r", "contains a carriage return"),
            (b"pa55 w\"rd$\r\n", "contains a carriage return"),
        ] {
            cache.store("pass.word", Some(value)).await?;
            cache.says(ready, Reason::InvalidPassword, words).await?;
        }
        cache.event("InvalidPassword", "the Secret mine").await?;
        let message = cache.reason(ready, Reason::InvalidPassword, SHORT).await?.message;
        run(&message)?;
        let stored = cache.password().await?;
        ensure(stored == "pa55 w\"rd$\n", || format!("{stored:?} is left"))?;
        eventually("the password works", LONG, async || {
            cache.reason(ready, Reason::Healthy, LONG).await?;
            let answer = exec(&cache.client, &cache.namespace, "cache-0", "redis", "", &["cat", "/run/redis/password"]);
            let answer = answer.await?.stdout;
            ensure(answer == stored, || format!("Redis was started with {answer:?}"))
        })
        .await
    });
}

#[test]
fn members_that_refuse_a_changed_password_are_not_lost() {
    scenario("secret-changed", async |scene| {
        let secret = json!({ "metadata": { "name": "mine" }, "stringData": { "password": "former" } });
        let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), scene.namespace.name());
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        let cache = scene.ready("cache", "{replicas: 2, auth: {secretName: mine}}").await?;
        let (master, replica) = (cache.master().await?, cache.replicas().await?.remove(0));
        // its connection ends: the next login meets the changed Secret
        let kill = ["CLIENT", "KILL", "USER", "redis-replication-operator"];
        for pod in [&master, &replica] {
            let cut = cache.cli(pod, &kill).await?;
            ensure(cut != "0", || format!("{pod}: no connection of the operator's was ended"))?;
        }
        cache.store("password", Some(b"present")).await?;
        let message =
            cache.says(ConditionType::Ready, Reason::WrongPassword, "the operator goes on with the former one").await?;
        cache.reason(ConditionType::MasterAvailable, Reason::MasterServes, SHORT).await?;
        cache.request(Switchover, "any").await?;
        cache.another_master(&master, LONG).await?;

        run(&message)?;
        cache.has_password("former").await?;
        cache.agrees().await.map(drop)
    });
}

#[test]
fn a_member_without_room_for_clients_says_so() {
    scenario("maxclients", async |scene| {
        let cache = scene.ready("cache", "replicas: 2").await?;
        cache.populate(10).await?;
        let (master, replica) = (cache.master().await?, cache.replicas().await?.remove(0));
        let password = format!("{}\n", cache.password().await?);
        let sh = async |pod: &str, input: &str, script: &str| {
            exec(&cache.client, &cache.namespace, pod, "redis", input, &["sh", "-c", script]).await?.ok()
        };
        for (pod, type_) in [(&replica, ConditionType::Ready), (&master, ConditionType::MasterAvailable)] {
            sh(pod, &password, FULL).await?;
            let message = cache.says(type_, Reason::TooManyClients, "max number of clients").await?;
            ensure(message.contains(pod) && message.contains("raise maxclients"), || message.clone())?;
            sh(pod, "", ROOM).await?;
            cache.agrees().await?;
        }
        ensure(cache.master().await? == master, || "the master is another".to_owned())?;
        cache.event("TooManyClients", "raise maxclients").await?;
        cache.holds(10).await
    });
}
