//! Several Redis processes on their hosts, the network between them, and the time.

use super::redis::{Attached, Backlog, Entry, Id, Link, Redis, Refusal, Role, Snapshot, Time, Writes};

/// What a restart finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The last snapshot. A full copy leaves one behind, also without persistence.
    pub rdb: Option<Snapshot>,
    /// The append-only file, up to the last fsync.
    pub aof: Option<Writes>,
}

/// Where a process runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    pub redis: Option<Redis>,
    pub disk: Disk,
    /// Its network is gone with it: no FIN, no RST, nothing that was sent arrives.
    pub dark: bool,
    /// When in each second its cron runs.
    pub cron: Time,
    /// It gets no connection to anybody: a `bind-source-addr` that it does not have.
    pub unbound: bool,
    /// It cannot load what a newer version has written.
    pub old: bool,
}

impl Host {
    pub fn new(number: usize) -> Self {
        let (redis, disk) = (None, Disk::default());
        Self { redis, disk, dark: false, cron: 137 * number as Time % 1000, unbound: false, old: false }
    }
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fleet {
    pub now: Time,
    pub hosts: Vec<Host>,
    /// `(from, to)`: nothing that one sends reaches the other.
    pub cuts: Vec<(usize, usize)>,
    pub backlog_length: usize,
    /// Data is written to an append-only file.
    pub appendonly: bool,
    next: Id,
}

impl Fleet {
    pub fn new(count: usize, backlog_length: usize, appendonly: bool) -> Self {
        let hosts = (0..count).map(Host::new).collect();
        Self { now: 1000, hosts, cuts: Vec::new(), backlog_length, appendonly, next: 0 }
    }

    pub fn fresh(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    pub fn redis(&self, i: usize) -> Option<&Redis> {
        self.hosts[i].redis.as_ref()
    }

    pub fn redis_mut(&mut self, i: usize) -> Option<&mut Redis> {
        self.hosts[i].redis.as_mut()
    }

    /// Does what `from` sends reach `to`?
    pub fn path(&self, from: usize, to: usize) -> bool {
        !self.hosts[from].dark && !self.hosts[to].dark && !self.cuts.contains(&(from, to))
    }

    /// Starts a process with what its disk holds.
    pub fn start(&mut self, i: usize) {
        if self.hosts[i].redis.is_some() {
            return;
        }
        let (run, id) = (self.fresh(), self.fresh());
        let disk = &self.hosts[i].disk;
        let file = match (self.appendonly, disk.aof) {
            (true, Some(data)) => Some(Snapshot { data, lineage: None }),
            (true, None) => None, // a snapshot is not looked at when there should be an append-only file
            (false, _) => disk.rdb.clone(),
        };
        self.hosts[i].redis = Some(Redis::boot(run, id, file.as_ref(), self.now));
        self.hosts[i].dark = false;
        self.settle();
    }

    /// `CLIENT KILL` of a replica's connection. It connects again.
    pub fn disconnect(&mut self, master: usize, replica: usize) {
        if let Some(r) = self.redis_mut(master) {
            r.attached.retain(|a| a.replica != replica);
        }
    }

    /// SIGKILL: the kernel still sends what was written to the sockets, and closes them.
    pub fn kill(&mut self, i: usize) {
        self.hosts[i].redis = None;
        self.settle();
    }

    /// The host, or the pod's network, is gone: nobody is told.
    pub fn darken(&mut self, i: usize) {
        self.hosts[i].redis = None;
        self.hosts[i].dark = true;
        for host in &mut self.hosts {
            if let Some(Role::Replica { of: Some(m), link: Link::Online { pipe, .. }, .. }) =
                host.redis.as_mut().map(|r| &mut r.role)
                && *m == i
            {
                pipe.clear();
            }
        }
    }

    /// A client's write. `Ok` is the offset after it.
    pub fn write(&mut self, i: usize, write: u8) -> Result<u64, Refusal> {
        let now = self.now;
        let Some(redis) = self.hosts[i].redis.as_mut() else { return Err(Refusal::Gone) };
        match redis.refuses(now) {
            Some(refusal) => {
                if refusal == Refusal::Queued {
                    redis.queue.push(write);
                }
                Err(refusal)
            }
            None => Ok(self.take(i, write)),
        }
    }

    fn take(&mut self, i: usize, write: u8) -> u64 {
        if let Some(r) = self.redis_mut(i) {
            r.data |= 1 << write;
        }
        self.fsync(i);
        self.feed(i, Entry::Write(write));
        self.redis(i).map_or(0, |r| r.offset)
    }

    /// The append-only file holds what is in memory.
    pub fn fsync(&mut self, i: usize) {
        let host = &mut self.hosts[i];
        if let Some(redis) = host.redis.as_ref().filter(|r| self.appendonly && !r.is_loading()) {
            host.disk.aof = Some(redis.data);
        }
    }

    /// `SAVE`.
    pub fn save(&mut self, i: usize) {
        let host = &mut self.hosts[i];
        if let Some(redis) = &host.redis {
            host.disk.rdb = Some(redis.snapshot());
        }
    }

    /// Appends to the stream of `i` and sends it to those that are attached.
    pub fn feed(&mut self, i: usize, entry: Entry) {
        let length = self.backlog_length;
        let Some(redis) = self.redis_mut(i) else { return };
        redis.append(entry, length);
        let attached: Vec<_> = redis.attached.iter().map(|a| (a.replica, a.conn)).collect();
        for (replica, to) in attached {
            if let Some(Role::Replica {
                link:
                    Link::Online { conn, pipe } | Link::Receiving { conn, pipe, .. } | Link::Loading { conn, pipe, .. },
                ..
            }) = self.redis_mut(replica).map(|r| &mut r.role)
                && *conn == to
            {
                pipe.push(entry);
            }
        }
    }

    /// `WAIT`: asks for acknowledgements unless there are enough already.
    pub fn ask_acks(&mut self, i: usize, offset: u64, wanted: usize) {
        let Some(redis) = self.redis(i) else { return };
        if redis.is_master() && !redis.stopped && redis.acknowledged_by(offset) < wanted && !redis.attached.is_empty() {
            self.feed(i, Entry::GetAck);
        }
    }

    /// `REPLICAOF NO ONE`; returns whether it was carried out.
    pub fn promote(&mut self, i: usize) -> bool {
        let fresh = self.fresh();
        let Some(redis) = self.redis_mut(i).filter(|r| !r.stopped && !r.is_loading()) else { return false };
        redis.promote(fresh);
        self.settle();
        true
    }

    /// `REPLICAOF`; returns whether it was carried out.
    pub fn follow(&mut self, i: usize, master: Option<usize>) -> bool {
        let now = self.now;
        let Some(redis) = self.redis_mut(i).filter(|r| !r.stopped && !r.is_loading()) else { return false };
        redis.follow(master, now);
        self.settle();
        true
    }

    /// The replica reads what has arrived, at most `count` entries, or takes the next step of its synchronisation.
    pub fn receive(&mut self, i: usize, count: usize) {
        let Some(redis) = self.hosts[i].redis.as_mut().filter(|r| !r.stopped) else { return };
        if redis.loading {
            redis.loading = false;
            return;
        }
        let Some(m) = redis.follows() else { return };
        let conn = match redis.link() {
            Link::Down => return self.connect(i, m),
            Link::Receiving { conn, .. } | Link::Loading { conn, .. } | Link::Online { conn, .. } => *conn,
        };
        let arrives = self.path(m, i);
        let ended = self.redis(m).is_none_or(|r| r.attached.iter().all(|a| a.conn != conn));
        match self.redis(i).map(Redis::link) {
            Some(Link::Receiving { .. }) if arrives && ended => self.hang_up(i, false),
            Some(Link::Receiving { .. }) if arrives => self.begin_loading(i),
            Some(Link::Loading { .. }) if self.hosts[i].old && !self.hosts[m].old => self.hang_up(i, false), // and is empty
            Some(Link::Loading { .. }) => self.finish_loading(i, m),
            Some(Link::Online { .. }) if arrives => {
                for _ in 0..count {
                    let Some(Role::Replica { link: Link::Online { pipe, .. }, .. }) =
                        self.redis_mut(i).map(|r| &mut r.role)
                    else {
                        return;
                    };
                    if pipe.is_empty() {
                        if ended {
                            self.hang_up(i, true);
                        }
                        return;
                    }
                    let entry = pipe.remove(0);
                    self.apply(i, m, entry);
                }
            }
            _ => {}
        }
    }

    fn apply(&mut self, i: usize, m: usize, entry: Entry) {
        let now = self.now;
        if let Some(r) = self.redis_mut(i) {
            r.heard_at = now;
            if let Entry::Write(write) = entry {
                r.data |= 1 << write;
            }
        }
        self.fsync(i);
        self.feed(i, entry); // to its backlog, and to its own replicas
        if entry == Entry::GetAck {
            self.acknowledge(i, m);
        }
    }

    fn hang_up(&mut self, i: usize, cached: bool) {
        if let Some(Role::Replica { link, cached: c, .. }) = self.redis_mut(i).map(|r| &mut r.role) {
            (*link, *c) = (Link::Down, cached);
        }
    }

    /// PSYNC.
    pub fn connect(&mut self, i: usize, m: usize) {
        let now = self.now;
        let serves = self.redis(m).is_some_and(|r| r.serves_replicas() && !r.stopped);
        if i == m || !serves || self.hosts[i].unbound || !self.path(i, m) || !self.path(m, i) {
            return;
        }
        let (conn, new_id) = (self.fresh(), self.fresh());
        let claim = self.redis(i).and_then(Redis::claim);
        let Some(master) = self.redis_mut(m) else { return };
        master.attached.retain(|a| a.replica != i);
        let missing = claim.and_then(|(id, have)| master.continuation(id, have));
        if missing.is_none() && master.backlog.is_none() {
            // the first listener: what was written before has no name
            (master.id, master.id2) = (new_id, None);
            master.backlog = Some(Backlog { start: master.offset + 1, entries: Vec::new() });
        }
        let online = missing.is_some();
        master.attached.push(Attached {
            replica: i,
            conn,
            online,
            acked: 0,
            acked_at: now,
            unread: None,
            ended: false,
        });
        let master_id = master.id;
        let link = if let Some(pipe) = missing {
            master.partial_syncs += 1;
            Link::Online { conn, pipe }
        } else {
            master.full_syncs += 1;
            let copy = Snapshot { data: master.data, lineage: Some((master.id, master.offset)) };
            Link::Receiving { conn, copy, pipe: Vec::new() }
        };
        master.count_good(now);
        let Some(redis) = self.redis_mut(i) else { return };
        if online && redis.id != master_id {
            redis.id2 = Some((redis.id, redis.offset));
            redis.id = master_id;
            redis.attached.clear(); // they have to learn the new id
        }
        if online && redis.backlog.is_none() {
            redis.backlog = Some(Backlog { start: redis.offset + 1, entries: Vec::new() });
        }
        redis.heard_at = now;
        redis.role = Role::Replica { of: Some(m), cached: online, link };
    }

    /// The copy has arrived in a file; the old data is emptied.
    fn begin_loading(&mut self, i: usize) {
        let now = self.now;
        let host = &mut self.hosts[i];
        let Some(redis) = &mut host.redis else { return };
        let Role::Replica { link, .. } = &mut redis.role else { return };
        if let Link::Receiving { conn, copy, pipe } = link {
            host.disk.rdb = Some(copy.clone());
            *link = Link::Loading { conn: *conn, copy: copy.clone(), pipe: std::mem::take(pipe) };
            redis.data = 0;
            redis.heard_at = now;
            redis.attached.clear();
            redis.backlog = None;
        }
    }

    fn finish_loading(&mut self, i: usize, m: usize) {
        let now = self.now;
        let Some(redis) = self.redis_mut(i) else { return };
        let Role::Replica { link, cached, .. } = &mut redis.role else { return };
        let Link::Loading { conn, copy, pipe } = link else { return };
        let (id, offset) = copy.lineage.unwrap_or((redis.id, redis.offset));
        redis.data = copy.data;
        *link = Link::Online { conn: *conn, pipe: std::mem::take(pipe) };
        *cached = true;
        (redis.id, redis.id2, redis.offset) = (id, None, offset);
        redis.backlog = Some(Backlog { start: offset + 1, entries: Vec::new() });
        redis.heard_at = now;
        self.fsync(i);
        self.acknowledge(i, m);
    }

    /// The replica tells how far it is.
    pub fn acknowledge(&mut self, i: usize, m: usize) {
        let Some(Link::Online { conn, .. }) = self.redis(i).map(Redis::link) else { return };
        let (conn, offset, now) = (*conn, self.redis(i).map_or(0, |r| r.offset), self.now);
        if !self.path(i, m) {
            return;
        }
        let Some(master) = self.redis_mut(m) else { return };
        let stopped = master.stopped;
        let Some(a) = master.attached.iter_mut().find(|a| a.conn == conn) else { return };
        if stopped {
            a.unread = Some(offset);
            return;
        }
        let first = !a.online;
        (a.online, a.acked, a.acked_at) = (true, a.acked.max(offset), now);
        if first {
            master.count_good(now);
        }
    }
}
