//! Takes a request off the wire, within its limits.

use crate::config::Limits;
use crate::error::ProxyError;
use crate::upstream::Head;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

/// The whole body.
///
/// # Errors
/// When it is too large, too slow, compressed or broken off.
pub async fn receive(request: Request<Incoming>, limits: &Limits) -> Result<Bytes, ProxyError> {
    let encoding = request.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(ProxyError::Encoded);
    }
    let body = request.into_body();
    // What announces itself as too large need not be read first.
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(ProxyError::BodyTooLarge(limits.body_bytes));
    }
    let whole = Limited::new(body, limits.body_bytes).collect();
    let whole = tokio::time::timeout(limits.body_timeout, whole).await.map_err(|_| ProxyError::BodyTimeout)?;
    whole.map(|body| body.to_bytes()).map_err(|e| match e.is::<LengthLimitError>() {
        true => ProxyError::BodyTooLarge(limits.body_bytes),
        false => ProxyError::BodyBroken,
    })
}

/// What goes on to the upstream beside the body.
#[must_use]
pub fn head<B>(request: &Request<B>) -> Head {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    Head { path: path.strip_prefix("/v1").unwrap_or(path).to_owned(), headers: request.headers().clone() }
}

/// Whether a body with these headers is a stream of events.
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}
