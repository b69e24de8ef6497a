//! Asks for the events of what does not come about, beside everything else: never on the path of a failover, and ever more
//! rarely.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, api::ListParams};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use super::{
    questions::{About, Question},
    told,
};
use crate::{
    api::Reason,
    kubernetes::apply::limited,
    replication::{Failure, Observation},
};

/// So long a pod may take before it is asked why.
const PATIENCE: Duration = Duration::from_secs(4);
/// From the first question to the second; each time twice as long.
const AGAIN: Duration = Duration::from_secs(4);
/// At most.
const RARELY: Duration = Duration::from_secs(60);
/// So many events of one object are read.
const MOST: u32 = 100;

type Answers = BTreeMap<Question, Failure>;

/// What has been asked and answered.
#[derive(Debug, Default)]
pub struct Causes {
    asked: BTreeSet<Question>,
    due: Option<Instant>,
    pause: Duration,
    task: Option<JoinHandle<()>>,
    answers: Arc<Mutex<Answers>>,
}

impl Causes {
    /// Adds to an observation what is known: a cause that holds is a failure like those that the pod's status tells.
    pub fn explain(&self, o: &mut Observation) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (Question { member, about }, failure) in answers.iter() {
            let Some(member) = o.members.get_mut(member) else { continue };
            match (about, &mut member.pod) {
                (About::MissingPods(_), None) => member.absent = Some(failure.clone()),
                (About::Start(uid), Some(pod)) if pod.uid == *uid && !pod.running && !pod.leaving => {
                    pod.failure.get_or_insert_with(|| failure.clone());
                }
                // that no node is found says only that there is no volume
                (About::Claim(..), Some(pod))
                    if !pod.running
                        && !pod.leaving
                        && pod.failure.as_ref().is_none_or(|f| f.reason == Reason::Unschedulable) =>
                {
                    pod.failure = Some(failure.clone());
                }
                _ => {}
            }
        }
    }

    /// Asks, if it is time to; wakes the supervisor when an answer says something new.
    pub fn ask(&mut self, questions: BTreeSet<Question>, client: &Client, namespace: &str, changed: &Arc<Notify>) {
        if !self.is_due(&questions, Instant::now()) {
            return;
        }
        let (client, namespace) = (client.clone(), namespace.to_owned());
        let (answers, changed) = (Arc::clone(&self.answers), Arc::clone(changed));
        self.task = Some(tokio::spawn(async move {
            let before = answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let found = answer(&client, &namespace, questions, &before).await;
            let mut known = answers.lock().unwrap_or_else(PoisonError::into_inner);
            if *known != found {
                *known = found;
                changed.notify_one();
            }
        }));
    }

    fn is_due(&mut self, questions: &BTreeSet<Question>, now: Instant) -> bool {
        if *questions != self.asked {
            self.asked.clone_from(questions);
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).retain(|q, _| questions.contains(q));
            (self.due, self.pause) = (Some(now + PATIENCE), AGAIN);
        }
        let busy = self.task.as_ref().is_some_and(|task| !task.is_finished());
        if questions.is_empty() || busy || self.due.is_none_or(|due| now < due) {
            return false;
        }
        self.due = Some(now + self.pause);
        self.pause = (self.pause * 2).min(RARELY);
        true
    }
}

impl Drop for Causes {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Reads the events that each question is about. Where they cannot be read, what was known before goes on to count.
pub async fn answer(
    client: &Client,
    namespace: &str,
    questions: BTreeSet<Question>,
    before: &BTreeMap<Question, Failure>,
) -> BTreeMap<Question, Failure> {
    let mut read: BTreeMap<String, Option<Vec<Event>>> = BTreeMap::new(); // the StatefulSet's are asked for by each absent pod
    let mut answers = Answers::new();
    for question in questions {
        let (About::MissingPods(uid) | About::Start(uid) | About::Claim(uid, _)) = &question.about;
        if !read.contains_key(uid) {
            read.insert(uid.clone(), events(client, namespace, uid).await);
        }
        let cause = match (&question.about, read.get(uid).and_then(Option::as_deref)) {
            (_, None) => before.get(&question).cloned(),
            (About::MissingPods(_), Some(events)) => told::of_absence(&question.member, events, Timestamp::now()),
            (About::Start(_), Some(events)) => told::of_start(events),
            (About::Claim(_, name), Some(events)) => told::of_claim(name, events),
        };
        answers.extend(cause.map(|cause| (question, cause)));
    }
    answers
}

/// The events about one object. Without them the status says less, and nothing else.
async fn events(client: &Client, namespace: &str, uid: &str) -> Option<Vec<Event>> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let of_it = ListParams::default().fields(&format!("regarding.uid={uid}")).limit(MOST);
    match limited("list", "Event", uid, api.list(&of_it)).await {
        Ok(list) => Some(list.items),
        Err(error) => {
            tracing::debug!(%error, namespace, "events not read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::replication::fixture;

    fn question(member: &str, about: About) -> Question {
        Question { member: member.into(), about }
    }

    #[test]
    fn it_is_asked_after_a_while_and_ever_more_rarely() {
        let (mut causes, began) = (Causes::default(), Instant::now());
        let one: BTreeSet<_> = [question("shop-1", About::Start("u".into()))].into();
        let mut at = |seconds, questions: &BTreeSet<_>| causes.is_due(questions, began + Duration::from_secs(seconds));
        assert!(!at(0, &one) && !at(3, &one), "it may be about to start");
        let asked: Vec<_> = (4..400).filter(|second| at(*second, &one)).collect();
        assert_eq!(asked, [4, 8, 16, 32, 64, 124, 184, 244, 304, 364]);
        let none = BTreeSet::new();
        assert!(!at(401, &none) && !at(900, &none));
        assert!(!at(901, &one) && at(905, &one), "another time");
    }

    /// What is asked, and that one object is asked about once; an answer that does not come takes nothing back.
    #[tokio::test]
    async fn events_are_listed_by_the_identity_of_their_object() {
        let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "shop");
        let seen = tokio::spawn(async move {
            let mut asked = Vec::new();
            while let Some((request, send)) = server.next_request().await {
                asked.push(request.uri().to_string());
                let event = json!({"metadata": {"name": "e"}, "eventTime": "2026-11-27T19:00:00.000000Z", "reason": "FailedMount", "note": "no x"});
                let list =
                    json!({"apiVersion": "events.k8s.io/v1", "kind": "EventList", "metadata": {}, "items": [event]});
                let refused = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403});
                let (code, body) =
                    if request.uri().to_string().contains("claim") { (403, refused) } else { (200, list) };
                let body = Body::from(serde_json::to_vec(&body).unwrap());
                send.send_response(Response::builder().status(code).body(body).unwrap());
            }
            asked
        });
        let start = question("shop-1", About::Start("pod".into()));
        let claim = question("shop-1", About::Claim("claim".into(), "data-shop-1".into()));
        let absent = |member| question(member, About::MissingPods("set".into()));
        let before =
            [(claim.clone(), Failure { reason: Reason::VolumeUnavailable, message: "as before".into() })].into();
        let questions = [start.clone(), claim.clone(), absent("shop-2"), absent("shop-3")].into();
        let answers = answer(&client, "shop", questions, &before).await;
        drop(client);
        let asked = seen.await.unwrap();
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(asked.iter().all(|uri| uri.starts_with("/apis/events.k8s.io/v1/namespaces/shop/events?")), "{asked:?}");
        assert!(asked[0].contains("fieldSelector=regarding.uid%3Dpod") && asked[0].contains("limit="), "{asked:?}");
        let messages: Vec<_> = answers.iter().map(|(q, f)| (q.clone(), f.message.as_str())).collect();
        assert_eq!(messages, [(start, "its containers cannot be started: no x"), (claim, "as before")]);
    }

    #[test]
    fn a_cause_is_believed_while_it_is_about_what_is_there() {
        let failure = |reason| Failure { reason, message: "words".into() };
        let told = |about: About, change: &dyn Fn(&mut crate::replication::Member)| {
            let causes = Causes::default();
            let reason = Reason::VolumeUnavailable;
            causes.answers.lock().unwrap().insert(question("shop-1", about), failure(reason));
            let mut o = fixture::healthy(2);
            let member = o.members.get_mut("shop-1").unwrap();
            member.pod.as_mut().unwrap().running = false;
            change(member);
            causes.explain(&mut o);
            let member = o.members.remove("shop-1").unwrap();
            (member.pod.and_then(|p| p.failure).map(|f| f.reason), member.absent.map(|f| f.reason))
        };
        let (start, other) = (About::Start("uid-1".into()), About::Start("uid-9".into()));
        let (claim, absence) = (About::Claim("c".into(), "data-shop-1".into()), About::MissingPods("s".into()));
        let volume = Some(Reason::VolumeUnavailable);
        assert_eq!(told(start.clone(), &|_| {}), (volume, None));
        assert_eq!(told(other, &|_| {}), (None, None), "another pod's");
        assert_eq!(told(start.clone(), &|m| m.pod.as_mut().unwrap().running = true), (None, None), "it has started");
        assert_eq!(told(start.clone(), &|m| m.pod.as_mut().unwrap().leaving = true), (None, None));
        let fails =
            |reason| move |m: &mut crate::replication::Member| m.pod.as_mut().unwrap().failure = Some(failure(reason));
        assert_eq!(told(start, &fails(Reason::ImageUnavailable)), (Some(Reason::ImageUnavailable), None));
        assert_eq!(told(claim.clone(), &fails(Reason::Unschedulable)), (volume, None), "it says more");
        assert_eq!(told(claim.clone(), &fails(Reason::ImageUnavailable)), (Some(Reason::ImageUnavailable), None));
        assert_eq!(told(claim, &|m| m.pod.as_mut().unwrap().running = true), (None, None));
        assert_eq!(told(absence.clone(), &|_| {}), (None, None), "there is a pod now");
        assert_eq!(told(absence, &|m| m.pod = None), (None, volume));
    }
}
