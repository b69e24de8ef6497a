//! Pure: a resource → a cluster that objects can be made of, or what to change in the spec.
//!
//! CEL rules in the CRD have refused most mistakes already; here is what they cannot see.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::PodTemplateSpec,
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::OwnerReference},
};
use kube::Resource;

use super::{config_map, overrides, pod_template, syntax};
use crate::api::{BUSY_MARGIN, ConfigValue, RedisReplication, RedisReplicationSpec};

/// The least memory that a container may be limited to, in bytes: with less the kubelet cannot write its settings, or Redis dies
/// at once.
const LEAST_MEMORY: u64 = 32 << 20;
/// The least size of a volume, in bytes.
const LEAST_SIZE: u64 = 1 << 20;

/// A resource of which objects can be made: everything in it has been checked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Cluster {
    /// The resource's name; the objects' names are made from it.
    pub name: String,
    /// The namespace of the resource and its objects.
    pub namespace: String,
    /// The resource, as the owner of its objects.
    pub owner: OwnerReference,
    /// What is wanted.
    pub spec: RedisReplicationSpec,
    /// The pod template, with `podOverrides` merged in.
    pub pod_template: PodTemplateSpec,
}

/// What is wrong with a spec, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// The resource does not come from an API server.
    #[error("the resource has no metadata.{field}: it was not read from an API server")]
    NotStored {
        /// What is missing.
        field: &'static str,
    },
    /// The image cannot be the name of one.
    #[error("{field} is {}: an image has no spaces or control characters; write it as in `redis:8.0`", quoted(.image))]
    Image {
        /// Where it is.
        field: &'static str,
        /// The image.
        image: String,
    },
    /// A value of `spec.config` that would not arrive in Redis as it was written.
    #[error("spec.config.{directive} contains the control character {character:?}; remove it")]
    ConfigValue {
        /// The directive.
        directive: String,
        /// The first such character.
        character: char,
    },
    /// A number of `spec.config` of which JSON keeps an approximation only.
    #[error("spec.config.{directive} is the number {number}, which is not kept exactly; write it in quotes")]
    ConfigNumber {
        /// The directive.
        directive: String,
        /// The number, as it was kept.
        number: String,
    },
    /// The key of a label or annotation.
    #[error(
        "{field} has the key {}: a key is letters, digits, '-', '_' and '.', with a letter or digit at both ends, \
         at most 63, perhaps after a domain and '/'",
        quoted(.key)
    )]
    Key {
        /// Where it is.
        field: String,
        /// The key.
        key: String,
    },
    /// The value of a label.
    #[error(
        "{field}.{key} is {}: a label's value is letters, digits, '-', '_' and '.', with a letter or digit at \
         both ends, at most 63",
        quoted(.value)
    )]
    LabelValue {
        /// Where it is.
        field: &'static str,
        /// The label's key.
        key: String,
        /// The value.
        value: String,
    },
    /// The name of another object.
    #[error(
        "{field} is {}: a name is lower-case letters, digits, '-' and '.', with a letter or digit at both ends",
        quoted(.value)
    )]
    Name {
        /// Where it is.
        field: &'static str,
        /// The name.
        value: String,
    },
    /// The key of the password in its Secret.
    #[error("spec.auth.secretKey is {}: a Secret's key is letters, digits, '-', '_' and '.'", quoted(.value))]
    SecretKey {
        /// The key.
        value: String,
    },
    /// A script would count as a hung process before Redis says that it runs one.
    #[error(
        "spec.config.{directive} is {value} and failover.unresponsiveAfter is {unresponsive_ms} ms: it must be from 1 to {} ms, or \
         a master that runs a longer script is taken for one that has hung; lower it, or raise unresponsiveAfter",
        unresponsive_ms.saturating_sub(u64::try_from(BUSY_MARGIN.as_millis()).unwrap_or_default())
    )]
    BusyThreshold {
        /// The directive, as it was written.
        directive: String,
        /// Its value.
        value: i64,
        /// What it must be below.
        unresponsive_ms: u64,
    },
    /// Snapshots that the mode does not write.
    #[error(
        "spec.config.save is the times of snapshots, which spec.persistence.mode RDB and RDBAndAOF write and the others do \
         not: change the mode, or remove save"
    )]
    SaveMode,
    /// A size in bytes of which no unit can be meant.
    #[error(
        "spec.config.{directive} is {}: less than 1mb is no size that Redis can work with here, was a unit forgotten? Write for \
         example 256mb, or 0 for no limit",
        quoted(.value)
    )]
    ConfigSize {
        /// The directive.
        directive: String,
        /// What is there.
        value: String,
    },
    /// The times of snapshots, in two spellings.
    #[error("spec.config has save in several spellings: leave one of them")]
    SaveTwice,
    /// The times of snapshots.
    #[error(
        "spec.config.save is {value:?}: it must be pairs of seconds and changes, each at most 2147483647, such as \"900 1 300 10\"; for no snapshots set \
         spec.persistence.mode: AOF"
    )]
    SaveTimes {
        /// What is there.
        value: String,
    },
    /// A container in which no Redis lives.
    #[error(
        "spec.resources.limits.memory is {}: it must be at least 32Mi, because Redis, its scripts and its settings need some \
         10Mi before there is any data; write for example 256Mi",
        quoted(.value)
    )]
    MemoryLimit {
        /// What is there.
        value: String,
    },
    /// The size of the volumes.
    #[error("spec.persistence.size is {}: it must be a quantity of 1Mi or more, such as 10Gi", quoted(.value))]
    Size {
        /// The size.
        value: String,
    },
    /// A resource of the container.
    #[error("{field}.{key} is {}: it must be a quantity, such as 500m for cpu or 2Gi for memory", quoted(.value))]
    Quantity {
        /// Where it is.
        field: String,
        /// Which resource.
        key: String,
        /// The value.
        value: String,
    },
    /// A field that pods do not have.
    #[error("{} is not a field of a pod template; look for a spelling mistake or a wrong level", unquoted(.path))]
    OverridesField {
        /// The field.
        path: String,
    },
    /// A field of another type.
    #[error("podOverrides do not make a pod template: {}", unquoted(&.0.to_string()))]
    OverridesType(#[source] serde_json::Error),
    /// A label that is the operator's.
    #[error("podOverrides may not set or remove the label {key}: the operator finds the pods by it; leave it out")]
    OverridesLabel {
        /// The label.
        key: String,
    },
    /// There is no Redis in the pod.
    #[error("podOverrides remove the container redis; leave it in spec.containers, or name only the containers to add")]
    OverridesContainer,
    /// Redis would not start by the boot rule.
    #[error(
        "podOverrides replace the command of the container redis: it must run /etc/redis/boot.sh, which keeps a \
         restarted Redis from becoming a second master"
    )]
    OverridesCommand,
}

/// The most of a value that a message repeats, in characters.
const SHOWN: usize = 200;

/// A value in a message.
fn quoted(value: &str) -> String {
    format!("{:?}", cut(value))
}

/// Other words that may hold a value.
fn unquoted(words: &str) -> String {
    cut(words).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Checks a resource and merges its settings.
pub fn validate(resource: &RedisReplication) -> Result<Cluster, InvalidSpec> {
    let stored = |field, value: Option<String>| value.ok_or(InvalidSpec::NotStored { field });
    let name = stored("name", resource.metadata.name.clone())?;
    let namespace = stored("namespace", resource.metadata.namespace.clone())?;
    let owner = resource.controller_owner_ref(&()).ok_or(InvalidSpec::NotStored { field: "uid" })?;
    let spec = resource.spec.clone();

    check_image("spec.image", &spec.image)?;
    if let Some(metrics) = &spec.metrics {
        check_image("spec.metrics.image", &metrics.image)?;
    }
    check_config(&spec.config)?;
    check_busy_threshold(&spec)?;
    check_save(&spec)?;
    check_sizes(&spec)?;
    check_references(&spec)?;
    check_labels("spec.podLabels", &spec.pod_labels)?;
    check_labels("spec.nodeSelector", &spec.node_selector)?;
    check_keys("spec.podAnnotations", &spec.pod_annotations)?;
    if let Some(services) = &spec.services {
        let annotations = |settings: &Option<crate::api::ServiceSettings>| {
            settings.as_ref().map(|settings| settings.annotations.clone()).unwrap_or_default()
        };
        check_keys("spec.services.master.annotations", &annotations(&services.master))?;
        check_keys("spec.services.replicas.annotations", &annotations(&services.replicas))?;
    }
    check_quantities(&spec)?;

    let template = pod_template::build(&name, &spec);
    let pod_template = match &spec.pod_overrides {
        Some(overrides) => overrides::apply(&name, &template, overrides)?,
        None => template,
    };
    Ok(Cluster { name, namespace, owner, spec, pod_template })
}

fn check_image(field: &'static str, image: &str) -> Result<(), InvalidSpec> {
    if image.is_empty() || image.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(InvalidSpec::Image { field, image: image.into() });
    }
    Ok(())
}

/// Line feeds part the values of a directive; any other control character would cut or hide what was meant.
fn check_config(config: &BTreeMap<String, ConfigValue>) -> Result<(), InvalidSpec> {
    for (directive, value) in config {
        let text = match value {
            ConfigValue::Text(text) => text,
            ConfigValue::Number(number) if value.text().is_none() => {
                return Err(InvalidSpec::ConfigNumber { directive: directive.clone(), number: number.to_string() });
            }
            ConfigValue::Number(_) => continue,
        };
        if let Some(character) = text.chars().find(|c| c.is_control() && !"\n\r\t".contains(*c)) {
            return Err(InvalidSpec::ConfigValue { directive: directive.clone(), character });
        }
    }
    Ok(())
}

/// A long script lets Redis answer `-BUSY`, which is how it is told from a process that has hung.
fn check_busy_threshold(spec: &RedisReplicationSpec) -> Result<(), InvalidSpec> {
    let limit = spec.unresponsive_after();
    let early = |ms: i64| u64::try_from(ms).is_ok_and(|ms| ms > 0 && Duration::from_millis(ms) + BUSY_MARGIN <= limit);
    match spec.busy_thresholds().find(|(_, ms)| !early(*ms)) {
        Some((directive, value)) => Err(InvalidSpec::BusyThreshold {
            directive: directive.to_owned(),
            value,
            unresponsive_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        }),
        None => Ok(()),
    }
}

/// Snapshots are the mode's; only when they are written may be said.
fn check_save(spec: &RedisReplicationSpec) -> Result<(), InvalidSpec> {
    let mut given = spec.config.iter().filter(|(directive, _)| config_map::is_save(directive));
    let Some((_, value)) = given.next() else { return Ok(()) };
    if given.next().is_some() {
        return Err(InvalidSpec::SaveTwice);
    }
    if !config_map::writes_snapshots(spec) {
        return Err(InvalidSpec::SaveMode);
    }
    let text = value.text().unwrap_or_default();
    let pairs = |line: &str| {
        // Redis keeps the changes in an int
        let number = |text: &str| text.parse::<i32>().ok().filter(|n| *n >= 0);
        let numbers: Vec<_> = line.split_whitespace().map(number).collect();
        let seconds = numbers.iter().step_by(2).all(|n| n.is_some_and(|n| n > 0));
        numbers.len().is_multiple_of(2) && seconds && numbers.iter().all(Option::is_some)
    };
    if text.trim().is_empty() || !text.lines().all(pairs) {
        return Err(InvalidSpec::SaveTimes { value: text });
    }
    Ok(())
}

/// Sizes with which no Redis works, or no operator reaches one: mostly a unit was forgotten.
fn check_sizes(spec: &RedisReplicationSpec) -> Result<(), InvalidSpec> {
    const LEAST: u64 = 1 << 20;
    let small = |text: &str| syntax::redis_bytes(text).is_some_and(|bytes| (1..LEAST).contains(&bytes));
    for (directive, value) in &spec.config {
        let text = value.text().unwrap_or_default();
        let words: Vec<_> = text.split_whitespace().collect();
        let too_small = match directive.to_ascii_lowercase().as_str() {
            "maxmemory" => words.first().is_some_and(|size| small(size)),
            // the operator's and the probes' connections are such
            "client-output-buffer-limit" => words.chunks(4).any(|limit| match limit {
                [class, sizes @ ..] if class.eq_ignore_ascii_case("normal") => {
                    sizes.iter().take(2).any(|size| small(size))
                }
                _ => false,
            }),
            _ => false,
        };
        if too_small {
            return Err(InvalidSpec::ConfigSize { directive: directive.clone(), value: text });
        }
    }
    Ok(())
}

/// Names of other objects.
fn check_references(spec: &RedisReplicationSpec) -> Result<(), InvalidSpec> {
    let secret = spec.auth.as_ref().and_then(|auth| auth.secret_name.as_ref());
    let storage_class = spec.persistence.as_ref().and_then(|persistence| persistence.storage_class_name.as_ref());
    let names = [
        ("spec.auth.secretName", secret),
        ("spec.persistence.storageClassName", storage_class),
        ("spec.priorityClassName", spec.priority_class_name.as_ref()),
        ("spec.serviceAccountName", spec.service_account_name.as_ref()),
    ];
    let pull_secrets = spec.image_pull_secrets.iter().map(|secret| ("spec.imagePullSecrets", Some(&secret.name)));
    for (field, value) in names.into_iter().chain(pull_secrets) {
        if let Some(value) = value.filter(|value| !syntax::is_dns_subdomain(value)) {
            return Err(InvalidSpec::Name { field, value: value.clone() });
        }
    }
    match spec.auth.as_ref().map(|auth| &auth.secret_key).filter(|key| !syntax::is_secret_key(key)) {
        Some(key) => Err(InvalidSpec::SecretKey { value: key.clone() }),
        None => Ok(()),
    }
}

fn check_labels(field: &'static str, labels: &BTreeMap<String, String>) -> Result<(), InvalidSpec> {
    check_keys(field, labels)?;
    match labels.iter().find(|(_, value)| !syntax::is_label_value(value)) {
        Some((key, value)) => Err(InvalidSpec::LabelValue { field, key: key.clone(), value: value.clone() }),
        None => Ok(()),
    }
}

fn check_keys(field: &'static str, map: &BTreeMap<String, String>) -> Result<(), InvalidSpec> {
    match map.keys().find(|key| !syntax::is_qualified_name(key)) {
        Some(key) => Err(InvalidSpec::Key { field: field.into(), key: key.clone() }),
        None => Ok(()),
    }
}

fn check_quantities(spec: &RedisReplicationSpec) -> Result<(), InvalidSpec> {
    if let Some(Quantity(size)) = spec.persistence.as_ref().map(|persistence| &persistence.size)
        && (!syntax::is_positive_quantity(size) || syntax::bytes(size).is_some_and(|bytes| bytes < LEAST_SIZE))
    {
        return Err(InvalidSpec::Size { value: size.clone() });
    }
    let limits = spec.resources.as_ref().and_then(|r| r.limits.as_ref());
    if let Some(Quantity(limit)) = limits.and_then(|limits| limits.get("memory"))
        && syntax::is_quantity(limit)
        && syntax::bytes(limit).is_none_or(|bytes| bytes < LEAST_MEMORY)
        && !limit.starts_with('-')
    {
        return Err(InvalidSpec::MemoryLimit { value: limit.clone() });
    }
    let exporter = spec.metrics.as_ref().and_then(|metrics| metrics.resources.as_ref());
    let resources = [("spec.resources", spec.resources.as_ref()), ("spec.metrics.resources", exporter)];
    let kinds = resources.into_iter().filter_map(|(field, resources)| Some((field, resources?)));
    let kinds = kinds.flat_map(|(field, r)| [(field, "limits", &r.limits), (field, "requests", &r.requests)]);
    for (field, kind, quantities) in kinds {
        let field = format!("{field}.{kind}");
        for (key, Quantity(value)) in quantities.iter().flatten() {
            if !syntax::is_qualified_name(key) {
                return Err(InvalidSpec::Key { field, key: key.clone() });
            }
            if !syntax::is_quantity(value) || value.starts_with('-') {
                return Err(InvalidSpec::Quantity { field, key: key.clone(), value: value.clone() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
