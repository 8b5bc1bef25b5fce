//! The admin port: health, readiness, metrics, and the policy in force.

use crate::proxy::Proxy;
use crate::response::{Body, json, text};
use http::{Method, Request, Response, StatusCode};
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
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers one request of an operator.
pub async fn handle(proxy: &Proxy, ready: &Readiness, request: &Request<Incoming>) -> Response<Body> {
    if (request.method(), request.uri().path()) == (&Method::POST, "/policy/reload") {
        return reload(proxy).await;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET only, and POST /policy/reload\n");
    }
    match request.uri().path() {
        "/policy" => json(&serde_json::json!({"policy": proxy.policy.snapshot().to_string()})),
        "/healthz" => text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" if ready.get() => text(StatusCode::OK, PLAIN, "ready\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "not ready\n"),
        "/metrics" => match proxy.metrics.render(proxy.guard.waiting()) {
            Ok(series) => text(StatusCode::OK, PROMETHEUS, series),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the metrics cannot be written\n")
            }
        },
        _ => text(StatusCode::NOT_FOUND, PLAIN, "here are /healthz, /readyz, /metrics and /policy\n"),
    }
}

/// Reads the policy again; it is put in force if it is valid and passes its own tests.
async fn reload(proxy: &Proxy) -> Response<Body> {
    let reloaded = proxy.policy.reload(&proxy.guard).await;
    proxy.metrics.reloaded(reloaded.is_ok());
    match reloaded {
        Ok(policy) => {
            tracing::info!(%policy, "the policy was reloaded");
            proxy.callers.warn_of(&policy);
            json(&serde_json::json!({"policy": policy.to_string()}))
        }
        Err(faults) => {
            let mut response =
                json(&serde_json::json!({"policy": proxy.policy.snapshot().to_string(), "faults": faults}));
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            response
        }
    }
}
