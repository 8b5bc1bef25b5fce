//! One text of a streamed answer, in its growth.

use super::Mode;
use crate::detect::phi::Kind;
use crate::guard::sentence::Ends;
use crate::guard::surrogates::{Change, Surrogates, changed, escaped, mask, quoted};
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
    /// The end of the last sentence that was judged.
    pub(super) sentence: usize,
    pub(super) cleared: usize,
    /// Whether it was judged whole, as it is now.
    pub(super) is_final: bool,
    /// What is to be changed in it, up to where that was looked for.
    changes: Vec<Change>,
    changed: usize,
    /// The sentences that were taken out of it.
    cuts: Vec<Range<usize>>,
    /// Up to here it has left.
    pub(super) left: usize,
    /// Whether its choice went on in another text, and whether that came to nothing, since this one goes on after all.
    pub(super) is_behind: bool,
    is_mixed: bool,
    /// Whether it stands beside the choices, where each event may say it anew.
    pub(super) is_beside: bool,
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
        // A text that its choice has left behind ends where it is.
        let is_left = self.is_behind && (self.is_beside || !self.is_mixed);
        let end = match mode {
            _ if is_left => self.text.len(),
            Mode::Clause => self.ends.last().max(self.ends.clause()),
            _ => self.ends.last(),
        };
        (end > self.judged).then(|| (self.ends.from(self.judged.saturating_sub(LOOKBACK)), end))
    }

    /// Whether a place is within a sentence, as far as that is known.
    pub(super) fn is_within(&self, place: usize) -> bool {
        place < self.text.len() && !self.ends.all().contains(&place)
    }

    /// Adds to the text; gives the part that is new.
    pub(super) fn grow(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        self.is_mixed |= self.is_behind;
        (self.is_behind, self.is_final) = (false, false);
        start..self.text.len()
    }

    /// Notes that the line was judged up to `end`.
    pub(super) fn clear(&mut self, end: usize, is_whole: bool) {
        (self.judged, self.cleared) = (end, end);
        self.is_final = is_whole && end == self.text.len();
    }

    /// Notes that there is nothing to judge up to `end`; what was held back before it stays so.
    pub(super) fn skip(&mut self, end: usize) {
        if self.cleared == self.judged {
            self.cleared = end;
        }
        self.judged = end;
    }

    /// Looks for what is to be changed in what was cleared; gives how much is masked, by kind. In a text that `is_json`, what
    /// is put in is spelt as JSON spells it.
    pub(super) fn change(&mut self, surrogates: &Surrogates, masks: bool, is_json: bool) -> BTreeMap<Kind, u64> {
        let (start, mut masked) = (self.changed, BTreeMap::new());
        if start >= self.cleared {
            return masked;
        }
        let fit = |text: String| if is_json { escaped(&text) } else { text };
        let new = self.text.get(start..self.cleared).unwrap_or_default();
        let mut found: Vec<Change> =
            surrogates.shown(new).into_iter().map(|(place, new)| (moved(place, start), fit(new))).collect();
        if masks {
            // What a number is may stand before the sentence that it stands in.
            let from = self.text.floor_char_boundary(start.saturating_sub(LOOKBACK));
            let read = self.text.get(from..self.cleared).unwrap_or_default();
            for (place, kind) in surrogates.masks(read) {
                let place = moved(place, from);
                // What begins in what has left is masked from there on.
                if place.end > start {
                    *masked.entry(kind).or_default() += 1;
                    found.push((place.start.max(start)..place.end, mask(kind)));
                }
            }
        }
        found.sort_by_key(|(place, _)| place.start);
        let found = if is_json { quoted(&self.text, &found) } else { found };
        self.changes.extend(found.into_iter().filter_map(|change| beside(change, &self.cuts)));
        // A cut may lie behind what was looked at now.
        self.changes.sort_by_key(|(place, _)| place.start);
        self.changed = self.cleared;
        masked
    }

    /// Takes sentences out of the text, all of which was judged; `false` when one of them has left.
    pub(super) fn excise(&mut self, cuts: Vec<Change>) -> bool {
        let new: Vec<Change> = cuts.into_iter().filter(|(place, _)| !self.cuts.contains(place)).collect();
        if new.iter().any(|(place, _)| place.start < self.left) {
            return false;
        }
        self.cuts.extend(new.iter().map(|(place, _)| place.clone()));
        let kept = std::mem::take(&mut self.changes).into_iter();
        let places: Vec<Range<usize>> = new.iter().map(|(place, _)| place.clone()).collect();
        self.changes = kept.filter_map(|change| beside(change, &places)).chain(new).collect();
        self.changes.sort_by_key(|(place, _)| place.start);
        self.clear(self.text.len(), true);
        true
    }

    /// Whether sentences were taken out of it.
    pub(super) fn is_cut(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Whether a text says what was taken out of this one.
    pub(super) fn repeats(&self, said: &str) -> bool {
        let cut = |cut: &Range<usize>| self.text.get(cut.clone()).unwrap_or_default().trim();
        self.cuts.iter().map(cut).any(|cut| !cut.is_empty() && said.contains(cut))
    }

    /// All of the text as it leaves, where sentences were taken out of it.
    pub(super) fn without(&self) -> Option<String> {
        (!self.cuts.is_empty()).then(|| changed(&self.text, &self.changes))
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

/// A change outside of what is cut.
fn beside((place, new): Change, cuts: &[Range<usize>]) -> Option<Change> {
    let Some(cut) = cuts.iter().find(|cut| cut.start < place.end && place.start < cut.end) else {
        return Some((place, new));
    };
    let left = if place.start < cut.start { place.start..cut.start } else { cut.end..place.end.max(cut.end) };
    (!left.is_empty()).then_some((left, new))
}

fn moved(place: Range<usize>, by: usize) -> Range<usize> {
    place.start + by..place.end + by
}
