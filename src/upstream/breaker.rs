//! A breaker: an endpoint that fails again and again is left alone for a while, then tried by one request.

use std::time::Duration;
use tokio::time::Instant;

/// When an endpoint is left alone, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Failures since the last whole answer; 0 for never.
    pub failures: u32,
    /// For how long at first; twice as long after each trial that fails.
    pub pause: Duration,
    /// For how long at most.
    pub longest: Duration,
}

/// How an endpoint did lately.
#[derive(Debug)]
pub(super) struct Breaker {
    terms: Terms,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is asked; so many failures since its last whole answer.
    Closed(u32),
    /// It is left alone.
    Open { until: Instant, in_a_row: u32 },
    /// One request tries it.
    HalfOpen { in_a_row: u32 },
}

impl Breaker {
    /// One that is closed.
    pub(super) const fn new(terms: Terms) -> Self {
        Self { terms, state: State::Closed(0) }
    }

    /// The word for its state.
    pub(super) const fn id(&self) -> &'static str {
        match self.state {
            State::Closed(_) => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }

    /// Whether a request may be sent.
    pub(super) fn permits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed(_) => true,
            State::Open { until, .. } => until <= now,
            State::HalfOpen { .. } => false,
        }
    }

    /// After how long a request may be sent, as far as that is known.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        match self.state {
            State::Closed(_) => Duration::ZERO,
            State::Open { until, .. } => until.saturating_duration_since(now),
            State::HalfOpen { .. } => self.terms.pause,
        }
    }

    /// Notes a request that is sent; gives whether it is the one that tries an endpoint which was left alone.
    pub(super) const fn enter(&mut self) -> bool {
        let State::Open { in_a_row, .. } = self.state else { return false };
        self.state = State::HalfOpen { in_a_row };
        true
    }

    /// Notes that an answer has begun: a trial succeeds.
    pub(super) const fn began(&mut self, is_trial: bool) {
        if is_trial {
            self.state = State::Closed(0);
        }
    }

    /// Notes that an answer came whole.
    pub(super) const fn completed(&mut self) {
        if matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(0);
        }
    }

    /// Notes a failure; `jitter` from 0 to 1 keeps a fleet from trying all at once. Gives whether it opens.
    pub(super) fn failed(&mut self, is_trial: bool, now: Instant, jitter: f64) -> bool {
        let in_a_row = match self.state {
            _ if self.terms.failures == 0 => return false,
            State::Closed(failures) if failures.saturating_add(1) < self.terms.failures => {
                self.state = State::Closed(failures.saturating_add(1));
                return false;
            }
            State::Closed(_) => 1,
            State::HalfOpen { in_a_row } if is_trial => in_a_row.saturating_add(1),
            // Sent before it opened: known.
            State::Open { .. } | State::HalfOpen { .. } => return false,
        };
        let doubled = self.terms.pause.saturating_mul(1 << in_a_row.saturating_sub(1).min(16));
        let pause = doubled.min(self.terms.longest).mul_f64(0.5 + jitter / 2.0);
        self.state = State::Open { until: now + pause, in_a_row };
        true
    }

    /// Notes a trial of which nothing was learnt: another may try at once.
    pub(super) const fn released(&mut self, now: Instant) {
        if let State::HalfOpen { in_a_row } = self.state {
            self.state = State::Open { until: now, in_a_row };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { failures: 3, pause: Duration::from_secs(1), longest: Duration::from_secs(10) };

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(TERMS);
        assert_eq!([1, 2, 3].map(|_| breaker.failed(false, now, 1.0)), [false, false, true]);
        breaker
    }

    #[test]
    fn it_opens_after_failures_since_the_last_whole_answer() {
        let now = Instant::now();
        let mut breaker = Breaker::new(TERMS);
        for _ in 0..4 {
            assert_eq!([1, 2].map(|_| breaker.failed(false, now, 1.0)), [false, false]);
            breaker.began(false);
            breaker.completed();
            assert!(breaker.permits(now));
        }
        // An answer that begins and breaks off is none.
        (0..3).for_each(|_| {
            breaker.began(false);
            breaker.failed(false, now, 1.0);
        });
        assert_eq!((breaker.id(), breaker.permits(now), breaker.wait(now)), ("open", false, Duration::from_secs(1)));
        let mut never = Breaker::new(Terms { failures: 0, ..TERMS });
        assert!(!(0..99).any(|_| never.failed(false, now, 1.0)));
        assert!(never.permits(now));
    }

    #[test]
    fn one_request_tries_it_after_the_pause() {
        let start = Instant::now();
        let mut breaker = open(start);
        let later = start + Duration::from_secs(1);
        assert!(!breaker.permits(start) && breaker.permits(later));
        assert!(breaker.enter());
        assert_eq!((breaker.id(), breaker.permits(later)), ("half_open", false));
        // Requests that were sent before say nothing new.
        assert!(!breaker.failed(false, later, 1.0));
        breaker.completed();
        assert_eq!(breaker.id(), "half_open");
        // A client that left leaves the trial to the next.
        breaker.released(later);
        assert!(breaker.permits(later) && breaker.enter());
        breaker.began(true);
        assert_eq!((breaker.id(), breaker.permits(later)), ("closed", true));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_jittered() {
        let now = Instant::now();
        let mut breaker = open(now);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            breaker.enter();
            assert!(breaker.failed(true, now, 1.0));
            pauses.push(breaker.wait(now).as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 10, 10]);
        breaker.enter();
        breaker.failed(true, now, 0.0);
        assert_eq!(breaker.wait(now).as_secs(), 5);
    }
}
