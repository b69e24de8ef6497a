//! Observations to plan on, for the tables of cases.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::{net::IpAddr, time::Duration};

use super::{
    Contact, Member, Observation, OffsetStall, Pending, Pod, Record, Recorded, RoleLabel, SILENT_AFTER, Server,
    Settings,
};
use crate::{
    info::Files, info::FollowState, info::Info, info::MasterSide, info::MemoryUse, info::NOBODY, info::ReplicaSide,
    info::Role, info::SlaveState, kinds::FailoverPolicy, kinds::TransitionKind, kinds::TransitionPhase,
};

/// The present of all fixtures.
pub const NOW: Duration = Duration::from_secs(1000);

pub fn name(i: usize) -> String {
    format!("shop-{i}")
}

pub fn ip(i: usize) -> IpAddr {
    format!("10.0.0.{}", i + 1).parse().unwrap()
}

/// `shop-0` is master, `n - 1` replicas follow it, all are recorded, and nothing is left to do.
pub fn healthy(n: usize) -> Observation {
    let master = MasterSide {
        slaves: (1..n)
            .map(|i| SlaveState { ip: ip(i).to_string(), state: "online".into(), offset: 100, lag: 0 })
            .collect(),
    };
    let member = |i: usize| {
        let role = if i == 0 { Role::Master(master.clone()) } else { Role::Replica(following(0)) };
        let label = if i == 0 { RoleLabel::Master } else { RoleLabel::Replica };
        let pod = Pod {
            uid: format!("uid-{i}"),
            ip: Some(ip(i)),
            ran: true,
            running: true,
            ready: true,
            role: Some(label),
            ..Pod::default()
        };
        let server = Server { contact: Contact::Up, info: Some((NOW, info(i, role))), ..Server::default() };
        (name(i), Member { pod: Some(pod), server, ..Member::default() })
    };
    let recorded = |i: usize| (name(i), Recorded { run_id: Some(format!("run-{i}")), uid: Some(format!("uid-{i}")) });
    Observation {
        now: NOW,
        settings: Settings { name: "shop".into(), replicas: n, ..Settings::default() },
        record: Record {
            master: Some(name(0)),
            epoch: 1,
            replication_id: Some("history".into()),
            members: (0..n).map(recorded).collect(),
            min_replicas: 1,
            ..Record::default()
        },
        members: (0..n).map(member).collect(),
        route: Some(Some(name(0))),
        ..Observation::default()
    }
}

/// The same under `Consistency` with `k` confirmations.
pub fn consistent(n: usize, k: usize) -> Observation {
    let mut o = healthy(n);
    o.settings.policy = FailoverPolicy::Consistency;
    (o.settings.wait_replicas, o.record.wait_replicas, o.record.min_replicas) = (k, k, k);
    o.info(0).min_replicas = k;
    o
}

pub fn following(i: usize) -> ReplicaSide {
    ReplicaSide { master_host: ip(i).to_string(), master_port: 6379, follow: FollowState::Online }
}

pub fn nobody() -> ReplicaSide {
    ReplicaSide { master_host: NOBODY.0.into(), master_port: NOBODY.1, follow: FollowState::Connecting }
}

fn info(i: usize, role: Role) -> Info {
    Info {
        run_id: format!("run-{i}"),
        version: "8.0".into(),
        product: "Redis 8.0".into(),
        replication_id: "history".into(),
        previous_replication_id: None,
        previous_offset: 0,
        offset: 100,
        loading: false,
        loading_percent: None,
        snapshot_percent: None,
        keys: 10,
        full_syncs: 0,
        buffer_drops: 0,
        files: Files::default(),
        memory: MemoryUse::default(),
        min_replicas: usize::from(i == 0),
        role,
    }
}

impl Observation {
    pub fn member(&mut self, i: usize) -> &mut Member {
        self.members.get_mut(&name(i)).unwrap()
    }

    pub fn info(&mut self, i: usize) -> &mut Info {
        &mut self.member(i).server.info.as_mut().unwrap().1
    }

    /// Its process is gone, and its replicas have noticed; where it has none, the kubelet has.
    pub fn kill(&mut self, i: usize) {
        self.member(i).server.contact = Contact::Refused { since: NOW };
        if !self.replicas_lose(i)
            && let Some(pod) = &mut self.member(i).pod
        {
            pod.running = false;
        }
    }

    /// Its host has been silent for so long.
    pub fn cut(&mut self, i: usize, ago: Duration) {
        self.member(i).server.contact = Contact::HostSilent { since: NOW.saturating_sub(ago) };
    }

    /// Its process has been silent for so long.
    pub fn hang(&mut self, i: usize, ago: Duration) {
        self.member(i).server.silent_since = Some(NOW.saturating_sub(ago.max(SILENT_AFTER)));
    }

    /// Its offset has just moved.
    pub fn hears(&mut self, i: usize) {
        self.member(i).server.offset_stall = Some(OffsetStall { since: self.now, until: self.now });
    }

    /// Another process in the same container: it follows nobody and has lost something.
    pub fn restart(&mut self, i: usize) {
        let info = self.info(i);
        info.run_id = format!("run-{i}-again");
        info.role = Role::Replica(nobody());
        info.keys = 0;
        info.replication_id = format!("fresh-{i}");
    }

    pub fn detach(&mut self, i: usize) {
        self.info(i).role = Role::Replica(nobody());
    }

    /// A failover from the recorded master is recorded, and not yet done.
    pub fn fail_over(&mut self, to: usize) {
        let epoch = self.record.epoch + 1;
        let (kind, from, reason) = (TransitionKind::Failover, self.record.master.clone(), String::new());
        self.record.epoch = epoch;
        let phase = TransitionPhase::Promoting;
        self.record.transition = Some(Pending { epoch, kind, from, to: name(to), phase, reason });
    }

    fn replicas_lose(&mut self, i: usize) -> bool {
        let (host, mut any) = (ip(i).to_string(), false);
        for member in self.members.values_mut() {
            if let Some((_, Info { role: Role::Replica(side), .. })) = &mut member.server.info
                && side.master_host == host
            {
                (side.follow, any) = (FollowState::Connecting, true);
            }
        }
        any
    }

    /// What is remembered after looking at this for so long, with the master's and the replicas' answers renewed.
    #[must_use]
    pub fn remembered(mut self, for_: Duration) -> Self {
        self.memory = self.memory.after(&self);
        self.now += for_;
        for member in self.members.values_mut() {
            if member.server.silent_since.is_none()
                && member.server.contact == Contact::Up
                && let Some((at, _)) = &mut member.server.info
            {
                let since = member.server.offset_stall.map_or(*at, |s| s.since);
                member.server.offset_stall = Some(OffsetStall { since, until: self.now });
                *at = self.now;
            }
        }
        self.memory = self.memory.after(&self);
        self
    }
}
