//! Where LLM servers are, how they are reached, and how long they may take.

use super::breaker;
use super::model::Pattern;
use http::{HeaderValue, Uri};
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The endpoints, and what an answer may cost.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At least one.
    pub endpoints: Vec<EndpointSettings>,
    /// How many endpoints are asked for one answer, at most.
    pub attempts: usize,
    /// The largest answer that is read, in bytes.
    pub max_response_bytes: usize,
}

/// One LLM server.
#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// What metrics, logs and routes call it.
    pub name: Arc<str>,
    /// The base URL, up to and with `/v1`.
    pub url: Uri,
    /// Replaces the caller's `Authorization`, when given.
    pub authorization: Option<HeaderValue>,
    /// The models that it serves; empty for any.
    pub models: Vec<Pattern>,
    /// Its part of the requests, beside the weights of others.
    pub weight: NonZeroU32,
    /// Whom it trusts, and whom it is trusted by.
    pub tls: Tls,
    /// How it is asked.
    pub terms: Terms,
}

/// Certificates, in PEM files.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities that may vouch for the server; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate with what leads to its authority, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// How an endpoint is asked, and when it is left alone.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whether by HTTP/2.
    pub http2: Http2,
    /// Until a connection stands, TLS included.
    pub connect_timeout: Duration,
    /// How long a connection may be idle and still be used: shorter than the server keeps it, or a request that crosses
    /// the close on its way is lost.
    pub idle_timeout: Duration,
    /// Until an answer begins.
    pub first_byte_timeout: Duration,
    /// From one piece of it to the next.
    pub between_bytes_timeout: Duration,
    /// Until the whole answer is there.
    pub timeout: Duration,
    /// When it is left alone by what requests find.
    pub breaker: breaker::Terms,
    /// How it is looked at; `None` where only requests find out.
    pub health: Option<Health>,
}

/// Which HTTP an endpoint is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Http2 {
    /// HTTP/1.1.
    #[default]
    Off,
    /// HTTP/2 over TLS where the server offers it (ALPN), else HTTP/1.1.
    Auto,
    /// HTTP/2, also without TLS (prior knowledge).
    Only,
}

/// How an endpoint is looked at.
#[derive(Clone, Debug)]
pub struct Health {
    /// The path from the root of its host, that answers 2xx.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// How long it may take.
    pub timeout: Duration,
}

impl EndpointSettings {
    /// One that serves all models, with the system's authorities.
    #[must_use]
    pub fn plain(name: &str, url: Uri, terms: Terms) -> Self {
        let tls = Tls::default();
        Self { name: name.into(), url, authorization: None, models: Vec::new(), weight: NonZeroU32::MIN, tls, terms }
    }
}

/// What `deploy/config.toml` has.
impl Default for Terms {
    fn default() -> Self {
        Self {
            http2: Http2::Off,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(4),
            first_byte_timeout: Duration::from_secs(600),
            between_bytes_timeout: Duration::from_secs(300),
            timeout: Duration::from_secs(600),
            breaker: breaker::Terms { failures: 5, pause: Duration::from_secs(1), longest: Duration::from_secs(30) },
            health: None,
        }
    }
}
