//! Waiting for what the operator makes of a request.

use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use kube::{ResourceExt, api::ListParams};
use redis_replication_operator::api::{CompletedTransition, ConditionType, Outcome, RedisReplication};

use crate::{cluster::Cluster, error::Error};

const EVERY: Duration = Duration::from_millis(200);
/// From the removal of the request to the status and the event that tell why.
const GRACE: Duration = Duration::from_secs(3);

/// What was asked for.
pub struct Request {
    /// The annotation that asks.
    pub annotation: &'static str,
    /// The member that is to be the master; `None`: any.
    pub to: Option<String>,
    /// The resource as it was when it was asked.
    pub asked: RedisReplication,
    /// The operator's answers to earlier requests.
    pub told: Vec<Event>,
}

/// How far it is.
#[derive(Debug, PartialEq)]
enum Progress {
    /// Not done yet, and why, as far as the status says.
    Waiting(String),
    /// The request is gone, and the status does not say what became of it.
    Dropped,
    Ended(CompletedTransition),
}

impl Request {
    fn progress(&self, now: &RedisReplication) -> Progress {
        let last = |resource: &RedisReplication| resource.status.as_ref().and_then(|s| s.last_transition.clone());
        let waits = now.annotations().contains_key(self.annotation);
        let changing = now.status.as_ref().is_some_and(|status| status.transition.is_some());
        match last(now).filter(|l| Some(l) != last(&self.asked).as_ref()) {
            // a failover that came in between is not what was asked for, unless the request went with it
            Some(last) if !waits || (last.outcome == Outcome::Completed && self.is_met_by(&last)) => {
                Progress::Ended(last)
            }
            _ if waits || changing => {
                let conditions = now.status.iter().flat_map(|status| &status.conditions);
                let ready = conditions.into_iter().find(|c| c.type_ == ConditionType::Ready.to_string());
                Progress::Waiting(ready.map(|c| format!("{}: {}", c.reason, c.message)).unwrap_or_default())
            }
            _ => Progress::Dropped,
        }
    }

    fn is_met_by(&self, last: &CompletedTransition) -> bool {
        self.to.as_ref().is_none_or(|to| *to == last.to)
    }
}

/// Waits until the operator has done it; fails with its words if it has not.
pub async fn until_done(cluster: &Cluster, request: &Request, within: Duration) -> Result<CompletedTransition, Error> {
    let name = request.asked.name_any();
    let (began, mut dropped, mut told) = (Instant::now(), None, String::new());
    loop {
        let now = cluster.get(&name).await?;
        match request.progress(&now) {
            Progress::Ended(last) if last.outcome == Outcome::Completed && request.is_met_by(&last) => return Ok(last),
            Progress::Ended(last) => return Err(Error::Refused(unmet(&name, &last))),
            Progress::Waiting(why) => {
                dropped = None;
                if why != told && began.elapsed() > Duration::from_secs(1) {
                    eprintln!("waiting: {why}");
                    told = why;
                }
            }
            Progress::Dropped if dropped.get_or_insert_with(Instant::now).elapsed() > GRACE => {
                return Err(Error::Refused(refusal(cluster, &name, request).await));
            }
            Progress::Dropped => {}
        }
        if began.elapsed() > within {
            return Err(Error::NotInTime(format!(
                "not done within {} s; the request stays, `kubectl annotate rr {name} {}-` withdraws it",
                within.as_secs(),
                request.annotation
            )));
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn unmet(name: &str, last: &CompletedTransition) -> String {
    match last.outcome {
        Outcome::Abandoned => format!("the operator abandoned it: {}; the old master of {name} stays", last.reason),
        Outcome::Completed => format!("{} became the master of {name} instead: {}", last.to, last.reason),
    }
}

/// What the operator has said on requests, the oldest first.
pub async fn answers(cluster: &Cluster, name: &str) -> Vec<Event> {
    let about = ListParams::default().fields(&format!("regarding.name={name}"));
    let mut events = cluster.api::<Event>().list(&about).await.map(|list| list.items).unwrap_or_default();
    events.retain(|event| event.action.as_deref() == Some("Request"));
    events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
    events
}

/// The operator's last words on a request that it removed.
async fn refusal(cluster: &Cluster, name: &str, request: &Request) -> String {
    let new = answers(cluster, name)
        .await
        .into_iter()
        .rev()
        .find(|event| !request.told.iter().any(|old| old.metadata.uid == event.metadata.uid));
    let Some(words) = new.and_then(|event| event.note) else {
        return format!("the operator removed the request without acting on it; see `kubectl rr events {name}`");
    };
    let words = words.strip_prefix(request.annotation).unwrap_or(&words);
    format!("the operator refused: {}", words.trim_start_matches([':', ' ']))
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
