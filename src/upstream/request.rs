//! A request as it is sent: below the endpoint's URL, with the headers that are for it.

use super::settings::EndpointSettings;
use super::{CONVERSATION, Fault, Head};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;

/// What is sent to an endpoint.
///
/// # Errors
/// When the path cannot be sent.
pub(super) fn request(
    endpoint: &EndpointSettings,
    (method, head): (&Method, &Head),
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Fault> {
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = below(&endpoint.url, &head.path).ok_or(Fault::Invalid("the path cannot be sent"))?;
    *request.method_mut() = method.clone();
    let headers = request.headers_mut();
    *headers = end_to_end(&head.headers);
    // The client's Host is ours; hyper writes the upstream's. Lengths are set from the body, which was decoded.
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::EXPECT, CONVERSATION] {
        headers.remove(name);
    }
    // An answer must be decoded to be judged: better not to compress it. Some do all the same.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(authorization) = &endpoint.authorization {
        headers.insert(header::AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}

/// The URI of a path below a base URL. It is made of parts, so that no path can reach another host.
fn below(base: &Uri, path: &str) -> Option<Uri> {
    let path = format!("{}{path}", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    path.starts_with('/').then(|| Uri::from_parts(parts).ok())?
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
