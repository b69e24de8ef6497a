//! `completion`: scripts for shells, and the answers to kubectl's own completion.

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use kube::ResourceExt;

use crate::{
    args::{Cli, Connection},
    cluster::{Cluster, members},
    error::{Error, exit},
    terminal,
};

/// Tells kubectl that files are no candidates.
const NO_FILES: &str = ":4";

/// Prints a completion script.
pub fn script(shell: Shell) -> Result<u8, Error> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command().bin_name("kubectl-rr"), "kubectl-rr", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}

/// Prints what can follow; the last word is the one that is being typed. A cluster that does not answer has no names.
pub async fn answer(words: &[String]) -> Result<u8, Error> {
    let line = Line::read(words);
    let mut candidates = match &line.wanted {
        Wanted::Words(words) => words.clone(),
        Wanted::Name | Wanted::Member(_) => from_cluster(&line).await.unwrap_or_default(),
        Wanted::Nothing => Vec::new(),
    };
    candidates.retain(|candidate| candidate.starts_with(&line.typed));
    candidates.push(NO_FILES.into());
    terminal::print(&(candidates.join("\n") + "\n"))?;
    Ok(exit::OK)
}

async fn from_cluster(line: &Line) -> Result<Vec<String>, Error> {
    let cluster = Cluster::connect(&line.connection).await?;
    Ok(match &line.wanted {
        Wanted::Member(name) => members(&cluster.get(name).await?),
        _ => cluster.list(false).await?.iter().map(ResourceExt::name_any).collect(),
    })
}

/// What can stand where the cursor is.
#[derive(Debug, PartialEq)]
enum Wanted {
    /// One of these: commands, options, values.
    Words(Vec<String>),
    /// A resource.
    Name,
    /// A member of this resource.
    Member(String),
    Nothing,
}

/// A line that is being typed.
struct Line {
    connection: Connection,
    typed: String,
    wanted: Wanted,
}

impl Line {
    fn read(words: &[String]) -> Self {
        let (typed, before) =
            words.split_last().map_or((String::new(), words), |(last, before)| (last.clone(), before));
        let mut connection = Connection::default();
        let (mut positional, mut open) = (Vec::new(), None);
        for word in before {
            match (open.take(), word.split_once('=')) {
                (Some(option), _) => note(&mut connection, option, word),
                (None, Some((option, value))) if option.starts_with("--") => note(&mut connection, option, value),
                (None, _) if takes_a_value(&positional, word) => open = Some(word.as_str()),
                (None, _) if word.starts_with('-') => {}
                (None, _) => positional.push(word.as_str()),
            }
        }
        let wanted = match (open, positional.as_slice()) {
            (Some("--to"), [_, name, ..]) => Wanted::Member((*name).to_owned()),
            (Some("-o" | "--output"), ["status", ..]) => Wanted::Words(["json", "yaml"].map(str::to_owned).into()),
            (Some(_), _) => Wanted::Nothing,
            (None, positional) if typed.starts_with('-') => Wanted::Words(options(positional.first().copied())),
            (None, []) => {
                Wanted::Words(commands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_owned()).collect())
            }
            (None, ["completion"]) => Wanted::Words(["bash", "zsh", "fish"].map(str::to_owned).into()),
            (None, ["completion", ..]) => Wanted::Nothing,
            (None, [_]) => Wanted::Name,
            (None, ["cli", name]) => Wanted::Member((*name).to_owned()),
            (None, _) => Wanted::Nothing,
        };
        Self { connection, typed, wanted }
    }
}

fn note(connection: &mut Connection, option: &str, value: &str) {
    match option {
        "-n" | "--namespace" => connection.namespace = Some(value.to_owned()),
        "--context" => connection.context = Some(value.to_owned()),
        "--kubeconfig" => connection.kubeconfig = Some(value.into()),
        _ => {}
    }
}

fn commands() -> impl Iterator<Item = clap::Command> {
    Cli::command().get_subcommands().cloned().collect::<Vec<_>>().into_iter()
}

/// The arguments of a command, and those of all commands.
fn arguments(command: Option<&str>) -> Vec<clap::Arg> {
    let own = commands().find(|c| Some(c.get_name()) == command);
    let own = own.iter().flat_map(|c| c.get_arguments().cloned().collect::<Vec<_>>()).collect::<Vec<_>>();
    own.into_iter().chain(Cli::command().get_arguments().cloned()).collect()
}

fn options(command: Option<&str>) -> Vec<String> {
    arguments(command).iter().filter_map(|arg| arg.get_long().map(|long| format!("--{long}"))).collect()
}

fn takes_a_value(positional: &[&str], word: &str) -> bool {
    let is_it = |arg: &clap::Arg| {
        arg.get_long().is_some_and(|long| word == format!("--{long}"))
            || arg.get_short().is_some_and(|short| word == format!("-{short}"))
    };
    arguments(positional.first().copied()).iter().any(|arg| is_it(arg) && arg.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn line(words: &str) -> Line {
        Line::read(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[rstest]
    #[case("status ", Wanted::Name)]
    #[case("status -w ca", Wanted::Name)]
    #[case("-n shop logs ca", Wanted::Name)]
    #[case("cli cache ", Wanted::Member("cache".into()))]
    #[case("switchover cache --to ", Wanted::Member("cache".into()))]
    #[case("logs cache --tail ", Wanted::Nothing)]
    #[case("status cache ", Wanted::Nothing)]
    #[case("status -o ", Wanted::Words(vec!["json".into(), "yaml".into()]))]
    fn what_can_follow(#[case] words: &str, #[case] expected: Wanted) {
        assert_eq!(line(words).wanted, expected);
    }

    #[test]
    fn commands_and_options_are_offered() {
        let offered = |words: &str| match line(words).wanted {
            Wanted::Words(words) => words,
            other => vec![format!("{other:?}")],
        };
        let all = offered("");
        assert!(all.contains(&"status".to_owned()) && all.contains(&"rehearse".to_owned()), "{all:?}");
        assert!(!all.iter().any(|command| command.starts_with('_')), "{all:?}");
        let options = offered("logs cache --");
        assert!(options.contains(&"--follow".to_owned()) && options.contains(&"--namespace".to_owned()), "{options:?}");
    }

    #[test]
    fn the_namespace_is_known_where_names_are_looked_up() {
        assert_eq!(line("-n shop status c").connection.namespace.as_deref(), Some("shop"));
        assert_eq!(line("status --namespace=shop c").connection.namespace.as_deref(), Some("shop"));
    }
}
