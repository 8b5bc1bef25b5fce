//! What a proxy counts and measures for Prometheus, by subject. Every series is [declared] once, with help, unit (in its name) and
//! labels; `docs/METRICS.md` lists them. Label values come from closed sets: never text, never a user.

mod audit;
mod decisions;
pub mod declared;
mod exemplars;
mod exposition;
pub mod label;
pub mod reviews;
mod service;
mod timing;
mod upstreams;

pub use decisions::Whose;
pub use exposition::Format;
pub use timing::Stage;

use crate::audit::sampling::Judged;
use crate::classify::pool::Work;
use crate::classify::remote::Fault as RemoteFault;
use crate::guard::Verdict;
use crate::guard::judge::Outcome;
use crate::policy::Direction;
use crate::upstream::{Fault, Standing};
use declared::{Declared, Series};
use http::StatusCode;
use prometheus::Gauge;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// The series of one proxy.
pub struct Metrics {
    declared: Declared,
    decisions: decisions::Decisions,
    timing: timing::Timing,
    service: service::Service,
    upstreams: upstreams::Upstreams,
    audit: audit::Audit,
    /// The policies in force when it was looked last, and those before. Held while metrics are written.
    policies: Mutex<[BTreeSet<String>; 2]>,
}

/// What is looked at when metrics are written.
pub struct Now {
    /// Jobs that wait for a classifier.
    pub waiting: usize,
    /// What the classifiers did so far.
    pub work: Work,
    /// Requests whose decisions wait for the audit store.
    pub unstored: usize,
    /// The policies in force, each with its role: `stable`, `canary`, or in the shadow `beside` one.
    pub policies: Vec<(&'static str, String)>,
    /// The model's hash.
    pub model: String,
    /// How each upstream is.
    pub upstreams: Vec<Standing>,
}

/// What became of an attempt to sign in to the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// It opened a session.
    Accepted,
    /// The name or the password was wrong.
    Rejected,
    /// There were too many.
    Limited,
}

impl SignIn {
    const fn id(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Limited => "limited",
        }
    }
}

impl Metrics {
    /// All series.
    ///
    /// # Errors
    /// When a series is declared wrongly.
    pub fn new() -> prometheus::Result<Self> {
        let mut declared = Declared::default();
        Ok(Self {
            decisions: decisions::Decisions::new(&mut declared)?,
            timing: timing::Timing::new(&mut declared)?,
            service: service::Service::new(&mut declared)?,
            upstreams: upstreams::Upstreams::new(&mut declared)?,
            audit: audit::Audit::new(&mut declared)?,
            policies: Mutex::default(),
            declared,
        })
    }

    /// What is declared.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.declared.series
    }

    /// Counts a request as being answered for as long as the result lives: until it is answered, or its client leaves.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.service.in_flight.inc();
        InFlight(self.service.in_flight.clone())
    }

    /// Counts one decision.
    pub fn decided(&self, verdict: &Verdict, whose: &Whose<'_>) {
        self.decisions.decided(verdict, whose);
    }

    /// Counts a message that was refused since it could not be judged.
    pub fn refused_unjudged(&self, direction: Direction, whose: &Whose<'_>) {
        self.decisions.refused_unjudged(direction, whose);
    }

    /// Records how long a stage of an event took.
    pub fn took(&self, stage: Stage, duration: Duration, event: Uuid) {
        self.timing.stages.observe(&[stage.id()], duration.as_secs_f64(), Some(event));
    }

    /// Records what was added to a whole answer.
    pub fn added(&self, surface: &'static str, duration: Duration, event: Uuid) {
        self.timing.added.observe(&[surface], duration.as_secs_f64(), Some(event));
    }

    /// Records what was added before the first text of a streamed answer.
    pub fn first_text(&self, surface: &'static str, duration: Duration, event: Uuid) {
        self.timing.first_text.observe(&[surface], duration.as_secs_f64(), Some(event));
    }

    /// Records how long an event of a stream was held back.
    pub fn held(&self, duration: Duration, event: Uuid) {
        self.timing.held.observe(&[], duration.as_secs_f64(), Some(event));
    }

    /// Counts the texts of a stream that were judged.
    pub fn windows(&self, count: u64) {
        self.timing.windows.inc_by(count);
    }

    /// Counts an answer of the upstream that did not come.
    pub fn upstream_failed(&self, fault: Fault) {
        self.upstreams.errors.with_label_values(&[fault.id()]).inc();
    }

    /// Counts how an upstream answered one attempt, after so long.
    pub fn upstream_answered(&self, endpoint: &str, answer: Result<StatusCode, Fault>, duration: Duration) {
        self.upstreams.answered(endpoint, answer, duration);
    }

    /// Counts a request that was answered with an error of ours.
    pub fn rejected(&self, status: StatusCode) {
        self.service.client_errors.with_label_values(&[status.as_str()]).inc();
    }

    /// Counts a reload of the policy.
    pub fn reloaded(&self, ok: bool) {
        self.service.reloads.with_label_values(&[if ok { "ok" } else { "rejected" }]).inc();
    }

    /// Counts an uncertain text.
    pub fn judged_by_another(&self, outcome: Outcome) {
        self.service.opinions.with_label_values(&[outcome.id()]).inc();
    }

    /// Counts an attempt to sign in to the console.
    pub fn signed_in(&self, result: SignIn) {
        self.service.sign_ins.with_label_values(&[result.id()]).inc();
    }

    /// Counts what became of asking a model server: why it gave nothing, where it did not.
    pub fn asked_remotely(&self, fault: Option<&RemoteFault>) {
        self.service.remote.with_label_values(&[fault.map_or("ok", RemoteFault::id)]).inc();
    }

    /// Counts decisions that the audit store took, the oldest of which was so old.
    pub fn stored(&self, count: usize, age: Duration) {
        self.audit.stored(count, age);
    }

    /// Counts decisions that wait on disk for the audit store.
    pub fn spooled(&self, count: usize) {
        self.audit.became("spooled", count);
    }

    /// Counts decisions of which there is no record.
    pub fn lost(&self, count: usize) {
        self.audit.became("lost", count);
    }

    /// Counts a batch that the audit store did not take.
    pub fn store_failed(&self) {
        self.audit.failed();
    }

    /// Says how much waits on disk for the audit store.
    pub fn spool_bytes(&self, bytes: u64) {
        self.audit.spool_bytes(bytes);
    }

    /// Says what reviewers settled.
    pub fn reviewed(&self, found: &[Judged]) {
        self.audit.reviewed(found);
    }

    /// All series.
    ///
    /// # Errors
    /// When a series cannot be written.
    pub fn render(&self, now: &Now, format: Format) -> prometheus::Result<Vec<u8>> {
        // Nothing can panic while it is held, so a poisoned lock holds sound sets.
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        self.service.look(now.waiting, now.work);
        self.upstreams.look(&now.upstreams);
        self.service.in_force(&now.policies, &now.model);
        self.audit.waiting.with_label_values::<&str>(&[]).set(now.unstored as f64);
        self.audit.look();
        // Policies come and go while a process lives; what was counted under one is kept until the next change after its own.
        let in_force: BTreeSet<String> = now.policies.iter().map(|(_, policy)| policy.clone()).collect();
        let [last, before] = &mut *policies;
        if in_force != *last {
            (*before, *last) = (std::mem::take(last), in_force);
            self.decisions.forget(|policy| last.contains(policy) || before.contains(policy));
        }
        exposition::written(format, &self.declared.gather(), &self.declared.exemplars)
    }
}

/// A request that is being answered.
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
