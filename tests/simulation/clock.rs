//! What comes of itself in a fleet: ended connections are noticed, crons run, a stopped process goes on.

use super::{
    fleet::Fleet,
    redis::{Attached, Entry, Link, Redis, Time},
};

impl Fleet {
    /// What each process is told of ended connections, as far as the network and the process let it.
    pub fn settle(&mut self) {
        for m in 0..self.hosts.len() {
            let Some(master) = self.redis(m) else { continue };
            let ends = |a: &Attached| {
                let conn = match self.redis(a.replica).map(Redis::link) {
                    Some(Link::Receiving { conn, .. } | Link::Loading { conn, .. } | Link::Online { conn, .. }) => {
                        Some(*conn)
                    }
                    _ => None,
                };
                conn != Some(a.conn) && self.path(a.replica, m)
            };
            let ended: Vec<_> = master.attached.iter().filter(|a| a.ended || ends(a)).map(|a| a.conn).collect();
            let now = self.now;
            if let Some(master) = self.redis_mut(m).filter(|_| !ended.is_empty()) {
                if master.stopped {
                    master.attached.iter_mut().for_each(|a| a.ended |= ended.contains(&a.conn));
                } else {
                    master.attached.retain(|a| !ended.contains(&a.conn));
                    master.count_good(now);
                }
            }
        }
    }

    /// SIGCONT. What lies in the socket buffers is answered before anything is noticed, and an acknowledgement that is read
    /// late counts from then on; returns those writes that were taken, with their offsets.
    pub fn resume(&mut self, i: usize) -> Vec<(u8, u64)> {
        let now = self.now;
        let Some(redis) = self.redis_mut(i).filter(|r| r.stopped) else { return Vec::new() };
        (redis.stopped, redis.resumed_at) = (false, Some(now));
        let mut taken = Vec::new();
        for write in std::mem::take(&mut redis.queue) {
            if let Ok(offset) = self.write(i, write) {
                taken.push((write, offset));
            }
        }
        if let Some(redis) = self.redis_mut(i) {
            for a in &mut redis.attached {
                if let Some(acked) = a.unread.take() {
                    (a.online, a.acked, a.acked_at) = (true, a.acked.max(acked), now);
                }
            }
        }
        self.settle(); // the others are counted by its cron, up to a second later: it counts loops, not seconds
        taken
    }

    /// Time passes; crons run when they are due.
    pub fn advance(&mut self, ms: Time) {
        let end = self.now + ms;
        loop {
            let due = (0..self.hosts.len()).map(|i| (self.next_cron(i), i)).min();
            let Some((at, i)) = due.filter(|(at, _)| *at <= end) else { break };
            self.now = at;
            self.cron(i);
            self.settle();
        }
        self.now = end;
    }

    fn next_cron(&self, i: usize) -> Time {
        let phase = self.hosts[i].cron;
        let since = (self.now + 1000 - phase) % 1000;
        self.now + 1000 - since
    }

    fn cron(&mut self, i: usize) {
        let now = self.now;
        let Some(redis) = self.redis_mut(i).filter(|r| !r.stopped && !r.loading) else { return };
        redis.count_good(now);
        if redis.is_master() && redis.pings && !redis.attached.is_empty() {
            self.feed(i, Entry::Filler);
        } else if let Some(m) = redis.follows() {
            if redis.is_online() {
                self.acknowledge(i, m);
            } else if redis.link() == &Link::Down {
                self.connect(i, m);
            }
        }
    }
}
