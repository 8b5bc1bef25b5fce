//! A text as words, each with what stands before it and what is known of it.

use super::lexicon::{self, Known};
use std::borrow::Cow;
use std::ops::Range;

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `word`.
    Lower,
    /// `Word`, `McWord`, `O'Word`.
    Capital,
    /// `WORD`.
    Capitals,
    /// One capital letter.
    Initial,
    /// With a digit.
    Number,
    /// Any other.
    Mixed,
}

/// A word of a text.
pub(super) struct Word<'a> {
    /// What stands between the word before and this one.
    pub(super) gap: &'a str,
    /// Its bytes, without `'s`.
    pub(super) range: Range<usize>,
    /// In small letters, without `'s`.
    pub(super) low: Cow<'a, str>,
    pub(super) shape: Shape,
    pub(super) known: Known,
    /// Whether `'s` stood behind it.
    pub(super) owns: bool,
    /// Whether its line is in capitals, so that capitals tell nothing.
    pub(super) loud: bool,
}

impl Word<'_> {
    /// Whether it begins a sentence or a line, so that its capital tells little.
    pub(super) fn opens(&self) -> bool {
        self.gap.is_empty() || self.gap.contains(['.', '!', '?', '\n', ':', '•', '"', '“'])
    }

    /// Whether a space and no more stands before it.
    pub(super) fn follows(&self) -> bool {
        self.gap == " "
    }

    pub(super) fn is(&self, known: Known) -> bool {
        self.known & known != 0
    }
}

/// The words of a text.
pub(super) fn of(text: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::with_capacity(text.len() / 6);
    let mut end = 0;
    let mut line = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((start, first)) = characters.next() {
        if !first.is_alphanumeric() {
            continue;
        }
        let mut stop = start + first.len_utf8();
        while let Some((at, c)) = characters.peek().copied() {
            let inside = is_inside(c) || (is_joint(c) && text.get(at + c.len_utf8()..).is_some_and(begins_word));
            if !inside {
                break;
            }
            stop = at + c.len_utf8();
            characters.next();
        }
        let gap = text.get(end..start).unwrap_or_default();
        if gap.contains('\n') {
            line = set_loud(&mut words, line);
        }
        let written = text.get(start..stop).unwrap_or_default();
        end = stop;
        let bare =
            written.strip_suffix("'s").or_else(|| written.strip_suffix("’s")).or_else(|| written.strip_suffix("'S"));
        let owns = bare.is_some();
        let bare = bare.unwrap_or(written);
        let shape = shape(bare);
        let low = if shape == Shape::Lower { Cow::Borrowed(bare) } else { Cow::Owned(bare.to_lowercase()) };
        let known = lexicon::known(&low);
        words.push(Word { gap, range: start..start + bare.len(), low, shape, known, owns, loud: false });
    }
    set_loud(&mut words, line);
    words
}

/// Says of the words of the last line whether they are in capitals; returns where the next line begins.
fn set_loud(words: &mut [Word<'_>], line: usize) -> usize {
    let count = words.len();
    let line = words.get_mut(line..).unwrap_or_default();
    let number = |shape: Shape| line.iter().filter(|word| word.shape == shape).count();
    let loud = number(Shape::Capitals) > number(Shape::Lower) + number(Shape::Capital);
    line.iter_mut().for_each(|word| word.loud = loud);
    count
}

fn is_inside(c: char) -> bool {
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

const fn is_joint(c: char) -> bool {
    matches!(c, '\'' | '’' | '-' | '‐')
}

fn begins_word(rest: &str) -> bool {
    rest.starts_with(char::is_alphanumeric)
}

fn shape(word: &str) -> Shape {
    let mut letters = word.chars().filter(|c| c.is_alphanumeric());
    let Some(first) = letters.next() else { return Shape::Mixed };
    if word.contains(|c: char| c.is_numeric()) {
        return Shape::Number;
    }
    let (mut small, mut large) = (0, 0);
    letters.for_each(|c| if c.is_uppercase() { large += 1 } else { small += 1 });
    match (first.is_uppercase(), small, large) {
        (false, _, 0) => Shape::Lower,
        (true, 0, 0) => Shape::Initial,
        (true, 0, _) => Shape::Capitals,
        (true, _, 0) => Shape::Capital,
        // Parts that begin with capitals: McDonald, Al-Masri, O'Brien.
        (true, _, 1 | 2) if small >= 2 => Shape::Capital,
        _ => Shape::Mixed,
    }
}

/// At most so many bytes before a place.
pub(super) fn before(text: &str, at: usize, most: usize) -> &str {
    text.get(text.floor_char_boundary(at.saturating_sub(most))..at).unwrap_or_default()
}

/// At most so many bytes from a place on.
pub(super) fn after(text: &str, at: usize, most: usize) -> &str {
    text.get(at..text.floor_char_boundary(at.saturating_add(most))).unwrap_or_default()
}

/// Whether a number from `range` stands alone: no digit, and no sign that joins digits, next to it.
pub(super) fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let joins = |c: char| matches!(c, '.' | '/' | '-' | ',' | ':');
    let mut left = before(text, range.start, 8).chars().rev();
    let mut right = after(text, range.end, 8).chars();
    let free = |first: Option<char>, second: Option<char>| match first {
        Some(c) if c.is_alphanumeric() || c == '_' => false,
        Some(c) if joins(c) => !second.is_some_and(|c| c.is_ascii_digit()),
        _ => true,
    };
    free(left.next(), left.next()) && free(right.next(), right.next())
}

/// Whether a text goes on with a unit or a share, so that the number before it is a measure.
pub(super) fn is_measured(rest: &str) -> bool {
    let rest = rest.trim_start_matches([' ', '-']);
    if rest.starts_with('%') {
        return true;
    }
    let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    lexicon::listed(&rest.get(..end).unwrap_or_default().to_lowercase()) & lexicon::UNIT != 0
}
