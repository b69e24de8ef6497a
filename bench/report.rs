//! `docs/benchmark.md`, its picture and the tables of both READMEs, of the results.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    plan::{Fault, Subject, Variant},
    plot,
    results::{Results, Round},
    setting::Setting,
    table::{self, Hours},
};

/// What is written where.
#[derive(Args)]
pub struct ReportArgs {
    #[arg(long, default_value = "docs/benchmark.md")]
    markdown: PathBuf,
    #[arg(long, default_value = "docs/benchmark.svg")]
    svg: PathBuf,
    /// The rounds themselves, for whoever wants to calculate otherwise.
    #[arg(long, default_value = "docs/benchmark.jsonl")]
    data: PathBuf,
    /// Pages with the figures of the picture between `<!-- measured -->` and `<!-- /measured -->`.
    #[arg(long, value_delimiter = ',', default_value = "README.md,README.zh-CN.md")]
    excerpts: Vec<PathBuf>,
}

const EXCERPT: (&str, &str) = ("<!-- measured -->\n", "<!-- /measured -->");

/// Writes all of them.
pub fn write(args: &ReportArgs, results: &Path) -> Result<()> {
    let data = std::fs::read_to_string(results).with_context(|| results.display().to_string());
    let data = data.context("there are no results: run `make bench` first")?;
    for (path, text) in files(args, data)? {
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The files of the report, and what belongs into each.
fn files(args: &ReportArgs, data: String) -> Result<Vec<(&Path, String)>> {
    let results = Results::parse(&data)?;
    let setting = results.setting.as_ref().context("the results do not say where they were measured")?;
    let shown = plot::variant(&results.rounds).context("there is not one round in the results")?;
    let picture = args.svg.file_name().unwrap_or_default().to_string_lossy();
    let tables = shown_tables(&results.rounds, shown);
    let mut files = vec![
        (args.svg.as_path(), plot::svg(&results.rounds, shown)?),
        (&args.markdown, markdown(setting, &results, &picture)?),
    ];
    for page in &args.excerpts {
        let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
        files.push((page, excerpt(&text, &tables).with_context(|| format!("{}: no marks", page.display()))?));
    }
    files.push((&args.data, data));
    Ok(files)
}

/// The figures of the picture; beside Sentinel's only what happens most.
fn shown_tables(rounds: &[Round], shown: Variant) -> String {
    let crashes: Vec<_> = rounds.iter().filter(|round| round.fault == Fault::Crash).cloned().collect();
    let ours = table::faults(rounds, Subject::Operator, shown, Hours::LeftOut);
    let tables = [ours, table::baseline(&crashes, shown, Hours::LeftOut)];
    tables.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// A page with these tables between its marks.
fn excerpt(page: &str, tables: &str) -> Option<String> {
    let (before, rest) = page.split_once(EXCERPT.0)?;
    let (_, after) = rest.split_once(EXCERPT.1)?;
    Some([before, EXCERPT.0, tables, EXCERPT.1, after].concat())
}

fn markdown(setting: &Setting, results: &Results, picture: &str) -> Result<String> {
    let rounds = results.rounds.as_slice();
    let mut text = INTRODUCTION.replace("PICTURE", picture);
    text += &machine(setting, rounds)?;
    text += METHOD;
    for fault in Fault::ALL {
        writeln!(text, "| {} | {} |", fault.title(), fault.meaning())?;
    }
    text += COLUMNS;
    ours(&mut text, rounds, (Subject::Operator, "This operator", ""))?;
    text += BOUNDS;
    ours(&mut text, rounds, (Subject::OperatorBusyCluster, "This operator in a busy cluster", BUSY))?;
    let own_slice = "This operator with `services.masterRouting: EndpointSlice`";
    ours(&mut text, rounds, (Subject::OperatorOwnSlice, own_slice, OWN_SLICE))?;
    for variant in Variant::ALL {
        if let Some(table) = table::baseline(rounds, variant, Hours::Shown) {
            write!(text, "\n## Beside Sentinel: {}\n\n{table}", variant.title())?;
        }
    }
    if rounds.iter().any(|round| !round.subject.is_ours()) {
        text += SENTINEL;
    }
    for variant in Variant::ALL {
        if let Some(table) = table::stages(rounds, variant) {
            write!(text, "\n## Where the time of a crash goes: {}\n\n{STAGES}\n{table}", variant.title())?;
        }
    }
    let floors = [(false, "with nothing else going on"), (true, "while a container is killed and started again")];
    for (beside_crash, what) in floors {
        if let Some(table) = table::floor(&results.floors, beside_crash) {
            let words = if beside_crash { "" } else { FLOOR };
            write!(text, "\n## The floor of a crash, {what}\n\n{words}{table}")?;
        }
    }
    Ok(text)
}

/// What was measured of one that is ours, a section for each variant, with a few words about it.
fn ours(text: &mut String, rounds: &[Round], (subject, title, words): (Subject, &str, &str)) -> std::fmt::Result {
    for variant in Variant::ALL {
        if let Some(table) = table::faults(rounds, subject, variant, Hours::Shown) {
            write!(text, "\n## {title}: {}\n\n{words}{table}", variant.title())?;
        }
    }
    Ok(())
}

fn machine(setting: &Setting, rounds: &[Round]) -> Result<String> {
    let Setting { cpu, cores, memory_gib, kernel, kubernetes, nodes, proxy, etcd, redis, commit, build } = setting;
    let day = |round: Option<&Round>| round.map(|round| round.at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    let first = day(rounds.iter().min_by_key(|round| round.at));
    let last = day(rounds.iter().max_by_key(|round| round.at));
    let when = if first == last { first } else { format!("{first} to {last}") };
    let mut text = "\n## Where\n\n| | |\n| :-- | :-- |\n".to_owned();
    for (name, value) in [
        ("machine", format!("{cores} cores of {cpu}, {memory_gib} GiB, Linux {kernel}")),
        (
            "Kubernetes",
            format!("{kubernetes}, {nodes} nodes on that one machine ([`tests/cluster`](../tests/cluster))"),
        ),
        ("kube-proxy, etcd", format!("mode {proxy}; {etcd}")),
        ("Redis and Sentinel", format!("the image `{redis}`")),
        ("operator", format!("commit {commit}, build `{build}`")),
        ("rounds", format!("{}, {when}", rounds.len())),
        ("beside one another", side_by_side(rounds)),
    ] {
        writeln!(text, "| {name} | {value} |")?;
    }
    Ok(text)
}

/// Whose rounds overlapped with others, as where `make bench` was started more than once.
fn side_by_side(rounds: &[Round]) -> String {
    let mut rounds: Vec<_> = rounds.iter().collect();
    rounds.sort_by_key(|round| round.at);
    let overlap = |two: &[&Round]| two[0].at.duration_until(two[1].at).as_secs_f64() * 1000.0 < two[0].outage_ms;
    let those: BTreeSet<_> = rounds.windows(2).filter(|two| overlap(two)).flatten().map(|r| r.subject).collect();
    match those.into_iter().map(Subject::title).collect::<Vec<_>>() {
        none if none.is_empty() => "no two of them".to_owned(),
        some => format!("some of: {}", some.join("; ")),
    }
}

const INTRODUCTION: &str = "\
# Benchmark: what a lost master costs

How long clients cannot write when the master fails, and which of their acknowledged writes are gone afterwards: of this
operator, and of Redis Sentinel with the same client on the same machine. This page is written by `make bench-report`; no
figure in it was typed. The rounds themselves: [benchmark.jsonl](benchmark.jsonl).

![Write outage by fault](PICTURE)

To repeat it, as root on Debian with Rust (see [CONTRIBUTING.md](../CONTRIBUTING.md)):

    make setup bench bench-report

Every round is added to `results.jsonl` in `bench/` as soon as it is over; `make bench` goes on where it was interrupted. It takes
hours. `ROUNDS=3 FAULTS=crash,hang VARIANTS=idle SUBJECTS=operator,sentinel-5s make bench` is a look at it in minutes;
`CALM` and `LIMIT` are seconds; `RESULTS` names another file. Nothing else should run on the machine.
";

const BOUNDS: &str = "
### What bounds them

- *crash*: the choice has to be in the status before anybody is promoted, and the Service has to be moved: two requests to the API
  server, one after the other. Then kube-proxy writes its rules; here four of them do so on the cores that also restart the
  container, and each waits until the kernel has put the former rules away (`synchronize_rcu`), as `iptables` on top of nf_tables
  does everywhere. The stages are below; so is the floor: the same requests and kube-proxy without a failover.
- *switchover, pod delete, drain*: the same, and writes are held back until the target has the last of them.
- *force delete*: the slices' controller takes the address of the deleted pod away, and kube-proxy waits a second between two
  syncs. Without a selector there is one change instead of two: see `services.masterRouting`.
- *hung process*: `unresponsiveAfter` (5 s), counted from the first unanswered question, one every 100 ms; then the kubelet has to
  end the process. The Service has been moved by then.
- *node cut off, node killed*: 1.3 s without a word until the replicas count as having lost it as well (`unreachableAfter`, 1 s, has
  passed by then), and 4 s in which a master that lives on stops taking writes.
- *master and operator*: the lease of the operator that is gone has to expire, 5 s after its last renewal.
";

const OWN_SLICE: &str = "\
The operator writes the address behind the master Service itself. After a forced deletion there is one change for kube-proxy to
hear of instead of two; what else differs is in [architecture.md](architecture.md).

";

const METHOD: &str = "
## How

One master and two replicas, in memory, with this operator's defaults ([`bench/operator.yaml`](../bench/operator.yaml)); where
the client relies on `WAIT 1`, with `durability.waitReplicas: 1` and `failover.policy: Consistency`.
The client is the operator's own `drill`: it writes one key after the other over one connection, remembers every
acknowledgement, connects anew at once when something fails, and repeats a write until it is acknowledged. It runs on the
machine itself and reaches the master through the Service's cluster IP, or, with Sentinel, asks a Sentinel before each
connection where the master is. A connection that gives no answer for a second is given up.

A round waits until the replication is healthy and all members agree, lets the client write in peace for some seconds,
strikes, waits for a new master and for further writes, undoes the damage, waits for health again, and reads every
acknowledged write back. Where nobody had taken over after a minute (`LIMIT`) the damage is undone by hand, and the round is
counted as *not recovered*: its outage would have gone on.

| fault | what is done |
| :-- | :-- |
";

const COLUMNS: &str = "
- **p50, p99, max**: the write outage of a round: how long a write was due and not acknowledged. What counts is every
  interruption in which an attempt failed or that lasted 100 ms, all those of a round together, or else its slowest answer.
  Percentiles are values that were measured (nearest rank), so with 20 rounds the p99 is the maximum.
- **writes lost**: acknowledged writes that the last master did not have, of all acknowledged ones. Redis replicates
  asynchronously: what no replica had received when the master died is gone.
- **WAIT-confirmed lost**: the same of writes that `WAIT 1` had reported to be on a replica.
- **full syncs / restarts**: full copies of the data that members made, and Redis processes that were started anew. In memory
  only, each restarted one needs one full copy; what goes beyond that are copies over data that a member still had.
- **UTC**: when the first and the last of these rounds began. The machine is shared and its speed changes from hour to hour: what
  is short is best compared within an hour.
- *and the leading operator's*: the leading one of the two operator processes was on the node that was lost.
";

const SENTINEL: &str = "
Three Redis and three Sentinels of the same image ([`bench/sentinel`](../bench/sentinel)), quorum 2, with the same settings
of replication. `1 s` and `5 s` are `down-after-milliseconds`; 5 s is what the widely used charts and operators set. A Redis
that starts asks Sentinel whom to follow; if that is itself, it is the master again, empty, and its replicas copy that.
Sentinel never forgets a replica: the address of a pod that is gone stays in its lists, each failover waits a minute for it to
follow (`failover-timeout`), and with the lists a failover grows slower: within 22 rounds a drain went from 8 ms to 611. So all
Sentinels are told to forget them (`SENTINEL RESET`) after each round, as an administrator would now and then.

With the *boot rule* a Redis comes back as a replica of nobody instead, as with this operator, and keeps them from it: then
Sentinel, if it has not missed it meanwhile, has to notice by itself that its master is none: after `down-after-milliseconds` and
two of its rounds of `INFO`, 21 s or more. By then the replicas have been without a master for longer than the ten times
`down-after-milliseconds` that it allows a candidate, if that is 1 s: it finds no good one (`-failover-abort-no-good-slave`), and
goes on finding none. Such a round is counted as *not recovered*, and ended by hand.

A *hung* process counts as lost after 1 s there, and after 5 s here (`unresponsiveAfter`, for Redis can be busy). When a *node* is
lost, Sentinel at 1 s is quicker than this operator: it waits for no fence. A master that lives on, cut off,
takes writes of whoever still reaches it until it is found again, and then they are gone. (The client here did not reach it.)

A master that is asked to leave asks Sentinel for a failover first. Sentinel promotes a replica and then turns the former master
into one: clients are hardly held up, and what the former took in between is lost. A *forced deletion* was not measured with
Sentinel: the pod's successor asks Sentinel for the master while the process of the deleted pod still runs, follows that, and
when it has ended nobody tells it otherwise, for Sentinel learns of replicas from the master (seen in two rounds of two).
";

const BUSY: &str = "\
Every node's kube-proxy waits a second between two changes of its rules. In a quiet cluster it has nothing to do when a master
is lost, and acts at once. Here another Service of the cluster gets another address five times a second all the while, so that
the new master has to wait for its turn: half a second on average, a second at most.

";

const STAGES: &str = "\
Of the rounds in which every moment was seen: by the client, in the log of the operator, at the API server, and by attempts to
connect to the Service every 2 ms. A stage begins where the one before ends; what is done beside another stage takes no time of
its own. A new master that still refuses writes for lack of replicas counts to the first write.
";

const FLOOR: &str = "\
What is left of a crash without a failover: an object is written as the choice would be, then the slice of a Service as its new
route would be, one after the other, and connections to the Service are tried every 2 ms. Nobody detects, decides or promotes. No
operator that leads its clients by a Service, and moves it only after it has recorded whom it chose, can be quicker on this
machine.

";

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;
    use jiff::Timestamp;

    use super::*;
    use crate::{floor::Floor, results::tests::round};

    #[test]
    fn the_page_says_where_how_and_what() -> Result<()> {
        let setting = Setting { cores: 2, cpu: "Abacus".into(), ..Setting::default() };
        let rounds = [
            round(Subject::Operator, Fault::Crash, 61.0),
            Round {
                at: "2025-03-01T10:00:00Z".parse()?,
                variant: Variant::BusyWait,
                ..round(Subject::Operator, Fault::Drain, 9.0)
            },
        ];
        let floor = Floor { at: Timestamp::UNIX_EPOCH, beside_crash: true, record: 9.0, route: 12.0, proxy: 30.0 };
        let mut results = Results { setting: None, rounds: rounds.to_vec(), floors: vec![floor] };
        let text = markdown(&setting, &results, "benchmark.svg")?;
        for part in [
            "(benchmark.svg)",
            "2 cores of Abacus",
            "| rounds | 2, 1970-01-01 to 2025-03-01 |",
            "| beside one another | no two of them |",
            "## This operator: 200 writes a second\n",
            "| crash | 1 | 61 ms |",
            "| 00:00–00:00 |",
            "each with `WAIT 1`\n",
            "## The floor of a crash, while a container",
            "| **together** | 1 rounds | 51 ms | 51 ms | 51 ms |",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(
            !text.contains("Beside Sentinel:") && !text.contains("Where the time"),
            "nothing was measured of these"
        );
        results.rounds.push(Round { at: Timestamp::UNIX_EPOCH, ..round(Subject::Sentinel1s, Fault::Crash, 1800.0) });
        assert!(markdown(&setting, &results, "benchmark.svg")?.contains("| some of: this operator; Sentinel, 1 s |"));
        results.floors.clear();
        assert!(!markdown(&setting, &results, "benchmark.svg")?.contains("The floor"));
        Ok(())
    }

    #[test]
    fn what_is_published_is_the_report_of_the_published_rounds() -> Result<()> {
        let defaults = ReportArgs::augment_args(clap::Command::new("report")).get_matches_from(["report"]);
        let args = ReportArgs::from_arg_matches(&defaults)?;
        let read = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        let files = files(&args, read(&args.data)?)?;
        assert_eq!(files.len(), 5, "page, picture, rounds, two READMEs");
        for (path, text) in files {
            let anew = "is not what `make bench-report` makes of the published rounds";
            assert_eq!(read(path)?, text, "{} {anew}", path.display());
        }
        Ok(())
    }

    #[test]
    fn a_page_gets_new_tables_between_its_marks() {
        let page = |tables| format!("before\n<!-- measured -->\n{tables}<!-- /measured -->\nafter\n");
        assert_eq!(excerpt(&page("| old |\n"), "| new |\n"), Some(page("| new |\n")));
        assert_eq!(excerpt("a page without marks", "| new |\n"), None);
    }
}
