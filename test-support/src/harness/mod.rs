//! What the scenarios stand on: a namespace for each, helpers that wait for states instead of sleeping, a writer that
//! remembers every acknowledgement, and a hand that kills.

pub mod agreement;
pub mod cluster;
pub mod damage;
pub mod exec;
pub mod hand;
pub mod helm;
pub mod namespace;
pub mod objects;
pub mod operator;
pub mod own_operator;
pub mod poll;
pub mod replication;
pub mod report;
pub mod secrets;
pub mod story;
pub mod writer;

use std::{
    panic::AssertUnwindSafe,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use futures::FutureExt;
use kube::Client;

pub use namespace::Namespace;
use own_operator::OwnOperator;
pub use replication::Replication;

/// For what takes a pod start or a full sync or two, on a slow machine that does other things too.
pub const LONG: Duration = Duration::from_secs(180);
/// For what the operator does by itself, without new pods.
pub const SHORT: Duration = Duration::from_secs(60);
/// No scenario takes longer.
const LIMIT: Duration = Duration::from_secs(900);

/// Scenarios that look at the operator itself run alone.
static ALONE: RwLock<()> = RwLock::new(());

/// Where a scenario takes place.
pub struct Scene {
    pub client: Client,
    pub namespace: Namespace,
    /// The operator, where the scenario has one of its own.
    own_operator: Option<OwnOperator>,
}

impl Scene {
    /// Makes a `RedisReplication` called `name` of a spec in YAML.
    pub async fn replication(&self, name: &str, spec: &str) -> Result<Replication> {
        Replication::create(&self.client, self.namespace.name(), name, spec).await
    }

    /// The same, and waits until it is ready and everything agrees that it is.
    pub async fn ready(&self, name: &str, spec: &str) -> Result<Replication> {
        let replication = self.replication(name, spec).await?;
        replication.agrees().await.with_context(|| format!("after creating {name}"))?;
        Ok(replication)
    }

    /// All that the operator has said, where it is the scenario's own.
    pub fn operator_log(&self) -> Option<String> {
        self.own_operator.as_ref().map(|own| own.log(usize::MAX))
    }

    /// Ends the operator until it is restarted. `false`: it is not the scenario's own, and goes on.
    pub fn stop_operator(&self) -> Result<bool> {
        self.own_operator.as_ref().map_or(Ok(false), |own| own.stop().map(|()| true))
    }

    /// Ends the operator, and waits until another one leads. Where it is not the scenario's own, for [`scenario_alone`] only.
    pub async fn restart_operator(&self) -> Result<()> {
        match &self.own_operator {
            Some(own) => own.restart(),
            None => operator::restart(&self.client, LONG).await,
        }
    }
}

/// Runs a scenario beside others.
pub fn scenario<F: AsyncFnOnce(&Scene) -> Result<()>>(name: &str, body: F) {
    let _beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    run(name, body);
}

/// Runs a scenario while no other runs, and after all traces of former ones are gone.
pub fn scenario_alone<F: AsyncFnOnce(&Scene) -> Result<()>>(name: &str, body: F) {
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    run(name, async |scene: &Scene| {
        namespace::wait_for_terminating(&scene.client).await?;
        body(scene).await
    });
}

fn run<F: AsyncFnOnce(&Scene) -> Result<()>>(name: &str, body: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        let client = client().await.expect("KUBECONFIG must lead to a cluster");
        operator::is_installed(&client).await.expect("the operator must be installed");
        let namespace = Namespace::create(&client, name).await.expect("a namespace");
        let own_operator = OwnOperator::start(namespace.name()).expect("an operator of the scenario's own");
        let scene = Scene { client, namespace, own_operator };
        let outcome = AssertUnwindSafe(tokio::time::timeout(LIMIT, body(&scene))).catch_unwind().await;
        let outcome = match outcome {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(anyhow!("not done within {LIMIT:?}")),
            Err(panic) => Err(anyhow!("panicked: {}", words(panic.as_ref()))),
        };
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                println!("{name}: passed in {seconds:.1} s");
                scene.namespace.clear().await;
            }
            Err(error) => {
                println!("{name}: FAILED after {seconds:.1} s: {error:#}");
                report::print(&scene).await;
                scene.namespace.delete_unless_kept().await;
                panic!("{name}: {error:#}");
            }
        }
    });
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

/// A client for the cluster that KUBECONFIG names, or the one that this runs in.
pub async fn client() -> Result<Client> {
    // There is one already when another scenario was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(Client::try_default().await?)
}

/// Fails with what `error` says unless `condition` holds.
pub fn ensure(condition: bool, error: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { bail!(error()) }
}
