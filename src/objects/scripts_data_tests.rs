//! What Redis has in memory after a start, whatever lies on its disk.

use std::{collections::BTreeSet, path::Path};

use super::*;

const MEMORY: &str = "{}";
const AOF: &str = "persistence: {size: 1Gi}";
const RDB: &str = "persistence: {size: 1Gi, mode: RDB}";
const BOTH: &str = "persistence: {size: 1Gi, mode: RDBAndAOF}";

/// How a disk came about, in this order.
#[derive(Clone, Copy, Debug)]
enum Make {
    /// A snapshot with this key.
    Snapshot(&'static str),
    /// What `FLUSHALL` writes.
    EmptySnapshot,
    /// A log with this key.
    Log(&'static str),
    /// The one file that Redis before 7 wrote.
    SingleLog(&'static str),
    /// The log has been removed, but for files that nothing lists.
    LoseManifest,
    /// The snapshot was begun before what came after it was written, and was finished later.
    FinishSnapshot,
    /// What killed processes leave.
    Litter,
}
use Make::{EmptySnapshot, FinishSnapshot, Litter, Log, LoseManifest, SingleLog, Snapshot};

/// The disk, the mode, and the only key that Redis is to have.
const CASES: &[(&[Make], &str, Option<&str>)] = &[
    (&[], AOF, None),
    (&[Snapshot("s")], AOF, Some("s")),
    (&[Snapshot("s"), Litter], BOTH, Some("s")),
    (&[Log("l")], AOF, Some("l")),
    (&[Snapshot("s"), Log("l")], AOF, Some("l")),
    (&[Log("l"), Snapshot("s")], AOF, Some("s")),
    (&[Log("l"), Snapshot("s")], BOTH, Some("s")),
    (&[Snapshot("s"), Log("l"), FinishSnapshot], BOTH, Some("l")),
    (&[Log("l"), EmptySnapshot], BOTH, Some("l")),
    (&[Log("l"), EmptySnapshot], RDB, Some("l")),
    (&[Log("l"), LoseManifest, Snapshot("s")], AOF, Some("s")),
    (&[SingleLog("l")], AOF, Some("l")),
    (&[SingleLog("l"), Snapshot("s")], AOF, Some("s")),
    (&[Snapshot("s"), SingleLog("l")], AOF, Some("l")),
    (&[], RDB, None),
    (&[Snapshot("s"), Litter], RDB, Some("s")),
    (&[Log("l")], RDB, Some("l")),
    (&[SingleLog("l")], RDB, Some("l")),
    (&[Snapshot("s"), Log("l")], RDB, Some("l")),
    (&[Snapshot("s"), Log("l"), FinishSnapshot], RDB, Some("l")),
    (&[Log("l"), Snapshot("s")], RDB, Some("s")),
    (&[SingleLog("l"), Snapshot("s")], RDB, Some("s")),
    (&[Snapshot("s"), Log("l"), Litter], MEMORY, None),
    (&[SingleLog("l")], MEMORY, None),
];

fn shell_at(directory: &Path, command: &str) {
    assert!(Command::new("sh").args(["-c", command]).current_dir(directory).status().unwrap().success(), "{command}");
}

fn files(data: &Path) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for directory in [data.to_owned(), data.join("appendonlydir")] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten().filter(|e| e.path().is_file()) {
            let path = entry.path().strip_prefix(data).unwrap().to_str().unwrap().to_owned();
            found.insert((path, entry.metadata().unwrap().len()));
        }
    }
    found
}

impl Root {
    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn with_spec(shell: &'static [&'static str], yaml: &str) -> Self {
        let root = Self::new(shell, b"secret");
        root.set_mode(yaml);
        root
    }

    fn set_mode(&self, yaml: &str) {
        let conf = config_map::persistence_conf(&cluster(yaml).spec);
        fs::write(self.directory.join("etc/redis/persistence.conf"), conf).unwrap();
    }

    /// A container that starts in a file system that is there already.
    fn starts(&self) -> Server {
        let _ = fs::remove_file(self.directory.join("run/redis/redis.conf"));
        let server = self.boot();
        until("it has loaded", || {
            self.answer(&["INFO", "persistence"]).is_some_and(|text| text.contains("\nloading:0"))
        });
        self.answer(&["REPLICAOF", "NO", "ONE"]).unwrap();
        self.answer(&["CONFIG", "SET", "appendfsync", "always"]).unwrap(); // as in `write`
        server
    }

    /// Brings the disk into a state; what is there already is a minute old.
    fn make(&self, make: Make) {
        match make {
            Snapshot(key) => self.write(&["--save", ""], key, "SAVE"),
            EmptySnapshot => self.write(&["--save", "60 10000"], "gone", "FLUSHALL"),
            Log(key) => self.write(&["--appendonly", "yes", "--save", ""], key, "PING"),
            SingleLog(key) => {
                self.write(&["--appendonly", "yes", "--save", ""], key, "BGREWRITEAOF");
                shell_at(
                    &self.data(),
                    "cat appendonlydir/*.base.rdb appendonlydir/*.incr.aof >appendonly.aof; rm -r appendonlydir",
                );
            }
            LoseManifest => shell_at(&self.data(), "rm appendonlydir/*.manifest"),
            FinishSnapshot => shell_at(&self.data(), "sleep 0.01; touch dump.rdb"),
            Litter => shell_at(
                &self.data(),
                "mkdir -p appendonlydir; touch temp-1.rdb temp-2-7.rdb temp-rewriteaof-9.aof temp-rewriteaof-bg-9.aof appendonlydir/temp-x",
            ),
        }
    }

    /// A Redis of its own with these options and nothing else writes a key, and is killed.
    fn write(&self, options: &[&str], key: &str, last: &str) {
        shell_at(&self.data(), "find . -type f -exec touch -d '1 minute ago' {} +");
        let hidden = self.directory.join("hidden");
        let log = options.contains(&"yes");
        let other = self.data().join("dump.rdb");
        if log && other.exists() {
            fs::rename(&other, &hidden).unwrap();
        }
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--dir", self.data().to_str().unwrap()]).args(options);
        command.args(["--appendfsync", "always"]); // a busy disk puts a write off by up to two seconds otherwise
        let server = Server(command.stdout(Stdio::null()).spawn().unwrap());
        until("it answers", || self.redis("", &["PING"]) == "PONG");
        assert_eq!(self.redis("", &["FLUSHALL"]), "OK");
        assert_eq!(self.redis("", &["SET", key, "value"]), "OK");
        self.redis("", &[last]);
        until("it has saved", || {
            let info = self.redis("", &["INFO", "persistence"]);
            info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
        });
        drop(server);
        if hidden.exists() {
            fs::rename(&hidden, &other).unwrap();
        }
    }

    fn start_from(&self, disk: &Path) {
        let _ = fs::remove_dir_all(self.data());
        let _ = fs::remove_file(self.directory.join("run/redis/redis.conf")); // a new container
        let copied = Command::new("cp").arg("-a").arg(disk).arg(self.data()).status().unwrap();
        assert!(copied.success());
    }

    /// The keys after a start, and whether there is a log then.
    fn boots_with(&self) -> (Vec<String>, bool) {
        let _ = fs::remove_file(self.directory.join("run/redis/redis.conf"));
        let _server = self.boot();
        until("it has loaded", || {
            self.answer(&["INFO", "persistence"]).is_some_and(|text| text.contains("\nloading:0"))
        });
        let keys = self.answer(&["KEYS", "*"]).unwrap();
        let log = self.answer(&["CONFIG", "GET", "appendonly"]).unwrap();
        (keys.lines().map(str::to_owned).collect(), log.ends_with("yes"))
    }

    fn answer(&self, command: &[&str]) -> Option<String> {
        let port = self.port.to_string();
        let output =
            Command::new("redis-cli").args(["-e", "-p", &port, "-a", "secret"]).args(command).output().unwrap();
        if !output.status.success() {
            eprintln!("{command:?}: {output:?}");
            return None;
        }
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// The data part of the start, as far as its command number `last`; returns whether it came to its end.
    fn is_killed_at(&self, last: usize) -> bool {
        let text = format!(
            "set -eu; n=0; server=redis-server; umask 077; fail() {{ exit 1; }}; set -T\n\
             trap 'n=$((n + 1)); [ $n -ne {last} ] || kill -9 $$' DEBUG\n. '{}'; trap - DEBUG",
            self.directory.join("etc/redis/data.sh").display()
        );
        fs::write(self.directory.join("run/redis/redis.conf"), "").unwrap();
        let ended = Command::new("bash").args(["-c", &text]).stderr(Stdio::null()).status().unwrap();
        assert!(ended.code().is_none_or(|code| code == 0), "{ended:?}");
        ended.success()
    }
}

#[test]
fn the_current_data_is_loaded_whatever_the_mode_was() {
    let shells = shells();
    for (index, (disk, mode, expected)) in CASES.iter().enumerate() {
        let root = Root::with_spec(shells[index % shells.len()], mode);
        let what = format!("{:?} {disk:?} {mode}", root.shell);
        for make in *disk {
            root.make(*make);
        }
        let (keys, log) = root.boots_with();
        let expected: Vec<_> = expected.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(keys, expected, "{what}");
        let kept_on = *mode == RDB && expected == ["l"];
        assert_eq!(log, *mode == AOF || *mode == BOTH || kept_on, "{what}");
        let left = files(&root.data());
        assert!(!left.iter().any(|(file, _)| file.contains("temp-")), "{what}: {left:?}");
        if *mode == MEMORY || *mode == RDB && expected == ["s"] {
            let snapshot = |(file, _): &(String, u64)| *mode == RDB && file == "dump.rdb";
            assert!(left.iter().all(snapshot), "{what}: {left:?}");
        }
        assert_eq!(root.boots_with(), (keys, log), "{what}: once more");
    }
}

/// After each command of the script the next start ends with the same data.
#[test]
fn a_start_that_is_killed_is_made_good_by_the_next() {
    if !is_installed("bash") {
        return;
    }
    for (disk, mode, expected) in CASES.iter().filter(|(disk, _, _)| disk.len() == 2) {
        let maker = Root::with_spec(SHELLS[0], mode);
        disk.iter().for_each(|make| maker.make(*make));
        let root = Root::with_spec(SHELLS[0], mode);
        let expected: Vec<_> = expected.iter().map(|key| (*key).to_owned()).collect();
        let mut seen = BTreeSet::from([files(&maker.data())]);
        for last in 1.. {
            root.start_from(&maker.data());
            let ended = root.is_killed_at(last);
            if seen.insert(files(&root.data())) {
                assert_eq!(root.boots_with().0, expected, "{disk:?} {mode}, killed at command {last}");
            }
            if ended {
                break;
            }
        }
    }
}

/// A server that calls itself one of Redis 6.2: it has one file, and none of those that came later.
#[test]
fn redis_6_has_a_single_append_only_file() {
    let old = |root: &Root| {
        let bin = root.directory.join("bin");
        fs::create_dir_all(&bin).unwrap();
        let text = "#!/bin/sh\n[ \"$1\" = --version ] || exec /usr/bin/env PATH=\"${PATH#*:}\" redis-server \"$@\"\n\
            echo 'Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64'\n";
        fs::write(bin.join("redis-server"), text).unwrap();
        shell_at(&bin, "chmod +x redis-server");
        let boot = root.directory.join("etc/redis/boot.sh");
        let text = fs::read_to_string(&boot).unwrap();
        let path = format!("PATH={}:$PATH\nserver=$(command -v redis-server)\n. ", bin.display());
        fs::write(&boot, text.replace("\n. ", &format!("\n{path}"))).unwrap();
    };
    for (disk, expected) in [
        ([Snapshot("s")].as_slice(), "s"),
        (&[SingleLog("l"), Snapshot("s")], "s"),
        (&[Snapshot("s"), SingleLog("l")], "l"),
    ] {
        let root = Root::with_spec(SHELLS[0], AOF);
        for make in disk {
            root.make(*make);
        }
        old(&root);
        let output = {
            // what the script leaves before the server takes over
            let boot = root.directory.join("etc/redis/boot.sh");
            let text = fs::read_to_string(&boot).unwrap();
            fs::write(&boot, text.replace("exec \"$server\"", "exit 0 #")).unwrap();
            let output = root.run(&BOOT);
            fs::write(&boot, text).unwrap();
            output
        };
        assert!(output.status.success(), "{disk:?} {output:?}");
        let left: Vec<_> = files(&root.data()).into_iter().map(|(file, _)| file).collect();
        let files = ["appendonly.aof", "dump.rdb", "started-with-log"];
        let wanted: Vec<_> = files.into_iter().filter(|file| expected == "l" || *file != "dump.rdb").collect();
        assert_eq!(left, wanted, "{disk:?}");
        let _ = fs::remove_file(root.directory.join("run/redis/redis.conf"));
        assert_eq!(root.boots_with().0, [expected], "{disk:?}");
    }
    let root = Root::with_spec(SHELLS[0], AOF);
    root.make(Log("l"));
    old(&root);
    let output = root.run(&BOOT);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("those of Redis 7 or later"), "{words}");
}

/// What happens to a running member between two starts.
#[derive(Clone, Copy, Debug)]
enum Live {
    /// As the operator does it: a snapshot, then no log.
    EndLog,
    /// As the operator does it: a log, and snapshots until it is complete.
    BeginLog,
    /// The readiness probe.
    Probe,
    /// The hook before the end of a pod, and the end.
    Stop,
    /// A write.
    Set(&'static str),
    /// A snapshot, in a later second than what was written before.
    Save,
    /// Redis empties itself while it reads a log that says so, with snapshots scheduled.
    Flush,
}

impl Root {
    fn lives(&self, what: Live) {
        let set = |directive, value| assert_eq!(self.answer(&["CONFIG", "SET", directive, value]).unwrap(), "OK");
        match what {
            Live::EndLog => {
                self.lives(Live::Save);
                set("save", "3600 1");
                set("appendonly", "no");
            }
            Live::BeginLog => {
                set("appendonly", "yes");
                until("the log is complete", || {
                    let info = self.answer(&["INFO", "persistence"]).unwrap();
                    info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
                });
                set("save", "");
            }
            Live::Probe => assert!(self.passes(&READY)),
            Live::Stop => {
                thread::sleep(Duration::from_millis(1100)); // the snapshot's second is another
                self.answer(&["REPLICAOF", "127.0.0.1", "1"]).unwrap(); // no operator demotes it here
                assert!(self.passes(&STOP));
                let pid = fs::read_to_string(self.directory.join("run/redis/server.pid")).unwrap();
                shell_at(&self.data(), &format!("kill {pid}"));
                until("it has ended", || self.answer(&["PING"]).is_none());
            }
            Live::Set(key) => assert_eq!(self.answer(&["SET", key, "value"]).unwrap(), "OK"),
            Live::Save => {
                thread::sleep(Duration::from_millis(1100));
                assert_eq!(self.answer(&["SAVE"]).unwrap(), "OK");
            }
            Live::Flush => assert_eq!(self.answer(&["FLUSHALL"]).unwrap(), "OK"),
        }
    }
}

/// The mode of the first start, what happens, the mode of the next start, and the keys that it has.
const LIVES: &[(&str, &[Live], &str, &[&str])] = &[
    (AOF, &[Live::Set("a"), Live::EndLog], RDB, &["a"]),
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Probe], RDB, &["a"]),
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Probe, Live::Set("b"), Live::Save], RDB, &["a", "b"]),
    // the kubelet has not brought the new mode yet
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Probe, Live::Set("b"), Live::Save], AOF, &["a", "b"]),
    // no snapshot since: the log is the newest
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Probe, Live::Set("b")], RDB, &["a"]),
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Set("b")], AOF, &["a"]),
    (BOTH, &[Live::Set("a"), Live::EndLog, Live::Probe, Live::Set("b"), Live::Save], RDB, &["a", "b"]),
    // an orderly end writes a snapshot
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Set("b"), Live::Stop], RDB, &["a", "b"]),
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Set("b"), Live::Stop], AOF, &["a", "b"]),
    // taken back
    (AOF, &[Live::Set("a"), Live::EndLog, Live::Probe, Live::BeginLog, Live::Set("b")], AOF, &["a", "b"]),
    (AOF, &[Live::Set("a"), Live::EndLog, Live::BeginLog, Live::Probe, Live::Set("b")], AOF, &["a", "b"]),
    (RDB, &[Live::Set("a"), Live::Save, Live::BeginLog, Live::Set("b")], AOF, &["a", "b"]),
    (RDB, &[Live::Set("a"), Live::Save, Live::BeginLog, Live::Probe, Live::Set("b")], RDB, &["a", "b"]),
    (RDB, &[Live::Set("a"), Live::BeginLog, Live::EndLog, Live::Probe, Live::Set("b"), Live::Save], RDB, &["a", "b"]),
    // what was emptied stays empty
    (AOF, &[Live::Set("a"), Live::Flush, Live::EndLog, Live::Probe], RDB, &[]),
    (BOTH, &[Live::Set("a"), Live::Save, Live::Flush, Live::Set("b")], BOTH, &["b"]),
];

/// Killed after each of them, whatever the mode of the next start is.
#[test]
fn a_mode_that_is_changed_live_loses_nothing() {
    for (index, (first, lives, next, expected)) in LIVES.iter().enumerate() {
        let root = Root::with_spec(SHELLS[index % 2], first);
        let server = root.starts();
        lives.iter().for_each(|live| root.lives(*live));
        drop(server);
        root.set_mode(next);
        let (mut keys, _) = root.boots_with();
        keys.sort();
        assert_eq!(keys, *expected, "{first} {lives:?} {next}");
        let (mut again, _) = root.boots_with();
        again.sort();
        assert_eq!(again, keys, "{first} {lives:?} {next}: once more");
    }
}

/// A replica that is killed in the middle of each copy keeps one unfinished file at most, and what it had.
#[test]
fn killed_copies_leave_one_file_at_most() {
    let unfinished = |root: &Root| files(&root.data()).iter().filter(|(file, _)| file.contains("temp-")).count();
    let master = Root::with_spec(SHELLS[0], AOF);
    let _server = master.starts();
    let fill = "for i = 1, 3000 do redis.call('SET', 'key' .. i, string.rep('x', 1000)) end";
    master.answer(&["EVAL", fill, "0"]).unwrap();
    master.answer(&["CONFIG", "SET", "rdb-key-save-delay", "1000"]).unwrap();
    for yaml in [AOF, RDB, MEMORY] {
        let replica = Root::with_spec(SHELLS[0], yaml);
        for round in 0..4 {
            let server = replica.boot();
            assert_eq!(unfinished(&replica), 0, "{yaml} {round}: removed before it starts");
            replica.answer(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]).unwrap();
            until("a copy is on its way", || unfinished(&replica) > 0);
            drop(server); // SIGKILL
            assert_eq!(unfinished(&replica), 1, "{yaml} {round}");
        }
    }
}
