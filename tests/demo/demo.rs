//! A failover to watch: a writer writes without a pause, its master is killed and then deleted, and afterwards stands
//! what it cost. Started by `make demo`; leaves everything up for whoever wants to go on playing.

mod table;
mod timeline;

use anyhow::{Context, Result};
use drill::{Gap, Verdict};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use redis_replication_operator::api::{CompletedTransition, RedisReplication};
use serde_json::json;
use test_support::{
    harness::{LONG, Replication, SHORT, client, ensure, hand, objects, operator, poll::eventually},
    in_repository,
};
use timeline::{Tale, bold, green, red};

const NAMESPACE: &str = "demo";
const NAME: &str = "quickstart";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let client = client().await?;
    operator::is_installed(&client).await.context("install the operator first: make install")?;
    clean(&client).await?;

    let file = in_repository("manifests/examples/quickstart.yaml");
    let manifest = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    println!("{}", bold("kubectl apply -n demo -f manifests/examples/quickstart.yaml"));
    objects::apply(&client, NAMESPACE, &manifest).await?;
    let began = std::time::Instant::now();
    let quickstart = Replication::existing(&client, NAMESPACE, NAME);
    let master = quickstart.agrees().await?;
    println!("one master, {master}, and two replicas after {:.1} s\n", began.elapsed().as_secs_f64());

    // The tools first, so that only the faults take time afterwards.
    for pod in quickstart.pods().await? {
        hand::on_node(&client, pod.spec.and_then(|spec| spec.node_name).as_deref().unwrap_or_default()).await?;
    }
    let writer = quickstart.writer(&[]).await?;
    let mut timeline = Tale::new(Timestamp::now());
    println!("a client writes 500 numbers a second through {NAME}-master, and remembers every acknowledgement");

    println!("{}", bold(&format!("kill -9 of the Redis process in {master} …")));
    timeline.tell(Timestamp::now(), bold(&format!("we kill -9 the Redis process in {master}")));
    quickstart.kill(&master).await?;
    timeline.transition(&recovered(&quickstart, &master).await?);
    writer.writes_on().await?;

    let master = quickstart.master().await?;
    println!("{}", bold(&format!("kubectl delete pod {master} …")));
    timeline.tell(Timestamp::now(), bold(&format!("we kubectl delete pod {master}")));
    quickstart.delete_pod(&master).await?;
    timeline.transition(&recovered(&quickstart, &master).await?);
    let account = writer.stop().await?;

    // A busy machine has slow answers all the time; those of them that are no outage are only counted.
    let longest = account.gaps.iter().map(|gap| gap.ms).fold(0.0, f64::max);
    let is_outage = |gap: &&Gap| !gap.errors.is_empty() || gap.ms >= longest.min(100.0);
    let (outages, slow): (Vec<_>, Vec<_>) = account.gaps.iter().partition(is_outage);
    for gap in &outages {
        timeline.gap(gap);
    }
    timeline.events(&client, NAMESPACE, NAME).await?;
    println!("\n{}\n{timeline}", bold("What happened, in seconds since the writer wrote"));
    println!("{}\n{}", bold("What it cost"), costs(&account.verdict, &outages, slow.len()));
    println!("{}\n{}", bold("kubectl get rr -n demo"), table::of::<RedisReplication>(&client, NAMESPACE).await?);
    println!("{}\n{}", bold("Its conditions"), conditions(&quickstart).await?);
    println!("{}", next_steps(&quickstart.master().await?));
    Ok(())
}

/// Removes what a former run left.
async fn clean(client: &Client) -> Result<()> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    let manager = PatchParams::apply("demo").force();
    Api::<Namespace>::all(client.clone()).patch(NAMESPACE, &manager, &Patch::Apply(namespace)).await?;
    let former = Replication::existing(client, NAMESPACE, NAME);
    if former.api().get_opt(NAME).await?.is_some() {
        println!("removing the former {NAME} …");
        former.delete().await?;
    }
    let pods: Api<Pod> = former.all();
    pods.delete_collection(&DeleteParams::default().grace_period(1), &ListParams::default().labels("app=writer"))
        .await?;
    eventually("the former demo is gone", SHORT, async || {
        ensure(former.api().get_opt(NAME).await?.is_none(), || "the resource is still there".to_owned())?;
        let left = objects::resource_versions(client, NAMESPACE).await?;
        let left: Vec<_> = left.into_keys().filter(|key| key.contains(NAME)).collect();
        ensure(left.is_empty(), || format!("left are {left:?}"))
    })
    .await
}

/// Waits until all is well again, and returns the record of what was done.
async fn recovered(quickstart: &Replication, former: &str) -> Result<CompletedTransition> {
    quickstart.another_master(former, LONG).await?;
    quickstart.agrees().await?;
    quickstart.status().await?.last_transition.context("no transition is recorded")
}

fn costs(verdict: &Verdict, outages: &[&Gap], slow: usize) -> String {
    let Verdict { acknowledged, lost, .. } = verdict;
    let lengths: Vec<_> = outages.iter().map(|gap| format!("{:.0} ms", gap.ms)).collect();
    let lost = match lost {
        0 => green("not one of them was lost"),
        lost => red(&format!("{lost} of them were lost: they were on their way when the master died")),
    };
    let gaps = match lengths.as_slice() {
        [] => "no write waited for more than 20 ms".to_owned(),
        lengths => format!("writes were held up {} time(s): {}", lengths.len(), lengths.join(", ")),
    };
    let slow = if slow == 0 { String::new() } else { format!("; {slow} more answers took 20 ms or longer") };
    format!("  {acknowledged} writes were acknowledged; {lost}\n  {gaps}{slow}\n")
}

async fn conditions(quickstart: &Replication) -> Result<String> {
    let conditions = quickstart.status().await?.conditions;
    let line = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("  {:<16} {:<6} {:<15} {}\n", c.type_, c.status, c.reason, c.message)
    };
    Ok(conditions.iter().map(line).collect())
}

fn next_steps(master: &str) -> String {
    let commands = [
        ("watch it", "kubectl get rr,pods -n demo -L redis.replication.dev/role --watch".to_owned()),
        ("lose the master again", format!("kubectl delete pod -n demo {master}")),
        ("five members, then two", "kubectl scale rr/quickstart -n demo --replicas=5".to_owned()),
        ("ask it everything", "kubectl describe rr/quickstart -n demo".to_owned()),
        (
            "talk to Redis",
            format!(
                "kubectl exec -it -n demo {master} -c redis -- sh -c 'REDISCLI_AUTH=$(cat /etc/redis-auth/password) redis-cli \
                 -h quickstart-master'"
            ),
        ),
        (
            "remove it all",
            "kubectl delete rr/quickstart -n demo && kubectl delete namespace demo rr-e2e-hand".to_owned(),
        ),
    ];
    let lines = commands.iter().map(|(what, command)| format!("  {:<24}{command}\n", format!("{what}:")));
    format!("{}\n{}", bold("What to try next (KUBECONFIG as in this demo)"), lines.collect::<String>())
}
