//! The password's Secret, and what is seen of a change of it.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use redis_replication_operator::api::{ConditionType, Reason};
use serde_json::json;

use super::{Replication, SHORT, ensure, poll::eventually};

impl Replication {
    pub fn secrets(&self) -> Api<Secret> {
        self.all()
    }

    pub async fn delete_secret(&self) -> Result<()> {
        let (name, _) = self.password_secret().await?;
        self.secrets().delete(&name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub async fn store(&self, key: &str, value: Option<&[u8]>) -> Result<()> {
        let (name, _) = self.password_secret().await?;
        let value = value.map(|value| ByteString(value.to_vec()));
        let patch = Patch::Merge(json!({ "data": { key: value } }));
        self.secrets().patch(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until the Secret has this password.
    pub async fn has_password(&self, expected: &str) -> Result<()> {
        eventually("the Secret has the password that it had", SHORT, async || {
            let password = self.password().await?;
            ensure(password == expected, || format!("the password is {password}, and was {expected}"))
        })
        .await
    }

    /// Each pod's identity, and how often its containers have started.
    pub async fn starts(&self) -> Result<BTreeMap<String, (Option<String>, i32)>> {
        let starts = |pod: &Pod| {
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
            statuses.unwrap_or_default().iter().map(|status| status.restart_count).sum()
        };
        Ok(self.pods().await?.iter().map(|pod| (pod.name_any(), (pod.uid(), starts(pod)))).collect())
    }

    /// Waits for the reason with these words, and returns the whole message.
    pub async fn says(&self, type_: ConditionType, reason: Reason, words: &str) -> Result<String> {
        eventually(&format!("{type_} with {reason} and {words:?}"), SHORT, async || {
            let message = self.reason(type_, reason, SHORT).await?.message;
            ensure(message.contains(words), || message.clone())?;
            Ok(message)
        })
        .await
    }
}
