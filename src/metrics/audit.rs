//! What becomes of records, and what reviewers found in them.

use super::declared::{Declared, Histogram};
use super::label::{FOUND, RECORD, REVIEWED};
use crate::audit::journal::now;
use crate::audit::sampling::Judged;
use prometheus::{GaugeVec, IntCounterVec};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// From a batch of a store that is well to one that was gone for a day.
const AGES: [f64; 12] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 86_400.0];

pub(super) struct Audit {
    decisions: IntCounterVec,
    store_errors: IntCounterVec,
    stored: Histogram,
    spool_bytes: GaugeVec,
    lag: GaugeVec,
    pub(super) waiting: GaugeVec,
    reviewed: GaugeVec,
    /// Since when something waits on disk, in microseconds since 1970; 0 where nothing does.
    since: AtomicI64,
}

impl Audit {
    pub(super) fn new(declared: &mut Declared) -> prometheus::Result<Self> {
        Ok(Self {
            decisions: declared.counter(
                "nonnocere_audit_decisions_total",
                "Decisions by what became of their record: stored, spooled to disk until the store takes it, or lost.",
                &[RECORD],
            )?,
            store_errors: declared.counter(
                "nonnocere_audit_store_errors_total",
                "Batches that the audit store did not take.",
                &[],
            )?,
            stored: declared.histogram(
                ("nonnocere_audit_store_seconds", "How old the oldest decision of each batch was when it was stored."),
                &[],
                &AGES,
            )?,
            spool_bytes: declared.gauge(
                "nonnocere_audit_spool_bytes",
                "What waits on disk for the audit store.",
                &[],
            )?,
            lag: declared.gauge(
                "nonnocere_audit_lag_seconds",
                "For how long something has been waiting on disk for the audit store; 0 where nothing is.",
                &[],
            )?,
            waiting: declared.gauge(
                "nonnocere_audit_queue_jobs",
                "Requests whose decisions wait in memory for the audit store.",
                &[],
            )?,
            reviewed: declared.gauge(
                "nonnocere_reviewed_decisions",
                "Decisions of the last 28 days that reviewers settled: whether it was right to stop them, or to let them pass.",
                &[REVIEWED, FOUND],
            )?,
            since: AtomicI64::new(0),
        })
    }

    pub(super) fn became(&self, what: &str, count: usize) {
        self.decisions.with_label_values(&[what]).inc_by(count as u64);
    }

    pub(super) fn stored(&self, count: usize, age: Duration) {
        self.became("stored", count);
        self.stored.observe(&[], age.as_secs_f64(), None);
    }

    pub(super) fn failed(&self) {
        self.store_errors.with_label_values::<&str>(&[]).inc();
    }

    pub(super) fn spool_bytes(&self, bytes: u64) {
        self.spool_bytes.with_label_values::<&str>(&[]).set(bytes as f64);
        if bytes == 0 {
            self.since.store(0, Ordering::Relaxed);
        } else {
            // What waits already began earlier.
            self.since.compare_exchange(0, now(), Ordering::Relaxed, Ordering::Relaxed).ok();
        }
    }

    pub(super) fn look(&self) {
        let since = self.since.load(Ordering::Relaxed);
        let lag = if since == 0 { 0.0 } else { now().saturating_sub(since) as f64 / 1e6 };
        self.lag.with_label_values::<&str>(&[]).set(lag);
    }

    pub(super) fn reviewed(&self, found: &[Judged]) {
        for (decision, of) in [
            ("stopped", found.iter().map(|one| one.stopped).collect::<Vec<_>>()),
            ("passed", found.iter().map(|one| one.passed).collect()),
        ] {
            let wrong: usize = of.iter().map(|rate| rate.hits).sum();
            let all: usize = of.iter().map(|rate| rate.total).sum();
            self.reviewed.with_label_values(&[decision, "wrong"]).set(wrong as f64);
            self.reviewed.with_label_values(&[decision, "right"]).set(all.saturating_sub(wrong) as f64);
        }
    }
}
