//! Values that configurations spell in a way of their own.

use crate::classify::onnx::Device;
use http::{HeaderValue, Uri};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A value that is never shown.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The value, for whoever uses it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// A duration such as `500ms`, `10s`, `2m`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|e| {
            serde::de::Error::custom(format!("expected a duration such as \"500ms\" or \"10s\", found {text:?}: {e}"))
        })
    }
}

/// A duration that is spelt as a [`Span`].
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Span::deserialize(deserializer).map(|span| span.0)
}

/// Names in a list, or in one text with commas, as the environment has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelt {
            List(Vec<String>),
            Text(String),
        }
        Ok(Self(match Spelt::deserialize(deserializer)? {
            Spelt::List(names) => names,
            Spelt::Text(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
        }))
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A base URL under `key`, which may be empty for none.
pub(super) fn url(text: &str, key: &str, faults: &mut Vec<String>) -> Option<Uri> {
    url_such_as(text, (key, "http://localhost:8000/v1"), faults)
}

/// The same, of which `example` is one.
pub(super) fn url_such_as(text: &str, (key, example): (&str, &str), faults: &mut Vec<String>) -> Option<Uri> {
    if text.is_empty() {
        return None;
    }
    let parsed = text.parse::<Uri>().ok();
    let usable = parsed.filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() && url.query().is_none()
    });
    if usable.is_none() {
        // A URL may hold a password, so it is not shown.
        faults.push(format!("{key}: expected a URL such as {example}"));
    }
    usable
}

/// The header that shows a secret under `key`, which may be empty for none.
pub(super) fn authorization(secret: &Secret, key: &str, faults: &mut Vec<String>) -> Option<HeaderValue> {
    if secret.0.is_empty() {
        return None;
    }
    let value = HeaderValue::try_from(format!("Bearer {}", secret.0)).ok();
    match value {
        Some(mut value) => {
            value.set_sensitive(true);
            Some(value)
        }
        None => {
            faults.push(format!("{key}: holds a character that no header can carry"));
            None
        }
    }
}
/// What a graph runs on.
pub(super) fn device(name: &str, faults: &mut Vec<String>) -> Device {
    Device::named(name).unwrap_or_else(|| {
        faults.push(format!("guard.device: expected cpu, cuda, or a GPU by number such as cuda:1, found {name:?}"));
        Device::Cpu
    })
}

/// Where to listen.
pub(super) fn address(text: &str, key: &str, faults: &mut Vec<String>) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        faults.push(format!("{key}: expected an address such as 127.0.0.1:8080, found {text:?}"));
    }
    parsed
}
