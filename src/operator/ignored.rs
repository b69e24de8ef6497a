//! What a user wrote on the resource and what does nothing, in sentences that say what to change. The schema cannot refuse it:
//! annotations have none, and a resource that a rule refuses cannot be scaled down, nor its status written.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::{
    api::{ACKNOWLEDGED_EPOCH, ANY_MEMBER, RedisReplication, RequestKind},
    objects::names,
};

/// Annotations that the operator reads on the resource.
const KNOWN: [&str; 3] = [RequestKind::Switchover.annotation(), RequestKind::Failover.annotation(), ACKNOWLEDGED_EPOCH];
/// A value in a sentence is not longer.
const SHOWN: usize = 60;

/// One sentence for each of them, without a full stop.
pub fn ignored(resource: &RedisReplication) -> Vec<String> {
    let annotations = resource.annotations();
    let mut all: Vec<_> = annotations.keys().filter_map(|key| unknown(key)).collect();
    all.extend(acknowledgement(annotations, resource.status.as_ref().map_or(0, |status| status.epoch)));
    all.extend(preferred(resource));
    all
}

/// `a-0, a-1`
fn members(resource: &RedisReplication) -> String {
    let names = (0..resource.spec.replicas).map(|ordinal| names::pod(&resource.name_any(), ordinal));
    names.collect::<Vec<_>>().join(", ")
}

fn preferred(resource: &RedisReplication) -> Option<String> {
    let preferred = resource.spec.failover.as_ref()?.preferred_master.as_ref()?;
    let is_member = (0..resource.spec.replicas).any(|i| names::pod(&resource.name_any(), i) == *preferred);
    (!is_member).then(|| {
        format!(
            "spec.failover.preferredMaster is {} and has no effect: spec.replicas is {}, so the members are {}; name one of them, raise \
             replicas, or remove it",
            shown(preferred),
            resource.spec.replicas,
            members(resource)
        )
    })
}

fn acknowledgement(annotations: &BTreeMap<String, String>, epoch: i64) -> Option<String> {
    let value = annotations.get(ACKNOWLEDGED_EPOCH)?;
    match value.trim().parse::<i64>() {
        Ok(acknowledged) if acknowledged <= epoch => None,
        Ok(acknowledged) => Some(format!(
            "the annotation {ACKNOWLEDGED_EPOCH} is {acknowledged} and has no effect: the present epoch is {epoch}, and what has not \
             happened cannot be acknowledged; write an epoch up to that"
        )),
        Err(_) => Some(format!(
            "the annotation {ACKNOWLEDGED_EPOCH} is {} and has no effect: it must be a number, the epoch in status.dataReplaced",
            shown(value)
        )),
    }
}

/// A key that begins like those of the operator, or that ends like one, and is none.
fn unknown(key: &str) -> Option<String> {
    if KNOWN.contains(&key) {
        return None;
    }
    let (prefix, name) = key.split_once('/').unwrap_or(("", key));
    let ours = format!("{prefix}/") == names::OWN_PREFIX;
    let name_of = |known: &&str| known.strip_prefix(names::OWN_PREFIX).unwrap_or(known).to_owned();
    let resembles = |known: &&&str| plain(&name_of(known)) == plain(name);
    let like = |prefix: &str| prefix.is_empty() || prefix.contains("redis") || prefix.contains("replication");
    let meant = KNOWN.iter().find(resembles).filter(|_| ours || like(prefix));
    let meant = meant.or_else(|| {
        let close = |known: &&&str| distance(&plain(&name_of(known)), &plain(name)) <= 2;
        KNOWN.iter().find(close).filter(|_| ours || (!prefix.is_empty() && like(prefix)))
    });
    match meant {
        Some(meant) => Some(format!(
            "the annotation {} is not known and has no effect: it is written {meant}; correct or remove it",
            shown(key)
        )),
        None if ours => Some(format!(
            "the annotation {} is not known and has no effect: those that are read on a RedisReplication are {} (the name of a member, or \
             {ANY_MEMBER}) and {ACKNOWLEDGED_EPOCH}; remove it",
            shown(key),
            KNOWN[..2].join(", "),
        )),
        None => None,
    }
}

/// As it would be without what people mix up.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters have to be added, removed or replaced to make the one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != *y)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn said(annotations: &serde_json::Value, spec: &serde_json::Value) -> Vec<String> {
        let resource: RedisReplication = serde_json::from_value(json!({
            "metadata": {"name": "shop", "annotations": annotations}, "spec": spec, "status": {"epoch": 4},
        }))
        .unwrap();
        ignored(&resource)
    }

    #[rstest]
    #[case::operators("redis.replication.dev/switchover-to", None)]
    #[case::force("redis.replication.dev/force-failover", None)]
    #[case::kubectl("kubectl.kubernetes.io/last-applied-configuration", None)]
    #[case::somebody_elses("example.com/force-failover", None)]
    #[case::a_tools("argocd.argoproj.io/tracking-id", None)]
    #[case::plain_word("owner", None)]
    #[case::no_hyphen("redis.replication.dev/switchoverto", Some("it is written redis.replication.dev/switchover-to"))]
    #[case::camel("redis.replication.dev/switchoverTo", Some("it is written redis.replication.dev/switchover-to"))]
    #[case::letters("redis.replication.dev/swichover-to", Some("it is written redis.replication.dev/switchover-to"))]
    #[case::domain("redis-replication.dev/force-failover", Some("it is written redis.replication.dev/force-failover"))]
    #[case::no_domain("switchover-to", Some("it is written redis.replication.dev/switchover-to"))]
    #[case::epoch("redis.replication.dev/acknowledge-epoch", Some("written redis.replication.dev/acknowledged-epoch"))]
    #[case::made_up("redis.replication.dev/pause", Some("those that are read on a RedisReplication are"))]
    fn annotations_that_are_not_known(#[case] key: &str, #[case] words: Option<&str>) {
        let said = said(&json!({ (key): "3" }), &json!({}));
        match words {
            Some(words) => {
                assert!(said.len() == 1 && said[0].contains(words) && said[0].contains(key), "{said:?}");
            }
            None => assert!(said.is_empty(), "{said:?}"),
        }
    }

    #[test]
    fn acknowledgements_that_acknowledge_nothing() {
        for (value, words) in [
            ("4", None),
            (" 3 ", None),
            ("5", Some("the present epoch is 4")),
            ("four", Some("a number")),
            ("", Some("a number")),
        ] {
            let said = said(&json!({ (ACKNOWLEDGED_EPOCH): value }), &json!({}));
            assert_eq!(
                said.first().map(String::as_str).is_some_and(|s| words.is_some_and(|w| s.contains(w))),
                words.is_some()
            );
            assert_eq!(said.len(), usize::from(words.is_some()), "{value:?} {said:?}");
        }
    }

    #[test]
    fn a_preferred_master_that_is_no_member() {
        for (preferred, replicas, is_said) in [("shop-2", 3, false), ("shop-3", 3, true), ("shop-8", 1, true)] {
            let said = said(&json!({}), &json!({"replicas": replicas, "failover": {"preferredMaster": preferred}}));
            assert_eq!(said.len(), usize::from(is_said), "{preferred} {replicas}: {said:?}");
            let words = format!("spec.replicas is {replicas}, so the members are shop-0");
            assert!(said.iter().all(|s| s.contains(&words) && s.contains(preferred)), "{said:?}");
        }
    }

    #[test]
    fn a_sentence_is_short_whatever_was_written() {
        let key = format!("redis.replication.dev/{}", "x".repeat(5000));
        let said = said(&json!({ (key): "", (ACKNOWLEDGED_EPOCH): "\u{10ffff}".repeat(5000) }), &json!({}));
        assert!(said.len() == 2 && said.iter().all(|s| s.len() < 1000), "{said:?}");
    }
}
