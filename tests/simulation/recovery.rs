//! No more faults: everything comes back, and the operator does what is left to do.

use redis_replication_operator::{
    api::RequestKind,
    replication::{Request, Topic},
};

use super::{
    chance::Chance,
    redis::Time,
    world::{Event, Template, World, index},
};

/// So long a person watches before deciding for the operator.
const PATIENCE: Time = 90_000;
/// So many quiet looks in a row are rest: each member has told its state since, and been heard.
const CALM_ROUNDS: usize = 8;
/// So many looks at most.
const ROUNDS: usize = 1500;

impl World {
    pub fn calm(&mut self) {
        self.mend();
        let began = self.fleet.now;
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            self.kubelet();
            let members: Vec<_> = self.pods.keys().copied().collect();
            for member in members {
                self.start(member);
            }
            self.happen(Event::ReceiveAll);
            if quiet == 0 && self.fleet.now.is_multiple_of(7) {
                self.happen(Event::Write { wait: true });
            }
            let version = self.version;
            let acted = self.round(usize::MAX, Chance::order(self.fleet.now));
            self.fleet.settle();
            self.settle_waits();
            if self.broken.is_some() {
                return;
            }
            let rest = self.waits.is_empty()
                && self.version == version
                && self.operator.memory.demoted.is_empty()
                && self.record.transition.is_none()
                && self
                    .pods
                    .values()
                    .all(|p| !p.leaving && p.template == self.template && self.fleet.redis(p.host).is_some());
            quiet = if rest && !acted { quiet + 1 } else { 0 };
            if quiet > CALM_ROUNDS {
                break;
            }
            self.later(if acted { 5 } else { 250 });
            if self.fleet.now > began + PATIENCE && self.settings.request.is_none() {
                self.a_person_decides();
            }
        }
        // a member with data whose master has none is left alone until something is written, or a person decides about it;
        // under Consistency nothing can be written while it does not follow
        if self.waits.iter().any(|w| w.topic == Topic::DivergentHistory) {
            return;
        }
        if quiet <= CALM_ROUNDS {
            let waits: Vec<_> = self.waits.iter().map(|w| w.text.as_str()).collect();
            self.violated("I12", format!("it never goes quiet: {waits:?}"));
        }
        self.check_calm();
    }

    fn mend(&mut self) {
        if self.template.1 != Template::Sound {
            self.happen(Event::Change { template: Template::Sound });
        }
        self.happen(Event::Api { up: true });
        self.happen(Event::Unstall);
        let dark: Vec<_> = self.pods.iter().filter(|(_, p)| self.fleet.hosts[p.host].dark).map(|(i, _)| *i).collect();
        for member in dark {
            self.happen(Event::ForceDelete { member });
        }
        for host in 1..self.fleet.hosts.len() {
            if self.pods.values().any(|p| p.host == host) {
                self.resume(host);
            } else {
                self.fleet.kill(host); // its kubelet is back, and ends what has no pod
            }
        }
        self.happen(Event::Heal);
    }

    /// Nothing moves, for want of data that is gone: a person says so. That it is gone is looked at here, or that a replica may
    /// have confirmed a write that is no member.
    fn a_person_decides(&mut self) {
        let blocked = self.waits.iter().find(|w| matches!(w.topic, Topic::Quorum | Topic::NotFenced | Topic::Election));
        let Some(words) = blocked.map(|w| w.text.clone()) else { return };
        let master = self.record.master.clone().unwrap_or_default();
        let whole = |n: &str| {
            let run = self.host(index(n)).and_then(|h| self.fleet.redis(h)).map(|r| r.run.to_string());
            run.is_some() && run == self.record.members[n].run_id
        };
        let replicas: Vec<_> = self.record.members.keys().filter(|n| **n != master).collect();
        let there = replicas.iter().filter(|n| whole(n)).count();
        let needed = (replicas.len() + 1).saturating_sub(self.record.wait_replicas.max(1)).max(1);
        if there >= needed && self.record.min_replicas > 0 && self.operator.memory.outsiders.is_none() {
            return self.violated("I12", format!("{there} of {} lost nothing, and yet: {words}", replicas.len()));
        }
        (self.facts.forced, self.facts.decided) = (true, true);
        self.settings.request = Some(Request { kind: RequestKind::Failover, to: None });
    }
}
