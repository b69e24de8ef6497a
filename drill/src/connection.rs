//! One connection to one Redis, with timeouts short enough for measuring a failover.

use std::{
    cell::Cell,
    error::Error,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::time::timeout;

use crate::DrillError;
use formats::password::Password;

/// An address found by name is used for so long, while connecting to it works.
const ADDRESS_KEPT: Duration = Duration::from_secs(1);
/// An attempt to connect may take so long; a slow network must be given its time.
const LONGEST_CONNECT: Duration = Duration::from_secs(1);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// An attempt to connect, before another begins beside it.
    attempt: Duration,
    response: Duration,
}

impl Timeouts {
    /// In milliseconds.
    pub fn new(attempt_ms: u64, response_ms: u64) -> Self {
        Self { attempt: Duration::from_millis(attempt_ms), response: Duration::from_millis(response_ms) }
    }
}

/// What an attempt came to.
#[derive(Debug)]
pub struct Failure {
    /// One word for the statistics.
    pub kind: String,
    /// The whole story.
    pub text: String,
    /// Whether the connection is of no more use.
    pub reconnect: bool,
}

impl Failure {
    fn new(kind: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind: kind.into(), text: text.into(), reconnect: true }
    }

    /// The server answers, but it is a replica.
    pub fn not_master() -> Self {
        Self::new("replica", "the server is not a master")
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let kind = kind_of(&error);
        // These answers will change at the same server; everything else may be answered better elsewhere.
        let reconnect = !matches!(kind.as_str(), "noreplicas" | "busy" | "oom" | "misconf");
        Self { kind, text: error.to_string(), reconnect }
    }
}

/// A word for an error: that of Redis in lower case, or what happened to the connection.
fn kind_of(error: &RedisError) -> String {
    if let Some(code) = error.code() {
        return code.to_ascii_lowercase();
    }
    // The crate keeps the cause in an Arc, and the Arc is what it shows.
    let cause = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io_kind = cause.and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    match (error.kind(), io_kind) {
        (ErrorKind::AuthenticationFailed, _) => "auth",
        (_, Some(io::ErrorKind::ConnectionRefused)) => "refused",
        (_, Some(io::ErrorKind::TimedOut)) => "timeout",
        (_, Some(io::ErrorKind::ConnectionReset)) => "reset",
        (_, Some(io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof)) => "closed",
        (_, Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)) => "unreachable",
        (ErrorKind::Io, _) => "io",
        _ => "other",
    }
    .to_owned()
}

/// Makes connections.
#[derive(Debug)]
pub struct Connector {
    host: String,
    port: u16,
    /// Name of the master, if the address is a Sentinel's.
    sentinel_master: Option<String>,
    password_file: Option<PathBuf>,
    timeouts: Timeouts,
    address: Cell<Option<(SocketAddr, Instant)>>,
    failures: Cell<u32>,
}

impl Connector {
    /// To `address`, which is host:port.
    pub fn new(address: &str, password_file: Option<PathBuf>, timeouts: Timeouts) -> Result<Self, DrillError> {
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| DrillError::Address(address.to_owned()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self {
            host,
            port,
            sentinel_master: None,
            password_file,
            timeouts,
            address: Cell::new(None),
            failures: Cell::new(0),
        })
    }

    /// The address is a Sentinel's, which knows where the master called `name` is.
    pub fn by_sentinel(self, name: Option<String>) -> Self {
        Self { sentinel_master: name, ..self }
    }

    /// Connects and authenticates. While a Service moves, packets to the former master vanish: as long as nothing has come of
    /// it, another attempt begins every now and then, and the first that ends counts.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let mut attempts = FuturesUnordered::new();
        let result = loop {
            attempts.push(self.try_connect(LONGEST_CONNECT.max(self.timeouts.attempt)));
            if let Ok(Some(result)) = timeout(self.timeouts.attempt, attempts.next()).await {
                break result;
            }
        };
        let failures = if result.is_ok() { 0 } else { self.failures.get().saturating_add(1) };
        self.failures.set(failures);
        result.map_err(|failure| match failure.kind.as_str() {
            "timeout" => Failure { kind: "connect-timeout".into(), ..failure },
            _ => failure,
        })
    }

    async fn try_connect(&self, limit: Duration) -> Result<Connection, Failure> {
        let password = self.password()?;
        let address = self.resolve().await?;
        let address = match &self.sentinel_master {
            Some(name) => self.ask_sentinel(address, name, limit).await?,
            None => address,
        };
        Ok(Connection { redis: self.open(address, password, limit).await? })
    }

    async fn open(
        &self,
        address: SocketAddr,
        password: Option<String>,
        limit: Duration,
    ) -> Result<MultiplexedConnection, Failure> {
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        let info = ConnectionAddr::Tcp(address.ip().to_string(), address.port())
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(self.timeouts.response));
        Ok(Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await?)
    }

    async fn ask_sentinel(&self, sentinel: SocketAddr, name: &str, limit: Duration) -> Result<SocketAddr, Failure> {
        let mut redis = self.open(sentinel, None, limit).await?;
        let answer: Option<(String, u16)> =
            redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).query_async(&mut redis).await?;
        let unknown = |what: &str| Failure::new("sentinel", format!("the Sentinel at {sentinel} knows {what}"));
        let (host, port) = answer.ok_or_else(|| unknown(&format!("no master {name:?}")))?;
        let host = host.parse().map_err(|_| unknown(&format!("the master only by name: {host}")))?;
        Ok(SocketAddr::new(host, port))
    }

    /// Read anew for every connection: it may have been rotated.
    fn password(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.password_file else { return Ok(None) };
        let failed = |why: String| Failure::new("password-file", format!("{}: {why}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
        let password = Password::read(&bytes).map_err(|error| failed(format!("the password {error}")))?;
        Ok(Some(password.text().to_owned()))
    }

    /// Looking a name up takes longer than connecting: an address is kept while it is good for something.
    async fn resolve(&self) -> Result<SocketAddr, Failure> {
        if let Some((address, since)) = self.address.get()
            && (self.failures.get() == 0 || since.elapsed() < ADDRESS_KEPT)
        {
            return Ok(address);
        }
        let not_found = |why: String| Failure::new("dns", format!("{}: {why}", self.host));
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| not_found(error.to_string()))?;
        let address = found.next().ok_or_else(|| not_found("no address".into()))?;
        self.address.set(Some((address, Instant::now())));
        Ok(address)
    }
}

/// An open connection.
pub struct Connection {
    redis: MultiplexedConnection,
}

impl Connection {
    /// SET; `Ok` is the acknowledgement.
    pub async fn set(&mut self, key: &str, value: u64) -> Result<(), Failure> {
        Ok(redis::cmd("SET").arg(key).arg(value).exec_async(&mut self.redis).await?)
    }

    /// WAIT: how many replicas have what this connection wrote.
    pub async fn wait(&mut self, replicas: u32, within: Duration) -> Result<u32, Failure> {
        let ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Ok(redis::cmd("WAIT").arg(replicas).arg(ms).query_async(&mut self.redis).await?)
    }

    /// Whether the other side is a master.
    pub async fn is_master(&mut self) -> Result<bool, Failure> {
        let role: redis::Value = redis::cmd("ROLE").query_async(&mut self.redis).await?;
        let redis::Value::Array(parts) = role else { return Ok(false) };
        Ok(matches!(parts.first(), Some(redis::Value::BulkString(name)) if name == b"master"))
    }

    /// The values of several keys, in order.
    pub async fn get_all(&mut self, keys: &[String]) -> Result<Vec<Option<String>>, Failure> {
        Ok(redis::cmd("MGET").arg(keys).query_async(&mut self.redis).await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_are_checked() {
        let timeouts = Timeouts::new(100, 1000);
        for good in ["cache-master:6379", "10.0.0.1:1", "[::1]:6379"] {
            assert!(Connector::new(good, None, timeouts).is_ok(), "{good}");
        }
        for bad in ["cache-master", ":6379", "cache:redis", ""] {
            assert!(matches!(Connector::new(bad, None, timeouts), Err(DrillError::Address(_))), "{bad}");
        }
    }

    /// A listener whose queue is full drops what comes, as the way to a lost node does.
    #[tokio::test]
    async fn an_attempt_that_gets_no_answer_does_not_hold_up_the_next() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = socket.listen(0).unwrap();
        let address = server.local_addr().unwrap().to_string();
        let first = tokio::net::TcpStream::connect(&address).await.unwrap(); // fills the queue
        let connector = Connector::new(&address, None, Timeouts::new(20, 1000)).unwrap();
        let serve = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            loop {
                let (mut stream, _) = server.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await.is_ok_and(|n| n > 0) {
                        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"+OK\r\n").await;
                    }
                });
            }
        };
        let began = Instant::now();
        tokio::select! {
            result = connector.connect() => drop(result.map_err(|failure| failure.text).unwrap()),
            () = serve => {}
        }
        // a dropped SYN is sent again after a second
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
        drop(first);
    }

    #[test]
    fn errors_have_a_word() {
        let refused = RedisError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(kind_of(&refused), "refused");
        assert!(Failure::from(refused).reconnect);
        let few = redis::make_extension_error("NOREPLICAS".into(), Some("Not enough good replicas to write.".into()));
        assert_eq!(kind_of(&few), "noreplicas");
        assert!(!Failure::from(few).reconnect);
    }
}
