//! How the service does: what runs, what waits, what failed.

use super::declared::Declared;
use super::label::{LOOKED_UP, MODEL, OPINION, POLICY, RELOAD, REMOTE, ROLE, SIGN_IN, STATUS, VERSION};
use crate::classify::pool::Work;
use prometheus::{Gauge, GaugeVec, IntCounterVec};

pub(super) struct Service {
    pub(super) in_flight: Gauge,
    queue: GaugeVec,
    jobs: IntCounterVec,
    texts: IntCounterVec,
    cache: IntCounterVec,
    pub(super) client_errors: IntCounterVec,
    pub(super) reloads: IntCounterVec,
    pub(super) opinions: IntCounterVec,
    pub(super) sign_ins: IntCounterVec,
    pub(super) remote: IntCounterVec,
    pub(super) policies: GaugeVec,
    models: GaugeVec,
}

impl Service {
    pub(super) fn new(declared: &mut Declared) -> prometheus::Result<Self> {
        let in_flight = declared.gauge("nonnocere_requests_in_flight", "Requests being answered.", &[])?;
        let build = declared.gauge("nonnocere_build_info", "Always 1; the version is a label.", &[VERSION])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        Ok(Self {
            in_flight: in_flight.with_label_values::<&str>(&[]),
            queue: declared.gauge("nonnocere_queue_jobs", "Jobs that wait for a classifier.", &[])?,
            jobs: declared.counter(
                "nonnocere_classifier_jobs_total",
                "Jobs that were given to the classifiers: texts that are judged in one go.",
                &[],
            )?,
            texts: declared.counter(
                "nonnocere_classifier_texts_total",
                "Texts that were given to the classifiers.",
                &[],
            )?,
            cache: declared.counter(
                "nonnocere_cache_lookups_total",
                "Texts by whether the verdict on them was remembered.",
                &[LOOKED_UP],
            )?,
            client_errors: declared.counter(
                "nonnocere_rejected_requests_total",
                "Requests answered with an error.",
                &[STATUS],
            )?,
            reloads: declared.counter("nonnocere_policy_reloads_total", "Attempts to reload the policy.", &[RELOAD])?,
            opinions: declared.counter(
                "nonnocere_second_opinions_total",
                "Uncertain texts by what a judge model said of them, or why it said nothing.",
                &[OPINION],
            )?,
            sign_ins: declared.counter(
                "nonnocere_console_sign_ins_total",
                "Attempts to sign in to the console: accepted, rejected, or limited.",
                &[SIGN_IN],
            )?,
            remote: declared.counter(
                "nonnocere_remote_inference_total",
                "Texts that a model server was to judge, by whether it did, or why not.",
                &[REMOTE],
            )?,
            policies: declared.gauge(
                "nonnocere_policy_info",
                "Always 1: the policies in force, and in the shadow beside them.",
                &[POLICY, ROLE],
            )?,
            models: declared.gauge("nonnocere_model_info", "Always 1; the model is a label.", &[MODEL])?,
        })
    }

    /// What the classifiers did so far, and what waits for them.
    pub(super) fn look(&self, waiting: usize, work: Work) {
        self.queue.with_label_values::<&str>(&[]).set(waiting as f64);
        for (series, labels, count) in [
            (&self.jobs, &[][..], work.jobs),
            (&self.texts, &[], work.texts),
            (&self.cache, &["hit"], work.hits),
            (&self.cache, &["miss"], work.misses),
        ] {
            let counter = series.with_label_values::<&str>(labels);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// The policies in force with their roles, and the model.
    pub(super) fn in_force(&self, policies: &[(&'static str, String)], model: &str) {
        self.policies.reset();
        for (role, policy) in policies {
            self.policies.with_label_values(&[policy, *role]).set(1.0);
        }
        self.models.with_label_values(&[model]).set(1.0);
    }
}
