//! One text of a streamed answer, in its growth.

use super::Mode;
use crate::guard::sentence::Ends;

/// How far before a new sentence a window begins, in bytes: with the sentence, about what the model reads at once.
const LOOKBACK: usize = 360;

/// One text of a choice, in its growth.
#[derive(Default)]
pub(super) struct Line {
    pub(super) text: String,
    ends: Ends,
    /// Up to here it was judged, and up to here it may leave.
    pub(super) judged: usize,
    pub(super) cleared: usize,
    /// Whether it was judged whole, as it is now.
    pub(super) is_final: bool,
}

impl Line {
    /// What of the line is to be judged: all of it when it is whole, else its new sentences with some text before them.
    pub(super) fn due(&mut self, is_whole: bool, mode: Mode) -> Option<(usize, usize)> {
        if is_whole {
            return (!self.is_final).then_some((0, self.text.len()));
        }
        if mode == Mode::Buffer {
            return None;
        }
        self.ends.look(&self.text);
        let end = self.ends.last();
        (end > self.judged).then(|| (self.ends.from(self.judged.saturating_sub(LOOKBACK)), end))
    }

    /// Notes that the line was judged up to `end`.
    pub(super) fn clear(&mut self, end: usize, is_whole: bool) {
        (self.judged, self.cleared) = (end, end);
        self.is_final = is_whole && end == self.text.len();
    }
}
