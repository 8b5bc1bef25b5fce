//! Everything that keeps a request from an answer, each with its status and OpenAI error body in one match.

use crate::classify::pool::Unavailable;
use crate::decompress::KNOWN;
use crate::keys::Limit;
use crate::openai::error::envelope;
use crate::openai::request::Invalid;
use crate::upstream::Fault;
use http::{HeaderName, StatusCode};
use serde_json::Value;

/// Why a request is not answered by the LLM. None of these holds text of the request.
#[derive(Debug)]
pub enum ProxyError {
    /// The body is not a request.
    Invalid(Invalid),
    /// The body is over the limit, in bytes.
    BodyTooLarge(usize),
    /// The body did not come in time.
    BodyTimeout,
    /// The client broke the body off.
    BodyBroken,
    /// The body is compressed in a way that is not known.
    Encoding,
    /// Nothing guards this endpoint.
    UnguardedEndpoint,
    /// The endpoint has no such method.
    Method,
    /// The header of the gateway names no tenant that is known, or several.
    UnknownTenant(HeaderName),
    /// The header of the gateway that must name the tenant is not there.
    NoTenant(HeaderName),
    /// No API key is shown where one must be.
    NoKey,
    /// The API key that is shown is not valid.
    UnknownKey,
    /// More is asked by an API key than may be; to be tried again after so many seconds.
    Limited(Limit, u32),
    /// More requests are in flight than `limits.in_flight`.
    Overloaded,
    /// The model cannot judge, and the policy fails closed.
    Unavailable(Unavailable),
    /// What was decided could not be stored, and nothing may be answered unrecorded.
    Unrecorded,
    /// The upstream gave no usable answer.
    Upstream(Fault),
}

/// How an error is answered.
pub struct ErrorAnswer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Value,
    /// `Retry-After`, in seconds, where trying again helps.
    pub retry_after: Option<u32>,
}

impl ProxyError {
    /// The answer to the client.
    #[must_use]
    pub fn answer(&self) -> ErrorAnswer {
        const REQUEST: &str = "invalid_request_error";
        let plain = |status, code: &str, message: &str| (status, envelope(message, REQUEST, None, code), None);
        let (status, body, retry_after) = match self {
            Self::Invalid(Invalid::Json(fault)) => plain(StatusCode::BAD_REQUEST, "invalid_json", &format!("{fault}.")),
            Self::Invalid(Invalid::Field { param, message }) => {
                let message = format!("{param}: {message}.");
                (StatusCode::BAD_REQUEST, envelope(&message, REQUEST, Some(param), "invalid_value"), None)
            }
            Self::BodyTooLarge(limit) => {
                let message = format!("The body is larger than {limit} bytes. Send less, or raise limits.body_bytes.");
                plain(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message)
            }
            Self::BodyTimeout => plain(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "The body did not arrive within limits.body_timeout.",
            ),
            Self::BodyBroken => {
                plain(StatusCode::BAD_REQUEST, "body_incomplete", "The body broke off, or is not encoded as it says.")
            }
            Self::Encoding => plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                &format!("The Content-Encoding cannot be read. Send one of {KNOWN}, or none."),
            ),
            Self::UnguardedEndpoint => plain(
                StatusCode::NOT_FOUND,
                "unguarded_endpoint",
                "This endpoint is not guarded, so it is not served. Guarded: POST /v1/chat/completions, /v1/completions, \
                 /v1/responses, /v1/embeddings. A rule in [[routes]] can guard it, or let it pass.",
            ),
            Self::Method => {
                plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This endpoint has no such method.")
            }
            Self::UnknownTenant(header) => tenant("unknown_tenant", header, "names no tenant that is known"),
            Self::NoTenant(header) => tenant("tenant_required", header, "must name the tenant"),
            Self::NoKey => key("No API key is shown. Send one as \"Authorization: Bearer nnc_…\"."),
            Self::UnknownKey => key("The API key is not valid, or is not any more."),
            Self::Limited(limit, seconds) => limited(*limit, *seconds),
            Self::Overloaded | Self::Unavailable(Unavailable::QueueFull) => {
                unavailable("overloaded", "More is asked than can be checked now. Try again in a moment.")
            }
            Self::Unavailable(Unavailable::Deadline | Unavailable::Failed(_)) => unavailable(
                "guardrail_unavailable",
                "The safety check is not available now, so nothing is passed on. Try again in a moment.",
            ),
            Self::Unrecorded => unavailable(
                "audit_unavailable",
                "The decision cannot be recorded now, so nothing is passed on. Try again in a moment.",
            ),
            Self::Upstream(fault) => upstream(*fault),
        };
        ErrorAnswer { status, body, retry_after }
    }
}

type Row = (StatusCode, Value, Option<u32>);

fn tenant(code: &str, header: &HeaderName, what: &str) -> Row {
    // The name itself is not repeated: it may be anything.
    let message = format!("The header {header} {what}: the gateway in front sets it, once, to one of guard.tenants.");
    (StatusCode::BAD_REQUEST, envelope(&message, "invalid_request_error", None, code), None)
}

fn unavailable(code: &str, message: &str) -> Row {
    (StatusCode::SERVICE_UNAVAILABLE, envelope(message, "server_error", None, code), Some(1))
}

fn key(message: &str) -> Row {
    (StatusCode::UNAUTHORIZED, envelope(message, "invalid_request_error", None, "invalid_api_key"), None)
}

fn limited(limit: Limit, seconds: u32) -> Row {
    let (message, kind) = match limit {
        Limit::Requests => ("More requests are sent by this API key than it may send in a minute.", "requests"),
        Limit::Bytes => ("More bytes are sent by this API key than it may send in a minute.", "bytes"),
        Limit::InFlight => ("More requests are sent at once by this API key than it may send.", "requests"),
    };
    (StatusCode::TOO_MANY_REQUESTS, envelope(message, kind, None, "rate_limit_exceeded"), Some(seconds))
}

fn upstream(fault: Fault) -> Row {
    let failed = |status, code: &str, message: &str| (status, envelope(message, "server_error", None, code), None);
    match fault {
        Fault::Unreachable => {
            failed(StatusCode::BAD_GATEWAY, "upstream_unreachable", "The LLM server cannot be reached.")
        }
        Fault::Timeout => failed(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The LLM server took too long."),
        Fault::Invalid(why) => failed(
            StatusCode::BAD_GATEWAY,
            "upstream_invalid_response",
            &format!("The answer of the LLM server cannot be checked, so it is withheld: {why}."),
        ),
        Fault::Unavailable(seconds) => {
            let message = "No LLM server that serves this is available now. Try again later.";
            let (status, body, _) = unavailable("upstream_unavailable", message);
            (status, body, Some(seconds))
        }
        Fault::UnknownModel => {
            let message = "No LLM server here serves the model that is asked for.";
            let body = envelope(message, "invalid_request_error", Some("model"), "model_not_found");
            (StatusCode::NOT_FOUND, body, None)
        }
    }
}

impl From<Invalid> for ProxyError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Unavailable> for ProxyError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

impl From<Fault> for ProxyError {
    fn from(fault: Fault) -> Self {
        Self::Upstream(fault)
    }
}
