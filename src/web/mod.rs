//! Health and metrics over HTTP: in the open, or the metrics apart, over TLS, for those who may read them.

mod access;
mod certificate;
mod tls;

use std::{convert::Infallible, io, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header},
    middleware,
    routing::{MethodRouter, get},
};
use kube::Client;
use tokio::net::TcpListener;

pub use access::{Gate, Refusal, Unanswered};
pub use certificate::{Certificate, CertificateError};
pub use tls::MOST_CONNECTIONS;

/// What is asked for, and what a right has to be to.
const METRICS: &str = "/metrics";

/// Where to listen.
#[derive(clap::Args, Clone, Debug)]
pub struct WebArgs {
    /// Where to serve /healthz, /readyz and, unless they have an address of their own, the /metrics.
    #[arg(long, env = "HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,
    /// Where to serve /metrics over TLS, to those who show the token of somebody whom Kubernetes lets `get` this path.
    #[arg(long, env = "SECURE_METRICS_ADDRESS")]
    pub secure_metrics_address: Option<SocketAddr>,
    /// Directory with that port's `tls.crt` and `tls.key`, read again when they change. Without it: a certificate that this
    /// process makes for itself, which nobody can verify.
    #[arg(long, env = "METRICS_CERTIFICATE_DIR", requires = "secure_metrics_address")]
    pub metrics_certificate_dir: Option<PathBuf>,
}

/// An address is taken, or not ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// The ports, taken and not yet served.
#[derive(Debug)]
pub struct Web {
    open: TcpListener,
    guarded: Option<(TcpListener, Certificate)>,
}

impl Web {
    /// Takes the ports.
    ///
    /// # Errors
    /// When one is taken, or not ours.
    pub async fn bind(args: &WebArgs) -> Result<Self, ListenError> {
        let guarded = match args.secure_metrics_address {
            Some(address) => Some((listen(address).await?, Certificate::new(args.metrics_certificate_dir.clone()))),
            None => None,
        };
        Ok(Self { open: listen(args.http_address).await?, guarded })
    }

    /// Where health is told.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open_address(&self) -> io::Result<SocketAddr> {
        self.open.local_addr()
    }

    /// Where the metrics are.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn metrics_address(&self) -> io::Result<SocketAddr> {
        self.guarded.as_ref().map_or(&self.open, |(guarded, _)| guarded).local_addr()
    }

    /// Serves until the process ends. A standby is ready: it is there to take over. `client` asks who may read the metrics.
    ///
    /// # Errors
    /// When a port cannot be served any more.
    pub async fn serve(
        self,
        metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
        client: Client,
    ) -> io::Result<()> {
        let health = Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(|| async { "ok" }));
        let metrics = get(move || async move {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics())
        });
        let Some((listener, certificate)) = self.guarded else {
            return axum::serve(self.open, health.route(METRICS, metrics)).await;
        };
        let port = listener.local_addr()?.port();
        let elsewhere = get(move || async move {
            (StatusCode::NOT_FOUND, format!("the metrics are on port {port}, over TLS, for those who show a token\n"))
        });
        let open = async { axum::serve(self.open, health.route(METRICS, elsewhere)).await };
        tokio::try_join!(open, guarded(listener, certificate, metrics, Gate::new(client)))?;
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// A certificate that is missing or of no use does not end the process: the operator's work is worth more than its metrics.
async fn guarded(
    listener: TcpListener,
    certificate: Certificate,
    metrics: MethodRouter,
    gate: Gate,
) -> io::Result<Infallible> {
    let (config, renewals) = certificate.serve().await;
    let app =
        Router::new().route(METRICS, metrics).layer(middleware::from_fn_with_state(Arc::new(gate), access::admit));
    tokio::select! {
        never = tls::serve(listener, config, app) => match never {},
        never = renewals => match never {},
    }
}
