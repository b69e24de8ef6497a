//! Every field of the definition, with values that nobody in his right mind would write. Whatever the API server lets in is
//! understood by the operator, or set apart as one resource that cannot be decoded.

use std::fmt::Write;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use kube::Client;
use redis_replication_operator::{
    api::{RedisReplication, crd},
    kubernetes::isolation::Isolated,
    objects,
};
use serde_json::{Map, Value, json};

use crate::harness::{Scene, ensure, scenario};

/// Fields of Kubernetes' own types with many fields.
const KUBERNETES: [&str; 3] = ["spec.affinity.", "spec.topologySpreadConstraints[].", "spec.tolerations[]."];
/// Stands where the hostile value comes, which may be what no `Value` can hold.
const HERE: &str = "\"@here@\"";
/// The longest message of a refusal by the operator.
const SENTENCE: usize = 1000;

/// JSON texts.
fn hostile() -> Vec<String> {
    let plain = [
        "null",
        "true",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "{\"a\":{\"b\":1}}",
        "0",
        "-1",
        "1",
        "-0.0",
        "0.5",
        "1e3",
        "1e300",
        "1.0",
        "2147483647",
        "2147483648",
        "-2147483649",
        "4294967296",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "\"\"",
        "\" \"",
        "\"-\"",
        "\"a\\u0000b\"",
        "\"\\u001b[31m\\u0007\"",
        "\"\\u202e\u{fc}\u{10ffff}\"",
        "\"\\ud800\"",
        "\"a\\nb\"",
        "\"..\"",
        "\"/\"",
        "\"yes\"",
        "\"1Gi\"",
        "\"-1Gi\"",
        "\"0\"",
        "\"1e999999999\"",
        "\"NaN\"",
        "\"5ns\"",
        "\"2026-11-27T23:59:60Z\"",
        "\"0000-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59.999999999Z\"",
        "\"2026-11-27T10:00:00+23:59\"",
        "\"2026-11-27T10:00:00+25:00\"",
        "\"2026-11-27t10:00:00z\"",
        "\"2026-11-27 10:00:00Z\"",
        "\"2026-02-30T00:00:00Z\"",
        "\"2026-11-27T24:00:00Z\"",
        "\"2026-11-27T10:00:00-00:00\"",
        "\"2026-11-27T10:00:00.1234567891234Z\"",
        "\"2026-11-27T10:00Z\"",
        "\"2026-11-27\"",
        "\"0001-01-01T00:00:00Z\"",
        "\"2026-11-27T10:00:00,5Z\"",
    ];
    let mut all: Vec<String> = plain.map(str::to_owned).to_vec();
    all.extend([format!("\"{}\"", "x".repeat(254)), format!("\"{}\"", "\u{fc}".repeat(20_000))]);
    all
}

/// The essence, for the many fields of Kubernetes' own types and for keys of maps.
fn few() -> Vec<String> {
    ["null", "[]", "{}", "0", "9223372036854775807", "1e300", "\"\"", "\"a\\u0000b\""].map(str::to_owned).to_vec()
}

/// What else a free-form object may hold.
fn hostile_objects() -> Vec<String> {
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let lists = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let mut wide = String::from("{");
    for n in 0..5000 {
        let _ = write!(wide, "\"k{n}\":{n},");
    }
    let keys = "{\"\":1,\"a b\":2,\"\\u0000\":3,\"\u{fc}\":4}";
    vec![
        nested(50),
        nested(63),
        nested(64),
        nested(127),
        nested(128),
        nested(5000),
        lists(5000),
        wide + "\"z\":0}",
        keys.into(),
    ]
}

/// A field, and an object that is valid but for what stands in it.
struct Place {
    path: String,
    object: Value,
    free_form: bool,
    time: bool,
    /// Few values will do.
    minor: bool,
}

/// All places below `schema`. `wrap` puts a value where `schema` describes one.
fn places(path: &str, schema: &Value, wrap: &dyn Fn(Value) -> Value, found: &mut Vec<Place>) {
    let free_form = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let minor =
        KUBERNETES.iter().any(|own| path.starts_with(own)) || (path.ends_with(']') && !path.ends_with("[\"a\"]"));
    let time = schema["format"] == "date-time";
    found.push(Place { path: path.to_owned(), object: wrap(json!("@here@")), free_form, time, minor });
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let inner = |value: Value| {
            let mut object = required(schema);
            object.insert(name.clone(), value);
            wrap(Value::Object(object))
        };
        places(&format!("{path}.{name}"), field, &inner, found);
    }
    if schema["items"].is_object() {
        places(&format!("{path}[]"), &schema["items"], &|value| wrap(json!([value])), found);
    }
    if schema["additionalProperties"].is_object() {
        for key in ["a", "", "a b", "\0", "\u{fc}"] {
            let inner = |value: Value| wrap(json!({ key: value }));
            places(&format!("{path}[{key:?}]"), &schema["additionalProperties"], &inner, found);
        }
    }
}

/// What must be in an object of this schema.
fn required(schema: &Value) -> Map<String, Value> {
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| (name.to_owned(), sample(&schema["properties"][name]))).collect()
}

fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("object"), _) => Value::Object(required(schema)),
        (Some("array"), _) => json!([]),
        (Some("integer"), _) => json!(1),
        (Some("boolean"), _) => json!(true),
        (_, Some("date-time")) => json!("2026-11-27T10:00:00Z"),
        (Some(_), _) => json!("x"),
        (None, _) => json!("1Gi"),
    }
}

fn schema() -> Value {
    let crd = serde_json::to_value(crd()).expect("the definition");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

fn places_of(part: &str) -> Vec<Place> {
    let mut found = Vec::new();
    places(part, &schema()["properties"][part], &|value| value, &mut found);
    found
}

/// How an object of which `part` is tried gets to the API server, for a trial only.
struct Door {
    part: &'static str,
    method: &'static str,
    path: String,
    content: &'static str,
    body: fn(&str) -> String,
}

impl Door {
    /// The server's answer; `None` if it refuses.
    async fn knock(&self, client: &Client, value: &str) -> Result<Option<String>> {
        let request = Request::builder().method(self.method).uri(format!("{}?dryRun=All", self.path));
        let request = request.header("content-type", self.content).body((self.body)(value).into_bytes())?;
        match client.request_text(request).await {
            Ok(text) => Ok(Some(text)),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 413 | 422) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What becomes of one value in one place: refused by the server, understood, refused by the operator, or set apart.
#[derive(Debug, PartialEq, Eq, Clone, Copy, PartialOrd, Ord)]
enum Fate {
    Refused,
    Understood,
    Invalid,
    SetApart,
    /// Refused by the operator with words that are no sentence for people.
    Babble,
}

fn fate(answer: Option<&str>) -> Result<(Fate, String)> {
    let Some(text) = answer else { return Ok((Fate::Refused, String::new())) };
    let object: Isolated<RedisReplication> = serde_json::from_str(text).context("the list would fail")?;
    let resource = match object.0 {
        Ok(resource) => resource,
        Err(broken) => return Ok((Fate::SetApart, broken.fault.to_string())),
    };
    match objects::validate(&resource) {
        Ok(cluster) => {
            objects::build(&cluster, 1);
            Ok((Fate::Understood, String::new()))
        }
        Err(invalid) => {
            let words = invalid.to_string();
            let sentence = words.chars().count() <= SENTENCE && !words.contains(char::is_control);
            Ok((if sentence { Fate::Invalid } else { Fate::Babble }, words))
        }
    }
}

async fn try_all(scene: &Scene, door: &Door) -> Result<()> {
    let (values, part) = (hostile(), door.part);
    let mut trials = Vec::new();
    for place in places_of(part) {
        let template = place.object.to_string();
        ensure(template.matches(HERE).count() == 1, || template.clone())?;
        let more = if place.free_form { hostile_objects() } else { Vec::new() };
        let all = if place.minor { few() } else { values.clone() };
        let all = all.into_iter().chain(more);
        trials.extend(all.map(|value| (place.path.clone(), place.time, template.replace(HERE, &value), value)));
    }
    let count = trials.len();
    let results: Vec<_> = stream::iter(trials)
        .map(async |(path_of, time, body, value)| {
            let short: String = value.chars().take(60).collect();
            let answer = door.knock(&scene.client, &body).await.with_context(|| format!("{path_of} = {short}"))?;
            let (fate, words) = fate(answer.as_deref()).with_context(|| format!("{path_of} = {short}"))?;
            anyhow::Ok((path_of, time, short, fate, words))
        })
        .buffered(16)
        .try_collect()
        .await?;
    let mut wrong = Vec::new();
    for (path, time, value, fate, words) in &results {
        // what JSON has and nobody's parser reads; times that only Go understands, and lists where it takes them for times
        let set_apart = *time || words.contains("levels deep");
        match fate {
            Fate::Babble => wrong.push(format!("{path} = {value}: {words:?}")),
            Fate::SetApart if !set_apart => wrong.push(format!("{path} = {value}: {words}")),
            Fate::Invalid => println!("refused by the operator only: {path} = {value}: {words}"),
            _ => {}
        }
    }
    let of = |fate: Fate| results.iter().filter(|r| r.3 == fate).count();
    println!(
        "{part}: {count} trials, {} refused by the API server, {} understood, {} refused with a sentence, {} set apart",
        of(Fate::Refused),
        of(Fate::Understood),
        of(Fate::Invalid),
        of(Fate::SetApart),
    );
    ensure(wrong.is_empty(), || format!("let in and not understood:\n{}", wrong.join("\n")))?;
    ensure(of(Fate::Refused) > count / 2 && of(Fate::Understood) > count / 50, || "the trials mean nothing".into())
}

#[test]
fn every_field_takes_hostile_values() {
    scenario("hostile-fields", async |scene| {
        let path =
            format!("/apis/redis.replication.dev/v1alpha1/namespaces/{}/redisreplications", scene.namespace.name());
        let spec = Door {
            part: "spec",
            method: "POST",
            path: path.clone(),
            content: "application/json",
            body: |spec| {
                let head = r#""apiVersion":"redis.replication.dev/v1alpha1","kind":"RedisReplication","metadata":{"name":"cache"}"#;
                format!(r#"{{{head},"spec":{spec}}}"#)
            },
        };
        try_all(scene, &spec).await?;
        scene.replication("cache", "paused: true").await?;
        let status = Door {
            part: "status",
            method: "PATCH",
            path: format!("{path}/cache/status"),
            content: "application/json-patch+json",
            body: |status| format!(r#"[{{"op":"add","path":"/status","value":{status}}}]"#),
        };
        try_all(scene, &status).await
    });
}
