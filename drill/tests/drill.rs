//! `drill` against a real Redis on this machine: the program `redis-server` must be in the PATH.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use redis_replication_drill::{DrillArgs, DrillError, Line, Verdict, drill};
use test_support::redis_server::RedisServer;
use tokio::sync::Notify;

fn args(port: u16, arguments: &[&str]) -> DrillArgs {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: DrillArgs,
    }
    let address = format!("127.0.0.1:{port}");
    let line = ["drill", "--address", &address].into_iter().chain(arguments.iter().copied());
    <Line as clap::Parser>::parse_from(line).args
}

async fn told(args: &DrillArgs) -> (Verdict, Vec<Line>) {
    told_while(args, &Notify::new()).await
}

/// The same; somebody waits until it writes.
async fn told_while(args: &DrillArgs, writes: &Notify) -> (Verdict, Vec<Line>) {
    let mut lines = Vec::new();
    let verdict = drill(args, &mut |line| {
        if matches!(line, Line::Progress { acknowledged: 1.., .. }) {
            writes.notify_one();
        }
        lines.push(line.clone());
        Ok(())
    })
    .await
    .unwrap();
    (verdict, lines)
}

#[tokio::test]
async fn a_quiet_drill_loses_nothing_and_keeps_its_pace() {
    let redis = RedisServer::new(&[]);
    let (verdict, lines) = told(&args(redis.port, &["--duration", "3s", "--rate", "100"])).await;
    assert_eq!((verdict.lost, verdict.confirmed), (0, 0));
    assert!((50..=301).contains(&verdict.acknowledged), "{verdict:?}");
    assert!(matches!(lines.first(), Some(Line::Started { .. })));
    assert!(lines.iter().any(|line| matches!(line, Line::Progress { .. })));
    assert_eq!(lines.last(), Some(&Line::Result(verdict)));
}

#[tokio::test]
async fn an_empty_restart_is_a_gap_and_its_losses_are_counted() {
    let mut redis = RedisServer::new(&[]);
    let port = redis.port;
    let writes = Notify::new();
    let mischief = async {
        writes.notified().await;
        redis.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        redis.start();
    };
    let args = args(port, &["--duration", "3s"]);
    let ((verdict, lines), ()) = tokio::join!(told_while(&args, &writes), mischief);
    assert!(verdict.lost > 0 && verdict.lost < verdict.acknowledged, "{verdict:?}");
    assert_eq!(verdict.first_lost.first(), Some(&1));
    let gap = lines
        .iter()
        .find_map(|line| match line {
            Line::Gap(gap) if gap.errors.contains_key("refused") => Some(gap),
            _ => None,
        })
        .expect("a gap with refused connections");
    assert!(gap.ms >= 400.0 && gap.ms <= verdict.max_gap_ms, "{gap:?}");
}

#[tokio::test]
async fn wait_counts_what_replicas_confirmed() {
    let master = RedisServer::new(&["--repl-diskless-sync-delay", "0"]);
    let _replica = RedisServer::new(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let (verdict, _) = told(&args(master.port, &["--duration", "5s", "--rate", "200", "--wait", "1"])).await;
    assert_eq!((verdict.lost, verdict.confirmed_lost), (0, 0));
    assert!(verdict.confirmed > 0 && verdict.confirmed <= verdict.acknowledged, "{verdict:?}");
}

#[tokio::test]
async fn the_password_comes_from_a_file() {
    let redis = RedisServer::new(&["--requirepass", "secret"]);
    let file = redis.directory().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let file = file.to_str().unwrap();
    let (verdict, _) = told(&args(redis.port, &["--duration", "1s", "--password-file", file])).await;
    assert!(verdict.acknowledged > 0 && verdict.lost == 0, "{verdict:?}");
}

#[tokio::test]
async fn earlier_writes_can_be_verified_again() {
    let redis = RedisServer::new(&[]);
    let (verdict, _) = told(&args(redis.port, &["--duration", "1s", "--key-prefix", "mine"])).await;
    let written = verdict.acknowledged;
    let again = |n: u64| args(redis.port, &["--key-prefix", "mine", "--verify-only", &n.to_string()]);
    assert_eq!(told(&again(written)).await.0.lost, 0);
    // One more may have been written than was acknowledged, two can't.
    let (verdict, _) = told(&again(written + 3)).await;
    assert!(verdict.lost == 2 || verdict.lost == 3, "{verdict:?}");
}

#[tokio::test]
async fn a_replica_is_no_master() {
    let master = RedisServer::new(&[]);
    let replica = RedisServer::new(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let args = args(replica.port, &["--key-prefix", "mine", "--verify-only", "1", "--verify-within", "500ms"]);
    let result = drill(&args, &mut |_| Ok(())).await;
    assert!(matches!(result, Err(DrillError::NotVerified { .. })), "{result:?}");
}

/// The Sentinel is asked before each connection: first it names the one master, then the other.
#[tokio::test]
async fn a_sentinel_says_where_the_master_is() {
    let (mut master, other) = (RedisServer::new(&[]), RedisServer::new(&[]));
    let mut sentinel = RedisServer::sentinel("mine", master.port);
    let args = args(sentinel.port, &["--duration", "5s", "--rate", "100", "--sentinel-master", "mine"]);
    let writes = Notify::new();
    let mischief = async {
        writes.notified().await;
        sentinel.ask::<()>("SENTINEL REMOVE mine").unwrap();
        sentinel.ask::<()>(&format!("SENTINEL MONITOR mine 127.0.0.1 {} 1", other.port)).unwrap();
        master.kill();
    };
    let ((verdict, lines), ()) = tokio::join!(told_while(&args, &writes), mischief);
    assert!(
        verdict.lost > 0 && verdict.lost < verdict.acknowledged,
        "some are on the one, some on the other: {verdict:?}"
    );
    let last = lines.iter().rev().find(|line| matches!(line, Line::Progress { .. }));
    assert!(matches!(last, Some(Line::Progress { failing: None, .. })), "{last:?}");

    let unknown = DrillArgs {
        sentinel_master: Some("other".into()),
        verify_only: Some(1),
        key_prefix: Some("mine".into()),
        verify_within: Duration::ZERO,
        ..args
    };
    let result = drill(&unknown, &mut |_| Ok(())).await;
    assert!(result.is_err_and(|error| error.to_string().contains("no master \"other\"")));
}
