//! The LLM server behind the proxy: pooled connections, timeouts, and only [`Cleared`] requests.

use crate::decompress::{self, decompress};
use crate::guard::Cleared;
use crate::metrics::Metrics;
use crate::openai::request::Request as Judged;
use crate::policy::message::Languages;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Where the LLM is, and how long it may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL, up to and with `/v1`.
    pub url: Uri,
    /// Replaces the caller's `Authorization`, when given.
    pub authorization: Option<HeaderValue>,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// How long a connection may be idle and still be used: shorter than the server keeps it, or a request that crosses
    /// the close on its way is lost.
    pub idle_timeout: Duration,
    /// Until the whole answer is there.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub max_response_bytes: usize,
}

/// Names a conversation, for us alone.
const CONVERSATION: HeaderName = HeaderName::from_static("x-nonnocere-conversation");

/// What of a caller's request goes on to the upstream beside the body.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path below the base URL, with the query.
    pub path: String,
    /// The caller's headers.
    pub headers: HeaderMap,
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
}

impl Fault {
    /// The word in metrics.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Invalid(_) => "invalid",
        }
    }
}

const TOO_LARGE: &str = "it is larger than limits.response_bytes";

/// Pooled connections to one server.
pub(crate) type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Connections that trust the system's certificate authorities.
pub(crate) fn client(
    is_encrypted: bool,
    connect_timeout: Duration,
    idle_timeout: Duration,
) -> std::io::Result<Connections> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    let builder = HttpsConnectorBuilder::new();
    // A server without TLS needs no authorities, and a minimal container has none.
    let builder = if is_encrypted { builder.with_native_roots()? } else { builder.with_tls_config(plain_tls()) };
    let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
    let mut pool = Client::builder(TokioExecutor::new());
    Ok(pool.pool_timer(TokioTimer::new()).pool_idle_timeout(idle_timeout).build(connector))
}

/// A client of the upstream.
pub struct Upstream {
    client: Connections,
    settings: Settings,
    metrics: Option<Arc<Metrics>>,
}

impl Upstream {
    /// A client that trusts the system's certificate authorities.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(settings: Settings) -> std::io::Result<Self> {
        let is_encrypted = settings.url.scheme_str() == Some("https");
        let client = client(is_encrypted, settings.connect_timeout, settings.idle_timeout)?;
        Ok(Self { client, settings, metrics: None })
    }

    /// The same client, with its answers counted.
    #[must_use]
    pub fn counted(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
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
        let head = Head { method: Method::POST, path: "/chat/completions".to_owned(), headers };
        self.call(Method::POST, &head, question).await
    }

    async fn call(&self, method: Method, head: &Head, body: Bytes) -> Result<Answer, Fault> {
        let begun = Instant::now();
        let answer = self.ask(method, head, body).await;
        if let Some(metrics) = &self.metrics {
            let endpoint = self.settings.url.authority().map_or("", |authority| authority.as_str());
            // Only the host and its port: what stands before them is a name and a password.
            let endpoint = endpoint.rsplit('@').next().unwrap_or_default();
            let status = answer.as_ref().map(|answer| answer.parts.status).map_err(|fault| *fault);
            metrics.upstream_answered(endpoint, status, begun.elapsed());
        }
        answer
    }

    async fn ask(&self, method: Method, head: &Head, body: Bytes) -> Result<Answer, Fault> {
        let until = Instant::now() + self.settings.timeout;
        let request = self.request(method, head, body)?;
        let answer = tokio::time::timeout_at(until, self.client.request(request)).await;
        let answer = answer.map_err(|_| Fault::Timeout)?.map_err(|e| {
            let host = self.settings.url.host();
            tracing::warn!(error = %e, host, connect = e.is_connect(), "the upstream did not answer");
            Fault::Unreachable
        })?;
        let (parts, body) = answer.into_parts();
        usable(&parts)?;
        let answer = Answer { parts, body: Source::Flowing(body), until, bytes_left: self.settings.max_response_bytes };
        // What is compressed must be there before it can be read.
        if answer.parts.headers.contains_key(header::CONTENT_ENCODING) { answer.decoded().await } else { Ok(answer) }
    }

    fn request(&self, method: Method, head: &Head, body: Bytes) -> Result<Request<Full<Bytes>>, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = below(&self.settings.url, &head.path).ok_or(Fault::Invalid("the path cannot be sent"))?;
        *request.method_mut() = method;
        let headers = request.headers_mut();
        *headers = end_to_end(&head.headers);
        // The client's Host is ours; hyper writes the upstream's. Lengths are set from the body, which was decoded.
        for name in [header::HOST, header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::EXPECT, CONVERSATION] {
            headers.remove(name);
        }
        // An answer must be decoded to be judged: better not to compress it. Some do all the same.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.settings.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

/// An answer that has begun: its head, and a body that is still to come.
pub struct Answer {
    parts: Parts,
    body: Source,
    until: Instant,
    bytes_left: usize,
}

/// Where a body comes from.
enum Source {
    /// From the wire.
    Flowing(Incoming),
    /// It is there.
    Whole(Option<Bytes>),
}

impl Answer {
    /// Status and headers.
    #[must_use]
    pub const fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Whether this is a stream of events.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.parts.status.is_success() && is_event_stream(&self.parts.headers)
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`Fault`] when it does not come whole.
    pub async fn whole(mut self) -> Result<Response<Bytes>, Fault> {
        let mut body = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            body.extend_from_slice(&bytes);
        }
        Ok(Response::from_parts(self.parts, body.freeze()))
    }

    /// The next bytes of the body; `None` at its end. Nothing is lost when this is dropped before it is done.
    ///
    /// # Errors
    /// [`Fault`] when the body breaks off, or is too long or too slow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let body = match &mut self.body {
            Source::Flowing(body) => body,
            Source::Whole(bytes) => return Ok(bytes.take()),
        };
        loop {
            let frame = tokio::time::timeout_at(self.until, body.frame()).await.map_err(|_| Fault::Timeout)?;
            let Some(frame) = frame else { return Ok(None) };
            let Ok(bytes) = frame.map_err(|_| Fault::Unreachable)?.into_data() else { continue };
            self.bytes_left = self.bytes_left.checked_sub(bytes.len()).ok_or(Fault::Invalid(TOO_LARGE))?;
            return Ok(Some(bytes));
        }
    }

    /// The answer, read whole and decoded.
    async fn decoded(self) -> Result<Self, Fault> {
        let (until, limit) = (self.until, self.bytes_left);
        let (mut parts, body) = self.whole().await?.into_parts();
        let body = decompress(&parts.headers, body, limit).await.map_err(|fault| match fault {
            decompress::Fault::Unknown => Fault::Invalid("it is compressed in a way that cannot be read"),
            decompress::Fault::Broken => Fault::Invalid("it is not compressed as it says"),
            decompress::Fault::TooLarge => Fault::Invalid(TOO_LARGE),
        })?;
        parts.headers.remove(header::CONTENT_ENCODING);
        Ok(Self { parts, body: Source::Whole(Some(body)), until, bytes_left: limit })
    }
}

/// Whether a body with these headers is a stream of events.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The URI of a path below a base URL. It is made of parts, so that no path can reach another host.
fn below(base: &Uri, path: &str) -> Option<Uri> {
    let path = format!("{}{path}", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    path.starts_with('/').then(|| Uri::from_parts(parts).ok())?
}

/// An answer that the guard can read and a client can use.
fn usable(parts: &Parts) -> Result<(), Fault> {
    if parts.status.is_redirection() || parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Fault::Invalid("the upstream redirects; name its final address in upstream.url"));
    }
    Ok(())
}

/// Headers without those that are for one connection only (RFC 9110, section 7.6.1).
#[must_use]
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const HOP_BY_HOP: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let mut named: Vec<HeaderName> = HOP_BY_HOP.into_iter().map(HeaderName::from_static).collect();
    for value in headers.get_all(header::CONNECTION) {
        let names = value.to_str().unwrap_or_default().split(',');
        named.extend(names.filter_map(|name| name.trim().parse().ok()));
    }
    let mut kept = headers.clone();
    for name in named {
        kept.remove(name);
    }
    kept
}

/// Never used for a connection; the connector wants one.
fn plain_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_reaches_another_host() {
        let at = |base: &'static str, path: &str| below(&Uri::from_static(base), path).map(|uri| uri.to_string());
        assert_eq!(at("http://llm/v1/", "/models?a=b").unwrap(), "http://llm/v1/models?a=b");
        assert_eq!(at("http://llm:80", "/models").unwrap(), "http://llm:80/models");
        assert_eq!(at("http://llm:80", "@other/steal"), None);
        assert_eq!(at("http://llm:80", ""), None);
    }

    #[test]
    fn headers_of_one_connection_do_not_go_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("authorization", "k"),
            ("x-own", "2"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let kept = end_to_end(&headers);
        let mut names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "x-own"]);
    }
}
