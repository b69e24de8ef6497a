//! Real Redis servers on this machine: the program `redis-server` must be in the PATH.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};

use formats::info::Fields;
use redis::{Client, Connection, FromRedisValue, RedisResult};

/// What a member of a replication boots with: a replica of nobody.
const MEMBER: &[&str] =
    &["--replicaof", "127.0.0.1", "1", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];

/// A server that may be killed and started again. It ends with the test.
pub struct RedisServer {
    process: Option<Child>,
    connection: Option<Connection>,
    pub port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
}

impl RedisServer {
    /// A master without a disk, unless these arguments say otherwise.
    pub fn new(arguments: &[&str]) -> Self {
        Self::with(&[&["--save", ""], arguments].concat())
    }

    /// Boots as the operator's pods do.
    pub fn member(arguments: &[&str]) -> Self {
        Self::new(&[MEMBER, arguments].concat())
    }

    /// A Sentinel that watches a master under a name.
    pub fn sentinel(name: &str, master: u16) -> Self {
        let conf = std::env::temp_dir().join(format!("sentinel-{}-{master}.conf", std::process::id()));
        fs::write(&conf, format!("sentinel monitor {name} 127.0.0.1 {master} 1\n")).unwrap();
        Self::with(&[conf.to_str().unwrap(), "--sentinel"])
    }

    fn with(arguments: &[&str]) -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("redis-server-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut server = Self { process: None, connection: None, port, directory, arguments };
        server.start();
        server
    }

    /// Starts it on the same port as before, and waits until it answers.
    pub fn start(&mut self) {
        // A Sentinel's file of settings comes before the options.
        let process = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--logfile", "redis.log", "--dir"])
            .arg(&self.directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be in the PATH");
        self.process = Some(process);
        let deadline = Instant::now() + Duration::from_secs(10);
        self.connection = loop {
            match self.connect() {
                Ok(connection) => break Some(connection),
                Err(e) => assert!(Instant::now() < deadline, "Redis does not answer: {e}: {}", self.log()),
            }
            sleep(Duration::from_millis(5));
        };
    }

    /// A connection on which it has answered, if only that it wants a password.
    fn connect(&self) -> RedisResult<Connection> {
        let client = Client::open(("127.0.0.1", self.port))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        match redis::cmd("PING").query::<String>(&mut connection) {
            Err(e) if e.code() != Some("NOAUTH") => Err(e),
            _ => Ok(connection),
        }
    }

    /// Another connection, with a password.
    pub fn log_in(&self, password: &str) -> RedisResult<Connection> {
        let mut connection = self.connect()?;
        redis::cmd("AUTH").arg(password).query::<()>(&mut connection)?;
        Ok(connection)
    }

    /// For the files of a test. It goes with the server.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.connection = None;
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        Self::signal_all(&[self], name);
    }

    /// The same to several at one moment, however busy the machine is.
    pub fn signal_all(servers: &[&Self], name: &str) {
        let ids = servers.iter().map(|server| server.process.as_ref().unwrap().id().to_string());
        assert!(Command::new("kill").arg(format!("-{name}")).args(ids).status().unwrap().success());
    }

    /// Sends one command, its words separated by spaces.
    pub fn ask<T: FromRedisValue>(&mut self, words: &str) -> RedisResult<T> {
        ask(self.connection.as_mut().unwrap(), words)
    }

    /// The fields of `INFO`.
    pub fn info(&mut self) -> Fields {
        let text: String = self.ask("INFO").unwrap_or_else(|e| panic!("{e}: {}", self.log()));
        Fields::parse(&text)
    }

    /// Whether a write is taken, and the first word of the refusal.
    pub fn write(&mut self, key: &str) -> Result<(), String> {
        self.ask::<()>(&format!("SET {key} x")).map_err(|e| e.code().unwrap_or_default().to_owned())
    }

    /// The end of its log.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.join("redis.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
        if let Some(conf) = self.arguments.first().filter(|first| Path::new(first).is_absolute()) {
            let _ = fs::remove_file(conf);
        }
    }
}

/// Sends one command over a connection, its words separated by spaces.
pub fn ask<T: FromRedisValue>(connection: &mut Connection, words: &str) -> RedisResult<T> {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query(connection)
}

/// Not one of those that the kernel gives to outgoing connections: a server keeps its port while it is down.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 20).unwrap() * 1000;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, Relaxed) % 1000).find(free).unwrap()
}
