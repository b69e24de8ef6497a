//! Data to lose, and ways to lose it.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use tokio::time::Instant;

use super::{LONG, Replication, SHORT, ensure, hand, poll::eventually};

const WRITE: &str = "for i = 1, ARGV[1] do redis.call('SET', 'key:' .. i, i) end";
const COUNT: &str = "local n = 0; for i = 1, ARGV[1] do \
                     if redis.call('GET', 'key:' .. i) == tostring(i) then n = n + 1 end end; return n";

impl Replication {
    /// Writes so many keys, and waits until all members have them.
    pub async fn populate(&self, keys: u32) -> Result<()> {
        let master = self.master().await?;
        // A replica that acknowledges late does not count, and the master refuses writes for a moment.
        eventually(&format!("{}: {keys} keys are written", self.name), SHORT, async || {
            self.cli(&master, &["EVAL", WRITE, "0", &keys.to_string()]).await
        })
        .await?;
        self.holds(keys).await.context("after writing them")
    }

    /// Waits until all members have exactly these keys.
    pub async fn holds(&self, keys: u32) -> Result<()> {
        eventually(&format!("{}: all members hold {keys} keys", self.name), LONG, async || {
            for pod in self.members().await? {
                let size = self.cli(&pod, &["DBSIZE"]).await?;
                let right = self.cli(&pod, &["EVAL", COUNT, "0", &keys.to_string()]).await?;
                let keys = keys.to_string();
                ensure(size == keys && right == keys, || {
                    format!("{pod} has {size} keys, {right} of the {keys} that were written")
                })?;
            }
            Ok(())
        })
        .await
    }

    /// kill -9.
    pub async fn kill(&self, pod: &str) -> Result<()> {
        hand::signal(&self.client, &self.pod(pod).await?, "redis", "KILL", hand::SERVERS).await
    }

    /// kill -9 after some time, without the API server being needed then.
    pub async fn kill_later(&self, pod: &str, after: Duration) -> Result<()> {
        hand::signal_later(&self.client, &self.pod(pod).await?, "redis", "KILL", hand::SERVERS, after).await
    }

    /// Stops the process without ending it: connections stay open, and nobody answers.
    pub async fn hang(&self, pod: &str) -> Result<()> {
        hand::signal(&self.client, &self.pod(pod).await?, "redis", "STOP", hand::SERVERS).await
    }

    /// Lets a stopped process go on.
    pub async fn resume(&self, pod: &str) -> Result<()> {
        hand::signal(&self.client, &self.pod(pod).await?, "redis", "CONT", hand::SERVERS).await
    }

    /// kill -9, each at its instant.
    pub async fn kill_at(&self, pods: &[(&str, Instant)]) -> Result<()> {
        try_join_all(pods.iter().map(async |(pod, at)| {
            hand::signal_at(&self.client, &self.pod(pod).await?, "redis", "KILL", hand::SERVERS, *at).await
        }))
        .await?;
        Ok(())
    }

    /// Stops the process, and lets it go on after some time.
    pub async fn pause(&self, pod: &str, during: Duration) -> Result<()> {
        let pod = self.pod(pod).await?;
        let stop = Instant::now() + hand::MADE_READY;
        let signal = |signal, at| hand::signal_at(&self.client, &pod, "redis", signal, hand::SERVERS, at);
        tokio::try_join!(signal("STOP", stop), signal("CONT", stop + during))?;
        Ok(())
    }

    /// Lets no packet pass between a member and these addresses.
    pub async fn isolate(&self, pod: &str, from: &[String]) -> Result<()> {
        hand::isolate(&self.client, &self.pod(pod).await?, "redis", from).await
    }

    /// Ends what `isolate` began.
    pub async fn reconnect(&self, pod: &str, to: &[String]) -> Result<()> {
        hand::reconnect(&self.client, &self.pod(pod).await?, "redis", to).await
    }

    pub async fn delete_pod(&self, pod: &str) -> Result<()> {
        self.all::<Pod>().delete(pod, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Without giving it time to hand over.
    pub async fn force_delete_pod(&self, pod: &str) -> Result<()> {
        self.all::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// All of them at once.
    pub async fn delete_all_pods(&self) -> Result<()> {
        let members = self.members().await?;
        try_join_all(members.iter().map(|pod| self.delete_pod(pod))).await?;
        Ok(())
    }

    /// Waits until a pod is another one than that with this UID.
    pub async fn replaced(&self, pod: &str, uid: &str) -> Result<()> {
        eventually(&format!("pod {pod} is replaced"), LONG, async || {
            let now = self.pod(pod).await?.metadata.uid.unwrap_or_default();
            ensure(now != uid, || format!("{pod} is still the same"))
        })
        .await
    }

    pub async fn uid(&self, pod: &str) -> Result<String> {
        self.pod(pod).await?.metadata.uid.context("a pod without UID")
    }
}
