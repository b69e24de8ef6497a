//! The connections of two operators to one real server: the later ends the earlier, and nothing else.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use redis_replication_operator::{
    password::Password,
    redis::{Clock, Link, Target},
    replication::Contact,
};
use test_support::redis_server::RedisServer as Server;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

pub const SECOND: Duration = Duration::from_secs(1);

pub const PASSWORD: &str = "secret";

pub fn server(arguments: &[&str]) -> Server {
    let mut server = Server::member(arguments);
    server.ask::<()>(&format!("CONFIG SET requirepass {PASSWORD}")).unwrap();
    server
}

/// A connection to a server, whether its operator leads, and its clock.
pub fn operator(port: u16) -> (Link, Arc<AtomicBool>, Clock) {
    let leads = Arc::new(AtomicBool::new(true));
    let authority = Arc::clone(&leads);
    let target = Target { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
    let password = watch::Sender::new(Password::read(PASSWORD.as_bytes()).unwrap()).subscribe();
    let clock = Clock::start();
    let link =
        Link::open(target, clock, password, SECOND, Arc::new(Notify::new()), Arc::new(move || authority.load(Relaxed)));
    (link, leads, clock)
}

pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(10 * SECOND, met).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn an_operator_ends_the_connections_of_those_before_it() {
    let mut server = server(&[]);
    server.ask::<()>("CLIENT SETNAME somebody").unwrap();
    let (former, former_leads, _) = operator(server.port);
    until("an answer to the former operator", || former.report().server().info.is_some()).await;

    former_leads.store(false, Relaxed); // it does not know yet, and has stopped
    let (present, present_leads, _) = operator(server.port);
    until("an answer to the present operator", || present.report().server().info.is_some()).await;
    until("the end of the former connection", || former.report().server().contact != Contact::Up).await;
    assert!(former.promote(1).await.is_err(), "a late command");
    sleep(SECOND).await;
    assert_ne!(former.report().server().contact, Contact::Up, "without the lease it connects to nobody");
    assert_eq!(present.report().server().contact, Contact::Up);
    assert!(!present.refresh().await.unwrap().is_master(), "the late command did nothing");
    assert_eq!(server.ask::<String>("CLIENT GETNAME").unwrap(), "somebody", "clients stay");

    present_leads.store(false, Relaxed);
    former_leads.store(true, Relaxed);
    until("another turn of the former operator", || {
        former.report().server().info.is_some() && former.report().server().contact == Contact::Up
    })
    .await;
    former.set_min_replicas(1).await.unwrap();
}

/// A script that runs for long refuses `CLIENT LIST`: the server is alive, and not led until it answers.
#[tokio::test]
async fn a_busy_server_is_alive_before_its_former_operators_can_be_ended() {
    let mut server = server(&["--busy-reply-threshold", "50"]);
    let port = server.port;
    let script = std::thread::spawn(move || {
        let _ = server.ask::<()>("EVAL while\ttrue\tdo\tend 0");
        server
    });
    sleep(Duration::from_millis(300)).await;
    let (link, _leads, clock) = operator(port);
    until("a connection", || link.report().server().contact == Contact::Up).await;
    for _ in 0..10 {
        sleep(Duration::from_millis(300)).await;
        let silent = link.report().server().silent_since.map_or(Duration::ZERO, |at| clock.now().saturating_sub(at));
        assert!(silent < SECOND, "-BUSY is an answer");
    }
    assert!(link.report().server().info.is_none());
    assert!(link.detach().await.is_err(), "it is not led yet");
    tokio::task::spawn_blocking(move || {
        let client = redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:{port}")).unwrap();
        let mut c = client.get_connection().unwrap();
        redis::cmd("SCRIPT").arg("KILL").query::<()>(&mut c).unwrap();
    })
    .await
    .unwrap();
    until("its state", || link.report().server().info.is_some()).await;
    script.join().unwrap();
}
