//! Why a container does not run.

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod as KubePod},
    apimachinery::pkg::api::resource::Quantity,
};

use super::last_words::{damage, last_words};
use crate::{
    api::Reason,
    objects::names::{EXPORTER_CONTAINER, REDIS_CONTAINER},
    replication::Failure,
};

/// So often a container has to be stopped or killed before that counts as a failure: it happens to healthy ones.
const OFTEN: i32 = 3;
/// One that was ended after so many seconds or less has not run well.
const SHORT_RUN: i64 = 60;
/// How many characters of Kubernetes' words are shown.
const LIMIT: usize = 400;

/// Why a container fails, if it does.
pub fn failure(pod: &KubePod, c: &ContainerStatus, init: bool) -> Option<Failure> {
    let waiting = c.state.as_ref().and_then(|s| s.waiting.as_ref());
    let why = waiting.and_then(|w| w.reason.as_deref()).unwrap_or_default();
    let words = || waiting.and_then(|w| w.message.as_deref()).filter(|m| !m.is_empty()).unwrap_or(why);
    let name = called(c, init);
    match why {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => {
            let image = image(pod, c, init);
            let of = if c.name == REDIS_CONTAINER { String::new() } else { format!(" of {name}") };
            let message = format!(
                "the image {image}{of} cannot be pulled: {}; check {} and spec.imagePullSecrets",
                one_line(words()),
                where_image(c),
            );
            Some(Failure { reason: Reason::ImageUnavailable, message })
        }
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => {
            Some(Failure { reason: of_redis(c), message: format!("{name} does not start: {}", one_line(words())) })
        }
        _ => ended(pod, c, init),
    }
}

/// What became of the last process, while there is none that is well.
fn ended(pod: &KubePod, c: &ContainerStatus, init: bool) -> Option<Failure> {
    let last = |s: &Option<ContainerState>| s.as_ref()?.terminated.clone();
    let running = c.state.as_ref().is_some_and(|s| s.running.is_some());
    if running && c.ready {
        return None;
    }
    let now = last(&c.state);
    let t = now.or_else(|| last(&c.last_state))?;
    if t.reason.as_deref() == Some("OOMKilled") {
        return Some(out_of_memory(pod, c, init));
    }
    let name = called(c, init);
    match t.exit_code {
        0 if init => None,
        0 | 137 | 143 if !again_and_again(c, &t) => None,
        0 => Some(Failure {
            reason: of_redis(c),
            message: format!("{name} ends again and again, and without an error (exit code 0): {}", said(&t)),
        }),
        code @ (137 | 143) => {
            let signal = if code == 137 { "SIGKILL" } else { "SIGTERM" };
            let message = format!(
                "{name} is killed again and again (exit code {code}, {signal}): by its liveness probe, by its node for lack \
                 of memory, or by hand; the pod's events may say which"
            );
            Some(Failure { reason: of_redis(c), message })
        }
        code => {
            let words = said(&t);
            let reason = match damage(&words) {
                Some(_) if c.name == REDIS_CONTAINER => Reason::DataDamaged,
                _ => of_redis(c),
            };
            Some(Failure { reason, message: format!("{name} ends with code {code}: {words}") })
        }
    }
}

fn said(t: &ContainerStateTerminated) -> String {
    last_words(t.message.as_deref().unwrap_or_default())
}

/// Does it come to its end before it has done any good?
fn again_and_again(c: &ContainerStatus, t: &ContainerStateTerminated) -> bool {
    let backs_off = c
        .state
        .as_ref()
        .and_then(|s| s.waiting.as_ref())
        .is_some_and(|w| w.reason.as_deref() == Some("CrashLoopBackOff"));
    let ran = t.started_at.as_ref().zip(t.finished_at.as_ref()).map(|(from, to)| to.0.duration_since(from.0).as_secs());
    c.restart_count >= OFTEN && (backs_off || ran.is_some_and(|seconds| seconds <= SHORT_RUN))
}

/// It was killed for want of memory: what to change.
pub fn out_of_memory(pod: &KubePod, c: &ContainerStatus, init: bool) -> Failure {
    let name = called(c, init);
    let message = match memory_limit(pod, c) {
        Some(Quantity(limit)) => {
            format!("{name} needed more memory than its limit of {limit} and was ended (OOMKilled); {}", raise(c))
        }
        None => format!("{name} was ended because its node had no memory left (OOMKilled); {}", raise(c)),
    };
    Failure { reason: Reason::OutOfMemory, message }
}

fn raise(c: &ContainerStatus) -> String {
    match c.name.as_str() {
        REDIS_CONTAINER => {
            "raise spec.resources.limits.memory, or lower maxmemory in spec.config: beside the data there must be \
                            room for buffers, for a copy of what changes during a snapshot, and for fragmentation"
                .into()
        }
        EXPORTER_CONTAINER => "raise spec.metrics.resources.limits.memory".into(),
        _ => "raise its memory limit in spec.podOverrides".into(),
    }
}

fn memory_limit(pod: &KubePod, c: &ContainerStatus) -> Option<Quantity> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.find(|container| container.name == c.name)?.resources.as_ref()?.limits.as_ref()?.get("memory").cloned()
}

/// As the spec names it; the kubelet may show what it has made of it.
fn image<'a>(pod: &'a KubePod, c: &'a ContainerStatus, init: bool) -> &'a str {
    let spec = pod.spec.as_ref();
    let container = if init {
        spec.and_then(|s| s.init_containers.iter().flatten().find(|i| i.name == c.name))
    } else {
        spec.and_then(|s| s.containers.iter().find(|i| i.name == c.name))
    };
    container.and_then(|i| i.image.as_deref()).unwrap_or(&c.image)
}

fn where_image(c: &ContainerStatus) -> &'static str {
    match c.name.as_str() {
        REDIS_CONTAINER => "spec.image",
        EXPORTER_CONTAINER => "spec.metrics.image",
        _ => "spec.podOverrides",
    }
}

fn called(c: &ContainerStatus, init: bool) -> String {
    format!("the {}container {}", if init { "init " } else { "" }, c.name)
}

fn of_redis(c: &ContainerStatus) -> Reason {
    if c.name == REDIS_CONTAINER { Reason::RedisFailsToStart } else { Reason::PodFailsToStart }
}

/// Somebody else's words, on one line and not too long; the end of them says most.
pub fn one_line(words: &str) -> String {
    let line = words.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" | ");
    let skip = line.chars().count().saturating_sub(LIMIT);
    if line.is_empty() { "no reason given".into() } else { line.chars().skip(skip).collect() }
}
