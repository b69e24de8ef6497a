//! What must always hold, one function for each. `docs/simulation.md` says which hold under which policy.

use std::collections::BTreeMap;

use redis_replication_operator::{
    api::{FailoverPolicy, TransitionKind},
    redis::{FollowState, Info},
    replication::{Liveness, Observation, Record, liveness, serving_master},
};

use super::{
    redis::{Id, Redis, Time, Writes},
    world::{MAX_LAG, PodState, Template, Waiting, World, index, name},
};

/// For how long a resumed process may count replicas that it has lost: an acknowledgement that lay in its socket buffer is good
/// for the lag, in whole seconds, and its cron looks once a second. `fence.rs` measures it.
const BELIEVES_FOR: Time = (MAX_LAG + 2) * 1000;

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub words: String,
}

/// What has been decided and promised so far.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Who was recorded as the target of each epoch.
    pub authorized_master: BTreeMap<i64, String>,
    /// Which process was promoted in each epoch.
    pub promoted: BTreeMap<i64, (usize, Id)>,
    /// The process that was promoted last.
    pub last: Option<(usize, Id)>,
    /// Writes that enough replicas confirmed.
    pub confirmed: Writes,
    /// A person took the decision; what is lost then is on their head.
    pub forced: bool,
    /// One has decided at some time.
    pub decided: bool,
    /// The hosts of members that did not answer when the present failover was decided, or one that it goes on with.
    pub unheard: Vec<usize>,
    /// Those that a failover found alive, with all that could be known of them.
    pub survivors: Vec<(usize, Id)>,
    /// Those that were told to follow, and had answered last that they have no data.
    pub unseen: Vec<(usize, Id)>,
    pub full_syncs: u32,
    pub failovers: u32,
    pub switchovers: u32,
    /// Writes that a process acknowledged soon after it was resumed, though it was no longer master.
    pub belated: u32,
}

impl World {
    pub fn violated(&mut self, invariant: &'static str, words: String) {
        self.broken.get_or_insert(Violation { invariant, words });
    }

    fn consistent(&self) -> bool {
        self.settings.policy == FailoverPolicy::Consistency
    }

    /// The member that may accept writes, by the record.
    fn authorized_master(&self, member: &str) -> bool {
        let t = self.record.transition.as_ref();
        t.is_some_and(|t| t.to == member) || self.record.master.as_deref() == Some(member)
    }

    /// **I1**, both policies: epochs only grow, one by one, and a target never changes within one.
    pub fn check_record(&mut self, next: &Record) {
        let before = self.record.epoch;
        if next.epoch != before && next.epoch != before + 1 {
            self.violated("I1", format!("epoch {before} is followed by {}", next.epoch));
        }
        if let Some(t) = &next.transition {
            let first = self.facts.authorized_master.entry(t.epoch).or_insert_with(|| t.to.clone()).clone();
            if first != t.to {
                self.violated("I1", format!("epoch {} was {first}'s and becomes {}'s", t.epoch, t.to));
            }
        }
    }

    /// **I16**, both policies: no failover begins while a replica that the operator reaches follows a master that accepts writes.
    fn check_needless(&mut self, o: &Observation, kind: TransitionKind) {
        let Some(run) = o.record.authorized_master().and_then(|n| o.recorded_run_id(n)) else { return };
        let serves = |r: &Redis| r.run.to_string() == run && !r.stopped && r.refuses(self.fleet.now).is_none();
        let master = (1..self.fleet.hosts.len()).find(|host| self.fleet.redis(*host).is_some_and(serves));
        let Some(master) = master.filter(|_| kind == TransitionKind::Failover && !self.facts.forced) else { return };
        let follows = |n: &str| {
            let host = self.operator.links.get(&index(n)).map(|l| l.host)?;
            let attached = self.fleet.redis(master)?.attached.iter().any(|a| a.replica == host && a.online);
            let linked = self.fleet.path(host, master) && self.fleet.path(master, host);
            (attached && linked && self.fleet.redis(host)?.is_online()).then_some(host)
        };
        let mut alive = o.members.iter().filter(|(_, m)| matches!(liveness(o, m), Liveness::Alive(_)));
        if let Some(host) = alive.find_map(|(n, _)| follows(n)) {
            self.violated(
                "I16",
                format!("a failover begins, and host {host} follows host {master}, which accepts writes"),
            );
        }
    }

    /// **I5**, both policies: of those that answered and have lost nothing, the one with the most is chosen. Where the chosen one
    /// continues another's history, what that one has beyond the fork does not count: its master had been replaced. **I13**: never
    /// an empty one while another has data, unless it is known to have lost nothing.
    pub fn check_begin(&mut self, o: &Observation, kind: TransitionKind, to: &str) {
        match kind {
            TransitionKind::Switchover => self.facts.switchovers += 1,
            _ => self.facts.failovers += 1,
        }
        self.check_needless(o, kind);
        self.facts.survivors.clear();
        let unheard = o.members.iter().filter(|(_, m)| !matches!(liveness(o, m), Liveness::Alive(_)));
        let unheard: Vec<_> = unheard.filter_map(|(n, _)| self.host(index(n))).collect();
        if o.record.transition.is_none() {
            self.facts.unheard.clear(); // else the master before is still the one that was fenced
        }
        self.facts.unheard.extend(unheard);
        if kind == TransitionKind::Switchover || self.facts.forced {
            return;
        }
        let (Some(id), Some(chosen)) =
            (o.record.replication_id.clone(), o.members.get(to).and_then(|m| m.server.info.as_ref()))
        else {
            return;
        };
        let chosen = &chosen.1;
        let survivors = o.members.iter().filter_map(|(n, m)| match liveness(o, m) {
            Liveness::Alive(i) => {
                let whole = !i.loading && !i.replica().is_some_and(|r| matches!(r.follow, FollowState::Syncing(_)));
                (whole && o.is_recorded_process(n, i) && i.descends_from(&id)).then_some((n, i))
            }
            _ => None,
        });
        let survivors: Vec<_> = survivors.collect();
        let alone = o.record.min_replicas == 0; // nobody was known to follow closely: the last master's own data may be more
        for (n, i) in &survivors {
            let forked =
                o.record.transition.is_some() && chosen.previous_replication_id.as_ref() == Some(&i.replication_id);
            let offset = if forked { i.offset.min(chosen.previous_offset) } else { i.offset };
            if !alone && (!chosen.descends_from(&id) || offset > chosen.offset) {
                let words = format!("{to} at {} was chosen, and {n} is at {offset}", chosen.offset);
                return self.violated("I5", words);
            }
        }
        let data = o.members.values().any(|m| matches!(liveness(o, m), Liveness::Alive(i) if i.keys > 0 && !i.loading));
        // it may not have followed the recorded master yet: then it lacks what that one continued, and lost nothing
        let before = o.record.previous_replication_id.as_deref() == Some(chosen.replication_id.as_str());
        let whole = survivors.iter().any(|(n, _)| *n == to) || (before && o.is_recorded_process(to, chosen));
        if chosen.keys == 0 && data && !whole {
            return self.violated("I13", format!("{to} is empty and was chosen, and another has data"));
        }
        let fresh = |n: &str| {
            o.members[n].server.info.as_ref().is_some_and(|(at, i)| {
                i.replica().is_none_or(|r| r.follow == FollowState::Connecting)
                    && *at >= o.memory.masterless_since.unwrap_or(o.now)
            })
        };
        self.facts.survivors = survivors
            .iter()
            .filter(|(n, _)| fresh(n))
            .filter_map(|(n, i)| {
                let host = self.operator.links.get(&index(n))?.host;
                Some((host, i.run_id.parse().ok()?))
            })
            .collect();
    }

    /// Does a replica follow it that the operator does not reach or did not when it decided, or whose pod is gone, so that
    /// nobody could make it leave?
    fn has_company_out_of_reach(&self, master: usize) -> bool {
        let follows = |h: usize| self.fleet.redis(h).is_some_and(|r| r.follows() == Some(master));
        let reached = |h: usize| {
            self.kubelet_reaches(h) && self.pods.values().any(|p| p.host == h) && !self.facts.unheard.contains(&h)
        };
        (1..self.fleet.hosts.len()).any(|h| follows(h) && !reached(h))
    }

    /// **I1** (one process for each epoch), **I2** (only what the record grants), **I3** (the former master takes no more
    /// writes; under Availability, unless a replica is out of reach together with it), both policies; **I4** (every confirmed
    /// write is in its data), under Consistency.
    pub fn check_promotion(&mut self, host: usize, epoch: i64) {
        let Some(r) = self.fleet.redis(host) else { return };
        let (run, data) = (r.run, r.data);
        let member = self.pods.iter().find(|(_, p)| p.host == host).map(|(i, _)| name(*i));
        let authorized_master = self.facts.authorized_master.get(&epoch).cloned();
        if member.is_some() && authorized_master != member {
            self.violated("I2", format!("{member:?} is promoted in epoch {epoch}, which is {authorized_master:?}'s"));
        }
        let before = *self.facts.promoted.entry(epoch).or_insert((host, run));
        if before.0 != host {
            self.violated("I1", format!("hosts {} and {host} are promoted in epoch {epoch}", before.0));
        }
        if epoch < self.record.epoch {
            return; // it was long under way, and makes no master for anybody; whether it can do harm shows elsewhere
        }
        for other in 1..self.fleet.hosts.len() {
            if other == host || self.facts.forced {
                continue;
            }
            if let Some(old) = self.fleet.redis(other)
                && old.refuses(self.fleet.now).is_none()
                && (self.consistent() || !self.has_company_out_of_reach(other))
                && !self.is_belated(other)
            {
                let words = format!("host {host} is promoted in epoch {epoch}, and host {other} still takes writes");
                self.violated("I3", words);
            }
        }
        let lost = self.facts.confirmed & !data;
        if self.consistent() && !self.facts.forced && lost != 0 {
            self.violated("I4", format!("host {host} is promoted in epoch {epoch} without {}", list(lost)));
        }
        if self.facts.forced {
            self.facts.confirmed &= data;
            self.facts.forced = false;
        }
        self.facts.last = Some((host, run));
    }

    /// **I4**, under Consistency: a write that enough replicas confirmed is in the data of every later master.
    pub fn confirmed(&mut self, w: Waiting, count: usize) {
        if count < self.record.wait_replicas.max(1) {
            return; // less than what is promised
        }
        self.facts.confirmed |= 1 << w.write;
        let Some((host, run)) = self.facts.last.filter(|(h, _)| *h != w.host) else { return };
        let later = self.fleet.redis(host).filter(|r| r.run == run);
        if self.consistent() && later.is_some_and(|r| r.is_master() && r.data & (1 << w.write) == 0) {
            let words = format!("host {} confirms {}, and host {host} has been promoted without it", w.host, w.write);
            self.violated("I4", words);
        }
    }

    /// The replicas of a master that would acknowledge: their end of the connection is still there.
    fn live_replicas(&self, master: usize) -> usize {
        let Some(r) = self.fleet.redis(master) else { return 0 };
        let live = r.attached.iter().filter(|a| {
            let other = self.fleet.redis(a.replica);
            other.is_some_and(|o| o.is_online() && o.follows() == Some(master)) && self.fleet.path(a.replica, master)
        });
        live.count()
    }

    /// The known exception: it was stopped, goes on, and counts on what its replicas had said before.
    fn is_belated(&self, host: usize) -> bool {
        let resumed = self.fleet.redis(host).and_then(|r| r.resumed_at);
        resumed.is_some_and(|at| self.fleet.now < at + BELIEVES_FOR) && self.live_replicas(host) == 0
    }

    /// **I6**, under Consistency: a process that is not the recorded master has fewer than k replicas to confirm a write.
    pub fn check_write(&mut self, host: usize, write: u8) {
        let Some(r) = self.fleet.redis(host) else { return };
        let latest = self.facts.last.is_none_or(|last| last == (host, r.run));
        if latest {
            return;
        }
        self.facts.belated += u32::from(self.is_belated(host));
        let (live, k) = (self.live_replicas(host), self.record.wait_replicas.max(1));
        if self.consistent() && live >= k {
            self.violated("I6", format!("host {host} is no master any more, takes {write}, and has {live} replicas"));
        }
    }

    /// **I14**, both policies: without a master that serves no pod is replaced whose process the record knows, for it may be the
    /// last that has everything. **I15**: while a pod of the present template is not well, no other is replaced that is.
    pub fn check_restart(&mut self, o: &Observation, member: &str, late: bool) {
        let Some((host, r)) = self.host(index(member)).and_then(|h| Some((h, self.fleet.redis(h)?))) else { return };
        let known = o.recorded_run_id(member) == Some(r.run.to_string().as_str());
        let serves = !r.stopped && (r.is_master() || r.is_online());
        if late {
            return;
        }
        if known && serving_master(o).is_none() {
            self.violated("I14", format!("host {host} is replaced without a master, and has lost nothing"));
        }
        let broken = |p: &PodState| p.template.0 == self.template.0 && p.template.1 != Template::Sound;
        let wanted = self.pods.iter().filter(|(i, _)| **i < self.settings.replicas).map(|(_, p)| p);
        if serves && wanted.into_iter().any(|p| broken(p) && !p.leaving && self.is_unwell(p.host)) {
            self.violated("I15", format!("host {host} is replaced by a pod of a template that does not work"));
        }
    }

    fn is_unwell(&self, host: usize) -> bool {
        self.fleet.redis(host).is_none_or(|r| !r.is_master() && !r.is_online())
    }

    /// **I7**, both policies: the master Service names the recorded master, or the recorded target. A write to the Service that
    /// comes late is not held up by anything; it lasts until the present operator looks again.
    pub fn check_route(&mut self, to: &str, late: bool) {
        if !late && !self.authorized_master(to) {
            self.violated("I7", format!("the Service names {to}, whom nobody recorded"));
        }
    }

    /// **I8**, both policies: a member is made to follow the recorded master or target only. **I11**: and only a recorded
    /// member.
    pub fn check_follow(&mut self, member: &str, master: &str, seen: Option<&Info>, late: bool) {
        let host = self.host(super::world::index(member));
        if let Some((host, r)) = host.and_then(|h| Some((h, self.fleet.redis(h)?)))
            && seen.is_none_or(|i| i.keys == 0)
        {
            self.facts.unseen.push((host, r.run));
        }
        if late {
            return;
        }
        if !self.authorized_master(master) {
            self.violated("I8", format!("{member} is to follow {master}, whom nobody recorded"));
        }
        if !self.record.members.contains_key(member) {
            self.violated("I11", format!("{member} is to follow, and is not recorded as a member"));
        }
    }

    /// **I10**, both policies: a survivor of a failover, and the former master after a switchover, continue without a full
    /// copy. **I13**: a member with data never follows an empty one, as far as its last answer told.
    pub fn check_full_sync(&mut self, host: usize, data: Writes, claim: Option<(Id, u64)>) {
        self.facts.full_syncs += 1;
        let Some(r) = self.fleet.redis(host) else { return };
        let run = r.run;
        let Some(m) = r.follows().and_then(|m| self.fleet.redis(m)) else { return };
        let id2 = m.id2;
        let seen = !self.facts.unseen.contains(&(host, run));
        if m.data == 0 && data != 0 && seen && self.pods.values().any(|p| p.host == host) {
            return self.violated("I13", format!("host {host} has data and copies an empty one"));
        }
        let ahead = claim.is_some_and(|(mine, have)| id2.is_some_and(|(id2, valid)| mine == id2 && have > valid));
        if ahead && self.facts.survivors.contains(&(host, run)) {
            self.violated("I10", format!("host {host} survived and is ahead of the new master: {claim:?}, {id2:?}"));
        }
    }

    /// **I12**, both policies: when all is well again there is one master, the recorded one, which all others follow, the
    /// Service names it, and nothing is left to do.
    pub fn check_calm(&mut self) {
        let hosts = || self.pods.values().map(|p| p.host);
        let masters: Vec<_> = (1..self.fleet.hosts.len())
            .filter(|h| self.fleet.redis(*h).is_some_and(super::redis::Redis::is_master))
            .collect();
        let recorded = self.record.master.as_ref().and_then(|m| self.host(index(m)));
        let waits: Vec<_> = self.waits.iter().map(|w| w.text.as_str()).collect();
        let trouble = if recorded.is_none() || masters != Vec::from_iter(recorded) {
            Some(format!("masters {masters:?}, recorded {recorded:?}; waits: {waits:?}"))
        } else if let Some(h) = hosts().find(|h| {
            Some(*h) != recorded && !self.fleet.redis(*h).is_some_and(|r| r.is_online() && r.follows() == recorded)
        }) {
            Some(format!("host {h} does not follow; waits: {waits:?}"))
        } else if self.route.map(name) != self.record.master {
            Some(format!("the Service names {:?}", self.route))
        } else if self.record.transition.is_some() {
            Some(format!("a transition is left; waits: {waits:?}"))
        } else {
            None
        };
        if let Some(words) = trouble {
            return self.violated("I12", words);
        }
        let lost = recorded.and_then(|h| self.fleet.redis(h)).map_or(0, |r| self.facts.confirmed & !r.data);
        if self.consistent() && !self.facts.forced && lost != 0 {
            self.violated("I4", format!("in the end the master lacks {}", list(lost)));
        }
    }
}

pub fn list(writes: Writes) -> String {
    let all: Vec<_> = (0..128).filter(|w| writes & (1 << w) != 0).map(|w: u32| w.to_string()).collect();
    format!("confirmed writes {}", all.join(", "))
}
