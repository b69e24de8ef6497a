//! An API server for tests, with a few objects; it remembers what it was asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower_test::mock::pair;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What was done: `PATCH`.
    pub method: String,
    /// To what: `services/shop-master`.
    pub what: String,
    /// The rest of the address.
    pub query: String,
    /// What was sent.
    pub body: Value,
}

/// The server's memory.
#[derive(Clone, Default)]
pub struct Memory {
    asked: Arc<Mutex<Vec<Asked>>>,
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Memory {
    /// Everything that changes something, in order: `PATCH services/shop-master`.
    pub fn writes(&self) -> Vec<String> {
        self.asked().iter().filter(|a| a.method != "GET").map(|a| format!("{} {}", a.method, a.what)).collect()
    }

    /// All requests.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Somebody makes an object: `services`, and what it is.
    pub fn put(&self, plural: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        self.objects.lock().unwrap().insert(format!("{plural}/{name}"), object);
    }

    fn answer(&self, method: &str, path: &str, query: &str, body: Value) -> (StatusCode, Value) {
        // /api/v1/namespaces/shop/services/shop-master, /apis/apps/v1/namespaces/shop/statefulsets
        let what =
            path.split("/namespaces/").nth(1).and_then(|rest| rest.split_once('/')).expect("a namespaced path").1;
        let query = query.replace("%3D", "=");
        let named = query.split('&').find_map(|part| part.strip_prefix("fieldSelector=metadata.name="));
        let key = named.map_or_else(|| what.to_owned(), |name| format!("{what}/{name}"));
        let asked = Asked { method: method.into(), what: key.clone(), query: query.clone(), body: body.clone() };
        self.asked.lock().unwrap().push(asked);
        let mut objects = self.objects.lock().unwrap();
        let there = objects.get(&key).cloned();
        match (method, there) {
            ("GET", there) if named.is_some() => {
                let items: Vec<_> = there.iter().map(|object| json!({"metadata": object["metadata"]})).collect();
                (StatusCode::OK, json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
            }
            ("GET", Some(object)) => (StatusCode::OK, object),
            ("GET", None) => failure(404, "NotFound"),
            ("DELETE", _) => (StatusCode::OK, json!({"kind": "Status", "status": "Success"})),
            (_, Some(object))
                if !body["metadata"]["uid"].is_null() && body["metadata"]["uid"] != object["metadata"]["uid"] =>
            {
                failure(409, "Conflict")
            }
            (_, None) if !body["metadata"]["uid"].is_null() => failure(409, "Conflict"),
            (_, Some(object)) => (StatusCode::OK, object),
            (_, None) => {
                let mut object = body;
                object["metadata"]["uid"] = json!(format!("new {key}"));
                objects.insert(key, object.clone());
                (StatusCode::CREATED, object)
            }
        }
    }
}

fn failure(code: u16, reason: &str) -> (StatusCode, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason});
    (StatusCode::from_u16(code).unwrap(), status)
}

/// A client of such a server, and what the server remembers.
pub fn server() -> (Client, Memory) {
    let (service, mut handle) = pair::<Request<Body>, Response<Body>>();
    let memory = Memory::default();
    let remembers = memory.clone();
    tokio::spawn(async move {
        while let Some((request, send)) = handle.next_request().await {
            let (method, uri) = (request.method().to_string(), request.uri().clone());
            let bytes = request.into_body().collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            let (code, answer) = remembers.answer(&method, uri.path(), uri.query().unwrap_or_default(), body);
            let answer = Body::from(serde_json::to_vec(&answer).unwrap());
            send.send_response(Response::builder().status(code).body(answer).unwrap());
        }
    });
    (Client::new(service, "shop"), memory)
}
