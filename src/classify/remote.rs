//! The graph that runs on a model server which speaks the Open Inference Protocol v2 (KServe, NVIDIA Triton, MLServer). Texts are
//! read here and scores are made here: only numbers of tokens go there, and logits come back.
//!
//! A server that fails is left alone for a while, and the graph in this process may stand in for it: [`Remote`].

mod breaker;
mod client;
mod protocol;

use super::encode::Encoder;
use super::graph::{Graph, Logits};
use super::window::Sequence;
use super::{Care, ClassifyError};
use crate::metrics::Metrics;
use breaker::{Breaker, Turn};
use bytes::Bytes;
use client::Client;
use http::{HeaderValue, Uri};
use protocol::{Form, Found, Identity};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where the server is, and how it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL, before `/v2`.
    pub url: Uri,
    /// The key, as a header.
    pub authorization: Option<HeaderValue>,
    /// The model's name there.
    pub model: String,
    /// The version of it; the server chooses where this is empty.
    pub version: String,
    /// Until a request is answered.
    pub timeout: Duration,
    /// Requests that may be under way at once.
    pub workers: usize,
    /// Sequences in one request.
    pub batch: usize,
    /// Whether the graph in this process stands in for a server that fails.
    pub has_local: bool,
    /// Failures in a row after which the server is left alone,
    pub failures: u32,
    /// for so long.
    pub pause: Duration,
}

/// Why a server gave no logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or it broke.
    Unreachable,
    /// The answer did not come in time.
    Timeout,
    /// There was less time than a request may take, and no answer in it: nobody's failure.
    Hurried,
    /// It answered with this status.
    Status(u16),
    /// What it answered cannot be used.
    Invalid(&'static str),
    /// Its model is not the one that the manifest describes.
    Mismatch(String),
    /// It failed before, and is left alone.
    Paused,
}

impl Fault {
    /// The word in metrics.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Hurried => "hurried",
            Self::Status(_) => "status",
            Self::Invalid(_) => "invalid",
            Self::Mismatch(_) => "mismatch",
            Self::Paused => "paused",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the model server cannot be reached"),
            Self::Timeout => f.write_str("the model server did not answer in time"),
            Self::Hurried => f.write_str("there was no time left to hear the model server"),
            Self::Status(status) => write!(f, "the model server answered with status {status}"),
            Self::Invalid(why) => write!(f, "what the model server answered cannot be used: {why}"),
            Self::Mismatch(why) => write!(f, "the model on the server does not fit: {why}"),
            Self::Paused => f.write_str("the model server failed before, and is left alone for a while"),
        }
    }
}

/// A model server, shared by all workers.
pub struct Remote {
    client: Client,
    /// Where its model is described, and where it is asked.
    described: String,
    asked: String,
    timeout: Duration,
    batch: usize,
    encoder: Arc<Encoder>,
    breaker: Breaker,
    known: Mutex<Known>,
    metrics: Option<Arc<Metrics>>,
}

/// What was found out about the model there.
#[derive(Default)]
struct Known {
    /// What its description says; `None` before that was read.
    found: Option<Found>,
    /// The version that the answers since then come from.
    version: Option<String>,
}

impl Remote {
    /// A server that is asked nothing yet; `metrics` counts what becomes of requests.
    ///
    /// # Errors
    /// When the system's certificates cannot be read, and the URL needs them.
    pub fn new(settings: &Settings, encoder: Arc<Encoder>, metrics: Option<Arc<Metrics>>) -> std::io::Result<Self> {
        let client = Client::new(&settings.url, settings.authorization.clone(), settings.timeout)?;
        let base = settings.url.to_string();
        let version = Some(&settings.version).filter(|version| !version.is_empty());
        let version = version.map_or_else(String::new, |version| format!("/versions/{version}"));
        let described = format!("{}/v2/models/{}{version}", base.trim_end_matches('/'), settings.model);
        Ok(Self {
            client,
            asked: format!("{described}/infer"),
            described,
            timeout: settings.timeout,
            batch: settings.batch.max(1),
            encoder,
            breaker: Breaker::new(settings.failures, settings.pause),
            known: Mutex::default(),
            metrics,
        })
    }

    /// Holds what the server says of its model against the manifest. One that cannot be asked is left alone for a while.
    ///
    /// # Errors
    /// Why it cannot be asked, or [`Fault::Mismatch`].
    pub fn check(&self) -> Result<(), Fault> {
        let checked = self.describe(Instant::now() + 2 * self.timeout);
        if checked.is_err() {
            self.breaker.open(Instant::now());
        }
        checked.map(drop)
    }

    /// What names its model in records: the manifest's hash, and that it is elsewhere where no hash proves that it is the same.
    #[must_use]
    pub fn id(&self) -> String {
        let id = self.encoder.id();
        match self.known().found.map(|found| found.identity) {
            Some(Identity::Proven) => id.to_owned(),
            Some(Identity::Unnamed) | None => format!("{id}-remote"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing can panic while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the model there is, and so how it is asked.
    fn describe(&self, until: Instant) -> Result<Form, Fault> {
        let body = self.within(until, |limit| self.client.get(&self.described, limit))?;
        let found = protocol::check(&body, self.encoder.manifest(), self.encoder.id())?;
        let mut known = self.known();
        let before = known.found.map(|before| before.identity);
        if (before, found.identity) == (Some(Identity::Proven), Identity::Unnamed) {
            return Err(Fault::Mismatch("it no longer names the hash of its graph".to_owned()));
        }
        *known = Known { found: Some(found), version: None };
        Ok(found.form)
    }

    /// The logits of each sequence, unless the server fails or is left alone.
    fn logits(&self, sequences: &[Sequence], until: Instant) -> Result<Vec<Vec<f32>>, Fault> {
        let turn = self.breaker.turn(Instant::now());
        // Apart, so that nothing is held while the server is asked.
        let known = self.known().found;
        let form = match (turn, known) {
            (Turn::Paused, _) => Err(Fault::Paused),
            (Turn::Pass, Some(found)) => Ok(found.form),
            // Who comes back may have another model, and nobody can be asked before it is known how.
            (Turn::Pass, None) | (Turn::Probe, _) => self.describe(until),
        };
        let found = form.and_then(|form| self.ask_all(sequences, until, form));
        if let Some(metrics) = &self.metrics {
            metrics.asked_remotely(found.as_ref().err());
        }
        self.note(turn, found.as_ref().err());
        found
    }

    /// Notes what came of a request that passed the breaker by `turn`.
    fn note(&self, turn: Turn, fault: Option<&Fault>) {
        let now = Instant::now();
        let has_opened = match fault {
            None => {
                if self.breaker.succeeds(turn) {
                    tracing::info!("the model server is back");
                }
                false
            }
            Some(Fault::Paused) => false,
            // The message had too little time, which says nothing of the server; but a probe must end.
            Some(Fault::Hurried) => turn == Turn::Probe && self.breaker.fails(turn, now),
            Some(Fault::Mismatch(_)) => self.breaker.open(now),
            Some(_) => self.breaker.fails(turn, now),
        };
        if let Some(fault) = fault.filter(|_| has_opened) {
            tracing::warn!(%fault, "the model server is left alone for a while");
        }
    }

    fn ask_all(&self, sequences: &[Sequence], until: Instant, form: Form) -> Result<Vec<Vec<f32>>, Fault> {
        // By length, so that little is filled up; and nothing is where no mask says so.
        let length = |place: &usize| sequences.get(*place).map(|sequence| sequence.ids.len());
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(length);
        let alike = order.chunk_by(|one, next| form.is_masked || length(one) == length(next));
        let mut found = vec![Vec::new(); sequences.len()];
        for places in alike.flat_map(|places| places.chunks(self.batch)) {
            let batch: Vec<&Sequence> = places.iter().filter_map(|place| sequences.get(*place)).collect();
            for (place, logits) in places.iter().zip(self.ask(&batch, until, form)?) {
                if let Some(slot) = found.get_mut(*place) {
                    *slot = logits;
                }
            }
        }
        Ok(found)
    }

    fn ask(&self, batch: &[&Sequence], until: Instant, form: Form) -> Result<Vec<Vec<f32>>, Fault> {
        let question = protocol::question(batch, form)?;
        let body = self.within(until, |limit| self.client.post(&self.asked, question.clone(), limit))?;
        let answer = protocol::answer(&body, batch.len(), self.encoder.manifest().labels.len())?;
        if let Some(version) = answer.version {
            let mut known = self.known();
            if *known.version.get_or_insert_with(|| version.clone()) != version {
                return Err(Fault::Mismatch("its answers come from another version than before".to_owned()));
            }
        }
        Ok(answer.logits)
    }

    /// Asks for as long as a request may take, and nobody longer than `until`. A connection that breaks may have been idle for too
    /// long: inference changes nothing, so that it is asked once more.
    fn within(&self, until: Instant, ask: impl Fn(Duration) -> Result<Bytes, Fault>) -> Result<Bytes, Fault> {
        let limit = || self.timeout.min(until.saturating_duration_since(Instant::now()));
        let (first, began) = (limit(), Instant::now());
        if first.is_zero() {
            return Err(Fault::Hurried);
        }
        let answer = match ask(first) {
            Err(Fault::Unreachable) => ask(first.saturating_sub(began.elapsed()).max(Duration::from_millis(1))),
            answer => answer,
        };
        match answer {
            Err(Fault::Timeout) if first < self.timeout => Err(Fault::Hurried),
            answer => answer,
        }
    }
}

/// A graph on a server, with one that stands in for it where the server fails.
pub struct RemoteGraph {
    remote: Arc<Remote>,
    local: Option<Arc<dyn Graph>>,
}

impl RemoteGraph {
    /// Asks `remote`, and `local` where that fails.
    #[must_use]
    pub fn new(remote: Arc<Remote>, local: Option<Arc<dyn Graph>>) -> Self {
        Self { remote, local }
    }
}

impl Graph for RemoteGraph {
    fn logits(&self, sequences: Vec<Sequence>, care: Care) -> Result<Vec<Logits>, ClassifyError> {
        // A server is always asked thoroughly. Whoever stands in for it says what it would have said: so nothing here is early,
        // there are no floors to go below, and a verdict does not depend on who was there.
        let care = Care { thorough: true, ..care };
        let (now, until) = (Instant::now(), care.until);
        // Half of what is left is for whoever stands in.
        let until_then = if self.local.is_some() { now + until.saturating_duration_since(now) / 2 } else { until };
        let (fault, local) = match (self.remote.logits(&sequences, until_then), &self.local) {
            (Ok(logits), _) => {
                return Ok(logits.into_iter().map(|values| Logits { values, early: false }).collect());
            }
            (Err(fault), None) => return Err(ClassifyError::inference(fault)),
            (Err(fault), Some(local)) => (fault, local),
        };
        let mut found = Vec::new();
        for sequence in sequences {
            if until <= Instant::now() {
                return Err(ClassifyError::inference(fault));
            }
            found.extend(local.logits(vec![sequence], care)?);
        }
        Ok(found)
    }
}
