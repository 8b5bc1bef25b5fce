//! How much is on its way at once.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Counts what is on its way.
#[derive(Default)]
pub struct Flight(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    now: usize,
    most: usize,
    /// The sum over time of how many there were.
    area: f64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Counts {
    fn changes(&mut self, by: isize) {
        let now = Instant::now();
        let since = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.area += since.as_secs_f64() * self.now as f64;
        self.now = self.now.saturating_add_signed(by);
        self.most = self.most.max(self.now);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }
}

/// Something on its way, for as long as this lives.
pub struct InFlight<'a>(&'a Flight);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.changes(-1);
    }
}

impl Flight {
    /// One more is on its way.
    pub fn begin(&self) -> InFlight<'_> {
        self.changes(1);
        InFlight(self)
    }

    fn changes(&self, by: isize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).changes(by);
    }

    /// How many there were at the most, and on average from the first to the last.
    #[must_use]
    pub fn seen(&self) -> (usize, f64) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let took = counts.first.zip(counts.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        (counts.most, if took > 0.0 { counts.area / took } else { 0.0 })
    }
}

/// Does each of some jobs, so many at once, until one fails.
///
/// # Errors
/// The first that was met. What has begun is then left.
pub async fn each<T, E, F>(jobs: Vec<T>, at_once: usize, work: impl Fn(T) -> F) -> Result<(), E>
where
    E: Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    let mut open = JoinSet::new();
    for job in jobs {
        while open.len() >= at_once.max(1) {
            // A job that panicked has told of it, and is missing in the store.
            if let Some(Ok(done)) = open.join_next().await {
                done?;
            }
        }
        open.spawn(work(job));
    }
    while let Some(done) = open.join_next().await {
        if let Ok(done) = done {
            done?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Barrier;

    #[tokio::test]
    async fn so_many_are_kept_in_flight_and_no_more() {
        let (flight, barrier) = (Arc::new(Flight::default()), Arc::new(Barrier::new(8)));
        // Each waits for seven others: fewer at once would never end.
        let work = |_: usize| {
            let (flight, barrier) = (Arc::clone(&flight), Arc::clone(&barrier));
            async move {
                let _in_flight = flight.begin();
                barrier.wait().await;
                Ok::<_, ()>(())
            }
        };
        each((0..64).collect(), 8, work).await.unwrap();
        let (most, average) = flight.seen();
        assert!(most == 8 && average > 0.0 && average <= 8.0, "{most} {average}");
    }

    #[tokio::test]
    async fn a_failure_ends_the_work() {
        let done = Arc::new(Flight::default());
        let work = |job: usize| {
            let done = Arc::clone(&done);
            async move {
                let _done = done.begin();
                if job == 3 { Err("three") } else { Ok(()) }
            }
        };
        assert_eq!(each((0..1000).collect(), 1, work).await, Err("three"));
    }
}
