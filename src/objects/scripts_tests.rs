//! The scripts, run by every shell that this machine has, with the Redis that it has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::super::{config_map, fixture::cluster};
use super::*;
use test_support::passwords::cases;

#[path = "scripts_data_tests.rs"]
mod data;

const SHELLS: [&[&str]; 4] = [&["sh"], &["dash"], &["bash", "--posix"], &["busybox", "sh"]];

/// Ends with the test, also when that fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A container's file system, as far as the scripts know it, in a directory.
struct Root {
    directory: PathBuf,
    shell: &'static [&'static str],
    port: u16,
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Root {
    fn new(shell: &'static [&'static str], password: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static PORTS: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("redis-scripts-{}-{count}", std::process::id()));
        // not one that the kernel gives to others while no Redis of ours listens
        let port = (0..20_000)
            .map(|_| 10_240 + (std::process::id() * 97 + PORTS.fetch_add(1, Ordering::Relaxed)) % 20_000)
            .map(|port| u16::try_from(port).unwrap())
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        let root = Self { directory, shell, port };
        for part in ["etc/redis", "etc/redis-auth", "run/redis", "data"] {
            fs::create_dir_all(root.directory.join(part)).unwrap();
        }
        fs::write(root.directory.join("etc/redis-auth/password"), password).unwrap();
        for (file, text) in [config_map::scripts(&cluster("{}")), config_map::settings(&cluster("{}"))]
            .into_iter()
            .flat_map(|map| map.data.unwrap())
        {
            fs::write(root.directory.join("etc/redis").join(file), root.moved(&text)).unwrap();
        }
        root
    }

    /// The text with its paths and its port inside this root, and with less patience.
    fn moved(&self, text: &str) -> String {
        let root = self.directory.to_str().unwrap();
        let mut text = text.replace("\"$cli\"", &format!("\"$cli\" -p {}", self.port));
        text = text.replace("timeout 10", "timeout 2");
        for path in ["/etc/redis", "/run/redis", "/data/", "/usr/local/lib/redis"] {
            text = text.replace(path, &format!("{root}{path}"));
        }
        text.replace("dir /data", &format!("dir {root}/data")).replace("port 6379\n", &format!("port {}\n", self.port))
    }

    fn command(&self, script: &Script) -> Command {
        let mut command = Command::new(self.shell[0]);
        let path = self.directory.join("etc/redis").join(script.file);
        command.args(&self.shell[1..]).arg(path).env("POD_IP", "127.0.0.1").stdin(Stdio::null());
        command
    }

    fn run(&self, script: &Script) -> Output {
        self.command(script).output().unwrap()
    }

    fn passes(&self, script: &Script) -> bool {
        self.run(script).status.success()
    }

    /// Starts Redis, and waits until it answers.
    fn boot(&self) -> Server {
        let mut server = Server(self.command(&BOOT).stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.passes(&ALIVE) {
            assert_eq!(server.0.try_wait().unwrap(), None, "Redis ended");
            assert!(Instant::now() < deadline, "Redis does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn redis(&self, password: &str, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "--no-auth-warning", "-a", password])
            .args(command)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// How often a command was called, by anybody.
    fn calls(&self, command: &str) -> u64 {
        let stats = self.redis("secret", &["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let calls = stats.lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next()?.parse().ok());
        calls.unwrap_or_default()
    }
}

/// Waits for a state.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_installed(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|directory| directory.join(program).exists())
}

/// The shells to test with: those that this machine has.
fn shells() -> Vec<&'static [&'static str]> {
    let redis = is_installed("redis-server") && is_installed("redis-cli");
    assert!(
        redis,
        "these tests need redis-server and redis-cli in the PATH: apt-get install redis-server, or make setup"
    );
    SHELLS.into_iter().filter(|shell| is_installed(shell[0])).collect()
}

/// Redis is started with the very password that the operator takes from the same bytes, or not at all.
#[test]
fn a_password_is_what_the_operator_takes_for_one() {
    for shell in shells() {
        for (bytes, expected) in cases() {
            let what = format!("{shell:?} {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
            let root = Root::new(shell, &bytes);
            match expected {
                Ok(password) => {
                    let _server = root.boot();
                    let masterauth = root.redis(&password, &["CONFIG", "GET", "masterauth"]);
                    assert_eq!(masterauth, format!("masterauth\n{password}").trim(), "{what}");
                    assert_eq!(root.redis(&password, &["REPLICAOF", "NO", "ONE"]), "OK", "{what}");
                    assert!(root.passes(&READY), "{what} {:?}", root.run(&READY));
                    assert!(root.passes(&EXPORTER), "{what}");
                    let text = fs::read_to_string(root.directory.join("run/redis/exporter.json")).unwrap();
                    let map: serde_json::Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(map, serde_json::json!({"redis://127.0.0.1:6379": password}), "{what}");
                }
                Err(error) => {
                    let output = root.run(&BOOT);
                    let words = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert_eq!(output.status.code(), Some(1), "{what}: {words}");
                    assert!(words.contains(&format!("the password in the Secret {error};")), "{what}: {words}");
                }
            }
        }
    }
}

#[test]
fn the_probes_tell_a_master_from_a_replica_of_nobody() {
    for shell in shells() {
        let root = Root::new(shell, b"secret");
        assert!(!root.passes(&ALIVE), "{shell:?}: nothing runs yet");
        assert!(!root.passes(&READY), "{shell:?}: nothing runs yet");
        assert!(root.passes(&STOP), "{shell:?}: nothing to wait for");

        let server = root.boot();
        assert!(root.redis("secret", &["ROLE"]).starts_with("slave"), "the boot rule");
        let not_ready = root.run(&READY);
        assert!(!not_ready.status.success());
        assert_eq!(String::from_utf8_lossy(&not_ready.stdout), "follows no master at present\n");
        let begun = Instant::now();
        assert!(root.passes(&STOP));
        assert!(begun.elapsed() < Duration::from_secs(2), "{shell:?}: a replica does not wait");

        root.redis("secret", &["REPLICAOF", "NO", "ONE"]);
        assert!(root.passes(&READY));

        let replica = Root::new(shell, b"secret");
        let _replica_server = replica.boot();
        replica.redis("secret", &["REPLICAOF", "127.0.0.1", &root.port.to_string()]);
        until(&format!("{shell:?}: the replica follows"), || replica.passes(&READY));
        drop(server);
    }
}

/// A module that does nothing but be there. It finds the server's functions as every module does.
const MODULE: &str = r#"
int RedisModule_OnLoad(void *context, void **arguments, int count) {
    int (*get)(const char *, void *) = *(void **)context;
    void (*set)(void *, const char *, int, int);
    if (get("RedisModule_SetModuleAttribs", &set)) return 1;
    set(context, "stub", 1, 1);
    return 0;
}"#;

/// The start command passes by the entry point of the official images, which loads the modules that they bring.
#[test]
fn the_modules_of_the_image_are_loaded_unless_the_settings_speak_of_modules() {
    for (settings, loaded) in [
        ("", true),
        ("# loadmodule: none\n", false),
        ("maxmemory 1gb\n", true),
        ("LoadModule ", false), // the path of the module follows
    ] {
        let root = Root::new(SHELLS[0], b"secret");
        let modules = root.directory.join("usr/local/lib/redis/modules");
        fs::create_dir_all(&modules).unwrap();
        let (source, module, other) =
            (modules.join("stub.c"), modules.join("stub.so"), root.directory.join("other.so"));
        fs::write(&source, MODULE).unwrap();
        let gcc = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&module).arg(&source).status().unwrap();
        assert!(gcc.success());
        fs::write(modules.join("empty.so"), "").unwrap();
        fs::copy(&module, &other).unwrap();
        let conf = root.directory.join("etc/redis/redis.conf");
        let named =
            if settings.starts_with("Load") { format!("{settings}{}\n", other.display()) } else { settings.into() };
        fs::write(&conf, fs::read_to_string(&conf).unwrap() + &named).unwrap();
        let _server = root.boot();
        let list = root.redis("secret", &["MODULE", "LIST"]);
        assert_eq!(list.contains(module.to_str().unwrap()), loaded, "{settings:?}: {list}");
        assert_eq!(list.contains(other.to_str().unwrap()), settings.starts_with("Load"), "{settings:?}: {list}");
    }
}

/// An image may bring several, and what is no module beside them.
#[test]
fn each_module_of_the_image_is_loaded_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    for shell in shells() {
        let root = Root::new(shell, b"secret");
        let modules = root.directory.join("usr/local/lib/redis/modules");
        fs::create_dir_all(&modules).unwrap();
        let source = modules.join("stub.c");
        for name in ["first", "second"] {
            fs::write(&source, MODULE.replace("\"stub\"", &format!("\"{name}\""))).unwrap();
            let to = modules.join(format!("{name}.so"));
            let gcc = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(to).arg(&source).status().unwrap();
            assert!(gcc.success());
        }
        for (name, mode) in [("plain.so", 0o644), ("first.so.bak", 0o755)] {
            fs::copy(modules.join("first.so"), modules.join(name)).unwrap();
            fs::set_permissions(modules.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(modules.join("folder.so")).unwrap();
        for start in 0..2 {
            let _server = root.boot();
            let list = root.redis("secret", &["MODULE", "LIST"]);
            let found: Vec<_> =
                ["first.so", "second.so", "plain.so", ".bak"].into_iter().filter(|n| list.contains(n)).collect();
            assert_eq!(found, ["first.so", "second.so"], "{shell:?}, start {start}: {list}");
        }
    }
}

/// The Service may lead to a former master for a moment, and nobody is to read there that nothing is left.
#[test]
fn one_that_starts_again_takes_its_time() {
    for shell in shells() {
        let root = Root::new(shell, b"secret");
        drop(root.boot());
        let again = Instant::now();
        let _server = root.boot();
        assert!(again.elapsed() >= Duration::from_secs(2), "{shell:?}: {:?}", again.elapsed());
    }
}

/// What follows a member that restarts empty keeps what it has, its history and its offset: only a master may be copied.
#[test]
fn a_replica_of_one_that_restarted_keeps_its_data_and_its_history() {
    let shell = shells()[0];
    let (master, replica) = (Root::new(shell, b"secret"), Root::new(shell, b"secret"));
    let process = master.boot();
    master.redis("secret", &["REPLICAOF", "NO", "ONE"]);
    master.redis("secret", &["SET", "key", "value"]);
    let _replica_process = replica.boot();
    replica.redis("secret", &["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    until("the replica follows", || replica.passes(&READY));
    let field = |name: &str| {
        let info = replica.redis("secret", &["INFO", "replication"]);
        info.lines().find_map(|l| l.strip_prefix(name).map(str::to_owned)).unwrap()
    };
    let history = field("master_replid:");
    drop(process);
    let _again = master.boot();
    until("the replica has asked for a copy three times", || {
        assert_eq!(field("master_replid:"), history);
        master.calls("psync") >= 3
    });
    assert_eq!(replica.redis("secret", &["GET", "key"]), "value");
}

#[test]
fn a_master_stops_when_it_is_demoted_and_not_before() {
    for shell in shells() {
        let root = Root::new(shell, b"secret");
        let _server = root.boot();
        root.redis("secret", &["REPLICAOF", "NO", "ONE"]);
        let before = root.calls("info");
        let mut stop = Server(root.command(&STOP).spawn().unwrap());
        let mut own = 0; // to look is to ask, too
        until(&format!("{shell:?}: it has asked three times"), || {
            own += 1;
            root.calls("info") >= before + own + 3
        });
        assert_eq!(stop.0.try_wait().unwrap(), None, "{shell:?}: it still is the master");
        root.redis("secret", &["REPLICAOF", "127.0.0.1", "1"]);
        let demoted = Instant::now();
        while stop.0.try_wait().unwrap().is_none() {
            assert!(demoted.elapsed() < Duration::from_secs(2), "{shell:?}: it waits on");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_stopped_process_is_ended_at_once_and_a_running_one_is_not() {
    for shell in shells() {
        let root = Root::new(shell, b"secret");
        let mut server = root.boot();
        assert!(root.passes(&STOP), "{shell:?}: a replica has nothing to wait for");
        assert_eq!(server.0.try_wait().unwrap(), None, "{shell:?}: it is left to the kubelet");
        let pid = server.0.id().to_string();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        let begun = Instant::now();
        assert!(root.passes(&STOP), "{shell:?}");
        assert!(!server.0.wait().unwrap().success(), "{shell:?}: it was killed");
        assert!(begun.elapsed() < Duration::from_secs(1), "{shell:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_busy_redis_is_alive_and_a_silent_one_is_not() {
    let Some(shell) = shells().first().copied() else { return };
    let root = Root::new(shell, b"secret");
    let mut server = root.boot();
    root.redis("secret", &["CONFIG", "SET", "maxclients", "1"]);
    assert!(root.passes(&ALIVE), "no room for clients");

    let pid = server.0.id().to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    let begun = Instant::now();
    assert!(!root.passes(&ALIVE), "stopped");
    assert!(begun.elapsed() > Duration::from_secs(1), "it was given time");
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    assert!(root.passes(&ALIVE), "goes on");
    assert_eq!(server.0.try_wait().unwrap(), None);
}

#[test]
fn the_password_is_readable_by_redis_alone_and_not_on_its_command_line() {
    use std::os::unix::fs::PermissionsExt;

    for shell in shells() {
        let root = Root::new(shell, b"hunter2hunter2");
        let server = root.boot();
        for file in ["password", "auth.conf", "ask-role", "redis.conf"] {
            let mode = fs::metadata(root.directory.join("run/redis").join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{shell:?} {file}");
        }
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{}/{file}", server.0.id())).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&text).contains("hunter2"), "{shell:?} {file}");
        }
    }
}
