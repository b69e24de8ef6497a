//! Logins to real servers (the program `redis-server` must be in the PATH), and to programs that play one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use redis::Connection;
use rstest::rstest;
use test_support::redis_server::{RedisServer, ask};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, watch},
    time::sleep,
};

use super::{
    super::{Clock, Link, Report, Target},
    *,
};
use crate::replication::Contact;

/// A server with the password `old`.
fn server() -> RedisServer {
    RedisServer::new(&["--requirepass", "old"])
}

fn link(port: u16, password: &watch::Sender<Password>) -> Link {
    let target = Target { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
    let changed = Arc::new(Notify::new());
    Link::open(target, Clock::start(), password.subscribe(), Duration::from_secs(1), changed, Arc::new(|| true))
}

fn password(text: &str) -> Password {
    Password::read(text.as_bytes()).unwrap()
}

fn cell(text: &str) -> watch::Sender<Password> {
    watch::Sender::new(password(text))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), met).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn comes(link: &Link, what: &str, condition: impl Fn(&Report) -> bool) -> Report {
    until(what, || condition(&link.report())).await;
    link.report()
}

/// Answers over a connection that was made after this.
async fn comes_back(link: &Link, killer: &mut Connection) {
    let before = link.report().server().info.clone().map(|(at, _)| at);
    ask::<()>(killer, "CLIENT KILL USER redis-replication-operator").unwrap();
    comes(link, "it ended", |r| {
        r.server().info.as_ref().map(|(at, _)| *at) != before && r.server().contact == Contact::Up
    })
    .await;
    comes(link, "another answer", |r| r.server().info.as_ref().is_some_and(|(at, _)| Some(*at) > before)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_login_takes_the_present_password() {
    let server = server();
    let cell = cell("old");
    let link = link(server.port, &cell);
    comes(&link, "an answer", |r| r.server().info.is_some()).await;
    let mut other = server.log_in("old").unwrap();

    ask::<()>(&mut other, "CONFIG SET requirepass new").unwrap();
    cell.send_replace(password("new"));
    let report = comes(&link, "it is accepted", |r| r.accepted == Some(password("new"))).await;
    assert_eq!(
        (report.server().contact, report.outdated, report.problem),
        (Contact::Up, None, None),
        "nothing was closed for it"
    );
    let wrong = ask::<()>(&mut other, "AUTH redis-replication-operator old").unwrap_err();
    assert_eq!(wrong.code(), Some("WRONGPASS"), "the operator's user has not kept the former one");
    comes_back(&link, &mut server.log_in("new").unwrap()).await;
    assert_eq!(link.report().accepted, Some(password("new")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_present_password_is_not_lost() {
    let server = server();
    let cell = cell("old");
    let link = link(server.port, &cell);
    comes(&link, "an answer", |r| r.server().info.is_some()).await;
    assert_eq!(link.report().outdated, None);

    cell.send_replace(password("new"));
    let report = comes(&link, "it is refused", |r| r.outdated.is_some()).await;
    assert!(report.outdated.as_ref().unwrap().contains("WRONGPASS"));
    assert_eq!((report.server().contact, report.problem, report.accepted), (Contact::Up, None, Some(password("old"))));
    comes_back(&link, &mut server.log_in("old").unwrap()).await;
    let report = link.report();
    assert!(report.outdated.is_some() && report.accepted == Some(password("old")), "{report:?}");

    cell.send_replace(password("old"));
    comes(&link, "it is accepted again", |r| r.outdated.is_none()).await;
}

/// `CONFIG SET requirepass` closes nothing; clients are refused all the same.
#[rstest]
#[case::another("CONFIG SET requirepass typed", "WRONGPASS")]
#[case::another_user("ACL SETUSER default resetpass >typed", "WRONGPASS")]
#[case::none("ACL SETUSER default nopass", "without any password")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_changed_by_hand_is_noticed_and_locks_nobody_out(
    #[case] command: &str,
    #[case] words: &str,
) {
    let server = server();
    let cell = cell("old");
    let first = link(server.port, &cell);
    comes(&first, "an answer", |r| r.server().info.is_some()).await;
    let mut other = server.log_in("old").unwrap();
    ask::<()>(&mut other, command).unwrap();
    let changed = |r: &Report| {
        r.outdated.as_ref().is_some_and(|said| said.contains(words)) && r.accepted == Some(password("old"))
    };
    comes(&first, "it is noticed over a connection that stays", changed).await;
    drop(first);
    let again = link(server.port, &cell); // another operator, which has not seen the former password accepted
    let report = comes(&again, "it is let in by its own user", |r| r.server().info.is_some()).await;
    assert!(changed(&report) && report.problem.is_none(), "{report:?}");
    // CONFIG SET does nothing where the configured value is the same
    ask::<()>(&mut other, "ACL SETUSER default on resetpass >old").unwrap();
    comes(&again, "it is put back", |r| r.outdated.is_none() && r.server().info.is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_password_or_none_says_so() {
    let server = server();
    let cell = cell("new");
    let link = link(server.port, &cell);
    let report = comes(&link, "it is refused", |r| r.problem.is_some()).await;
    assert!(matches!(&report.problem, Some(Problem::Password(words)) if words.contains("WRONGPASS")));
    assert!(report.server().info.is_none() && report.accepted.is_none());

    ask::<()>(&mut server.log_in("old").unwrap(), "ACL SETUSER default nopass").unwrap();
    let without =
        |r: &Report| matches!(&r.problem, Some(Problem::Password(words)) if words.contains("without any password"));
    comes(&link, "it has none", without).await;

    ask::<()>(
        &mut redis::Client::open(("127.0.0.1", server.port)).unwrap().get_connection().unwrap(),
        "ACL SETUSER default >new",
    )
    .unwrap();
    let report = comes(&link, "it is accepted", |r| r.problem.is_none() && r.server().info.is_some()).await;
    assert_eq!(report.accepted, Some(password("new")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_says_so() {
    let server = server();
    let mut other = server.log_in("old").unwrap();
    ask::<()>(&mut other, "CONFIG SET maxclients 1").unwrap();
    let cell = cell("old");
    for _ in 0..10 {
        let link = link(server.port, &cell);
        let report = comes(&link, "it is refused", |r| r.problem.is_some()).await;
        assert!(
            matches!(&report.problem, Some(Problem::Clients(words)) if words.contains("max number of clients")),
            "{report:?}"
        );
        assert!(report.server().info.is_none());
    }
    let link = link(server.port, &cell);
    comes(&link, "it is refused", |r| r.problem.is_some()).await;
    ask::<()>(&mut other, "CONFIG SET maxclients 100").unwrap();
    comes(&link, "it is let in", |r| r.server().info.is_some() && r.problem.is_none()).await;

    drop(server);
    comes(&link, "its end", |r| matches!(r.server().contact, Contact::Closed { .. } | Contact::Refused { .. })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_gone_refuses_nothing() {
    let server = server();
    let cell = cell("old");
    let link = link(server.port, &cell);
    comes(&link, "an answer", |r| r.server().info.is_some()).await;
    let mut other = server.log_in("old").unwrap();
    ask::<()>(&mut other, "CONFIG SET requirepass another").unwrap();
    ask::<()>(&mut other, "ACL DELUSER redis-replication-operator").unwrap();
    comes(&link, "it is refused", |r| matches!(r.problem, Some(Problem::Password(_)))).await;
    drop(server);
    comes(&link, "nobody refuses", |r| r.problem.is_none()).await;
}

/// The connection is of no use for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_one_password_and_closes_is_not_asked_with_the_next() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 1024]).await;
            socket.write_all(b"-WRONGPASS no\r\n").await.unwrap();
        }
    });
    for _ in 0..20 {
        let (stream, _) = Stream::connect(address, Duration::from_secs(1)).await.unwrap();
        let refusal = log_in(stream, &[password("present"), password("former")]).await.err();
        assert!(matches!(refusal, Some(Refusal::Said(Problem::Password(_)))));
    }
}

/// How a program that plays a server treats each connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It answers each question.
    Answers,
    /// It says it and closes the connection, as Redis does with one too many.
    SaysItFirst,
    /// The same, and its kernel resets the connection.
    Resets,
}

fn kind(problem: &Problem) -> &'static str {
    match problem {
        Problem::Password(_) => "password",
        Problem::Clients(_) => "clients",
        Problem::Login(_) => "login",
        Problem::Answer(_) => "answer",
        Problem::Writes(_) => "writes",
    }
}

#[rstest]
#[case("WRONGPASS invalid username-password pair or user is disabled.", "password")]
#[case("NOAUTH Authentication required.", "password")]
#[case("ERR invalid password", "password")]
#[case("ERR AUTH <password> called without any password configured for the default user.", "password")]
#[case("ERR max number of clients reached", "clients")]
#[case("LOADING Redis is loading the dataset in memory", "login")]
#[case("BUSY Redis is busy running a script.", "login")]
#[case("MISCONF Errors writing to the AOF file", "login")]
#[case("DENIED Redis is running in protected mode", "login")]
#[case("ERR unknown command 'AUTH'", "login")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_to_a_login_is_what_is_told(
    #[case] words: &str,
    #[case] expected: &str,
    #[values(Manner::Answers, Manner::SaysItFirst, Manner::Resets)] manner: Manner,
) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = format!("-{words}\r\n");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            if !matches!(manner, Manner::Answers) {
                socket.write_all(line.as_bytes()).await.unwrap();
                if matches!(manner, Manner::Resets) {
                    sleep(Duration::from_millis(2)).await; // what was asked lies there unread
                }
                continue;
            }
            let line = line.clone();
            tokio::spawn(async move {
                let mut question = [0; 1024];
                while socket.read(&mut question).await.is_ok_and(|n| n > 0) {
                    let _ = socket.write_all(line.as_bytes()).await;
                }
            });
        }
    });
    let link = link(port, &cell("secret"));
    let report = comes(&link, "it is told", |r| r.problem.is_some()).await;
    let problem = report.problem.clone().unwrap();
    assert_eq!(kind(&problem), expected, "{problem:?}");
    let told = words.split_once(' ').unwrap().1;
    assert!(format!("{problem:?}").contains(told), "{problem:?}");
    assert!(report.server().info.is_none() && report.accepted.is_none());
}
