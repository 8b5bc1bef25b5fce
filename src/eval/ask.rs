//! Asks an OpenAI-compatible endpoint: many requests at once, no faster than it allows, again where that is safe.

mod flight;
mod progress;

pub use flight::{Flight, InFlight, each};
pub use progress::Progress;

use crate::upstream::{self, Connections, Terms, Tls};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The largest answer that is read, in bytes.
const LARGEST: usize = 16 << 20;

/// The longest that is waited between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often something may be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// From one request to the next.
    pub every: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a rate such as 5/s or 300/min".to_owned();
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let count: f64 = count.trim().parse().map_err(|_| wrong())?;
        let every = Duration::try_from_secs_f64(seconds / count).map_err(|_| wrong())?;
        if every.is_zero() { Err(wrong()) } else { Ok(Self { every }) }
    }
}

/// Where is asked, and how patiently.
#[derive(Clone)]
pub struct Settings {
    /// The base URL, up to and with `/v1`.
    pub url: Uri,
    /// Sent with each request.
    pub authorization: Option<HeaderValue>,
    /// Until the whole answer is there.
    pub timeout: Duration,
    /// How often a request is tried, the first time too.
    pub tries: u32,
    /// Before the second try; twice as long before each further one.
    pub pause: Duration,
    /// How often may be asked.
    pub rate: Option<Rate>,
}

/// An endpoint.
pub struct Endpoint {
    client: Connections,
    uri: Uri,
    settings: Settings,
    limiter: Option<DefaultDirectRateLimiter>,
    /// What is on its way.
    pub flight: Flight,
}

/// What an endpoint replied.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null where it is no JSON.
    pub body: Value,
    /// Until all of it was there.
    pub took: Duration,
    /// How often it was asked.
    pub tries: u32,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// To this request.
    Lost(String),
    /// And there will be none to any other.
    Closed(String),
}

impl Endpoint {
    /// An endpoint that is asked nothing yet.
    ///
    /// # Errors
    /// When it has no usable URL, or the system's certificates cannot be read.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let uri = format!("{}/chat/completions", settings.url.to_string().trim_end_matches('/'));
        let uri = uri.parse::<Uri>().map_err(|error| error.to_string())?;
        let is_encrypted = uri.scheme_str() == Some("https");
        let terms = Terms { connect_timeout: Duration::from_secs(10), ..Terms::default() };
        let client = upstream::connections(is_encrypted, &Tls::default(), &terms);
        let limiter = settings.rate.and_then(|rate| Quota::with_period(rate.every)).map(RateLimiter::direct);
        let client = client.map_err(|error| error.to_string())?;
        Ok(Self { client, uri, settings, limiter, flight: Flight::default() })
    }

    /// Asks, and again as long as that may help.
    ///
    /// # Errors
    /// Why there is no reply that can be used.
    pub async fn ask(&self, body: &str) -> Result<Reply, Fault> {
        let mut pause = self.settings.pause;
        let mut tries = 1;
        loop {
            let (why, wait) = match self.once(body).await {
                Ok(reply) if !is_passing(reply.status) => return settled(Reply { tries, ..reply }),
                Ok(reply) => (format!("status {}", reply.status.as_u16()), retry_after(&reply.headers)),
                Err(why) => (why, None),
            };
            if tries >= self.settings.tries {
                return Err(Fault::Lost(why));
            }
            tokio::time::sleep(wait.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            (pause, tries) = (pause * 2, tries + 1);
        }
    }

    async fn once(&self, body: &str) -> Result<Reply, String> {
        if let Some(limiter) = &self.limiter {
            limiter.until_ready().await;
        }
        let mut request = Request::new(Full::from(body.to_owned()));
        (*request.method_mut(), *request.uri_mut()) = (Method::POST, self.uri.clone());
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.settings.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let (began, _in_flight) = (Instant::now(), self.flight.begin());
        let reply = async {
            let reply = self.client.request(request).await.map_err(|error| {
                if error.is_connect() { "no connection".to_owned() } else { "the connection broke".to_owned() }
            })?;
            let (parts, body) = reply.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|_| "the answer broke off, or is too large".to_owned())?;
            Ok::<_, String>((parts, body.to_bytes()))
        };
        let reply = tokio::time::timeout(self.settings.timeout, reply).await;
        let (parts, body) = reply.map_err(|_| "no answer in time".to_owned())??;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Reply { status: parts.status, headers: parts.headers, body, took: began.elapsed(), tries: 1 })
    }
}

/// Whether the next try may have another status.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
        || status.is_server_error()
}

/// A reply that no further try would change.
fn settled(reply: Reply) -> Result<Reply, Fault> {
    let said = reply.body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let why = format!("status {} {}", reply.status.as_u16(), said.chars().take(200).collect::<String>());
    match reply.status {
        status if status.is_success() => Ok(reply),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Err(Fault::Closed(why.trim().to_owned()))
        }
        StatusCode::BAD_REQUEST if is_filtered(&reply.body) => Ok(reply),
        _ => Err(Fault::Lost(why.trim().to_owned())),
    }
}

/// Whether an error says that the request was refused for its content, as Azure and a guard do.
pub(super) fn is_filtered(body: &Value) -> bool {
    body.pointer("/error/code").and_then(Value::as_str) == Some("content_filter")
}

/// For how long a server asks to be left alone.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read() {
        let every = |text: &str| text.parse::<Rate>().map(|rate| rate.every.as_millis());
        assert_eq!((every("5/s"), every("300/min"), every("0.5/s")), (Ok(200), Ok(200), Ok(2000)));
        for wrong in ["5", "0/s", "-1/s", "5/day", "x/s", "1e300/s"] {
            assert!(every(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_settled_is_not_asked_again() {
        let reply = |status: u16, body: Value| {
            let status = StatusCode::from_u16(status).unwrap();
            settled(Reply { status, headers: HeaderMap::new(), body, took: Duration::ZERO, tries: 1 }).map(drop)
        };
        let error = |code: &str| serde_json::json!({"error": {"code": code, "message": "so"}});
        assert_eq!(reply(200, Value::Null), Ok(()));
        assert_eq!(reply(400, error("content_filter")), Ok(()));
        assert_eq!(reply(400, error("context_length_exceeded")), Err(Fault::Lost("status 400 so".to_owned())));
        assert_eq!(reply(401, Value::Null), Err(Fault::Closed("status 401".to_owned())));
        let passing = [408, 429, 500, 503].map(|status| is_passing(StatusCode::from_u16(status).unwrap()));
        assert_eq!(passing, [true; 4]);
    }
}
