//! The documents say what the code does: every reason and every event that there is has its line.

#![allow(clippy::unwrap_used, clippy::panic)]

use redis_replication_operator::api::{EventReason, Reason};

const OPERATIONS: &str = include_str!("../docs/operations.md");

#[test]
fn every_reason_is_explained() {
    assert!(Reason::ALL.len() > 20);
    for reason in Reason::ALL {
        assert!(
            OPERATIONS.contains(&format!("\n| `{reason}` |")),
            "docs/operations.md has no line for the reason {reason}"
        );
    }
}

/// In the table of events, and in no other place.
#[test]
fn every_event_is_explained() {
    let section = OPERATIONS.split("\n## Events\n").nth(1).unwrap();
    let rows = section.lines().skip_while(|l| !l.starts_with('|')).take_while(|l| l.starts_with('|')).skip(2);
    let names = rows.map(|row| row.split('|').nth(1).unwrap());
    let mut listed: Vec<_> = names.flat_map(|names| names.split(',').map(|n| n.trim().trim_matches('`'))).collect();
    let mut events: Vec<_> = EventReason::ALL.iter().map(|event| event.as_str()).collect();
    listed.sort_unstable();
    events.sort_unstable();
    assert_eq!(listed, events);
}

/// An event tells of each reason that a person has to do something about.
#[test]
fn every_reason_that_is_an_event_is_listed() {
    let list = OPERATIONS.split("There is also one event for each of these reasons").nth(1).unwrap();
    let list = list.split("\n\n").next().unwrap();
    let listed: Vec<_> = list.split('`').skip(1).step_by(2).collect();
    let reasons: Vec<_> = Reason::FOR_PEOPLE.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(listed, reasons);
}

/// Every alert has a section, to which its `runbook_url` leads.
#[test]
fn every_alert_is_explained() {
    let rules = include_str!("../charts/redis-replication-operator/files/rules.yaml");
    let after = |key: &str| -> Vec<String> {
        rules
            .lines()
            .filter_map(|l| Some(l.trim_start_matches(['-', ' ']).strip_prefix(key)?.trim().to_owned()))
            .collect()
    };
    let (alerts, links) = (after("alert:"), after("runbook_url:"));
    assert!(alerts.len() > 8, "{alerts:?}");
    let anchors = alerts.iter().map(|a| format!("docs/operations.md#{}", a.to_lowercase()));
    assert_eq!(links, anchors.collect::<Vec<_>>());
    let listed: Vec<_> = include_str!("../docs/monitoring.md")
        .lines()
        .filter_map(|l| l.strip_prefix("| `RedisReplication")?.split('`').next())
        .map(|rest| format!("RedisReplication{rest}"))
        .collect();
    assert_eq!(listed, alerts);
    let headings: Vec<_> = OPERATIONS.lines().filter_map(|l| l.strip_prefix("### Redis")).collect();
    assert_eq!(headings, alerts.iter().map(|a| a.trim_start_matches("Redis")).collect::<Vec<_>>(), "in the same order");
}

/// Every test that docs/guarantees.md names is there.
#[test]
fn every_guarantee_names_tests_that_exist() {
    let page = include_str!("../docs/guarantees.md");
    let names: Vec<_> = page.split('`').skip(1).step_by(2).filter(|w| w.contains(".rs")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let (file, test) = name.split_once("::").unwrap_or((name, ""));
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(test.is_empty() || source.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}

/// The code in docs/clients.md is that of the programs that `make clients` runs, but for its indentation.
#[test]
fn every_client_snippet_is_of_its_program() {
    let code = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let programs = [
        ("Jedis", include_str!("clients/jedis/Client.java")),
        ("Lettuce", include_str!("clients/lettuce/Client.java")),
        ("redis-py", include_str!("clients/redis-py/client.py")),
        ("node-redis", include_str!("clients/node-redis/client.js")),
        ("ioredis", include_str!("clients/ioredis/client.js")),
        ("go-redis", include_str!("clients/go-redis/main.go")),
        ("redis-rs", include_str!("clients/redis-rs/src/main.rs")),
    ];
    let mut sections = include_str!("../docs/clients.md").split("\n## ");
    for (client, program) in programs {
        let section = sections.find(|section| section.starts_with(&format!("{client}\n"))).unwrap();
        let blocks: Vec<_> =
            section.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1).collect();
        assert!(!blocks.is_empty(), "docs/clients.md shows nothing of {client}");
        for block in blocks {
            assert!(code(program).contains(code(block).trim()), "not in the program for {client}:\n{block}");
        }
    }
}

/// Whatever docs/comparison.md says of others has a source, and every source is used.
#[test]
fn every_source_of_the_comparison_is_there_and_used() {
    let page = include_str!("../docs/comparison.md");
    let (text, list) = page.split_once("## Sources").unwrap();
    let mut cited = std::collections::BTreeSet::new();
    for part in text.split('[').skip(1) {
        let (numbers, _) = part.split_once(']').unwrap();
        cited.extend(numbers.split(", ").filter_map(|n| n.parse::<usize>().ok()));
    }
    let sources: Vec<_> = list.lines().filter(|l| l.contains(". https://")).collect();
    assert!(sources.len() > 20, "{sources:?}");
    for (i, source) in sources.iter().enumerate() {
        assert!(source.starts_with(&format!("{}. ", i + 1)), "{source}");
    }
    assert_eq!(cited, (1..=sources.len()).collect());
}
