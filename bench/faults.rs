//! The faults, and how each is undone.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{EvictParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    harness::{LONG, hand, operator, poll::eventually},
    plan::Fault,
    sentinel,
    subjects::{Standing, node_is_ready, operator_is_whole},
};

const SWITCHOVER: &str = "redis.replication.dev/switchover-to";
/// So long after it was asked for, a process is killed: what ends the `exec` that asked is over then, as no crash brings it
/// along.
pub const ALONE: Duration = Duration::from_secs(1);

/// What was done to whom.
pub struct Damage<'a> {
    fault: Fault,
    standing: &'a Standing,
    master: String,
    pub node: String,
    leader: Option<Pod>,
}

impl<'a> Damage<'a> {
    /// Gets ready for it, so that it can strike without delay.
    pub async fn prepare(fault: Fault, standing: &'a Standing, master: &str) -> Result<Self> {
        let client = &standing.pods.client;
        let pod = standing.pods.pod(master).await?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("the master has no node")?;
        // A rehearsal: signal 0 does nothing, but everything on the way is awake then.
        if matches!(fault, Fault::Crash | Fault::Hang | Fault::OperatorToo) {
            eventually("the hand reaches the master", LONG, async || {
                hand::signal(client, &pod, "redis", "0", hand::SERVERS).await
            })
            .await?;
        }
        let mut leader = None;
        if fault == Fault::OperatorToo {
            let found = operator::leader(client).await?;
            hand::signal(client, &found, "operator", "0", "").await?;
            leader = Some(found);
        }
        Ok(Self { fault, standing, master: master.to_owned(), node, leader })
    }

    pub async fn strike(&self) -> Result<()> {
        let (pods, master) = (&self.standing.pods, self.master.as_str());
        match self.fault {
            Fault::Crash => {
                pods.kill_later(master, ALONE).await?;
                sleep(ALONE).await;
                Ok(())
            }
            Fault::Switchover if self.standing.subject.is_ours() => self.annotate(json!("any")).await,
            Fault::Switchover => sentinel::switch_over(pods).await,
            Fault::PodDelete => pods.delete_pod(master).await,
            Fault::ForceDelete => pods.force_delete_pod(master).await,
            Fault::Drain => {
                self.cordon(true).await?;
                eventually("the eviction is allowed", LONG, async || {
                    Ok(pods.all::<Pod>().evict(master, &EvictParams::default()).await?)
                })
                .await?;
                Ok(())
            }
            Fault::Hang => pods.hang(master).await,
            Fault::NodeCut => self.cluster("cut").await,
            Fault::NodeKill => self.cluster("kill").await,
            Fault::OperatorToo => {
                let leader = self.leader.as_ref().context("no leader was found")?;
                let operator = hand::signal_later(&pods.client, leader, "operator", "KILL", "", ALONE);
                let both = tokio::join!(operator, pods.kill_later(master, ALONE));
                both.0.and(both.1)?;
                sleep(ALONE).await;
                Ok(())
            }
        }
    }

    /// Makes everything as it was, whether the fault was struck or not.
    pub async fn undo(&self) -> Result<()> {
        let client = &self.standing.pods.client;
        match self.fault {
            Fault::Crash | Fault::PodDelete | Fault::ForceDelete => {}
            Fault::Switchover if self.standing.subject.is_ours() => self.annotate(Value::Null).await?,
            Fault::Switchover => {}
            Fault::Drain => self.cordon(false).await?,
            Fault::Hang => {
                // The process may have been ended meanwhile, and its pod with it.
                if let Err(error) = self.standing.pods.resume(&self.master).await {
                    eprintln!("    {} was not resumed: {error:#}", self.master);
                }
            }
            Fault::NodeCut | Fault::NodeKill => {
                self.cluster(if self.fault == Fault::NodeCut { "heal" } else { "start" }).await?;
                node_is_ready(client, &self.node).await?;
                operator_is_whole(client).await?;
            }
            Fault::OperatorToo => operator_is_whole(client).await?,
        }
        Ok(())
    }

    async fn annotate(&self, to: Value) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { SWITCHOVER: to } } });
        let pods = &self.standing.pods;
        pods.api().patch(&pods.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn cordon(&self, cordoned: bool) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.standing.pods.client.clone());
        let patch = json!({ "spec": { "unschedulable": cordoned } });
        let node = nodes.patch(&self.node, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let done = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default() == cordoned;
        if done { Ok(()) } else { bail!("{} is not cordoned as it should be", node.name_any()) }
    }

    /// What only a cluster on this machine can do to its nodes.
    async fn cluster(&self, what: &'static str) -> Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/cluster.sh");
        let node = self.node.clone();
        let output = tokio::task::spawn_blocking(move || Command::new(script).arg(what).arg(node).output()).await??;
        if !output.status.success() {
            bail!("cluster.sh {what} {}: {}", self.node, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
