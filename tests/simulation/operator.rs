//! One process of the operator as src/operator has it: connections, what they tell, and how steps are carried out. What it
//! knows may be old; what it sends may arrive late.

use std::collections::BTreeMap;

use redis_replication_operator::{
    api::Outcome,
    redis::Info,
    replication::{
        Change, Contact, Demotion, Former, HOLD, Hold, Memory, Moment, Observation, Record, Standstill, Step, plan,
    },
};

use super::{
    redis::{Id, Time},
    world::{Command, OPERATOR, World, moment},
};

/// The connection to one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    pub host: usize,
    /// The process at the other end.
    pub run: Option<Id>,
    pub contact: Contact,
    pub info: Option<(Moment, Info)>,
    /// The offset that is known, and for how long it has been the same.
    pub offset: Option<(u64, Standstill)>,
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
            self.take(&o, step);
        }
        !only_looks
    }

    pub fn take_in_resource(&mut self) {
        (self.operator.record, self.operator.version) = (self.record.clone(), self.version);
    }

    /// Writes the record after the changes, if nobody wrote in between.
    fn write(&mut self, o: &Observation, changes: &[Change]) -> bool {
        if self.api_down {
            return false;
        }
        if self.operator.version != self.version {
            self.take_in_resource();
            return false;
        }
        let record = o.record.after(changes);
        self.check_record(&record);
        self.record = record;
        self.version += 1;
        self.take_in_resource();
        true
    }

    /// Carries a step out.
    pub fn take(&mut self, o: &Observation, step: &Step) {
        let (now, late) = (moment(self.fleet.now), self.late);
        match step {
            Step::Look { members } => members.iter().for_each(|m| self.poll(super::world::index(m), true)),
            Step::Record(changes) => {
                if !self.write(o, changes) {
                    return;
                }
                for change in changes {
                    match change {
                        Change::Begin { transition, .. } => self.check_begin(o, transition.kind, &transition.to),
                        Change::Complete { outcome, .. } => {
                            self.operator.memory.hold = None;
                            if *outcome == Outcome::Abandoned {
                                self.operator.memory.abandoned_at = Some(now);
                            }
                        }
                        Change::Commit(_) | Change::Enrol { .. } | Change::History { .. } => {}
                    }
                }
            }
            Step::Promote { member, min_replicas } => {
                self.command(member, Command::Promote { min_replicas: *min_replicas, epoch: o.record.epoch });
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
                let info = o.members.get(member).and_then(|m| m.server.info.as_ref()).map(|(_, i)| i);
                self.check_follow(member, master, info, late);
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
            Step::Restart { member, .. } => {
                self.check_restart(o, member, late);
                drop(self.delete_pod(o, member, false));
            }
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
        l.info.as_ref()?; // a connection that has ended those before it has an answer
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
