//! An event when something begins to be in the way that a person has to do something about.

use kube::Resource;

use crate::{
    api::{ConditionType, Reason, RedisReplication},
    kubernetes::events::{Publisher, Severity},
};

/// Compares what the status said before with what has been written, whoever wrote it.
pub fn announce(events: &Publisher, before: &RedisReplication, written: &RedisReplication) {
    if let Some((reason, words)) = news(before, written) {
        events.publish(Severity::Warning, reason, "Observe", &words, written.object_ref(&()));
    }
}

/// The reason and the words of `Ready`, if the reason is a new one, and for people.
fn news(before: &RedisReplication, written: &RedisReplication) -> Option<(Reason, String)> {
    let ready = |r: &RedisReplication| {
        let conditions = r.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
        conditions.into_iter().find(|c| c.type_ == ConditionType::Ready.to_string())
    };
    let now = ready(written)?;
    let is_new = ready(before).is_none_or(|before| before.reason != now.reason);
    let for_people = Reason::FOR_PEOPLE.iter().find(|r| r.as_str() == now.reason);
    for_people.filter(|_| is_new).map(|reason| (*reason, now.message))
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
        let news = |before: &str, now: &str| news(&resource(before), &resource(now)).map(|(reason, _)| reason);
        assert_eq!(news("Healthy", "DataReplaced"), Some(Reason::DataReplaced));
        assert_eq!(news("PodRefused", "VolumeUnavailable"), Some(Reason::VolumeUnavailable));
        assert_eq!(news("PodRefused", "PodRefused"), None);
        assert_eq!(news("PodRefused", "Healthy"), None);
    }
}
