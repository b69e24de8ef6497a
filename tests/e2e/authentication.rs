//! Metrics for those who may read them: the chart's `metrics.authentication`.

use std::sync::Arc;

use anyhow::{Context, Result};
use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Pod, Secret, ServiceAccount},
    },
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use crate::harness::{
    SHORT, Scene, ensure,
    helm::{helm, install_operator},
    operator,
    poll::eventually,
    scenario,
};

const SERVER: &str = "operator.test";

#[test]
fn metrics_are_shown_to_those_who_may_read_them() {
    scenario("authentication", async |scene| {
        let namespace = scene.namespace.name();
        let outcome = shown_to_those_who_may(scene).await;
        // The release has objects beyond the namespace.
        helm(namespace, &["uninstall", "shy", "--ignore-not-found", "--wait"]).await?;
        outcome
    });
}

async fn shown_to_those_who_may(scene: &Scene) -> Result<()> {
    let namespace = scene.namespace.name();
    let image = operator::image(&scene.client).await?;
    let values = format!(
        "metrics.authentication.enabled=true,metrics.authentication.certificateSecret=metrics-tls,\
         metrics.authentication.readers[0].kind=ServiceAccount,metrics.authentication.readers[0].name=prometheus,\
         metrics.authentication.readers[0].namespace={namespace}"
    );
    // It starts without the certificate: failovers do not wait for one.
    install_operator(namespace, "shy", "shy", &image, &["--set", &values]).await?;
    let made = rcgen::generate_simple_self_signed([SERVER.to_owned()])?;
    let files = [("tls.crt", made.cert.pem()), ("tls.key", made.signing_key.serialize_pem())];
    let secret = Secret {
        metadata: named("metrics-tls"),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(files.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into()),
        ..Secret::default()
    };
    Api::namespaced(scene.client.clone(), namespace).create(&PostParams::default(), &secret).await?;
    // A pod that is made anew has it mounted at once, where a running one may wait a minute and more for the kubelet.
    let selection = ListParams::default().labels("app.kubernetes.io/instance=shy");
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), namespace);
    pods.delete_collection(&DeleteParams::default(), &selection).await?;

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let trust = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let scrape = async |header: &str| {
        let found = pods.list(&selection).await?.items;
        let pod = found.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).context("no pod")?.name_any();
        let mut ports = pods.portforward(&pod, &[8443]).await?;
        let stream = ports.take_stream(8443).context("no stream")?;
        let mut stream = TlsConnector::from(trust.clone()).connect(ServerName::try_from(SERVER)?, stream).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {SERVER}\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await; // how it ends does not matter
        anyhow::Ok(answer)
    };
    let answers = async |header: String, words: &[&str]| {
        eventually(&format!("an answer with {words:?}"), SHORT, async || {
            let answer = scrape(&header).await?;
            ensure(words.iter().all(|word| answer.contains(word)), || answer)
        })
        .await
    };
    let reader = token(scene, "prometheus").await?;
    answers(bearer(&reader), &["HTTP/1.1 200", "redis_replication_lease_held"]).await?;
    let other = token(scene, "other").await?;
    answers(bearer(&other), &["HTTP/1.1 403", &format!("system:serviceaccount:{namespace}:other may not")]).await?;
    answers(bearer("made-up"), &["HTTP/1.1 401", "does not accept this token"]).await?;
    answers(String::new(), &["HTTP/1.1 401", "a token is missing"]).await?;

    let pod = pods.list(&selection).await?.items.first().context("no pod")?.name_any();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/metrics");
    let open = scene.client.request_text(http::Request::get(path).body(Vec::new())?).await;
    let refused = open.err().map(|e| e.to_string()).unwrap_or_default();
    ensure(refused.contains("404") || refused.contains("on port 8443"), || format!("in the open: {refused:?}"))
}

/// The token of a service account that is made for it.
async fn token(scene: &Scene, account: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.client.clone(), scene.namespace.name());
    let new = ServiceAccount { metadata: named(account), ..ServiceAccount::default() };
    accounts.create(&PostParams::default(), &new).await?;
    let request = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(600), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.context("no token")?.token)
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}
