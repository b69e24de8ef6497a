//! Who may read the metrics: whoever shows the token of somebody whom Kubernetes lets `get` the path `/metrics`.
//!
//! The API server is asked twice, as kubelets and other operators do: a `TokenReview` tells whose the token is, a
//! `SubjectAccessReview` what they may.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until, timeout};

use super::METRICS;

/// How long a permission holds before it is asked for again: one that is taken away lives so much longer.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Permissions that are remembered: one for each Prometheus, and those of tokens that were renewed meanwhile.
const PLACES: usize = 64;
/// How long one request may wait for its turn and for the API server; Prometheus itself gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// From a refusal to the next review: whoever tries tokens costs the API server, which failovers need, ten reviews a second.
const PAUSE: Duration = Duration::from_millis(100);

type Print = [u8; 32];

/// Lets readers in, or says why not.
pub struct Gate {
    client: Client,
    /// Of tokens, whose fingerprints these are: until when they need not be reviewed.
    admitted: Mutex<HashMap<Print, Instant>>,
    /// One review at a time, and not before this moment.
    turn: tokio::sync::Mutex<Instant>,
}

/// Why somebody may not read the metrics.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No token was sent.
    #[error("a token is missing: send `Authorization: Bearer TOKEN` with that of a service account")]
    NoToken,
    /// It is nobody's, or it has expired.
    #[error("the API server does not accept this token{0}")]
    BadToken(String),
    /// It is somebody's who may not.
    #[error("{0} may not read the metrics: give it a ClusterRole with nonResourceURLs: [/metrics] and verbs: [get]")]
    NotAllowed(String),
    /// The API server did not tell.
    #[error("cannot find out who may read the metrics: {0}")]
    Unknown(#[from] Unanswered),
}

/// Why the API server did not tell.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It refused, or could not be asked.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// It did not answer in time.
    #[error("the API server is slow")]
    Slow,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::BadToken(_) => StatusCode::UNAUTHORIZED,
            Self::NotAllowed(_) => StatusCode::FORBIDDEN,
            Self::Unknown(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let asks = (self.status() == StatusCode::UNAUTHORIZED).then_some([(header::WWW_AUTHENTICATE, "Bearer")]);
        (self.status(), asks, format!("{self}\n")).into_response()
    }
}

/// The middleware before the metrics.
pub(super) async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.admits(request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl Gate {
    /// One that asks by `client`, whose service account has to be allowed to create both reviews.
    pub fn new(client: Client) -> Self {
        Self { client, admitted: Mutex::default(), turn: tokio::sync::Mutex::new(Instant::now()) }
    }

    /// Whether these headers carry a token of somebody who may read the metrics.
    ///
    /// # Errors
    /// When they do not, or when it cannot be found out.
    pub async fn admits(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = bearer(headers).ok_or(Refusal::NoToken)?;
        let print: Print = Sha256::digest(token).into();
        if self.remembers(&print) {
            return Ok(());
        }
        let review = self.take_turn(token, print);
        timeout(PATIENCE, review).await.unwrap_or_else(|_| Err(Unanswered::Slow.into()))
    }

    async fn take_turn(&self, token: &str, print: Print) -> Result<(), Refusal> {
        let mut turn = self.turn.lock().await;
        if self.remembers(&print) {
            return Ok(()); // whoever was before us showed the same
        }
        sleep_until(*turn).await;
        let outcome = self.review(token).await;
        match &outcome {
            Ok(()) => self.remember(print),
            Err(refusal) => {
                *turn = Instant::now() + PAUSE;
                tracing::info!(%refusal, "metrics refused"); // here, where it cannot fill the log
            }
        }
        outcome
    }

    async fn review(&self, token: &str) -> Result<(), Refusal> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() };
        let review = self.ask(TokenReview { spec, ..TokenReview::default() }).await?;
        let status = review.status.unwrap_or_default();
        let user = match status.user {
            Some(user) if status.authenticated == Some(true) => user,
            _ => return Err(Refusal::BadToken(status.error.map(|e| format!(": {e}")).unwrap_or_default())),
        };
        let name = user.username.clone().unwrap_or_default();
        let review = self.ask(SubjectAccessReview { spec: may_read(user), ..SubjectAccessReview::default() }).await?;
        let allowed = review.status.is_some_and(|status| status.allowed);
        allowed.then_some(()).ok_or(Refusal::NotAllowed(name))
    }

    async fn ask<K>(&self, review: K) -> Result<K, Unanswered>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let reviews = Api::<K>::all(self.client.clone());
        Ok(reviews.create(&PostParams::default(), &review).await?)
    }

    fn remembers(&self, print: &Print) -> bool {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.get(print).is_some_and(|until| Instant::now() < *until)
    }

    fn remember(&self, print: Print) {
        let now = Instant::now();
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.retain(|_, until| now < *until);
        if admitted.len() < PLACES {
            admitted.insert(print, now + REMEMBERED);
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn may_read(user: UserInfo) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        non_resource_attributes: Some(NonResourceAttributes { path: Some(METRICS.into()), verb: Some("get".into()) }),
        ..SubjectAccessReviewSpec::default()
    }
}
