//! Blocking HTTP to a model server: the connections of [`crate::upstream`], with a time limit for each request and a limit for what
//! is read.

use super::Fault;
use crate::upstream::{self, Connections, Terms, Tls};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// More than any answer: 60 labels for each of 256 sequences take a third of it.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Shorter than servers keep idle connections (uvicorn: five seconds).
const IDLE: Duration = Duration::from_secs(4);

/// The connections to one server, shared by all workers.
pub(super) struct Client {
    // A thread of its own looks after the connections, so that whoever asks may be a thread of any kind.
    runtime: Option<Runtime>,
    connections: Connections,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client that is connected to nothing yet.
    ///
    /// # Errors
    /// When the system's certificates cannot be read, and `url` needs them; or there is no thread.
    pub(super) fn new(url: &Uri, authorization: Option<HeaderValue>, timeout: Duration) -> std::io::Result<Self> {
        let terms = Terms { connect_timeout: timeout, idle_timeout: IDLE, ..Terms::default() };
        let is_encrypted = url.scheme_str() == Some("https");
        let connections = upstream::connections(is_encrypted, &Tls::default(), &terms)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("remote").enable_all().build()?;
        Ok(Self { runtime: Some(runtime), connections, authorization })
    }

    /// What is at `url`, within `limit`.
    pub(super) fn get(&self, url: &str, limit: Duration) -> Result<Bytes, Fault> {
        self.send(Method::GET, url, (Bytes::new(), limit))
    }

    /// The answer to `body` within `limit`.
    pub(super) fn post(&self, url: &str, body: Bytes, limit: Duration) -> Result<Bytes, Fault> {
        self.send(Method::POST, url, (body, limit))
    }

    fn send(&self, method: Method, url: &str, (body, limit): (Bytes, Duration)) -> Result<Bytes, Fault> {
        let mut request = Request::builder().method(method).uri(url).header(header::ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body)).map_err(|_| Fault::Unreachable)?;
        let runtime = self.runtime.as_ref().ok_or(Fault::Unreachable)?;
        let (tell, told) = mpsc::sync_channel(1);
        let connections = self.connections.clone();
        runtime.spawn(async move {
            let answer = tokio::time::timeout(limit, exchange(&connections, request)).await;
            // Whoever asked waits for it.
            drop(tell.send(answer.unwrap_or(Err(Fault::Timeout))));
        });
        told.recv().unwrap_or(Err(Fault::Unreachable))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Its last owner may be async, where nothing may be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn exchange(connections: &Connections, request: Request<Full<Bytes>>) -> Result<Bytes, Fault> {
    let response = connections.request(request).await.map_err(|_| Fault::Unreachable)?;
    let status = response.status();
    // A server that sends elsewhere is not followed: what is sent goes where the operator said.
    if !status.is_success() {
        return Err(Fault::Status(status.as_u16()));
    }
    match Limited::new(response.into_body(), LARGEST_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(fault) if fault.is::<http_body_util::LengthLimitError>() => Err(Fault::Invalid("it is too large")),
        Err(_) => Err(Fault::Unreachable),
    }
}
