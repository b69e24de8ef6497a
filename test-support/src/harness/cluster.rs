//! The cluster itself: losing nodes and the API server. Only where a script of ours has made it.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::in_repository;

use super::{LONG, ensure, poll::eventually};

/// Arguments: -I or -D, the pod's address, that of the other side. The pods' processes are those of this machine; any of a pod will
/// do, since all of it share one network.
const FIREWALL: &str = r#"verb=$1 pod=$2 from=$3
for process in $(pgrep 'redis-server|valkey-server'); do
  if nsenter -t "$process" -n ip -4 addr 2>/dev/null | grep -qF " $pod/"; then
    exec nsenter -t "$process" -n iptables -w 10 "$verb" INPUT -s "$from" -p tcp --dport 6379 -j REJECT --reject-with tcp-reset
  fi
done
echo "no process of $pod" >&2; exit 1"#;

/// The script that made the cluster.
#[derive(Clone)]
pub struct Cluster {
    script: PathBuf,
}

/// Something that was broken; it is mended at the latest when this goes.
pub struct Broken {
    cluster: Cluster,
    mend: Option<(&'static str, String)>,
}

impl Cluster {
    /// `None`, and a loud word, where nodes cannot be lost.
    pub fn of_ours(scenario: &str) -> Result<Option<Self>> {
        let cluster = std::env::var("CLUSTER").unwrap_or_else(|_| "local".to_owned());
        let script = match cluster.as_str() {
            "local" => "tests/cluster/cluster.sh",
            "kind" => "tests/kind/kind.sh",
            other => {
                println!("{scenario}: SKIPPED: it breaks the cluster itself, and CLUSTER is {other}");
                return Ok(None);
            }
        };
        let cluster = Self { script: in_repository(script) };
        let (ours, used) = (cluster.run(&["kubeconfig"])?, std::env::var("KUBECONFIG").unwrap_or_default());
        ensure(ours == used, || format!("KUBECONFIG is {used:?}, and CLUSTER's is {ours:?}"))?;
        Ok(Some(cluster))
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.script).args(arguments).output().context("the cluster's script")?;
        if !output.status.success() {
            bail!("{} {arguments:?}: {}", self.script.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    async fn on_the_side(&self, verb: &'static str, of: &str) -> Result<()> {
        let (this, of) = (self.clone(), of.to_owned());
        tokio::task::spawn_blocking(move || this.run(&[verb, &of])).await??;
        Ok(())
    }

    /// Breaks something until it is mended.
    async fn breaks(&self, verb: &'static str, of: &str, mend: &'static str) -> Result<Broken> {
        let broken = Broken { cluster: self.clone(), mend: Some((mend, of.to_owned())) };
        self.on_the_side(verb, of).await?;
        Ok(broken)
    }

    /// Takes a node off the network.
    pub async fn cut(&self, node: &str) -> Result<Broken> {
        self.breaks("cut", node, "heal").await
    }

    /// Resets and refuses the connections from an address to a pod's Redis, as a firewall does that answers REJECT.
    pub async fn reject(&self, pod: &str, from: &str) -> Result<()> {
        firewall("-I", pod, from).await
    }

    /// Ends what `reject` began.
    pub async fn accept(&self, pod: &str, from: &str) -> Result<()> {
        eventually("the firewall is open again", LONG, async || firewall("-D", pod, from).await).await
    }

    /// Loses a node with all that runs on it.
    pub async fn kill(&self, node: &str) -> Result<Broken> {
        self.breaks("kill", node, "start").await
    }

    /// Stops the API server without ending it.
    pub async fn stop_api_server(&self) -> Result<Broken> {
        self.breaks("freeze", "apiserver", "thaw").await
    }
}

async fn firewall(verb: &'static str, pod: &str, from: &str) -> Result<()> {
    let arguments = [verb, pod, from].map(str::to_owned);
    let run = move || Command::new("bash").args(["-c", FIREWALL, "bash"]).args(arguments).output();
    let output = tokio::task::spawn_blocking(run).await??;
    ensure(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())
}

impl Broken {
    /// Mends it, and waits until all nodes are ready.
    pub async fn mend(mut self, client: &Client) -> Result<()> {
        if let Some((verb, of)) = self.mend.take() {
            self.cluster.on_the_side(verb, &of).await?;
        }
        eventually("all nodes are ready", LONG, async || {
            for node in Api::<Node>::all(client.clone()).list(&ListParams::default()).await? {
                let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
                let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
                ensure(ready, || format!("{} is not", node.name_any()))?;
            }
            Ok(())
        })
        .await
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        if let Some((verb, of)) = self.mend.take()
            && let Err(error) = self.cluster.run(&[verb, &of])
        {
            println!("{verb} {of}: {error:#}");
        }
    }
}
