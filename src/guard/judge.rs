//! The judge: a model behind an OpenAI-compatible API that is asked about the few texts of which a rule is not sure.
//!
//! It is given one question at a time, answers with one word, and is not waited for: beyond its deadline or its budget,
//! or where the answer is anything else, there is no opinion, and the policy says what holds then.

mod answer;
mod flight;
mod health;
mod question;

pub(super) use question::Question;

use crate::classify::cache::{Key, Keys};
use crate::metrics::Metrics;
use crate::policy::opinion::{Opinion, Silence};
use crate::upstream::{self, EndpointSettings, Fault, Upstream};
use bytes::Bytes;
use flight::{Flights, Turn};
use health::Health;
use http::{HeaderValue, Response, StatusCode, Uri};
use lru::LruCache;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// So many texts of one message are asked about, beside those on which the opinion is remembered.
const MOST: usize = 4;

/// An answer of one word needs no more, in bytes; reasoning beside it may be longer.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Where the judge is, and what it may cost.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL, up to and with `/v1`.
    pub url: Uri,
    /// The key, as a header.
    pub authorization: Option<HeaderValue>,
    /// The model's name.
    pub model: String,
    /// The tokens that an answer may have: one word, and what a model thinks before it.
    pub max_tokens: u32,
    /// Until all opinions on one message are there.
    pub deadline: Duration,
    /// How many questions a minute.
    pub budget: u32,
    /// How many opinions are remembered.
    pub remembered: usize,
}

/// What became of an uncertain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This is what the judge says of it, or why it says nothing.
    Found(Opinion),
    /// It was known what the judge says, or somebody was asking that already.
    Cached,
}

impl Outcome {
    /// The word in metrics.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Found(opinion) => opinion.id(),
            Self::Cached => "cached",
        }
    }
}

/// A client of the judge.
pub struct Judge {
    upstream: Upstream,
    model: String,
    max_tokens: u32,
    deadline: Duration,
    budget: Mutex<Budget>,
    health: Mutex<Health>,
    flights: Flights,
    keys: Keys,
    known: Option<Mutex<LruCache<Key, Opinion>>>,
    metrics: Arc<Metrics>,
}

impl Judge {
    /// A judge that is asked nothing yet.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let Settings { url, authorization, model, max_tokens, deadline, budget, remembered } = settings;
        let terms = upstream::Terms {
            connect_timeout: deadline,
            first_byte_timeout: deadline,
            between_bytes_timeout: deadline,
            timeout: deadline,
            // It is left alone by rules of its own.
            breaker: upstream::breaker::Terms { failures: 0, ..upstream::Terms::default().breaker },
            ..upstream::Terms::default()
        };
        let endpoint = EndpointSettings { authorization, ..EndpointSettings::plain("judge", url, terms) };
        let settings =
            upstream::Settings { endpoints: vec![endpoint], attempts: 1, max_response_bytes: LARGEST_ANSWER };
        let upstream = Upstream::new(settings, None)?;
        let known = NonZeroUsize::new(remembered).map(|size| Mutex::new(LruCache::new(size)));
        let budget = Mutex::new(Budget::full(budget, Instant::now()));
        let (health, flights, keys) = (Mutex::default(), Flights::default(), Keys::default());
        Ok(Self { upstream, model, max_tokens, deadline, budget, health, flights, keys, known, metrics })
    }

    /// What it says of each text; all are asked at once, under one deadline, and the same one only once. Of more than
    /// [`MOST`] on which nothing is remembered, the last are [unsent](Opinion::Unsent). Whoever does not wait for the answers
    /// ends the questions.
    pub(super) async fn ask(self: &Arc<Self>, questions: Vec<Question>) -> Vec<Opinion> {
        let keys: Vec<Key> = questions.iter().map(|question| self.keys.of(&question.stable())).collect();
        let message = Arc::new(Message { until: Instant::now() + self.deadline, was_slow: AtomicBool::new(false) });
        let (mut said, mut again) = (HashMap::new(), Vec::new());
        let mut asking = JoinSet::new();
        for (key, question) in keys.iter().copied().zip(questions) {
            let Entry::Vacant(place) = said.entry(key) else {
                again.push(key);
                continue;
            };
            if let Some(opinion) = self.remembered(key) {
                place.insert(opinion);
                self.metrics.judged_by_another(Outcome::Cached);
            } else if asking.len() < MOST {
                place.insert(Opinion::Silent(Silence::Answer));
                let (judge, message) = (Arc::clone(self), Arc::clone(&message));
                asking.spawn(async move { (key, judge.opinion((key, &question), &message).await) });
            } else {
                place.insert(Opinion::Unsent);
                self.passes_over(1);
            }
        }
        while let Some(answered) = asking.join_next().await {
            said.extend(answered.ok());
        }
        let opinion = |key: &Key| said.get(key).copied().unwrap_or(Opinion::Unsent);
        for found in again.iter().map(opinion) {
            let is_known = matches!(found, Opinion::Violates | Opinion::Harmless);
            self.metrics.judged_by_another(if is_known { Outcome::Cached } else { Outcome::Found(found) });
        }
        keys.iter().map(opinion).collect()
    }

    /// Counts texts that are kept from it.
    pub(super) fn passes_over(&self, count: usize) {
        (0..count).for_each(|_| self.metrics.judged_by_another(Outcome::Found(Opinion::Unsent)));
    }

    /// What it says of a text; where somebody is asking that already, what they hear.
    async fn opinion(&self, (key, question): (Key, &Question), message: &Message) -> Opinion {
        loop {
            let (opinion, outcome) = match self.flights.board(key) {
                // Somebody may have heard since this was looked for.
                Turn::Ask(flight) => match self.remembered(key) {
                    Some(opinion) => (flight.land(opinion), Outcome::Cached),
                    None => {
                        let opinion = self.consult(question, message).await.unwrap_or_else(Opinion::Silent);
                        self.remember(key, opinion);
                        (flight.land(opinion), Outcome::Found(opinion))
                    }
                },
                Turn::Wait(answer) => match flight::overheard(answer, message.until).await {
                    Some(opinion @ Opinion::Silent(_)) => (opinion, Outcome::Found(opinion)),
                    Some(opinion) => (opinion, Outcome::Cached),
                    // Whoever asked has left.
                    None => continue,
                },
            };
            self.metrics.judged_by_another(outcome);
            return opinion;
        }
    }

    async fn consult(&self, question: &Question, message: &Message) -> Result<Opinion, Silence> {
        if self.health().is_paused(Instant::now()) {
            return Err(Silence::Paused);
        }
        if !self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return Err(Silence::Budget);
        }
        let body = question.body(&self.model, self.max_tokens).ok_or(Silence::Answer)?;
        let began = Instant::now();
        let answer = async { self.upstream.consult(body).await?.whole().await };
        let answer = timeout_at(message.until, answer).await.unwrap_or(Err(Fault::Timeout));
        if matches!(answer, Err(Fault::Timeout)) {
            // Texts can be slow: a caller could make many at once, or ask when little time is left.
            let had_time = message.until.saturating_duration_since(began) >= self.deadline.mul_f32(0.9);
            if had_time && !message.was_slow.swap(true, Ordering::Relaxed) {
                self.health().fails(Instant::now());
            }
        }
        self.heard(answer)
    }

    /// Reads an answer, and notes how the judge is.
    fn heard(&self, answer: Result<Response<Bytes>, Fault>) -> Result<Opinion, Silence> {
        let now = Instant::now();
        match &answer {
            Ok(answer) if health::is_alive(answer.status()) => self.health().lives(),
            Err(Fault::Invalid(_)) => self.health().lives(),
            Ok(_) | Err(Fault::Unreachable | Fault::Unavailable(_) | Fault::UnknownModel) => self.health().fails(now),
            // One of a message counts, which is known to who asks.
            Err(Fault::Timeout) => {}
        }
        let answer = answer.map_err(|fault| match fault {
            Fault::Timeout => Silence::Timeout,
            _ => Silence::Answer,
        })?;
        let status = answer.status();
        let opinion = if status == StatusCode::OK { answer::opinion(answer.body()) } else { None };
        if opinion.is_none() && self.health().may_complain(now) {
            tracing::warn!(status = status.as_u16(), "the judge answered, and that is no opinion");
        }
        opinion.ok_or(Silence::Answer)
    }

    fn remembered(&self, key: Key) -> Option<Opinion> {
        self.known().and_then(|mut known| known.get(&key).copied())
    }

    fn remember(&self, key: Key, opinion: Opinion) {
        if let (Opinion::Violates | Opinion::Harmless, Some(mut known)) = (opinion, self.known()) {
            known.put(key, opinion);
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<MutexGuard<'_, LruCache<Key, Opinion>>> {
        // Nothing can panic while it is held, so a poisoned lock holds sound opinions.
        self.known.as_ref().map(|known| known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The message of which texts are asked about.
struct Message {
    until: Instant,
    /// Whether a text of it has cost its whole deadline.
    was_slow: AtomicBool,
}

/// How many questions may be asked now: a minute's worth at the most, and it fills up evenly.
struct Budget {
    a_minute: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    fn full(a_minute: u32, at: Instant) -> Self {
        let a_minute = f64::from(a_minute);
        Self { a_minute, left: a_minute, at }
    }

    /// Whether one more may be asked.
    fn take(&mut self, now: Instant) -> bool {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        self.left = self.a_minute.min(self.left + minutes * self.a_minute);
        self.at = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_fills_up_evenly() {
        let start = Instant::now();
        let mut budget = Budget::full(2, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let asked = [0, 0, 0, 29, 31, 31, 600, 600, 600].map(|seconds| budget.take(at(seconds)));
        assert_eq!(asked, [true, true, false, false, true, false, true, true, false]);
    }
}
