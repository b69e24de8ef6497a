//! The commands to Redis, over the connections that the observer keeps.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use tokio::time::timeout;

use super::{act::Ports, error::Error};
use crate::{
    redis::{CommandError, Link},
    replication::{Act, Info, Moment, Servers},
};

/// How long a look at others may take.
const LOOK_PATIENCE: Duration = Duration::from_millis(100);

impl Servers for Ports<'_> {
    type Error = Error;

    async fn promote(&self, member: &str, min_replicas: usize) -> Result<Info, Error> {
        self.link(member)?.promote(min_replicas).await.map_err(on(member))
    }

    async fn detach(&self, member: &str) -> Result<Info, Error> {
        self.link(member)?.detach().await.map_err(on(member))
    }

    async fn follow(&self, member: &str, master: &str) -> Result<Info, Error> {
        let address = self.link(master)?.target();
        self.link(member)?.follow(address).await.map_err(on(member))
    }

    async fn set_min_replicas(&self, member: &str, min_replicas: usize) -> Result<(), Error> {
        self.link(member)?.set_min_replicas(min_replicas).await.map_err(on(member))?;
        Ok(())
    }

    async fn hold(&self, member: &str, limit: Duration) -> Result<(Moment, Info), Error> {
        self.link(member)?.hold_writes(limit).await.map_err(on(member))
    }

    async fn release(&self, member: &str) -> Result<(), Error> {
        self.link(member)?.release_writes().await.map_err(on(member))
    }

    async fn drop_clients(&self, member: &str) -> Result<(), Error> {
        let done = self.link(member)?.drop_clients().await.map_err(on(member));
        if let Err(error) = &done {
            tracing::debug!(%error, "clients of the former master not sent away");
        }
        done
    }

    async fn drop_replicas(&self, member: &str, addresses: &BTreeSet<String>) -> Result<(), Error> {
        self.link(member)?.drop_replicas(addresses).await.map_err(on(member))
    }

    async fn refresh(&self, members: &[String]) {
        let links = members.iter().filter_map(|m| self.observer.link(m));
        // what came of it is in the reports, be it later: a slow one does not hold up what is known of another
        let _ = timeout(LOOK_PATIENCE, join_all(links.map(Link::refresh))).await;
    }

    async fn persist(&self, member: &str, act: &Act) -> Result<Option<String>, Error> {
        let link = self.link(member)?;
        let done = match act {
            Act::BeginLog => link.begin_log().await,
            Act::Snapshot => link.snapshot().await,
            Act::EndLog(times) => link.end_log(times).await,
            Act::Schedule(times) => link.schedule_snapshots(times).await,
        };
        Ok(done.err().map(|error| error.to_string()))
    }
}

impl Ports<'_> {
    fn link(&self, member: &str) -> Result<&Link, Error> {
        self.observer.link(member).ok_or_else(|| Error::NoLink(member.to_owned()))
    }
}

fn on(member: &str) -> impl Fn(CommandError) -> Error {
    move |source| Error::Redis { member: member.to_owned(), source }
}
