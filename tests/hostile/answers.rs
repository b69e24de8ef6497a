//! Hostile answers on the wire and in `INFO`: no panic, no memory or time beyond a bound, and no text that is passed on
//! without one.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use proptest::prelude::*;
use redis_replication_operator::{
    password::Password,
    redis::{Clock, Info, Link, Problem, Report, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Notify, watch},
    time::{sleep, timeout},
};

/// No text of a server is longer where it is passed on, with the operator's own words around it.
const WORDS: usize = 300;

const MASTER: &str = "role:master\r\nrun_id:aaaa\r\nmaster_replid:1111\r\nmaster_replid2:2222\r\nsecond_repl_offset:7\r\n\
    master_repl_offset:14\r\nloading:1\r\nloading_loaded_perc:3.5\r\nsync_full:1\r\ndb0:keys=1,expires=0\r\n\
    slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=0\r\n";
const REPLICA: &str = "role:slave\r\nrun_id:bbbb\r\nmaster_replid:1111\r\nmaster_repl_offset:14\r\nmaster_host:10.0.0.1\r\n\
    master_port:6379\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\nmaster_sync_total_bytes:9\r\n\
    master_sync_read_bytes:4\r\n";

fn evil_value() -> impl Strategy<Value = String> {
    let extremes = [
        "",
        "0",
        "-0",
        "-1",
        "1",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "9223372036854775807",
        "NaN",
        "-NaN",
        "inf",
        "-inf",
        "1e308",
        "1e-308",
        "0x10",
        "٣",
        "\u{202e}",
        "\0",
        "\x1b[31m",
        "a:b:c",
        "keys=",
        "keys=18446744073709551615,",
        "ip=,port=,state=,offset=,lag=",
        "=,=,=",
        "ip=1,port=1,state=online,offset=18446744073709551615,lag=18446744073709551615",
        "master",
        "slave",
        "true",
    ];
    prop_oneof![
        proptest::sample::select(extremes.to_vec()).prop_map(str::to_owned),
        "\\PC{0,80}",
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(|b| String::from_utf8_lossy(&b).into_owned()),
        (1usize..5000).prop_map(|n| "9".repeat(n)),
    ]
}

fn is_bounded(info: &Info) {
    let ids = [Some(&info.run_id), Some(&info.replication_id), info.previous_replication_id.as_ref()];
    assert!(ids.into_iter().flatten().all(|id| id.len() <= 64 && id.bytes().all(|b| b.is_ascii_graphic())), "{info:?}");
    assert!(info.version.chars().count() <= 64 && info.loading_percent.is_none_or(|p| p <= 100));
}

proptest! {
    #[test]
    fn info_with_any_values(replica: bool, changes in proptest::collection::vec((0usize..12, evil_value()), 1..5), role in evil_value()) {
        let mut lines: Vec<String> = if replica { REPLICA } else { MASTER }.lines().map(str::to_owned).collect();
        for (at, value) in changes {
            let at = at % lines.len();
            let key = lines[at].split(':').next().unwrap().to_owned();
            lines[at] = format!("{key}:{value}");
        }
        match Info::parse([&*lines.join("\r\n")], Some(&role), usize::MAX) {
            Ok(info) => {
                is_bounded(&info);
                prop_assert!(info.contains(&info) && info.descends_from(&info.replication_id));
            }
            // a character may take ten to be shown: `\u{10ffff}`
            Err(e) => prop_assert!(e.to_string().chars().count() <= 64 * 10 + 80, "{e}"),
        }
    }
}

#[test]
fn a_line_of_10_mb_and_a_million_lines_take_no_time() {
    let long = "9".repeat(10 << 20);
    let many = "slave1:ip=a,port=1,state=online,offset=1,lag=0\r\ndb1:keys=1\r\n".repeat(200_000);
    for evil in [format!("x:{long}\r\n{REPLICA}"), format!("{REPLICA}\r\nmaster_replid:{long}"), many + MASTER] {
        let began = Instant::now();
        match Info::parse([&*evil], Some(&long), 0) {
            Ok(info) => is_bounded(&info),
            Err(e) => assert!(e.to_string().len() < WORDS, "{e}"),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

/// A program on a Redis port that answers everything with this, and then with `more` for as long as it is listened to.
struct Liar {
    port: u16,
    connections: Arc<AtomicUsize>,
    taken: Arc<AtomicUsize>,
}

async fn liar(answer: Vec<u8>, more: &'static [u8]) -> Liar {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connections, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, bytes) = (Arc::clone(&connections), Arc::clone(&taken));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            bytes.store(0, Ordering::Relaxed);
            let mut question = [0; 4096];
            while socket.read(&mut question).await.is_ok_and(|n| n > 0) {
                if socket.write_all(&answer).await.is_err() {
                    break;
                }
                while !more.is_empty() && socket.write_all(more).await.is_ok() {
                    bytes.fetch_add(more.len(), Ordering::Relaxed);
                }
            }
        }
    });
    Liar { port, connections, taken }
}

fn secret() -> watch::Receiver<Password> {
    watch::Sender::new(Password::read(b"secret").unwrap()).subscribe()
}

async fn listen_to(liar: &Liar, until: impl Fn(&Report) -> bool) -> Report {
    let target = Target { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: liar.port };
    let link = Link::open(
        target,
        Clock::start(),
        secret(),
        Duration::from_secs(1),
        Arc::new(Notify::new()),
        Arc::new(|| true),
    );
    let enough = async {
        while !until(&link.report()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(Duration::from_secs(20), enough).await;
    link.report()
}

fn words(report: &Report) -> Option<&str> {
    report.problem.as_ref().map(|p| match p {
        Problem::Password(words)
        | Problem::Clients(words)
        | Problem::Login(words)
        | Problem::Answer(words)
        | Problem::Writes(words) => words.as_str(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_announces_too_much_ends_the_connection_and_not_the_operator() {
    for evil in [
        "*9223372036854775807\r\n",
        "*2000000000\r\n",
        "%-1\r\n",
        "|4611686018427387903\r\n",
        "~999999999\r\n",
        ">100000000\r\n",
        "$1000000000000\r\n",
        "!-7\r\n",
        "=9223372036854775807\r\n",
        "*1\r\n*1\r\n*2000000000\r\n",
    ] {
        // the login is answered as it should be
        let liar = liar(format!("+OK\r\n+OK\r\n+OK\r\n{evil}").into_bytes(), b"").await;
        let report = listen_to(&liar, |r| r.problem.is_some() && liar.connections.load(Ordering::Relaxed) > 2).await;
        assert!(liar.connections.load(Ordering::Relaxed) > 2, "it did not try again after {evil:?}");
        assert!(words(&report).is_some_and(|w| w.starts_with("an answer ")), "{evil:?}: {report:?}");
        assert!(report.server().info.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_an_end_is_not_listened_to() {
    for beginning in ["+OK\r\n+OK\r\n+OK\r\n+", "-ERR ", "+OK\r\n*2\r\n+", "+OK\r\n+OK\r\n$262144\r\n"] {
        let liar = liar(beginning.as_bytes().to_vec(), &[b'a'; 4096]).await;
        listen_to(&liar, |_| liar.connections.load(Ordering::Relaxed) > 2).await;
        assert!(liar.connections.load(Ordering::Relaxed) > 2, "it listens on after {beginning:?}");
        // what the kernel's buffers hold is on top of what the operator took
        let taken = liar.taken.load(Ordering::Relaxed);
        assert!(taken < 32 << 20, "{taken} bytes after {beginning:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_every_connection_does_not_keep_the_operator_busy() {
    let liar = liar(b"+OK\r\n+OK\r\n+OK\r\n*2000000000\r\n".to_vec(), b"").await;
    let target = Target { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: liar.port };
    let _link = Link::open(
        target,
        Clock::start(),
        secret(),
        Duration::from_secs(1),
        Arc::new(Notify::new()),
        Arc::new(|| true),
    );
    sleep(Duration::from_secs(2)).await;
    let connections = liar.connections.load(Ordering::Relaxed);
    assert!((2..=20).contains(&connections), "{connections} connections in 2 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_of_its_trouble_is_cut_and_on_one_line() {
    for code in ["ERR", "MISCONF", "WRONGPASS", "NOAUTH", "EVIL", "READONLY"] {
        let evil = format!("-{code} \x1b[31m{}\r\n", "ü".repeat(100_000));
        let liar = liar(evil.repeat(9).into_bytes(), b"").await;
        let report = listen_to(&liar, |r| r.problem.is_some()).await;
        let words = words(&report).unwrap_or_else(|| panic!("{code}: {report:?}"));
        assert!(words.chars().count() <= WORDS && !words.contains(char::is_control), "{code}: {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_redis_leave_it_unused() {
    for evil in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "\0\0\0\0",
        "\u{feff}+OK\r\n",
        ":1\r\n",
        "$2\r\n\u{7ff}\r\n",
        ",NaN\r\n",
        "+\r\n",
    ] {
        let liar = liar(evil.as_bytes().repeat(9), b"").await;
        let report = listen_to(&liar, |r| r.problem.is_some() || liar.connections.load(Ordering::Relaxed) > 2).await;
        assert!(
            report.server().info.is_none() && words(&report).is_none_or(|w| w.chars().count() <= WORDS),
            "{evil:?}: {report:?}"
        );
    }
}
