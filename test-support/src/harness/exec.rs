//! Running a command in a container.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::AttachParams};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

const LIMIT: Duration = Duration::from_secs(30);

/// What a command left behind.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub success: bool,
}

impl Output {
    /// The standard output, if the command succeeded.
    pub fn ok(self) -> Result<String> {
        if self.success {
            return Ok(self.stdout.trim_end().to_owned());
        }
        bail!("{}", format!("{} {}", self.stdout.trim_end(), self.stderr.trim_end()).trim())
    }
}

/// Runs `command` with `stdin` as its input.
pub async fn exec(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    stdin: &str,
    command: &[&str],
) -> Result<Output> {
    exec_at(client, namespace, pod, container, stdin, Instant::now(), command).await
}

/// The same; the command runs at once, and its input comes at the instant `at`.
pub async fn exec_at(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    stdin: &str,
    at: Instant,
    command: &[&str],
) -> Result<Output> {
    tokio::time::timeout(LIMIT, attempt(client, namespace, pod, container, stdin, at, command))
        .await
        .unwrap_or_else(|_| bail!("no answer within {LIMIT:?}"))
        .with_context(|| format!("exec in pod {pod}: {}", command.join(" ")))
}

async fn attempt(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    stdin: &str,
    at: Instant,
    command: &[&str],
) -> Result<Output> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = AttachParams::default().container(container).stdin(!stdin.is_empty());
    let mut process = pods.exec(pod, command.iter().copied(), &parameters).await?;
    let status = process.take_status();
    let input = process.stdin();
    let (mut output, mut errors) = (process.stdout(), process.stderr());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    tokio::try_join!(
        async {
            match input {
                Some(mut input) => {
                    tokio::time::sleep_until(at).await;
                    input.write_all(stdin.as_bytes()).await
                }
                None => Ok(()),
            }
        },
        async {
            match &mut output {
                Some(output) => output.read_to_end(&mut stdout).await.map(drop),
                None => Ok(()),
            }
        },
        async {
            match &mut errors {
                Some(errors) => errors.read_to_end(&mut stderr).await.map(drop),
                None => Ok(()),
            }
        },
    )?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let success = status.as_ref().is_some_and(|status| status.status.as_deref() == Some("Success"));
    let mut stderr = String::from_utf8_lossy(&stderr).into_owned();
    if stderr.is_empty()
        && let Some(message) = status.and_then(|status| status.message)
    {
        stderr = message;
    }
    Ok(Output { stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr, success })
}
