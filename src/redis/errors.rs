//! What an error says of the server that sent it.

use redis::{ErrorKind, RedisError};

/// How many characters of what a server says of itself are passed on, to logs and into the status.
const LONGEST_WORDS: usize = 200;

/// An error in words, on one line: who can make a server answer what he likes must not fill the status or the log.
pub(super) fn words(e: &RedisError) -> String {
    e.to_string().chars().take(LONGEST_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An error that the server sent: an answer like others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// It says what the server is busy with, and nothing against it.
    Busy,
    /// It could not save its data, and refuses writes until it can.
    RefusesWrites,
    /// It refuses the password, or has none itself.
    Password,
    /// It takes no more connections (`maxclients`).
    TooManyClients,
    /// Anything else.
    Other,
}

/// `None` if it is not the server that speaks.
///
/// The client library knows some codes by name. Those that it does not know, `BUSY` and `MISCONF` among them, are an
/// *extension* to it, and so is every pipeline that has one.
pub(super) fn reply(e: &RedisError) -> Option<Reply> {
    if !matches!(e.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
        return None;
    }
    let errors = e.clone().into_server_errors();
    let first = errors.as_ref().and_then(|all| all.first());
    Some(first.map_or(Reply::Other, |(_, e)| meaning(e.code(), e.details().unwrap_or_default())))
}

fn meaning(code: &str, rest: &str) -> Reply {
    match code {
        "BUSY" | "LOADING" | "MASTERDOWN" => Reply::Busy,
        "MISCONF" => Reply::RefusesWrites,
        "WRONGPASS" | "NOAUTH" => Reply::Password,
        "ERR" if rest.starts_with("max number of clients") => Reply::TooManyClients,
        "ERR" if rest.starts_with("invalid password") || rest.starts_with("AUTH <password> called without") => {
            Reply::Password
        }
        _ => Reply::Other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use redis::{Pipeline, Value, aio::MultiplexedConnection};
    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// A server that answers everything with this.
    async fn connection(answer: &'static [u8]) -> MultiplexedConnection {
        let (near, mut far) = duplex(1024);
        tokio::spawn(async move {
            let mut question = [0; 1024];
            while far.read(&mut question).await.is_ok_and(|n| n > 0) {
                far.write_all(answer).await.unwrap();
            }
        });
        let info = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = redis::AsyncConnectionConfig::new();
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, near, config).await.unwrap();
        tokio::spawn(driver);
        connection
    }

    #[rstest]
    #[case(b"-BUSY Redis is busy running a script.\r\n", Reply::Busy)]
    #[case(b"-LOADING Redis is loading the dataset in memory\r\n", Reply::Busy)]
    #[case(b"-MASTERDOWN Link with MASTER is down\r\n", Reply::Busy)]
    #[case(b"-MISCONF Errors writing to the AOF file\r\n", Reply::RefusesWrites)]
    #[case(b"-ERR max number of clients reached\r\n", Reply::TooManyClients)]
    #[case(b"-ERR max number of clients + cluster connections reached\r\n", Reply::TooManyClients)]
    #[case(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n", Reply::Password)]
    #[case(b"-NOAUTH Authentication required.\r\n", Reply::Password)]
    #[case(b"-ERR invalid password\r\n", Reply::Password)]
    #[case(
        b"-ERR AUTH <password> called without any password configured for the default user. Are you sure?\r\n",
        Reply::Password
    )]
    #[case(b"-ERR unknown command 'AUTH'\r\n", Reply::Other)]
    #[case(b"-NOPERM this user has no permissions\r\n", Reply::Other)]
    #[tokio::test]
    async fn what_the_server_says_is_an_answer(#[case] answer: &'static [u8], #[case] expected: Reply) {
        let mut connection = connection(answer).await;
        let ping = redis::cmd("PING").query_async::<Value>(&mut connection).await.unwrap_err();
        assert_eq!(reply(&ping), Some(expected), "{ping}");
        let pipeline = Pipeline::new().cmd("INFO").query_async::<Vec<Value>>(&mut connection).await.unwrap_err();
        assert_eq!(reply(&pipeline), Some(expected), "{pipeline}");
    }

    #[tokio::test]
    async fn a_broken_connection_is_none() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(reply(&broken), None);
    }
}
