//! API keys of clients: who is served, as which tenant, by which upstream, and how much.
//!
//! A key is `nnc_ID_SECRET`, with a secret of 256 bits. What is kept of it is its SHA-256: there are too many secrets to
//! try, so that a slow hash, as passwords need, would only make each request slow. The file of keys is read again when it changes.

pub mod file;
mod limits;

use crate::error::ProxyError;
use crate::policy::message::Audience;
use arc_swap::ArcSwap;
use file::Entry;
use http::{HeaderMap, HeaderName, HeaderValue, header};
pub use limits::Limit;
use limits::Limits;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use subtle::ConstantTimeEq;
use tokio::sync::OwnedSemaphorePermit;

/// What keys begin with.
pub const PREFIX: &str = "nnc_";

/// A client that sends the upstream's own key in `Authorization` shows ours by this header.
pub const HEADER: HeaderName = HeaderName::from_static("x-nonnocere-key");

/// Where keys are, and what they may name.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file.
    pub file: PathBuf,
    /// How often it is looked at; `None` for never.
    pub watch: Option<Duration>,
    /// The tenants that there are.
    pub tenants: BTreeSet<Arc<str>>,
    /// Whether each key must name one, because nothing else can.
    pub needs_tenant: bool,
    /// The upstreams that there are.
    pub upstreams: BTreeSet<Arc<str>>,
}

/// The keys that are valid.
pub struct Keys {
    /// Where they are.
    pub settings: Settings,
    table: ArcSwap<Table>,
}

#[derive(Default)]
struct Table {
    text: String,
    keys: HashMap<String, Arc<Key>>,
}

/// A valid key.
pub struct Key {
    /// Names it, to everyone.
    pub id: String,
    /// Whose requests it is for; `None` for whom the gateway names.
    pub tenant: Option<Arc<str>>,
    /// Who is served by it; `None` for whom the route names.
    pub audience: Option<Audience>,
    /// Who serves it; `None` for whom route and model name.
    pub upstream: Option<Arc<str>>,
    hash: [u8; 32],
    expires: Option<SystemTime>,
    limits: Arc<Limits>,
    entry: Entry,
}

/// A request that may be served, for as long as this lives.
pub struct Pass {
    /// By which key.
    pub key: Arc<Key>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Keys {
    /// Those of a file.
    ///
    /// # Errors
    /// Every fault that was found, each with its place.
    pub fn load(settings: Settings) -> Result<Self, Vec<String>> {
        let keys = Self { settings, table: ArcSwap::default() };
        keys.read(keys.text()?)?;
        Ok(keys)
    }

    /// Reads the file again where it has changed; what was valid stays so when it cannot be read. Gives how many keys there
    /// are.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn renew(&self) -> Option<Result<usize, Vec<String>>> {
        match self.text() {
            Ok(text) if text == self.table.load().text => None,
            text => Some(text.and_then(|text| self.read(text))),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.load().keys.len()
    }

    fn text(&self) -> Result<String, Vec<String>> {
        let file = &self.settings.file;
        std::fs::read_to_string(file).map_err(|why| vec![format!("{}: {why}", file.display())])
    }

    fn read(&self, text: String) -> Result<usize, Vec<String>> {
        let entries = file::parse(&text).and_then(|entries| file::check(&entries, &self.settings).map(|()| entries))?;
        let before = self.table.load();
        let keys =
            entries.into_iter().filter_map(|entry| Some((entry.id.clone(), Arc::new(Key::new(entry, &before)?))));
        let table = Table { keys: keys.collect(), text };
        let count = table.keys.len();
        self.table.store(Arc::new(table));
        Ok(count)
    }

    /// Lets a request in by the key that it shows. No header that holds the key is left: it is for us alone.
    ///
    /// # Errors
    /// When it shows no valid key, or more is asked by it than may be.
    pub fn admit(&self, headers: &mut HeaderMap) -> Result<Pass, ProxyError> {
        let shown = take(headers).ok_or(ProxyError::NoKey)?;
        let key = self.table.load().find(&shown, SystemTime::now()).ok_or(ProxyError::UnknownKey)?;
        let slot = key.limits.enter().map_err(limited)?;
        Ok(Pass { key, _slot: slot })
    }
}

impl Pass {
    /// Counts the bytes of a request's body.
    ///
    /// # Errors
    /// When there were too many.
    pub fn spend(&self, bytes: usize) -> Result<(), ProxyError> {
        self.key.limits.spend(bytes).map_err(limited)
    }
}

fn limited((limit, wait): (Limit, Duration)) -> ProxyError {
    // Rounded up: who comes too early is sent away again.
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).clamp(1, 60);
    ProxyError::Limited(limit, u32::try_from(seconds).unwrap_or(60))
}

impl Table {
    /// The key that is shown, where it is valid. How long that takes says nothing of the hash.
    fn find(&self, shown: &str, now: SystemTime) -> Option<Arc<Key>> {
        let (id, _) = shown.strip_prefix(PREFIX)?.split_once('_')?;
        let key = self.keys.get(id);
        let stored = key.map_or([0; 32], |key| key.hash);
        let is_it = bool::from(hash(shown).ct_eq(&stored));
        key.filter(|key| is_it && key.expires.is_none_or(|expires| now < expires)).cloned()
    }
}

impl Key {
    fn new(entry: Entry, before: &Table) -> Option<Self> {
        // Who has used their minute up has used it up, whatever else is changed in the file.
        let same = before.keys.get(&entry.id).filter(|before| before.entry.limits() == entry.limits());
        let limits = same.map_or_else(|| Arc::new(Limits::new(entry.limits())), |before| Arc::clone(&before.limits));
        Some(Self {
            id: entry.id.clone(),
            tenant: entry.tenant.as_deref().map(Arc::from),
            audience: entry.audience.as_deref().and_then(Audience::named),
            upstream: entry.upstream.as_deref().map(Arc::from),
            hash: entry.hash()?,
            expires: entry.expires()?,
            limits,
            entry,
        })
    }
}

/// What is kept of a key.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The key that is shown, taken out of all headers that hold it.
fn take(headers: &mut HeaderMap) -> Option<String> {
    let own = headers.get(&HEADER).and_then(|value| value.to_str().ok()).map(|value| value.trim().to_owned());
    let shown = own.or_else(|| bearer(headers.get(header::AUTHORIZATION)?).map(str::to_owned));
    headers.remove(&HEADER);
    let shown = shown.filter(|shown| shown.starts_with(PREFIX))?;
    let holds = |value: &HeaderValue| value.as_bytes().windows(shown.len()).any(|part| part == shown.as_bytes());
    let holding: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| holds(value)).map(|(name, _)| name.clone()).collect();
    for name in holding {
        headers.remove(name);
    }
    // Nor another of ours.
    if headers.get(header::AUTHORIZATION).and_then(bearer).is_some_and(|token| token.starts_with(PREFIX)) {
        headers.remove(header::AUTHORIZATION);
    }
    Some(shown)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(named: &[(&'static str, String)]) -> HeaderMap {
        named.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_key_is_taken_out_wherever_it_stands() {
        let key = "nnc_a_b".to_owned();
        for (shown, left) in [
            (vec![("authorization", format!("bearer {key}"))], vec![]),
            (vec![("authorization", format!("Bearer {key}")), ("api-key", key.clone()), ("a", "b".into())], vec!["a"]),
            (vec![("x-nonnocere-key", key.clone()), ("authorization", "Bearer sk-1".into())], vec!["authorization"]),
            (vec![("x-nonnocere-key", key.clone()), ("authorization", "Bearer nnc_other_x".into())], vec![]),
        ] {
            let mut headers = headers(&shown);
            assert_eq!(take(&mut headers), Some(key.clone()));
            assert_eq!(headers.keys().collect::<Vec<_>>(), left);
        }
        for none in ["Bearer sk-1", "Basic nnc_a_b", "nnc_a_b", "Bearer", ""] {
            assert_eq!(take(&mut headers(&[("authorization", none.to_owned())])), None, "{none}");
        }
        // What our header says is ours, be it no key.
        let mut both = headers(&[("x-nonnocere-key", "sk-1".into()), ("authorization", "Bearer nnc_a_b".into())]);
        assert_eq!(take(&mut both), None);
    }

    #[test]
    fn a_key_is_found_by_all_of_it_and_until_it_expires() {
        let now = SystemTime::now();
        let of = |key: &str, expires: Option<SystemTime>| {
            let entry = Entry {
                expires: expires.map(|at| humantime::format_rfc3339_seconds(at).to_string()),
                ..Entry::of(key).unwrap()
            };
            let key = Key::new(entry, &Table::default()).unwrap();
            Table { text: String::new(), keys: [(key.id.clone(), Arc::new(key))].into() }
        };
        let table = of("nnc_a_secret", None);
        assert_eq!(table.find("nnc_a_secret", now).map(|key| key.id.clone()).as_deref(), Some("a"));
        for wrong in ["nnc_a_secre", "nnc_a_secret ", "nnc_b_secret", "nnc_a", "sk_a_secret", "nnc_a_", "NNC_a_secret"]
        {
            assert!(table.find(wrong, now).is_none(), "{wrong}");
        }
        let hour = Duration::from_secs(3600);
        assert!(of("nnc_a_secret", Some(now + hour)).find("nnc_a_secret", now).is_some());
        assert!(of("nnc_a_secret", Some(now - hour)).find("nnc_a_secret", now).is_none());
    }
}
