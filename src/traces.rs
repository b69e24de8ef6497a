//! Traces for an OpenTelemetry collector, over plain HTTP (feature `otlp`): each change of master is one.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, Tracer},
};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// The variable that names the collector, e.g. `http://collector.monitoring:4318`. Without it nothing is sent.
pub const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const NAME: &str = "redis-replication-operator";

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address makes no sense.
    #[error("{ENDPOINT}: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// It asks for TLS.
    #[error("{ENDPOINT} must begin with http://: send to a collector in the cluster, and let that encrypt")]
    Tls,
}

/// Sends what has ended, in the background; what is left when it is dropped.
#[derive(Debug)]
pub struct Sender(SdkTracerProvider);

impl Sender {
    /// To the collector at this address. Must not be called by an async task: the client for HTTP has a runtime of its own.
    ///
    /// # Errors
    /// When the address makes no sense.
    pub fn new(endpoint: &str) -> Result<Self, Error> {
        if !endpoint.starts_with("http://") {
            return Err(Error::Tls);
        }
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(url).build()?;
        let resource = Resource::builder();
        let resource =
            if std::env::var_os("OTEL_SERVICE_NAME").is_some() { resource } else { resource.with_service_name(NAME) };
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        Ok(Self(provider))
    }

    /// What hands spans to it.
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, Tracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer(NAME))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
