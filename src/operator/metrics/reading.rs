//! The figures that one look at a resource shows.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    api::{ConditionType, RedisReplication},
    redis::{FollowState, Info},
    replication::{Liveness, Member, Observation, liveness, serving_master},
};

/// What one look has shown.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When.
    pub seen: Instant,
    /// The conditions that were last written: type, whether it holds, reason.
    pub conditions: Vec<(ConditionType, bool, String)>,
    /// The recorded master accepts writes.
    pub serving: bool,
    /// Members that call themselves master.
    pub masters: usize,
    /// How often the master has changed.
    pub epoch: i64,
    /// Members wanted.
    pub wanted: usize,
    /// Replicas that follow the stream of a master's commands.
    pub online: usize,
    /// Replicas that are to confirm a write.
    pub wait_replicas: usize,
    /// Those that exist.
    pub members: Vec<MemberReading>,
}

/// What one look has shown of a member. Of one that does not answer nothing is known but the verdict.
#[derive(Clone, Debug)]
pub struct MemberReading {
    /// The pod.
    pub name: String,
    /// From [`VERDICTS`].
    pub verdict: &'static str,
    /// It calls itself master.
    pub master: Option<bool>,
    /// How much of the history it has, in bytes.
    pub offset: Option<u64>,
    /// Bytes behind the master.
    pub lag: Option<u64>,
    /// How long ago its offset last moved.
    pub heard: Option<Duration>,
    /// How long ago what is known of it was asked for.
    pub answered: Option<Duration>,
    /// Its connection to the master is up.
    pub link: Option<bool>,
    /// In a full sync: how much has arrived or is loaded, in percent.
    pub sync_percent: Option<u8>,
    /// Memory in use, in bytes.
    pub memory: Option<u64>,
    /// `maxmemory` in bytes; `None` without a limit.
    pub memory_limit: Option<u64>,
    /// Full copies that its process has given away.
    pub full_syncs: Option<u64>,
}

/// The closed list of verdicts.
pub const VERDICTS: [&str; 5] = ["alive", "dead", "hung", "unreachable", "silent"];

impl Reading {
    /// Takes the figures out of an observation.
    pub fn new(o: &Observation, resource: &RedisReplication) -> Self {
        let master = serving_master(o);
        let members: Vec<_> =
            o.members.iter().filter(|(_, m)| m.pod.is_some()).map(|(name, m)| member(o, name, m, master)).collect();
        let conditions = resource.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        let condition = |type_: ConditionType| {
            let c = conditions.iter().find(|c| c.type_ == type_.to_string())?;
            Some((type_, c.status == "True", c.reason.clone()))
        };
        Self {
            seen: Instant::now(),
            conditions: ConditionType::ALL.into_iter().filter_map(condition).collect(),
            serving: master.is_some(),
            masters: members.iter().filter(|m| m.master == Some(true)).count(),
            epoch: o.record.epoch,
            wanted: o.settings.replicas,
            online: members.iter().filter(|m| m.link == Some(true)).count(),
            wait_replicas: o.settings.wait_replicas,
            members,
        }
    }
}

fn member(o: &Observation, name: &str, m: &Member, master: Option<(&str, &Info)>) -> MemberReading {
    let (verdict, info) = match liveness(o, m) {
        Liveness::Alive(info) => ("alive", Some(info)),
        Liveness::Dead(_) => ("dead", None),
        Liveness::Hung(_) => ("hung", None),
        Liveness::Unreachable(_) => ("unreachable", None),
        Liveness::Silent(_) => ("silent", None),
    };
    let offset_stall = m.server.offset_stall.filter(|_| info.is_some_and(|i| !i.is_master()));
    MemberReading {
        name: name.to_owned(),
        verdict,
        master: info.map(Info::is_master),
        offset: info.map(|i| i.offset),
        lag: info.zip(master).and_then(|(i, (_, master_info))| lag(m, i, master_info)),
        heard: offset_stall.map(|s| o.now.saturating_sub(s.since)),
        answered: m.server.info.as_ref().map(|(at, _)| o.now.saturating_sub(*at)),
        link: info.and_then(Info::replica).map(|r| r.follow == FollowState::Online),
        sync_percent: info.and_then(|i| i.sync_percent(master.map(|(_, master_info)| master_info))),
        memory: info.and_then(|i| i.memory.used),
        memory_limit: info.and_then(|i| i.memory.limit),
        full_syncs: info.map(|i| i.full_syncs),
    }
}

/// How far it is behind the master, by the better of two words: what it says itself, if it has the master's history, and
/// what the master says that it has acknowledged, which is nothing until its first acknowledgement.
fn lag(m: &Member, info: &Info, master_info: &Info) -> Option<u64> {
    if info.is_master() {
        return None;
    }
    let ip = m.ip().map(|ip| ip.to_string());
    let seen = master_info.slaves().iter().find(|s| Some(&s.ip) == ip.as_ref() && s.state == "online" && s.offset > 0);
    let own = (info.replication_id == master_info.replication_id).then_some(info.offset);
    let offset = seen.map(|s| s.offset).max(own)?;
    Some(master_info.offset.saturating_sub(offset))
}
