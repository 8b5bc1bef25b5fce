//! What the pages of drafts have measured: it costs more than a page may take, so that it is made beside them, and kept for as long as
//! the process lives. Nothing that is signed comes from anywhere else: what the store says of a measurement, anyone could have written.

use crate::audit::decision::Decision;
use crate::audit::journal::now;
use crate::audit::label::settled;
use crate::audit::store::{Fault, Store};
use crate::digest;
use crate::guard::Guard;
use crate::policy::Policy;
use crate::policy::backtest::Backtest;
use crate::policy::curve::{Curve, Moved, Sample, curve};
use crate::policy::draft::Ground;
use crate::policy::expectation::Broken;
use crate::policy::file;
use crate::proxy::Proxy;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// So long the newest decisions are the newest.
const FRESH: Duration = Duration::from_secs(60);

/// What was measured, by what it was measured of.
pub(crate) struct Workshop {
    sample: tokio::sync::Mutex<Option<(Instant, Arc<Sample>)>>,
    curves: Mutex<LruCache<Of, Arc<Curve>>>,
    trials: Mutex<LruCache<String, Arc<Trial>>>,
    /// One trial at a time: each reads all that is on record.
    slot: Arc<Semaphore>,
    /// One curve at a time, so that nobody's slider takes all cores.
    curving: Arc<Semaphore>,
    /// One draft is read at a time.
    reading: Arc<Semaphore>,
}

/// A curve: of a policy, a rule and a threshold of it, from the decisions up to a place.
type Of = (String, String, Moved, i64);

/// A policy that is tried, and held against what is on record.
pub(crate) struct Trial {
    /// Decisions that were read so far.
    pub(crate) read: AtomicU64,
    found: Mutex<Option<Result<Arc<Found>, String>>>,
}

/// What came out.
pub(crate) struct Found {
    pub(crate) policy: Policy,
    /// The model that its tests were tried by.
    pub(crate) model: String,
    /// The tests that do not hold.
    pub(crate) broken: Vec<Broken>,
    pub(crate) backtest: Backtest,
    /// From when on, in microseconds since 1970.
    pub(crate) since: i64,
    /// When, in the same.
    pub(crate) time: i64,
    pub(crate) took: Duration,
}

impl Default for Workshop {
    fn default() -> Self {
        let many = NonZeroUsize::MIN.saturating_add(63);
        Self {
            sample: tokio::sync::Mutex::default(),
            curves: Mutex::new(LruCache::new(many)),
            trials: Mutex::new(LruCache::new(many)),
            slot: Arc::new(Semaphore::new(1)),
            curving: Arc::new(Semaphore::new(1)),
            reading: Arc::new(Semaphore::new(1)),
        }
    }
}

/// The SHA-256 of a policy's texts, as a version of it is kept.
pub(crate) fn digest_of(policy: &Policy) -> String {
    digest::sha256(serde_json::to_string(&policy.texts).unwrap_or_default().as_bytes())
}

impl Workshop {
    /// The newest decisions, as they are now or were a minute ago.
    async fn sample(&self, store: &Store, reviewers: usize) -> Result<Arc<Sample>, Fault> {
        let mut held = self.sample.lock().await;
        if let Some((read, sample)) = held.as_mut() {
            if read.elapsed() < FRESH {
                return Ok(Arc::clone(sample));
            }
            if store.tail().await?.seq == sample.seq {
                *read = Instant::now();
                return Ok(Arc::clone(sample));
            }
        }
        let sample = Arc::new(Sample::read(store, reviewers).await?);
        *held = Some((Instant::now(), Arc::clone(&sample)));
        Ok(sample)
    }

    /// The curve of a rule's threshold.
    pub(crate) async fn curve(
        &self,
        (store, reviewers): (&Store, usize),
        policy: &Policy,
        (rule, moved): (&str, Moved),
    ) -> Result<Option<Arc<Curve>>, Fault> {
        let sample = self.sample(store, reviewers).await?;
        let of = (digest_of(policy), rule.to_owned(), moved, sample.seq);
        if let Some(known) = self.curves.lock().unwrap_or_else(PoisonError::into_inner).get(&of) {
            return Ok(Some(Arc::clone(known)));
        }
        let slot = Arc::clone(&self.curving).acquire_owned().await;
        // Who asked the same just before may have had it computed.
        if let Some(known) = self.curves.lock().unwrap_or_else(PoisonError::into_inner).get(&of) {
            return Ok(Some(Arc::clone(known)));
        }
        let (policy, name) = (policy.clone(), rule.to_owned());
        // The slot is the work's, which goes on where the visitor has left.
        let work = move || {
            let found = curve(&policy, (&name, moved), &sample);
            drop(slot);
            found
        };
        let found = tokio::task::spawn_blocking(work).await;
        let Some(found) = found.ok().flatten().map(Arc::new) else { return Ok(None) };
        self.curves.lock().unwrap_or_else(PoisonError::into_inner).put(of, Arc::clone(&found));
        Ok(Some(found))
    }

    /// The policy that a draft is. Its patterns may be large, so that one is read at a time, and none where callers are answered.
    pub(crate) async fn read(
        &self,
        ground: Ground,
        (name, text): (String, String),
    ) -> Result<Policy, Vec<file::Fault>> {
        let slot = Arc::clone(&self.reading).acquire_owned().await;
        let work = move || {
            let found = ground.read(&name, &text);
            drop(slot);
            found
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Vec::new()))
    }

    /// The trial of the policy of this digest, if there was one.
    pub(crate) fn trial(&self, digest: &str) -> Option<Arc<Trial>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Begins to try a policy; says whether it could, since another one may be tried now.
    pub(crate) fn begin(
        &self,
        proxy: Arc<Proxy>,
        policy: Policy,
        (store, reviewers, since): (Store, usize, i64),
    ) -> bool {
        let Ok(slot) = Arc::clone(&self.slot).try_acquire_owned() else { return false };
        let trial = Arc::new(Trial { read: AtomicU64::new(0), found: Mutex::default() });
        self.trials.lock().unwrap_or_else(PoisonError::into_inner).put(digest_of(&policy), Arc::clone(&trial));
        tokio::spawn(async move {
            let run = Arc::clone(&trial);
            let run = async move { run.run(&proxy.guard, policy, (&store, reviewers, since)).await };
            let found = ended(run).await;
            *trial.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.map(Arc::new));
            drop(slot);
        });
        true
    }
}

/// What comes out of a trial. One that breaks off has ended, too.
async fn ended<T: Send + 'static>(run: impl Future<Output = Result<T, String>> + Send + 'static) -> Result<T, String> {
    tokio::spawn(run).await.unwrap_or_else(|_| Err("it broke off".to_owned()))
}

impl Trial {
    /// What came out, or what went wrong; nothing as long as it goes on.
    pub(crate) fn found(&self) -> Option<Result<Arc<Found>, String>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run(
        &self,
        guard: &Guard,
        policy: Policy,
        (store, reviewers, since): (&Store, usize, i64),
    ) -> Result<Found, String> {
        let start = Instant::now();
        let broken = guard.try_policy(&policy).await.map_err(|why| format!("{why:?}"))?;
        let labels = store.labels().await.map_err(|error| error.to_string())?;
        let marks = settled(&labels, reviewers);
        let mut backtest = Backtest::default();
        let each = |body: &str| {
            self.read.fetch_add(1, Ordering::Relaxed);
            if let Ok(decision) = serde_json::from_str::<Decision>(body) {
                let mark = marks.get(&(decision.event.clone(), decision.direction.clone()));
                backtest.add(&policy, &decision, mark.copied());
            }
        };
        store.bodies(since, each).await.map_err(|error| error.to_string())?;
        let (model, took, time) = (guard.model().to_owned(), start.elapsed(), now());
        Ok(Found { policy, model, broken, backtest, since, time, took })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trial_that_breaks_off_has_ended() {
        assert_eq!(ended::<()>(async { panic!("broken") }).await, Err("it broke off".to_owned()));
        assert_eq!(ended(async { Ok(1) }).await, Ok(1));
    }
}
