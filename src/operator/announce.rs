//! An event when something begins to be in the way that a user has to do something about.

use kube::Resource;

use super::ignored::ignored;
use crate::{
    api::{ConditionType, EventReason, Reason, RedisReplication},
    kubernetes::events::{Publisher, Severity},
};

/// Compares what the status said before with what has been written, whoever wrote it.
pub fn announce(events: &Publisher, before: &RedisReplication, written: &RedisReplication) {
    for (reason, words) in news(before, written) {
        events.publish(Severity::Warning, reason, "Observe", &words, written.object_ref(&()));
    }
    for words in newly_ignored(before, written) {
        events.publish(Severity::Warning, EventReason::SettingIgnored, "Observe", &words, written.object_ref(&()));
    }
}

/// What a user wrote and what has no effect, as far as the status has not said it before.
fn newly_ignored(before: &RedisReplication, written: &RedisReplication) -> Vec<String> {
    let says = |r: &RedisReplication, words: &str| {
        let conditions = r.status.iter().flat_map(|s| &s.conditions);
        conditions.into_iter().any(|c| c.type_ == ConditionType::Ready.to_string() && c.message.contains(words))
    };
    let mut all = ignored(written);
    all.retain(|words| says(written, words) && !says(before, words));
    all
}

/// What is new, and for people: the reason and the words of `Ready`, and data that was exchanged.
fn news(before: &RedisReplication, written: &RedisReplication) -> Vec<(Reason, String)> {
    let condition = |r: &RedisReplication, type_: ConditionType| {
        let conditions = r.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
        conditions.into_iter().find(|c| c.type_ == type_.to_string())
    };
    let ready = condition(written, ConditionType::Ready).filter(|now| {
        let before = condition(before, ConditionType::Ready);
        before.is_none_or(|before| before.reason != now.reason)
    });
    let known = |reason: &str| Reason::FOR_PEOPLE.iter().copied().find(|r| r.as_str() == reason);
    // what follows says that, once for each time: `Ready` says other things in between
    let ready = ready.and_then(|now| {
        // what has no effect has an event of its own
        let cause = |words: String, sentence: &String| words.replace(&format!("; {sentence}"), "");
        Some((known(&now.reason)?, ignored(written).iter().fold(now.message, cause)))
    });
    let ready = ready.filter(|(reason, _)| *reason != Reason::DataReplaced);
    let epoch = |r: &RedisReplication| r.status.as_ref().and_then(|s| Some(s.data_replaced.as_ref()?.epoch));
    let exchanged = epoch(written).filter(|now| epoch(before) != Some(*now));
    let exchanged = exchanged.and_then(|_| condition(written, ConditionType::DataIntact));
    ready.into_iter().chain(exchanged.map(|c| (Reason::DataReplaced, c.message))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_new_and_for_people_is_told_once() {
        let resource = |reason: &str| -> RedisReplication {
            let ready = json!({"type": "Ready", "status": "False", "reason": reason, "message": "words",
                "lastTransitionTime": "2026-11-27T19:00:00Z"});
            serde_json::from_value(json!({"metadata": {"name": "shop"}, "spec": {}, "status": {"conditions": [ready]}}))
                .unwrap()
        };
        let news = |before: &str, now: &str| {
            news(&resource(before), &resource(now)).into_iter().map(|(reason, _)| reason).collect::<Vec<_>>()
        };
        assert_eq!(news("PodRefused", "VolumeUnavailable"), [Reason::VolumeUnavailable]);
        assert_eq!(news("PodRefused", "PodRefused"), []);
        assert_eq!(news("PodRefused", "Healthy"), []);
    }

    #[test]
    fn what_has_no_effect_is_told_once() {
        let resource = |message: &str| -> RedisReplication {
            let ready = json!({"type": "Ready", "status": "True", "reason": "Healthy", "message": message,
                "lastTransitionTime": "2026-11-27T19:00:00Z"});
            serde_json::from_value(json!({"metadata": {"name": "shop"}, "status": {"conditions": [ready]},
                "spec": {"failover": {"preferredMaster": "shop-7"}}}))
            .unwrap()
        };
        let words = ignored(&resource("")).join("; ");
        let said = resource(&format!("all is well; {words}"));
        assert_eq!(newly_ignored(&resource("all is well"), &said), [words]);
        assert!(newly_ignored(&said, &said).is_empty());
        assert!(newly_ignored(&said, &resource("all is well")).is_empty());
        let mut refused = said.clone();
        refused.status.as_mut().unwrap().conditions[0].reason = Reason::PodRefused.to_string();
        assert_eq!(news(&said, &refused), [(Reason::PodRefused, "all is well".to_owned())]);
    }

    /// Another change lets `Ready` say something else for a while.
    #[test]
    fn data_that_was_exchanged_is_told_once_for_each_epoch() {
        let resource = |ready: &str, epoch: Option<i64>| -> RedisReplication {
            let condition = |type_: &str, reason: &str| {
                json!({"type": type_, "status": "False", "reason": reason, "message": type_,
                    "lastTransitionTime": "2026-11-27T19:00:00Z"})
            };
            let replaced = epoch.map(|epoch| {
                json!({"epoch": epoch, "master": "shop-0", "reason": "words", "at": "2026-11-27T19:00:00.000000Z"})
            });
            let conditions = [condition("Ready", ready), condition("DataIntact", "DataReplaced")];
            serde_json::from_value(json!({"metadata": {"name": "shop"}, "spec": {},
                "status": {"conditions": conditions, "dataReplaced": replaced}}))
            .unwrap()
        };
        let steps = [
            ("Healthy", None, vec![]),
            ("FailingOver", Some(4), vec![Reason::DataReplaced]),
            ("DataReplaced", Some(4), vec![]),
            ("RollingOut", Some(4), vec![]),
            ("DataReplaced", Some(4), vec![]),
            ("PodRefused", Some(5), vec![Reason::PodRefused, Reason::DataReplaced]),
            ("DataReplaced", Some(5), vec![]),
            ("Healthy", None, vec![]),
        ];
        for pair in steps.windows(2) {
            let [(ready, epoch, _), (now, then, expected)] = pair else { continue };
            let told = news(&resource(ready, *epoch), &resource(now, *then));
            assert_eq!(&told.iter().map(|(reason, _)| *reason).collect::<Vec<_>>(), expected, "{ready} {now}");
            assert!(told.iter().all(|(r, words)| *r != Reason::DataReplaced || words == "DataIntact"), "{told:?}");
        }
    }
}
