//! Events: one for each decision, in words, on the resource. Best effort: a lost event never fails anything.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{sleep, timeout};

use crate::api::Occasion;

/// The API server refuses longer notes.
const NOTE_LIMIT: usize = 1000;

/// What is told can wait until what it tells of has been done: a change of master has the API server to itself.
const UNHURRIED: Duration = Duration::from_millis(300);

/// Publishes events in the name of this process.
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    instance: String,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For the record.
    Normal,
    /// Somebody may want to look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        })
    }
}

impl Publisher {
    /// `instance` is the operator's pod.
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Publishes in the background, a moment later. Each is an object of its own: kube's recorder would count a second
    /// failover within six minutes on to the first and drop its words.
    pub fn publish(
        &self,
        severity: Severity,
        reason: impl Into<Occasion>,
        action: &str,
        note: &str,
        on: ObjectReference,
    ) {
        let namespace = on.namespace.clone().unwrap_or_else(|| "default".into());
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", on.name.clone().unwrap_or_default())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(action.into()),
            reason: Some(reason.into().to_string()),
            note: Some(note.chars().take(NOTE_LIMIT).collect()),
            type_: Some(severity.to_string()),
            event_time: Some(MicroTime(Timestamp::now())),
            regarding: Some(on),
            reporting_controller: Some("redis.replication.dev/operator".into()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        tokio::spawn(async move {
            sleep(UNHURRIED).await;
            match timeout(Duration::from_secs(10), api.create(&PostParams::default(), &event)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, reason = event.reason, "event not published"),
                Err(_) => tracing::warn!(reason = event.reason, "event not published: no answer"),
            }
        });
    }
}
