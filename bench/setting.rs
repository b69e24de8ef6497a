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
