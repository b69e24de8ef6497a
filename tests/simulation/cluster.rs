//! Processes that start and stop, what Kubernetes makes of pods, and an operator that is stopped while another takes over.

use std::{collections::BTreeMap, time::Duration};

use redis_replication_operator::replication::{Observation, plan};

use super::{
    chance::Chance,
    fleet::{Disk, Host},
    operator::Stalled,
    redis::{Id, Redis, Time},
    world::{Command, MAX_LAG, OPERATOR, PodState, Template, World, moment},
};

/// How long the kubelet waits after the first crash.
const FIRST_PAUSE: Time = 10_000;
/// A process of a template that makes it crash lives so long.
const CRASHES_AFTER: Time = 8000;

impl World {
    // ── processes ──

    /// Those that crash by themselves.
    pub fn crash(&mut self) {
        let now = self.fleet.now;
        for p in self.pods.values_mut().filter(|p| p.dies_at.is_some_and(|at| at <= now)) {
            p.dies_at = None;
            p.starts_at = now + (FIRST_PAUSE << (p.starts - 1).min(5));
            self.fleet.kill(p.host);
        }
    }

    pub fn start(&mut self, member: usize) {
        let Some(host) = self.host(member) else { return };
        let template = self.pods[&member].template.1;
        if self.fleet.redis(host).is_some() || self.fleet.hosts[host].dark || self.pods[&member].leaving {
            return;
        }
        if template == Template::NeverStarts || self.fleet.now < self.pods[&member].starts_at {
            return;
        }
        self.fleet.start(host);
        if let Some(p) = self.pods.get_mut(&member) {
            p.dies_at = (template == Template::Crashes).then_some(self.fleet.now + CRASHES_AFTER);
            p.starts += 1;
        }
        if let Some(r) = self.fleet.redis_mut(host) {
            r.max_lag = MAX_LAG;
        }
        if self.tampering.boots_as_master {
            self.fleet.promote(host);
        }
    }

    pub fn resume(&mut self, host: usize) {
        for (write, offset) in self.fleet.resume(host) {
            let wait = self.queued_waits.contains(&write);
            self.accepted(host, write, offset, wait);
        }
        self.deliver();
    }

    /// What was on its way to processes that can read it now.
    pub fn deliver(&mut self) {
        for (host, run, command) in std::mem::take(&mut self.delayed) {
            match self.fleet.redis(host) {
                Some(r) if r.run == run && (r.stopped || !self.fleet.path(OPERATOR, host)) => {
                    self.delayed.push((host, run, command));
                }
                Some(r) if r.run == run => self.carry_out_command(host, command),
                _ => {}
            }
        }
    }

    /// Has the process something to read that comes before what is sent to it now?
    pub fn lies_unread(&self, host: usize, run: Id) -> bool {
        self.delayed.iter().any(|(h, r, _)| (*h, *r) == (host, run))
    }

    pub fn carry_out_command(&mut self, host: usize, command: Command) {
        match command {
            Command::Promote { min_replicas, epoch } => {
                let Some(r) = self.fleet.redis_mut(host).filter(|r| !r.is_loading()) else { return };
                (r.min_replicas, r.max_lag, r.pings) = (min_replicas, MAX_LAG, true);
                if !r.is_master() {
                    self.check_promotion(host, epoch);
                    self.fleet.promote(host);
                }
            }
            Command::Follow(target) => {
                self.fleet.follow(host, target);
            }
            Command::Fence(min_replicas) => {
                if let Some(r) = self.fleet.redis_mut(host) {
                    (r.min_replicas, r.max_lag) = (min_replicas, MAX_LAG);
                }
            }
            Command::DropReplica(replica) => self.fleet.disconnect(host, replica),
            Command::Hold(limit) => {
                let until = self.fleet.now + limit;
                if let Some(r) = self.fleet.redis_mut(host) {
                    (r.held_until, r.pings) = (Some(until), false);
                }
            }
            Command::Release => {
                if let Some(r) = self.fleet.redis_mut(host) {
                    (r.held_until, r.pings) = (None, true);
                }
            }
        }
        self.fleet.settle();
        self.settle_waits();
    }

    // ── Kubernetes ──

    pub fn delete(&mut self, member: usize, kill: bool) {
        let now = moment(self.fleet.now);
        if let Some(p) = self.pods.get_mut(&member) {
            if !p.leaving {
                p.leaving_since = now;
            }
            (p.leaving, p.kill) = (true, p.kill || kill);
            self.endpoints_changed_at = self.fleet.now;
        }
    }

    /// Ends what is to end (a `preStop` hook holds a master), and makes the pods that should exist.
    pub fn kubelet(&mut self) {
        let count = self.kept.max(self.settings.replicas);
        let surplus: Vec<_> = self.pods.keys().copied().filter(|i| *i >= count).collect();
        for i in surplus {
            self.delete(i, false);
        }
        let mut disks: BTreeMap<usize, Disk> = BTreeMap::new();
        for (i, p) in self.pods.clone() {
            let process = self.fleet.redis(p.host);
            let held = process.is_some_and(Redis::is_master) && !p.kill;
            if p.leaving && !held && self.kubelet_reaches(p.host) {
                self.fleet.kill(p.host);
                self.pods.remove(&i);
                disks.insert(i, std::mem::take(&mut self.fleet.hosts[p.host].disk));
                self.endpoints_changed_at = self.fleet.now;
            }
        }
        for i in 0..count {
            if self.pods.contains_key(&i) {
                continue;
            }
            let host = self.fleet.hosts.len();
            let disk = if self.settings.persistent { disks.remove(&i).unwrap_or_default() } else { Disk::default() };
            let (unbound, old) = (self.template.1 == Template::CannotConnect, self.template.1 == Template::OldVersion);
            self.fleet.hosts.push(Host { disk, unbound, old, ..Host::new(host) });
            let (leaving, leaving_since, template) = (false, Duration::ZERO, self.template);
            let pod = PodState {
                host,
                leaving,
                leaving_since,
                kill: false,
                template,
                starts: 0,
                dies_at: None,
                starts_at: 0,
                label: None,
            };
            self.pods.insert(i, pod);
            self.endpoints_changed_at = self.fleet.now;
        }
    }

    // ── operators ──

    pub fn stall(&mut self) {
        if self.stalled.is_some() {
            return;
        }
        let o = self.observe();
        self.operator.memory = self.operator.memory.after(&o);
        let o = Observation { memory: self.operator.memory.clone(), ..o };
        let steps = plan(&o).steps;
        let operator = std::mem::take(&mut self.operator);
        self.stalled = Some(Box::new(Stalled { operator, observation: o, steps }));
        self.refresh_resource();
    }

    pub fn unstall(&mut self) {
        let Some(stalled) = self.stalled.take() else { return };
        let present = std::mem::replace(&mut self.operator, stalled.operator);
        self.late = true;
        self.carry_out(&stalled.observation, &stalled.steps, Chance::new(0));
        self.late = false;
        self.operator = present;
    }
}
