//! One live connection to one Redis server, which watches it.
//!
//! The end of the connection is noticed by the kernel and reported at once; asking from time to time is for everything
//! else. Each server has a task of its own, so a slow one never delays what is known of another.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{Cmd, Pipeline, RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    clock::Clock,
    commands::CommandError,
    errors::{Reply, reply, words},
    login::{Login, OPERATOR, Refusal, log_in},
    report::{Problem, Report, Target},
    stream::{Ending, Stream, is_silence},
};
use crate::{
    password::Password,
    replication::{ConnectionEvent as Event, Info, Moment},
};

/// How often a server is asked whether it is there, and a replica how far, when nothing happens.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Every how many of those questions it is asked for its whole state.
const INFO_EVERY: u32 = 10;
/// At which of them a changed password is tried.
const PASSWORD_AT: u32 = INFO_EVERY / 2;
/// Every how many looks at its state a password is tried that was accepted before.
const PASSWORD_EVERY: u32 = 10;
/// How long a host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// An answer that takes so long is worth a look at the others.
pub const NOTICEABLE: Duration = Duration::from_millis(300);
/// How long an answer may take before the question counts as unanswered. The connection stays: slow is not dead.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The first pause before another attempt to connect. A process that is being killed closes what it has one by one: the attempt
/// right after the end of the connection may still meet its listening socket, and the next one is the proof of death.
const RETRY_FIRST: Duration = Duration::from_millis(1);
/// The longest pause before another attempt to connect.
const RETRY_LONGEST: Duration = Duration::from_millis(500);
/// A connection that ended sooner is not tried anew at once: a server that closes each would keep the operator busy.
const LASTING: Duration = Duration::from_millis(250);

/// May this process command servers now?
pub type LeadershipCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// A watched server. Dropping it ends the watching.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    target: Target,
    clock: Clock,
    password: watch::Receiver<Password>,
    unreachable_after: Duration,
    report: watch::Sender<Report>,
    connection: Mutex<Option<MultiplexedConnection>>,
    changed: Arc<Notify>,
    authority: LeadershipCheck,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Begins to watch a server, with the times of `clock`; `changed` is woken whenever something about it changes that matters to a decision.
    /// Bytes that its host does not acknowledge for about `unreachable_after` end the connection.
    ///
    /// A connection is made only with `authority`, and ends those of other operators before it counts: see
    /// [`Shared::disconnect_stale_operators`]. Each login takes the password of that moment; a server that refuses it is logged in to with
    /// the one that it accepted last.
    pub fn open(
        target: Target,
        clock: Clock,
        password: watch::Receiver<Password>,
        unreachable_after: Duration,
        changed: Arc<Notify>,
        authority: LeadershipCheck,
    ) -> Self {
        let report = watch::Sender::new(Report::default());
        let shared = Arc::new(Shared {
            target,
            clock,
            password,
            unreachable_after,
            report,
            connection: Mutex::new(None),
            changed,
            authority,
        });
        let task = tokio::spawn(watch(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Where the server is.
    pub fn target(&self) -> Target {
        self.shared.target
    }

    /// What is known now.
    pub fn report(&self) -> Report {
        self.shared.report.borrow().clone()
    }

    /// Asks the server for its state at once, and waits for the answer.
    pub async fn refresh(&self) -> Result<Info, CommandError> {
        Ok(self.refresh_at().await?.1)
    }

    /// The same, and when the question was asked.
    pub(super) async fn refresh_at(&self) -> Result<(Moment, Info), CommandError> {
        let mut connection = self.connection()?;
        self.shared.ask(&mut connection).await
    }

    pub(super) async fn run(&self, cmd: &Cmd) -> Result<Value, CommandError> {
        let mut connection = self.connection()?;
        Ok(within(cmd.query_async(&mut connection)).await??)
    }

    pub(super) async fn run_all(&self, cmds: &Pipeline) -> Result<Value, CommandError> {
        let mut connection = self.connection()?;
        Ok(within(cmds.query_async(&mut connection)).await??)
    }

    fn connection(&self) -> Result<MultiplexedConnection, CommandError> {
        let guard = self.shared.connection.lock().unwrap_or_else(PoisonError::into_inner);
        guard.clone().ok_or(CommandError::NotConnected)
    }
}

async fn within<T>(answer: impl Future<Output = T>) -> Result<T, CommandError> {
    timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| CommandError::NoAnswer)
}

async fn watch(shared: Arc<Shared>) {
    let mut pause = RETRY_FIRST;
    loop {
        if !(shared.authority)() {
            sleep(RETRY_LONGEST).await;
            continue;
        }
        let began = shared.clock.now();
        match shared.connect().await {
            Ok((login, ending)) => {
                shared.attend(login, &ending).await;
                if shared.clock.now().saturating_sub(began) >= LASTING {
                    pause = RETRY_FIRST;
                    continue; // at once: a refusal is the proof of death
                }
            }
            Err(Refusal::Refused) => shared.update(Event::AttemptRefused, Report::forget_refusals),
            Err(Refusal::HostSilent) => shared.update(Event::AttemptSilent { began }, Report::forget_refusals),
            Err(Refusal::Said(problem)) => shared.update(None, |r| r.problem = Some(problem)),
            Err(Refusal::Other) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

impl Shared {
    /// Connects and logs in. A host that accepts the connection is well; a process that then says nothing may have hung, so
    /// the login has no limit.
    async fn connect(&self) -> Result<(Login, Ending), Refusal> {
        let (stream, ending) = self.reach().await?;
        self.update(Event::Connected { at: self.clock.now() }, |_| ());
        let former = self.report.borrow().accepted.clone();
        let mut passwords = vec![self.password.borrow().clone()];
        passwords.extend(former.filter(|former| *former != *self.password.borrow()));
        let refusal = match log_in(stream, &passwords).await {
            Ok(login) => {
                self.accepts(&login.accepted, login.refused.clone());
                return Ok((login, ending));
            }
            Err(refusal) => refusal,
        };
        let host_silent = ending.host_silent();
        self.update(Event::LoginEnded { at: self.clock.now(), host_silent }, |r| r.note_excess(ending.excess()));
        Err(if host_silent { Refusal::HostSilent } else { refusal })
    }

    async fn reach(&self) -> Result<(Stream, Ending), Refusal> {
        let address = SocketAddr::new(self.target.ip, self.target.port);
        match timeout(CONNECT_TIMEOUT, Stream::connect(address, self.unreachable_after)).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => Err(Refusal::Refused),
            Ok(Err(e)) if is_silence(&e) => Err(Refusal::HostSilent),
            Ok(Err(_)) => Err(Refusal::Other),
            Err(_) => Err(Refusal::HostSilent),
        }
    }

    fn accepts(&self, password: &Password, outdated: Option<String>) {
        self.update(None, |r| {
            r.accepted = Some(password.clone());
            r.outdated = outdated;
        });
    }

    fn has_taken(&self, present: &Password) -> bool {
        let report = self.report.borrow();
        report.accepted.as_ref() == Some(present) && report.outdated.is_none()
    }

    /// Does the server accept the present password? The connection that there is was made with a former one, and stays.
    async fn try_present(&self, connection: &mut MultiplexedConnection, present: &Password) {
        let attempt = async {
            let (stream, _) = self.reach().await?;
            log_in(stream, std::slice::from_ref(present)).await
        };
        match timeout(NOTICEABLE, attempt).await {
            Ok(Ok(Login { refused: Some(words), .. })) => self.update(None, |r| r.outdated = Some(words)),
            Ok(Ok(_)) => {
                let mut pipe = Pipeline::new();
                pipe.add_command(operators_user(present));
                if let Ok(Ok(_)) = within(pipe.query_async::<Value>(connection)).await {
                    self.accepts(present, None);
                }
            }
            Ok(Err(Refusal::Said(Problem::Password(words)))) => self.update(None, |r| r.outdated = Some(words)),
            Ok(Err(_)) | Err(_) => {} // it did not say
        }
    }

    /// Watches over one connection until it ends.
    async fn attend(&self, login: Login, ending: &Ending) {
        let Login { mut connection, mut driver, accepted, .. } = login;
        let mut ticks = interval(CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let asking = async {
            while !self.disconnect_stale_operators(&mut connection, &accepted).await {
                ticks.tick().await;
            }
            if !(self.authority)() {
                return;
            }
            self.connection.lock().unwrap_or_else(PoisonError::into_inner).replace(connection.clone());
            for (round, n) in (0..PASSWORD_EVERY).flat_map(|round| (0..INFO_EVERY).map(move |n| (round, n))).cycle() {
                ticks.tick().await;
                // what it means is in the report
                let _ =
                    if n == 0 { self.ask(&mut connection).await.map(drop) } else { self.check(&mut connection).await };
                if n == PASSWORD_AT {
                    let present = self.password.borrow().clone();
                    // that it was taken once says nothing of what somebody has set since, and what clients are told
                    if round == PASSWORD_EVERY - 1 || !self.has_taken(&present) {
                        self.try_present(&mut connection, &present).await;
                    }
                }
            }
        };
        tokio::select! {
            () = &mut driver => {}
            () = asking => {}
        }
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = Event::Ended { at: self.clock.now(), host_silent: ending.host_silent() };
        self.update(ended, |r| r.note_excess(ending.excess()));
    }

    /// Waits for an answer, and remembers since when there has been none. A slow one wakes the supervisor.
    async fn answered<T>(&self, asked: Moment, answer: impl Future<Output = T>) -> Result<T, CommandError> {
        self.report.send_modify(|r| {
            r.health.take(Event::Asked { at: asked });
        });
        let mut answer = std::pin::pin!(answer);
        if let Ok(answer) = timeout(NOTICEABLE, &mut answer).await {
            return Ok(answer);
        }
        self.changed.notify_one();
        within(answer).await
    }

    /// Closes the connections of other operators, and of this one before. Returns whether that is done; a server that runs
    /// a script for long refuses to.
    ///
    /// An operator that was stopped for long goes on with what it was about to do. Its commands would reach servers that
    /// another operator leads by now, and Redis cannot tell old commands from new ones. But they come over a connection
    /// that was there before: so whoever takes over closes those first. They are known by a user of their own, because
    /// `CLIENT LIST` grows with the clients.
    async fn disconnect_stale_operators(&self, connection: &mut MultiplexedConnection, password: &Password) -> bool {
        let mut pipe = Pipeline::new();
        pipe.add_command(operators_user(password));
        pipe.cmd("AUTH").arg(OPERATOR).arg(password.text());
        pipe.cmd("CLIENT").arg("KILL").arg("USER").arg(OPERATOR).arg("SKIPME").arg("yes");
        match self.answered(self.clock.now(), pipe.query_async::<Value>(connection)).await {
            Ok(Ok(_)) => return true,
            Ok(Err(e)) => self.take_in_error(&e),
            Err(_) => {} // unanswered: the report says since when
        }
        false
    }

    /// The short question. A master that cannot save its data refuses a `PING`; a replica's `ROLE` tells its offset.
    async fn check(&self, connection: &mut MultiplexedConnection) -> Result<(), CommandError> {
        let asked = self.clock.now();
        let replica = self.report.borrow().server().info.as_ref().is_some_and(|(_, i)| !i.is_master());
        let cmd = redis::cmd(if replica { "ROLE" } else { "PING" });
        match self.answered(asked, cmd.query_async::<Value>(connection)).await? {
            Ok(answer) => {
                self.update(Event::Answered { role: replica.then_some((asked, answer)) }, |r| {
                    r.problem.take_if(|p| matches!(p, Problem::Writes(_))); // it takes writes again, or has none to take
                });
                Ok(())
            }
            Err(e) => {
                self.take_in_error(&e);
                Err(e.into())
            }
        }
    }

    async fn ask(&self, connection: &mut MultiplexedConnection) -> Result<(Moment, Info), CommandError> {
        let asked = self.clock.now(); // what is answered was true at this time or later
        match self.answered(asked, query(connection)).await? {
            Ok((texts, role, configured)) => {
                let texts = texts.iter().map(String::as_str);
                match Info::parse(texts, state(&role).as_deref(), configured.min_replicas) {
                    Ok(mut info) => {
                        info.files.schedule = configured.schedule;
                        self.update(Event::Informed { asked, info: info.clone(), role }, |r| {
                            r.problem.take_if(|p| !matches!(p, Problem::Writes(_))); // of that only a PING tells the end
                        });
                        Ok((asked, info))
                    }
                    Err(e) => {
                        let problem = Problem::Answer(e.to_string());
                        self.update(Event::Answered { role: None }, |r| r.problem = Some(problem));
                        Err(e.into())
                    }
                }
            }
            Err(e) => {
                self.take_in_error(&e);
                Err(e.into())
            }
        }
    }

    /// An error: one that the server itself sent is an answer too.
    fn take_in_error(&self, e: &RedisError) {
        let problem = match reply(e) {
            Some(Reply::Busy) => None,
            Some(Reply::RefusesWrites) => Some(Problem::Writes(words(e))),
            Some(Reply::Password) => Some(Problem::Password(words(e))),
            Some(Reply::TooManyClients | Reply::Other) => Some(Problem::Answer(words(e))),
            None => return,
        };
        self.update(Event::Answered { role: None }, |r| r.problem = problem);
    }

    /// Takes in what has happened, and wakes the supervisor if that could change a decision, or what is said of the login.
    fn update(&self, event: impl Into<Option<Event<Value>>>, change: impl FnOnce(&mut Report)) {
        let mut matters = false;
        self.report.send_modify(|r| {
            let before = (r.problem.clone(), r.accepted.clone(), r.outdated.clone());
            change(r);
            let login = before != (r.problem.clone(), r.accepted.clone(), r.outdated.clone());
            matters = event.into().is_some_and(|event| r.health.take(event)) || login;
        });
        if matters {
            self.changed.notify_one();
        }
    }
}

/// The user that the operator acts as.
fn operators_user(password: &Password) -> Cmd {
    let mut cmd = redis::cmd("ACL");
    cmd.arg("SETUSER").arg(OPERATOR).arg(&["on", "resetpass"]).arg(format!(">{}", password.text()));
    cmd.arg(&["~*", "&*", "+@all"]);
    cmd
}

/// What `CONFIG GET` says. A `CONFIG GET` takes a single directive before Redis 7.
struct Configured {
    min_replicas: usize,
    schedule: Option<String>,
}

/// The sections one by one: Redis 6.2 takes a single one in each `INFO`. Returns them, the answer to `ROLE`, and what is
/// configured.
async fn query(connection: &mut MultiplexedConnection) -> RedisResult<(Vec<String>, Value, Configured)> {
    let mut pipe = Pipeline::new();
    for section in ["server", "memory", "replication", "persistence", "stats", "keyspace"] {
        pipe.cmd("INFO").arg(section);
    }
    pipe.cmd("ROLE");
    pipe.cmd("CONFIG").arg("GET").arg("min-replicas-to-write");
    pipe.cmd("CONFIG").arg("GET").arg("save");
    let mut answers: Vec<Value> = pipe.query_async(connection).await?;
    // ["save", "3600 1"], before that ["min-replicas-to-write", "1"]
    let schedule = answers.pop().and_then(|v| redis::from_redis_value::<(String, String)>(v).ok());
    let min_replicas = answers.pop().and_then(|v| redis::from_redis_value::<(String, usize)>(v).ok());
    let role = answers.pop().unwrap_or(Value::Nil);
    let texts = answers.into_iter().map(redis::from_redis_value::<String>).collect::<Result<Vec<_>, _>>()?;
    let min_replicas = min_replicas.map_or(0, |(_, n)| n);
    Ok((texts, role, Configured { min_replicas, schedule: schedule.map(|(_, times)| times) }))
}

/// The state in a replica's answer to `ROLE`: ["slave", host, port, state, offset].
fn state(role: &Value) -> Option<String> {
    let Value::Array(role) = role else { return None };
    redis::from_redis_value::<String>(role.get(3)?.clone()).ok()
}
