//! One Redis process, as replication.c has it: histories with ids and offsets, a bounded backlog, the cached master of a
//! replica that lost its link, and what is left after a restart. An offset counts entries, not bytes.

/// Run ids, replication ids, connections: a number that never comes again.
pub type Id = u32;
/// Milliseconds since the world began.
pub type Time = u64;
/// A data set: which writes it contains, one bit each.
pub type Writes = u128;

/// One entry of the replication stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A client's write.
    Write(u8),
    /// A PING, or something else that carries no data.
    Filler,
    /// `REPLCONF GETACK *`: the replica acknowledges at once.
    GetAck,
}

/// The last part of the stream, for replicas that were away for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backlog {
    /// Offset of its first entry.
    pub start: u64,
    pub entries: Vec<Entry>,
}

/// A data file, or a copy on its way to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    pub data: Writes,
    /// Replication id and offset of then; `None` when the server had no history to name.
    pub lineage: Option<(Id, u64)>,
}

/// How a replica hears its master. `conn` names the connection; `pipe` is what was sent and not read yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    Down,
    /// A full copy arrives: the old data is still there, the claim to continue is gone.
    Receiving {
        conn: Id,
        copy: Snapshot,
        pipe: Vec<Entry>,
    },
    /// The old data is gone, and the copy is not loaded yet.
    Loading {
        conn: Id,
        copy: Snapshot,
        pipe: Vec<Entry>,
    },
    Online {
        conn: Id,
        pipe: Vec<Entry>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Master,
    Replica {
        /// `None` is the loopback port on which nothing listens.
        of: Option<usize>,
        /// It may ask to continue its history at its offset (`cached_master`).
        cached: bool,
        link: Link,
    },
}

/// A replica, as the server that it follows sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attached {
    pub replica: usize,
    pub conn: Id,
    pub online: bool,
    pub acked: u64,
    pub acked_at: Time,
    /// An acknowledgement that lies in the socket buffer of a stopped process.
    pub unread: Option<u64>,
    /// So does the end of the connection.
    pub ended: bool,
}

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub struct Redis {
    pub run: Id,
    pub id: Id,
    /// The history that it continues, and the last offset that belongs to both.
    pub id2: Option<(Id, u64)>,
    pub offset: u64,
    pub data: Writes,
    pub backlog: Option<Backlog>,
    pub role: Role,
    pub attached: Vec<Attached>,
    /// Replicas that counted as good when it last looked.
    pub good: usize,
    /// `min-replicas-to-write`; zero is off.
    pub min_replicas: usize,
    /// `min-replicas-max-lag`, seconds.
    pub max_lag: u64,
    /// The end of `CLIENT PAUSE … WRITE`.
    pub held_until: Option<Time>,
    /// `repl-ping-replica-period` is short.
    pub pings: bool,
    /// SIGSTOP.
    pub stopped: bool,
    /// When it last went on after that.
    pub resumed_at: Option<Time>,
    /// Writes in the socket buffers of a stopped process.
    pub queue: Vec<u8>,
    /// It is reading its data file.
    pub loading: bool,
    pub full_syncs: u64,
    pub partial_syncs: u64,
    /// When it last heard its master.
    pub heard_at: Time,
}

/// Why a write was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    ReadOnly,
    NoReplicas,
    Loading,
    /// `CLIENT PAUSE`: it waits.
    Held,
    /// The process is stopped: it lies in the socket buffer.
    Queued,
    /// Nobody listens.
    Gone,
}

impl Redis {
    /// The boot rule: a replica of nobody. `file` is what it finds on its disk; an append-only file has no lineage.
    pub fn boot(run: Id, id: Id, file: Option<&Snapshot>, now: Time) -> Self {
        let lineage = file.and_then(|f| f.lineage);
        let (id, offset) = lineage.unwrap_or((id, 0));
        Self {
            run,
            id,
            id2: None,
            offset,
            data: file.map_or(0, |f| f.data),
            backlog: None, // not even when the file tells a history to continue
            role: Role::Replica { of: None, cached: lineage.is_some(), link: Link::Down },
            attached: Vec::new(),
            good: 0,
            min_replicas: 0,
            max_lag: 10,
            held_until: None,
            pings: true,
            stopped: false,
            resumed_at: None,
            queue: Vec::new(),
            loading: false,
            full_syncs: 0,
            partial_syncs: 0,
            heard_at: now,
        }
    }

    pub fn is_master(&self) -> bool {
        self.role == Role::Master
    }

    /// Whom it follows.
    pub fn follows(&self) -> Option<usize> {
        match self.role {
            Role::Replica { of, .. } => of,
            Role::Master => None,
        }
    }

    pub fn link(&self) -> &Link {
        match &self.role {
            Role::Replica { link, .. } => link,
            Role::Master => &Link::Down,
        }
    }

    pub fn is_online(&self) -> bool {
        matches!(self.link(), Link::Online { .. })
    }

    pub fn is_syncing(&self) -> bool {
        matches!(self.link(), Link::Receiving { .. } | Link::Loading { .. })
    }

    /// Its data set is not what it says: a copy is replacing it.
    pub fn is_loading(&self) -> bool {
        self.loading || matches!(self.link(), Link::Loading { .. })
    }

    /// A replica serves others only while its own link is up; else they are told `-NOMASTERLINK`.
    pub fn serves_replicas(&self) -> bool {
        !self.is_loading() && (self.is_master() || self.is_online())
    }

    /// `REPLICAOF NO ONE`: the history goes on under another name. The names of a history are told by `fresh`.
    pub fn promote(&mut self, fresh: Id) {
        if self.is_master() {
            return;
        }
        self.id2 = Some((self.id, self.offset));
        self.id = fresh;
        self.role = Role::Master;
        self.attached.clear(); // they have to learn the new id
        self.good = 0;
    }

    /// `REPLICAOF`. A master becomes its own cached master; its replicas are not sent away.
    pub fn follow(&mut self, master: Option<usize>, now: Time) {
        let cached = match &self.role {
            Role::Replica { of, .. } if *of == master => return, // "already connected to specified master"
            Role::Replica { cached, .. } => *cached,
            Role::Master => true,
        };
        self.role = Role::Replica { of: master, cached, link: Link::Down };
        self.heard_at = now;
    }

    /// What PSYNC asks for: a history and the offset up to which it is known. `None` asks for a full copy.
    pub fn claim(&self) -> Option<(Id, u64)> {
        matches!(self.role, Role::Replica { cached: true, .. }).then_some((self.id, self.offset))
    }

    /// What a replica lacks that has `id` up to `have`; `None` if it needs a full copy.
    pub fn continuation(&self, id: Id, have: u64) -> Option<Vec<Entry>> {
        let same = id == self.id || self.id2.is_some_and(|(id2, valid)| id == id2 && have <= valid);
        let backlog = self.backlog.as_ref().filter(|_| same)?;
        let skip = (have + 1).checked_sub(backlog.start)?;
        backlog.entries.get(usize::try_from(skip).ok()?..).map(<[Entry]>::to_vec)
    }

    /// What a data file or a copy made now would contain.
    pub fn snapshot(&self) -> Snapshot {
        let knows = match &self.role {
            Role::Master => self.backlog.is_some(),
            Role::Replica { cached, .. } => *cached || self.is_online(),
        };
        Snapshot { data: self.data, lineage: knows.then_some((self.id, self.offset)) }
    }

    /// One entry more of its history. Without a backlog nobody has ever listened, and nothing is counted.
    pub fn append(&mut self, entry: Entry, backlog_length: usize) {
        let Some(backlog) = &mut self.backlog else { return };
        self.offset += 1;
        backlog.entries.push(entry);
        if backlog.entries.len() > backlog_length {
            let extra = backlog.entries.len() - backlog_length;
            backlog.entries.drain(..extra);
            backlog.start += extra as u64;
        }
    }

    /// Would it take a client's write?
    pub fn refuses(&self, now: Time) -> Option<Refusal> {
        if self.stopped {
            Some(Refusal::Queued)
        } else if self.is_loading() {
            Some(Refusal::Loading)
        } else if self.held_until.is_some_and(|until| now < until) {
            Some(Refusal::Held)
        } else if !self.is_master() {
            Some(Refusal::ReadOnly)
        } else if self.good < self.min_replicas {
            Some(Refusal::NoReplicas)
        } else {
            None
        }
    }

    /// Counts the good replicas anew: whole seconds since the last acknowledgement, as `refreshGoodSlavesCount` does.
    pub fn count_good(&mut self, now: Time) {
        let lag = |a: &Attached| (now / 1000).saturating_sub(a.acked_at / 1000);
        self.good = self.attached.iter().filter(|a| a.online && lag(a) <= self.max_lag).count();
    }

    /// How many replicas have acknowledged the offset: what WAIT returns.
    pub fn acknowledged_by(&self, offset: u64) -> usize {
        self.attached.iter().filter(|a| a.online && a.acked >= offset).count()
    }
}
