//! What members say of themselves at this moment: offsets change with every write, so they are in no status.

use std::{collections::BTreeMap, time::Duration};

use formats::info::Fields;
use futures::future::join_all;

use crate::{
    cluster::Cluster,
    error::Error,
    exec::{self, shell},
};

const PATIENCE: Duration = Duration::from_secs(3);

/// `INFO replication` of one member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// It says that it is a master.
    pub master: bool,
    /// Bytes of the history that it has.
    pub offset: u64,
    /// Seconds since it heard the master; of a replica whose link is down, since it went down.
    pub silent_seconds: Option<u64>,
    /// How much of the snapshot has arrived, in percent, while it arrives.
    pub sync_percent: Option<f64>,
    /// Of a master: its replicas, by address.
    pub replicas: BTreeMap<String, Acknowledged>,
}

/// What a replica has acknowledged to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Bytes of the history.
    pub offset: u64,
    /// Seconds since it said so.
    pub seconds: u64,
}

/// How far a replica is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of the history that it lacks.
    pub bytes: u64,
    /// Seconds since the master heard from it, or it from the master.
    pub seconds: Option<u64>,
}

impl Live {
    /// Reads the text of `INFO replication`; `None` if it is something else, such as an error.
    pub fn parse(text: &str) -> Option<Self> {
        let fields = Fields::parse(text);
        let master = match fields.get("role") {
            "master" => true,
            "slave" => false,
            _ => return None,
        };
        let silent = match fields.get("master_link_status") {
            "up" => fields.number("master_last_io_seconds_ago"),
            _ => fields.number("master_link_down_since_seconds"),
        };
        let syncing = fields.get("master_sync_in_progress") == "1";
        let percent = fields.number("master_sync_perc").filter(|percent| (0.0..=100.0).contains(percent));
        let online = fields.replicas().filter(|replica| replica.state == "online");
        Some(Self {
            master,
            offset: fields.number("slave_repl_offset").or_else(|| fields.number("master_repl_offset"))?,
            silent_seconds: silent.filter(|_| !master),
            sync_percent: percent.filter(|_| syncing),
            replicas: online.map(|r| (r.ip.to_owned(), Acknowledged { offset: r.offset, seconds: r.lag })).collect(),
        })
    }
}

/// How far a replica at `address` is behind `master`. Of what it says and what it acknowledged the later counts: it may
/// have been asked before the master was.
pub fn lag(master: &Live, replica: &Live, address: Option<&str>) -> Lag {
    let acknowledged = address.and_then(|address| master.replicas.get(address));
    let offset = acknowledged.map_or(0, |a| a.offset).max(replica.offset);
    let seconds = acknowledged.map(|a| a.seconds).or(replica.silent_seconds);
    Lag { bytes: master.offset.saturating_sub(offset), seconds }
}

/// Asks members side by side. Those that do not answer are left out; a missing right is told.
pub async fn ask(cluster: &Cluster, pods: &[String]) -> (BTreeMap<String, Live>, Option<Error>) {
    let asked = pods.iter().map(|pod| async move {
        let output = shell(cluster, pod, exec::INFO_REPLICATION, &[], "", PATIENCE).await;
        (pod.clone(), output.and_then(|output| output.ok(pod)))
    });
    let (mut lives, mut forbidden) = (BTreeMap::new(), None);
    for (pod, answer) in join_all(asked).await {
        match answer {
            Ok(text) => drop(Live::parse(&text).map(|live| lives.insert(pod, live))),
            Err(error @ Error::Forbidden(_)) => forbidden = Some(error),
            Err(_) => {}
        }
    }
    (lives, forbidden)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MASTER: &str = "OK\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=10.244.1.7,port=6379,state=online,offset=900,lag=1\r\n\
        slave1:ip=10.244.2.9,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
        master_failover_state:no-failover\r\nmaster_replid:8f2c\r\nmaster_repl_offset:1000\r\n";

    fn replica(link: &str, offset: u64, more: &str) -> Live {
        Live::parse(&format!(
            "role:slave\nmaster_host:10.244.0.5\nmaster_link_status:{link}\nslave_repl_offset:{offset}\n{more}"
        ))
        .unwrap()
    }

    #[test]
    fn a_master_knows_its_online_replicas() {
        let master = Live::parse(MASTER).unwrap();
        assert!(master.master);
        assert_eq!((master.offset, master.silent_seconds), (1000, None));
        assert_eq!(master.replicas.len(), 1, "one still waits for its snapshot");
        assert_eq!(master.replicas["10.244.1.7"], Acknowledged { offset: 900, seconds: 1 });
    }

    #[test]
    fn lag_takes_the_later_word() {
        let master = Live::parse(MASTER).unwrap();
        let said = |offset| replica("up", offset, "master_last_io_seconds_ago:3");
        assert_eq!(lag(&master, &said(880), Some("10.244.1.7")), Lag { bytes: 100, seconds: Some(1) });
        assert_eq!(lag(&master, &said(990), Some("10.244.1.7")), Lag { bytes: 10, seconds: Some(1) });
        assert_eq!(lag(&master, &said(1200), Some("10.244.1.7")), Lag { bytes: 0, seconds: Some(1) });
        assert_eq!(lag(&master, &said(700), None), Lag { bytes: 300, seconds: Some(3) });
        let down = replica("down", 700, "master_last_io_seconds_ago:-1\nmaster_link_down_since_seconds:42");
        assert_eq!(lag(&master, &down, Some("10.244.2.9")), Lag { bytes: 300, seconds: Some(42) });
    }

    #[test]
    fn a_snapshot_on_its_way_has_a_percentage() {
        let syncing = replica("down", 0, "master_sync_in_progress:1\nmaster_sync_perc:37.52\n");
        assert_eq!(syncing.sync_percent, Some(37.52));
        assert_eq!(replica("up", 5, "master_sync_in_progress:0\nmaster_sync_perc:37.52\n").sync_percent, None);
        let unknown = replica("down", 0, "master_sync_in_progress:1\nmaster_sync_perc:-1.00\n");
        assert_eq!(unknown.sync_percent, None);
    }

    #[test]
    fn what_is_no_info_is_nothing() {
        for text in ["", "NOAUTH Authentication required.", "role:sentinel\nmaster_repl_offset:1", "role:master\n"] {
            assert_eq!(Live::parse(text), None, "{text}");
        }
    }
}
