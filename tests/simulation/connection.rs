//! What happens to an operator's connections, and when. What is concluded from that is not simulated: `replication::Health` and
//! `replication::Bond` are those of the operator.

use std::{collections::BTreeMap, net::IpAddr};

use redis_replication_operator::{
    redis::{Files, FollowState, Info, MasterSide, MemoryUse, ReplicaSide, Role as InfoRole, SlaveState},
    replication::{Bond, ConnectionEvent as Event, Health, Member, Observation, Pod, is_worth_connecting},
};

use super::{
    operator::Watched,
    redis::{Link, Redis, Role, Time},
    world::{OPERATOR, World, moment, name},
};

/// Questions are asked so often, by the operator every 100 ms. It costs time, and no decision counts questions: docs/simulation.md.
pub const CHECK_EVERY: Time = 250;
/// The whole state is asked for so often.
const INFO_EVERY: Time = 1000;
/// How long an attempt to connect may take.
const CONNECT_TIMEOUT: Time = 1000;

impl World {
    /// The state of a process as INFO tells it.
    fn info(&self, r: &Redis) -> Info {
        let role = match &r.role {
            Role::Master => InfoRole::Master(MasterSide {
                slaves: r
                    .attached
                    .iter()
                    .map(|a| SlaveState {
                        ip: ip(a.replica).to_string(),
                        state: if a.online { "online" } else { "send_bulk" }.into(),
                        offset: a.acked,
                        lag: (self.fleet.now / 1000).saturating_sub(a.acked_at / 1000),
                    })
                    .collect(),
            }),
            Role::Replica { of, link, .. } => InfoRole::Replica(ReplicaSide {
                master_host: of.map_or("127.0.0.1".into(), |m| ip(m).to_string()),
                master_port: if of.is_some() { 6379 } else { 1 },
                follow: match link {
                    Link::Down => FollowState::Connecting,
                    Link::Receiving { .. } | Link::Loading { .. } => FollowState::Syncing(None),
                    Link::Online { .. } => FollowState::Online,
                },
            }),
        };
        Info {
            run_id: r.run.to_string(),
            version: String::new(),
            product: String::new(),
            replication_id: r.id.to_string(),
            previous_replication_id: r.id2.map(|(id, _)| id.to_string()),
            previous_offset: r.id2.map_or(0, |(_, valid)| valid),
            offset: r.offset,
            loading: r.is_loading(),
            loading_percent: None,
            snapshot_percent: None,
            keys: r.data.count_ones().into(),
            full_syncs: r.full_syncs,
            buffer_drops: 0,
            files: Files::default(),
            memory: MemoryUse::default(),
            min_replicas: r.min_replicas,
            role,
        }
    }

    /// One look at a connection, and an answer over it if it is time for one or `fresh` asks for it.
    pub fn poll(&mut self, i: usize, fresh: bool) {
        let Some(mut l) = self.operator.links.remove(&i) else { return };
        let (now, at) = (self.fleet.now, moment(self.fleet.now));
        let (there, back) = (self.fleet.path(OPERATOR, l.host), self.fleet.path(l.host, OPERATOR));
        let process = self.fleet.redis(l.host);
        if there && back && self.rejected.contains(&l.host) {
            if l.run.is_some() {
                l.end(at, false);
            }
            l.health.take(Event::AttemptRefused);
            self.operator.links.insert(i, l);
            return;
        }
        let busy = l.is_logged_in() && l.run.is_some_and(|run| self.lies_unread(l.host, run));
        if let Some(run) = l.run {
            let same = process.is_some_and(|r| r.run == run);
            if !same && back {
                l.end(at, false);
            } else if !(there && back) {
                let since = *l.unacknowledged.get_or_insert(now);
                l.health.take(Event::Asked { at });
                if u128::from(now - since) >= self.settings.unreachable_after.as_millis() {
                    l.end(at, true);
                }
            }
        }
        if l.run.is_none() && self.late {
            // without the lease it connects to nobody
        } else if l.run.is_none() && there && back {
            l.run = process.map(|r| r.run);
            l.health.take(if l.run.is_some() { Event::Connected { at } } else { Event::AttemptRefused });
        } else if l.run.is_none() {
            let began = *l.unacknowledged.get_or_insert(now);
            if now - began >= CONNECT_TIMEOUT {
                l.health.take(Event::AttemptSilent { began: moment(began) });
            }
        }
        let mut first = false;
        if there && back {
            l.unacknowledged = None;
            match process {
                Some(r) if l.run == Some(r.run) && !r.stopped && !busy => {
                    first = !l.is_logged_in();
                    let answer = self.answer(&l, r, fresh);
                    l.health.take(answer);
                }
                Some(_) if l.run.is_some() => {
                    l.health.take(Event::Asked { at });
                }
                _ => {}
            }
        }
        if first && !self.tampering.spares_predecessors {
            self.disconnect_stale_operators(l.host);
        }
        self.operator.links.insert(i, l);
    }

    /// The whole state, if it is time for that or `fresh` asks for it, or the short answer; a master's tells no offset.
    fn answer(&self, l: &Watched, r: &Redis, fresh: bool) -> Event<u64> {
        let asked = moment(self.fleet.now);
        match &l.health.server().info {
            Some((at, info)) if !fresh && asked.saturating_sub(*at).as_millis() < INFO_EVERY.into() => {
                Event::Answered { role: (!info.is_master()).then_some((asked, r.offset)) }
            }
            _ => Event::Informed { asked, info: self.info(r), role: r.offset },
        }
    }

    /// The connection ends, and the process lives on.
    pub fn disconnect(&mut self, i: usize) {
        let at = moment(self.fleet.now);
        if let Some(l) = self.operator.links.get_mut(&i) {
            l.end(at, false);
        }
    }

    /// A new connection closes those of operators before, and what was on its way over them is lost.
    fn disconnect_stale_operators(&mut self, host: usize) {
        self.delayed.retain(|(h, ..)| *h != host);
        for l in self.stalled.iter_mut().flat_map(|s| s.operator.links.values_mut()).filter(|l| l.host == host) {
            (l.run, l.health) = (None, Health::default());
        }
    }

    /// Keeps the connections to the pods that there are, as `Observer::connect` does. Returns the pod that the connection is
    /// about.
    fn connect(&mut self, i: usize) -> Option<Pod> {
        let pod = self.pods.get(&i).map(|p| Pod {
            uid: p.host.to_string(),
            ip: Some(ip(p.host)),
            leaving: p.leaving,
            leaving_since: p.leaving_since,
            running: self.fleet.redis(p.host).is_some() || !self.kubelet_reaches(p.host),
            ready: self.fleet.redis(p.host).is_some_and(|r| !r.is_loading() && (r.is_master() || r.is_online())),
            ran: p.starts > 0,
            restarts: p.starts.saturating_sub(1),
            outdated: p.template.0 != self.template.0,
            role: p.label,
            started: true,
            ..Pod::default()
        });
        if let Some(l) = self.operator.links.get_mut(&i) {
            match Bond::of(&l.pod, l.health.server().contact, pod.as_ref()) {
                Bond::Holds => {
                    l.pod.clone_from(pod.as_ref()?);
                    return pod;
                }
                Bond::Outlives(former) => return Some(*former),
                Bond::Ends(former) => {
                    self.operator.former.insert(l.pod.uid.clone(), former);
                    self.operator.links.remove(&i);
                }
            }
        }
        let pod = pod?;
        if is_worth_connecting(&pod) {
            let host = self.pods[&i].host;
            let link = Watched { host, pod: pod.clone(), run: None, health: Health::default(), unacknowledged: None };
            self.operator.links.insert(i, link);
            self.poll(i, true);
        }
        Some(pod)
    }

    /// What the operator believes at this moment.
    pub fn observe(&mut self) -> Observation {
        let mut members = BTreeMap::new();
        let names =
            (0..self.settings.replicas).chain(self.pods.keys().copied()).chain(self.operator.links.keys().copied());
        for i in names.collect::<std::collections::BTreeSet<_>>() {
            let pod = self.connect(i);
            let server = self.operator.links.get(&i).map(|l| l.health.server().clone());
            let claim_may_hold_data = self.settings.persistent && self.operator.record.epoch > 0;
            if pod.is_some() || claim_may_hold_data || i < self.settings.replicas {
                let recorded = self.operator.record.members.get(&name(i)).and_then(|m| m.uid.as_ref());
                let former = recorded.and_then(|uid| self.operator.former.get(uid)).copied().unwrap_or_default();
                let server = server.unwrap_or_default();
                members.insert(name(i), Member { pod, server, claim_may_hold_data, former, absent: None });
            }
        }
        Observation {
            now: moment(self.fleet.now),
            settings: self.settings.clone(),
            record: self.operator.record.clone(),
            members,
            endpoints_changed_at: moment(self.endpoints_changed_at),
            route: Some(self.route.map(name)),
            memory: self.operator.memory.clone(),
        }
    }
}

pub fn ip(host: usize) -> IpAddr {
    IpAddr::from([10, 0, u8::try_from(host / 256).unwrap(), u8::try_from(host % 256).unwrap()])
}
