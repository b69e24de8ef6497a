//! One live connection to one Redis server, which watches it.
//!
//! The end of the connection is noticed by the kernel and reported at once; asking from time to time is for everything
//! else. Each server has a task of its own, so a slow one never delays what is known of another.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    commands::CommandError,
    errors::{Reply, reply, words},
    info::Info,
    report::{Health, Loss, Problem, Report, Standstill, Target},
    stream::{Ending, Stream, is_silence},
};

/// How often a server is asked whether it is there, and a replica how far, when nothing happens.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Every how many of those questions it is asked for its whole state.
const INFO_EVERY: u32 = 10;
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
/// The name of the operator's connections in `CLIENT LIST`, and the user that they act as.
const OPERATOR: &str = "redis-replication-operator";

/// May this process command servers now?
pub type Authority = Arc<dyn Fn() -> bool + Send + Sync>;

/// A watched server. Dropping it ends the watching.
#[derive(Debug)]
pub struct Link {
    target: Target,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    report: watch::Sender<Report>,
    connection: Mutex<Option<MultiplexedConnection>>,
    changed: Arc<Notify>,
    authority: Authority,
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
    /// Begins to watch a server; `changed` is woken whenever something about it changes that matters to a decision.
    /// Bytes that its host does not acknowledge for about `unreachable_after` end the connection.
    ///
    /// A connection is made only with `authority`, and ends those of other operators before it counts: see
    /// [`Shared::end_predecessors`].
    pub fn open(
        target: Target,
        password: String,
        unreachable_after: Duration,
        changed: Arc<Notify>,
        authority: Authority,
    ) -> Self {
        let report =
            Report { health: Health::Connecting, info: None, silent_since: None, standstill: None, problem: None };
        let report = watch::Sender::new(report);
        let shared = Arc::new(Shared { report, connection: Mutex::new(None), changed, authority });
        let task = tokio::spawn(watch(target, password, unreachable_after, Arc::clone(&shared)));
        Self { target, shared, task }
    }

    /// Where the server is.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What is known now.
    pub fn report(&self) -> Report {
        self.shared.report.borrow().clone()
    }

    /// Asks the server for its state at once, and waits for the answer.
    pub async fn refresh(&self) -> Result<Info, CommandError> {
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

async fn watch(target: Target, password: String, unreachable_after: Duration, shared: Arc<Shared>) {
    let mut pause = RETRY_FIRST;
    loop {
        if !(shared.authority)() {
            sleep(RETRY_LONGEST).await;
            continue;
        }
        let began = Instant::now();
        match shared.connect(target, &password, unreachable_after).await {
            Ok((connection, driver, ending)) => {
                shared.attend(connection, driver, &ending, &password).await;
                if began.elapsed() >= LASTING {
                    pause = RETRY_FIRST;
                    continue; // at once: a refusal is the proof of death
                }
            }
            Err(Refusal::Refused) => shared.update(|r| {
                if let Health::Lost { how, .. } = &mut r.health {
                    *how = Loss::Refused;
                }
            }),
            Err(Refusal::HostSilent) => shared.update(|r| {
                if r.health == Health::Connecting {
                    r.health = Health::Lost { since: began, how: Loss::HostSilent };
                }
            }),
            Err(Refusal::Password(words)) => shared.update(|r| r.problem = Some(Problem::Password(words))),
            Err(Refusal::Other) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

enum Refusal {
    /// Nobody listens.
    Refused,
    /// No sign of the host.
    HostSilent,
    /// The password is wrong.
    Password(String),
    /// An ended handshake: says nothing about the process.
    Other,
}

type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn log_in(stream: Stream, password: &str) -> Result<(MultiplexedConnection, Driver), Refusal> {
    let who = RedisConnectionInfo::default().set_password(password).set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new().set_response_timeout(None); // `within` does it
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(&who, stream, config).await.map_err(|e| refused(&e))?;
    let mut driver: Driver = Box::pin(driver);
    // a name for CLIENT LIST, and never evicted; an old server may not know the latter
    let mut hello = redis::pipe();
    hello.cmd("CLIENT").arg("SETNAME").arg(OPERATOR).ignore();
    hello.cmd("CLIENT").arg("NO-EVICT").arg("on").ignore();
    tokio::select! {
        () = &mut driver => return Err(Refusal::Other),
        _ = hello.query_async::<()>(&mut connection) => {}
    }
    Ok((connection, driver))
}

fn refused(e: &RedisError) -> Refusal {
    let words = words(e);
    if e.kind() == ErrorKind::AuthenticationFailed || words.contains("WRONGPASS") || words.contains("NOAUTH") {
        Refusal::Password(words)
    } else {
        Refusal::Other
    }
}

impl Shared {
    /// Connects and logs in. A host that accepts the connection is well; a process that then says nothing may have hung, so
    /// the login has no limit.
    async fn connect(
        &self,
        target: Target,
        password: &str,
        unreachable_after: Duration,
    ) -> Result<(MultiplexedConnection, Driver, Ending), Refusal> {
        let address = SocketAddr::new(target.ip, target.port);
        let (stream, ending) = match timeout(CONNECT_TIMEOUT, Stream::connect(address, unreachable_after)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => return Err(Refusal::Refused),
            Ok(Err(e)) if is_silence(&e) => return Err(Refusal::HostSilent),
            Ok(Err(_)) => return Err(Refusal::Other),
            Err(_) => return Err(Refusal::HostSilent),
        };
        let before = self.report.borrow().health;
        self.update(|r| {
            r.health = Health::Up;
            r.silent_since = Some(Instant::now());
            (r.info, r.standstill) = (None, None); // it may be another process
        });
        let login = log_in(stream, password).await;
        login.map(|(connection, driver)| (connection, driver, ending.clone())).map_err(|refusal| {
            let silent = ending.host_silent();
            self.update(|r| {
                let since = r.silent_since.take().unwrap_or_else(Instant::now);
                r.health = if silent { Health::Lost { since, how: Loss::HostSilent } } else { before };
                if let Some(excess) = ending.excess() {
                    r.problem = Some(Problem::Answer(excess.to_string()));
                }
            });
            if silent { Refusal::HostSilent } else { refusal }
        })
    }

    /// Watches over one connection until it ends.
    async fn attend(&self, connection: MultiplexedConnection, mut driver: Driver, ending: &Ending, password: &str) {
        let mut connection = connection;
        let mut ticks = interval(CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let asking = async {
            while !self.end_predecessors(&mut connection, password).await {
                ticks.tick().await;
            }
            if !(self.authority)() {
                return;
            }
            self.connection.lock().unwrap_or_else(PoisonError::into_inner).replace(connection.clone());
            for n in (0..INFO_EVERY).cycle() {
                ticks.tick().await;
                // what it means is in the report
                let _ =
                    if n == 0 { self.ask(&mut connection).await.map(drop) } else { self.check(&mut connection).await };
            }
        };
        tokio::select! {
            () = &mut driver => {}
            () = asking => {}
        }
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.update(|r| {
            let asked = r.silent_since.take();
            let now = Instant::now();
            if let Some(excess) = ending.excess() {
                r.problem = Some(Problem::Answer(excess.to_string()));
            }
            r.health = if ending.host_silent() {
                Health::Lost { since: asked.unwrap_or(now), how: Loss::HostSilent }
            } else {
                Health::Lost { since: now, how: Loss::Closed }
            };
        });
    }

    /// Waits for an answer, and remembers since when there has been none. A slow one wakes the supervisor.
    async fn answered<T>(&self, asked: Instant, answer: impl Future<Output = T>) -> Result<T, CommandError> {
        self.report.send_modify(|r| {
            r.silent_since.get_or_insert(asked);
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
    async fn end_predecessors(&self, connection: &mut MultiplexedConnection, password: &str) -> bool {
        let mut pipe = Pipeline::new();
        pipe.cmd("ACL").arg("SETUSER").arg(OPERATOR).arg(&["on", "resetpass"]).arg(format!(">{password}"));
        pipe.arg(&["~*", "&*", "+@all"]);
        pipe.cmd("AUTH").arg(OPERATOR).arg(password);
        pipe.cmd("CLIENT").arg("KILL").arg("USER").arg(OPERATOR).arg("SKIPME").arg("yes");
        match self.answered(Instant::now(), pipe.query_async::<Value>(connection)).await {
            Ok(Ok(_)) => return true,
            Ok(Err(e)) => self.take_in_error(&e),
            Err(_) => {} // unanswered: the report says since when
        }
        false
    }

    /// The short question. A master that cannot save its data refuses a `PING`; a replica's `ROLE` tells its offset.
    async fn check(&self, connection: &mut MultiplexedConnection) -> Result<(), CommandError> {
        let asked = Instant::now();
        let replica = self.report.borrow().info.as_ref().is_some_and(|(_, i)| !i.is_master());
        let cmd = redis::cmd(if replica { "ROLE" } else { "PING" });
        match self.answered(asked, cmd.query_async::<Value>(connection)).await? {
            Ok(answer) => {
                self.update(|r| {
                    r.silent_since = None;
                    r.problem.take_if(|p| matches!(p, Problem::Writes(_))); // it takes writes again, or has none to take
                    if replica {
                        r.standstill = Some(Standstill::after(r.standstill.take(), asked, answer));
                    }
                });
                Ok(())
            }
            Err(e) => {
                self.take_in_error(&e);
                Err(e.into())
            }
        }
    }

    async fn ask(&self, connection: &mut MultiplexedConnection) -> Result<Info, CommandError> {
        let asked = Instant::now(); // what is answered was true at this time or later
        match self.answered(asked, query(connection)).await? {
            Ok((text, role, min_replicas)) => match Info::parse(&text, state(&role).as_deref(), min_replicas) {
                Ok(info) => {
                    self.update(|r| {
                        r.problem.take_if(|p| !matches!(p, Problem::Writes(_))); // of that only a PING tells the end
                        r.silent_since = None;
                        r.info = Some((asked, info.clone()));
                        r.standstill = Some(Standstill::after(r.standstill.take(), asked, role));
                    });
                    Ok(info)
                }
                Err(e) => {
                    self.update(|r| {
                        r.silent_since = None;
                        r.problem = Some(Problem::Answer(e.to_string()));
                    });
                    Err(e.into())
                }
            },
            Err(e) => {
                self.take_in_error(&e);
                Err(e.into())
            }
        }
    }

    /// An error: one that the server itself sent is an answer too.
    fn take_in_error(&self, e: &RedisError) {
        let problem = match (refused(e), reply(e)) {
            (Refusal::Password(words), _) => Some(Problem::Password(words)),
            (_, Some(Reply::Busy)) => None,
            (_, Some(Reply::RefusesWrites)) => Some(Problem::Writes(words(e))),
            (_, Some(Reply::Other)) => Some(Problem::Answer(words(e))),
            (_, None) => return,
        };
        self.update(|r| {
            r.silent_since = None;
            r.problem = problem;
        });
    }

    /// Changes the report, and wakes the supervisor if that could change a decision (a mere offset does not).
    fn update(&self, change: impl FnOnce(&mut Report)) {
        let mut matters = false;
        self.report.send_modify(|r| {
            let before = r.clone();
            change(r);
            let facts = |r: &Report| {
                r.info.as_ref().map(|(_, i)| {
                    let slaves = i.master().map(|m| m.slaves.iter().map(|s| (s.ip.clone(), s.state.clone())).collect());
                    let slaves: Vec<(String, String)> = slaves.unwrap_or_default();
                    let steady =
                        (i.run_id.clone(), i.replication_id.clone(), i.loading, i.loading_percent, i.snapshot_percent);
                    (steady, i.is_master(), i.min_replicas, i.replica().cloned(), slaves)
                })
            };
            matters = before.health != r.health || before.problem != r.problem || facts(&before) != facts(r);
        });
        if matters {
            self.changed.notify_one();
        }
    }
}

/// The sections one by one: Redis 6.2 takes a single one in each `INFO`. Returns them, the answer to `ROLE`, and
/// `min-replicas-to-write`.
async fn query(connection: &mut MultiplexedConnection) -> RedisResult<(String, Value, usize)> {
    let mut pipe = Pipeline::new();
    for section in ["server", "memory", "replication", "persistence", "stats", "keyspace"] {
        pipe.cmd("INFO").arg(section);
    }
    pipe.cmd("ROLE");
    pipe.cmd("CONFIG").arg("GET").arg("min-replicas-to-write");
    let mut answers: Vec<Value> = pipe.query_async(connection).await?;
    // ["min-replicas-to-write", "1"]
    let min_replicas = answers.pop().and_then(|v| redis::from_redis_value::<(String, usize)>(v).ok());
    let role = answers.pop().unwrap_or(Value::Nil);
    let texts = answers.into_iter().map(redis::from_redis_value::<String>).collect::<Result<Vec<_>, _>>()?;
    Ok((texts.join("\r\n"), role, min_replicas.map_or(0, |(_, n)| n)))
}

/// The state in a replica's answer to `ROLE`: ["slave", host, port, state, offset].
fn state(role: &Value) -> Option<String> {
    let Value::Array(role) = role else { return None };
    redis::from_redis_value::<String>(role.get(3)?.clone()).ok()
}
