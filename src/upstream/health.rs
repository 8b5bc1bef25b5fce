//! Looks at an endpoint every so often, whether anybody asks it or not.

use super::endpoint::{Endpoint, jitter};
use super::settings::Health;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// So many looks in a row must fail before it is not asked; one that succeeds is enough to ask it again.
const FAILURES: u32 = 2;

/// Looks for ever.
pub(super) async fn watch(endpoint: Arc<Endpoint>, health: Health) {
    let mut failures = 0;
    loop {
        failures = if is_well(&endpoint, &health).await { 0 } else { FAILURES.min(failures + 1) };
        endpoint.found(failures < FAILURES);
        // The proxies of a fleet do not look all at once.
        sleep(health.interval.mul_f64(0.9 + jitter() / 5.0)).await;
    }
}

async fn is_well(endpoint: &Endpoint, health: &Health) -> bool {
    let Some(request) = request(endpoint, &health.path) else { return false };
    let look = async {
        let answer = endpoint.connections.request(request).await.ok()?;
        let is_well = answer.status().is_success();
        // Read, so that the connection can be used again.
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.ok()?;
        }
        Some(is_well)
    };
    timeout(health.timeout, look).await.ok().flatten().unwrap_or(false)
}

fn request(endpoint: &Endpoint, path: &str) -> Option<Request<Full<Bytes>>> {
    let mut parts = endpoint.settings.url.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    let mut request = Request::new(Full::default());
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    if let Some(authorization) = &endpoint.settings.authorization {
        request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
    }
    Some(request)
}
