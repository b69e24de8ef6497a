//! `logs`: all members, merged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crossterm::style::Color;
use futures::{AsyncBufReadExt, TryStreamExt, future::join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::LogParams};
use redis_replication_operator::objects::names;

use crate::{
    args::Logs,
    cluster::{Cluster, members},
    error::{Error, exit, is_forbidden, one_line},
    render::Look,
    terminal,
};

const RETRY: Duration = Duration::from_secs(1);
const ROLES_EVERY: Duration = Duration::from_secs(2);
const INKS: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::DarkYellow];

/// Shows the logs.
pub async fn run(cluster: &Cluster, args: &Logs) -> Result<u8, Error> {
    let resource = cluster.get(&args.name).await?;
    if args.follow {
        return follow(cluster, args, &members(&resource)).await;
    }
    let pods = cluster.pods(&args.name).await?;
    let roles = roles(&pods);
    let parameters = parameters(args);
    let read = pods.iter().map(|pod| {
        let parameters = &parameters;
        async move {
            let name = pod.name_any();
            let text = cluster.api::<Pod>().logs(&name, parameters).await;
            (name, text)
        }
    });
    let (mut lines, mut failed) = (Vec::new(), None);
    for (pod, text) in join_all(read).await {
        match text {
            Ok(text) => lines.extend(text.lines().map(|line| Line::read(&pod, line))),
            Err(error) if is_forbidden(&error) => failed = Some(cluster.error(&cluster.reading("logs"), &error)),
            // one that has not started yet, or was not restarted, has no log
            Err(error) => eprintln!("{pod}: {}", one_line(&error.to_string())),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let look = terminal::look();
    let width = width(pods.iter().map(ResourceExt::name_any));
    terminal::print(&merge(lines).iter().map(|line| line.show(&roles, width, look)).collect::<String>())?;
    Ok(exit::OK)
}

fn parameters(args: &Logs) -> LogParams {
    LogParams {
        container: Some(names::REDIS_CONTAINER.into()),
        follow: args.follow,
        previous: args.previous,
        since_seconds: args.since.and_then(|since| i64::try_from(since.as_secs()).ok()),
        tail_lines: args.tail,
        timestamps: true,
        ..LogParams::default()
    }
}

type Roles = BTreeMap<String, String>;

fn roles(pods: &[Pod]) -> Roles {
    let role = |pod: &Pod| pod.labels().get(names::ROLE_LABEL).cloned().unwrap_or_else(|| "-".into());
    pods.iter().map(|pod| (pod.name_any(), role(pod))).collect()
}

/// Shows lines as they come, until Ctrl-C; takes up the log of a member that was restarted where it ended.
async fn follow(cluster: &Cluster, args: &Logs, members: &[String]) -> Result<u8, Error> {
    let shown = Arc::new(Mutex::new(roles(&cluster.pods(&args.name).await?)));
    let width = width(members.iter().cloned());
    let refresh = async {
        loop {
            tokio::time::sleep(ROLES_EVERY).await;
            if let Ok(pods) = cluster.pods(&args.name).await {
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = roles(&pods);
            }
        }
    };
    let streams = futures::future::try_join_all(members.iter().map(|member| {
        let shown = Arc::clone(&shown);
        async move {
            let mut parameters = parameters(args);
            loop {
                let mut last: Option<Timestamp> = None;
                let stream = cluster.api::<Pod>().log_stream(member, &parameters).await;
                match stream {
                    Ok(stream) => {
                        let mut lines = stream.lines();
                        while let Ok(Some(text)) = lines.try_next().await {
                            let line = Line::read(member, &text);
                            last = line.at.or(last);
                            let roles = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                            terminal::print(&line.show(&roles, width, terminal::look()))?;
                        }
                    }
                    Err(error) if is_forbidden(&error) => return Err(cluster.error(&cluster.reading("logs"), &error)),
                    Err(_) => {} // it has not started yet
                }
                if let Some(last) = last {
                    // the API counts in whole seconds
                    parameters.since_time = Some(last + Duration::from_secs(1));
                    (parameters.since_seconds, parameters.tail_lines) = (None, None);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }));
    tokio::select! {
        ended = streams => { let _: Vec<()> = ended?; }
        never = refresh => never,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(exit::OK)
}

/// One line of one member.
#[derive(Debug, PartialEq)]
struct Line {
    pod: String,
    at: Option<Timestamp>,
    text: String,
}

impl Line {
    /// Kubernetes puts the time before the text.
    fn read(pod: &str, line: &str) -> Self {
        let parts = line.split_once(' ').and_then(|(time, text)| Some((time.parse().ok()?, text)));
        let (at, text) = parts.map_or((None, line), |(at, text)| (Some(at), text));
        Self { pod: pod.to_owned(), at, text: text.to_owned() }
    }

    fn show(&self, roles: &Roles, width: usize, look: Look) -> String {
        let role = roles.get(&self.pod).map_or("-", String::as_str);
        let ink = INKS[names::ordinal(&self.pod).and_then(|n| usize::try_from(n).ok()).unwrap_or(0) % INKS.len()];
        let prefix = format!("{:width$} {role:7} |", self.pod);
        format!("{} {}\n", look.paint(&prefix, ink), self.text)
    }
}

/// By time; a line without one stays behind the one before it.
fn merge(mut lines: Vec<Line>) -> Vec<Line> {
    let mut last: BTreeMap<String, Timestamp> = BTreeMap::new();
    for line in &mut lines {
        match line.at {
            Some(at) => drop(last.insert(line.pod.clone(), at)),
            None => line.at = last.get(&line.pod).copied(),
        }
    }
    lines.sort_by_key(|line| line.at);
    lines
}

fn width(pods: impl Iterator<Item = String>) -> usize {
    pods.map(|pod| pod.len()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Look {
        Look { now: Timestamp::UNIX_EPOCH, colours: false }
    }

    #[test]
    fn lines_are_merged_by_time_and_bear_pod_and_role() {
        let lines = [
            ("cache-0", "2026-01-01T00:00:01.5Z first"),
            ("cache-0", "2026-01-01T00:00:03Z third"),
            ("cache-1", "2026-01-01T00:00:02Z second"),
            ("cache-1", "of the same"),
        ];
        let roles = Roles::from([("cache-0".into(), "master".into()), ("cache-1".into(), "replica".into())]);
        let merged = merge(lines.iter().map(|(pod, line)| Line::read(pod, line)).collect());
        let text: String = merged.iter().map(|line| line.show(&roles, 7, plain())).collect();
        assert_eq!(
            text,
            "cache-0 master  | first\ncache-1 replica | second\ncache-1 replica | of the same\ncache-0 master  | third\n"
        );
    }

    #[test]
    fn a_member_without_a_role_is_shown_too() {
        assert_eq!(Line::read("cache-10", "x").show(&Roles::new(), 9, plain()), "cache-10  -       | x\n");
    }
}
