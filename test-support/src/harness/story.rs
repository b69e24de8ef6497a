//! What the replication tells: its events, and how much was copied.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Event;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use redis_replication_operator::api::RequestKind;
use serde_json::json;

use super::{Replication, SHORT, ensure, poll::eventually};

/// How many full copies each process has given.
pub type Copies = BTreeMap<String, i64>;

impl Replication {
    /// The messages of the events about it that have this reason.
    pub async fn events(&self, reason: &str) -> Result<Vec<String>> {
        let events = self.all::<Event>().list(&ListParams::default()).await?.items;
        let of_it = events.into_iter().filter(|event| {
            event.involved_object.name.as_deref() == Some(&self.name) && event.reason.as_deref() == Some(reason)
        });
        Ok(of_it.map(|event| event.message.unwrap_or_default()).collect())
    }

    /// Waits for an event whose message has these words.
    pub async fn event(&self, reason: &str, words: &str) -> Result<()> {
        eventually(&format!("an event {reason} with {words:?}"), SHORT, async || {
            let events = self.events(reason).await?;
            ensure(events.iter().any(|message| message.contains(words)), || format!("there are {events:?}"))
        })
        .await
    }

    /// How many full copies the members have given since they started.
    pub async fn copies(&self) -> Result<Copies> {
        let mut copies = Copies::new();
        for pod in self.members().await? {
            let info = self.info(&pod, "all").await?;
            let run_id = info.get("run_id");
            ensure(!run_id.is_empty(), || format!("{pod} has no run_id"))?;
            copies.insert(run_id.to_owned(), info.number("sync_full").unwrap_or_default());
        }
        Ok(copies)
    }

    /// Fails if there were more full copies since `before` than `allowed`: a member that restarted empty needs one, as does
    /// one that wrote what nobody else has; the others go on from where they are.
    pub async fn copied_since(&self, before: &Copies, allowed: i64) -> Result<()> {
        let now = self.copies().await?;
        let copied: i64 = now.iter().map(|(run_id, count)| count - before.get(run_id).unwrap_or(&0)).sum();
        ensure(copied <= allowed, || format!("{copied} full copies, {allowed} needed; before {before:?}, now {now:?}"))
    }

    /// Asks for something by an annotation.
    pub async fn request(&self, kind: RequestKind, to: &str) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { (kind.annotation()): to } } });
        self.api().patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until the annotation is gone, and there is an event with these words.
    pub async fn answered(&self, kind: RequestKind, event: &str, words: &str) -> Result<()> {
        eventually(&format!("{} is dealt with", kind.annotation()), SHORT, async || {
            let value = self.get().await?.annotations().get(kind.annotation()).cloned();
            ensure(value.is_none(), || format!("it is still {value:?}"))
        })
        .await?;
        self.event(event, words).await
    }

    /// Asks for a switchover to a member, and waits for it.
    pub async fn hand_over_to(&self, to: &str) -> Result<()> {
        self.request(RequestKind::Switchover, to).await?;
        eventually(&format!("{to} is the master"), SHORT, async || {
            let status = self.status().await?;
            ensure(status.master.as_deref() == Some(to) && status.transition.is_none(), || {
                format!("master {:?}, transition {:?}", status.master, status.transition)
            })
        })
        .await?;
        self.agrees().await?;
        Ok(())
    }

    /// How many replicas the master sees.
    pub async fn replicas_online(&self) -> Result<i64> {
        let master = self.master().await?;
        Ok(self.info(&master, "replication").await?.number("connected_slaves").unwrap_or_default())
    }

    /// The node that a member runs on.
    pub async fn node(&self, pod: &str) -> Result<String> {
        self.pod(pod).await?.spec.and_then(|spec| spec.node_name).context("it has no node")
    }

    /// The address of a member.
    pub async fn address(&self, pod: &str) -> Result<String> {
        self.pod(pod).await?.status.and_then(|status| status.pod_ip).context("it has no address")
    }
}
