//! Takes a request off the wire, within its limits.

use crate::config::Limits;
use crate::decompress::{Fault, decompress};
use crate::error::ProxyError;
use crate::upstream::Head;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

/// The whole body.
///
/// # Errors
/// When it is too large, too slow, broken off, or compressed in a way that cannot be read.
pub async fn receive(request: Request<Incoming>, limits: &Limits) -> Result<Bytes, ProxyError> {
    let (parts, body) = request.into_parts();
    // What announces itself as too large need not be read first.
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(ProxyError::BodyTooLarge(limits.body_bytes));
    }
    let whole = Limited::new(body, limits.body_bytes).collect();
    let whole = tokio::time::timeout(limits.body_timeout, whole).await.map_err(|_| ProxyError::BodyTimeout)?;
    let whole = whole.map_err(|e| match e.is::<LengthLimitError>() {
        true => ProxyError::BodyTooLarge(limits.body_bytes),
        false => ProxyError::BodyBroken,
    })?;
    decompress(&parts.headers, whole.to_bytes(), limits.body_bytes).await.map_err(|fault| match fault {
        Fault::Unknown => ProxyError::Encoding,
        Fault::Broken => ProxyError::BodyBroken,
        Fault::TooLarge => ProxyError::BodyTooLarge(limits.body_bytes),
    })
}

/// What goes on to the upstream beside the body.
#[must_use]
pub fn head<B>(request: &Request<B>) -> Head {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    Head {
        method: request.method().clone(),
        // Below the base URL, which ends in /v1; a path such as /v1x is another one.
        path: path.strip_prefix("/v1").filter(|rest| rest.starts_with(['/', '?'])).unwrap_or(path).to_owned(),
        headers: request.headers().clone(),
        ..Head::default()
    }
}
