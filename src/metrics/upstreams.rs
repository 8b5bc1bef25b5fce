//! How the upstreams do: what they answered, and which of them is asked. Each is called by its name in the configuration.

use super::declared::{Declared, Histogram};
use super::label::{ENDPOINT, FAULT, UPSTREAM};
use super::timing::BUCKETS;
use crate::upstream::{Fault, Standing};
use http::StatusCode;
use prometheus::{GaugeVec, IntCounterVec};
use std::time::Duration;

pub(super) struct Upstreams {
    pub(super) errors: IntCounterVec,
    requests: IntCounterVec,
    head: Histogram,
    available: GaugeVec,
    in_flight: GaugeVec,
}

impl Upstreams {
    pub(super) fn new(declared: &mut Declared) -> prometheus::Result<Self> {
        Ok(Self {
            errors: declared.counter("nonnocere_upstream_errors_total", "Answers that did not come.", &[FAULT])?,
            requests: declared.counter(
                "nonnocere_upstream_requests_total",
                "Requests that were sent to each upstream, each attempt counted, by how its answer began: a class of statuses, or why there was none.",
                &[ENDPOINT, UPSTREAM],
            )?,
            head: declared.histogram(
                ("nonnocere_upstream_head_seconds", "Time until the head of an upstream's answer was there."),
                &[ENDPOINT],
                &BUCKETS,
            )?,
            available: declared.gauge(
                "nonnocere_upstream_available",
                "Whether an upstream is asked now: 1, or 0 where it is left alone or is not well.",
                &[ENDPOINT],
            )?,
            in_flight: declared.gauge(
                "nonnocere_upstream_in_flight",
                "Requests that each upstream is answering.",
                &[ENDPOINT],
            )?,
        })
    }

    /// Counts how one of them answered, after so long.
    pub(super) fn answered(&self, endpoint: &str, answer: Result<StatusCode, Fault>, duration: Duration) {
        let result = match answer {
            Ok(status) => {
                self.head.observe(&[endpoint], duration.as_secs_f64(), None);
                match status.as_u16() {
                    0..300 => "2xx",
                    300..400 => "3xx",
                    400..500 => "4xx",
                    _ => "5xx",
                }
            }
            Err(fault) => fault.id(),
        };
        self.requests.with_label_values(&[endpoint, result]).inc();
    }

    /// How each of them is.
    pub(super) fn look(&self, standings: &[Standing]) {
        for Standing { name, available, in_flight, .. } in standings {
            self.available.with_label_values(&[name]).set(f64::from(u8::from(*available)));
            self.in_flight.with_label_values(&[name]).set(*in_flight as f64);
        }
    }
}
