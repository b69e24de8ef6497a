//! One process of the operator as src/operator has it: connections, what they tell, and how steps are carried out. What it
//! knows may be old; what it sends may arrive late.

use std::{collections::BTreeMap, time::Duration};

use redis_replication_operator::{
    api::Outcome,
    redis::Info,
    replication::{
        Contact, Demotion, Former, HOLD, Hold, Memory, Moment, Observation, Pending, Promises, Record, Recorded,
        Standstill, Step, Verdict, plan, serving_master, verdict,
    },
};

use super::{
    redis::{Id, Time},
    world::{Command, OPERATOR, World, moment},
};

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
            self.take(&o, step);
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

    /// Carries a step out.
    pub fn take(&mut self, o: &Observation, step: &Step) {
        let (now, late) = (moment(self.fleet.now), self.late);
        match step {
            Step::Look { members } => members.iter().for_each(|m| self.poll(super::world::index(m), true)),
            Step::Begin { epoch, kind, from, to, phase, reason, fence } => {
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
                next.record.transition =
                    Some(Pending { epoch: *epoch, kind, from, to: to.clone(), phase: *phase, reason });
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
            Step::Route { .. } | Step::Label { .. } | Step::Dismiss { .. } | Step::Persist { .. } => {}
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
