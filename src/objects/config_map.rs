//! The `ConfigMap`s: what Redis reads when it starts, and the container's scripts. Both are mounted into one directory.
//!
//! The settings are immutable and named after their content, so that a container which restarts in an older pod reads the
//! settings that the pod was made with, whatever the spec says by now. The scripts are those of the operator, changed in place:
//! a newer operator's scripts are read the next time that they run, and are no reason to restart every Redis that there is.
//! `persistence.conf` is beside the scripts: the operator changes what a running Redis writes to its disk, and `data.sh` starts
//! from any disk in any mode, so that a change of `spec.persistence.mode` restarts no pod.
//!
//! `boot.sh` includes `redis.conf`, `operator.conf` and `persistence.conf`, then what is known only in the container: of a
//! directive given twice Redis takes the last.

use k8s_openapi::api::core::v1::ConfigMap;
use sha2::{Digest, Sha256};

use super::{Cluster, metadata::object_meta, names, scripts, syntax};
use crate::{
    api::{ConfigValue, PersistenceMode, RedisReplicationSpec},
    replication::PersistenceSettings,
};

/// What a user may override with `spec.config`.
///
/// - `repl-backlog-size`: how far a replica may fall behind and still catch up without a full copy; Redis' 1mb is gone in
///   a moment.
/// - `repl-diskless-sync-delay`: Redis waits 5 s for further replicas before it begins a snapshot.
/// - `repl-timeout`: either side drops the link after this much silence. Redis' 60 s is too short for a replica that
///   empties or loads a large data set, or for a master in a long command, and then the copy starts over. Nothing waits
///   for it: a closed connection ends the link at once, and the operator notices a master's silence itself. But a link
///   that died silently between two healthy members lasts as long, so it is not set to hours.
/// - `lua-time-limit` (`busy-reply-threshold`): from then on a long script lets Redis answer `-BUSY`, which is how the
///   operator tells it from a hung process. Validation keeps it below `failover.unresponsiveAfter`.
/// - `client-output-buffer-limit replica` is added by [`output_buffer`].
const DEFAULTS: &str = "\
repl-backlog-size 64mb
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-timeout 600
appendfsync everysec
lua-time-limit 2500
";

/// What the operator depends on. Everything here is in [`crate::api::RESERVED_DIRECTIVES`].
///
/// - `replicaof 127.0.0.1 1` is the boot rule: a replica of nobody refuses writes, and replicas that connect to it keep
///   their data. Only the operator makes a master, after it has recorded whom.
/// - `bind * -::*`: all addresses, and IPv6 only where the kernel has it.
/// - `protected-mode no`: it would refuse connections from other pods; the password protects.
/// - `replica-serve-stale-data yes` belongs to the boot rule: with `no` a replica of nobody answers `PSYNC` with
///   `-MASTERDOWN` and not with `-NOMASTERLINK`, and a replica that is told so forgets its history and its offset.
/// - `repl-ping-replica-period 1`: replicas can say within a second or two whether they still hear the master.
/// - `logfile ""`: to the container's log, whose end Kubernetes keeps as the termination message.
/// - `pidfile`: the `preStop` hook ends a stopped process.
/// - the min-replicas settings are missing on purpose: they come with the promotion, as its fence.
const OPERATED: &str = "\
port 6379
bind * -::*
protected-mode no
daemonize no
supervised no
logfile \"\"
pidfile /run/redis/server.pid
dir /data
replicaof 127.0.0.1 1
replica-read-only yes
replica-serve-stale-data yes
repl-ping-replica-period 1
";

/// Redis' own defaults for snapshots: after so many seconds, if so many keys were written.
const SNAPSHOTS: &str = "3600 1 300 100 60 10000";

/// The scripts, and what Redis writes to its disk.
pub(super) fn scripts(cluster: &Cluster) -> ConfigMap {
    let all = [scripts::BOOT, scripts::DATA, scripts::READY, scripts::ALIVE, scripts::STOP, scripts::EXPORTER];
    let scripts = all.map(|script| (script.file, script.text.to_owned()));
    let files = scripts.into_iter().chain([("persistence.conf", persistence_conf(&cluster.spec))]);
    ConfigMap {
        metadata: object_meta(cluster, names::scripts_map(&cluster.name)),
        data: Some(files.map(|(file, text)| (file.to_owned(), text)).collect()),
        ..ConfigMap::default()
    }
}

/// The settings of the pods that are made of this spec.
pub(super) fn settings(cluster: &Cluster) -> ConfigMap {
    let files = [("redis.conf", redis_conf(&cluster.spec)), ("operator.conf", operator_conf())];
    ConfigMap {
        metadata: object_meta(cluster, names::settings_map(&cluster.name, &digest(&cluster.spec))),
        data: Some(files.map(|(file, text)| (file.to_owned(), text)).into()),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// The defaults, then `spec.config`.
fn redis_conf(spec: &RedisReplicationSpec) -> String {
    let buffer = output_buffer(spec);
    let mut conf = format!("# Defaults, which spec.config below overrides.\n{DEFAULTS}{buffer}\n# spec.config\n");
    for (directive, value) in spec.config.iter().filter(|(directive, _)| !is_save(directive)) {
        if directive.eq_ignore_ascii_case("loadmodule") && lines(value) == ["\"\""] {
            conf += "# loadmodule: none\n"; // what boot.sh looks for
            continue;
        }
        for value in lines(value) {
            conf.extend([directive.as_str(), " ", &value, "\n"]);
        }
    }
    conf
}

/// How much the master keeps for a replica that copies, before it drops it and the copy begins again.
///
/// No soft limit: Redis' own, 64 MB for a minute, ends every copy of more than a minute on a master that is written to. The
/// hard limit is there for the master's memory, which these buffers come out of, beside `maxmemory`: a quarter of the
/// container's limit, and never less than Redis' own 256 MB. Without a limit nobody said how much there is: 1 GB.
fn output_buffer(spec: &RedisReplicationSpec) -> String {
    const LEAST: u64 = 256 << 20;
    let limit = spec.resources.as_ref().and_then(|r| r.limits.as_ref()?.get("memory"));
    let bytes = limit.map_or(1 << 30, |memory| (syntax::bytes(&memory.0).unwrap_or(0) / 4).max(LEAST));
    format!("client-output-buffer-limit replica {bytes} 0 0\n")
}

/// The values of a directive, one a line. Nothing at all is what Redis writes as `""`.
fn lines(value: &ConfigValue) -> Vec<String> {
    let text = value.text().unwrap_or_default(); // validation refuses what has none
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() { vec!["\"\"".into()] } else { lines }
}

/// What a member writes to its disk.
pub fn persistence(spec: &RedisReplicationSpec) -> PersistenceSettings {
    let mode = spec.persistence.as_ref().map(|persistence| persistence.mode);
    let own = spec.config.iter().find(|(directive, _)| is_save(directive));
    let schedule = own.map_or_else(|| SNAPSHOTS.to_owned(), |(_, value)| schedule(&lines(value).join(" ")));
    PersistenceSettings {
        append_only: matches!(mode, Some(PersistenceMode::Aof | PersistenceMode::RdbAndAof)),
        schedule: if writes_snapshots(spec) { schedule } else { String::new() },
    }
}

/// As Redis says it: numbers without leading zeros, one space between them.
fn schedule(text: &str) -> String {
    let numbers = text.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

/// Does the mode write snapshots?
pub(super) fn writes_snapshots(spec: &RedisReplicationSpec) -> bool {
    let mode = spec.persistence.as_ref().map(|persistence| persistence.mode);
    matches!(mode, Some(PersistenceMode::Rdb | PersistenceMode::RdbAndAof))
}

/// The directive that says when snapshots are written.
pub(super) fn is_save(directive: &str) -> bool {
    directive.eq_ignore_ascii_case("save")
}

/// What a Redis starts with; a running one is changed by the operator.
pub(super) fn persistence_conf(spec: &RedisReplicationSpec) -> String {
    let PersistenceSettings { append_only, schedule } = persistence(spec);
    let times: Vec<_> = schedule.split(' ').filter(|time| !time.is_empty()).collect();
    // one pair on a line: Redis before 7 takes no more
    let pairs = times.chunks(2).map(|time| format!("save {}\n", time.join(" ")));
    let save = if times.is_empty() { "save \"\"\n".to_owned() } else { pairs.collect() };
    let append_only = if append_only { "yes" } else { "no" };
    format!("# Of spec.persistence.mode and spec.config.save.\nappendonly {append_only}\n{save}")
}

/// What the operator decides.
fn operator_conf() -> String {
    format!("# The operator's; see spec.config.\n{OPERATED}")
}

/// Of the settings: another one is another `ConfigMap`, and so another revision of the pods.
pub(super) fn digest(spec: &RedisReplicationSpec) -> String {
    let mut digest = Sha256::new();
    digest.update(redis_conf(spec));
    digest.update([0]);
    digest.update(operator_conf());
    let first = digest.finalize().iter().take(8).fold(0, |hash: u64, byte| hash << 8 | u64::from(*byte));
    format!("{first:016x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::fixture::cluster;
    use super::*;
    use crate::api::RESERVED_DIRECTIVES;

    fn user_lines(yaml: &str) -> String {
        redis_conf(&cluster(yaml).spec).split_once("# spec.config\n").unwrap().1.to_owned()
    }

    #[test]
    fn config_becomes_lines() {
        for (yaml, expected) in [
            ("{}", ""),
            ("config: {maxmemory: 2gb}", "maxmemory 2gb\n"),
            ("config: {hz: 20}", "hz 20\n"),
            ("config: {maxmemory: 4294967296}", "maxmemory 4294967296\n"),
            ("config: {proto-max-bulk-len: 9223372036854775807}", "proto-max-bulk-len 9223372036854775807\n"),
            ("config: {lazyfree-lazy-eviction: \"yes\"}", "lazyfree-lazy-eviction yes\n"),
            ("config: {notify-keyspace-events: \"\"}", "notify-keyspace-events \"\"\n"),
            ("config: {loadmodule: \"\"}", "# loadmodule: none\n"),
            ("config: {loadmodule: \"/a.so x\\n/b.so\"}", "loadmodule /a.so x\nloadmodule /b.so\n"),
            (
                "config: {client-output-buffer-limit: \"normal 0 0 0\\nreplica 1gb 0 0\\n\"}",
                "client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit replica 1gb 0 0\n",
            ),
            ("config: {maxmemory: \"1gb\\nport 1\"}", "maxmemory 1gb\nmaxmemory port 1\n"),
            ("config: {maxmemory: \"1gb\\r\\n\\r\\n2gb\"}", "maxmemory 1gb\nmaxmemory 2gb\n"),
        ] {
            assert_eq!(user_lines(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn the_mode_decides_what_is_written() {
        const DEFAULT: &str = "save 3600 1\nsave 300 100\nsave 60 10000";
        const OWN: &str = "save 900 1\nsave 300 10";
        let plain = digest(&cluster("{}").spec);
        for (yaml, append_only, save) in [
            ("{}", "no", "save \"\""),
            ("persistence: {size: 1Gi}", "yes", "save \"\""),
            ("persistence: {size: 1Gi, mode: AOF}", "yes", "save \"\""),
            ("persistence: {size: 1Gi, mode: RDB}", "no", DEFAULT),
            ("persistence: {size: 1Gi, mode: RDBAndAOF}", "yes", DEFAULT),
            ("{persistence: {size: 1Gi, mode: RDB}, config: {save: 900 1 300 10}}", "no", OWN),
            ("{persistence: {size: 1Gi, mode: RDB}, config: {Save: \"0900 1\\n 300  10\"}}", "no", OWN),
        ] {
            let cluster = cluster(yaml);
            let conf = scripts(&cluster).data.unwrap().remove("persistence.conf").unwrap();
            let (_, lines) = conf.split_once('\n').unwrap();
            assert_eq!(lines, format!("appendonly {append_only}\n{save}\n"), "{yaml}");
            assert!(!redis_conf(&cluster.spec).contains("ave"), "{yaml}: it is said once");
            assert_eq!(digest(&cluster.spec), plain, "{yaml}: no pod is replaced");
        }
        let both = cluster("{persistence: {size: 1Gi, mode: RDB}, config: {Save: \"0900 1\\n 300  10\"}}");
        assert_eq!(persistence(&both.spec).schedule, "900 1 300 10", "as CONFIG GET says it");
    }

    #[test]
    fn a_copy_has_room_for_what_is_written_meanwhile() {
        for (yaml, bytes) in [
            ("{}", 1u64 << 30),
            ("resources: {requests: {memory: 8Gi}}", 1 << 30),
            ("resources: {limits: {cpu: 1}}", 1 << 30),
            ("resources: {limits: {memory: 128Mi}}", 256 << 20),
            ("resources: {limits: {memory: 1Gi}}", 256 << 20),
            ("resources: {limits: {memory: 8Gi}}", 2 << 30),
            ("resources: {limits: {memory: 10G}}", 2_500_000_000),
        ] {
            let conf = redis_conf(&cluster(yaml).spec);
            let line = format!("client-output-buffer-limit replica {bytes} 0 0");
            assert!(conf.lines().any(|l| l == line), "{yaml}: {conf}");
        }
        let conf = redis_conf(&cluster("config: {client-output-buffer-limit: replica 9gb 0 0}").spec);
        let last = conf.lines().rfind(|l| l.starts_with("client-output-buffer-limit")).unwrap();
        assert_eq!(last, "client-output-buffer-limit replica 9gb 0 0", "the last one counts");
    }

    #[test]
    fn every_member_boots_as_a_replica_of_nobody() {
        assert!(operator_conf().lines().any(|line| line == "replicaof 127.0.0.1 1"));
    }

    #[test]
    fn nothing_that_a_person_may_set_is_silently_overruled() {
        for line in operator_conf().lines().filter(|line| !line.starts_with('#')) {
            let directive = line.split(' ').next().unwrap();
            assert!(RESERVED_DIRECTIVES.contains(&directive), "{directive} is not reserved");
        }
        for line in DEFAULTS.lines() {
            let directive = line.split(' ').next().unwrap();
            assert!(!RESERVED_DIRECTIVES.contains(&directive), "{directive} is reserved");
        }
    }

    #[test]
    fn the_config_maps_have_the_files_that_the_pod_runs() {
        let names = |map: ConfigMap| map.data.unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(
            names(scripts(&cluster("{}"))),
            ["alive.sh", "boot.sh", "data.sh", "exporter.sh", "persistence.conf", "ready.sh", "stop.sh"]
        );
        assert_eq!(names(settings(&cluster("{}"))), ["operator.conf", "redis.conf"]);
    }

    #[test]
    fn other_settings_are_another_map_and_none_ever_changes() {
        let (before, after) = (settings(&cluster("{}")), settings(&cluster("config: {maxmemory: 1gb}")));
        assert_ne!(before.metadata.name, after.metadata.name);
        assert_eq!((before.immutable, scripts(&cluster("{}")).immutable), (Some(true), None));
        assert_eq!(scripts(&cluster("{}")), scripts(&cluster("config: {maxmemory: 1gb}")));
    }

    #[test]
    fn the_digest_follows_the_settings_and_nothing_else() {
        let plain = digest(&cluster("{}").spec);
        for (yaml, same) in [
            ("replicas: 5", true),
            ("image: redis:7.4", true),
            ("config: {maxmemory: 1gb}", false),
            ("persistence: {size: 1Gi}", true),
        ] {
            assert_eq!(digest(&cluster(yaml).spec) == plain, same, "{yaml}");
        }
    }
}
