//! What the members of one replication can make the operator hold, at the worst: a binary of its own, because it looks at the
//! memory of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use redis_replication_operator::{
    password::Password,
    redis::{Clock, Info, LONGEST_ANSWER, Link, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    time::{sleep, timeout},
};

const MEMBERS: usize = 9;
const SECTIONS: usize = 6;

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// The chart's limit for the operator.
fn limit() -> usize {
    let values: serde_json::Value =
        serde_saphyr::from_str(include_str!("../charts/redis-replication-operator/values.yaml")).unwrap();
    let text = values["resources"]["limits"]["memory"].as_str().unwrap().to_owned();
    text.strip_suffix("Mi").unwrap().parse::<usize>().unwrap() << 20
}

/// An answer to `INFO` as long as one may be, that a reader of all fields would make the most of.
fn info(section: usize, lines: &str) -> Vec<u8> {
    const HONEST: &str = "role:master\r\nrun_id:aaaa\r\nmaster_replid:1111\r\nmaster_repl_offset:14\r\n";
    let head = "$262144\r\n".len() + 2;
    let mut text = if section == 0 { HONEST.to_owned() } else { String::new() };
    let mut n = 0;
    while text.len() < LONGEST_ANSWER - head - 32 {
        text.push_str(&lines.replace('N', &format!("{n:x}")));
        n += 1;
    }
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Plays a Redis that answers everything with as much as it may, and counts the sections that it is asked for.
async fn play(mut socket: TcpStream, infos: Arc<Vec<Vec<u8>>>, asked: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut seen = Vec::new();
    loop {
        let mut part = [0; 4096];
        let n = socket.read(&mut part).await?;
        if n == 0 {
            return Ok(());
        }
        seen.extend_from_slice(&part[..n]);
        while let Some((command, used)) = command(&seen) {
            seen.drain(..used);
            match command.as_str() {
                "INFO" => {
                    socket.write_all(&infos[asked.fetch_add(1, Relaxed) % SECTIONS]).await?;
                }
                "ROLE" => {
                    let items = format!("*4000\r\n{}", ":1\r\n".repeat(4000));
                    socket.write_all(items.as_bytes()).await?;
                }
                "CONFIG" => socket.write_all(b"*2\r\n$21\r\nmin-replicas-to-write\r\n$1\r\n0\r\n").await?,
                _ => socket.write_all(b"+OK\r\n").await?,
            }
        }
    }
}

/// The name of the first whole command, and how long that is.
fn command(bytes: &[u8]) -> Option<(String, usize)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split_inclusive("\r\n").filter(|line| line.ends_with("\r\n"));
    let count: usize = lines.next()?.trim().strip_prefix('*')?.parse().ok()?;
    let parts: Vec<&str> = lines.take(2 * count).collect();
    let header = text.find("\r\n")? + 2;
    let name = parts.get(1)?.trim().to_owned();
    (parts.len() == 2 * count).then(|| (name, header + parts.iter().map(|p| p.len()).sum::<usize>()))
}

async fn hear_all(lines: &str) {
    let infos: Arc<Vec<Vec<u8>>> = Arc::new((0..SECTIONS).map(|section| info(section, lines)).collect());
    let password = watch::Sender::new(Password::read(b"secret").unwrap()).subscribe();
    let (mut opened, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..MEMBERS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (infos, asked) = (Arc::clone(&infos), Arc::new(AtomicUsize::new(0)));
        counts.push(Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(play(socket, Arc::clone(&infos), Arc::clone(&asked)));
            }
        });
        let target = Target { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
        opened.push(Link::open(
            target,
            Clock::start(),
            password.clone(),
            Duration::from_secs(1),
            Arc::new(Notify::new()),
            Arc::new(|| true),
        ));
    }
    let silent = |link: &Link| {
        let report = link.report();
        report.server().info.is_none() && report.problem.is_none()
    };
    let heard = async {
        // a third question means that the answer to the second has been taken in
        while opened.iter().any(silent) || counts.iter().any(|asked| asked.load(Relaxed) <= 2 * SECTIONS) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), heard).await.expect("all are heard, and asked again");
}

/// A reader of all fields needs 100 MB for these.
fn reading_needs_nothing() {
    let texts: Vec<String> = (0..SECTIONS)
        .map(|section| (0..1 << 18).map(|n| format!("{:x}:\n", n * SECTIONS + section)).collect())
        .collect();
    let before = peak();
    let _ = Info::parse(texts.iter().map(String::as_str), None, 0);
    let grown = peak() - before;
    assert!(grown < 1 << 20, "{grown} bytes more for reading {} bytes", texts.iter().map(String::len).sum::<usize>());
}

/// Beside what else it needs: some 20 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_answers_of_all_members_fit_into_the_operators_memory() {
    reading_needs_nothing();
    let before = peak();
    for lines in ["N:\r\n", "slaveN:ip=a,port=1,state=online,offset=1,lag=0\r\n", "x"] {
        hear_all(lines).await;
        let grown = peak() - before;
        println!("{lines:?}: {} KiB more", grown >> 10);
        assert!(grown < limit() / 3, "{lines:?}: {grown} bytes more than {before}");
    }
}
