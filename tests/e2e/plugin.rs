//! kubectl-rr, the built program: what it shows, and what a person can ask for with it.

use std::{
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use redis_replication_operator::api::{ConditionType, Reason, RequestKind};
use serde_json::Value;

use crate::harness::{LONG, Replication, Scene, ensure, exec::exec, poll::eventually, scenario};

/// Command lines and environments of all processes of a container.
const PROCESSES: &str = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true";
/// A password that would need quoting everywhere.
const PASSWORD: &str = "p'4$s \"w0rd\\ of the plugin";

/// The program: `KUBECTL_RR`, or what was built beside this test.
fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("KUBECTL_RR") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let built = test.parent().and_then(|deps| deps.parent()).context("a directory")?.join("kubectl-rr");
    ensure(built.exists(), || format!("there is no {}: `cargo build --workspace` makes it", built.display()))?;
    Ok(built)
}

struct Plugin {
    namespace: String,
}

impl Plugin {
    fn of(scene: &Scene) -> Self {
        Self { namespace: scene.namespace.name().to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program()?);
        command.args(["--namespace", &self.namespace]).args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    fn start(&self, arguments: &[&str]) -> Result<Child> {
        Ok(self.command(arguments)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)?.output().with_context(|| arguments.join(" "))
    }

    /// What it prints, if it ends with this code.
    fn prints(&self, arguments: &[&str], code: i32) -> Result<String> {
        let output = self.run(arguments)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure(output.status.code() == Some(code), || {
            format!("{} ended with {} instead of {code}:\n{out}{err}", arguments.join(" "), output.status)
        })?;
        Ok(out.into_owned())
    }

    /// The one line that it fails with.
    fn fails(&self, arguments: &[&str], code: i32) -> Result<String> {
        let output = self.run(arguments)?;
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure(output.status.code() == Some(code) && err.lines().count() == 1, || {
            format!("{} ended with {} instead of {code} and one line:\n{err}", arguments.join(" "), output.status)
        })?;
        Ok(err)
    }
}

fn contains(text: &str, parts: &[&str]) -> Result<()> {
    parts.iter().try_for_each(|part| ensure(text.contains(part), || format!("{part:?} is not in:\n{text}")))
}

#[test]
fn the_plugin_shows_and_explains() {
    scenario("plugin-shows", async |scene| {
        let plugin = Plugin::of(scene);
        let cache = scene.ready("cache", "replicas: 3").await?;
        let master = cache.master().await?;

        let status = plugin.prints(&["status", "cache"], 0)?;
        contains(&status, &["Healthy", &format!("Master    {master}, epoch 1"), "0 B", "100 %", "cache-2"])?;
        ensure(!status.contains('\x1b'), || format!("colours, and no terminal:\n{status}"))?;
        contains(&plugin.prints(&["status"], 0)?, &["cache", "3/3", "Healthy"])?;

        let value: Value = serde_json::from_str(&plugin.prints(&["status", "cache", "-o", "json"], 0)?)?;
        ensure(value["healthy"] == true && value["master"] == *master, || value.to_string())?;
        let members = value["members"].as_array().context("members")?;
        let behind =
            members.iter().filter(|member| member["lagBytes"].is_u64() && member["lagSeconds"].is_u64()).count();
        ensure(members.len() == 3 && behind == 2, || format!("two replicas have a lag: {value}"))?;

        contains(&plugin.prints(&["events", "cache"], 0)?, &["MasterElected", "Pod/cache-0"])?;
        let logs = plugin.prints(&["logs", "cache"], 0)?;
        contains(&logs, &[&format!("{master} master  |"), "cache-2 ", "replica |", "Ready to accept connections"])?;

        contains(&plugin.fails(&["status", "cahce"], 1)?, &["no RedisReplication cahce", "did you mean cache?"])?;
        contains(&plugin.fails(&["cli", "cache", "cache-7", "--", "PING"], 1)?, &["no member cache-7"])?;
        contains(&plugin.fails(&["--context", "nowhere", "status"], 1)?, &["no cluster is configured", "nowhere"])?;
        contains(&plugin.fails(&["failover", "cache"], 2)?, &["--force"])?;
        contains(&plugin.fails(&["failover", "cache", "--force", "--yes"], 1)?, &["switchover"])
    });
}

#[test]
fn the_plugin_pauses_and_resumes() {
    scenario("plugin-pause", async |scene| {
        let plugin = Plugin::of(scene);
        let cache = scene.ready("cache", "replicas: 2").await?;
        plugin.prints(&["pause", "cache"], 0)?;
        ensure(cache.get().await?.spec.paused, || "it is not paused".to_owned())?;
        cache.reason(ConditionType::FailoverBlocked, Reason::Paused, LONG).await?;
        contains(&plugin.fails(&["switchover", "cache"], 1)?, &["kubectl rr resume cache"])?;
        plugin.prints(&["resume", "cache"], 0)?;
        ensure(!cache.get().await?.spec.paused, || "it is still paused".to_owned())?;
        cache.reason(ConditionType::Ready, Reason::Healthy, LONG).await.map(drop)
    });
}

#[test]
fn the_plugin_keeps_the_password_to_itself() {
    scenario("plugin-password", async |scene| {
        let plugin = Plugin::of(scene);
        let secret = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "mine" },
            "stringData": { "password": PASSWORD },
        }))?;
        kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(scene.client.clone(), scene.namespace.name())
            .create(&kube::api::PostParams::default(), &secret)
            .await?;
        let cache = scene.ready("cache", "{replicas: 2, auth: {secretName: mine}}").await?;
        let master = cache.master().await?;
        ensure(plugin.prints(&["cli", "cache", "--", "PING"], 0)? == "PONG\n", || "no PONG".to_owned())?;
        contains(&plugin.prints(&["cli", "cache", "0", "--", "GET", "nothing"], 0)?, &["\n"])?;

        let mut waiting = plugin.start(&["cli", "cache", "--", "BLPOP", "nothing", "10"])?;
        eventually("redis-cli waits", Duration::from_secs(10), async || {
            let all = exec(&cache.client, &cache.namespace, &master, "redis", "", &["sh", "-c", PROCESSES]).await?;
            ensure(all.stdout.contains("BLPOP"), || "it does not run yet".to_owned())?;
            ensure(!all.stdout.contains(PASSWORD), || "the password can be seen by ps".to_owned())
        })
        .await?;
        ensure(waiting.wait()?.success(), || "redis-cli failed".to_owned())?;

        let directory = std::env::temp_dir().join(scene.namespace.name());
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("report.tar.gz");
        let path = file.to_string_lossy().into_owned();
        let manifest = plugin.prints(&["report", "cache", "--output", &path], 0)?;
        let everything = Command::new("tar").args(["-xzOf", &path]).output()?.stdout;
        std::fs::remove_dir_all(&directory)?;
        let everything = String::from_utf8_lossy(&everything);
        contains(&manifest, &["resource.yaml", "info/cache-1.txt", "logs/cache-0.log", "operator/deployment.yaml"])?;
        contains(&everything, &["kind: StatefulSet", "master_repl_offset:", "Ready to accept connections", "boot.sh"])?;
        let quoted = PASSWORD.replace('\\', "\\\\").replace('"', "\\\"");
        ensure(!everything.contains(PASSWORD) && !everything.contains(&quoted), || "the password is in it".to_owned())
    });
}

#[test]
fn a_person_asks_for_another_master() {
    scenario("plugin-switchover", async |scene| {
        let plugin = Plugin::of(scene);
        let cache = scene.ready("cache", "replicas: 3").await?;
        let to = cache.replicas().await?.pop().context("a replica")?;
        let writer = cache.writer(&[]).await?;
        let told = plugin.prints(&["switchover", "cache", "--to", &to], 0)?;
        contains(&told, &[&format!("{to} is the master (epoch 2)"), "completed in"])?;
        ensure(cache.agrees().await? == to, || "another is the master".to_owned())?;
        nothing_is_asked_for(&cache, RequestKind::Switchover).await?;

        plugin.prints(&["switchover", "cache"], 0)?;
        ensure(cache.agrees().await? != to, || format!("{to} is still the master"))?;
        writer.stop().await?.nothing_lost()?;
        contains(&plugin.fails(&["switchover", "cache", "--to", "cache-9"], 1)?, &["no member cache-9"])
    });
}

#[test]
fn a_person_decides_a_failover() {
    scenario("plugin-failover", async |scene| {
        let plugin = Plugin::of(scene);
        let spec = "{replicas: 3, failover: {policy: Consistency}, durability: {waitReplicas: 1}}";
        let cache = scene.ready("cache", spec).await?;
        cache.populate(100).await?;
        let (master, replicas) = (cache.master().await?, cache.replicas().await?);
        // one silent replica may have what the other lacks: the operator may not decide
        cache.hang(&replicas[1]).await?;
        cache.kill(&master).await?;
        cache.reason(ConditionType::FailoverBlocked, Reason::QuorumMissing, LONG).await?;
        contains(&plugin.prints(&["status", "cache"], 3)?, &["QuorumMissing", "Consistency"])?;

        let told = plugin.prints(&["failover", "cache", "--force", "--yes", "--to", &replicas[0]], 0)?;
        contains(&told, &[&format!("{} is the master", replicas[0])])?;
        nothing_is_asked_for(&cache, RequestKind::Failover).await?;
        cache.resume(&replicas[1]).await?;
        ensure(cache.agrees().await? == replicas[0], || "another is the master".to_owned())?;
        cache.holds(100).await
    });
}

#[test]
fn a_rehearsal_tells_what_it_cost_and_leaves_nothing() {
    scenario("plugin-rehearse", async |scene| {
        let plugin = Plugin::of(scene);
        let cache = scene.ready("cache", "replicas: 3").await?;
        let master = cache.master().await?;
        let told = plugin.prints(&["rehearse", "cache", "--yes"], 0)?;
        contains(&told, &[&format!("Switchover from {master}"), "writes were acknowledged, 0 of them are lost"])?;
        let master = cache.agrees().await?;

        let told = plugin.run(&["rehearse", "cache", "--crash", "--yes"])?;
        // what no replica had received may be lost
        ensure(matches!(told.status.code(), Some(0 | 3)), || format!("{told:?}"))?;
        let told = String::from_utf8_lossy(&told.stdout);
        contains(&told, &[&format!("Failover from {master}"), "writes were held up for", "writes were acknowledged"])?;

        let master = cache.agrees().await?;
        ensure(cache.cli(&master, &["DBSIZE"]).await? == "0", || "keys of the rehearsal are left".to_owned())?;
        eventually("the writers are gone", LONG, async || {
            let pods = namespaced_pods(scene).await?;
            ensure(pods == 3, || format!("there are {pods} pods"))
        })
        .await
    });
}

async fn nothing_is_asked_for(cache: &Replication, request: RequestKind) -> Result<()> {
    let annotations = cache.get().await?.metadata.annotations.unwrap_or_default();
    ensure(!annotations.contains_key(request.annotation()), || format!("the request is still there: {annotations:?}"))
}

async fn namespaced_pods(scene: &Scene) -> Result<usize> {
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(scene.client.clone(), scene.namespace.name());
    Ok(pods.list(&kube::api::ListParams::default()).await?.items.len())
}
