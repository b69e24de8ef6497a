//! Whose events have to be asked for.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod as KubePod},
};
use kube::ResourceExt;

use super::pods;
use crate::{objects::names, replication::Observation};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Name of the member, and of its pod.
    pub member: String,
    /// About what.
    pub about: About,
}

/// The object whose events may have the answer, by its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// The `StatefulSet`: why there is no pod.
    MissingPods(String),
    /// The pod: why it does not start.
    Start(String),
    /// The claim, and its name: why it has no volume.
    Claim(String, String),
}

/// Of pods that are wanted and not there the `StatefulSet`'s, of pods that have not begun to run their own and those of their
/// claims.
pub fn questions(
    o: &Observation,
    pods: &[Arc<KubePod>],
    claims: &[Arc<PersistentVolumeClaim>],
    set: Option<&StatefulSet>,
) -> BTreeSet<Question> {
    let mut questions = BTreeSet::new();
    let mut ask = |member: &str, about| questions.insert(Question { member: member.to_owned(), about });
    for pod in pods.iter().filter(|pod| pods::has_not_begun(pod)) {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        // the member may still be the process of a pod that is gone
        let observed = o.members.get(&name).and_then(|m| m.pod.as_ref()).is_some_and(|p| p.uid == uid);
        if !observed {
            continue;
        }
        ask(&name, About::Start(uid));
        let claim = format!("{}-{name}", names::DATA_VOLUME);
        let unbound = |c: &&Arc<PersistentVolumeClaim>| {
            c.name_any() == claim && c.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Bound")
        };
        if let Some(uid) = claims.iter().find(unbound).and_then(|c| c.uid()) {
            ask(&name, About::Claim(uid, claim));
        }
    }
    if let Some(uid) = set.and_then(ResourceExt::uid) {
        for (name, _) in o.members.iter().filter(|(name, m)| o.wanted(name) && m.pod.is_none()) {
            ask(name, About::MissingPods(uid.clone()));
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::replication::fixture;
    use serde_json::json;

    #[test]
    fn only_of_what_does_not_come_about() {
        let pod = |uid: &str, phase: &str| {
            let pod = json!({"metadata": {"name": "shop-1", "uid": uid}, "status": {"phase": phase}});
            Arc::new(serde_json::from_value::<KubePod>(pod).unwrap())
        };
        let claim = |phase: &str| {
            let claim = json!({"metadata": {"name": "data-shop-1", "uid": "c"}, "status": {"phase": phase}});
            Arc::new(serde_json::from_value::<PersistentVolumeClaim>(claim).unwrap())
        };
        let set: StatefulSet = serde_json::from_value(json!({"metadata": {"name": "shop", "uid": "s"}})).unwrap();
        let mut o = fixture::healthy(3);
        let about = |o: &Observation, pods: &[_], claims: &[_]| {
            questions(o, pods, claims, Some(&set)).into_iter().map(|q| (q.member, q.about)).collect::<Vec<_>>()
        };
        let (start, of) = (About::Start("uid-1".into()), |about: About| ("shop-1".to_owned(), about));
        assert_eq!(about(&o, &[pod("uid-1", "Running")], &[claim("Pending")]), []);
        assert_eq!(about(&o, &[pod("uid-1", "Pending")], &[claim("Bound")]), [of(start.clone())]);
        assert_eq!(
            about(&o, &[pod("uid-1", "Pending")], &[claim("Pending")]),
            [of(start), of(About::Claim("c".into(), "data-shop-1".into()))]
        );
        assert_eq!(about(&o, &[pod("uid-9", "Pending")], &[]), [], "its predecessor's process still answers");
        o.members.get_mut("shop-1").unwrap().pod = None;
        assert_eq!(about(&o, &[], &[]), [of(About::MissingPods("s".into()))]);
        o.settings.replicas = 1;
        assert_eq!(about(&o, &[], &[]), [], "it is not wanted");
    }
}
