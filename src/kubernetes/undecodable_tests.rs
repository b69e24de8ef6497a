#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::needless_pass_by_value)]

use kube::runtime::{WatchStreamExt, reflector};
use serde_json::{Value, json};

use super::*;

type Told = Arc<Mutex<Vec<String>>>;

/// A watch of resources and its store; what is told is kept.
struct Scene {
    faults: Faults,
    told: Told,
    known: Store<RedisReplication>,
    events: futures::channel::mpsc::UnboundedSender<watcher::Result<Event<Isolated<RedisReplication>>>>,
    out: std::pin::Pin<Box<dyn Stream<Item = watcher::Result<Event<RedisReplication>>> + Send>>,
}

fn scene() -> Scene {
    let (known, writer) = reflector::store::<RedisReplication>();
    let (events, arriving) = futures::channel::mpsc::unbounded();
    let (faults, told) = (Faults::default(), Told::default());
    let notes = Arc::clone(&told);
    let report: Reporter = Arc::new(move |notice| {
        let note = match notice {
            Notice::Broken { object, fault, goes_on, .. } => format!("{}: {fault} ({goes_on})", object.name.unwrap()),
            Notice::Over { key, .. } => format!("{} over", key.name),
        };
        notes.lock().unwrap().push(note);
    });
    let out = Box::pin(decoded(arriving, known.clone(), last_known, faults.clone(), report).reflect(writer));
    Scene { faults, told, known, events, out }
}

impl Scene {
    /// What becomes of one event: its kind, if it is passed on.
    fn send(&mut self, event: Event<Isolated<RedisReplication>>) -> Option<Event<RedisReplication>> {
        self.events.unbounded_send(Ok(event)).unwrap();
        futures::FutureExt::now_or_never(self.out.next()).map(|event| event.unwrap().unwrap())
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn cache(&self) -> Option<Arc<RedisReplication>> {
        self.known.get(&ObjectRef::new("cache").within("shop"))
    }

    /// As after a start: the list, with this in it.
    fn starts_with(&mut self, objects: &[Value]) {
        self.send(Event::Init);
        for object in objects {
            self.send(Event::InitApply(isolated(object)));
        }
        self.send(Event::InitDone);
    }
}

fn isolated(object: &Value) -> Isolated<RedisReplication> {
    serde_json::from_value(object.clone()).unwrap()
}

fn resource(version: u32, spec: Value, status: Value) -> Value {
    json!({
        "metadata": {"name": "cache", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string(), "generation": version},
        "spec": spec, "status": status,
    })
}

fn good(version: u32) -> Value {
    resource(version, json!({"replicas": 5}), json!({"epoch": 7, "master": "cache-0"}))
}

fn bad(version: u32) -> Value {
    resource(version, json!({"replicas": "x"}), json!({"epoch": 8, "master": "cache-1"}))
}

#[test]
fn one_that_becomes_undecodable_is_not_deleted() {
    let mut scene = scene();
    scene.starts_with(&[good(1)]);
    let Some(Event::Apply(seen)) = scene.send(Event::Apply(isolated(&bad(2)))) else {
        panic!("it wakes the controller")
    };
    assert_eq!(
        (seen.spec.replicas, seen.metadata.generation),
        (5, Some(2)),
        "the last spec, of which the new one is told"
    );
    let status = scene.cache().unwrap().status.clone().unwrap();
    assert_eq!(
        (status.epoch, status.master.as_deref()),
        (8, Some("cache-1")),
        "the record is well, and is the one of now"
    );
    assert_eq!(scene.cache().unwrap().metadata.resource_version.as_deref(), Some("2"));
    assert_eq!(scene.told(), ["cache: spec.replicas is a text, expected i32 (true)"]);

    scene.send(Event::Apply(isolated(&bad(3))));
    assert_eq!(scene.told(), Vec::<String>::new(), "the same is told once");
    scene.starts_with(&[bad(4)]);
    assert_eq!(scene.cache().unwrap().spec.replicas, 5, "a list does not drop it either");
    assert_eq!(scene.told(), Vec::<String>::new());

    scene.send(Event::Apply(isolated(&good(5))));
    assert_eq!((scene.told(), scene.faults.all().len()), (vec!["cache over".to_owned()], 0));
    scene.send(Event::Apply(isolated(&bad(6))));
    assert!(matches!(scene.send(Event::Delete(isolated(&bad(7)))), Some(Event::Delete(_))), "deleted is deleted");
    assert!(scene.cache().is_none() && scene.faults.all().is_empty());
}

#[test]
fn after_a_start_it_is_told_and_left_alone() {
    let mut scene = scene();
    let other = json!({"metadata": {"name": "other", "namespace": "shop", "uid": "o"}, "spec": {}});
    scene.starts_with(&[bad(1), other]);
    assert!(futures::FutureExt::now_or_never(scene.known.wait_until_ready()).is_some(), "the watch is ready");
    assert!(scene.cache().is_none());
    assert_eq!(scene.known.state().len(), 1, "the other is known");
    assert_eq!(scene.told(), ["cache: spec.replicas is a text, expected i32 (false)"]);
    assert!(scene.send(Event::Apply(isolated(&bad(2)))).is_none());
    assert!(matches!(scene.send(Event::Apply(isolated(&good(3)))), Some(Event::Apply(_))), "and it heals");
    assert_eq!(scene.told(), ["cache over"]);
    scene.send(Event::Apply(isolated(&bad(4))));
    scene.starts_with(&[]);
    assert_eq!((scene.told().len(), scene.faults.all().len()), (2, 0), "it was deleted meanwhile");
}

#[test]
fn one_of_the_same_name_is_another() {
    let mut scene = scene();
    scene.starts_with(&[good(1)]);
    let mut another = bad(9);
    another["metadata"]["uid"] = json!("w");
    assert!(
        matches!(scene.send(Event::Apply(isolated(&another))), Some(Event::Delete(r)) if r.uid().as_deref() == Some("u"))
    );
    assert!(scene.cache().is_none());
}

/// Nothing of a damaged record is used, and a record that somebody has carried on is not overwritten.
#[test]
fn a_damaged_status_is_not_guessed() {
    let mut scene = scene();
    scene.starts_with(&[good(1)]);
    scene.send(Event::Apply(isolated(&resource(2, json!({"replicas": 4}), json!({"epoch": 7, "master": 5})))));
    let cache = scene.cache().unwrap();
    assert_eq!((cache.spec.replicas, cache.metadata.resource_version.as_deref()), (4, Some("2")));
    assert_eq!(cache.status.as_ref().unwrap().master.as_deref(), Some("cache-0"));
    scene.send(Event::Apply(isolated(&resource(3, json!({}), json!({"epoch": 8, "master": 5})))));
    assert_eq!(
        scene.cache().unwrap().metadata.resource_version.as_deref(),
        Some("2"),
        "a write from here would conflict"
    );
}
