//! A server that fails again and again is left alone for a while; then one request tries whether it is back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What keeps requests from a server that fails. Shared by all workers.
pub(super) struct Breaker {
    /// After so many failures in a row it opens,
    failures: u32,
    /// for so long.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Requests pass; so many failed in a row.
    Closed(u32),
    /// None passes before then.
    Open(Instant),
    /// One is on its way. Should it never come back, another may try then.
    HalfOpen(Instant),
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may.
    Pass,
    /// It may, and its outcome decides for all.
    Probe,
    /// It may not.
    Paused,
}

impl Breaker {
    /// A closed one.
    pub(super) fn new(failures: u32, pause: Duration) -> Self {
        Self { failures, pause, state: Mutex::new(State::Closed(0)) }
    }

    /// Whether a request may pass now.
    pub(super) fn turn(&self, now: Instant) -> Turn {
        let mut state = self.state();
        match *state {
            State::Closed(_) => Turn::Pass,
            State::Open(until) | State::HalfOpen(until) if now < until => Turn::Paused,
            State::Open(_) | State::HalfOpen(_) => {
                *state = State::HalfOpen(now + self.pause);
                Turn::Probe
            }
        }
    }

    /// Notes an answer to a request that passed by `turn`; says whether it closes the breaker.
    pub(super) fn succeeds(&self, turn: Turn) -> bool {
        let mut state = self.state();
        // What was asked before it opened says nothing of the server now.
        let closes = turn == Turn::Probe;
        if closes || matches!(*state, State::Closed(_)) {
            *state = State::Closed(0);
        }
        closes
    }

    /// Notes a failure; says whether it opens the breaker.
    pub(super) fn fails(&self, turn: Turn, now: Instant) -> bool {
        let mut state = self.state();
        match (*state, turn) {
            (State::Closed(before), Turn::Pass) if before.saturating_add(1) < self.failures => {
                *state = State::Closed(before.saturating_add(1));
                false
            }
            (State::Closed(_), _) | (State::HalfOpen(_), Turn::Probe) => {
                *state = State::Open(now + self.pause);
                true
            }
            _ => false,
        }
    }

    /// Opens it at once; says whether it was not open before.
    pub(super) fn open(&self, now: Instant) -> bool {
        let before = std::mem::replace(&mut *self.state(), State::Open(now + self.pause));
        !matches!(before, State::Open(_))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> (Breaker, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Breaker::new(3, Duration::from_secs(10)), move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_probe_closes_it() {
        let (breaker, at) = breaker();
        assert_eq!([0, 0].map(|now| breaker.fails(Turn::Pass, at(now))), [false, false]);
        assert!(!breaker.succeeds(Turn::Pass));
        assert_eq!([1, 1, 1].map(|now| breaker.fails(Turn::Pass, at(now))), [false, false, true]);
        assert_eq!(
            [1, 10, 11, 11].map(|now| breaker.turn(at(now))),
            [Turn::Paused, Turn::Paused, Turn::Probe, Turn::Paused]
        );
        assert!(breaker.fails(Turn::Probe, at(12)));
        assert_eq!([21, 22].map(|now| breaker.turn(at(now))), [Turn::Paused, Turn::Probe]);
        assert!(breaker.succeeds(Turn::Probe));
        assert_eq!(breaker.turn(at(22)), Turn::Pass);
    }

    #[test]
    fn what_was_asked_before_it_opened_changes_nothing() {
        let (breaker, at) = breaker();
        assert_eq!([breaker.open(at(0)), breaker.open(at(0))], [true, false]);
        assert!(!breaker.succeeds(Turn::Pass) && !breaker.fails(Turn::Pass, at(9)));
        assert_eq!([9, 10].map(|now| breaker.turn(at(now))), [Turn::Paused, Turn::Probe]);
    }

    #[test]
    fn a_probe_that_never_comes_back_is_followed_by_another() {
        let (breaker, at) = breaker();
        breaker.open(at(0));
        assert_eq!([10, 19, 20].map(|now| breaker.turn(at(now))), [Turn::Probe, Turn::Paused, Turn::Probe]);
    }
}
