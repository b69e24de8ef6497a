//! `report`: what a bug report needs, without Secrets and passwords.

use std::{path::PathBuf, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Resource, ResourceExt,
    api::{ListParams, LogParams},
};
use redis_replication_operator::{api::RedisReplication, objects::names};
use serde::{Serialize, de::DeserializeOwned};

use super::{events, status};
use crate::{
    archive::Archive,
    args::Report,
    cluster::Cluster,
    error::{Error, exit},
    exec::{self, shell},
    operator,
    redact::Redactor,
    render::{self, Look},
};

const PATIENCE: Duration = Duration::from_secs(10);
const END: &str = "# end";

/// Writes the archive.
pub async fn run(cluster: &Cluster, args: &Report) -> Result<u8, Error> {
    let resource = cluster.get(&args.name).await?;
    let pods = cluster.pods(&args.name).await.unwrap_or_default();
    let redactor = Redactor::new(passwords(cluster, &resource, &pods).await);
    let collector = Collector { cluster, redactor, name: args.name.clone(), tail: args.tail };

    let mut archive = Archive::default();
    collector.objects(&mut archive, &resource).await;
    collector.members(&mut archive, &pods).await;
    collector.operator(&mut archive).await;

    let now = Timestamp::now();
    let server = cluster.client.apiserver_version().await;
    let server = server.map_or_else(|error| error.to_string(), |version| version.git_version);
    let head = format!(
        "Report of RedisReplication {} in namespace {}, {now:.0}.\nkubectl-rr {}, Kubernetes {server}.\n\
         Secrets are not collected; passwords, and what looks like one, are replaced. Keys and values are not in it.\n\
         Review it before you share it.",
        args.name,
        cluster.namespace,
        env!("CARGO_PKG_VERSION"),
    );
    let folder = format!("{}-report-{}", args.name, now.strftime("%Y%m%dT%H%M%SZ"));
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{folder}.tar.gz")));
    archive.write(&path, &folder, &head)?;
    println!("{}\n{}", archive.manifest(&head), path.display());
    Ok(exit::OK)
}

/// The password, to be removed wherever it stands: from the Secret, or from the pods that were started with it.
async fn passwords(cluster: &Cluster, resource: &RedisReplication, pods: &[Pod]) -> Vec<String> {
    let name = names::auth_secret(&resource.name_any(), &resource.spec);
    let secret = cluster.api::<Secret>().get(&name).await;
    let values = secret.ok().and_then(|secret| secret.data).unwrap_or_default();
    let given = values.into_values().filter_map(|value| String::from_utf8(value.0).ok());
    let used = join_all(pods.iter().map(|pod| async move {
        let output = shell(cluster, &pod.name_any(), exec::PASSWORD, &[], "", PATIENCE).await;
        output.ok().map(|output| output.stdout)
    }));
    let all = given.chain(used.await.into_iter().flatten());
    all.map(|password| password.trim_end_matches('\n').to_owned()).collect()
}

struct Collector<'a> {
    cluster: &'a Cluster,
    redactor: Redactor,
    name: String,
    tail: i64,
}

impl Collector<'_> {
    async fn objects(&self, archive: &mut Archive, resource: &RedisReplication) {
        let look = Look { now: Timestamp::now(), colours: false };
        let view = status::one(self.cluster, resource).await;
        archive.add(
            "status.txt",
            "what `kubectl rr status` shows",
            Ok(self.redactor.text(&render::details(&view, look))),
        );
        archive.add("resource.yaml", "the RedisReplication", self.yaml(resource));
        archive.add("statefulsets.yaml", "the StatefulSet", self.list::<StatefulSet>("statefulsets").await);
        archive.add("pods.yaml", "the members' pods", self.list::<Pod>("pods").await);
        archive.add("services.yaml", "the Services", self.list::<Service>("services").await);
        archive.add("endpointslices.yaml", "what they lead to", self.list::<EndpointSlice>("endpointslices").await);
        archive.add("configmaps.yaml", "redis.conf and the scripts", self.list::<ConfigMap>("configmaps").await);
        archive.add(
            "poddisruptionbudgets.yaml",
            "the PodDisruptionBudget",
            self.list::<PodDisruptionBudget>("poddisruptionbudgets").await,
        );
        archive.add(
            "persistentvolumeclaims.yaml",
            "the volumes",
            self.list::<PersistentVolumeClaim>("persistentvolumeclaims").await,
        );
        let events = events::of(self.cluster, resource).await;
        archive.add("events.txt", "events", events.map(|all| self.redactor.text(&events::table(&all, look))));
    }

    /// All objects of a kind that belong to the resource. Not all carry the same label with its name: volume claims have one
    /// of their own.
    async fn list<K>(&self, plural: &str) -> Result<String, Error>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Serialize
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let any = [(names::NAME_LABEL, names::NAME), (names::COMPONENT_LABEL, names::COMPONENT)];
        let any = any.map(|(key, value)| format!("{key}={value}")).join(",");
        let found = self.cluster.api::<K>().list(&ListParams::default().labels(&any)).await;
        let found = found.map_err(|e| self.cluster.error(&self.cluster.reading(plural), &e))?;
        let own = found.items.iter().filter(|object| names::is_claim_of(object.labels(), &self.name));
        let documents: Result<Vec<String>, Error> = own.map(|object| self.yaml(object)).collect();
        Ok(documents?.join("---\n"))
    }

    fn yaml(&self, object: &impl Serialize) -> Result<String, Error> {
        let broken = |error: &dyn std::fmt::Display| Error::Format(error.to_string());
        let mut value = serde_json::to_value(object).map_err(|e| broken(&e))?;
        self.redactor.object(&mut value);
        serde_saphyr::to_string(&value).map_err(|e| broken(&e))
    }

    async fn members(&self, archive: &mut Archive, pods: &[Pod]) {
        for pod in pods {
            let name = pod.name_any();
            let commands = format!("INFO everything\nROLE\n{END}\n");
            let info = shell(self.cluster, &name, exec::WITH_COMMANDS, &[END], &commands, PATIENCE).await;
            let info = info.and_then(|output| output.ok(&name)).map(|text| self.redactor.text(&text));
            archive.add(&format!("info/{name}.txt"), "INFO and ROLE", info);
            self.logs(archive, self.cluster, pod, names::REDIS_CONTAINER, "logs", |_| true).await;
        }
    }

    async fn operator(&self, archive: &mut Archive) {
        let deployment = match operator::deployment(self.cluster).await {
            Ok(deployment) => deployment,
            Err(error) => return archive.add("operator/", "", Err(error)),
        };
        archive.add("operator/deployment.yaml", "the operator's Deployment", self.yaml(&deployment));
        let cluster = self.cluster.within(&deployment.namespace().unwrap_or_default());
        match operator::pods(&cluster, &deployment).await {
            Ok(pods) => {
                let (name, namespace) = (self.name.as_str(), self.cluster.namespace.as_str());
                for pod in &pods {
                    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
                    let container = container.map_or("operator", |container| container.name.as_str());
                    let ours = |line: &str| is_about(line, name, namespace);
                    self.logs(archive, &cluster, pod, container, "operator", ours).await;
                }
            }
            Err(error) => archive.add("operator/*.log", "", Err(error)),
        }
    }

    async fn logs(
        &self,
        archive: &mut Archive,
        cluster: &Cluster,
        pod: &Pod,
        container: &str,
        folder: &str,
        keep: impl Fn(&str) -> bool,
    ) {
        let name = pod.name_any();
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        let restarted = statuses.iter().any(|status| status.name == container && status.restart_count > 0);
        for previous in [false, true] {
            if previous && !restarted {
                continue;
            }
            let parameters = LogParams {
                container: Some(container.to_owned()),
                previous,
                tail_lines: Some(self.tail),
                timestamps: true,
                ..LogParams::default()
            };
            let log = cluster.api::<Pod>().logs(&name, &parameters).await;
            let log = log.map_err(|e| cluster.error(&cluster.reading("logs"), &e));
            let log =
                log.map(|text| text.lines().filter(|line| keep(line)).map(|line| line.to_owned() + "\n").collect());
            let log = log.map(|text: String| self.redactor.text(&text));
            let (end, about) = if previous { ("previous.log", "before its restart") } else { ("log", "log") };
            archive.add(&format!("{folder}/{name}.{end}"), about, log);
        }
    }
}

/// Is this line of the operator's log about the resource, or about the operator itself? Others' names stay out.
fn is_about(line: &str, name: &str, namespace: &str) -> bool {
    let about = |key: &str| {
        let after = line.split_once(key)?.1.trim_start_matches(['=', ':', ' ', '"']);
        Some(after.split(|c: char| c.is_whitespace() || c == '"' || c == ',').next().unwrap_or_default().to_owned())
    };
    let (resource, place) =
        (about("resource\"").or_else(|| about("resource=")), about("namespace\"").or_else(|| about("namespace=")));
    resource.is_none_or(|one| one == name || one == format!("{namespace}/{name}"))
        && place.is_none_or(|one| one == namespace)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::cluster::tests::{answering_queries, selected};

    #[tokio::test]
    async fn volume_claims_are_found_by_their_own_label_and_by_that_of_an_older_operator() {
        let claim = |name: &str, labels| json!({ "metadata": { "name": name, "labels": labels } });
        let claims = vec![
            claim("data-cache-0", names::labels("cache")),
            claim("data-cache-1", names::claim_labels("cache")),
            claim("data-cache-2", names::selector_labels("cache")),
            claim("data-sessions-0", names::claim_labels("sessions")),
        ];
        let cluster = answering_queries(move |_, _, query| (200, json!({ "items": selected(&claims, query) })));
        let collector =
            Collector { cluster: &cluster, redactor: Redactor::new(Vec::new()), name: "cache".into(), tail: 1 };
        let text = collector.list::<PersistentVolumeClaim>("persistentvolumeclaims").await.unwrap();
        let found: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("name: ")).collect();
        assert_eq!(found, ["data-cache-0", "data-cache-1", "data-cache-2"]);
    }

    #[rstest]
    #[case("INFO transition ended resource=cache epoch=2", true)]
    #[case("INFO begins resource=cache namespace=shop epoch=2", true)]
    #[case("INFO begins resource=cache namespace=bank epoch=2", false)]
    #[case("INFO transition ended resource=cache2 epoch=2", false)]
    #[case("INFO leading", true)]
    #[case("{\"level\":\"INFO\",\"resource\":\"cache\",\"namespace\":\"shop\"}", true)]
    #[case("{\"level\":\"INFO\",\"resource\":\"sessions\",\"namespace\":\"shop\"}", false)]
    fn the_log_of_others_stays_out(#[case] line: &str, #[case] expected: bool) {
        assert_eq!(is_about(line, "cache", "shop"), expected);
    }
}
