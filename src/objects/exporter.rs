//! The exporter of Redis' own figures, a container beside Redis (`spec.metrics`).
//!
//! It has no probes: its failure must not take a replica from its readers, nor end a Redis.

use k8s_openapi::api::core::v1::{Capabilities, Container, ContainerPort, SecurityContext};

use super::{
    names,
    pod_template::{AUTH_VOLUME, CONFIG_VOLUME, RUN_VOLUME, mount},
    scripts,
};
use crate::api::{Metrics, RedisReplicationSpec};

/// User of the exporter: another than that of Redis, whose files and memory are none of its business.
const EXPORTER_USER: i64 = 59000;
/// Where [`scripts::EXPORTER`] puts the password.
const PASSWORD_FILE: &str = "/run/redis/exporter.json";

/// `spec.metrics`, if it is switched on.
pub(super) fn wanted(spec: &RedisReplicationSpec) -> Option<&Metrics> {
    spec.metrics.as_ref().filter(|metrics| metrics.enabled)
}

/// The container with the exporter.
pub(super) fn container(metrics: &Metrics) -> Container {
    Container {
        name: names::EXPORTER_CONTAINER.into(),
        image: Some(metrics.image.clone()),
        args: Some(vec![
            format!("--redis.addr=redis://127.0.0.1:{}", names::REDIS_PORT),
            format!("--redis.password-file={PASSWORD_FILE}"),
            format!("--web.listen-address=:{}", names::METRICS_PORT),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some(names::METRICS_PORT_NAME.into()),
            container_port: names::METRICS_PORT.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: metrics.resources.clone(),
        volume_mounts: Some(vec![mount(RUN_VOLUME, "/run/redis", true)]),
        security_context: Some(SecurityContext {
            run_as_user: Some(EXPORTER_USER),
            run_as_group: Some(EXPORTER_USER),
            ..restricted()
        }),
        ..Container::default()
    }
}

/// What writes the password down for the exporter, with the image of Redis, which has a shell.
pub(super) fn init_container(spec: &RedisReplicationSpec, image_pull_policy: Option<String>) -> Container {
    Container {
        name: "exporter-password".into(),
        image: Some(spec.image.clone()),
        image_pull_policy,
        command: Some(scripts::EXPORTER.command()),
        resources: spec.resources.clone(),
        volume_mounts: Some(vec![
            mount(CONFIG_VOLUME, scripts::DIRECTORY, true),
            mount(AUTH_VOLUME, "/etc/redis-auth", true),
            mount(RUN_VOLUME, "/run/redis", false),
        ]),
        security_context: Some(restricted()),
        ..Container::default()
    }
}

/// What the *restricted* Pod Security Standard asks of a container.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{fixture::cluster, service};

    #[test]
    fn there_is_none_unless_asked_for() {
        for spec in ["{}", "metrics: {}", "metrics: {enabled: false, image: 'mine:1'}"] {
            let pod = cluster(spec).pod_template.spec.unwrap();
            assert_eq!((pod.containers.len(), pod.init_containers), (1, None), "{spec}");
            assert_eq!(cluster(spec).pod_template, cluster("{}").pod_template, "{spec}");
            assert_eq!(service::headless(&cluster(spec)).spec.unwrap().ports.unwrap().len(), 1, "{spec}");
        }
    }

    #[test]
    fn it_stands_beside_redis_and_knows_the_password_from_a_file_only() {
        let cluster = cluster("metrics: {enabled: true, resources: {limits: {memory: 64Mi}}}");
        let pod = cluster.pod_template.clone().spec.unwrap();
        let exporter = pod.containers.iter().find(|c| c.name == "metrics").unwrap();
        assert_eq!(exporter.image.as_deref(), Some("oliver006/redis_exporter:v1.86.0"));
        assert_eq!(exporter.resources.as_ref().unwrap().limits.as_ref().unwrap()["memory"].0, "64Mi");
        assert_eq!((&exporter.env, &exporter.env_from), (&None, &None));
        assert!(exporter.args.as_ref().unwrap().contains(&"--redis.password-file=/run/redis/exporter.json".into()));
        let mounts: Vec<_> = exporter.volume_mounts.iter().flatten().map(|m| (m.name.as_str(), m.read_only)).collect();
        assert_eq!(mounts, [("run", Some(true))]);
        assert_eq!((&exporter.liveness_probe, &exporter.readiness_probe), (&None, &None));
        let port = &exporter.ports.as_ref().unwrap()[0];
        assert_eq!((port.name.as_deref(), port.container_port), (Some("metrics"), 9121));
        let init = &pod.init_containers.as_ref().unwrap()[0];
        assert_eq!(init.command.as_ref().unwrap(), &["sh", "/etc/redis/exporter.sh"]);

        let ports = service::headless(&cluster).spec.unwrap().ports.unwrap();
        let ports: Vec<_> = ports.iter().map(|p| (p.name.as_deref().unwrap(), p.port)).collect();
        assert_eq!(ports, [("redis", 6379), ("metrics", 9121)]);
        assert_eq!(service::replicas(&cluster).spec.unwrap().ports.unwrap().len(), 1);
    }

    #[test]
    fn all_containers_meet_the_restricted_pod_security_standard() {
        let pod = cluster("metrics: {enabled: true}").pod_template.spec.unwrap();
        let containers: Vec<_> = pod.containers.iter().chain(pod.init_containers.iter().flatten()).collect();
        assert_eq!(containers.len(), 3);
        for container in containers {
            let security = container.security_context.as_ref().unwrap();
            assert_eq!(security.allow_privilege_escalation, Some(false), "{}", container.name);
            assert_eq!(security.read_only_root_filesystem, Some(true), "{}", container.name);
            let drop = security.capabilities.as_ref().unwrap().drop.as_deref();
            assert_eq!(drop, Some(["ALL".to_owned()].as_slice()), "{}", container.name);
        }
    }
}
