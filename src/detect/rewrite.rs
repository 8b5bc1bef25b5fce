//! A text that was rewritten step by step, and from where in the original each part of it comes.

use std::ops::Range;

/// A text that stands for another one, the original.
#[derive(Clone, PartialEq, Eq)]
pub struct Reading {
    text: String,
    pieces: Vec<Piece>,
}

/// One stretch of the text.
#[derive(Clone, PartialEq, Eq)]
struct Piece {
    /// Where it begins in the text; it ends where the next one begins.
    at: usize,
    /// Where it comes from in the original.
    source: Range<usize>,
    /// Whether it is the source byte for byte.
    verbatim: bool,
}

/// A stretch of a text, and what takes its place.
pub(super) type Edit = (Range<usize>, String);

impl Reading {
    /// A text that stands for itself.
    pub(super) fn of(text: &str) -> Self {
        let pieces = vec![Piece { at: 0, source: 0..text.len(), verbatim: true }];
        Self { text: text.to_owned(), pieces }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the original that the bytes `range` of the text stand for; all of those that were rewritten as one.
    #[must_use]
    pub fn origin(&self, range: Range<usize>) -> Range<usize> {
        let start = self.piece_at(range.start).map_or(0, |piece| match piece.verbatim {
            true => piece.source.start + (range.start - piece.at),
            false => piece.source.start,
        });
        let last = range.end.saturating_sub(1).max(range.start);
        let end = self.piece_at(last).map_or(start, |piece| match piece.verbatim {
            true => piece.source.start + (range.end.max(piece.at) - piece.at),
            false => piece.source.end,
        });
        start..end.max(start)
    }

    fn piece_at(&self, position: usize) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.at <= position);
        self.pieces.get(after.saturating_sub(1))
    }

    /// The text with `edits` done, which are in order and do not overlap; edits that do not fit are left out.
    pub(super) fn rewrite(self, edits: &[Edit]) -> Self {
        if edits.is_empty() {
            return self;
        }
        let mut next = Self { text: String::with_capacity(self.text.len()), pieces: Vec::new() };
        let mut done = 0;
        for (range, replacement) in edits {
            let Some(kept) = self.text.get(done..range.start).filter(|_| range.end <= self.text.len()) else {
                continue;
            };
            self.keep(done, kept, &mut next);
            if !replacement.is_empty() {
                let piece = Piece { at: next.text.len(), source: self.origin(range.clone()), verbatim: false };
                next.pieces.push(piece);
                next.text.push_str(replacement);
            }
            done = range.end;
        }
        self.keep(done, self.text.get(done..).unwrap_or_default(), &mut next);
        next
    }

    /// Adds `kept`, which begins at `from`, to `next`, piece by piece.
    fn keep(&self, from: usize, kept: &str, next: &mut Self) {
        let to = from + kept.len();
        let first = self.pieces.partition_point(|piece| piece.at <= from).saturating_sub(1);
        for (index, piece) in self.pieces.iter().enumerate().skip(first).take_while(|(_, piece)| piece.at < to) {
            let end = self.pieces.get(index + 1).map_or(self.text.len(), |following| following.at);
            let (begin, end) = (piece.at.max(from), end.min(to));
            if begin < end {
                let source = match piece.verbatim {
                    true => piece.source.start + (begin - piece.at)..piece.source.start + (end - piece.at),
                    false => piece.source.clone(),
                };
                next.pieces.push(Piece { at: next.text.len() + (begin - from), source, verbatim: piece.verbatim });
            }
        }
        next.text.push_str(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rewritten_text_remembers_where_it_comes_from() {
        let reading = Reading::of("b4ck to the fut\u{200b}ure");
        let reading = reading.rewrite(&[(0..4, "back".into()), (15..18, String::new())]);
        assert_eq!(reading.text(), "back to the future");
        assert_eq!(reading.origin(0..4), 0..4);
        assert_eq!(reading.origin(5..7), 5..7);
        assert_eq!(reading.origin(12..18), 12..21);
        let again = reading.rewrite(&[(0..7, "x".into())]);
        assert_eq!(again.text(), "x the future");
        assert_eq!(again.origin(0..1), 0..7);
        assert_eq!(again.origin(2..5), 8..11);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_found_at_its_origin(text in "[a-c ]{0,40}", cuts in proptest::collection::vec((0_usize..40, 0_usize..6, "[x-z]{0,3}"), 0..5)) {
            let mut edits: Vec<Edit> = Vec::new();
            let mut sorted = cuts;
            sorted.sort_by_key(|cut| cut.0);
            for (start, length, replacement) in sorted {
                let floor = edits.last().map_or(0, |(range, _)| range.end);
                let range = start.max(floor).min(text.len())..(start.max(floor) + length).min(text.len());
                edits.push((range, replacement));
            }
            let reading = Reading::of(&text).rewrite(&edits);
            for (at, letter) in reading.text().char_indices() {
                let origin = reading.origin(at..at + 1);
                prop_assert!(origin.end <= text.len());
                if !('x'..='z').contains(&letter) {
                    let kept = letter.to_string();
                    prop_assert_eq!(text.get(origin), Some(kept.as_str()));
                }
            }
        }
    }
}
