//! Where it was measured, and with what.

use std::process::Command;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

use crate::harness::operator;

/// The machine and the versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub kubernetes: String,
    pub nodes: usize,
    /// kube-proxy's mode, as far as this machine can tell.
    pub proxy: String,
    /// Whether etcd waits for its disk.
    pub etcd: String,
    /// The image that the Redis pods run.
    pub redis: String,
    /// The commit of this checkout.
    pub commit: String,
    /// What tells one build of the operator from another.
    pub build: String,
}

impl Setting {
    /// Whether figures of both may stand side by side. The commit only says where a build came from.
    pub fn is_that_of(&self, other: &Self) -> bool {
        Self { commit: other.commit.clone(), ..self.clone() } == *other
    }

    /// As it is now. `redis` is the image that is measured.
    pub async fn now(client: &Client, redis: &str) -> Result<Self> {
        let version = client.apiserver_version().await?;
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
        let memory = value("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            cpu: value("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory.map_or(0, |kib| kib.div_ceil(1 << 20)),
            kernel: read("/proc/sys/kernel/osrelease"),
            kubernetes: version.git_version,
            nodes: nodes.list(&kube::api::ListParams::default()).await?.items.len(),
            proxy: mode_of_proxy(),
            etcd: disk_of_etcd().to_owned(),
            redis: redis.to_owned(),
            commit: commit()?,
            build: build(client).await?,
        })
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn value(path: &str, key: &str) -> Option<String> {
    let text = read(path);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned()).next()
}

/// The arguments of a process of this machine that was started by this name.
fn arguments(program: &str) -> Option<Vec<String>> {
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    let lines = processes.filter_map(|path| std::fs::read(path).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).split('\0').map(str::to_owned).collect::<Vec<_>>());
    lines.into_iter().find(|line| line.first().is_some_and(|first| first.rsplit('/').next() == Some(program)))
}

fn mode_of_proxy() -> String {
    let arguments = arguments("kube-proxy").unwrap_or_default();
    arguments.iter().find_map(|a| a.strip_prefix("--proxy-mode=")).unwrap_or("unknown").to_owned()
}

fn disk_of_etcd() -> &'static str {
    match arguments("etcd") {
        Some(arguments) if arguments.iter().any(|a| a == "--unsafe-no-fsync") => "etcd does not wait for its disk",
        Some(_) => "etcd waits for its disk",
        None => "etcd is elsewhere",
    }
}

fn commit() -> Result<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).context("git")
    };
    let dirty = !git(&["status", "--porcelain", "--untracked-files=no", "src", "Cargo.lock", "charts"])?.is_empty();
    Ok(git(&["log", "-1", "--format=%h", "--", "src", "Cargo.lock", "charts"])? + if dirty { "-dirty" } else { "" })
}

async fn build(client: &Client) -> Result<String> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), operator::NAMESPACE);
    let pod = deployments.get(operator::NAME).await?.spec.unwrap_or_default().template.metadata.unwrap_or_default();
    let build = pod.annotations.unwrap_or_default().remove("build");
    Ok(build.unwrap_or(operator::image(client).await?.0))
}
