//! The last event of each label and bucket, so that a point of a graph leads to a decision on record. Prometheus keeps them
//! where it is told to (`--enable-feature=exemplar-storage`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// An event, and the value that it brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) event: Uuid,
    pub(super) value: f64,
    /// Since 1970.
    pub(super) time: Duration,
}

impl Exemplar {
    pub(super) fn now(event: Uuid, value: f64) -> Self {
        Self { event, value, time: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() }
    }
}

/// The last exemplars, by series, the values of its labels, and the bucket; as many at most as there are lines of metrics.
#[derive(Default)]
pub(super) struct Exemplars(Mutex<Last>);

/// By the name of a series with the values of its labels.
type Last = HashMap<String, BTreeMap<usize, Exemplar>>;

impl Exemplars {
    /// Notes the last exemplar of a bucket; a counter has one.
    pub(super) fn note(&self, (series, labels, bucket): (&'static str, &[&str], usize), exemplar: Exemplar) {
        self.open().entry(key(series, labels.iter().copied())).or_default().insert(bucket, exemplar);
    }

    /// The last exemplars of a series with these labels, by bucket.
    pub(super) fn of<'a>(&self, series: &str, labels: impl Iterator<Item = &'a str>) -> BTreeMap<usize, Exemplar> {
        self.open().get(&key(series, labels)).cloned().unwrap_or_default()
    }

    /// Forgets those of a series.
    pub(super) fn forget(&self, series: &str) {
        let series = key(series, std::iter::empty());
        self.open().retain(|key, _| !key.starts_with(&series));
    }

    fn open(&self) -> MutexGuard<'_, Last> {
        // Nothing can panic while it is held, so a poisoned lock holds a sound map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name and values of labels, told apart by what is in none of them.
fn key<'a>(series: &str, labels: impl Iterator<Item = &'a str>) -> String {
    labels.fold(format!("{series}\u{1f}"), |key, value| key + value + "\u{1f}")
}
