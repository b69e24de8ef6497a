//! One process of the operator: what it knows, which may be old, and its rounds.

use std::collections::BTreeMap;

use redis_replication_operator::replication::{
    ConnectionEvent as Event, Former, Health, Memory, Moment, Observation, Pod, Record, Step, plan,
    stateful_set_replicas,
};

use super::{
    chance::Chance,
    redis::{Id, Time},
    world::World,
};

/// The connection to one pod.
#[derive(Clone, Debug)]
pub struct Watched {
    pub host: usize,
    /// The pod as it was when it was last seen.
    pub pod: Pod,
    /// The process at the other end.
    pub run: Option<Id>,
    /// What is concluded; an offset is all that an answer about the role holds here.
    pub health: Health<u64>,
    /// When the first thing was sent that was not acknowledged.
    pub unacknowledged: Option<Time>,
}

impl Watched {
    /// Over a connection that has told nothing yet, nobody is logged in.
    pub fn is_logged_in(&self) -> bool {
        self.health.server().info.is_some()
    }

    pub fn end(&mut self, at: Moment, host_silent: bool) {
        self.run = None;
        let logged_in = self.is_logged_in();
        self.health.take(if logged_in {
            Event::Ended { at, host_silent }
        } else {
            Event::LoginEnded { at, host_silent }
        });
    }
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
    /// One look at the situation and what follows from it. The process dies after `cut_after` steps. `luck` decides about
    /// their order and what happens to them on their way.
    pub fn round(&mut self, cut_after: usize, luck: u64) -> bool {
        if !self.api_down {
            self.refresh_resource();
            self.operator.memory.record_unsure = false;
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
        let mut chance = Chance::new(luck);
        chance.shuffle(&mut steps);
        let dies = steps.len() > cut_after;
        steps.truncate(cut_after);
        self.carry_out(&o, &steps, chance);
        if dies {
            self.operator = Operator::default();
            self.refresh_resource();
        }
        dies || !only_looks
    }

    pub fn refresh_resource(&mut self) {
        (self.operator.record, self.operator.version) = (self.record.clone(), self.version);
    }
}
