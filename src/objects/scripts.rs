//! The shell scripts that the Redis container runs: POSIX, because images bring dash, bash or busybox.

/// Where the `ConfigMap` with the scripts is mounted.
pub(super) const DIRECTORY: &str = "/etc/redis";

/// Starts Redis with the password from the Secret.
pub(super) const BOOT: Script = Script { file: "boot.sh", text: include_str!("scripts/boot.sh") };
/// Part of the start: sees to it that Redis loads the data that is current.
pub(super) const DATA: Script = Script { file: "data.sh", text: include_str!("scripts/data.sh") };
/// The readiness probe.
pub(super) const READY: Script = Script { file: "ready.sh", text: include_str!("scripts/ready.sh") };
/// The liveness and start-up probe.
pub(super) const ALIVE: Script = Script { file: "alive.sh", text: include_str!("scripts/alive.sh") };
/// Holds a master back from stopping until it has handed over.
pub(super) const STOP: Script = Script { file: "stop.sh", text: include_str!("scripts/stop.sh") };

/// Writes the password down for the exporter.
pub(super) const EXPORTER: Script = Script { file: "exporter.sh", text: include_str!("scripts/exporter.sh") };

/// A script in the `ConfigMap`.
pub(super) struct Script {
    pub(super) file: &'static str,
    pub(super) text: &'static str,
}

impl Script {
    /// The path in the container.
    pub(super) fn path(&self) -> String {
        format!("{DIRECTORY}/{}", self.file)
    }

    /// What runs it. Not the file itself: then it need not be executable.
    pub(super) fn command(&self) -> Vec<String> {
        vec!["sh".into(), self.path()]
    }
}

#[cfg(test)]
#[path = "scripts_tests.rs"]
mod tests;
