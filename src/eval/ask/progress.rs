//! How far it is, on the standard error: one line that is written anew where that is a terminal, else one now and then.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far something is.
pub struct Progress {
    what: String,
    total: usize,
    is_terminal: bool,
    state: Mutex<State>,
}

struct State {
    done: usize,
    faults: usize,
    began: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// Nothing of `total` is done yet.
    #[must_use]
    pub fn new(what: &str, total: usize) -> Self {
        let state = Mutex::new(State { done: 0, faults: 0, began: Instant::now(), shown: None });
        Self { what: what.to_owned(), total, is_terminal: std::io::stderr().is_terminal(), state }
    }

    /// One more is done, or went wrong.
    pub fn step(&self, is_fault: bool) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        state.faults += usize::from(is_fault);
        let every = Duration::from_millis(if self.is_terminal { 200 } else { 10_000 });
        let since = now.saturating_duration_since(state.shown.unwrap_or(state.began));
        let is_first = state.shown.is_none() && self.is_terminal;
        if state.done < self.total && !is_first && since < every {
            return;
        }
        state.shown = Some(now);
        let line = line((&self.what, self.total), (state.done, state.faults), now - state.began);
        let (begin, end) = match (self.is_terminal, state.done < self.total) {
            (true, true) => ("\r\x1b[K", ""),
            (true, false) => ("\r\x1b[K", "\n"),
            (false, _) => ("", "\n"),
        };
        // Nobody may be there to read it.
        drop(write!(std::io::stderr(), "{begin}{line}{end}"));
    }
}

fn line((what, total): (&str, usize), (done, faults): (usize, usize), took: Duration) -> String {
    let rate = done as f64 / took.as_secs_f64().max(1e-3);
    let left = Duration::from_secs((total.saturating_sub(done) as f64 / rate.max(1e-9)).ceil() as u64);
    let faults = if faults == 0 { String::new() } else { format!(", {faults} without an answer") };
    let left = if done >= total { "done".to_owned() } else { format!("{} left", humantime::format_duration(left)) };
    format!("{what}: {done} of {total}{faults}, {rate:.1} a second, {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_rate() {
        let at = |done, faults, seconds| line(("violations", 240), (done, faults), Duration::from_secs(seconds));
        assert_eq!(at(120, 0, 10), "violations: 120 of 240, 12.0 a second, 10s left");
        assert_eq!(at(10, 2, 1), "violations: 10 of 240, 2 without an answer, 10.0 a second, 23s left");
        assert_eq!(at(240, 0, 80), "violations: 240 of 240, 3.0 a second, done");
    }
}
