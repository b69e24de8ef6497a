//! The pod template, before `podOverrides`.

use std::{collections::BTreeMap, iter};

use k8s_openapi::{
    api::core::v1::{
        ConfigMapProjection, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction,
        KeyToPath, Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec,
        Probe, ProjectedVolumeSource, SeccompProfile, SecretVolumeSource, TopologySpreadConstraint, Volume,
        VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use super::{
    config_map, exporter, names,
    scripts::{self, Script},
};
use crate::api::{ImagePullPolicy, RedisReplicationSpec};

/// User and group `redis` of the official images.
const REDIS_USER: i64 = 999;
/// Time for the hand-over (60 s at most, see stop.sh), and then for Redis to write its data.
const TERMINATION_GRACE_SECONDS: i64 = 120;

pub(super) const CONFIG_VOLUME: &str = "config";
pub(super) const AUTH_VOLUME: &str = "auth";
pub(super) const RUN_VOLUME: &str = "run";

/// The pod template of a cluster called `name`. It meets the *restricted* Pod Security Standard.
pub(super) fn build(name: &str, spec: &RedisReplicationSpec) -> PodTemplateSpec {
    let metrics = exporter::wanted(spec);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(name, spec)),
            annotations: (!spec.pod_annotations.is_empty()).then(|| spec.pod_annotations.clone()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: iter::once(container(spec)).chain(metrics.map(exporter::container)).collect(),
            init_containers: metrics.map(|_| vec![exporter::init_container(spec, image_pull_policy(spec))]),
            volumes: Some(volumes(name, spec)),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(REDIS_USER),
                run_as_group: Some(REDIS_USER),
                fs_group: Some(REDIS_USER),
                fs_group_change_policy: Some("OnRootMismatch".into()),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
                ..PodSecurityContext::default()
            }),
            termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
            automount_service_account_token: Some(false),
            // a probe that is cut off on an overloaded node leaves a child behind: the pod's first process reaps it, Redis
            // as first process would not
            share_process_namespace: Some(true),
            enable_service_links: Some(false),
            service_account_name: spec.service_account_name.clone(),
            priority_class_name: spec.priority_class_name.clone(),
            image_pull_secrets: present(&spec.image_pull_secrets),
            node_selector: (!spec.node_selector.is_empty()).then(|| spec.node_selector.clone()),
            affinity: spec.affinity.clone(),
            tolerations: present(&spec.tolerations),
            topology_spread_constraints: Some(
                spec.topology_spread_constraints.clone().unwrap_or_else(|| spread_over_zones_and_nodes(name)),
            ),
            ..PodSpec::default()
        }),
    }
}

/// `podLabels` and ours. Ours win, and nothing under the operator's own prefix gets in: a role label in the template
/// would give a restarted pod a role that nobody granted.
fn labels(name: &str, spec: &RedisReplicationSpec) -> BTreeMap<String, String> {
    let theirs = spec.pod_labels.iter().filter(|(key, _)| !key.starts_with(names::OWN_PREFIX));
    theirs.map(|(key, value)| (key.clone(), value.clone())).chain(names::labels(name)).collect()
}

fn container(spec: &RedisReplicationSpec) -> Container {
    Container {
        name: names::REDIS_CONTAINER.into(),
        image: Some(spec.image.clone()),
        image_pull_policy: image_pull_policy(spec),
        command: Some(scripts::BOOT.command()),
        env: Some(vec![field("POD_NAME", "metadata.name"), field("POD_IP", "status.podIP")]),
        ports: Some(vec![ContainerPort {
            name: Some(names::REDIS_PORT_NAME.into()),
            container_port: names::REDIS_PORT.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: spec.resources.clone(),
        volume_mounts: Some(vec![
            mount(CONFIG_VOLUME, scripts::DIRECTORY, true),
            mount(AUTH_VOLUME, "/etc/redis-auth", true),
            mount(RUN_VOLUME, "/run/redis", false),
            mount(names::DATA_VOLUME, "/data", false),
        ]),
        // Redis opens its port before it loads its data, so this passes within seconds, and loading may take as long as
        // it takes. The allowance (three hours) is for whatever an image does before.
        startup_probe: Some(probe(&scripts::ALIVE, 1, 11, 10_800)),
        // Three minutes of silence: long scripts, and a replica that empties a large data set, say nothing for a while.
        // A hung master is not left to this probe; the operator replaces it within seconds.
        liveness_probe: Some(probe(&scripts::ALIVE, 20, 11, 9)),
        // Not on the path of a failover. Two failures, so that the moment in which replicas have no master does not
        // empty the Service for reads.
        readiness_probe: Some(probe(&scripts::READY, 5, 3, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler { exec: Some(exec(&scripts::STOP)), ..LifecycleHandler::default() }),
            ..Lifecycle::default()
        }),
        // Redis says on its log why it does not start; this carries the end of it into the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        security_context: Some(exporter::restricted()),
        ..Container::default()
    }
}

fn image_pull_policy(spec: &RedisReplicationSpec) -> Option<String> {
    let policy = match spec.image_pull_policy? {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    };
    Some(policy.into())
}

fn volumes(name: &str, spec: &RedisReplicationSpec) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: CONFIG_VOLUME.into(),
            projected: Some(ProjectedVolumeSource {
                default_mode: Some(0o444),
                sources: Some(
                    [names::scripts_map(name), names::settings_map(name, &config_map::digest(spec))].map(from).into(),
                ),
            }),
            ..Volume::default()
        },
        Volume {
            name: AUTH_VOLUME.into(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(names::auth_secret(name, spec)),
                default_mode: Some(0o440),
                items: Some(vec![KeyToPath {
                    key: names::auth_secret_key(spec).into(),
                    path: "password".into(),
                    ..KeyToPath::default()
                }]),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
        // In memory: the password is written here, and must not reach a disk.
        Volume {
            name: RUN_VOLUME.into(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".into()),
                size_limit: Some(Quantity("1Mi".into())),
            }),
            ..Volume::default()
        },
    ];
    if spec.persistence.is_none() {
        volumes.push(Volume {
            name: names::DATA_VOLUME.into(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
    }
    volumes
}

/// All files of a `ConfigMap`.
fn from(config_map: String) -> VolumeProjection {
    VolumeProjection {
        config_map: Some(ConfigMapProjection { name: config_map, ..ConfigMapProjection::default() }),
        ..VolumeProjection::default()
    }
}

/// Preferences, not conditions: a cluster of three on one node is better than a cluster of one.
fn spread_over_zones_and_nodes(name: &str) -> Vec<TopologySpreadConstraint> {
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .map(|key| TopologySpreadConstraint {
            topology_key: key.into(),
            max_skew: 1,
            when_unsatisfiable: "ScheduleAnyway".into(),
            label_selector: Some(LabelSelector {
                match_labels: Some(names::selector_labels(name)),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        })
        .into()
}

fn probe(script: &Script, period: i32, timeout: i32, failures: i32) -> Probe {
    Probe {
        exec: Some(exec(script)),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn exec(script: &Script) -> ExecAction {
    ExecAction { command: Some(script.command()) }
}

pub(super) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.into(), api_version: Some("v1".into()) }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// A list that says something; an empty one is left out.
fn present<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn template(yaml: &str) -> PodTemplateSpec {
        build("cache", &serde_saphyr::from_str(yaml).unwrap())
    }

    fn pod(yaml: &str) -> PodSpec {
        template(yaml).spec.unwrap()
    }

    #[test]
    fn meets_the_restricted_pod_security_standard() {
        let pod = pod("{}");
        let security = pod.security_context.unwrap();
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
        let security = pod.containers[0].security_context.as_ref().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.capabilities.as_ref().unwrap().drop.as_deref(), Some(["ALL".to_owned()].as_slice()));
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.share_process_namespace, Some(true));
    }

    #[test]
    fn the_password_is_neither_in_the_environment_nor_on_the_command_line() {
        let pod = pod("auth: {secretName: given, secretKey: word}");
        let redis = &pod.containers[0];
        let names: Vec<_> = redis.env.as_ref().unwrap().iter().map(|env| env.name.as_str()).collect();
        assert_eq!(names, ["POD_NAME", "POD_IP"]);
        assert_eq!(redis.command.as_ref().unwrap(), &["sh", "/etc/redis/boot.sh"]);
        let volumes = pod.volumes.unwrap();
        let auth = volumes.iter().find(|volume| volume.name == "auth").unwrap().secret.as_ref().unwrap();
        assert_eq!(auth.secret_name.as_deref(), Some("given"));
        let item = &auth.items.as_ref().unwrap()[0];
        assert_eq!((item.key.as_str(), item.path.as_str()), ("word", "password"));
    }

    #[test]
    fn our_labels_win_and_no_role_gets_in() {
        let yaml = "podLabels: {team: web, app.kubernetes.io/instance: other, redis.replication.dev/role: master, app.kubernetes.io/part-of: shop}";
        let labels = template(yaml).metadata.unwrap().labels.unwrap();
        let labels: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            labels,
            [
                ("app.kubernetes.io/component", "redis"),
                ("app.kubernetes.io/instance", "cache"),
                ("app.kubernetes.io/managed-by", "redis-replication-operator"),
                ("app.kubernetes.io/name", "redis-replication"),
                ("app.kubernetes.io/part-of", "shop"),
                ("redis.replication.dev/name", "cache"),
                ("team", "web"),
            ]
        );
    }

    #[test]
    fn a_changed_config_makes_a_new_revision() {
        let maps = |yaml: &str| {
            let volumes = pod(yaml).volumes.unwrap();
            let sources = volumes.into_iter().find(|v| v.name == CONFIG_VOLUME).unwrap().projected.unwrap().sources;
            sources.unwrap().into_iter().map(|source| source.config_map.unwrap().name).collect::<Vec<_>>()
        };
        let (before, after) = (maps("{}"), maps("config: {maxmemory: 1gb}"));
        assert_eq!((before[0].as_str(), after[0].as_str()), ("cache-scripts", "cache-scripts"));
        assert!(before[1].starts_with("cache-config-") && after[1].starts_with("cache-config-"));
        assert_ne!(before[1], after[1]);
        assert_eq!(maps("podAnnotations: {note: x}"), before);
    }

    #[test]
    fn members_spread_unless_told_otherwise() {
        for (yaml, keys) in [
            ("{}", vec!["topology.kubernetes.io/zone", "kubernetes.io/hostname"]),
            ("topologySpreadConstraints: []", vec![]),
            (
                "topologySpreadConstraints: [{topologyKey: rack, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]",
                vec!["rack"],
            ),
        ] {
            let constraints = pod(yaml).topology_spread_constraints.unwrap();
            let found: Vec<_> = constraints.iter().map(|constraint| constraint.topology_key.as_str()).collect();
            assert_eq!(found, keys, "{yaml}");
        }
    }

    #[test]
    fn scheduling_is_passed_on() {
        let pod = pod(
            "{priorityClassName: high, serviceAccountName: app, nodeSelector: {disk: fast}, imagePullSecrets: [{name: pull}], tolerations: [{key: gone}], imagePullPolicy: Always, image: 'valkey/valkey:8.1', resources: {limits: {memory: 1Gi}}}",
        );
        assert_eq!(pod.priority_class_name.as_deref(), Some("high"));
        assert_eq!(pod.service_account_name.as_deref(), Some("app"));
        assert_eq!(pod.node_selector.unwrap()["disk"], "fast");
        assert_eq!(pod.image_pull_secrets.unwrap()[0].name, "pull");
        assert_eq!(pod.tolerations.unwrap()[0].key.as_deref(), Some("gone"));
        let redis = &pod.containers[0];
        assert_eq!(redis.image.as_deref(), Some("valkey/valkey:8.1"));
        assert_eq!(redis.image_pull_policy.as_deref(), Some("Always"));
        assert_eq!(redis.resources.as_ref().unwrap().limits.as_ref().unwrap()["memory"].0, "1Gi");
    }

    #[test]
    fn scripts_end_before_the_kubelet_gives_up_on_them() {
        let pod = pod("{}");
        let redis = &pod.containers[0];
        for (probe, script, inner) in [
            (&redis.startup_probe, &scripts::ALIVE, 10),
            (&redis.liveness_probe, &scripts::ALIVE, 10),
            (&redis.readiness_probe, &scripts::READY, 2),
        ] {
            assert!(script.text.contains(&format!("timeout {inner} ")), "{}", script.file);
            assert!(probe.as_ref().unwrap().timeout_seconds.unwrap() > inner, "{}", script.file);
        }
        let liveness = redis.liveness_probe.as_ref().unwrap();
        assert!(liveness.period_seconds.unwrap() * liveness.failure_threshold.unwrap() >= 60);
    }
}
