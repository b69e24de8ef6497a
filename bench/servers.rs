//! Asking and telling the Redis servers themselves, from this machine.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use formats::info::Fields;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo};

const LIMIT: Duration = Duration::from_secs(2);

/// Sends one command to the server at `ip`.
pub async fn command<T: FromRedisValue>(ip: &str, port: u16, password: Option<&str>, words: &[&str]) -> Result<T> {
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    let address = ConnectionAddr::Tcp(ip.to_owned(), port).into_connection_info()?.set_redis_settings(settings);
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(LIMIT)).set_response_timeout(Some(LIMIT));
    let ask = async {
        let mut connection = Client::open(address)?.get_multiplexed_async_connection_with_config(&config).await?;
        let mut command = redis::cmd(words.first().copied().unwrap_or_default());
        command.arg(&words[1..]).query_async(&mut connection).await
    };
    ask.await.with_context(|| format!("{} at {ip}:{port}", words.join(" ")))
}

pub async fn info(ip: &str, password: Option<&str>, section: &str) -> Result<Fields> {
    Ok(Fields::parse(&command::<String>(ip, 6379, password, &["INFO", section]).await?))
}

/// Of each server that has ever answered: how many full copies it has given. Its name is the run id, for a restarted one
/// counts anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syncs(BTreeMap<String, u64>);

impl Syncs {
    pub fn note(&mut self, info: &Fields) {
        let given = info.number("sync_full").unwrap_or_default();
        self.0.insert(info.get("run_id").to_owned(), given);
    }

    /// Full copies since `before`, and servers that were started since then.
    pub fn since(&self, before: &Self) -> (u64, u64) {
        let former = |run_id: &String| before.0.get(run_id).copied();
        let copies = self.0.iter().map(|(id, given)| given.saturating_sub(former(id).unwrap_or_default())).sum();
        (copies, self.0.keys().filter(|id| former(id).is_none()).count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_copies_are_counted_across_restarts() {
        let of = |all: &[(&str, u64)]| {
            let mut syncs = Syncs::default();
            for (run_id, given) in all {
                syncs.note(&Fields::parse(&format!("run_id:{run_id}\r\nsync_full:{given}\r\n")));
            }
            syncs
        };
        let before = of(&[("a", 5), ("b", 1), ("c", 0)]);
        assert_eq!(before.since(&before), (0, 0));
        assert_eq!(of(&[("d", 0), ("b", 2), ("c", 0)]).since(&before), (1, 1), "a came back as d");
        assert_eq!(of(&[("d", 2), ("b", 1), ("c", 0)]).since(&before), (2, 1), "and was empty, and was followed");
    }
}
