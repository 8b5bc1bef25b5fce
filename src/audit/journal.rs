//! Takes decisions off the request's path and into the store, in batches. What the store does not take goes to the spool,
//! and from there into the store when it is back.

use super::chain::{Checkpoint, Reason, Tail};
use super::decision::Decision;
use super::key::{Public, Signing};
use super::pseudonym::Pseudonyms;
use super::spool::{Spool, Taken};
use super::store::{Fault, Store};
use super::vault::Vault;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Decisions of one transaction.
const BATCH: usize = 1000;

/// Sealed texts of one transaction, in bytes, unless one alone is larger.
const BATCH_BYTES: usize = 8 << 20;

/// How long a store that failed is left alone, and how long it may take.
const PATIENCE: Duration = Duration::from_secs(1);
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// How decisions are kept.
pub struct Settings {
    /// Where.
    pub store: Store,
    /// What signs.
    pub key: Signing,
    /// Where they wait while the store is gone.
    pub spool: Spool,
    /// Whether a request is refused whose decisions cannot be stored.
    pub required: bool,
    /// Decisions that may wait.
    pub queue: usize,
    /// How often the end of the chain is signed, if it moved.
    pub sign_every: Duration,
    /// What seals texts, where they are kept.
    pub vault: Option<Vault>,
    /// Whose signatures count beside that of `key`.
    pub trust: Vec<Public>,
}

/// Hands decisions on; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    spool: Spool,
    required: bool,
    vault: Option<Vault>,
    pseudonyms: Pseudonyms,
    metrics: Arc<Metrics>,
}

struct Job {
    decisions: Vec<Decision>,
    /// Who waits until they are stored.
    stored: Option<oneshot::Sender<bool>>,
}

impl Journal {
    /// Starts to keep decisions; the task ends when all [`Journal`]s are gone, and everything is stored or spooled then.
    #[must_use]
    pub fn start(settings: Settings, metrics: Arc<Metrics>) -> (Self, JoinHandle<()>) {
        let Settings { store, key, spool, required, queue, sign_every, vault, trust } = settings;
        let (jobs, waiting) = mpsc::channel(queue);
        let pseudonyms = Pseudonyms::new(&key);
        let shared = Arc::new(Shared { spool, required, vault, pseudonyms, metrics });
        let writer = Writer {
            store,
            key,
            trust,
            shared: Arc::clone(&shared),
            sign_every,
            moved: None,
            signed: None,
            is_failing: false,
            fails_until: None,
        };
        (Self { jobs, shared }, tokio::spawn(writer.run(waiting)))
    }

    /// Whether a request is refused whose decisions cannot be stored.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.shared.required
    }

    /// Requests whose decisions wait in memory.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// What seals the texts of decisions, where they are kept.
    #[must_use]
    pub fn vault(&self) -> Option<&Vault> {
        self.shared.vault.as_ref()
    }

    /// By what name a user of a tenant is kept.
    #[must_use]
    pub fn pseudonym(&self, tenant: Option<&str>, id: &str) -> String {
        self.shared.pseudonyms.of(tenant, id)
    }

    /// Keeps decisions, whether or not anyone waits for it.
    pub fn put(&self, decisions: Vec<Decision>) {
        if decisions.is_empty() {
            return;
        }
        if let Err(refused) = self.jobs.try_send(Job { decisions, stored: None }) {
            // The queue is full, or the writer gone.
            self.shared.spool(&refused.into_inner().decisions);
        }
    }

    /// Keeps decisions, and waits until they are stored; `false` when they are not, and then they are spooled.
    pub async fn store(&self, decisions: Vec<Decision>) -> bool {
        let (stored, answer) = oneshot::channel();
        // Without waiting for a place: whoever waits may be gone before there is one, and the decisions with them.
        match self.jobs.try_send(Job { decisions, stored: Some(stored) }) {
            Ok(()) => answer.await.unwrap_or(false),
            Err(refused) => {
                self.shared.spool(&refused.into_inner().decisions);
                false
            }
        }
    }
}

impl Shared {
    /// Decisions that the store does not take.
    fn spool(&self, decisions: &[Decision]) {
        match self.spool.keep(decisions) {
            Ok(()) => self.metrics.spooled(decisions.len()),
            Err(error) => {
                self.metrics.lost(decisions.len());
                tracing::error!(%error, decisions = decisions.len(), "decisions could be neither stored nor spooled");
            }
        }
        self.metrics.spool_bytes(self.spool.bytes());
    }
}

struct Writer {
    store: Store,
    key: Signing,
    trust: Vec<Public>,
    shared: Arc<Shared>,
    sign_every: Duration,
    /// The end of the chain, where it moved since it was signed, and since when.
    moved: Option<(Tail, Instant)>,
    /// What was signed last.
    signed: Option<Tail>,
    /// Whether the store failed, and when what was spooled is tried again.
    is_failing: bool,
    fails_until: Option<Instant>,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        self.drain().await;
        let mut jobs = Vec::new();
        loop {
            let sign_at = self.moved.as_ref().map(|(_, since)| *since + self.sign_every);
            let retry_at = self.fails_until;
            tokio::select! {
                count = waiting.recv_many(&mut jobs, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.write(std::mem::take(&mut jobs)).await;
                }
                () = at(sign_at) => self.sign().await,
                () = at(retry_at) => {
                    (self.fails_until, self.is_failing) = (None, false);
                    self.drain().await;
                }
            }
        }
        self.drain().await;
        self.sign().await;
        self.store.close().await;
    }

    async fn write(&mut self, jobs: Vec<Job>) {
        let (mut decisions, mut waiting) = (Vec::new(), Vec::new());
        for job in jobs {
            decisions.extend(job.decisions);
            waiting.extend(job.stored);
        }
        let mut stored = !self.is_failing;
        for some in parts(&decisions) {
            stored = stored && self.append(some).await;
            if !stored {
                self.shared.spool(some);
            }
        }
        for one in waiting {
            // Whoever waited may have left.
            one.send(stored).ok();
        }
    }

    async fn append(&mut self, decisions: &[Decision]) -> bool {
        let appended = tokio::time::timeout(STORE_TIMEOUT, self.store.append(decisions)).await;
        let appended = appended.unwrap_or_else(|_| Err(Fault::PoolTimedOut));
        match appended {
            Ok(tail) => {
                self.shared.metrics.stored(decisions.len(), age(decisions));
                // What was spooled while the queue was full is stored soon.
                if self.shared.spool.bytes() > 0 {
                    self.fails_until = Some(Instant::now() + PATIENCE);
                }
                let since = self.moved.take().map_or_else(Instant::now, |(_, since)| since);
                self.moved = Some((tail, since));
                true
            }
            Err(error) => {
                self.shared.metrics.store_failed();
                tracing::error!(%error, "the audit store takes no decisions; they are spooled");
                self.is_failing = true;
                self.fails_until = Some(Instant::now() + PATIENCE);
                false
            }
        }
    }

    /// Stores what was spooled, before anything newer.
    async fn drain(&mut self) {
        loop {
            let mut taken = match self.shared.spool.take() {
                Ok(Some(taken)) => taken,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the audit spool cannot be read");
                    break;
                }
            };
            if !self.store_all(&mut taken).await {
                break;
            }
            if taken.broken > 0 {
                tracing::error!(lines = taken.broken, "lines of the audit spool were cut off and are left out");
            }
            if let Err(error) = taken.done() {
                tracing::error!(%error, "the audit spool cannot be emptied");
                break;
            }
        }
        self.shared.metrics.spool_bytes(self.shared.spool.bytes());
    }

    /// Stores what was taken out of the spool, some at a time; what an earlier try has stored already is left out.
    async fn store_all(&mut self, taken: &mut Taken) -> bool {
        loop {
            let some = match taken.next(BATCH) {
                Ok(some) if some.is_empty() => return true,
                Ok(some) => some,
                Err(error) => {
                    tracing::error!(%error, "the audit spool cannot be read");
                    return false;
                }
            };
            // An earlier try, or a store that seemed to fail, may have stored some of them.
            let some = match self.store.without_stored(some).await {
                Ok(new) => new,
                Err(error) => {
                    tracing::error!(%error, "the audit store cannot be read");
                    (self.is_failing, self.fails_until) = (true, Some(Instant::now() + PATIENCE));
                    return false;
                }
            };
            for some in parts(&some) {
                if !self.append(some).await {
                    return false;
                }
            }
        }
    }

    /// Whether what was signed last is still there, or was pruned by whoever has the key.
    async fn still_holds(&self) -> Result<bool, Fault> {
        let Some(signed) = &self.signed else { return Ok(true) };
        if let Some(hash) = self.store.hash_at(signed.seq).await? {
            return Ok(hash == signed.hash);
        }
        let is_known = |one: &Checkpoint| one.is_by(&self.key.public()) || self.trust.iter().any(|key| one.is_by(key));
        let pruned = |one: &Checkpoint| one.reason == Reason::Pruned && one.seq >= signed.seq && is_known(one);
        Ok(self.store.checkpoints().await?.iter().any(pruned))
    }

    async fn sign(&mut self) {
        let Some((tail, _)) = self.moved.take() else { return };
        // What was signed before must stand there still, or have been pruned: nobody else's chain is signed.
        match self.still_holds().await {
            Ok(true) => {}
            Ok(false) => {
                let seq = self.signed.as_ref().map(|signed| signed.seq);
                tracing::error!(seq, "what was signed is not in the audit store any more; nothing more is signed");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "the audit store cannot be read, so nothing is signed now");
                self.moved = Some((tail, Instant::now()));
                return;
            }
        }
        let checkpoint = Checkpoint::sign(&tail, Reason::Regular, now(), &self.key);
        match self.store.checkpoint(&checkpoint).await {
            // Kept elsewhere too, it shows a chain that was cut short.
            Ok(()) => {
                tracing::info!(seq = tail.seq, hash = tail.hash, signature = checkpoint.signature, "audit signed");
                self.signed = Some(tail);
            }
            Err(error) => {
                tracing::error!(%error, "the audit store takes no signature");
                self.moved = Some((tail, Instant::now()));
            }
        }
    }
}

/// Decisions in parts that a store takes in its time, texts and all.
fn parts(decisions: &[Decision]) -> impl Iterator<Item = &[Decision]> {
    let bytes = |decision: &Decision| decision.sealed.as_ref().map_or(0, |sealed| sealed.text.len());
    let mut rest = decisions;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fit = rest.iter().take_while(|decision| {
            sum += bytes(decision);
            sum <= BATCH_BYTES
        });
        let (part, left) = rest.split_at_checked(fit.count().max(1))?;
        rest = left;
        Some(part)
    })
}

/// How old the oldest of some decisions is.
fn age(decisions: &[Decision]) -> Duration {
    let oldest = decisions.iter().map(|decision| decision.time).min().unwrap_or_else(now);
    Duration::from_micros(u64::try_from(now().saturating_sub(oldest)).unwrap_or_default())
}

/// Microseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let time = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
