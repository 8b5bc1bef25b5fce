//! The life of a request, on a page.

use crate::audit::Record;
use crate::config::Limits;
use crate::error::ProxyError;
use crate::guard::{Guard, Outcome};
use crate::metrics::{Metrics, Stage};
use crate::openai::completion::Completion;
use crate::openai::refusal::Manner;
use crate::openai::request::{Request as Question, Surface};
use crate::policy::{Policy, reload::Live};
use crate::receive::{head, is_event_stream, receive};
use crate::response::{self, Body};
use crate::upstream::{Fault, Upstream};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use std::time::Instant;
use tokio::sync::Semaphore;

/// What answering needs: everything lives as long as the process.
pub struct Proxy {
    /// The policy in force.
    pub policy: Live,
    /// Judges by the model.
    pub guard: Guard,
    /// The LLM.
    pub upstream: Upstream,
    /// What is counted.
    pub metrics: Metrics,
    /// What a request may cost.
    pub limits: Limits,
    /// One permit for each request that may be in flight.
    pub slots: Semaphore,
    /// How a refused prompt is answered.
    pub manner: Manner,
}

/// What a path and method ask for.
enum Route {
    /// The LLM, by one of its surfaces.
    Guarded(Surface),
    Models,
}

/// Answers one request.
pub async fn handle(proxy: &Proxy, request: Request<Incoming>) -> Response<Body> {
    let policy = proxy.policy.snapshot();
    let mut record = Record::begin(policy.to_string(), proxy.guard.model().to_owned());
    let _in_flight = proxy.metrics.enter();
    let mut response = match answer(proxy, &policy, request, &mut record).await {
        Ok(response) => response,
        Err(error) => {
            record.failed(&error, &proxy.metrics);
            let response = response::error(&error);
            proxy.metrics.rejected(response.status());
            response
        }
    };
    response.headers_mut().extend(record.headers());
    record.log(response.status());
    response
}

async fn answer(
    proxy: &Proxy,
    policy: &Policy,
    request: Request<Incoming>,
    record: &mut Record,
) -> Result<Response<Body>, ProxyError> {
    // 1 Route.
    let _slot = proxy.slots.try_acquire().map_err(|_| ProxyError::Overloaded)?;
    let head = head(&request);
    let surface = match route(&request)? {
        Route::Guarded(surface) => surface,
        Route::Models => return Ok(response::unjudged(proxy.upstream.fetch(&head).await?)),
    };

    // 2 Which texts will the LLM read?
    let question = Question::parse(surface, receive(request, &proxy.limits).await?, proxy.limits.depth)?;
    let asked = question.asked().clone();

    // 3 Judge the prompt.
    let start = Instant::now();
    let decision = proxy.guard.inspect_request(policy, question).await?;
    record.took(Stage::Prompt, start, &proxy.metrics);
    record.decided(&decision.verdict, &proxy.metrics);

    // 4 Refuse or pass: only what was cleared can be sent.
    let cleared = match decision.outcome {
        Outcome::Pass(cleared) => cleared,
        Outcome::Instead(substitute) => {
            return Ok(response::instead(proxy.manner, &asked, &record.event_id(), &substitute));
        }
    };

    // 5 Ask the LLM.
    let start = Instant::now();
    let answer = proxy.upstream.send(&head, cleared).await;
    record.took(Stage::Upstream, start, &proxy.metrics);
    let answer = answer?;
    // Neither the upstream's own errors nor vectors are words of the LLM.
    if !answer.status().is_success() || surface == Surface::Embeddings {
        return Ok(response::unjudged(answer));
    }

    // 6 Judge the completion: only what was cleared can be written.
    let start = Instant::now();
    let (parts, bytes) = answer.into_parts();
    let completion = Completion::parse(surface, bytes, is_event_stream(&parts.headers), proxy.limits.depth);
    let completion = completion.map_err(Fault::Invalid)?;
    let decision = proxy.guard.inspect_completion(policy, &asked, completion).await?;
    record.took(Stage::Completion, start, &proxy.metrics);
    record.decided(&decision.verdict, &proxy.metrics);
    Ok(response::cleared(parts.status, &parts.headers, decision.outcome))
}

fn route(request: &Request<Incoming>) -> Result<Route, ProxyError> {
    let (route, method) = match request.uri().path() {
        "/v1/chat/completions" => (Route::Guarded(Surface::Chat), Method::POST),
        "/v1/completions" => (Route::Guarded(Surface::Completions), Method::POST),
        "/v1/responses" => (Route::Guarded(Surface::Responses), Method::POST),
        "/v1/embeddings" => (Route::Guarded(Surface::Embeddings), Method::POST),
        "/v1/models" => (Route::Models, Method::GET),
        path if path.strip_prefix("/v1/models/").is_some_and(|id| !id.is_empty() && !id.contains("..")) => {
            (Route::Models, Method::GET)
        }
        _ => return Err(ProxyError::UnguardedEndpoint),
    };
    if request.method() == method { Ok(route) } else { Err(ProxyError::Method) }
}
