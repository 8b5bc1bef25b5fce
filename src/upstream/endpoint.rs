//! One LLM server: what is in flight there, and how it did lately.

use super::breaker::Breaker;
use super::connect::{Connections, connections};
use super::settings::EndpointSettings;
use serde::Serialize;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// An endpoint that is asked.
pub(super) struct Endpoint {
    pub(super) settings: EndpointSettings,
    pub(super) connections: Connections,
    in_flight: AtomicUsize,
    breaker: Mutex<Breaker>,
    /// What looking at it found last.
    is_well: AtomicBool,
}

/// How an endpoint is, for operators.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it is asked now.
    pub available: bool,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// What looking at it found; `None` where nobody looks.
    pub healthy: Option<bool>,
    /// Requests that it is answering.
    pub in_flight: usize,
    /// Its part of the requests.
    pub weight: u32,
}

impl Endpoint {
    /// One of which nothing is known yet.
    ///
    /// # Errors
    /// When its certificates cannot be read.
    pub(super) fn new(settings: EndpointSettings) -> io::Result<Self> {
        let is_encrypted = settings.url.scheme_str() == Some("https");
        let connections = connections(is_encrypted, &settings.tls, &settings.terms)?;
        let breaker = Mutex::new(Breaker::new(settings.terms.breaker));
        Ok(Self { settings, connections, in_flight: AtomicUsize::new(0), breaker, is_well: AtomicBool::new(true) })
    }

    /// Requests that it is answering.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether a request may be sent.
    pub(super) fn is_available(&self, now: Instant) -> bool {
        self.is_well.load(Ordering::Relaxed) && self.breaker().permits(now)
    }

    /// After how long it may be asked again, as far as that is known.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let wait = self.breaker().wait(now);
        let looked_at = self.settings.terms.health.as_ref().filter(|_| !self.is_well.load(Ordering::Relaxed));
        looked_at.map_or(wait, |health| wait.max(health.interval))
    }

    /// Notes what looking at it found.
    pub(super) fn found(&self, is_well: bool) {
        let was_well = self.is_well.swap(is_well, Ordering::Relaxed);
        let endpoint = &*self.settings.name;
        match (was_well, is_well) {
            (true, false) => tracing::warn!(endpoint, "an upstream is not well, and is not asked"),
            (false, true) => tracing::info!(endpoint, "an upstream is well again"),
            _ => {}
        }
    }

    /// How it is.
    pub(super) fn standing(&self) -> Standing {
        let is_well = self.is_well.load(Ordering::Relaxed);
        Standing {
            name: self.settings.name.to_string(),
            available: self.is_available(Instant::now()),
            breaker: self.breaker().id(),
            healthy: self.settings.terms.health.is_some().then_some(is_well),
            in_flight: self.in_flight(),
            weight: self.settings.weight.get(),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that an endpoint is answering, for as long as this lives.
pub(super) struct Ticket {
    endpoint: Arc<Endpoint>,
    /// Whether it tries an endpoint that was left alone, and nothing was learnt yet.
    is_trial: bool,
    /// Whether nothing more is to be learnt.
    is_settled: bool,
}

impl Ticket {
    /// For a request that is sent now.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        let is_trial = endpoint.breaker().enter();
        Self { endpoint, is_trial, is_settled: false }
    }

    /// Who answers it.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Notes that an answer has begun.
    pub(super) fn began(&mut self) {
        self.endpoint.breaker().began(std::mem::take(&mut self.is_trial));
    }

    /// Notes that the answer came whole.
    pub(super) fn completed(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.endpoint.breaker().completed();
        }
    }

    /// Notes that the endpoint did not do its part.
    pub(super) fn failed(&mut self) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let is_trial = std::mem::take(&mut self.is_trial);
        let opens = self.endpoint.breaker().failed(is_trial, Instant::now(), jitter());
        if opens {
            let endpoint = &*self.endpoint.settings.name;
            tracing::warn!(endpoint, "an upstream fails again and again, and is left alone for a while");
        }
    }

    /// Notes that nothing can be learnt from this: what was asked may have brought it about.
    pub(super) fn ignored(&mut self) {
        self.is_settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.is_trial {
            self.endpoint.breaker().released(Instant::now());
        }
    }
}

/// From 0 to 1.
pub(super) fn jitter() -> f64 {
    // Without chance, all wait as long as they may.
    getrandom::u32().map_or(1.0, |drawn| f64::from(drawn) / f64::from(u32::MAX))
}
