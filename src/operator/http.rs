//! Health and metrics over HTTP.

use axum::{Router, http::header, routing::get};
use tokio::net::TcpListener;

use super::Metrics;

/// Serves `/healthz`, `/readyz` and `/metrics`. A standby is ready: it is there to take over.
pub async fn serve(listener: TcpListener, metrics: Metrics) -> std::io::Result<()> {
    let text = move || async move {
        ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
    };
    let app = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
        .route("/metrics", get(text));
    axum::serve(listener, app).await
}
