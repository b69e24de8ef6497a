//! The few commands that change a server's role.

use crate::replication::{Info, MAX_LAG, Moment, NOBODY, ParseError};
use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use redis::{Cmd, RedisError};

use super::{
    errors::words,
    link::{ANSWER_TIMEOUT, Link},
    report::Target,
};

/// Puts back what [`Link::hold_writes`] puts off.
static PING_REPLICAS: LazyLock<Cmd> = LazyLock::new(|| {
    let mut cmd = redis::cmd("CONFIG");
    cmd.arg("SET").arg("repl-ping-replica-period").arg(1);
    cmd
});

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no connection.
    #[error("not connected")]
    NotConnected,
    /// No answer in time. The server may or may not have done it.
    #[error("no answer within {} ms", ANSWER_TIMEOUT.as_millis())]
    NoAnswer,
    /// Redis refused, or the connection broke.
    #[error("{}", words(.0))]
    Redis(#[from] RedisError),
    /// It answered something that cannot be understood.
    #[error("{0}")]
    Parse(#[from] ParseError),
}

impl Link {
    /// `REPLICAOF NO ONE`, with its fence in the same transaction; and the state that the server is in afterwards.
    pub async fn promote(&self, min_replicas: usize) -> Result<Info, CommandError> {
        let mut transaction = redis::pipe();
        transaction.atomic();
        transaction.add_command(PING_REPLICAS.clone()); // as a former master it may still have them put off
        for cmd in min_replicas_commands(min_replicas) {
            transaction.add_command(cmd);
        }
        transaction.cmd("REPLICAOF").arg("NO").arg("ONE");
        self.run_all(&transaction).await?;
        self.refresh().await
    }

    /// Sets `min-replicas-to-write`: with fewer replicas that acknowledge in time it refuses writes.
    pub async fn set_min_replicas(&self, min_replicas: usize) -> Result<Info, CommandError> {
        for cmd in min_replicas_commands(min_replicas) {
            self.run(&cmd).await?;
        }
        self.refresh().await
    }

    /// Makes it a replica of nobody: it takes no writes and keeps its data, its replication id and its offset.
    pub async fn detach(&self) -> Result<Info, CommandError> {
        self.run(redis::cmd("REPLICAOF").arg(NOBODY.0).arg(NOBODY.1)).await?;
        self.refresh().await
    }

    /// Makes it a replica of another.
    pub async fn follow(&self, master: Target) -> Result<Info, CommandError> {
        self.run(redis::cmd("REPLICAOF").arg(master.ip.to_string()).arg(master.port)).await?;
        self.refresh().await
    }

    /// Holds back the clients' writes, for so long at most; Redis ends it by itself.
    ///
    /// The master's own PINGs in the replication stream are put off too: one that comes between the comparison of the
    /// offsets and the demotion would leave the old master ahead of the new one, and cost it a full sync.
    /// Returns the state after that, and when it was asked for.
    pub async fn hold_writes(&self, limit: Duration) -> Result<(Moment, Info), CommandError> {
        self.run(redis::cmd("CONFIG").arg("SET").arg("repl-ping-replica-period").arg(3600)).await?;
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.run(redis::cmd("CLIENT").arg("PAUSE").arg(millis).arg("WRITE")).await?;
        self.refresh_at().await
    }

    /// Lets writes through again.
    pub async fn release_writes(&self) -> Result<(), CommandError> {
        self.run(redis::cmd("CLIENT").arg("UNPAUSE")).await?;
        self.run(&PING_REPLICAS).await?;
        Ok(())
    }

    /// Begins an append-only file: Redis writes all that it has into one, in the background.
    pub async fn begin_log(&self) -> Result<Info, CommandError> {
        self.run(redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("yes")).await?;
        self.refresh().await
    }

    /// Writes a snapshot in the background; after the rewrite of an append-only file if one is under way.
    pub async fn snapshot(&self) -> Result<Info, CommandError> {
        self.run(redis::cmd("BGSAVE").arg("SCHEDULE")).await?;
        self.refresh().await
    }

    /// Writes snapshots at these times, and ends the append-only file.
    pub async fn end_log(&self, schedule: &str) -> Result<Info, CommandError> {
        self.run(redis::cmd("CONFIG").arg("SET").arg("save").arg(schedule)).await?;
        self.run(redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("no")).await?;
        self.refresh().await
    }

    /// Writes snapshots at these times: pairs of seconds and changed keys.
    pub async fn schedule_snapshots(&self, schedule: &str) -> Result<Info, CommandError> {
        self.run(redis::cmd("CONFIG").arg("SET").arg("save").arg(schedule)).await?;
        self.refresh().await
    }

    /// Closes the connections of replicas from these addresses.
    pub async fn drop_replicas(&self, addresses: &BTreeSet<String>) -> Result<(), CommandError> {
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST").arg("TYPE").arg("replica");
        let replicas = redis::from_redis_value::<String>(self.run(&list).await?).map_err(RedisError::from)?;
        for id in clients_from(&replicas, addresses) {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("ID").arg(id);
            self.run(&kill).await?;
        }
        self.refresh().await.map(drop) // whether they are back
    }

    /// Closes the clients' connections to a former master, so that they connect anew and find the present one; then
    /// lets go of what was held back (held commands of the new master's stream among it).
    pub async fn drop_clients(&self) -> Result<(), CommandError> {
        let kill = |kind: &str| {
            let mut cmd = redis::cmd("CLIENT");
            cmd.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
            cmd
        };
        self.run(&kill("normal")).await?;
        self.run(&kill("pubsub")).await?;
        self.release_writes().await
    }
}

/// The ids of the clients from these addresses in an answer to `CLIENT LIST`: a line for each, `id=7 addr=10.0.0.1:51234 …`.
fn clients_from<'a>(list: &'a str, addresses: &BTreeSet<String>) -> Vec<&'a str> {
    let field = |line: &'a str, name: &str| line.split(' ').find_map(|field| field.strip_prefix(name));
    let of_them = list.lines().filter(|line| {
        let address = field(line, "addr=").and_then(|address| address.rsplit_once(':'));
        address.is_some_and(|(ip, _)| addresses.contains(ip.trim_matches(['[', ']'])))
    });
    of_them.filter_map(|line| field(line, "id=")).collect()
}

fn min_replicas_commands(min_replicas: usize) -> [Cmd; 2] {
    let set = |directive: &str, value: u64| {
        let mut cmd = redis::cmd("CONFIG");
        cmd.arg("SET").arg(directive).arg(value);
        cmd
    };
    [set("min-replicas-max-lag", MAX_LAG.as_secs()), set("min-replicas-to-write", min_replicas as u64)]
}

#[cfg(test)]
mod tests {
    use super::clients_from;

    #[test]
    fn clients_are_found_by_their_address() {
        let list = "id=3 addr=10.0.0.1:5000 laddr=10.0.0.9:6379 name=\nid=4 addr=10.0.0.11:5000 name=id=9\n\
            id=5 addr=[fd00::1]:7 laddr=[fd00::9]:6379\nid=6 name=addr=10.0.0.1:1\nnonsense\n";
        let of = |addresses: &[&str]| clients_from(list, &addresses.iter().map(|a| (*a).to_owned()).collect());
        assert_eq!(of(&["10.0.0.1"]), ["3"]);
        assert_eq!(of(&["10.0.0.11", "fd00::1"]), ["4", "5"]);
        assert_eq!(of(&[]), Vec::<&str>::new());
    }
}
