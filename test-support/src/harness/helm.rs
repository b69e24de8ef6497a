//! Helm, as people use it: its command line, and the charts of this repository.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::in_repository;

/// What a chart's command gets to wait for before it gives up.
const TIMEOUT: &str = "4m";
const OPERATOR: &str = "charts/redis-replication-operator";

/// Runs `helm` in this repository against the cluster that KUBECONFIG names, and returns what it printed.
pub async fn helm(namespace: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("helm");
    command.current_dir(in_repository(".")).args(arguments).args(["--namespace", namespace]);
    command.args(["--timeout", TIMEOUT]);
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("helm must be in the PATH")?;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("helm {}: {}", arguments.join(" "), format!("{printed}\n{errors}").trim());
    }
    Ok(printed.into_owned())
}

/// Installs an operator called `name` that looks after `namespace` alone, of an image and how it is pulled, with further
/// arguments of Helm's.
pub async fn install_operator(
    namespace: &str,
    release: &str,
    name: &str,
    (image, policy): &(String, String),
    more: &[&str],
) -> Result<()> {
    let (repository, tag) = image.rsplit_once(':').context("an image without a tag")?;
    let values = format!(
        "watchNamespace={namespace},fullnameOverride={name},replicas=1,\
         image.repository={repository},image.tag={tag},image.pullPolicy={policy}"
    );
    let arguments = ["install", release, OPERATOR, "--skip-crds", "--wait", "--set", &values];
    helm(namespace, &[arguments.as_slice(), more].concat()).await?;
    Ok(())
}
