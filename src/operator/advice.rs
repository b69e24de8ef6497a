//! What to do about a password, in words that can be copied into a shell.

use std::fmt;

use kube::ResourceExt;

use crate::{api::RedisReplication, objects::names, password::PasswordError, redis::OPERATOR as OPERATORS_USER};

/// Where the password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the `RedisReplication`.
    pub resource: String,
    /// Namespace of the Secret.
    pub namespace: String,
    /// Its name.
    pub secret: String,
    /// The password's key in it.
    pub key: String,
    /// Named by the spec; otherwise the operator makes it.
    pub given: bool,
}

impl Place {
    /// Of this resource.
    pub fn of(resource: &RedisReplication) -> Self {
        Self {
            resource: resource.name_any(),
            namespace: resource.namespace().unwrap_or_default(),
            secret: names::auth_secret(&resource.name_any(), &resource.spec),
            key: names::auth_secret_key(&resource.spec).to_owned(),
            given: resource.spec.auth.as_ref().is_some_and(|auth| auth.secret_name.is_some()),
        }
    }

    /// Its Secret does not exist, and is not the operator's to make. `holder`: a running pod that has the password.
    pub fn given_missing(&self, holder: Option<&str>) -> String {
        let create = format!(
            "{self} does not exist: create it with the password under the key {}, or leave out spec.auth.secretName to have one made",
            self.key
        );
        match holder {
            Some(pod) => format!("{create}. The running pods have the password: {}", self.created_from(pod)),
            None => create,
        }
    }

    /// The Secret that the operator made is gone, and so is what it held.
    pub fn lost(&self, holder: Option<&str>) -> String {
        let advice = match holder {
            Some(pod) => format!("Create it from a running pod: {} && {}", self.created_from(pod), self.labelled()),
            None => format!(
                "No pod runs that has it: create the Secret with the password that the clients use: {}PASSWORD && {}",
                self.create(),
                self.labelled()
            ),
        };
        format!(
            "{self} was deleted, and this operator has not seen its password. No new one is made: members and clients would refuse it. {advice}"
        )
    }

    /// The Secret has no such key. `known`: the operator knows what it held.
    pub fn key_missing(&self, known: bool) -> String {
        let instead = if self.given { "add it, or name the right one in spec.auth.secretKey" } else { "add it" };
        format!("{self} has no key {}: {instead}{}", self.key, self.or_delete(known))
    }

    /// What is under the key is no password.
    pub fn unusable(&self, error: PasswordError, known: bool) -> String {
        let fix = match error {
            PasswordError::CarriageReturn => format!("remove it: {}", self.without_carriage_returns()),
            PasswordError::ByteOrderMark => "store it without the mark that an editor put before it".into(),
            _ => "store one line of UTF-8 text, without control characters".into(),
        };
        format!("the password in {self} (key {}) {error}: {fix}{}", self.key, self.or_delete(known))
    }

    /// Of a member, which could not be logged in to. `at_master`: the master accepts the password.
    pub fn refused(&self, member: &str, words: &str, at_master: bool) -> String {
        format!(
            "it refuses the password in {self} ({words}): it was started with another one. {}",
            self.back(member, at_master, false)
        )
    }

    /// Of a member that the operator is logged in to with a former password.
    pub fn outdated(&self, member: &str, words: &str, at_master: bool) -> String {
        let cost =
            if at_master { "" } else { ", but clients with the present one and members that restart are refused" };
        format!(
            "it refuses the password that {self} has now ({words}); the operator goes on with the former one{cost}. {}",
            self.back(member, at_master, true)
        )
    }

    /// Of a member whose Redis accepted the present password before.
    pub fn changed_by_hand(&self, member: &str, words: &str) -> String {
        let (user, cli) = (OPERATORS_USER, "$(command -v redis-cli || command -v valkey-cli)");
        format!(
            "it refuses the password in {self} ({words}), and has accepted it before: somebody changed it in the running Redis \
             (CONFIG SET requirepass, or ACL SETUSER). Clients and members that use the Secret's password are refused; the operator goes on as a user of its own. Put it \
             back with: kubectl -n {} exec {member} -c {} -- sh -c 'export REDISCLI_AUTH=\"$(cat /run/redis/password)\"; {cli} --user \
             {user} ACL SETUSER default on resetpass \">$REDISCLI_AUTH\"'",
            self.namespace,
            names::REDIS_CONTAINER
        )
    }

    /// A replica that the master refuses starts with what the master accepts; else all would have to.
    fn back(&self, member: &str, at_master: bool, known: bool) -> String {
        if at_master {
            format!(
                "The master accepts it: delete the pod, and it starts with it: kubectl -n {} delete pod {member}",
                self.namespace
            )
        } else if known && !self.given {
            format!(
                "To get the former one back, delete the Secret, and the operator makes it again: {}",
                self.deleted()
            )
        } else {
            format!(
                "If spec.auth.secretName was changed, set it back; otherwise put the former password back with: {}",
                self.patched(&format!("{} | base64 | tr -d '\\n'", self.shown_by(member)))
            )
        }
    }

    fn or_delete(&self, known: bool) -> String {
        match (self.given, known) {
            (true, _) => String::new(),
            (false, true) => {
                format!("; or delete the Secret, and the operator makes it again as it was: {}", self.deleted())
            }
            (false, false) => {
                format!("; or delete the Secret, and the status says how to make it again: {}", self.deleted())
            }
        }
    }

    fn deleted(&self) -> String {
        format!("kubectl -n {} delete secret {}", self.namespace, self.secret)
    }

    fn create(&self) -> String {
        format!("kubectl -n {} create secret generic {} --from-literal={}=", self.namespace, self.secret, self.key)
    }

    fn created_from(&self, pod: &str) -> String {
        format!("{}\"$({})\"", self.create(), self.shown_by(pod))
    }

    /// By its labels the operator takes it for its own.
    fn labelled(&self) -> String {
        let labels = names::joined(&names::labels(&self.resource), " ");
        format!("kubectl -n {} label secret {} {labels}", self.namespace, self.secret)
    }

    /// What Redis in this pod was started with; what is mounted changes with the Secret.
    fn shown_by(&self, pod: &str) -> String {
        format!("kubectl -n {} exec {pod} -c {} -- cat /run/redis/password", self.namespace, names::REDIS_CONTAINER)
    }

    fn without_carriage_returns(&self) -> String {
        let Self { namespace, secret, key, .. } = self;
        let path = key.replace('.', "\\.");
        let value = format!(
            "kubectl -n {namespace} get secret {secret} -o jsonpath='{{.data.{path}}}' | base64 -d | tr -d '\\r' | base64 | tr -d '\\n'"
        );
        self.patched(&value)
    }

    /// Writes what a command prints, in base64, into the Secret.
    fn patched(&self, value: &str) -> String {
        let Self { namespace, secret, key, .. } = self;
        format!(
            "kubectl -n {namespace} patch secret {secret} -p \"{{\\\"data\\\":{{\\\"{key}\\\":\\\"$({value})\\\"}}}}\""
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Secret {} in the namespace {}", self.secret, self.namespace)
    }
}
