//! What is known of a server.

use std::net::IpAddr;

use redis::Value;
use tokio::time::Instant;

use crate::{password::Password, replication::Info};

/// Where a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The pod's address.
    pub ip: IpAddr,
    /// The port that Redis listens on.
    pub port: u16,
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// There has been no connection yet.
    Connecting,
    /// It is open: the host is well, whatever the server answers.
    Up,
    /// There is none.
    Lost {
        /// When it ended; if the host fell silent, when the first byte or attempt was sent that was not acknowledged.
        since: Instant,
        /// What is known of the end.
        how: Loss,
    },
}

/// What is known of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The other side closed or reset it. A process that dies does this; so does a mere `CLIENT KILL`.
    Closed,
    /// It was closed, and then another was refused: nobody listens there any more.
    Refused,
    /// The host acknowledges neither bytes nor attempts to connect.
    HostSilent,
}

/// All that is known of a server, and since when.
#[derive(Clone, Debug)]
pub struct Report {
    /// How the connection is.
    pub health: Health,
    /// What the server last said over the present or last connection, and when.
    pub info: Option<(Instant, Info)>,
    /// When the oldest question was asked that is unanswered. `-BUSY` and `-LOADING` are answers.
    pub silent_since: Option<Instant>,
    /// For how long it has given the same answer to `ROLE`, which holds a replica's offset.
    pub offset_stall: Option<OffsetStall>,
    /// Why it cannot be used, in words: a refused password, an answer that cannot be understood.
    pub problem: Option<Problem>,
    /// The password that it was last logged in to with.
    pub accepted: Option<Password>,
    /// It was logged in to with a former password; what it says to the present one.
    pub outdated: Option<String>,
}

/// An answer that has stayed the same.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetStall {
    answer: Value,
    /// When it was asked for first.
    pub since: Instant,
    /// When it was asked for last.
    pub until: Instant,
}

impl Report {
    /// Of a server that nobody has connected to yet.
    pub(crate) fn new() -> Self {
        Self {
            health: Health::Connecting,
            info: None,
            silent_since: None,
            offset_stall: None,
            problem: None,
            accepted: None,
            outdated: None,
        }
    }

    /// Nobody listens there any more who could refuse anything.
    pub(super) fn forget_refusals(&mut self) {
        self.problem.take_if(|p| matches!(p, Problem::Password(_) | Problem::Clients(_) | Problem::Login(_)));
    }
}

impl OffsetStall {
    /// Takes in what was answered to the question of that time.
    pub(super) fn after(before: Option<Self>, asked: Instant, answer: Value) -> Self {
        let same = before.filter(|b| b.answer == answer);
        Self { since: same.map_or(asked, |b| b.since), until: asked, answer }
    }
}

/// Why a server that can be reached cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It refuses the password.
    Password(String),
    /// It takes no more connections.
    Clients(String),
    /// It refuses a login for another reason.
    Login(String),
    /// Its answers make no sense, or are errors.
    Answer(String),
    /// It could not save its data, and refuses writes until it can.
    Writes(String),
}
