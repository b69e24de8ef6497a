//! Writes on and on through the master Service, and goes on over a change of master.

use std::{
    env,
    error::Error,
    time::{Duration, Instant, SystemTime},
};

use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, ServerErrorKind, aio::MultiplexedConnection, io::tcp::TcpSettings,
};

const KEY: &str = "clients:redis-rs";
const LOCK: &str = include_str!("../Cargo.lock");

/// One connection, made anew when it is of no more use. `ConnectionManager` would keep one that is silent, and one that
/// leads to the former master.
struct Master {
    client: Client,
    connection: Option<MultiplexedConnection>,
    wait: usize,
}

impl Master {
    fn new(host: String, port: u16, password: Option<String>, wait: usize) -> RedisResult<Self> {
        let mut settings = RedisConnectionInfo::default();
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        let address = ConnectionAddr::Tcp(host, port)
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings);
        Ok(Self { client: Client::open(address)?, connection: None, wait })
    }

    async fn connection(&mut self) -> RedisResult<&mut MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            // A SYN to a pod that is gone gets no answer: rather try anew.
            .set_connection_timeout(Some(Duration::from_millis(500)))
            // Longer than the slowest command.
            .set_response_timeout(Some(Duration::from_secs(1)));
        match &mut self.connection {
            Some(connection) => Ok(connection),
            empty => Ok(empty.insert(self.client.get_multiplexed_async_connection_with_config(&config).await?)),
        }
    }

    async fn write(&mut self, number: u64) -> RedisResult<()> {
        let result = self.send(number).await;
        if let Err(error) = &result
            && leads_astray(error)
        {
            self.connection = None;
        }
        result
    }

    async fn send(&mut self, number: u64) -> RedisResult<()> {
        let wait = self.wait;
        let connection = self.connection().await?;
        let () = connection.zadd(KEY, number, number).await?;
        if wait > 0 {
            // The same connection: WAIT is about the writes of its connection. It must end before the response timeout.
            let replicas: usize = redis::cmd("WAIT").arg(wait).arg(500).query_async(connection).await?;
            if replicas < wait {
                return Err((ErrorKind::Client, "too few replicas have it").into());
            }
        }
        Ok(())
    }
}

/// The connection is lost or silent, or leads to the former master (READONLY).
fn leads_astray(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse | ErrorKind::Server(ServerErrorKind::ReadOnly))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let number = |name: &str, otherwise: &str| env::var(name).unwrap_or_else(|_| otherwise.to_owned()).parse::<u64>();
    let password = match env::var("REDIS_PASSWORD_FILE") {
        Ok(file) => Some(std::fs::read_to_string(file)?.trim().to_owned()),
        Err(_) => env::var("REDIS_PASSWORD").ok(),
    };
    let port = u16::try_from(number("REDIS_PORT", "6379")?)?;
    let mut master = Master::new(env::var("REDIS_HOST")?, port, password, usize::try_from(number("WAIT", "0")?)?)?;
    let () = master.connection().await?.del(KEY).await?;

    let (mut writes, mut errors, mut failures) = (0_u64, 0_u64, 0_u32);
    let (mut longest, mut longest_of_line) = (Duration::ZERO, Duration::ZERO);
    let mut last = Instant::now();
    let (mut line, end) = (last, last + Duration::from_secs(env::var("SECONDS")?.parse()?));
    while Instant::now() < end {
        if line.elapsed() >= Duration::from_secs(1) {
            let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
            let gap = longest_of_line.as_millis();
            println!(r#"{{"at":{at},"writes":{writes},"errors":{errors},"longestGapMs":{gap}}}"#);
            (line, longest_of_line) = (Instant::now(), Duration::ZERO);
        }
        // The same write until it is acknowledged: repeating it changes nothing.
        if let Err(error) = master.write(writes + 1).await {
            eprintln!("{error}");
            errors += 1;
            let pause = 20 << failures.min(4);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(pause / 2..=pause))).await; // not all clients in step
            failures += 1;
            continue;
        }
        let gap = last.elapsed();
        if writes > 0 {
            (longest, longest_of_line) = (longest.max(gap), longest_of_line.max(gap));
        }
        last += gap;
        failures = 0;
        writes += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let held: u64 = master.connection().await?.zcount(KEY, 1, writes).await?;
    let version = LOCK.split("name = \"redis\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    println!(
        r#"{{"client":"redis-rs","version":"{}","writes":{writes},"errors":{errors},"longestGapMs":{},"lost":{}}}"#,
        version.unwrap_or("unknown"),
        longest.as_millis(),
        writes.saturating_sub(held)
    );
    Ok(())
}
