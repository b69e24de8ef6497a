//! Causes that Kubernetes tells in events only: of a pod that is not made, or that does not come as far as its containers.
//!
//! Events stay for an hour, so only those are believed that nothing has overtaken since.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;

use super::containers::one_line;
use crate::{api::Reason, replication::Failure};

/// A StatefulSet's controller tries again after 17 minutes at most. What is older is not the present situation.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(20);

/// So many different causes are told of one pod.
const TOGETHER: usize = 2;

/// Why the StatefulSet's controller does not make a pod, by the events of the StatefulSet.
pub fn of_absence(pod: &str, events: &[Event], now: Timestamp) -> Option<Failure> {
    let of_it = |e: &&Event| {
        let said = words(e).split_whitespace().any(|word| word.trim_matches(['"', ',', ':']) == pod);
        said && matches!(reason(e), "FailedCreate" | "SuccessfulCreate")
    };
    // of two at the same second the one that says that there is a pod: it is looked at again if there is none
    let last = events.iter().filter(of_it).max_by_key(|e| (last_seen(e), reason(e) == "SuccessfulCreate"))?;
    let fresh = last_seen(last).is_some_and(|at| now.duration_since(at) <= STALE_AFTER);
    (reason(last) == "FailedCreate" && fresh).then(|| {
        let said = words(last);
        // `Create Pod shop-1 in StatefulSet shop failed error: …`
        let why = said.split_once("failed error: ").map_or(said, |(_, why)| why);
        Failure { reason: Reason::PodRefused, message: format!("its pod cannot be created: {}", one_line(why)) }
    })
}

/// Why a pod's containers are not made, by the events of the pod.
pub fn of_start(events: &[Event]) -> Option<Failure> {
    let progress = |e: &&Event| matches!(reason(e), "Pulling" | "Pulled" | "Created" | "Started");
    let progress = events.iter().filter(progress).filter_map(last_seen).max();
    let mut causes: Vec<(Reason, String)> = events
        .iter()
        .filter(|e| progress.is_none_or(|at| last_seen(e).is_some_and(|seen| seen > at)))
        .filter_map(|e| Some((hinders(reason(e))?, without_repetitions(&without_ids(&one_line(words(e)))))))
        .collect();
    causes.sort(); // the order of events changes with each of them, and the status must not
    causes.dedup();
    let all = causes.clone();
    causes.retain(|(_, words)| !all.iter().any(|(_, other)| other != words && other.contains(words.as_str())));
    let (reason, _) = causes.first()?;
    let said = causes.iter().filter(|(r, _)| r == reason).take(TOGETHER).map(|(_, words)| words.as_str());
    let message = format!("its containers cannot be started: {}", said.collect::<Vec<_>>().join("; "));
    Some(Failure { reason: *reason, message })
}

fn hinders(reason: &str) -> Option<Reason> {
    match reason {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" | "VolumeResizeFailed" => {
            Some(Reason::VolumeUnavailable)
        }
        "FailedCreatePodSandBox" | "FailedCreatePodContainer" | "NetworkNotReady" | "InspectFailed" => {
            Some(Reason::PodFailsToStart)
        }
        _ => None,
    }
}

/// Why a claim has no volume, by the events of the claim.
pub fn of_claim(claim: &str, events: &[Event]) -> Option<Failure> {
    let of_it = |e: &&Event| matches!(reason(e), "ProvisioningFailed" | "FailedBinding" | "ProvisioningSucceeded");
    let last = events.iter().filter(of_it).max_by_key(|e| (last_seen(e), reason(e) == "ProvisioningSucceeded"))?;
    (reason(last) != "ProvisioningSucceeded").then(|| Failure {
        reason: Reason::VolumeUnavailable,
        message: format!("its PersistentVolumeClaim {claim} has no volume: {}", one_line(words(last))),
    })
}

fn reason(e: &Event) -> &str {
    e.reason.as_deref().unwrap_or_default()
}

fn words(e: &Event) -> &str {
    e.note.as_deref().unwrap_or_default()
}

/// When it was last so. Writers of the older kind count in fields of their own.
fn last_seen(e: &Event) -> Option<Timestamp> {
    let series = e.series.as_ref().map(|s| s.last_observed_time.0);
    let counted = e.deprecated_last_timestamp.as_ref().map(|t| t.0);
    let once = e.event_time.as_ref().map(|t| t.0);
    let made = e.metadata.creation_timestamp.as_ref().map(|t| t.0);
    [series, counted, once].into_iter().flatten().max().or(made)
}

/// The kubelet lists the same cause for each source of a volume, and the scheduler adds what its words end with already.
fn without_repetitions(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut closing = "";
    for part in text.split(", ") {
        let words = part.trim_matches(['[', ']']);
        if !words.is_empty() && kept.iter().any(|before| before.trim_end_matches(']').ends_with(words)) {
            closing = if part.ends_with(']') { "]" } else { closing };
        } else {
            kept.push(part);
            closing = "";
        }
    }
    kept.join(", ") + closing
}

/// The ids of sandboxes are others at each attempt.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_id(word) { part.replacen(word, "…", 1) } else { part.to_owned() }
        })
        .collect()
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
