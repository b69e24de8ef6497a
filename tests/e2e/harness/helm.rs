//! Helm, as people use it: its command line, and the charts of this repository.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// What a chart's command gets to wait for before it gives up.
const TIMEOUT: &str = "4m";

/// Runs `helm` in this repository against the cluster that KUBECONFIG names, and returns what it printed.
pub async fn helm(namespace: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("helm");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).args(["--namespace", namespace]);
    command.args(["--timeout", TIMEOUT]);
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("helm must be in the PATH")?;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("helm {}: {}", arguments.join(" "), format!("{printed}\n{errors}").trim());
    }
    Ok(printed.into_owned())
}
