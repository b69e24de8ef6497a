//! The master's node is lost.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::harness::{
    LONG, Replication, SHORT, cluster::Cluster, ensure, operator, poll::eventually, scenario_alone, story::Copies,
};

/// Much longer than a lease lasts.
const OUTAGE: Duration = Duration::from_secs(20);
/// One member on each node.
const APART: &str = "podOverrides: {spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, \
    whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app.kubernetes.io/instance: cache, \
    app.kubernetes.io/name: redis-replication}}}]}}";

/// Moves the master to a node where the operator's leader is, or is not, and which is not the control plane's own, as there
/// is one in kind; returns the node of the leader and of the master.
async fn place(client: &Client, cache: &Replication, with_leader: bool) -> Result<(String, String)> {
    let control_plane = ListParams::default().labels("node-role.kubernetes.io/control-plane");
    let control_plane: Vec<_> =
        Api::<Node>::all(client.clone()).list(&control_plane).await?.iter().map(ResourceExt::name_any).collect();
    let mut leader = leaders_node(client).await?;
    if with_leader && control_plane.contains(&leader) {
        operator::replace_leader(client, LONG).await?;
        leader = leaders_node(client).await?;
    }
    let fits = |node: &String| (*node == leader) == with_leader && !control_plane.contains(node);
    let master = cache.master().await?;
    let node = cache.node(&master).await?;
    if fits(&node) {
        return Ok((leader, node));
    }
    for member in cache.replicas().await? {
        let node = cache.node(&member).await?;
        if fits(&node) {
            cache.hand_over_to(&member).await?;
            return Ok((leader, node));
        }
    }
    bail!("no member is where it should be: the leader is on {leader}")
}

async fn leaders_node(client: &Client) -> Result<String> {
    operator::leader(client).await?.spec.and_then(|spec| spec.node_name).context("the leader has no node")
}

/// One change of master, no full copy but the former master's, all 1000 keys, and the operator is whole again.
async fn failed_over_once(client: &Client, cache: &Replication, epoch: i64, copies: &Copies) -> Result<()> {
    cache.agrees().await?;
    let now = cache.status().await?.epoch;
    ensure(now == epoch + 1, || format!("the epoch went from {epoch} to {now}"))?;
    cache.copied_since(copies, 1).await?;
    cache.holds(1000).await?;
    operator::rolled_out(client, LONG).await
}

/// Nobody can know whether it is dead: the replicas leave it, and it refuses writes when it has none.
#[test]
fn the_masters_node_is_cut_off() {
    scenario_alone("node-cut", async |scene| {
        let Some(cluster) = Cluster::of_ours("node-cut")? else { return Ok(()) };
        let spec =
            format!("{{replicas: 3, failover: {{policy: Consistency}}, durability: {{waitReplicas: 1}}, {APART}}}");
        let cache = scene.ready("cache", &spec).await?;
        let (elsewhere, node) = place(&scene.client, &cache, false).await?;
        let writer = cache.writer_on(Some(&elsewhere), &["--wait=1"]).await?;
        let (former, copies, epoch) = (cache.master().await?, cache.copies().await?, cache.status().await?.epoch);
        let broken = cluster.cut(&node).await?;
        cache.another_master(&former, LONG).await?;
        writer.writes_on().await.context("while the node is cut off")?;
        broken.mend(&scene.client).await?;
        cache.agrees().await?;
        let now = cache.status().await?.epoch;
        ensure(now == epoch + 1, || format!("the epoch went from {epoch} to {now}"))?;
        // It may have written what nobody else has.
        cache.copied_since(&copies, 1).await?;
        writer.stop().await?.nothing_confirmed_lost()?;
        operator::rolled_out(&scene.client, LONG).await
    });
}

#[test]
fn the_masters_node_dies_with_the_leader_on_it() {
    scenario_alone("node-kill", async |scene| {
        let Some(cluster) = Cluster::of_ours("node-kill")? else { return Ok(()) };
        let cache = scene.ready("cache", &format!("{{replicas: 3, {APART}}}")).await?;
        let (_, node) = place(&scene.client, &cache, true).await?;
        cache.populate(1000).await?;
        // what a new master without replicas may have accepted alone is nowhere else, and is not given up
        eventually("the master needs a replica", SHORT, async || {
            let needed = cache.status().await?.min_replicas_to_write;
            ensure(needed == 1, || format!("it needs {needed}"))
        })
        .await?;
        let (former, copies, epoch) = (cache.master().await?, cache.copies().await?, cache.status().await?.epoch);
        let broken = cluster.kill(&node).await?;
        cache.another_master(&former, LONG).await?;
        broken.mend(&scene.client).await?;
        failed_over_once(&scene.client, &cache, epoch, &copies).await
    });
}

/// Who cannot reach the API server decides nothing.
#[test]
fn the_master_dies_while_there_is_no_api_server() {
    scenario_alone("no-api-server", async |scene| {
        let Some(cluster) = Cluster::of_ours("no-api-server")? else { return Ok(()) };
        let cache = scene.ready("cache", "replicas: 3").await?;
        cache.populate(1000).await?;
        let (former, copies, epoch) = (cache.master().await?, cache.copies().await?, cache.status().await?.epoch);
        cache.kill_later(&former, Duration::from_secs(8)).await?;
        let broken = cluster.stop_api_server().await?;
        tokio::time::sleep(OUTAGE).await;
        broken.mend(&scene.client).await?;
        cache.another_master(&former, LONG).await?;
        failed_over_once(&scene.client, &cache, epoch, &copies).await
    });
}
