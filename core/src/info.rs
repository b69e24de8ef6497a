//! What a Redis server says of itself in `INFO` and `ROLE`, as plain data.
//!
//! Answers come from processes that we do not trust to be well-behaved: parsing never panics, and a field that is
//! missing or malformed is an error that names it.

use formats::info::{Replica, is_numbered, part};

/// What a replica of nobody follows: a loopback port on which nothing listens.
pub const NOBODY: (&str, u16) = ("127.0.0.1", 1);

/// The port on which every member listens.
pub const REDIS_PORT: u16 = 6379;

/// The longest id of a process or a history, in characters. They have 40.
const LONGEST_ID: usize = 64;
/// The longest address, in bytes: a replica may announce a host name.
const LONGEST_ADDRESS: usize = 253;
/// The most lines of a section. An honest one has some dozen, and one for each database that has keys.
const MOST_LINES: usize = 20_000;
/// The most replicas of a master that are looked at; nine of them are members.
const MOST_SLAVES: usize = 256;

/// The facts of one observation of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The process: another value means that it restarted (`run_id`).
    pub run_id: String,
    /// `redis_version`, for people. Valkey reports the Redis version that it is compatible with.
    pub version: String,
    /// What it is, and its version: `Redis 8.0.2`, `Valkey 8.1.1`.
    pub product: String,
    /// Present history (`master_replid`).
    pub replication_id: String,
    /// The history that this one continues (`master_replid2`); `None` when it continues none.
    pub previous_replication_id: Option<String>,
    /// The offset up to which it has the data of that history (`second_repl_offset` - 1); 0 when it continues none.
    pub previous_offset: u64,
    /// How much of the history it has, in bytes (`master_repl_offset`; on a replica that follows or has followed a
    /// master, `slave_repl_offset` is the same figure).
    pub offset: u64,
    /// It is loading its data file, and answers few commands.
    pub loading: bool,
    /// While loading: how much is done, in percent.
    pub loading_percent: Option<u8>,
    /// While it writes a snapshot, to its disk or to a replica: how much is done, in percent of its keys.
    pub snapshot_percent: Option<u8>,
    /// Keys in all databases.
    pub keys: u64,
    /// Full syncs that it has served since it started (`sync_full`).
    pub full_syncs: u64,
    /// Connections that it has closed because their output buffer was full; since Redis 7.0
    /// (`client_output_buffer_limit_disconnections`).
    pub buffer_drops: u64,
    /// What it writes to its disk.
    pub files: Files,
    /// The memory that it uses and may use.
    pub memory: MemoryUse,
    /// With fewer replicas than this that acknowledge in time it refuses writes, as a master (`min-replicas-to-write`).
    pub min_replicas: usize,
    /// Which side of replication it is on.
    pub role: Role,
}

/// What a server writes to its disk.
#[allow(clippy::struct_excessive_bools)] // as many things that Redis says yes or no to
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// It writes an append-only file, or prepares to (`aof_enabled`).
    pub append_only: bool,
    /// It writes its data into an append-only file, or is about to (`aof_rewrite_in_progress`, `aof_rewrite_scheduled`).
    pub rewriting: bool,
    /// The last time that failed (`aof_last_bgrewrite_status`).
    pub rewrite_failed: bool,
    /// It writes a snapshot (`rdb_bgsave_in_progress`).
    pub saving: bool,
    /// When its newest complete snapshot was written, or it started; Unix time in seconds (`rdb_last_save_time`).
    pub saved: u64,
    /// The last snapshot failed (`rdb_last_bgsave_status`).
    pub save_failed: bool,
    /// When snapshots are written (`CONFIG GET save`); `None` where it was not said.
    pub schedule: Option<String>,
}

impl Files {
    /// Does the append-only file have everything? After `CONFIG SET appendonly yes` it has nothing until it is rewritten.
    pub fn log_is_complete(&self) -> bool {
        self.append_only && !self.rewriting && !self.rewrite_failed
    }
}

/// The memory of a server, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// `used_memory`; `None` where it was not said.
    pub used: Option<u64>,
    /// `maxmemory`; `None` when there is no limit.
    pub limit: Option<u64>,
}

/// Which side of replication a server is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It accepts writes.
    Master(MasterSide),
    /// It follows, or tries to follow, another.
    Replica(ReplicaSide),
}

/// What a master says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MasterSide {
    /// The replicas that are connected to it, by address.
    pub slaves: Vec<SlaveState>,
}

/// How a master sees one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlaveState {
    /// The address that the replica announced.
    pub ip: String,
    /// `wait_bgsave`, `send_bulk` or `online`.
    pub state: String,
    /// What the replica has acknowledged, in bytes.
    pub offset: u64,
    /// How long ago that was, in seconds.
    pub lag: u64,
}

/// What a replica says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSide {
    /// Whom it follows.
    pub master_host: String,
    /// On which port.
    pub master_port: u16,
    /// Where it is on the way, as `ROLE` and `INFO` tell.
    pub follow: FollowState,
}

/// How far a replica is in following its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowState {
    /// No connection: it tries.
    Connecting,
    /// Connected, before the sync: PING, AUTH, REPLCONF, PSYNC.
    Handshake,
    /// A full copy is under way; percent of the snapshot that has arrived, where it is known.
    Syncing(Option<u8>),
    /// It follows the stream of commands.
    Online,
}

/// An answer that cannot be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// A field is not there.
    #[error("INFO has no field {0}")]
    Missing(&'static str),
    /// More lines than any honest answer.
    #[error("INFO has more than {MOST_LINES} lines in a section")]
    Lines,
    /// A field has a value that makes no sense.
    #[error("INFO field {field} has the value {value:?}")]
    Malformed {
        /// Its name.
        field: &'static str,
        /// What was there, cut to 64 characters.
        value: String,
    },
}

impl Info {
    /// Reads the texts of `INFO` (all the sections used, in any order) and the replica's state from `ROLE`, where it
    /// was asked: `connect`, `connecting`, `handshake`, `sync`, `connected`. `min_replicas` is what `CONFIG GET` says.
    /// What it needs of memory does not grow with the texts.
    ///
    /// # Errors
    /// When a field that is relied on is missing or malformed.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        role_state: Option<&str>,
        min_replicas: usize,
    ) -> Result<Self, ParseError> {
        let mut fields = Fields::default();
        for text in texts {
            fields.scan(text)?;
        }
        let loading = fields.flag("loading").unwrap_or(false);
        let role = match fields.text("role")? {
            "master" => {
                fields.slaves.sort_by(|a, b| a.ip.cmp(&b.ip));
                Role::Master(MasterSide { slaves: std::mem::take(&mut fields.slaves) })
            }
            "slave" => Role::Replica(ReplicaSide {
                master_host: fields.address("master_host")?.to_owned(),
                master_port: fields.number("master_port")?,
                follow: fields.follow_state(role_state),
            }),
            other => return Err(malformed("role", other)),
        };
        let previous = fields.id("master_replid2").ok().filter(|id| id.chars().any(|c| c != '0'));
        Ok(Self {
            run_id: fields.id("run_id")?.to_owned(),
            version: fields.text("redis_version").unwrap_or_default().chars().take(LONGEST_ID).collect(),
            product: fields.product(),
            replication_id: fields.id("master_replid")?.to_owned(),
            previous_offset: previous
                .and(fields.number::<u64>("second_repl_offset").ok())
                .map_or(0, |o| o.saturating_sub(1)),
            previous_replication_id: previous.map(str::to_owned),
            offset: fields.number("master_repl_offset")?,
            loading,
            loading_percent: loading.then(|| fields.percent("loading_loaded_perc")).flatten(),
            snapshot_percent: fields.snapshot_percent(),
            keys: fields.keys,
            full_syncs: fields.number("sync_full").unwrap_or(0),
            buffer_drops: fields.number("client_output_buffer_limit_disconnections").unwrap_or(0),
            files: fields.files(),
            memory: MemoryUse {
                used: fields.number("used_memory").ok(),
                limit: fields.number("maxmemory").ok().filter(|limit| *limit > 0),
            },
            min_replicas,
            role,
        })
    }

    /// How much of a full copy, or of its data file, it has, in percent. Of a copy that `master` sends without a file
    /// nobody knows the size: then it is how much the master has sent.
    pub fn sync_percent(&self, master: Option<&Self>) -> Option<u8> {
        match self.replica().map(|r| r.follow) {
            _ if self.loading => self.loading_percent,
            Some(FollowState::Syncing(percent)) => percent.or_else(|| master?.snapshot_percent),
            _ => None,
        }
    }

    /// Does it accept writes?
    pub fn is_master(&self) -> bool {
        matches!(self.role, Role::Master(_))
    }

    /// A replica's side of the story.
    pub fn replica(&self) -> Option<&ReplicaSide> {
        match &self.role {
            Role::Replica(side) => Some(side),
            Role::Master(_) => None,
        }
    }

    /// A master's side of the story.
    pub fn master(&self) -> Option<&MasterSide> {
        match &self.role {
            Role::Master(side) => Some(side),
            Role::Replica(_) => None,
        }
    }

    /// The replicas that it sees as a master; none as a replica.
    pub fn slaves(&self) -> &[SlaveState] {
        self.master().map(|side| side.slaves.as_slice()).unwrap_or_default()
    }

    /// Is it a replica of nobody: it takes no writes, follows none, and keeps its data?
    pub fn follows_nobody(&self) -> bool {
        self.replica().is_some_and(|r| (r.master_host.as_str(), r.master_port) == NOBODY)
    }

    /// Does it follow the stream of a master's commands?
    pub fn is_online(&self) -> bool {
        self.replica().is_some_and(|r| r.follow == FollowState::Online)
    }

    /// Is all that the other has a part of this one's history?
    pub fn contains(&self, other: &Self) -> bool {
        let id = other.replication_id.as_str();
        let same = self.replication_id == id && other.offset <= self.offset;
        same || self.previous_replication_id.as_deref() == Some(id) && other.offset <= self.previous_offset
    }

    /// Is its data that of the history `id`, or does it continue that history?
    pub fn descends_from(&self, id: &str) -> bool {
        self.replication_id == id || self.previous_replication_id.as_deref() == Some(id)
    }
}

/// The fields that are read. A test sees to it that none is missing.
const WANTED: [&str; 29] = [
    "aof_enabled",
    "aof_last_bgrewrite_status",
    "aof_rewrite_in_progress",
    "aof_rewrite_scheduled",
    "client_output_buffer_limit_disconnections",
    "current_save_keys_processed",
    "current_save_keys_total",
    "loading",
    "loading_loaded_perc",
    "master_host",
    "master_link_status",
    "master_port",
    "master_repl_offset",
    "master_replid",
    "master_replid2",
    "master_sync_in_progress",
    "master_sync_read_bytes",
    "master_sync_total_bytes",
    "maxmemory",
    "rdb_bgsave_in_progress",
    "rdb_last_bgsave_status",
    "rdb_last_save_time",
    "redis_version",
    "role",
    "run_id",
    "second_repl_offset",
    "sync_full",
    "used_memory",
    "valkey_version",
];

/// What the lines of the answers say, as far as it is wanted.
#[derive(Default)]
struct Fields<'a> {
    values: [Option<&'a str>; WANTED.len()],
    slaves: Vec<SlaveState>,
    keys: u64,
}

impl<'a> Fields<'a> {
    /// Goes through a text once. Of a field that is said twice the last counts.
    fn scan(&mut self, text: &'a str) -> Result<(), ParseError> {
        for (n, (name, value)) in formats::info::lines(text).enumerate() {
            if n >= MOST_LINES {
                return Err(ParseError::Lines);
            }
            if let Ok(at) = WANTED.binary_search(&name) {
                self.values[at] = Some(value);
            } else if is_numbered(name, "db") {
                self.keys = self.keys.saturating_add(keys(value).unwrap_or(0));
            } else if is_numbered(name, "slave") && self.slaves.len() < MOST_SLAVES {
                self.slaves.extend(slave(value));
            }
        }
        Ok(())
    }

    fn text(&self, field: &'static str) -> Result<&'a str, ParseError> {
        let value = WANTED.binary_search(&field).ok().and_then(|at| self.values[at]);
        value.ok_or(ParseError::Missing(field))
    }

    fn address(&self, field: &'static str) -> Result<&'a str, ParseError> {
        let value = self.text(field)?;
        if value.len() <= LONGEST_ADDRESS { Ok(value) } else { Err(malformed(field, value)) }
    }

    /// Of a process or a history: 40 hexadecimal digits. It goes into the status, so no other server may say just anything.
    fn id(&self, field: &'static str) -> Result<&'a str, ParseError> {
        let value = self.text(field)?;
        let sound = (1..=LONGEST_ID).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
        if sound { Ok(value) } else { Err(malformed(field, value)) }
    }

    fn number<T: std::str::FromStr>(&self, field: &'static str) -> Result<T, ParseError> {
        let value = self.text(field)?;
        value.parse().map_err(|_| malformed(field, value))
    }

    fn product(&self) -> String {
        let (name, version) = match (self.text("valkey_version"), self.text("redis_version")) {
            (Ok(version), _) => ("Valkey", version),
            (_, version) => ("Redis", version.unwrap_or_default()),
        };
        format!("{name} {}", version.chars().take(LONGEST_ID).collect::<String>())
    }

    fn flag(&self, field: &'static str) -> Option<bool> {
        self.text(field).ok().map(|v| v == "1")
    }

    fn files(&self) -> Files {
        let on = |flag: Option<bool>| flag == Some(true);
        Files {
            append_only: on(self.flag("aof_enabled")),
            rewriting: on(self.flag("aof_rewrite_in_progress")) || on(self.flag("aof_rewrite_scheduled")),
            rewrite_failed: self.text("aof_last_bgrewrite_status").is_ok_and(|status| status != "ok"),
            saving: on(self.flag("rdb_bgsave_in_progress")),
            saved: self.number("rdb_last_save_time").unwrap_or(0),
            save_failed: self.text("rdb_last_bgsave_status").is_ok_and(|status| status != "ok"),
            schedule: None,
        }
    }

    fn percent(&self, field: &'static str) -> Option<u8> {
        let value: f64 = self.number(field).ok()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
        Some(value.clamp(0.0, 100.0) as u8)
    }

    fn follow_state(&self, role_state: Option<&str>) -> FollowState {
        if self.flag("master_sync_in_progress") == Some(true) {
            return FollowState::Syncing(self.sync_percent());
        }
        if self.text("master_link_status") == Ok("up") {
            return FollowState::Online;
        }
        match role_state {
            Some("handshake") => FollowState::Handshake,
            Some("sync") => FollowState::Syncing(self.sync_percent()),
            _ => FollowState::Connecting,
        }
    }

    /// Told once a second by the child process that writes it; since Redis 7.0.
    fn snapshot_percent(&self) -> Option<u8> {
        self.flag("rdb_bgsave_in_progress").filter(|saves| *saves)?;
        let total: u64 = self.number("current_save_keys_total").ok().filter(|t| *t > 0)?;
        let done: u64 = self.number("current_save_keys_processed").ok()?;
        u8::try_from(done.min(total).saturating_mul(100) / total).ok()
    }

    /// Redis says the size of the snapshot once the transfer has begun; of a diskless one it never knows it.
    fn sync_percent(&self) -> Option<u8> {
        let total: u64 = self.number("master_sync_total_bytes").ok().filter(|t| *t > 0)?;
        let read: u64 = self.number("master_sync_read_bytes").ok()?;
        u8::try_from(read.min(total).saturating_mul(100) / total).ok()
    }
}

/// Of `db0:keys=3,expires=0,avg_ttl=0`
fn keys(value: &str) -> Option<u64> {
    part(value, "keys")?.parse().ok()
}

fn slave(value: &str) -> Option<SlaveState> {
    let Replica { ip, state, offset, lag } = Replica::parse(value)?;
    let short = ip.len() <= LONGEST_ADDRESS && state.len() <= LONGEST_ID;
    short.then(|| SlaveState { ip: ip.to_owned(), state: state.to_owned(), offset, lag })
}

fn malformed(field: &'static str, value: &str) -> ParseError {
    ParseError::Malformed { field, value: value.chars().take(64).collect() }
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
