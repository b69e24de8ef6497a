//! What is known of a server.

use std::net::IpAddr;

use redis::Value;

use super::reply_limit::ReplyTooLarge;
use crate::{
    password::Password,
    replication::{Health, Server},
};

/// Where a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The pod's address.
    pub ip: IpAddr,
    /// The port that Redis listens on.
    pub port: u16,
}

/// All that is known of a server.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What the connection concludes. What is compared is the answer to `ROLE`.
    pub health: Health<Value>,
    /// Why it cannot be used, in words: a refused password, an answer that cannot be understood.
    pub problem: Option<Problem>,
    /// The password that it was last logged in to with.
    pub accepted: Option<Password>,
    /// It was logged in to with a former password; what it says to the present one.
    pub outdated: Option<String>,
}

impl Report {
    /// The facts that decisions rest on.
    pub fn server(&self) -> &Server {
        self.health.server()
    }

    /// The connection ended because an answer was too large.
    pub(super) fn note_excess(&mut self, excess: Option<ReplyTooLarge>) {
        if let Some(excess) = excess {
            self.problem = Some(Problem::Answer(excess.to_string()));
        }
    }

    /// Nobody listens there any more who could refuse anything.
    pub(super) fn forget_refusals(&mut self) {
        self.problem.take_if(|p| matches!(p, Problem::Password(_) | Problem::Clients(_) | Problem::Login(_)));
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
