//! The judge: a model behind an OpenAI-compatible API that is asked about the few texts of which a rule is not sure.
//!
//! It is given one question at a time, answers with one word, and is not waited for: beyond its deadline or its budget,
//! or where the answer is anything else, there is no opinion, and the policy says what holds then.

mod question;

pub(super) use question::Question;

use crate::classify::cache::{Key, Keys};
use crate::metrics::Metrics;
use crate::policy::opinion::Opinion;
use crate::upstream::{self, Fault, Upstream};
use http::{HeaderValue, StatusCode, Uri};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

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
    /// The judge said so.
    Said(Opinion),
    /// It was known what the judge says.
    Cached,
    /// It did not answer in time.
    Timeout,
    /// It was not asked: too much is asked in one message, or in this minute.
    Budget,
    /// What it answered is no opinion, or there was no answer.
    Answer,
    /// It was not asked: the text is too long for it, or says more behind its characters than can be shown.
    Unsent,
}

impl Outcome {
    /// The word in metrics.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Said(opinion) => opinion.id(),
            Self::Cached => "cached",
            Self::Timeout => "none_timeout",
            Self::Budget => "none_budget",
            Self::Answer => "none_answer",
            Self::Unsent => "none_unsent",
        }
    }
}

/// A client of the judge.
pub struct Judge {
    upstream: Upstream,
    model: String,
    deadline: Duration,
    budget: Mutex<Budget>,
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
        let Settings { url, authorization, model, deadline, budget, remembered } = settings;
        let upstream = Upstream::new(upstream::Settings {
            url,
            authorization,
            connect_timeout: deadline,
            // As short as for the LLM: a question that crosses the close on its way is lost.
            idle_timeout: Duration::from_secs(4),
            timeout: deadline,
            max_response_bytes: LARGEST_ANSWER,
        })?;
        let known = NonZeroUsize::new(remembered).map(|size| Mutex::new(LruCache::new(size)));
        let budget = Mutex::new(Budget::full(budget, Instant::now()));
        Ok(Self { upstream, model, deadline, budget, keys: Keys::default(), known, metrics })
    }

    /// What it says of each text; all are asked at once, under one deadline. Whoever does not wait for the answers ends the
    /// questions.
    pub(super) async fn ask(self: &Arc<Self>, questions: Vec<Question>) -> Vec<Option<Opinion>> {
        let mut opinions = vec![None; questions.len()];
        let until = Instant::now() + self.deadline;
        let mut asking = JoinSet::new();
        for (place, question) in questions.into_iter().enumerate() {
            let judge = Arc::clone(self);
            asking.spawn(async move { (place, judge.opinion(&question, until).await) });
        }
        while let Some(answered) = asking.join_next().await {
            if let Ok((place, opinion)) = answered
                && let Some(slot) = opinions.get_mut(place)
            {
                *slot = opinion;
            }
        }
        opinions
    }

    /// Counts a text on which it is not asked.
    pub(super) fn passes_over(&self, outcome: Outcome) {
        self.metrics.judged_by_another(outcome);
    }

    async fn opinion(&self, question: &Question, until: Instant) -> Option<Opinion> {
        let key = self.keys.of(question);
        let known = self.known().and_then(|mut known| known.get(&key).copied());
        let (opinion, outcome) = match known {
            Some(opinion) => (Some(opinion), Outcome::Cached),
            None => match self.consult(question, until).await {
                Ok(opinion) => (Some(opinion), Outcome::Said(opinion)),
                Err(outcome) => (None, outcome),
            },
        };
        if let (Outcome::Said(opinion), Some(mut known)) = (outcome, self.known()) {
            known.put(key, opinion);
        }
        self.metrics.judged_by_another(outcome);
        opinion
    }

    async fn consult(&self, question: &Question, until: Instant) -> Result<Opinion, Outcome> {
        if !self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return Err(Outcome::Budget);
        }
        let body = question.body(&self.model).ok_or(Outcome::Unsent)?;
        let answer = async { self.upstream.consult(body).await?.whole().await };
        let answer = timeout_at(until, answer).await.map_err(|_| Outcome::Timeout)?.map_err(|fault| match fault {
            Fault::Timeout => Outcome::Timeout,
            Fault::Unreachable | Fault::Invalid(_) => Outcome::Answer,
        })?;
        let said = Some(answer).filter(|answer| answer.status() == StatusCode::OK);
        said.and_then(|answer| question::opinion(answer.body())).ok_or(Outcome::Answer)
    }

    fn known(&self) -> Option<MutexGuard<'_, LruCache<Key, Opinion>>> {
        // Nothing can panic while it is held, so a poisoned lock holds sound opinions.
        self.known.as_ref().map(|known| known.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
