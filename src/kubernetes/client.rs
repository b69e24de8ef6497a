//! The client: bounded waits, no hidden retries, every request counted.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tower::{Layer, Service};

/// How long an API request on the failover path may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests to the API server, by verb and resource.
pub type Requests = Family<RequestLabels, Counter>;

/// Labels of a request: both come from short, closed lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `get` (also lists and watches), `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// E.g. `pods` or `redisreplications/status`.
    pub resource: String,
}

/// Makes a client. Without the built-in retries: they would wait for up to minutes, unseen; whoever calls has a retry
/// of its own that can be seen.
///
/// # Errors
/// When the configuration cannot be used.
pub fn client(mut config: Config, requests: Requests) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(2));
    Ok(ClientBuilder::try_from(config)?.with_layer(&Counting(requests)).build())
}

#[derive(Clone)]
struct Counting(Requests);

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;
    fn layer(&self, inner: S) -> Self::Service {
        Counted { inner, requests: self.0.clone() }
    }
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let verb = match *request.method() {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "get",
        };
        self.requests.get_or_create(&RequestLabels { verb, resource: resource(request.uri().path()) }).inc();
        self.inner.call(request)
    }
}

/// `/apis/apps/v1/namespaces/shop/statefulsets/cache` → `statefulsets`; names never get into a label.
fn resource(path: &str) -> String {
    let mut parts = path.split('/').filter(|p| !p.is_empty());
    match parts.next() {
        Some("api") => drop(parts.next()),
        Some("apis") => drop((parts.next(), parts.next())),
        _ => return "other".into(),
    }
    let rest: Vec<_> = parts.collect();
    match rest.as_slice() {
        ["namespaces", _, resource, _, sub] => format!("{resource}/{sub}"),
        ["namespaces", _, resource, ..] => (*resource).to_owned(),
        [resource, ..] => (*resource).to_owned(),
        [] => "other".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::resource;
    use rstest::rstest;

    #[rstest]
    #[case("/api/v1/pods", "pods")]
    #[case("/api/v1/namespaces/shop/pods/cache-0", "pods")]
    #[case("/apis/apps/v1/namespaces/shop/statefulsets/cache", "statefulsets")]
    #[case(
        "/apis/redis.replication.dev/v1alpha1/namespaces/shop/redisreplications/cache/status",
        "redisreplications/status"
    )]
    #[case("/version", "other")]
    fn labels_name_the_resource_only(#[case] path: &str, #[case] label: &str) {
        assert_eq!(resource(path), label);
    }
}
