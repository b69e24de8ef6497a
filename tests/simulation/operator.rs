//! One process of the operator as src/operator has it: connections, what they tell, and how steps are carried out. What it
//! knows may be old; what it sends may arrive late.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use redis_replication_operator::{
    api::Outcome,
    redis::{FollowState, Info, MasterSide, ReplicaSide, Role as InfoRole, SlaveState},
    replication::{
        Contact, Demotion, Former, HOLD, Hold, Member, Memory, Moment, Observation, Pending, Pod, Promises, Record,
        Recorded, Server, Step, Verdict, plan, serving_master, verdict,
    },
};

use super::{
    redis::{Id, Link, Redis, Role, Time},
    world::{Command, OPERATOR, World, moment, name},
};

/// Questions are asked so often.
pub const PING_EVERY: Time = 250;
/// The whole state is asked for so often.
const INFO_EVERY: Time = 1000;
/// How long an attempt to connect may take.
const CONNECT_TIMEOUT: Time = 1000;
/// How long a missing master is not spoken of.
const FIRST_IMPRESSION: Duration = Duration::from_secs(2);

/// The connection to one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    pub host: usize,
    /// The process at the other end.
    pub run: Option<Id>,
    pub contact: Contact,
    pub info: Option<(Moment, Info)>,
    pub silent_since: Option<Moment>,
    /// When the first thing was sent that was not acknowledged.
    pub unacknowledged: Option<Time>,
}

#[derive(Clone, Debug, Default)]
pub struct Operator {
    pub memory: Memory,
    pub links: BTreeMap<usize, Watched>,
    /// What became of the processes in pods that are gone.
    pub former: BTreeMap<String, Former>,
    /// The resource as it knows it.
    pub record: Record,
    pub version: u64,
}

/// Steps whose lease was checked, and that have not been carried out.
#[derive(Clone, Debug)]
pub struct Stalled {
    pub operator: Operator,
    pub observation: Observation,
    pub steps: Vec<Step>,
}

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
            replication_id: r.id.to_string(),
            previous_replication_id: r.id2.map(|(id, _)| id.to_string()),
            previous_offset: r.id2.map_or(0, |(_, valid)| valid),
            offset: r.offset,
            loading: r.is_loading(),
            loading_percent: None,
            keys: r.data.count_ones().into(),
            full_syncs: r.full_syncs,
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
        if let Some(run) = l.run {
            let same = process.is_some_and(|r| r.run == run);
            if !same && back {
                (l.run, l.contact, l.silent_since) = (None, Contact::Closed { since: at }, None);
            } else if !(there && back) {
                let since = *l.unacknowledged.get_or_insert(now);
                l.silent_since.get_or_insert(at);
                if u128::from(now - since) >= self.settings.unreachable_after.as_millis() {
                    (l.run, l.contact, l.silent_since) = (None, Contact::HostSilent { since: moment(since) }, None);
                }
            }
        }
        if l.run.is_none() && there && back {
            match process {
                Some(r) => {
                    l.run = Some(r.run);
                    (l.contact, l.info, l.silent_since) = (Contact::Up, None, Some(at));
                }
                None => match l.contact {
                    Contact::Closed { since } | Contact::HostSilent { since } => {
                        l.contact = Contact::Refused { since };
                    }
                    _ => {}
                },
            }
        } else if l.run.is_none() {
            let began = *l.unacknowledged.get_or_insert(now);
            if l.contact == Contact::None && now - began >= CONNECT_TIMEOUT {
                l.contact = Contact::HostSilent { since: moment(began) };
            }
        }
        if there && back {
            l.unacknowledged = None;
            match process {
                Some(r) if l.run == Some(r.run) && !r.stopped => {
                    let age = l.info.as_ref().map(|(asked, _)| at.saturating_sub(*asked));
                    if fresh || age.is_none_or(|age| age.as_millis() >= INFO_EVERY.into()) {
                        l.info = Some((at, self.info(r)));
                    }
                    l.silent_since = None;
                }
                Some(_) if l.run.is_some() => drop(l.silent_since.get_or_insert(at)),
                _ => {}
            }
        }
        self.operator.links.insert(i, l);
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
            outdated: p.outdated,
            role: p.label,
            failure: None,
        });
        if let Some(l) = self.operator.links.get(&i) {
            let (host, up) = (l.host, l.contact == Contact::Up);
            let same = pod.as_ref().is_some_and(|p| p.uid == host.to_string());
            let ended = pod.as_ref().is_some_and(|p| p.leaving && !p.running);
            if same && (up || !ended) {
                return pod;
            }
            if up {
                let old =
                    Pod { uid: host.to_string(), ip: Some(ip(host)), leaving: true, running: true, ..Pod::default() };
                return Some(old);
            }
            let former = match l.contact {
                Contact::HostSilent { .. } => Former::Silent,
                Contact::Closed { .. } | Contact::Refused { .. } => Former::Ended,
                Contact::None | Contact::Up => Former::Unknown,
            };
            self.operator.former.insert(host.to_string(), former);
            self.operator.links.remove(&i);
        }
        let pod = pod?;
        if !pod.leaving || pod.running {
            let host = self.pods[&i].host;
            let link = Watched {
                host,
                run: None,
                contact: Contact::None,
                info: None,
                silent_since: None,
                unacknowledged: None,
            };
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
            let server = self.operator.links.get(&i).map(|l| Server {
                contact: l.contact,
                info: l.info.clone(),
                silent_since: l.silent_since,
                problem: None,
            });
            let claim_may_hold_data = self.settings.persistent && self.operator.record.epoch > 0;
            if pod.is_some() || claim_may_hold_data || i < self.settings.replicas {
                let recorded = self.operator.record.members.get(&name(i)).and_then(|m| m.uid.as_ref());
                let former = recorded.and_then(|uid| self.operator.former.get(uid)).copied().unwrap_or_default();
                let server = server.unwrap_or_default();
                members.insert(name(i), Member { pod, server, claim_may_hold_data, former });
            }
        }
        Observation {
            now: moment(self.fleet.now),
            settings: self.settings.clone(),
            record: self.operator.record.clone(),
            members,
            stirred_at: moment(self.stirred_at),
            route: Some(self.route.map(name)),
            memory: self.operator.memory.clone(),
        }
    }

    /// One look at the situation and what follows from it. The process dies after `cut_after` steps.
    pub fn round(&mut self, cut_after: usize) -> bool {
        if !self.api_down {
            self.take_in_resource();
        }
        let o = self.observe();
        self.operator.memory = self.operator.memory.after(&o);
        let mut o = Observation { memory: self.operator.memory.clone(), ..o };
        (self.tampering.facts)(&mut o);
        let p = plan(&o);
        let only_looks = p.steps.iter().all(|s| matches!(s, Step::Look { .. }));
        if only_looks {
            self.tell(&o);
        }
        self.waits.clone_from(&p.waits);
        let mut steps = p.steps;
        (self.tampering.steps)(&o, &mut steps);
        self.steps.clone_from(&steps);
        for (at, step) in steps.iter().enumerate() {
            if at >= cut_after {
                self.operator = Operator::default();
                self.take_in_resource();
                return true;
            }
            self.take(&o, step, false);
        }
        !only_looks
    }

    pub fn take_in_resource(&mut self) {
        (self.operator.record, self.operator.version) = (self.record.clone(), self.version);
    }

    /// Writes the record if nobody wrote in between.
    fn write(&mut self, o: &Observation) -> bool {
        if self.api_down {
            return false;
        }
        if self.operator.version != self.version {
            self.take_in_resource();
            return false;
        }
        let record = describe(o);
        self.check_record(&record);
        self.record = record;
        self.version += 1;
        self.take_in_resource();
        true
    }

    /// The status at rest.
    fn tell(&mut self, o: &Observation) {
        let missing = o.memory.masterless_since.is_some_and(|at| o.now < at + FIRST_IMPRESSION);
        if !(o.record.master.is_some() && missing) && describe(o) != o.record {
            self.write(o);
        }
    }

    /// Carries a step out. One that is `late` was checked against a lease that has been lost since.
    pub fn take(&mut self, o: &Observation, step: &Step, late: bool) {
        let now = moment(self.fleet.now);
        match step {
            Step::Look { members } => members.iter().for_each(|m| self.poll(super::world::index(m), true)),
            Step::Begin { epoch, kind, from, to, reason, fence } => {
                let mut next = o.clone();
                next.record.epoch = *epoch;
                let (kind, from, to, reason) = (*kind, from.clone(), to.clone(), reason.clone());
                next.record.fence = *fence;
                for (n, _) in o.members.iter().filter(|(_, m)| m.pod.is_some()) {
                    next.record.members.entry(n.clone()).or_default();
                }
                if let Some(member) = o.members.get(&to)
                    && let Some((_, info)) = &member.server.info
                {
                    let uid = member.pod.as_ref().map(|p| p.uid.clone());
                    next.record.members.insert(to.clone(), Recorded { run_id: Some(info.run_id.clone()), uid });
                }
                next.record.transition = Some(Pending { epoch: *epoch, kind, from, to: to.clone(), reason });
                if self.write(&next) {
                    self.check_begin(o, kind, &to);
                }
            }
            Step::Promise(Promises { fence, wait_replicas, members }) => {
                let mut next = o.clone();
                (next.record.fence, next.record.wait_replicas) = (*fence, *wait_replicas);
                next.record.members.retain(|n, _| members.contains(n));
                for n in members {
                    next.record.members.entry(n.clone()).or_default();
                }
                self.write(&next);
            }
            Step::Close { outcome, .. } => {
                let Some(t) = o.record.transition.clone() else { return };
                let mut next = o.clone();
                next.record.transition = None;
                if *outcome == Outcome::Completed {
                    next.record.master = Some(t.to);
                }
                if self.write(&next) {
                    self.operator.memory.hold = None;
                    if *outcome == Outcome::Abandoned {
                        self.operator.memory.abandoned_at = Some(now);
                    }
                }
            }
            Step::Promote { member, min_replicas } => {
                self.command(member, Command::Promote { min_replicas: *min_replicas, epoch: o.record.epoch, late });
            }
            Step::Fence { member, min_replicas } => {
                self.command(member, Command::Fence(*min_replicas));
            }
            Step::Detach { member, .. } => {
                self.command(member, Command::Follow(None));
            }
            Step::Freeze { member, offset, .. } => {
                if let Some(run_id) = self.command(member, Command::Follow(None)) {
                    let d = Demotion { run_id, at: now, offset: *offset, dropped: 0 };
                    self.operator.memory.demoted.insert(member.clone(), d);
                }
            }
            Step::Follow { member, master, .. } => {
                let Some(target) = self.operator.links.get(&super::world::index(master)).map(|l| l.host) else {
                    return;
                };
                self.check_follow(member, master, late);
                let info = o.members.get(member).and_then(|m| m.server.info.as_ref()).map(|(_, i)| i);
                if let Some(run_id) = self.command(member, Command::Follow(Some(target)))
                    && let Some(info) = info.filter(|i| i.is_master())
                {
                    let d = Demotion { run_id, at: now, offset: info.offset, dropped: 0 };
                    self.operator.memory.demoted.insert(member.clone(), d);
                }
            }
            Step::HoldWrites { member } => {
                if let Some(run_id) = self.command(member, Command::Hold(self.fleet.now + 2000)) {
                    self.poll(super::world::index(member), true);
                    let hold = Hold { member: member.clone(), run_id, since: now, until: now + HOLD };
                    self.operator.memory.hold = Some(hold);
                }
            }
            Step::ReleaseWrites { member } => {
                if self.command(member, Command::Release).is_some() {
                    self.operator.memory.hold = None;
                }
            }
            Step::DropClients { member } => {
                self.command(member, Command::Release);
                if let Some(d) = self.operator.memory.demoted.get_mut(member) {
                    d.dropped += 1;
                }
            }
            Step::Route { to } if !self.api_down => {
                self.check_route(to, late);
                self.route = Some(super::world::index(to));
                self.stirred_at = self.fleet.now;
                self.operator.memory.routed_at = Some(now);
            }
            Step::Label { member, role } if !self.api_down => {
                if let Some(p) = self.pods.get_mut(&super::world::index(member)) {
                    p.label = Some(*role);
                }
            }
            Step::Restart { member, .. } => drop(self.delete_pod(o, member, false)),
            Step::Kill { member, .. } => {
                if let Some(uid) = self.delete_pod(o, member, true) {
                    self.operator.memory.killed.insert(uid, now);
                }
            }
            Step::Dismiss { .. } if !self.api_down => self.settings.request = None,
            Step::Route { .. } | Step::Label { .. } | Step::Dismiss { .. } => {}
        }
    }

    fn delete_pod(&mut self, o: &Observation, member: &str, kill: bool) -> Option<String> {
        let uid = o.members.get(member)?.pod.as_ref()?.uid.clone();
        if self.api_down {
            return None;
        }
        let i = super::world::index(member);
        if self.pods.get(&i).is_some_and(|p| p.host.to_string() == uid) {
            self.delete(i, kill);
        }
        Some(uid)
    }

    /// Sends a command over the connection; returns the process that carried it out, if its answer came back.
    fn command(&mut self, member: &str, command: Command) -> Option<String> {
        let i = super::world::index(member);
        let l = self.operator.links.get(&i)?;
        let (host, run) = (l.host, l.run?);
        let process = self.fleet.redis(host).filter(|r| r.run == run)?;
        if !self.fleet.path(OPERATOR, host) || process.stopped {
            self.delayed.push((host, run, command)); // it is on its way, or in a socket buffer
            return None;
        }
        self.carry_out(host, command);
        if !self.fleet.path(host, OPERATOR) {
            return None; // done, and nobody is told
        }
        self.poll(i, true);
        Some(run.to_string())
    }
}

/// The record that `status::describe` would write.
fn describe(o: &Observation) -> Record {
    let mut record = o.record.clone();
    if let (None, Some((_, info))) = (&record.transition, serving_master(o)) {
        record.replication_id = Some(info.replication_id.clone());
        record.previous_replication_id.clone_from(&info.previous_replication_id);
    }
    for (n, member) in &o.members {
        if let (Some(recorded), Verdict::Alive(info)) = (record.members.get_mut(n), verdict(o, member))
            && o.memory.caught_up(n, info)
        {
            recorded.run_id = Some(info.run_id.clone());
            recorded.uid = member.pod.as_ref().map(|p| p.uid.clone());
        }
    }
    record
}

pub fn ip(host: usize) -> IpAddr {
    IpAddr::from([10, 0, u8::try_from(host / 256).unwrap(), u8::try_from(host % 256).unwrap()])
}
