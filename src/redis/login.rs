//! Logging in: which password a server accepts, and what it says when it accepts none.

use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisResult, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{
    errors::{Reply, reply, words},
    report::Problem,
    stream::Stream,
};
use crate::password::Password;

/// The name of the operator's connections in `CLIENT LIST`, and the user that they act as.
pub const OPERATOR: &str = "redis-replication-operator";
/// What has arrived with the end of a connection is at hand.
const AT_HAND: Duration = Duration::from_millis(10);

/// Moves the bytes of a connection.
pub(super) type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection on which a password was accepted.
pub(super) struct Login {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
    pub(super) accepted: Password,
    /// What the server said to the passwords before, or to all of them where it accepts the operator's own user only.
    pub(super) refused: Option<String>,
}

/// Why there is no connection.
pub(super) enum Refusal {
    /// Nobody listens.
    Refused,
    /// No sign of the host.
    HostSilent,
    /// The server says so itself.
    Said(Problem),
    /// An ended handshake: says nothing about the process.
    Other,
}

/// Tries the passwords one after the other. The library's own login would call every error a wrong password.
///
/// Where all are refused, the operator's own user is tried: it has the password that this process accepted before, and keeps it
/// when somebody changes `requirepass` in the running Redis.
pub(super) async fn log_in(stream: Stream, passwords: &[Password]) -> Result<Login, Refusal> {
    let who = RedisConnectionInfo::default().set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new().set_response_timeout(None); // the caller limits it
    let made = MultiplexedConnection::new_with_config(&who, stream, config).await;
    let (mut connection, driver) = made.map_err(|_| Refusal::Other)?;
    let mut driver: Driver = Box::pin(driver);
    let mut refused = None;
    let mut attempts: Vec<(Option<&str>, &Password)> = Vec::new();
    for user in [None, Some(OPERATOR)] {
        attempts.extend(passwords.iter().map(|password| (user, password)));
    }
    for (user, password) in attempts {
        let mut auth = redis::cmd("AUTH");
        auth.arg(user.as_slice()).arg(password.text());
        let (answer, ended) = answer(auth.query_async::<Value>(&mut connection), &mut driver).await;
        match answer {
            Some(Ok(Value::Okay)) if !ended => {
                // a name for CLIENT LIST, and never evicted; an old server may not know the latter
                let mut hello = redis::pipe();
                hello.cmd("CLIENT").arg("SETNAME").arg(OPERATOR).ignore();
                hello.cmd("CLIENT").arg("NO-EVICT").arg("on").ignore();
                tokio::select! {
                    () = &mut driver => return Err(Refusal::Other),
                    _ = hello.query_async::<()>(&mut connection) => {}
                }
                return Ok(Login { connection, driver, accepted: password.clone(), refused });
            }
            Some(Err(e)) => match reply(&e) {
                Some(Reply::Password) => refused = refused.or(Some(words(&e))),
                Some(reply) => return Err(Refusal::Said(problem(reply, words(&e)))),
                None => break, // it has closed the connection
            },
            Some(Ok(_)) | None => break,
        }
        if ended {
            break;
        }
    }
    Err(refused.map_or(Refusal::Other, |words| Refusal::Said(Problem::Password(words))))
}

/// The answer, also one that came together with the end of the connection: a server without room says so and closes it,
/// before it is asked anything. And whether the connection has ended.
async fn answer<T>(
    answer: impl Future<Output = RedisResult<T>>,
    driver: &mut Driver,
) -> (Option<RedisResult<T>>, bool) {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => (Some(answer), false),
        () = driver => (timeout(AT_HAND, answer).await.ok(), true),
    }
}

fn problem(reply: Reply, words: String) -> Problem {
    match reply {
        Reply::Password => Problem::Password(words),
        Reply::TooManyClients => Problem::Clients(words),
        Reply::Busy | Reply::RefusesWrites | Reply::Other => Problem::Login(words),
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
