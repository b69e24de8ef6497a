//! The operator's ports as a Prometheus sees them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::{Request, Response};
use kube::{Client, client::Body};
use redis_replication_operator::web::{MOST_CONNECTIONS, Web, WebArgs};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
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

/// A guarded port with a certificate that its readers trust.
struct Guarded {
    open: SocketAddr,
    address: SocketAddr,
    trust: Arc<ClientConfig>,
    directory: PathBuf,
}

impl Guarded {
    async fn serve(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["operator.test".to_owned()]).unwrap();
        let directory = std::env::temp_dir().join(format!("web-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        let (open, address) = serve(guarded_by(Some(directory.clone()))).await;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let trust = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        Self { open, address, trust, directory }
    }

    /// A connection on which nothing is sent.
    async fn silent(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn scrape(&self, header: &str) -> String {
        let name = ServerName::try_from("operator.test").unwrap();
        let stream = TlsConnector::from(self.trust.clone()).connect(name, self.silent().await).await.unwrap();
        get(stream, "/metrics", header).await
    }

    async fn scrapes_at_once(&self) {
        let scrape = self.scrape("authorization: Bearer secret\r\n");
        let shown = timeout(Duration::from_secs(3), scrape).await.expect("nobody is in the way");
        assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("figures"), "{shown}");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn ends(stream: &mut TcpStream, within: Duration) -> bool {
    timeout(within, stream.read(&mut [0])).await.is_ok_and(|read| read.is_err() || read.is_ok_and(|n| n == 0))
}

#[tokio::test]
async fn metrics_are_shown_over_tls_to_those_who_may_read_them() {
    let guarded = Guarded::serve("shown").await;
    assert!(get_open(guarded.open, "/healthz").await.ends_with("ok"));
    let elsewhere = get_open(guarded.open, "/metrics").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404"), "{elsewhere}");
    assert!(elsewhere.contains(&format!("on port {}", guarded.address.port())), "{elsewhere}");

    let shown = guarded.scrape("authorization: Bearer secret\r\n").await;
    assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("figures"), "{shown}");
    let nobody = guarded.scrape("").await;
    assert!(nobody.starts_with("HTTP/1.1 401") && nobody.contains("www-authenticate: Bearer"), "{nobody}");
    let wrong = guarded.scrape("authorization: Bearer other\r\n").await;
    assert!(wrong.starts_with("HTTP/1.1 401") && !wrong.contains("figures"), "{wrong}");

    let plain = get_open(guarded.address, "/metrics").await;
    assert!(!plain.contains("HTTP/1.1"), "without TLS: {plain}");
}

#[tokio::test]
async fn a_client_that_sends_no_handshake_blocks_nobody_and_is_sent_away() {
    let guarded = Guarded::serve("silent").await;
    let mut silent = guarded.silent().await;
    guarded.scrapes_at_once().await;
    assert!(!ends(&mut silent, Duration::from_millis(10)).await, "it has some time");
    assert!(ends(&mut silent, Duration::from_secs(20)).await, "but not all the time of the world");
}

#[tokio::test]
async fn a_flood_of_connections_takes_a_bounded_share_and_no_scrape() {
    let guarded = Guarded::serve("flood").await;
    let mut flood = Vec::new();
    for _ in 0..4 * MOST_CONNECTIONS {
        flood.push(guarded.silent().await);
    }
    guarded.scrapes_at_once().await;
    let mut open = 0;
    for stream in &mut flood {
        open += usize::from(!ends(stream, Duration::from_millis(2)).await);
    }
    assert!(open <= MOST_CONNECTIONS, "{open} connections are open");
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
