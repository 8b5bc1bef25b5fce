//! Every Prometheus series, declared once. Label values come from closed sets: never text, never a user.

use crate::classify::remote::Fault as RemoteFault;
use crate::guard::Verdict;
use crate::guard::judge::Outcome;
use crate::upstream::Fault;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    core::Collector,
};
use std::time::Duration;

/// The series of one proxy.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    scans: IntCounterVec,
    shadows: IntCounterVec,
    stages: HistogramVec,
    held: Histogram,
    windows: IntCounter,
    redacted: IntCounterVec,
    in_flight: IntGauge,
    queue: IntGauge,
    unavailable: IntCounterVec,
    upstream_errors: IntCounterVec,
    client_errors: IntCounterVec,
    reloads: IntCounterVec,
    opinions: IntCounterVec,
    sign_ins: IntCounterVec,
    remote: IntCounterVec,
    audit: Audit,
}

/// What became of the records.
struct Audit {
    decisions: IntCounterVec,
    store_errors: IntCounter,
    spool_bytes: IntGauge,
}

/// A part of a request's life whose time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Judging the prompt.
    Prompt,
    /// The upstream's whole answer.
    Upstream,
    /// Judging the completion.
    Completion,
}

impl Stage {
    /// The word in metrics and in `x-nonnocere-latency`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Upstream => "upstream",
            Self::Completion => "completion",
        }
    }
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

impl Audit {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let decisions = Opts::new(
            "nonnocere_audit_decisions_total",
            "Decisions by what became of their record: stored, spooled to disk until the store takes it, or lost.",
        );
        let errors =
            IntCounter::new("nonnocere_audit_store_errors_total", "Batches that the audit store did not take.")?;
        let bytes = IntGauge::new("nonnocere_audit_spool_bytes", "What waits on disk for the audit store.")?;
        Ok(Self {
            decisions: registered(registry, IntCounterVec::new(decisions, &["result"])?)?,
            store_errors: registered(registry, errors)?,
            spool_bytes: registered(registry, bytes)?,
        })
    }
}

const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];

impl Metrics {
    /// A registry with every series in it.
    ///
    /// # Errors
    /// When a series is declared wrongly.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let series = IntCounterVec::new(Opts::new(name, help), labels)?;
            registered(&registry, series)
        };
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help)?);
        let stages = HistogramOpts::new("nonnocere_stage_duration_seconds", "Time spent in each stage of a request.");
        let held = HistogramOpts::new("nonnocere_stream_held_seconds", "How long events of streams were held back.");
        build_info(&registry)?;
        Ok(Self {
            requests: counter(
                "nonnocere_decisions_total",
                "Decisions by action, direction and violated principle.",
                &["action", "direction", "principle"],
            )?,
            scans: counter(
                "nonnocere_scans_total",
                "Messages by how much of them was judged.",
                &["direction", "scan"],
            )?,
            shadows: counter(
                "nonnocere_shadow_total",
                "What rules in the shadow would have done.",
                &["direction", "action", "rule"],
            )?,
            stages: registered(&registry, HistogramVec::new(stages.buckets(BUCKETS.to_vec()), &["stage"])?)?,
            held: registered(&registry, Histogram::with_opts(held.buckets(BUCKETS.to_vec()))?)?,
            windows: registered(
                &registry,
                IntCounter::new("nonnocere_stream_windows_total", "Texts of streamed answers that were judged.")?,
            )?,
            redacted: counter(
                "nonnocere_redacted_total",
                "Identifiers of people that were taken out.",
                &["direction", "kind"],
            )?,
            in_flight: gauge("nonnocere_requests_in_flight", "Requests being answered.")?,
            queue: gauge("nonnocere_queue_jobs", "Jobs that wait for a classifier.")?,
            unavailable: counter(
                "nonnocere_guard_unavailable_total",
                "Messages that could not be judged, by what the policy then did.",
                &["direction", "mode"],
            )?,
            upstream_errors: counter("nonnocere_upstream_errors_total", "Answers that did not come.", &["kind"])?,
            client_errors: counter(
                "nonnocere_rejected_requests_total",
                "Requests answered with an error.",
                &["status"],
            )?,
            reloads: counter("nonnocere_policy_reloads_total", "Attempts to reload the policy.", &["result"])?,
            opinions: counter(
                "nonnocere_second_opinions_total",
                "Uncertain texts by what a judge model said of them, or why it said nothing.",
                &["outcome"],
            )?,
            sign_ins: sign_ins(&registry)?,
            remote: remote(&registry)?,
            audit: Audit::new(&registry)?,
            registry,
        })
    }

    /// Counts a request as being answered for as long as the result lives: until it is answered, or its client leaves.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts one decision.
    pub fn decided(&self, verdict: &Verdict) {
        let principle = verdict.principle().map_or("none", |principle| principle.id());
        let direction = verdict.direction.id();
        self.requests.with_label_values(&[verdict.action.id(), direction, principle]).inc();
        self.scans.with_label_values(&[direction, verdict.scan.id()]).inc();
        if let Some(shadow) = &verdict.shadow {
            self.shadows.with_label_values(&[direction, shadow.effect.id(), &*shadow.rule]).inc();
        }
        for (kind, count) in &verdict.redacted {
            self.redacted.with_label_values(&[direction, kind.id()]).inc_by(*count);
        }
    }

    /// Counts a message that could not be judged; `mode` is `open` or `closed`.
    pub fn unjudged(&self, direction: crate::policy::Direction, mode: &str) {
        self.unavailable.with_label_values(&[direction.id(), mode]).inc();
    }

    /// Records how long a stage took.
    pub fn took(&self, stage: Stage, duration: Duration) {
        self.stages.with_label_values(&[stage.id()]).observe(duration.as_secs_f64());
    }

    /// Records how long an event of a stream was held back.
    pub fn held(&self, duration: Duration) {
        self.held.observe(duration.as_secs_f64());
    }

    /// Counts the texts of a stream that were judged.
    pub fn windows(&self, count: u64) {
        self.windows.inc_by(count);
    }

    /// Counts an answer of the upstream that did not come.
    pub fn upstream_failed(&self, fault: Fault) {
        self.upstream_errors.with_label_values(&[fault.id()]).inc();
    }

    /// Counts a request that was answered with an error of ours.
    pub fn rejected(&self, status: http::StatusCode) {
        self.client_errors.with_label_values(&[status.as_str()]).inc();
    }

    /// Counts a reload of the policy.
    pub fn reloaded(&self, ok: bool) {
        self.reloads.with_label_values(&[if ok { "ok" } else { "rejected" }]).inc();
    }

    /// Counts an uncertain text.
    pub fn judged_by_another(&self, outcome: Outcome) {
        self.opinions.with_label_values(&[outcome.id()]).inc();
    }

    /// Counts an attempt to sign in to the console.
    pub fn signed_in(&self, result: SignIn) {
        self.sign_ins.with_label_values(&[result.id()]).inc();
    }

    /// Counts what became of asking a model server: why it gave nothing, where it did not.
    pub fn asked_remotely(&self, fault: Option<&RemoteFault>) {
        self.remote.with_label_values(&[fault.map_or("ok", RemoteFault::id)]).inc();
    }

    /// Counts decisions that the audit store took.
    pub fn stored(&self, count: usize) {
        self.audit.decisions.with_label_values(&["stored"]).inc_by(count as u64);
    }

    /// Counts decisions that wait on disk for the audit store.
    pub fn spooled(&self, count: usize) {
        self.audit.decisions.with_label_values(&["spooled"]).inc_by(count as u64);
    }

    /// Counts decisions of which there is no record.
    pub fn lost(&self, count: usize) {
        self.audit.decisions.with_label_values(&["lost"]).inc_by(count as u64);
    }

    /// Counts a batch that the audit store did not take.
    pub fn store_failed(&self) {
        self.audit.store_errors.inc();
    }

    /// Says how much waits on disk for the audit store.
    pub fn spool_bytes(&self, bytes: u64) {
        self.audit.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// All series in Prometheus' text format; `waiting` is the length of the queue now.
    ///
    /// # Errors
    /// When a series cannot be encoded.
    pub fn render(&self, waiting: usize) -> prometheus::Result<Vec<u8>> {
        self.queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// A request that is being answered.
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn build_info(registry: &Registry) -> prometheus::Result<()> {
    let build = Opts::new("nonnocere_build_info", "Always 1; the version is a label.");
    let build = registered(registry, IntCounterVec::new(build, &["version"])?)?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).inc();
    Ok(())
}

fn sign_ins(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let tried = Opts::new(
        "nonnocere_console_sign_ins_total",
        "Attempts to sign in to the console: accepted, rejected, or limited.",
    );
    registered(registry, IntCounterVec::new(tried, &["result"])?)
}

fn remote(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let asked = Opts::new(
        "nonnocere_remote_inference_total",
        "Texts that a model server was to judge, by whether it did, or why not.",
    );
    registered(registry, IntCounterVec::new(asked, &["outcome"])?)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, series: C) -> prometheus::Result<C> {
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}
