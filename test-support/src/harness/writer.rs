//! A pod that writes through the master Service and remembers every acknowledgement: the operator's own `drill`.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use drill::{Gap, Line, Place, Verdict};
use futures::{AsyncBufRead, AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
};
use serde_json::json;

use super::{LONG, Replication, ensure, operator, poll::eventually};

/// How long it may look for what it has written.
const VERIFICATION: Duration = Duration::from_secs(120);

/// A running writer.
pub struct Writer {
    pods: Api<Pod>,
    pod: String,
    lines: Arc<Mutex<Vec<Line>>>,
    reading: tokio::task::JoinHandle<Result<()>>,
}

/// What it says in the end.
#[derive(Debug)]
pub struct Account {
    pub verdict: Verdict,
    pub gaps: Vec<Gap>,
}

impl Account {
    /// Fails if one acknowledged write is gone.
    pub fn nothing_lost(&self) -> Result<()> {
        let Verdict { acknowledged, lost, first_lost, .. } = &self.verdict;
        ensure(*lost == 0, || {
            format!("{lost} of {acknowledged} acknowledged writes are lost, the first of them {first_lost:?}; {self}")
        })
    }

    /// Fails if one write is gone that a replica had confirmed.
    pub fn nothing_confirmed_lost(&self) -> Result<()> {
        let Verdict { confirmed, confirmed_lost, first_lost, .. } = &self.verdict;
        ensure(*confirmed > 0, || "not one write was confirmed".to_owned())?;
        ensure(*confirmed_lost == 0, || {
            format!(
                "{confirmed_lost} of {confirmed} confirmed writes are lost, the first lost are {first_lost:?}; {self}"
            )
        })
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { acknowledged, lost, confirmed, .. } = &self.verdict;
        write!(f, "{acknowledged} writes acknowledged, {confirmed} confirmed, {lost} lost; gaps:")?;
        let (outages, mere): (Vec<_>, Vec<_>) = self.gaps.iter().partition(|gap| !gap.errors.is_empty());
        outages.iter().try_for_each(|gap| write!(f, " {:.0} ms {:?}", gap.ms, gap.errors))?;
        let longest = mere.iter().map(|gap| gap.ms).fold(0.0, f64::max);
        write!(f, " and {} slow answers, the slowest after {longest:.0} ms", mere.len())
    }
}

impl Replication {
    /// Starts a writer, and waits until it writes. `arguments` are more options of `drill`.
    pub async fn writer(&self, arguments: &[&str]) -> Result<Writer> {
        self.writer_on(None, arguments).await
    }

    /// The same on a given node.
    pub async fn writer_on(&self, node: Option<&str>, arguments: &[&str]) -> Result<Writer> {
        let (image, policy) = operator::image(&self.client).await?;
        let (secret, key) = self.password_secret().await?;
        let pod = format!("{}-writer-{:04x}", self.name, rand::random::<u16>());
        let address = format!("{}-master:6379", self.name);
        let place = Place { image: &image, address: &address, secret: (&secret, &key), verify_within: VERIFICATION };
        let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut spec = place.pod_spec(&arguments);
        (spec["nodeName"], spec["containers"][0]["imagePullPolicy"]) = (json!(node), json!(policy));
        let metadata = json!({ "name": pod, "labels": { "app": "writer" } });
        let object = serde_json::from_value(json!({ "metadata": metadata, "spec": spec }))?;
        let pods: Api<Pod> = self.all();
        pods.create(&PostParams::default(), &object).await.context("creating the writer")?;
        let lines = Arc::default();
        let log = follow(&pods, &pod).await?;
        let reading = tokio::spawn(read(log, pod.clone(), Arc::clone(&lines)));
        let writer = Writer { pods, pod, lines, reading };
        writer.writes_on().await.context("after its start")?;
        Ok(writer)
    }
}

impl Writer {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many writes were acknowledged, by the last progress line.
    fn progress(&self) -> Option<u64> {
        self.lines().iter().rev().find_map(|line| match line {
            Line::Progress { acknowledged, failing: None, .. } => Some(*acknowledged),
            _ => None,
        })
    }

    /// The gaps until now.
    pub fn gaps(&self) -> Vec<Gap> {
        let lines = self.lines();
        lines.iter().filter_map(|line| if let Line::Gap(gap) = line { Some(gap.clone()) } else { None }).collect()
    }

    /// Waits until further writes are acknowledged.
    pub async fn writes_on(&self) -> Result<()> {
        let before = self.progress();
        eventually(&format!("{} writes on", self.pod), LONG, async || {
            let now = self.progress();
            if self.reading.is_finished() {
                bail!("it has ended: {:?}", self.lines().last());
            }
            ensure(now > before, || format!("{now:?} acknowledged; its last line: {:?}", self.lines().last()))
        })
        .await
    }

    /// Ends the writing, and waits for the account.
    pub async fn stop(mut self) -> Result<Account> {
        self.writes_on().await.context("before stopping it")?;
        self.pods.delete(&self.pod, &DeleteParams::default()).await?;
        tokio::time::timeout(LONG, &mut self.reading).await.context("the writer does not end")???;
        let lines = self.lines();
        let Some(Line::Result(verdict)) = lines.last() else {
            bail!("the writer ended without a result; its last line: {:?}", lines.last());
        };
        let verdict = verdict.clone();
        drop(lines);
        let account = Account { verdict, gaps: self.gaps() };
        println!("{}: {account}", self.pod);
        Ok(account)
    }
}

/// The log of a pod, from its beginning to its end.
async fn follow(pods: &Api<Pod>, pod: &str) -> Result<impl AsyncBufRead + use<>> {
    let parameters = LogParams { follow: true, ..LogParams::default() };
    eventually(&format!("the log of {pod}"), LONG, async || {
        let phase = pods.get(pod).await?.status.and_then(|status| status.phase).unwrap_or_default();
        ensure(matches!(phase.as_str(), "Running" | "Succeeded" | "Failed"), || format!("the pod is {phase}"))?;
        Ok(pods.log_stream(pod, &parameters).await?)
    })
    .await
}

/// Reads its lines until it ends.
async fn read(log: impl AsyncBufRead, pod: String, lines: Arc<Mutex<Vec<Line>>>) -> Result<()> {
    let mut texts = pin!(log.lines());
    while let Some(text) = texts.try_next().await? {
        match serde_json::from_str(&text) {
            Ok(line) => lines.lock().unwrap_or_else(PoisonError::into_inner).push(line),
            Err(_) => println!("{pod}: {text}"),
        }
    }
    Ok(())
}
