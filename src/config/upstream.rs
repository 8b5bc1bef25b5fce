//! The LLM servers, as the configuration names them: `[upstream]` is the only one, or says what all `[upstreams.NAME]` have
//! in common. What is a server's own (address, key, certificates) is never taken from there: a key is for whom it was made.

use super::value::{Names, Secret, Span, authorization, url};
use crate::upstream::{EndpointSettings, Health, Http2, Pattern, Terms, Tls, breaker};
use http::Uri;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The LLM servers.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// Each of them; none for the embedded demo.
    pub endpoints: Vec<EndpointSettings>,
    /// How one is asked of which nothing else is said.
    pub terms: Terms,
    /// How many are asked for one answer, at most.
    pub attempts: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawUpstream {
    url: String,
    api_key: Secret,
    ca_file: PathBuf,
    client_cert: PathBuf,
    client_key: PathBuf,
    http2: Http2,
    connect_timeout: Span,
    idle_timeout: Span,
    first_byte_timeout: Span,
    between_bytes_timeout: Span,
    timeout: Span,
    attempts: usize,
    breaker_failures: u32,
    breaker_pause: Span,
    breaker_longest: Span,
    health_path: String,
    health_interval: Span,
    health_timeout: Span,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawEndpoint {
    url: String,
    #[serde(default)]
    api_key: Secret,
    #[serde(default)]
    models: Names,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    ca_file: PathBuf,
    #[serde(default)]
    client_cert: PathBuf,
    #[serde(default)]
    client_key: PathBuf,
    http2: Option<Http2>,
    connect_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    first_byte_timeout: Option<Span>,
    between_bytes_timeout: Option<Span>,
    timeout: Option<Span>,
    health_path: Option<String>,
}

const fn one() -> u32 {
    1
}

/// The servers, where there is no fault.
pub(super) fn checked(
    raw: RawUpstream,
    endpoints: BTreeMap<String, RawEndpoint>,
    faults: &mut Vec<String>,
) -> Upstreams {
    let terms = terms(&raw, faults);
    let only = url(&raw.url, "upstream.url", faults);
    let authorization = authorization(&raw.api_key, "upstream.api_key", faults);
    let tls = tls((&raw.ca_file, &raw.client_cert, &raw.client_key), "upstream", faults);
    if only.is_some() && !endpoints.is_empty() {
        faults.push("upstream.url: there are [upstreams] too; name one or the other".to_owned());
    }
    let own = |uri| EndpointSettings { authorization, tls, ..EndpointSettings::plain("default", uri, terms.clone()) };
    let only = only.map(own).into_iter();
    let several = endpoints.into_iter().filter_map(|(name, endpoint)| endpoint.checked((&name, &raw, &terms), faults));
    let endpoints = several.collect::<Vec<_>>().into_iter().chain(only).collect();
    Upstreams { endpoints, terms, attempts: raw.attempts }
}

fn terms(raw: &RawUpstream, faults: &mut Vec<String>) -> Terms {
    if raw.attempts == 0 {
        faults.push("upstream.attempts: expected at least 1".to_owned());
    }
    for (key, span) in [
        ("connect_timeout", raw.connect_timeout),
        ("first_byte_timeout", raw.first_byte_timeout),
        ("between_bytes_timeout", raw.between_bytes_timeout),
        ("timeout", raw.timeout),
        ("breaker_pause", raw.breaker_pause),
        ("breaker_longest", raw.breaker_longest),
        ("health_interval", raw.health_interval),
        ("health_timeout", raw.health_timeout),
    ] {
        positive(&format!("upstream.{key}"), span.0, faults);
    }
    Terms {
        http2: raw.http2,
        connect_timeout: raw.connect_timeout.0,
        idle_timeout: raw.idle_timeout.0,
        first_byte_timeout: raw.first_byte_timeout.0,
        between_bytes_timeout: raw.between_bytes_timeout.0,
        timeout: raw.timeout.0,
        breaker: breaker::Terms {
            failures: raw.breaker_failures,
            pause: raw.breaker_pause.0,
            longest: raw.breaker_longest.0,
        },
        health: raw.health(&raw.health_path, "upstream", faults),
    }
}

impl RawUpstream {
    fn health(&self, path: &str, at: &str, faults: &mut Vec<String>) -> Option<Health> {
        if path.is_empty() {
            return None;
        }
        if !path.starts_with('/') || path.parse::<Uri>().is_err() {
            faults.push(format!("{at}.health_path: expected a path such as /health, found {path:?}"));
        }
        Some(Health { path: path.to_owned(), interval: self.health_interval.0, timeout: self.health_timeout.0 })
    }
}

impl RawEndpoint {
    fn checked(
        self,
        (name, all, terms): (&str, &RawUpstream, &Terms),
        faults: &mut Vec<String>,
    ) -> Option<EndpointSettings> {
        let at = format!("upstreams.{name}");
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > 32 || !name.bytes().all(is_plain) {
            faults.push(format!("{at}: names are of a-z, 0-9, - and _, at most 32 bytes"));
        }
        let uri = url(&self.url, &format!("{at}.url"), faults);
        if self.url.is_empty() {
            faults.push(format!("{at}.url: expected a URL such as http://localhost:8000/v1"));
        }
        let authorization = authorization(&self.api_key, &format!("{at}.api_key"), faults);
        let tls = tls((&self.ca_file, &self.client_cert, &self.client_key), &at, faults);
        if self.models.0.iter().any(|model| model.trim_end_matches('*').contains('*') || model.is_empty()) {
            faults.push(format!("{at}.models: expected names of models, with * at the end only"));
        }
        if self.weight == 0 {
            faults.push(format!("{at}.weight: expected at least 1; leave the upstream out instead"));
        }
        let span = |key: &str, own: Option<Span>, common, faults: &mut Vec<String>| {
            own.map_or(common, |own| {
                positive(&format!("{at}.{key}"), own.0, faults);
                own.0
            })
        };
        let terms = Terms {
            http2: self.http2.unwrap_or(terms.http2),
            connect_timeout: span("connect_timeout", self.connect_timeout, terms.connect_timeout, faults),
            idle_timeout: self.idle_timeout.map_or(terms.idle_timeout, |own| own.0),
            first_byte_timeout: span("first_byte_timeout", self.first_byte_timeout, terms.first_byte_timeout, faults),
            between_bytes_timeout: span(
                "between_bytes_timeout",
                self.between_bytes_timeout,
                terms.between_bytes_timeout,
                faults,
            ),
            timeout: span("timeout", self.timeout, terms.timeout, faults),
            breaker: terms.breaker,
            health: match &self.health_path {
                Some(path) => all.health(path, &at, faults),
                None => terms.health.clone(),
            },
        };
        let models = self.models.0.into_iter().map(Pattern).collect();
        let weight = NonZeroU32::new(self.weight).unwrap_or(NonZeroU32::MIN);
        uri.map(|uri| EndpointSettings {
            authorization,
            models,
            weight,
            tls,
            ..EndpointSettings::plain(name, uri, terms)
        })
    }
}

fn tls((ca_file, certificate, key): (&PathBuf, &PathBuf, &PathBuf), at: &str, faults: &mut Vec<String>) -> Tls {
    let named = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    let (certificate, key) = (named(certificate), named(key));
    if certificate.is_some() != key.is_some() {
        faults.push(format!("{at}: client_cert and client_key are named together"));
    }
    Tls { ca_file: named(ca_file), client: certificate.zip(key) }
}

fn positive(key: &str, span: Duration, faults: &mut Vec<String>) {
    if span.is_zero() {
        faults.push(format!("{key}: expected more than 0s"));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with_file;
    use crate::upstream::{Http2, Pattern};
    use std::time::Duration;

    #[test]
    fn one_upstream_needs_a_url_and_no_more() {
        let config = with_file("[upstream]\nurl = \"http://a/v1\"\napi_key = \"k\"\ntimeout = \"9s\"\n").unwrap();
        let [only] = &config.upstreams.endpoints[..] else { panic!("{:?}", config.upstreams) };
        assert_eq!((&*only.name, only.url.host(), only.weight.get()), ("default", Some("a"), 1));
        assert_eq!(only.authorization.as_ref().unwrap(), "Bearer k");
        assert_eq!((only.terms.timeout, only.terms.http2), (Duration::from_secs(9), Http2::Off));
        assert!(with_file("").unwrap().upstreams.endpoints.is_empty());
    }

    #[test]
    fn several_have_terms_in_common_and_their_own_keys() {
        let config = with_file(
            "[upstream]\napi_key = \"not for them\"\nhttp2 = \"auto\"\nhealth_path = \"/health\"\nconnect_timeout = \"1s\"\n\
             [upstreams.east]\nurl = \"http://east/v1\"\nmodels = [\"gpt-*\", \"o1\"]\nweight = 3\ntimeout = \"5s\"\n\
             [upstreams.west]\nurl = \"https://west/v1\"\napi_key = \"w\"\nmodels = \"a, b\"\nhttp2 = \"only\"\n\
             health_path = \"\"\nca_file = \"ca.pem\"\nclient_cert = \"c.pem\"\nclient_key = \"k.pem\"\n",
        )
        .unwrap();
        let [east, west] = &config.upstreams.endpoints[..] else { panic!("{:?}", config.upstreams) };
        assert_eq!((&*east.name, east.weight.get(), east.terms.http2), ("east", 3, Http2::Auto));
        assert_eq!(east.models, ["gpt-*", "o1"].map(|name| Pattern(name.to_owned())));
        assert!(east.authorization.is_none() && east.terms.health.is_some() && east.tls.client.is_none());
        assert_eq!(west.models, ["a", "b"].map(|name| Pattern(name.to_owned())));
        assert_eq!(
            (west.authorization.as_ref().unwrap().to_str().unwrap(), west.terms.http2),
            ("Bearer w", Http2::Only)
        );
        assert!(west.terms.health.is_none() && west.tls.ca_file.is_some() && west.tls.client.is_some());
        let seconds = |timeout: Duration| timeout.as_secs();
        assert_eq!([east, west].map(|one| seconds(one.terms.timeout)), [5, 600]);
        assert_eq!([east, west].map(|one| seconds(one.terms.connect_timeout)), [1, 1]);
    }

    #[test]
    fn every_fault_of_an_upstream_is_found_at_once() {
        let faults = with_file(
            "[upstream]\nurl = \"http://a/v1\"\nattempts = 0\ntimeout = \"0s\"\nclient_cert = \"c.pem\"\nhealth_path = \"health\"\n\
             [upstreams.East]\nurl = \"east\"\nmodels = [\"g*t\"]\nweight = 0\nconnect_timeout = \"0s\"\ncolour = 1\n\
             [upstreams.none]\nurl = \"\"\n[[routes]]\npath = \"/v1/x\"\nrule = \"pass\"\nupstream = \"south\"\n",
        )
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "upstreams.East.colour: unknown key",
                "upstream.attempts: expected at least 1",
                "upstream.timeout: expected more than 0s",
                "upstream.health_path: expected a path such as /health, found \"health\"",
                "upstream: client_cert and client_key are named together",
                "upstream.url: there are [upstreams] too; name one or the other",
                "upstreams.East: names are of a-z, 0-9, - and _, at most 32 bytes",
                "upstreams.East.url: expected a URL such as http://localhost:8000/v1",
                "upstreams.East.models: expected names of models, with * at the end only",
                "upstreams.East.weight: expected at least 1; leave the upstream out instead",
                "upstreams.East.connect_timeout: expected more than 0s",
                "upstreams.none.url: expected a URL such as http://localhost:8000/v1",
                "routes[0].upstream: there is no [upstreams.south]",
            ]
        );
    }
}
