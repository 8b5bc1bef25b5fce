//! How the judge is: one that fails again and again is left alone for a while, so that it does not cost every message its
//! deadline; and what it answers in place of an opinion is told in the log, now and then.

use http::StatusCode;
use std::time::Duration;
use tokio::time::Instant;

/// After so many failures in a row it is left alone, for so long.
const FAILURES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(10);

/// It is complained of once in this time.
const COMPLAINT: Duration = Duration::from_secs(60);

/// How the judge was lately.
#[derive(Default)]
pub(super) struct Health {
    /// Failures since it last answered.
    in_a_row: u32,
    paused_until: Option<Instant>,
    complained: Option<Instant>,
}

impl Health {
    /// Whether it is left alone now.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Notes an answer.
    pub(super) fn lives(&mut self) {
        (self.in_a_row, self.paused_until) = (0, None);
    }

    /// Notes a failure. Behind a pause, one more is enough for the next.
    pub(super) fn fails(&mut self, now: Instant) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row >= FAILURES {
            self.paused_until = Some(now + PAUSE);
        }
    }

    /// Whether to complain now.
    pub(super) fn may_complain(&mut self, now: Instant) -> bool {
        let may = self.complained.is_none_or(|last| now.saturating_duration_since(last) >= COMPLAINT);
        if may {
            self.complained = Some(now);
        }
        may
    }
}

/// Whether an answer of this status is a sign of life: of what the text itself can bring about, a caller could make five.
pub(super) fn is_alive(status: StatusCode) -> bool {
    let of_the_text = [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    status.is_success() || of_the_text.contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_that_fails_five_times_in_a_row_is_left_alone_for_ten_seconds() {
        let (mut health, start) = (Health::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for failures in [4, 4] {
            (0..failures).for_each(|_| health.fails(start));
            assert!(!health.is_paused(start));
            health.lives();
        }
        (0..5).for_each(|_| health.fails(start));
        assert_eq!([0, 9, 10].map(|seconds| health.is_paused(at(seconds))), [true, true, false]);
        health.fails(at(11));
        assert!(health.is_paused(at(20)) && !health.is_paused(at(21)));
        health.lives();
        health.fails(at(22));
        assert!(!health.is_paused(at(22)));
    }

    #[test]
    fn it_is_complained_of_once_a_minute() {
        let (mut health, start) = (Health::default(), Instant::now());
        let complained =
            [0, 1, 59, 60, 61, 121].map(|seconds| health.may_complain(start + Duration::from_secs(seconds)));
        assert_eq!(complained, [true, false, false, true, false, true]);
    }

    #[test]
    fn what_a_text_can_bring_about_is_no_failure() {
        let lives = [200, 400, 403, 413, 422, 401, 404, 429, 500, 503]
            .map(|code| is_alive(StatusCode::from_u16(code).unwrap()));
        assert_eq!(lives, [true, true, true, true, true, false, false, false, false, false]);
    }
}
