//! What the connection to one server concludes: how it is, since when the server is silent, for how long its offset has stood
//! still. Pure: what happens to the connection comes in as events, each with its time. The operator feeds it from sockets,
//! the simulation from its network.

use super::{
    info::Info,
    observation::{Contact, Moment, OffsetStall, Server},
};

/// What happens to a connection. `A` is what a server answers about its role; a replica's holds its offset.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // taken in at once, and not kept
pub enum Event<A> {
    /// The host has accepted a connection. Nobody has logged in yet.
    Connected {
        /// When.
        at: Moment,
    },
    /// It ended, or was given up, before anybody was logged in.
    LoginEnded {
        /// When.
        at: Moment,
        /// Because the host acknowledged nothing.
        host_silent: bool,
    },
    /// It ended after that.
    Ended {
        /// When.
        at: Moment,
        /// Because the host acknowledged nothing.
        host_silent: bool,
    },
    /// An attempt to connect was refused.
    AttemptRefused,
    /// The host acknowledged no attempt.
    AttemptSilent {
        /// When it began.
        began: Moment,
    },
    /// A question was sent.
    Asked {
        /// When.
        at: Moment,
    },
    /// Something was answered, be it an error: `-BUSY` and `-LOADING` are answers.
    Answered {
        /// The answer about the role, if that was asked, and when it was.
        role: Option<(Moment, A)>,
    },
    /// The whole state was answered.
    Informed {
        /// When it was asked for: it was true at that time or later.
        asked: Moment,
        /// What the server says.
        info: Info,
        /// The answer about the role.
        role: A,
    },
}

/// What is concluded so far.
#[derive(Clone, Debug)]
pub struct Health<A> {
    server: Server,
    /// The contact before the connection was accepted that nobody has logged in to.
    before: Contact,
    role: Option<A>,
}

impl<A> Default for Health<A> {
    fn default() -> Self {
        Self { server: Server::default(), before: Contact::None, role: None }
    }
}

impl<A: PartialEq> Health<A> {
    /// What is known of the server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The same, given away.
    pub fn into_server(self) -> Server {
        self.server
    }

    /// Takes in what has happened; returns whether that could change a decision (a mere offset does not).
    pub fn take(&mut self, event: Event<A>) -> bool {
        let contact = self.server.contact;
        let mut news = false;
        match event {
            Event::Connected { at } => {
                self.before = contact;
                self.server.contact = Contact::Up;
                self.server.silent_since = Some(at);
                // it may be another process
                news = self.server.info.take().is_some();
                (self.server.offset_stall, self.role) = (None, None);
            }
            Event::LoginEnded { at, host_silent } => {
                let since = self.server.silent_since.take().unwrap_or(at);
                self.server.contact = if host_silent { Contact::HostSilent { since } } else { self.before };
            }
            Event::Ended { at, host_silent } => {
                let since = self.server.silent_since.take().unwrap_or(at);
                self.server.contact =
                    if host_silent { Contact::HostSilent { since } } else { Contact::Closed { since: at } };
            }
            Event::AttemptRefused => self.refused(),
            Event::AttemptSilent { began } if contact == Contact::None => {
                self.server.contact = Contact::HostSilent { since: began };
            }
            Event::AttemptSilent { .. } => {} // it is known since when
            Event::Asked { at } => drop(self.server.silent_since.get_or_insert(at)),
            Event::Answered { role } => {
                self.server.silent_since = None;
                if let Some((asked, role)) = role {
                    self.heard(asked, role);
                }
            }
            Event::Informed { asked, info, role } => {
                self.server.silent_since = None;
                self.heard(asked, role);
                news = !self.server.info.as_ref().is_some_and(|(_, before)| decide_alike(before, &info));
                self.server.info = Some((asked, info));
            }
        }
        news || contact != self.server.contact
    }

    /// A refusal proves that nobody listens; that a process has ended, it proves only of one that was connected to.
    fn refused(&mut self) {
        self.server.contact = match self.server.contact {
            Contact::Closed { since } | Contact::HostSilent { since } => Contact::Refused { since },
            other @ (Contact::None | Contact::Up | Contact::Refused { .. }) => other,
        };
    }

    fn heard(&mut self, asked: Moment, role: A) {
        let same = self.role.as_ref() == Some(&role);
        let since = self.server.offset_stall.filter(|_| same).map_or(asked, |stall| stall.since);
        self.server.offset_stall = Some(OffsetStall { since, until: asked });
        self.role = Some(role);
    }
}

/// Would no decision differ between these?
fn decide_alike(a: &Info, b: &Info) -> bool {
    let replicas = |i: &Info| -> Vec<(String, String)> {
        let slaves = i.master().map(|m| m.slaves.as_slice()).unwrap_or_default();
        slaves.iter().map(|s| (s.ip.clone(), s.state.clone())).collect()
    };
    let process = |i: &Info| (i.run_id.clone(), i.replication_id.clone(), i.min_replicas, i.is_master());
    let progress = |i: &Info| (i.loading, i.loading_percent, i.snapshot_percent);
    process(a) == process(b)
        && progress(a) == progress(b)
        && a.files == b.files
        && a.replica() == b.replica()
        && replicas(a) == replicas(b)
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
#[path = "health_tests.rs"]
mod tests;
