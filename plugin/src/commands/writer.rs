//! A pod that writes through the master Service and remembers every acknowledgement: the operator's `drill`.

use std::{future::Future, time::Duration};

use drill::{Gap, Line, Place, Verdict};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
};
use redis_replication_operator::{api::RedisReplication, objects::names};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    cluster::Cluster,
    error::{Error, is_not_found, one_line},
};

/// Pulling the image and starting.
const START: Duration = Duration::from_secs(120);
/// How long it may look for what it has written.
const VERIFICATION: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);
/// What a container waits for in vain: an image that cannot be pulled, or a container that cannot be made of it.
const HOPELESS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// What the writer has said until now.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Why the write that is due fails, if it does.
    pub failing: Option<String>,
    /// The times in which writes were held up.
    pub gaps: Vec<Gap>,
    /// What became of the writes.
    pub verdict: Option<Verdict>,
    /// Its last words, whatever they are.
    pub last: String,
}

impl Account {
    fn take(&mut self, text: &str) {
        text.clone_into(&mut self.last);
        match serde_json::from_str(text) {
            Ok(Line::Progress { acknowledged, failing, .. }) => {
                (self.acknowledged, self.failing) = (acknowledged, failing);
            }
            Ok(Line::Gap(gap)) => self.gaps.push(gap),
            Ok(Line::Result(verdict)) => self.verdict = Some(verdict),
            Ok(Line::Started { .. }) | Err(_) => {}
        }
    }
}

/// A running writer.
pub struct Writer {
    pods: Api<Pod>,
    name: String,
    heard: watch::Receiver<Account>,
    reading: JoinHandle<()>,
}

impl Writer {
    /// Starts one.
    pub async fn start(cluster: &Cluster, object: Value) -> Result<Self, Error> {
        let pods: Api<Pod> = cluster.api();
        let broken = |error: serde_json::Error| Error::Format(error.to_string());
        let pod: Pod = serde_json::from_value(object).map_err(broken)?;
        let made = pods.create(&PostParams::default(), &pod).await;
        let made = made.map_err(|e| cluster.error(&format!("create pods in namespace {}", cluster.namespace), &e))?;
        let name = made.metadata.name.unwrap_or_default();
        let (tell, heard) = watch::channel(Account::default());
        let reading = tokio::spawn(read(pods.clone(), name.clone(), tell));
        Ok(Self { pods, name, heard, reading })
    }

    /// Waits until it has written a while.
    pub async fn writes(&mut self) -> Result<(), Error> {
        let hopeless = hopeless(self.pods.clone(), self.name.clone());
        let writing = self.heard.wait_for(|account| account.acknowledged > 0 && account.failing.is_none());
        let why = tokio::select! {
            begun = tokio::time::timeout(START, writing) => match begun {
                Ok(Ok(_)) => return Ok(()),
                _ => None,
            },
            why = hopeless => Some(why),
        };
        let why = match (why, self.account()) {
            (Some(why), _) | (None, Account { failing: Some(why), .. }) => why,
            (None, account) => self.pods.get(&self.name).await.ok().and_then(trouble).unwrap_or(account.last),
        };
        Err(Error::Pointless(format!("the writer pod {} does not come to write: {}", self.name, one_line(&why))))
    }

    /// What it has said until now.
    pub fn account(&self) -> Account {
        self.heard.borrow().clone()
    }

    /// Ends the writing, and waits until it has looked what is left of what it wrote.
    pub async fn stop(&mut self, within: Duration) -> Result<Account, Error> {
        self.delete().await;
        let told = self.heard.wait_for(|account| account.verdict.is_some());
        if matches!(tokio::time::timeout(within, told).await, Ok(Ok(_))) {
            return Ok(self.account());
        }
        let last = one_line(&self.account().last);
        Err(Error::NotInTime(format!("the writer ended without an account; its last words: {last}")))
    }

    /// Deletes the pod.
    pub fn delete(&self) -> impl Future<Output = ()> + use<> {
        let (pods, name) = (self.pods.clone(), self.name.clone());
        async move {
            if let Err(error) = pods.delete(&name, &DeleteParams::default()).await
                && !is_not_found(&error)
            {
                eprintln!("the writer pod {name} could not be deleted: {}", one_line(&error.to_string()));
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Follows the log from its beginning to its end.
async fn read(pods: Api<Pod>, name: String, tell: watch::Sender<Account>) {
    let parameters = LogParams { follow: true, ..LogParams::default() };
    while !tell.is_closed() {
        let phase = pods.get(&name).await.ok().and_then(|pod| pod.status).and_then(|status| status.phase);
        if matches!(phase.as_deref(), Some("Running" | "Succeeded" | "Failed")) {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    let Ok(stream) = pods.log_stream(&name, &parameters).await else { return };
    let mut lines = stream.lines();
    while let Ok(Some(line)) = lines.try_next().await {
        tell.send_modify(|account| account.take(&line));
    }
}

/// Waits until a pod cannot start any more; returns why.
async fn hopeless(pods: Api<Pod>, name: String) -> String {
    loop {
        if let Ok(pod) = pods.get(&name).await
            && is_hopeless(&pod)
            && let Some(why) = trouble(pod)
        {
            return why;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Does its container wait for what does not come by itself?
fn is_hopeless(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let reasons = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    reasons.into_iter().any(|reason| HOPELESS.contains(&reason))
}

/// Why a pod does not start.
fn trouble(pod: Pod) -> Option<String> {
    let status = pod.status?;
    let waiting = status.container_statuses.into_iter().flatten().find_map(|container| container.state?.waiting);
    let waiting =
        waiting.and_then(|waiting| Some(format!("{}: {}", waiting.reason?, waiting.message.unwrap_or_default())));
    let phase = status.phase.map(|phase| {
        format!("it is {phase} on {}", pod.spec.and_then(|s| s.node_name).as_deref().unwrap_or("no node"))
    });
    let unscheduled = status.conditions.into_iter().flatten().find(|condition| condition.status == "False");
    waiting.or_else(|| unscheduled.and_then(|condition| condition.message)).or(phase)
}

/// The pod of a writer.
pub fn pod(resource: &RedisReplication, image: &str, prefix: &str, rate: u32) -> Value {
    let name = resource.metadata.name.clone().unwrap_or_default();
    let services = resource.spec.services.clone().unwrap_or_default();
    let port = services.master.unwrap_or_default().port;
    let (secret, key) = (names::auth_secret(&name, &resource.spec), names::auth_secret_key(&resource.spec));
    let address = format!("{}:{port}", names::master_service(&name));
    let place = Place { image, address: &address, secret: (&secret, key), verify_within: VERIFICATION };
    let mut spec = place.pod_spec(&[format!("--key-prefix={prefix}"), format!("--rate={rate}")]);
    spec["containers"][0]["resources"] = json!({ "requests": { "cpu": "50m", "memory": "32Mi" } });
    json!({
        "metadata": {
            "generateName": format!("{name}-rehearsal-"),
            "labels": { "app.kubernetes.io/name": "redis-replication-rehearsal" },
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_log_becomes_an_account() {
        let mut account = Account::default();
        for line in [
            r#"{"event":"started","address":"cache-master:6379","key_prefix":"p","rate":200,"wait":0}"#,
            r#"{"event":"progress","at":"2026-01-01T00:00:00Z","acknowledged":200,"confirmed":0,"failing":"refused"}"#,
            r#"{"event":"gap","from":"2026-01-01T00:00:00Z","ms":63.2,"errors":{"refused":5}}"#,
            r#"{"event":"progress","at":"2026-01-01T00:00:01Z","acknowledged":400,"confirmed":0}"#,
        ] {
            account.take(line);
        }
        assert_eq!((account.acknowledged, account.failing.as_deref(), account.gaps.len()), (400, None, 1));
        account.take("drill: the address must be host:port");
        assert_eq!(account.last, "drill: the address must be host:port");
        assert!(account.verdict.is_none());
    }

    #[test]
    fn the_pod_knows_the_port_and_the_secret_and_not_the_password() {
        let resource: RedisReplication = serde_json::from_value(json!({
            "metadata": { "name": "cache" },
            "spec": { "auth": { "secretName": "mine", "secretKey": "word" }, "services": { "master": { "port": 7000 } } },
        }))
        .unwrap();
        let object = pod(&resource, "image:1", "p", 50);
        let args = object["spec"]["containers"][0]["args"].as_array().unwrap();
        assert!(args.contains(&json!("--address=cache-master:7000")), "{args:?}");
        let secret = &object["spec"]["volumes"][0]["secret"];
        assert_eq!(*secret, json!({ "secretName": "mine", "items": [{ "key": "word", "path": "password" }] }));
        serde_json::from_value::<Pod>(object).unwrap();
    }
}
