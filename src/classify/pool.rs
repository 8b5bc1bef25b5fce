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
}

struct Job {
    inputs: Vec<Input>,
    care: Care,
    reply: oneshot::Sender<Result<Vec<Judged>, Unavailable>>,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The queue is full: more is asked than the workers can judge.
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
        for classifier in classifiers {
            let waiting = Arc::clone(&waiting);
            let thread = std::thread::Builder::new().name("classifier".to_owned());
            thread
                .spawn(move || work(&*classifier, &waiting))
                .map_err(|e| ClassifyError::Inference(format!("a worker thread: {e}")))?;
        }
        Ok(Self { jobs, queue, deadline, model, floors, cache, counts: Counts::default() })
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
        let judged = if inputs.is_empty() { Vec::new() } else { self.judge_new(inputs, asking.thorough).await? };
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
        self.judge_new(inputs, true).await
    }

    async fn judge_new(&self, inputs: Vec<Input>, thorough: bool) -> Result<Vec<Judged>, Unavailable> {
        let (reply, verdict) = oneshot::channel();
        self.counts.jobs.fetch_add(1, Ordering::Relaxed);
        self.counts.texts.fetch_add(inputs.len() as u64, Ordering::Relaxed);
        let job = Job { inputs, care: Care { until: Instant::now() + self.deadline, thorough }, reply };
        self.jobs.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Unavailable::QueueFull,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Failed("the workers have stopped".to_owned()),
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

fn work(classifier: &dyn Classifier, waiting: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // A poisoned lock holds a sound receiver: nothing can panic while it is held.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        let judged = catch_unwind(AssertUnwindSafe(|| judge_all(classifier, &job)))
            .unwrap_or_else(|_| Err(Unavailable::Failed("the classifier panicked".to_owned())));
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
