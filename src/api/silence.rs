//! How long a process may be silent, and from when on Redis says that it runs a script.

use std::time::Duration;

use super::RedisReplicationSpec;

/// The names of the directive with which a script that runs long lets Redis answer `-BUSY`.
const BUSY_DIRECTIVES: [&str; 2] = ["busy-reply-threshold", "lua-time-limit"];

/// So much earlier than a process counts as hung Redis has to say that it is busy.
pub const BUSY_MARGIN: Duration = Duration::from_millis(500);

impl RedisReplicationSpec {
    /// What `spec.config` says of the directive, in milliseconds, by each name that it is given by.
    pub fn busy_thresholds(&self) -> impl Iterator<Item = (&str, i64)> {
        let of_it = |name: &str| BUSY_DIRECTIVES.iter().any(|directive| name.eq_ignore_ascii_case(directive));
        self.config.iter().filter(move |(name, _)| of_it(name)).filter_map(|(name, value)| {
            // of several lines Redis takes the last
            let text = value.text()?;
            let value = text.lines().rev().find(|l| !l.trim().is_empty())?.trim().parse().ok();
            Some((name.as_str(), value?))
        })
    }

    /// How long a process may be silent before it counts as hung. Never so short that a script that Redis would have said
    /// something about counts, whatever the spec has come to say since.
    pub fn hung_after(&self) -> Duration {
        let busy = self.busy_thresholds().filter_map(|(_, ms)| u64::try_from(ms).ok()).max().unwrap_or(0);
        self.unresponsive_after().max(Duration::from_millis(busy).saturating_add(BUSY_MARGIN))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_script_is_never_taken_for_a_hang() {
        for (spec, seconds) in [
            ("{}", 5),
            ("config: {busy-reply-threshold: 2500}", 5),
            ("config: {busy-reply-threshold: 9500}", 10),
            ("config: {Lua-Time-Limit: '19500'}", 20),
            ("config: {lua-time-limit: \"100\\n 29500 \\n\"}", 30),
            ("{config: {lua-time-limit: 9500}, failover: {unresponsiveAfter: 60s}}", 60),
            ("config: {lua-time-limit: -1}", 5),
            ("config: {lua-time-limit: never}", 5),
            ("config: {maxmemory: 99999}", 5),
        ] {
            let spec: RedisReplicationSpec = serde_saphyr::from_str(spec).unwrap();
            assert_eq!(spec.hung_after(), Duration::from_secs(seconds), "{spec:?}");
        }
    }
}
