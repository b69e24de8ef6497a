//! One process of the operator as src/operator has it: connections, what they tell, and how steps are carried out. What it
//! knows may be old; what it sends may arrive late.

use std::collections::BTreeMap;

use redis_replication_operator::{
    redis::Info,
    replication::{
        Change, Contact, Effect, Former, Memory, Moment, Observation, OffsetStall, Record, Step, plan,
        stateful_set_replicas,
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
    pub offset: Option<(u64, OffsetStall)>,
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
            self.refresh_resource();
        }
        let o = self.observe();
        self.operator.memory = self.operator.memory.after(&o);
        let mut o = Observation { memory: self.operator.memory.clone(), ..o };
        if !self.api_down {
            self.kept = stateful_set_replicas(&o);
        }
        (self.tampering.facts)(&mut o);
        let p = plan(&o);
        let only_looks = p.steps.iter().all(|s| matches!(s, Step::Refresh { .. }));
        self.waits.clone_from(&p.waits);
        let mut steps = p.steps;
        (self.tampering.steps)(&o, &mut steps);
        self.steps.clone_from(&steps);
        for (at, step) in steps.iter().enumerate() {
            if at >= cut_after {
                self.operator = Operator::default();
                self.refresh_resource();
                return true;
            }
            self.take(&o, step);
        }
        !only_looks
    }

    pub fn refresh_resource(&mut self) {
        (self.operator.record, self.operator.version) = (self.record.clone(), self.version);
    }

    /// Writes the record after the changes, if nobody wrote in between.
    fn write(&mut self, o: &Observation, changes: &[Change]) -> bool {
        if self.api_down {
            return false;
        }
        if self.operator.version != self.version {
            self.refresh_resource();
            return false;
        }
        let record = o.record.after(changes);
        self.check_record(&record);
        self.record = record;
        self.version += 1;
        self.refresh_resource();
        true
    }

    /// Carries a step out, and remembers what came of it.
    pub fn take(&mut self, o: &Observation, step: &Step) {
        let effect = self.carry_out_step(o, step).unwrap_or(Effect::Nothing);
        self.operator.memory.apply(&effect);
    }

    /// `None` if it failed, or nobody heard of what came of it.
    fn carry_out_step(&mut self, o: &Observation, step: &Step) -> Option<Effect> {
        let (at, late) = (moment(self.fleet.now), self.late);
        match step {
            Step::Refresh { members } => members.iter().for_each(|m| self.poll(super::world::index(m), true)),
            Step::Record(changes) => {
                if !self.write(o, changes) {
                    return None;
                }
                for change in changes {
                    if let Change::Begin { transition, .. } = change {
                        self.check_begin(o, transition.kind, &transition.to);
                    }
                }
                return Some(Effect::Recorded { changes: changes.clone(), at });
            }
            Step::Promote { member, min_replicas } => {
                self.command(member, Command::Promote { min_replicas: *min_replicas, epoch: o.record.epoch })?;
            }
            Step::SetMinReplicas { member, min_replicas } => drop(self.command(member, Command::Fence(*min_replicas))?),
            Step::Detach { member, .. } => drop(self.command(member, Command::Follow(None))?),
            Step::Demote { member, offset, .. } => {
                let run_id = self.command(member, Command::Follow(None))?.run_id;
                return Some(Effect::Demoted { member: member.clone(), run_id, at, offset: *offset });
            }
            Step::Follow { member, master, .. } => {
                let target = self.operator.links.get(&super::world::index(master))?.host;
                let info = o.members.get(member).and_then(|m| m.server.info.as_ref()).map(|(_, i)| i);
                self.check_follow(member, master, info, late);
                let answer = self.command(member, Command::Follow(Some(target)))?;
                if info.is_some_and(Info::is_master) {
                    let (run_id, offset) = (answer.run_id, answer.offset);
                    return Some(Effect::Demoted { member: member.clone(), run_id, at, offset });
                }
            }
            Step::HoldWrites { member } => {
                let run_id = self.command(member, Command::Hold(self.fleet.now + 2000))?.run_id;
                return Some(Effect::Held { member: member.clone(), run_id, asked: at, since: at });
            }
            Step::ReleaseWrites { member } => {
                self.command(member, Command::Release)?;
                return Some(Effect::Released);
            }
            Step::DropClients { member } => {
                let _ = self.command(member, Command::Release); // if it is gone, so are its clients
                return Some(Effect::Dropped { member: member.clone() });
            }
            Step::DropReplicas { .. } => {} // there is nobody but members
            Step::Route { to } if !self.api_down => {
                self.check_route(to, late);
                self.route = Some(super::world::index(to));
                self.endpoints_changed_at = self.fleet.now;
                return Some(Effect::Routed { to: to.clone(), at });
            }
            Step::Label { member, role } if !self.api_down => {
                let pod = self.pods.get_mut(&super::world::index(member))?;
                pod.label = Some(*role);
                return Some(Effect::Labelled { uid: pod.host.to_string(), role: *role });
            }
            Step::ReplacePod { member, .. } => {
                self.check_restart(o, member, late);
                return Some(Effect::Replaced { uid: self.delete_pod(o, member, false)? });
            }
            Step::DeleteHungPod { member, .. } => {
                return Some(Effect::Killed { uid: self.delete_pod(o, member, true)?, at });
            }
            Step::ResolveRequest { .. } if !self.api_down => self.settings.request = None,
            Step::Route { .. } | Step::Label { .. } | Step::ResolveRequest { .. } | Step::Persist { .. } => {
                return None;
            }
        }
        Some(Effect::Nothing)
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

    /// Sends a command over the connection; returns what the process says that carried it out, if its answer came back.
    fn command(&mut self, member: &str, command: Command) -> Option<Info> {
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
        let answer = self.operator.links.get(&i).and_then(|l| l.info.as_ref()).map(|(_, info)| info.clone());
        answer.filter(|info| info.run_id == run.to_string())
    }
}
