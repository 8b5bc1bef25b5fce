//! The LLM servers behind the proxy: which of them is asked, what is tried again elsewhere, timeouts, and only [`Cleared`]
//! requests.
//!
//! An [`endpoint`](Settings::endpoints) is one server with connections of its own. Those that serve what is asked for are
//! balanced; one that fails again and again is left alone by its [`breaker`], or is not asked because it is not well
//! (`health`). Another one is asked only where the first has not begun to answer, and cannot have begun to work.

mod answer;
mod balance;
pub mod breaker;
mod connect;
mod endpoint;
mod health;
mod model;
mod request;
mod settings;

pub use answer::Answer;
pub(crate) use connect::{Connections, connections};
pub use endpoint::Standing;
pub use model::Pattern;
pub use request::end_to_end;
pub use settings::{EndpointSettings, Health, Http2, Settings, Terms, Tls};

use crate::guard::Cleared;
use crate::metrics::Metrics;
use crate::openai::request::Request as Judged;
use crate::policy::message::Languages;
use balance::{Load, Turns};
use bytes::Bytes;
use endpoint::{Endpoint, Ticket};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use hyper_util::client::legacy;
use std::error::Error as _;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Names a conversation, for us alone.
const CONVERSATION: HeaderName = HeaderName::from_static("x-nonnocere-conversation");

/// What of a caller's request goes on to the upstream beside the body, and to which.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path below the base URL, with the query.
    pub path: String,
    /// The caller's headers.
    pub headers: HeaderMap,
    /// The endpoint that must serve it, where the operator says so; else those that serve the model.
    pub endpoint: Option<Arc<str>>,
    /// The model that is asked for; empty where none is.
    pub model: String,
}

impl Head {
    /// The languages that the caller reads.
    #[must_use]
    pub fn languages(&self) -> Languages {
        let accepted = self.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Languages::accepted(accepted.unwrap_or_default())
    }

    /// What the caller calls the conversation, where they name it.
    #[must_use]
    pub fn conversation(&self) -> Option<&str> {
        self.headers.get(CONVERSATION)?.to_str().ok().filter(|name| !name.is_empty())
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or it broke.
    Unreachable,
    /// The answer did not come in time.
    Timeout,
    /// The answer cannot be used.
    Invalid(&'static str),
    /// Nobody who serves this is well; to be tried again after so many seconds.
    Unavailable(u32),
    /// Nobody serves the model.
    UnknownModel,
}

impl Fault {
    /// The word in metrics.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Invalid(_) => "invalid",
            Self::Unavailable(_) => "unavailable",
            Self::UnknownModel => "unknown_model",
        }
    }
}

/// An attempt that failed.
struct Trouble {
    fault: Fault,
    /// Whether nothing of the request can have been read.
    is_unsent: bool,
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self { fault, is_unsent: false }
    }
}

/// A client of all endpoints.
pub struct Upstream {
    endpoints: Vec<Arc<Endpoint>>,
    turns: Mutex<Turns>,
    attempts: usize,
    max_response_bytes: usize,
    metrics: Option<Arc<Metrics>>,
}

impl Upstream {
    /// A client that has asked nothing yet; attempts are counted where there are `metrics`.
    ///
    /// # Errors
    /// When certificates cannot be read, with the name of the endpoint.
    pub fn new(settings: Settings, metrics: Option<Arc<Metrics>>) -> std::io::Result<Self> {
        let Settings { endpoints, attempts, max_response_bytes } = settings;
        let open = |settings: EndpointSettings| {
            let name = Arc::clone(&settings.name);
            let opened = Endpoint::new(settings).map(Arc::new);
            opened.map_err(|why| std::io::Error::other(format!("upstream {name}: {why}")))
        };
        let endpoints = endpoints.into_iter().map(open).collect::<std::io::Result<Vec<_>>>()?;
        let turns = Mutex::new(Turns::new(endpoints.len()));
        Ok(Self { endpoints, turns, attempts, max_response_bytes, metrics })
    }

    /// Sends a request that was cleared, byte for byte; gives the answer as soon as it begins.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer.
    pub async fn send(&self, head: &Head, request: &Cleared<Judged>) -> Result<Answer, Fault> {
        self.call(Method::POST, head, request.get().bytes().clone()).await
    }

    /// The same for bytes that were cleared: of a request that is asked again, or that is still being judged where the
    /// operator lets the LLM begin meanwhile.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer.
    pub async fn send_bytes(&self, head: &Head, request: Cleared<Bytes>) -> Result<Answer, Fault> {
        self.call(Method::POST, head, request.into_inner()).await
    }

    /// Sends a request that begins ahead of its verdict; without one, nothing ever comes.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer.
    pub async fn begin(&self, head: &Head, request: Option<Cleared<Bytes>>) -> Result<Answer, Fault> {
        match request {
            Some(request) => self.send_bytes(head, request).await,
            None => std::future::pending().await,
        }
    }

    /// Hands on what no LLM reads: a list of models, an answer that was kept, a path that the operator lets pass.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer.
    pub async fn pass(&self, head: Head, body: Bytes) -> Result<Answer, Fault> {
        self.call(head.method.clone(), &head, body).await
    }

    /// Asks a model that judges. What it reads was not cleared, and what it answers is read by the guard alone.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer.
    pub(crate) async fn consult(&self, question: Bytes) -> Result<Answer, Fault> {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        let head = Head { path: "/chat/completions".to_owned(), headers, ..Head::default() };
        self.call(Method::POST, &head, question).await
    }

    /// Looks at each endpoint of which the configuration says how, for ever.
    pub fn watches(&self) -> impl Iterator<Item = impl Future<Output = ()> + Send + 'static> {
        let watched =
            self.endpoints.iter().filter_map(|one| Some((Arc::clone(one), one.settings.terms.health.clone()?)));
        watched.map(|(endpoint, health)| health::watch(endpoint, health))
    }

    /// How each endpoint is.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        self.endpoints.iter().map(|endpoint| endpoint.standing()).collect()
    }

    /// Asks one endpoint, and others as long as that is safe: nothing of an answer leaves here before it is the one.
    async fn call(&self, method: Method, head: &Head, body: Bytes) -> Result<Answer, Fault> {
        let (start, serving) = (Instant::now(), self.serving(head)?);
        let (mut tried, mut last) = (Vec::new(), None);
        while tried.len() < self.attempts.max(1) {
            let Some((place, ticket)) = self.next(&serving, &tried) else { break };
            tried.push(place);
            let name = Arc::clone(&ticket.endpoint().settings.name);
            let begun = Instant::now();
            let attempt = self.attempt((&method, head), body.clone(), (ticket, start)).await;
            if let Some(metrics) = &self.metrics {
                let answer = attempt.as_ref().map(|answer| answer.parts().status).map_err(|trouble| trouble.fault);
                metrics.upstream_answered(&name, answer, begun.elapsed());
            }
            let is_settled = !is_safe_elsewhere(&method, &attempt);
            last = Some(attempt);
            if is_settled {
                break;
            }
        }
        match last {
            Some(Ok(answer)) => answer.readable().await,
            Some(Err(trouble)) => Err(trouble.fault),
            None => Err(Fault::Unavailable(self.wait(&serving))),
        }
    }

    /// The places of the endpoints that serve what is asked for.
    fn serving(&self, head: &Head) -> Result<Vec<usize>, Fault> {
        let Some(name) = &head.endpoint else {
            let settings: Vec<&EndpointSettings> = self.endpoints.iter().map(|one| &one.settings).collect();
            let serving = model::serving(&settings, &head.model);
            return if serving.is_empty() { Err(Fault::UnknownModel) } else { Ok(serving) };
        };
        Ok(self.endpoints.iter().position(|one| one.settings.name == *name).into_iter().collect())
    }

    /// The one of them that is asked next, if any that was not `tried` can be.
    fn next(&self, serving: &[usize], tried: &[usize]) -> Option<(usize, Ticket)> {
        // Held until the ticket is taken, so that one request alone tries an endpoint that was left alone.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let untried = serving.iter().filter(|place| !tried.contains(place));
        let available = untried.filter_map(|place| Some((*place, self.endpoints.get(*place)?)));
        let free = available.filter(|(_, one)| one.is_available(now)).map(|(place, one)| Load {
            place,
            in_flight: one.in_flight(),
            weight: one.settings.weight.get(),
        });
        let place = turns.next(&free.collect::<Vec<_>>())?;
        Some((place, Ticket::new(Arc::clone(self.endpoints.get(place)?))))
    }

    /// After how many seconds one of them may be asked again.
    fn wait(&self, serving: &[usize]) -> u32 {
        let now = Instant::now();
        let waits = serving.iter().filter_map(|place| Some(self.endpoints.get(*place)?.wait(now)));
        let wait = waits.min().unwrap_or(Duration::from_secs(60));
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        u32::try_from(seconds.clamp(1, 3600)).unwrap_or(3600)
    }

    /// Asks one endpoint, until its answer begins.
    async fn attempt(
        &self,
        (method, head): (&Method, &Head),
        body: Bytes,
        (mut ticket, start): (Ticket, Instant),
    ) -> Result<Answer, Trouble> {
        let endpoint = &ticket.endpoint().settings;
        let (name, terms) = (Arc::clone(&endpoint.name), endpoint.terms.clone());
        let request = request::request(endpoint, (method, head), body)?;
        let until = start + terms.timeout;
        let asked = ticket.endpoint().connections.request(request);
        let answer = timeout_at(until.min(Instant::now() + terms.first_byte_timeout), asked).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let (endpoint, connect) = (&*name, error.is_connect());
                tracing::warn!(%error, cause = error.source().map(ToString::to_string), endpoint, connect, "the upstream did not answer");
                ticket.failed();
                return Err(Trouble { fault: Fault::Unreachable, is_unsent: is_unsent(&error) });
            }
            Err(_) => {
                tracing::warn!(endpoint = &*name, "the upstream did not begin to answer in time");
                ticket.failed();
                return Err(Fault::Timeout.into());
            }
        };
        let status = response.status();
        if is_gone(status) {
            ticket.failed();
        } else if status.is_server_error() {
            // What was asked may have brought it about.
            ticket.ignored();
        } else {
            ticket.began();
        }
        Ok(Answer::begin(response, ticket, (until, self.max_response_bytes))?)
    }
}

/// Whether a status says that there is nobody behind the server who could answer.
fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Whether nothing of a request can have reached the server: no connection stood, or it closed before the request was
/// written. One that breaks later may break behind what was asked.
fn is_unsent(error: &legacy::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    error.is_connect() || source.is_some_and(hyper::Error::is_canceled)
}

/// Whether another endpoint may be asked after this attempt: nothing was done yet, or doing it twice is as doing it once.
fn is_safe_elsewhere(method: &Method, attempt: &Result<Answer, Trouble>) -> bool {
    match attempt {
        Err(Trouble { is_unsent: true, .. }) => true,
        Err(Trouble { fault: Fault::Unreachable | Fault::Timeout, .. }) => method.is_idempotent(),
        Err(_) => false,
        // It says itself that it has not begun, and that others should come later.
        Ok(answer) if answer.parts().status == StatusCode::SERVICE_UNAVAILABLE => {
            method.is_idempotent() || answer.parts().headers.contains_key(header::RETRY_AFTER)
        }
        Ok(answer) => method.is_idempotent() && is_gone(answer.parts().status),
    }
}
