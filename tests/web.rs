//! The operator's ports as a Prometheus sees them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc};

use http::{Request, Response};
use kube::{Client, client::Body};
use redis_replication_operator::web::{Web, WebArgs};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

/// An API server to which `secret` is the token of somebody who may read the metrics.
fn api_server() -> Client {
    let answer = |request: Request<Body>| async move {
        let path = request.uri().path().to_owned();
        let mut review: Value = serde_json::from_slice(&request.into_body().collect_bytes().await.unwrap()).unwrap();
        review["status"] = match path.rsplit('/').next() {
            Some("tokenreviews") => {
                json!({"authenticated": review["spec"]["token"] == "secret", "user": {"username": "me"}})
            }
            _ => json!({"allowed": true}),
        };
        Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&review).unwrap())))
    };
    Client::new(tower::service_fn(answer), "default")
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn serve(args: WebArgs) -> (SocketAddr, SocketAddr) {
    let web = Web::bind(&args).await.unwrap();
    let addresses = (web.open_address().unwrap(), web.metrics_address().unwrap());
    tokio::spawn(web.serve(|| "figures".to_owned(), api_server()));
    addresses
}

async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str, header: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await; // a connection that is cut off has answered before
    answer
}

async fn get_open(address: SocketAddr, path: &str) -> String {
    get(TcpStream::connect(address).await.unwrap(), path, "").await
}

#[tokio::test]
async fn without_a_secure_address_everything_is_on_one_port() {
    let (open, metrics) =
        serve(WebArgs { http_address: anywhere(), secure_metrics_address: None, metrics_certificate_dir: None }).await;
    assert_eq!(open, metrics);
    for (path, body) in [("/healthz", "ok"), ("/readyz", "ok"), ("/metrics", "figures")] {
        let answer = get_open(open, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(body), "{path}: {answer}");
    }
}

#[tokio::test]
async fn metrics_are_shown_over_tls_to_those_who_may_read_them() {
    let made = rcgen::generate_simple_self_signed(["operator.test".to_owned()]).unwrap();
    let directory = std::env::temp_dir().join(format!("web-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let (open, guarded) = serve(guarded_by(Some(directory.clone()))).await;

    assert!(get_open(open, "/healthz").await.ends_with("ok"));
    let elsewhere = get_open(open, "/metrics").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404"), "{elsewhere}");
    assert!(elsewhere.contains(&format!("on port {}", guarded.port())), "{elsewhere}");

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let scrape = async |header: &str| {
        let stream = TcpStream::connect(guarded).await.unwrap();
        let name = ServerName::try_from("operator.test").unwrap();
        get(TlsConnector::from(config.clone()).connect(name, stream).await.unwrap(), "/metrics", header).await
    };
    let shown = scrape("authorization: Bearer secret\r\n").await;
    assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("figures"), "{shown}");
    let nobody = scrape("").await;
    assert!(nobody.starts_with("HTTP/1.1 401") && nobody.contains("www-authenticate: Bearer"), "{nobody}");
    let wrong = scrape("authorization: Bearer other\r\n").await;
    assert!(wrong.starts_with("HTTP/1.1 401") && !wrong.contains("figures"), "{wrong}");

    let plain = get_open(guarded, "/metrics").await;
    assert!(!plain.contains("HTTP/1.1"), "without TLS: {plain}");
    std::fs::remove_dir_all(directory).unwrap();
}

/// Nobody can verify the certificate that the process makes for itself; a client that trusts none refuses it.
#[tokio::test]
async fn a_certificate_of_its_own_is_nobody_elses() {
    let (_, guarded) = serve(guarded_by(None)).await;
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("redis-replication-operator").unwrap();
    let stream = TcpStream::connect(guarded).await.unwrap();
    let error = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect_err("refused").to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let (open, _) = serve(WebArgs { secure_metrics_address: None, ..guarded_by(None) }).await;
    let args = WebArgs { secure_metrics_address: Some(open), ..guarded_by(None) };
    let error = Web::bind(&args).await.expect_err("taken").to_string();
    assert!(error.starts_with(&format!("cannot listen on {open}: ")), "{error}");
}

fn guarded_by(metrics_certificate_dir: Option<PathBuf>) -> WebArgs {
    WebArgs { http_address: anywhere(), secure_metrics_address: Some(anywhere()), metrics_certificate_dir }
}
