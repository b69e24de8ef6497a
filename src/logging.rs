//! Logs: as text or JSON, with a level that can be changed while the operator runs.
//!
//! The level may be in a file, which in a cluster is a mounted `ConfigMap`: whoever may change that may change the level,
//! and nothing listens for it. (The image has no shell to send a signal with, and the port for metrics takes no commands.)

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::FilterFn,
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

/// How often the file with the level is read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged, and how. Each can be given by the environment.
#[derive(clap::Args, Clone, Debug)]
pub struct LogArgs {
    /// How logs are written.
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_parser = ["text", "json"], global = true)]
    pub log_format: String,
    /// What is logged: `info`, `debug`, or a filter such as `info,redis_replication_operator::operator=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true)]
    pub log_level: String,
    /// A file with what is to be logged, read every 5 s. While it is missing or empty, the log level above counts.
    #[arg(long, env = "LOG_LEVEL_FILE", global = true)]
    pub log_level_file: Option<PathBuf>,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is to be logged cannot be understood.
    #[error("{text:?} is no log level: write error, warn, info, debug or trace, or a filter such as info,kube=debug")]
    Level {
        /// What was given.
        text: String,
    },
    /// There are logs already.
    #[error(transparent)]
    Init(#[from] TryInitError),
    /// Traces cannot be sent.
    #[cfg(feature = "otlp")]
    #[error("traces: {0}")]
    Traces(#[from] crate::traces::Error),
}

/// Begins to log. Drive [`Level::follow`] to have changes of the file noticed.
///
/// # Errors
/// When the level makes no sense. One in the file that makes none is only warned of.
pub fn init(args: &LogArgs) -> Result<Logs, Error> {
    let (filter, level) = Level::new(args)?;
    let lines = if args.log_format == "json" {
        tracing_subscriber::fmt::layer().json().flatten_event(true).boxed()
    } else {
        tracing_subscriber::fmt::layer().with_ansi(false).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(without_payloads()).with(lines);
    #[cfg(feature = "otlp")]
    let traces = std::env::var(crate::traces::ENDPOINT).ok().filter(|e| !e.is_empty());
    #[cfg(feature = "otlp")]
    let traces = traces.as_deref().map(crate::traces::Sender::new).transpose()?;
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(traces.as_ref().map(crate::traces::Sender::layer));
    subscriber.try_init()?;
    Ok(Logs {
        level,
        #[cfg(feature = "otlp")]
        _traces: traces,
    })
}

/// The filter of [`without_payloads`].
pub type Payloads = FilterFn<fn(&Metadata<'_>) -> bool>;

/// Leaves out what kube's client says of answers that it cannot decode: it prints the whole answer, and that of a list has the
/// specs of all namespaces. Whoever asked gets the error, and says what it was.
pub fn without_payloads() -> Payloads {
    FilterFn::new(|m| m.target() != "kube_client::client" || *m.level() < tracing::Level::WARN)
}

/// What is to be kept while logs are written.
#[derive(Debug)]
pub struct Logs {
    /// The level.
    pub level: Level,
    #[cfg(feature = "otlp")]
    _traces: Option<crate::traces::Sender>,
}

/// The level, which may be changed.
#[derive(Debug)]
pub struct Level {
    handle: reload::Handle<EnvFilter, Registry>,
    file: Option<PathBuf>,
    configured: String,
    /// What was last put in force, or refused.
    last: String,
}

impl Level {
    fn new(args: &LogArgs) -> Result<(reload::Layer<EnvFilter, Registry>, Self), Error> {
        let (file, configured) = (args.log_level_file.clone(), args.log_level.clone());
        let mut last = configured.clone();
        let mut filter = parse(&configured)?;
        // what makes no sense in the file is warned of later, when there are logs
        if let Some(text) = file.as_deref().and_then(wanted)
            && let Ok(better) = parse(&text)
        {
            (last, filter) = (text, better);
        }
        let (layer, handle) = reload::Layer::new(filter);
        Ok((layer, Self { handle, file, configured, last }))
    }

    /// Reads the file from time to time, for ever.
    pub async fn follow(mut self) {
        while self.file.is_some() {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    fn look(&mut self) {
        let Some(file) = &self.file else { return };
        let wanted = wanted(file).unwrap_or_else(|| self.configured.clone());
        if wanted == self.last {
            return;
        }
        match parse(&wanted) {
            Ok(filter) => match self.handle.reload(filter) {
                Ok(()) => tracing::info!(level = wanted, "log level changed"),
                Err(error) => tracing::warn!(%error, "log level not changed"),
            },
            Err(error) => tracing::warn!(%error, "log level not changed"),
        }
        self.last = wanted;
    }
}

fn wanted(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A filter. A single word that is no level would be taken for a module's name, and a misspelt `debug` would silence
/// everything else.
fn parse(text: &str) -> Result<EnvFilter, Error> {
    let refused = || Error::Level { text: text.chars().take(64).collect() };
    let word = |d: &str| !d.contains(['=', '[']) && !LEVELS.contains(&d.trim().to_lowercase().as_str());
    if text.split(',').any(word) {
        return Err(refused());
    }
    EnvFilter::try_new(text).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstest::rstest;
    use tracing::{Level as L, enabled};

    use super::*;

    fn args(file: &Path) -> LogArgs {
        LogArgs { log_format: "text".into(), log_level: "info".into(), log_level_file: Some(file.to_owned()) }
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("{}-{name}", std::process::id()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_changes_the_level_while_it_runs() {
        let path = file("level");
        let (filter, level) = Level::new(&args(&path)).unwrap();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(filter));
        let logged = || [enabled!(L::WARN), enabled!(L::INFO), enabled!(L::DEBUG)];
        assert_eq!(logged(), [true, true, false], "without a file the configured level counts");
        let task = tokio::spawn(level.follow());
        for (text, expected) in [
            ("debug\n", [true, true, true]),
            ("warn", [true, false, false]),
            ("debgu", [true, false, false]),
            ("warn,redis_replication_operator=debug", [true, true, true]),
            ("", [true, true, false]),
        ] {
            std::fs::write(&path, text).unwrap();
            tokio::time::sleep(LOOK_EVERY * 2).await;
            assert_eq!(logged(), expected, "{text:?}");
        }
        std::fs::write(&path, "trace").unwrap();
        tokio::time::sleep(LOOK_EVERY * 2).await;
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(logged(), [true, true, false], "the file is gone");
        task.abort();
    }

    #[test]
    fn the_file_counts_from_the_first_line_on() {
        let path = file("first");
        std::fs::write(&path, "error").unwrap();
        let (filter, _level) = Level::new(&args(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            assert!(enabled!(L::ERROR) && !enabled!(L::WARN));
        });
    }

    #[rstest]
    #[case("info", true)]
    #[case("WARN", true)]
    #[case("info,kube=debug", true)]
    #[case("redis_replication_operator::operator=trace", true)]
    #[case("off", true)]
    #[case("debgu", false)]
    #[case("info,kube", false)]
    #[case("kube=loud", false)]
    #[case("", false)]
    #[case("\u{0}\n", false)]
    fn misspelt_levels_are_refused(#[case] text: &str, #[case] understood: bool) {
        assert_eq!(parse(text).is_ok(), understood);
    }
}
