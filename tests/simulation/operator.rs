//! One process of the operator: what it knows, which may be old, and its rounds.

use std::collections::BTreeMap;

use redis_replication_operator::{
    redis::Info,
    replication::{
        Contact, Former, Memory, Moment, Observation, OffsetStall, Record, Step, plan, stateful_set_replicas,
    },
};

use super::{
    chance::Chance,
    redis::{Id, Time},
    world::World,
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
    /// One look at the situation and what follows from it. The process dies after `cut_after` steps. `luck` decides about
    /// their order and what happens to them on their way.
    pub fn round(&mut self, cut_after: usize, luck: u64) -> bool {
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
