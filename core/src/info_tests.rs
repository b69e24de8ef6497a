#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

const MASTER: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:aaaa\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
    slave0:ip=10.0.0.3,port=6379,state=online,offset=1400,lag=0\r\nslave1:ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
    master_replid:1111\r\nmaster_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:1414\r\n\
    # Persistence\r\nloading:0\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb12:keys=4,expires=1,avg_ttl=9\r\n# Stats\r\nsync_full:2\r\n\
    # Memory\r\nused_memory:900\r\nmaxmemory:1000\r\n";
const REPLICA: &str = "run_id:bbbb\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n\
    master_sync_in_progress:1\r\nmaster_sync_total_bytes:200\r\nmaster_sync_read_bytes:50\r\nmaster_replid:1111\r\n\
    master_replid2:2222\r\nmaster_repl_offset:7\r\nloading:1\r\nloading_loaded_perc:33.40\r\n";

#[test]
fn a_master_with_two_replicas() {
    let i = Info::parse([MASTER], None, 0).unwrap();
    assert!(i.is_master() && !i.loading);
    assert_eq!((i.offset, i.keys, i.full_syncs, i.run_id.as_str()), (1414, 7, 2, "aaaa"));
    assert_eq!(i.previous_replication_id, None);
    assert_eq!(i.memory, MemoryUse { used: Some(900), limit: Some(1000) });
    let unlimited = Info::parse([&*MASTER.replace("maxmemory:1000", "maxmemory:0")], None, 0).unwrap();
    assert_eq!(unlimited.memory.limit, None);
    let seen: Vec<_> = i.master().unwrap().slaves.iter().map(|s| (s.ip.as_str(), s.state.as_str())).collect();
    assert_eq!(seen, [("10.0.0.2", "wait_bgsave"), ("10.0.0.3", "online")]);
}

#[test]
fn a_replica_in_a_full_sync() {
    let i = Info::parse([REPLICA], Some("sync"), 0).unwrap();
    assert_eq!(i.replica().unwrap().follow, FollowState::Syncing(Some(25)));
    assert_eq!(i.loading_percent, Some(33));
    assert!(i.descends_from("1111") && i.descends_from("2222") && !i.descends_from("3333"));
}

/// A master that sends a copy without a file says its size to nobody.
#[test]
fn how_much_of_a_copy_has_arrived() {
    let saves =
        "loading:0\r\nrdb_bgsave_in_progress:1\r\ncurrent_save_keys_processed:30\r\ncurrent_save_keys_total:40\r\n";
    let master = |more: &str| Info::parse([&*MASTER.replace("loading:0\r\n", more)], None, 0).unwrap();
    assert_eq!(master(saves).snapshot_percent, Some(75));
    assert_eq!(master(&saves.replace("in_progress:1", "in_progress:0")).snapshot_percent, None);
    let percent = |replica: &str| Info::parse([replica], Some("sync"), 0).unwrap().sync_percent(Some(&master(saves)));
    assert_eq!(percent(REPLICA), Some(33), "it loads");
    let copies = REPLICA.replace("loading:1", "loading:0");
    assert_eq!(percent(&copies), Some(25));
    assert_eq!(percent(&copies.replace("bytes:200", "bytes:-1")), Some(75));
    assert_eq!(percent(&copies.replace("in_progress:1", "in_progress:0").replace("status:down", "status:up")), None);
}

#[test]
fn stages_of_following() {
    let with = |progress: &str, link: &str, role: Option<&str>| {
        let text = REPLICA
            .replace("master_sync_in_progress:1", &format!("master_sync_in_progress:{progress}"))
            .replace("master_link_status:down", &format!("master_link_status:{link}"));
        Info::parse([&*text], role, 0).unwrap().replica().unwrap().follow
    };
    assert_eq!(with("0", "up", Some("connected")), FollowState::Online);
    assert_eq!(with("0", "down", Some("connect")), FollowState::Connecting);
    assert_eq!(with("0", "down", None), FollowState::Connecting);
    assert_eq!(with("0", "down", Some("handshake")), FollowState::Handshake);
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(Info::parse([""], None, 0), Err(ParseError::Missing("role")));
    let text = MASTER.replace("master_repl_offset:1414", "master_repl_offset:many");
    assert_eq!(
        Info::parse([&*text], None, 0),
        Err(ParseError::Malformed { field: "master_repl_offset", value: "many".into() })
    );
}

#[test]
fn what_it_writes_to_its_disk() {
    let files = |text: &str| Info::parse([MASTER, text], None, 0).unwrap().files;
    let named = |name: &str, value: &str| files(&format!("{name}:{value}\r\n"));
    assert_eq!(files(""), Files::default());
    assert!(named("aof_enabled", "1").append_only && !named("aof_enabled", "0").append_only);
    assert!(named("aof_rewrite_in_progress", "1").rewriting && named("aof_rewrite_scheduled", "1").rewriting);
    assert!(named("aof_last_bgrewrite_status", "err").rewrite_failed && named("rdb_bgsave_in_progress", "1").saving);
    assert!(!named("aof_last_bgrewrite_status", "ok").rewrite_failed);
    assert!(named("rdb_last_bgsave_status", "err").save_failed && !named("rdb_last_bgsave_status", "ok").save_failed);
    assert_eq!(named("rdb_last_save_time", "1793000000").saved, 1_793_000_000);
    let complete = |text: &str| files(text).log_is_complete();
    assert!(complete("aof_enabled:1\r\naof_last_bgrewrite_status:ok\r\n"));
    assert!(!complete("aof_enabled:0\r\n") && !complete("aof_enabled:1\r\naof_rewrite_in_progress:1\r\n"));
    assert!(!complete("aof_enabled:1\r\naof_last_bgrewrite_status:err\r\n"));
}

/// A name that is asked for and not in the list would look like a field that no server has.
#[test]
fn all_fields_that_are_read_are_wanted() {
    assert!(WANTED.is_sorted());
    let source = include_str!("info.rs").split("#[cfg(test)]").next().unwrap();
    let mut read = 0;
    for method in ["text", "id", "number", "number::<u64>", "flag", "percent", "address"] {
        for part in source.split(&format!(".{method}(\"")).skip(1) {
            let (name, _) = part.split_once('"').unwrap();
            assert!(WANTED.contains(&name), "{name}");
            read += 1;
        }
    }
    assert!(read >= WANTED.len(), "{read}");
}

#[test]
fn nothing_of_a_server_is_kept_without_bounds() {
    let long = "x".repeat(LONGEST_ADDRESS + 1);
    let with = |line: &str| Info::parse([MASTER, line], None, 0).unwrap().master().unwrap().slaves.len();
    assert_eq!(with("slave9:ip=10.0.0.9,port=1,state=online,offset=1,lag=0"), 3);
    assert_eq!(with(&format!("slave9:ip={long},port=1,state=online,offset=1,lag=0")), 2);
    assert_eq!(with(&format!("slave9:ip=10.0.0.9,port=1,state={long},offset=1,lag=0")), 2);
    let many: String = (0..5000).map(|n| format!("slave{n}:ip=a,port=1,state=online,offset=1,lag=0\r\n")).collect();
    assert_eq!(with(&many), MOST_SLAVES);
    let host = REPLICA.replace("master_host:10.0.0.1", &format!("master_host:{long}"));
    assert!(matches!(Info::parse([&*host], None, 0), Err(ParseError::Malformed { field: "master_host", .. })));
    assert_eq!(Info::parse([MASTER, &"a:\n".repeat(MOST_LINES + 1)], None, 0), Err(ParseError::Lines));
    let databases: String = (0..5000).map(|n| format!("db{n}:keys=2,expires=0,avg_ttl=0\r\n")).collect();
    assert_eq!(Info::parse([MASTER, &databases], None, 0).unwrap().keys, 7 + 10_000, "many databases are honest");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(text in "(?s).{0,400}", pick in 0usize..400, junk in "(?s).{0,20}") {
        let _ = Info::parse([&*text], Some(&junk), 0);
        let mut evil: Vec<char> = REPLICA.chars().collect();
        let at = pick.min(evil.len());
        evil.splice(at..at, junk.chars());
        let _ = Info::parse([&*evil.into_iter().collect::<String>()], None, 0);
    }
}
