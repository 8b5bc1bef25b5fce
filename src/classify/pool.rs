//! The bridge from async code to the classifiers: one bounded queue, one thread a classifier.

use super::cache::{Cache, Key};
use super::reading::{self, Judged};
use super::{Care, Classifier, ClassifyError, Floors, Input};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Worker threads behind a bounded queue.
pub struct Pool {
    jobs: mpsc::Sender<Job>,
    queue: usize,
    deadline: Duration,
    model: String,
    floors: Option<Floors>,
    cache: Cache,
    counts: Counts,
    load: Arc<Load>,
    /// What is new is refused at once where it would wait longer.
    patience: Duration,
}

/// How much the workers have to do. Texts are counted by their bytes: a long one takes as long as many short ones.
#[derive(Default)]
struct Load {
    workers: u64,
    /// What waits, or is being judged, in bytes.
    bytes: AtomicU64,
    /// What a byte took lately, in nanoseconds.
    each: AtomicU64,
}

impl Load {
    /// How long a text would wait that comes now.
    fn wait(&self) -> Duration {
        let [bytes, each] = [&self.bytes, &self.each].map(|of| of.load(Ordering::Relaxed));
        Duration::from_nanos(bytes.saturating_mul(each) / self.workers.max(1))
    }

    /// Notes that a job of so many bytes is done, and how long it took where it was judged whole.
    fn done(&self, bytes: u64, took: Option<Duration>) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(took) = took {
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / bytes.max(1);
            // Two workers at once may lose one of their words.
            let before = self.each.load(Ordering::Relaxed);
            let now = if before == 0 { took } else { before.saturating_mul(15).saturating_add(took) / 16 };
            self.each.store(now, Ordering::Relaxed);
        }
    }
}

/// What was asked of a pool so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Jobs that were given to the workers.
    pub jobs: u64,
    /// Texts in them.
    pub texts: u64,
    /// Texts on which the verdict was remembered.
    pub hits: u64,
    /// Texts on which it was not.
    pub misses: u64,
}

#[derive(Default)]
struct Counts {
    jobs: AtomicU64,
    texts: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// For whom texts are judged, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking<'a> {
    /// Whose request it is: what was judged for one is not looked up for another, who could tell by the time it takes.
    pub tenant: Option<&'a str>,
    /// Whether all of the model must be asked ([`Care::thorough`]).
    pub thorough: bool,
    /// Whether it goes on with what was let in already, whose answer an LLM was paid for: it is not refused for the time that it
    /// would wait.
    pub goes_on: bool,
}

struct Job {
    inputs: Vec<Input>,
    care: Care,
    bytes: u64,
    reply: oneshot::Sender<Result<Vec<Judged>, Unavailable>>,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The queue is full, or what waits in it takes too long: more is asked than the workers can judge.
    QueueFull,
    /// The verdict did not come within the deadline.
    Deadline,
    /// The model failed, or there is none.
    Failed(String),
}

impl Pool {
    /// Starts a worker for each classifier. `queue` bounds the jobs that wait, `deadline` each job, and `cache` knows what
    /// was judged before.
    ///
    /// # Errors
    /// When there is no classifier, or a thread cannot be started.
    pub fn start(
        classifiers: Vec<Arc<dyn Classifier>>,
        queue: usize,
        deadline: Duration,
        cache: Cache,
    ) -> Result<Self, ClassifyError> {
        let no_worker = || ClassifyError::Inference("no classifier was given to the pool".to_owned());
        let first = classifiers.first().ok_or_else(no_worker)?;
        let (model, floors) = (first.id().to_owned(), first.floors());
        let (jobs, waiting) = mpsc::channel(queue);
        let waiting = Arc::new(Mutex::new(waiting));
        let load = Arc::new(Load { workers: classifiers.len() as u64, ..Load::default() });
        for classifier in classifiers {
            let (waiting, load) = (Arc::clone(&waiting), Arc::clone(&load));
            let thread = std::thread::Builder::new().name("classifier".to_owned());
            thread
                .spawn(move || work(&*classifier, &waiting, &load))
                .map_err(|e| ClassifyError::Inference(format!("a worker thread: {e}")))?;
        }
        let (counts, patience) = (Counts::default(), Duration::MAX);
        Ok(Self { jobs, queue, deadline, model, floors, cache, counts, load, patience })
    }

    /// The same, which refuses what is new at once where it would wait longer than this. Without it, more than can be judged would make
    /// everybody wait until nobody is answered in time.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Judges `inputs`, in their order.
    ///
    /// # Errors
    /// [`Unavailable`]: at once when the queue is full, and after the deadline at the latest.
    pub async fn judge(&self, asking: Asking<'_>, inputs: Vec<Input>) -> Result<Vec<Judged>, Unavailable> {
        let known = self.cache.look_up(asking, &inputs);
        let is_new = |found: &(Key, Option<Judged>)| found.1.is_none();
        let inputs: Vec<Input> =
            inputs.into_iter().zip(&known).filter(|(_, found)| is_new(found)).map(|(input, _)| input).collect();
        self.counts.misses.fetch_add(inputs.len() as u64, Ordering::Relaxed);
        self.counts.hits.fetch_add((known.len() - inputs.len()) as u64, Ordering::Relaxed);
        let judged = if inputs.is_empty() { Vec::new() } else { self.judge_new(inputs, asking).await? };
        let keys = known.iter().filter(|found| is_new(found)).map(|(key, _)| *key);
        self.cache.keep(keys.zip(judged.iter().cloned()));
        let mut judged = judged.into_iter();
        let lost = || Unavailable::Failed("the worker left an input out".to_owned());
        known.into_iter().map(|(_, found)| found.or_else(|| judged.next()).ok_or_else(lost)).collect()
    }

    /// Judges `inputs` that nobody will ask for again: they take no place among what is remembered, and all of the model is asked.
    ///
    /// # Errors
    /// As [`Pool::judge`].
    pub async fn judge_once(&self, inputs: Vec<Input>) -> Result<Vec<Judged>, Unavailable> {
        self.judge_new(inputs, Asking { thorough: true, ..Asking::default() }).await
    }

    async fn judge_new(&self, inputs: Vec<Input>, asking: Asking<'_>) -> Result<Vec<Judged>, Unavailable> {
        if !asking.goes_on && self.load.wait() > self.patience {
            return Err(Unavailable::QueueFull);
        }
        let (reply, verdict) = oneshot::channel();
        let bytes = inputs.iter().map(Input::bytes).sum();
        self.counts.jobs.fetch_add(1, Ordering::Relaxed);
        self.counts.texts.fetch_add(inputs.len() as u64, Ordering::Relaxed);
        let job = Job {
            inputs,
            care: Care { until: Instant::now() + self.deadline, thorough: asking.thorough },
            bytes,
            reply,
        };
        self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.jobs.try_send(job).map_err(|refused| {
            self.load.done(bytes, None);
            match refused {
                mpsc::error::TrySendError::Full(_) => Unavailable::QueueFull,
                mpsc::error::TrySendError::Closed(_) => Unavailable::Failed("the workers have stopped".to_owned()),
            }
        })?;
        match tokio::time::timeout(self.deadline, verdict).await {
            Ok(Ok(judged)) => judged,
            Ok(Err(_)) => Err(Unavailable::Failed("the worker dropped the job".to_owned())),
            Err(_) => Err(Unavailable::Deadline),
        }
    }

    /// Jobs that wait for a worker.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue - self.jobs.capacity()
    }

    /// Below which probabilities the model may answer early, if it ever does.
    #[must_use]
    pub const fn floors(&self) -> Option<Floors> {
        self.floors
    }

    /// What was asked of it so far.
    #[must_use]
    pub fn work(&self) -> Work {
        let Counts { jobs, texts, hits, misses } = &self.counts;
        let [jobs, texts, hits, misses] = [jobs, texts, hits, misses].map(|count| count.load(Ordering::Relaxed));
        Work { jobs, texts, hits, misses }
    }

    /// The model's short hash.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }
}

fn work(classifier: &dyn Classifier, waiting: &Mutex<mpsc::Receiver<Job>>, load: &Load) {
    loop {
        // A poisoned lock holds a sound receiver: nothing can panic while it is held.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        let begun = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| judge_all(classifier, &job)))
            .unwrap_or_else(|_| Err(Unavailable::Failed("the classifier panicked".to_owned())));
        load.done(job.bytes, judged.is_ok().then(|| begun.elapsed()));
        // A receiver that is gone wants no verdict.
        drop(job.reply.send(judged));
    }
}

/// The verdicts on a job, one by one, for as long as somebody waits for them.
fn judge_all(classifier: &dyn Classifier, job: &Job) -> Result<Vec<Judged>, Unavailable> {
    let judge = |input| {
        // The client has left, or has been told that no verdict came.
        if job.reply.is_closed() || job.care.until <= Instant::now() {
            return Err(Unavailable::Deadline);
        }
        reading::judge(classifier, input, job.care).map_err(|e| Unavailable::Failed(e.to_string()))
    };
    job.inputs.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Scores;
    use std::sync::mpsc as blocking;

    /// Says what it begins to judge, and judges it when the gate opens.
    struct Held {
        begun: mpsc::UnboundedSender<Input>,
        gate: Mutex<blocking::Receiver<()>>,
    }

    impl Classifier for Held {
        fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
            inputs.iter().for_each(|input| self.begun.send(input.clone()).unwrap());
            self.gate.lock().unwrap().recv().unwrap();
            Ok(vec![Scores::NONE; inputs.len()])
        }

        fn id(&self) -> &str {
            "held"
        }
    }

    #[tokio::test]
    async fn what_would_wait_too_long_is_refused_at_once_unless_it_goes_on() {
        let prompt = |text: &str| vec![Input::Prompt(text.to_owned())];
        let ((begun, mut judging), (open, gate)) = (mpsc::unbounded_channel(), blocking::channel());
        let held: Arc<dyn Classifier> = Arc::new(Held { begun, gate: Mutex::new(gate) });
        let pool = Pool::start(vec![held], 64, Duration::from_secs(60), Cache::new(0)).unwrap();
        let pool = Arc::new(pool.with_patience(Duration::from_millis(5)));
        // A byte takes a millisecond, so that behind another text there are more than five to wait.
        pool.load.each.store(1_000_000, Ordering::Relaxed);
        let ask = |text: &str, goes_on| {
            let (pool, text) = (Arc::clone(&pool), prompt(text));
            tokio::spawn(async move { pool.judge(Asking { goes_on, ..Asking::default() }, text).await })
        };
        let first = ask("first", false);
        assert!(judging.recv().await.is_some());
        assert_eq!(ask("new", false).await.unwrap(), Err(Unavailable::QueueFull));
        let goes_on = ask("goes on", true);
        open.send(()).unwrap();
        open.send(()).unwrap();
        assert!(first.await.unwrap().is_ok() && goes_on.await.unwrap().is_ok());
        // Nothing waits any more.
        pool.load.each.store(1_000_000, Ordering::Relaxed);
        open.send(()).unwrap();
        assert!(ask("late", false).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn nothing_more_is_judged_for_a_client_that_has_left() {
        let prompt = |text: &str| Input::Prompt(text.to_owned());
        let ((begun, mut judging), (open, gate)) = (mpsc::unbounded_channel(), blocking::channel());
        let held: Arc<dyn Classifier> = Arc::new(Held { begun, gate: Mutex::new(gate) });
        let pool = Arc::new(Pool::start(vec![held], 4, Duration::from_secs(60), Cache::new(0)).unwrap());
        let asked = Arc::clone(&pool);
        let client = tokio::spawn(async move { asked.judge(Asking::default(), vec![prompt("a"), prompt("b")]).await });
        assert!(judging.recv().await == Some(prompt("a")));
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        open.send(()).unwrap();
        open.send(()).unwrap();
        assert!(pool.judge(Asking::default(), vec![prompt("c")]).await.is_ok());
        assert!(judging.recv().await == Some(prompt("c")));
    }
}
