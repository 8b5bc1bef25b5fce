//! One text of a streamed answer, in its growth.

use super::Mode;
use crate::detect::phi::Kind;
use crate::guard::sentence::Ends;
use crate::guard::surrogates::{Change, Surrogates, mask, masks};
use std::collections::BTreeMap;
use std::ops::Range;

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
    /// What is to be changed in it, up to where that was looked for.
    changes: Vec<Change>,
    changed: usize,
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

    /// Looks for what is to be changed in what was cleared; gives how much is masked, by kind.
    pub(super) fn change(&mut self, surrogates: &Surrogates, masks_completions: bool) -> BTreeMap<Kind, u64> {
        let (start, mut masked) = (self.changed, BTreeMap::new());
        let new = self.text.get(start..self.cleared).unwrap_or_default();
        let mut found = surrogates.shown(new);
        if masks_completions {
            for (place, kind) in masks(new) {
                *masked.entry(kind).or_default() += 1;
                found.push((place, mask(kind)));
            }
        }
        found.sort_by_key(|(place, _)| place.start);
        self.changes.extend(found.into_iter().map(|(place, new)| (start + place.start..start + place.end, new)));
        self.changed = self.changed.max(self.cleared);
        masked
    }

    /// A part of the text as it leaves, where it is changed; what stands for something that is cut into parts comes with the
    /// last of them.
    pub(super) fn piece(&self, part: Range<usize>) -> Option<String> {
        let first = self.changes.partition_point(|(place, _)| place.end <= part.start);
        let of_part = self.changes.get(first..)?.iter().take_while(|(place, _)| place.start < part.end);
        let (mut piece, mut at, mut is_changed) = (String::new(), part.start, false);
        for (place, new) in of_part {
            is_changed = true;
            piece.push_str(self.text.get(at..place.start.max(at)).unwrap_or_default());
            if place.end <= part.end {
                piece.push_str(new);
            }
            at = place.end.min(part.end);
        }
        piece.push_str(self.text.get(at..part.end).unwrap_or_default());
        is_changed.then_some(piece)
    }
}
