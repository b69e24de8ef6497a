//! The command line.
#![allow(clippy::doc_markdown, reason = "these comments are the help texts")]

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; of `status`: healthy
  1  failed; one line on the standard error has the reason and the action
  2  invalid command line
  3  `status`: something is not healthy; `rehearse`: acknowledged writes were lost
  4  the operator refused or abandoned the request; nothing has changed
  5  the request was not completed in time; it stays
`cli` exits with the exit code of redis-cli.";

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-rr",
    bin_name = "kubectl rr",
    version,
    about = "Show and control Redis and Valkey replications",
    after_help = EXIT_CODES,
    infer_subcommands = false
)]
pub struct Cli {
    /// The cluster.
    #[command(flatten)]
    pub connection: Connection,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// How to reach the cluster.
#[derive(Args, Debug, Clone, Default)]
pub struct Connection {
    /// The namespace. Default: the context's.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// The context in the kubeconfig. Default: the current one.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The kubeconfig file. Default: KUBECONFIG, ~/.kube/config, or the pod's own service account.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show members with their lag, what the operator waits for, and the last change of master.
    Status(Status),
    /// Request a switchover from the healthy master: writes pause for milliseconds, no write is lost.
    Switchover(Switchover),
    /// Force a failover that the operator refuses: acknowledged writes may be lost.
    Failover(Failover),
    /// Pause the operator for a replication. There is no failover meanwhile.
    Pause(Name),
    /// End a pause.
    Resume(Name),
    /// Open redis-cli on the master or another member, authenticated.
    Cli(RedisCli),
    /// Show the logs of all members, merged.
    Logs(Logs),
    /// Show the events of the resource and of the objects that belong to it.
    Events(Name),
    /// Collect the data for a bug report into a tar.gz, without Secrets and passwords.
    Report(Report),
    /// Rehearse the loss of the master under writes, and measure the interruption.
    Rehearse(Rehearse),
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Answers kubectl's own completion.
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words of the line so far.
        #[arg(last = true)]
        words: Vec<String>,
    },
}

/// A command about one resource.
#[derive(Args, Debug)]
pub struct Name {
    /// Name of the RedisReplication.
    #[arg(value_parser = resource)]
    pub name: String,
}

/// `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Name of the RedisReplication. Default: all of the namespace, one per line.
    #[arg(value_parser = resource)]
    pub name: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,
    /// Redraw every second, until Ctrl-C.
    #[arg(short, long, conflicts_with = "output")]
    pub watch: bool,
    /// Print in a machine-readable format.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// A machine-readable format.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// `switchover`.
#[derive(Args, Debug)]
pub struct Switchover {
    /// Name of the RedisReplication.
    #[arg(value_parser = resource)]
    pub name: String,
    /// The pod that becomes master. Default: the operator chooses.
    #[arg(long, value_name = "POD")]
    pub to: Option<String>,
    /// A member without its option.
    #[arg(hide = true, value_name = "POD", value_parser = without_to)]
    pub stray: Option<String>,
    /// Whether and how long to wait.
    #[command(flatten)]
    pub patience: Patience,
}

/// `failover`.
#[derive(Args, Debug)]
pub struct Failover {
    /// Name of the RedisReplication.
    #[arg(value_parser = resource)]
    pub name: String,
    /// Confirm that acknowledged writes may be lost.
    #[arg(long)]
    pub force: bool,
    /// The pod that becomes master. Default: the one with the newest data among those that answer.
    #[arg(long, value_name = "POD")]
    pub to: Option<String>,
    /// A member without its option.
    #[arg(hide = true, value_name = "POD", value_parser = without_to)]
    pub stray: Option<String>,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub yes: bool,
    /// Whether and how long to wait.
    #[command(flatten)]
    pub patience: Patience,
}

/// Whether and how long to wait.
#[derive(Args, Debug, Clone)]
pub struct Patience {
    /// Wait for the result (the default).
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Only make the request.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait, e.g. `90s` or `5m`.
    #[arg(long, value_parser = formats::duration::parse, default_value = "2m")]
    pub timeout: Duration,
}

/// `cli`.
#[derive(Args, Debug)]
pub struct RedisCli {
    /// Name of the RedisReplication.
    #[arg(value_parser = resource)]
    pub name: String,
    /// The member. Default: the master.
    pub pod: Option<String>,
    /// A Redis command, or options of redis-cli. Default: a prompt, or the commands on the standard input.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// `logs`.
#[derive(Args, Debug)]
pub struct Logs {
    /// Name of the RedisReplication.
    #[arg(value_parser = resource)]
    pub name: String,
    /// Print new lines as they are written, also after a member restarts.
    #[arg(short, long)]
    pub follow: bool,
    /// The number of last lines of each member.
    #[arg(long, value_name = "LINES")]
    pub tail: Option<i64>,
    /// Only lines that are not older than this, e.g. `10m`.
    #[arg(long, value_parser = formats::duration::parse)]
    pub since: Option<Duration>,
    /// The logs of the containers before their last restart.
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
}

/// `report`.
#[derive(Args, Debug)]
pub struct Report {
    /// Name of the RedisReplication.
    #[arg(value_parser = resource)]
    pub name: String,
    /// The file to write. Default: `<name>-report-<time>.tar.gz` in the current directory.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The number of last lines of each log.
    #[arg(long, value_name = "LINES", default_value_t = 5000)]
    pub tail: i64,
}

/// `rehearse`.
#[derive(Args, Debug)]
pub struct Rehearse {
    /// Name of the RedisReplication.
    #[arg(value_parser = resource)]
    pub name: String,
    /// Terminate the master's process without a hand-over: a failover. Default: delete its pod, which is a switchover.
    #[arg(long)]
    pub crash: bool,
    /// Writes per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Image of the writer. Default: the operator's image.
    #[arg(long)]
    pub image: Option<String>,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub yes: bool,
}

/// Reads the name of a resource, also as kubectl prints it: `rr/cache`, `redisreplication.redis.replication.dev/cache`.
fn resource(text: &str) -> Result<String, String> {
    let Some((kind, name)) = text.split_once('/') else { return Ok(text.to_owned()) };
    let group = kind.split_once('.').map(|(_, group)| group);
    let known = matches!(kind.split('.').next(), Some("rr" | "redisreplication" | "redisreplications"));
    if known && group.is_none_or(|group| group == "redis.replication.dev") && !name.is_empty() {
        return Ok(name.to_owned());
    }
    Err("it is not the name of a RedisReplication, such as cache or rr/cache".into())
}

/// A member in the place of nothing lacks its option.
fn without_to(text: &str) -> Result<String, String> {
    Err(format!("the new master is given with its option: --to {text}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_two_dashes_is_for_redis_cli() {
        let cli = parse("kubectl-rr cli cache cache-1 -n shop -- --raw GET -n").unwrap();
        assert_eq!(cli.connection.namespace.as_deref(), Some("shop"));
        let Command::Cli(args) = cli.command else { unreachable!() };
        assert_eq!(args.pod.as_deref(), Some("cache-1"));
        assert_eq!(args.arguments, ["--raw", "GET", "-n"]);
        let Command::Cli(args) = parse("kubectl-rr cli cache -- PING").unwrap().command else { unreachable!() };
        assert_eq!((args.pod, args.arguments), (None, vec!["PING".to_owned()]));
    }

    #[test]
    fn contradictions_are_usage_errors() {
        for line in [
            "kubectl-rr status cache -A",
            "kubectl-rr status --watch -o json",
            "kubectl-rr logs cache -f -p",
            "kubectl-rr switchover",
            "kubectl-rr switchover cache --timeout 3w",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_name_may_have_its_type_before_it() {
        for given in [
            "cache",
            "rr/cache",
            "redisreplication/cache",
            "redisreplications/cache",
            "redisreplication.redis.replication.dev/cache",
        ] {
            let Command::Status(args) = parse(&format!("kubectl-rr status {given}")).unwrap().command else {
                unreachable!()
            };
            assert_eq!(args.name.as_deref(), Some("cache"), "{given}");
        }
        for given in ["pod/cache", "rr/", "rr.example.com/cache"] {
            assert_eq!(parse(&format!("kubectl-rr pause {given}")).unwrap_err().exit_code(), 2, "{given}");
        }
    }

    #[test]
    fn a_member_without_its_option_is_told_the_option() {
        for line in ["kubectl-rr switchover cache cache-1", "kubectl-rr failover cache cache-1 --force"] {
            let error = parse(line).unwrap_err();
            assert!(error.to_string().contains("--to cache-1"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
