//! Real Redis servers on this machine: the program `redis-server` must be in the PATH.

use std::{
    collections::HashMap,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};

use redis::{Connection, RedisResult};

/// A server that may be killed and started again. It ends with the test.
pub struct Server {
    process: Option<Child>,
    connection: Option<Connection>,
    pub port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// Boots as the operator's pods do: a replica of nobody.
    pub fn new(arguments: &[&str]) -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("simulation-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut server = Self { process: None, connection: None, port, directory, arguments };
        server.start();
        server
    }

    pub fn start(&mut self) {
        let fixed = "--bind 127.0.0.1 --replicaof 127.0.0.1 1 --save  --repl-diskless-sync yes \
            --repl-diskless-sync-delay 0 --logfile redis.log";
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string()])
            .args(fixed.split(' '))
            .arg("--dir")
            .arg(&self.directory)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be in the PATH");
        self.process = Some(process);
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let answers = client
                .get_connection_with_timeout(Duration::from_secs(2))
                .and_then(|mut c| redis::cmd("PING").query::<String>(&mut c).map(|_| c));
            match answers {
                Ok(connection) => {
                    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    self.connection = Some(connection);
                    return;
                }
                Err(e) => assert!(Instant::now() < deadline, "Redis does not answer: {e}"),
            }
            sleep(Duration::from_millis(5));
        }
    }

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
    pub fn ask<T: redis::FromRedisValue>(&mut self, words: &str) -> RedisResult<T> {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query(self.connection.as_mut().unwrap())
    }

    /// The fields of `INFO`.
    pub fn info(&mut self) -> HashMap<String, String> {
        let text: String = self.ask("INFO").unwrap_or_else(|e| {
            let log = std::fs::read_to_string(self.directory.join("redis.log")).unwrap_or_default();
            let end: Vec<_> = log.lines().rev().take(20).collect();
            panic!("{e}: {}", end.into_iter().rev().collect::<Vec<_>>().join("\n"))
        });
        text.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect()
    }

    /// Whether a write is taken, and the first word of the refusal.
    pub fn write(&mut self, key: &str) -> Result<(), String> {
        self.ask::<()>(&format!("SET {key} x")).map_err(|e| e.code().unwrap_or_default().to_owned())
    }
}

/// Not one of those that the kernel gives to outgoing connections: a server keeps its port while it is down.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 20).unwrap() * 1000;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, Relaxed)).find(free).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
