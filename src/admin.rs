//! The admin port: health, readiness, metrics, the policy in force, and the console.

use crate::audit::journal::Journal;
use crate::console::{self, Console};
use crate::metrics::{Format, Now};
use crate::policy::reload::InForce;
use crate::proxy::Proxy;
use crate::response::{Body, json, text};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether requests may be sent here: the model has judged a warm-up text, and the process is not stopping.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Says whether requests may be sent here.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers one request of an operator, or has the console answer it, where there is one.
pub async fn handle(
    console: Option<&Console>,
    (proxy, ready): (&Proxy, &Readiness),
    request: Request<Incoming>,
) -> Response<Body> {
    if let Some(console) = console {
        let path = request.uri().path();
        if matches!(path, "/" | "/console") || path.starts_with("/console/") {
            return console::handle(console, request).await;
        }
    }
    operate(proxy, ready, &request).await
}

async fn operate(proxy: &Proxy, ready: &Readiness, request: &Request<Incoming>) -> Response<Body> {
    if (request.method(), request.uri().path()) == (&Method::POST, "/policy/reload") {
        // A page of another site cannot have an operator's browser do it.
        if console::from_elsewhere(request.headers()) {
            return text(StatusCode::FORBIDDEN, PLAIN, "this came from another site\n");
        }
        return reload(proxy).await;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET only, and POST /policy/reload\n");
    }
    match request.uri().path() {
        "/policy" => json(&shown(&proxy.policy.in_force())),
        "/healthz" => text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" if ready.get() => text(StatusCode::OK, PLAIN, "ready\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "not ready\n"),
        "/metrics" => metrics(proxy, request.headers()),
        _ => text(StatusCode::NOT_FOUND, PLAIN, "here are /healthz, /readyz, /metrics and /policy\n"),
    }
}

/// What is counted and measured, as the scraper wants it written.
fn metrics(proxy: &Proxy, headers: &HeaderMap) -> Response<Body> {
    let in_force = proxy.policy.in_force();
    let stable = [("stable", Some(&in_force.policy)), ("canary", in_force.canary.as_ref().map(|(canary, _)| canary))];
    let beside = stable.iter().filter_map(|(_, policy)| Some(("beside", policy.as_ref()?.beside.as_ref())));
    let policies = stable.into_iter().chain(beside);
    let now = Now {
        waiting: proxy.guard.waiting(),
        work: proxy.guard.work(),
        unstored: proxy.journal.as_ref().map_or(0, Journal::waiting),
        policies: policies.filter_map(|(role, policy)| Some((role, policy?.to_string()))).collect(),
        model: proxy.guard.model().to_owned(),
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    match proxy.metrics.render(&now, format) {
        Ok(series) => text(StatusCode::OK, format.content_type(), series),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the metrics cannot be written\n")
        }
    }
}

/// What is in force: the policy, and where versions are kept, which ones.
fn shown(in_force: &InForce) -> serde_json::Value {
    let mut shown = serde_json::json!({"policy": in_force.policy.to_string()});
    if let (Some(standing), Some(shown)) = (&in_force.standing, shown.as_object_mut()) {
        shown.insert("versions".to_owned(), standing.to_string().into());
        let canary = in_force.canary.as_ref();
        shown.extend(canary.map(|(canary, _)| ("canary".to_owned(), canary.to_string().into())));
    }
    shown
}

/// Reads the policy again; it is put in force if it is valid and passes its own tests.
async fn reload(proxy: &Proxy) -> Response<Body> {
    let reloaded = proxy.policy.reload(&proxy.guard).await;
    proxy.metrics.reloaded(reloaded.is_ok());
    match reloaded {
        Ok(in_force) => {
            tracing::info!(policy = %in_force.policy, "the policy was reloaded");
            proxy.callers.warn_of(&in_force.policy);
            json(&shown(&in_force))
        }
        Err(faults) => {
            let mut body = shown(&proxy.policy.in_force());
            if let Some(body) = body.as_object_mut() {
                body.insert("faults".to_owned(), faults.into());
            }
            let mut response = json(&body);
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            response
        }
    }
}
