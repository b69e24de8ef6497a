//! Removes what must not get into a bug report. Pure.
//!
//! Passwords that are known are removed wherever they stand; what looks like one (a directive, an option, a variable with
//! a telling name, an ACL rule, a URL with credentials) is removed too.

use serde_json::{Map, Value};

/// Stands where something was.
pub const REMOVED: &str = "<removed>";
/// A shorter password would take half of the text with it.
const SHORTEST: usize = 4;
/// After one of these words the rest of the line is a secret.
const DIRECTIVES: [&str; 8] = [
    "requirepass",
    "masterauth",
    "primaryauth",
    "auth-pass",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
    "--pass",
    "auth", // the command
];
/// Fields, variables and options whose names contain one of these have secret values …
const TELLING: [&str; 6] = ["pass", "secret", "token", "credential", "auth", "apikey"];
/// … but these are names of Secrets and keys.
const NAMES: [&str; 3] = ["secretname", "secretkey", "authsecret"];

/// What is known to be secret.
#[derive(Debug, Default)]
pub struct Redactor {
    passwords: Vec<String>,
}

impl Redactor {
    /// Knows these passwords, and how they look quoted.
    pub fn new(passwords: impl IntoIterator<Item = String>) -> Self {
        let mut all: Vec<String> = Vec::new();
        for password in passwords.into_iter().filter(|password| password.len() >= SHORTEST) {
            let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
            all.extend([password, quoted]);
        }
        all.sort_by_key(|password| std::cmp::Reverse(password.len()));
        all.dedup();
        Self { passwords: all }
    }

    /// Text: logs, INFO, redis.conf.
    pub fn text(&self, text: &str) -> String {
        let mut known = text.to_owned();
        for password in &self.passwords {
            known = known.replace(password, REMOVED);
        }
        known.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }

    /// An object of Kubernetes. What only the API server needs is dropped.
    pub fn object(&self, object: &mut Value) {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
        self.value(object);
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => {
                let mut secret = false;
                for item in items {
                    if secret && item.is_string() {
                        *item = REMOVED.into();
                    }
                    secret =
                        item.as_str().is_some_and(|text| text.starts_with('-') && !text.contains('=') && telling(text));
                    self.value(item);
                }
            }
            Value::Object(fields) => self.fields(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn fields(&self, fields: &mut Map<String, Value>) {
        // an environment variable
        let variable = fields.get("name").and_then(Value::as_str).is_some_and(telling);
        if variable && let Some(value) = fields.get_mut("value") {
            *value = REMOVED.into();
        }
        for (key, value) in fields {
            if value.is_string() && telling(key) {
                *value = REMOVED.into();
            } else {
                self.value(value);
            }
        }
    }
}

fn telling(name: &str) -> bool {
    let name: String = name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    TELLING.iter().any(|word| name.contains(word)) && !NAMES.contains(&name.as_str())
}

fn line(line: &str) -> String {
    let line = url(&rules(line));
    let lower = line.to_ascii_lowercase();
    for word in DIRECTIVES {
        let mut from = 0;
        while let Some(at) = lower[from..].find(word).map(|at| at + from) {
            let end = at + word.len();
            from = end;
            let before = &lower[..at];
            let alone = before.ends_with("--") || !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
            let rest = &line[end..];
            let value = rest.trim_start_matches([' ', '\t', '=', ':', '"', '\'']);
            // "AUTH failed" and the like are words, the command is written in capitals
            let command = word != "auth" || line[at..end] == *"AUTH" && rest.starts_with(" \"");
            if alone && command && value.len() < rest.len() && !value.is_empty() {
                return format!("{}{}{REMOVED}", &line[..end], &rest[..1]);
            }
        }
    }
    for sign in ["password=", "password:", "passwd=", "secret=", "token="] {
        if let Some(at) = lower.find(sign) {
            let end = at + sign.len();
            let rest = line[end..].trim_start();
            let value = rest.split_whitespace().next().unwrap_or_default();
            if !value.is_empty() && value != REMOVED {
                return format!("{}{REMOVED}{}", &line[..end], &rest[value.len()..]);
            }
        }
    }
    line
}

/// The passwords and hashes of an ACL rule: `user alice on >secret ~* +@all`.
fn rules(line: &str) -> String {
    if !line.split_whitespace().any(|word| word.trim_matches(['\'', '"']) == "user") {
        return line.to_owned();
    }
    let is_secret = |word: &str| {
        word.strip_prefix('>')
            .or_else(|| word.strip_prefix('<'))
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('>'))
            || word.strip_prefix('#').is_some_and(|hash| hash.len() == 64)
    };
    line.split(' ')
        .map(|word| if is_secret(word) && word != REMOVED { REMOVED } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// `redis://user:secret@host` loses what is before the @.
fn url(line: &str) -> String {
    let Some((scheme, rest)) = line.split_once("://") else { return line.to_owned() };
    let end = rest.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{REMOVED}{}", &rest[at..]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("requirepass \"s3cret\"", "requirepass <removed>")]
    #[case(">>> 'masterauth a b c'", ">>> 'masterauth <removed>")]
    #[case("AUTH \"s3cret\"", "AUTH <removed>")]
    #[case("user alice on >s3cret ~* +@all", "user alice on <removed> ~* +@all")]
    #[case("user default on nopass", "user default on nopass")]
    #[case("url=redis://alice:s3cret@host:6379/0 x", "url=redis://<removed>@host:6379/0 x")]
    #[case("connecting with password=s3cret to x", "connecting with password=<removed> to x")]
    #[case("tls-key-file-pass s3cret", "tls-key-file-pass <removed>")]
    #[case("the word is hunter22, said twice: hunter22", "the word is <removed>, said twice: <removed>")]
    fn secrets_are_removed_from_text(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Redactor::new(["hunter22".to_owned()]).text(text), expected);
    }

    #[rstest]
    #[case("1:M 01 Jan 2026 00:00:00.000 * Ready to accept connections tcp")]
    #[case("1:S * Unable to AUTH to MASTER: -WRONGPASS invalid username-password pair or user is disabled.")]
    #[case("maxmemory-policy allkeys-lru")]
    #[case("CONFIG SET requirepass")]
    #[case("master_link_status:up\r")]
    #[case(">>> 'maxmemory lots'")]
    #[case("see https://redis.io/docs for more")]
    fn what_is_no_secret_stays(#[case] text: &str) {
        assert_eq!(Redactor::new(["x".to_owned()]).text(text), text);
    }

    #[test]
    fn a_password_with_quotes_is_removed_in_its_quoted_form_too() {
        let redactor = Redactor::new(["pa\"ss".to_owned()]);
        assert_eq!(redactor.text("said pa\"ss and pa\\\"ss"), "said <removed> and <removed>");
    }

    #[test]
    fn secrets_are_removed_from_objects() {
        let mut object = json!({
            "metadata": {
                "name": "cache",
                "managedFields": [{ "manager": "x" }],
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "a" },
            },
            "spec": {
                "auth": { "secretName": "mine", "secretKey": "word" },
                "config": { "maxmemory": "1gb", "some-module-password": "s3cret" },
                "containers": [{
                    "env": [
                        { "name": "REDIS_PASSWORD", "value": "s3cret" },
                        { "name": "PLAIN", "value": "kept" },
                        { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "mine", "key": "token" } } },
                    ],
                    "args": ["--requirepass", "s3cret", "--port", "6379", "--masterauth s3cret"],
                }],
            },
            "data": { "redis.conf": "maxmemory 1gb\nrequirepass s3cret\n" },
        });
        Redactor::default().object(&mut object);
        assert_eq!(
            object,
            json!({
                "metadata": { "name": "cache", "annotations": { "team": "a" } },
                "spec": {
                    "auth": { "secretName": "mine", "secretKey": "word" },
                    "config": { "maxmemory": "1gb", "some-module-password": REMOVED },
                    "containers": [{
                        "env": [
                            { "name": "REDIS_PASSWORD", "value": REMOVED },
                            { "name": "PLAIN", "value": "kept" },
                            { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "mine", "key": "token" } } },
                        ],
                        "args": ["--requirepass", REMOVED, "--port", "6379", "--masterauth <removed>"],
                    }],
                },
                "data": { "redis.conf": "maxmemory 1gb\nrequirepass <removed>\n" },
            })
        );
    }
}
