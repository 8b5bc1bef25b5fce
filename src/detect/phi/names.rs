//! Names of people: by the words around them, by lists of common names, and by what a text called them before.

mod cues;
mod judge;

use super::lexicon::{
    ACT, CITY, DEGREE, FAMILY, FORMAL, GIVEN, MAYBE_FAMILY, MAYBE_GIVEN, NAME, ORDINARY, OTHER, STATE, TITLE,
    like_family,
};
use super::words::{Shape, Word};
use super::{Kind, Span};
use cues::Cue;
use std::collections::{HashMap, HashSet};

/// The most parts of a name.
const MOST: usize = 6;

/// What a word can be in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A name and nothing else.
    Sure,
    /// A name, or another word.
    Maybe,
    /// A capitalised word that nobody knows.
    Unknown,
    Initial,
    /// `van`, `de la`, `bin`.
    Particle,
    /// `Jr`, `III`.
    Suffix,
    /// A capitalised word of the language.
    Word,
    None,
}

/// Names that are not in `taken`, in order.
pub(super) fn find(words: &[Word<'_>], taken: &[Span]) -> Vec<Span> {
    let is_german = |word: &&Word<'_>| {
        matches!(&*word.low, "der" | "die" | "das" | "und" | "ist" | "nicht" | "ein" | "eine" | "ich" | "sie")
    };
    let german = words.iter().filter(is_german).count() * 20 > words.len();
    let finder = Finder { words, german };
    let mut free = vec![true; words.len()];
    for span in taken {
        let first = words.partition_point(|word| word.range.end <= span.range.start);
        let inside = words.iter().zip(&mut free).skip(first).take_while(|(word, _)| word.range.start < span.range.end);
        inside.for_each(|(_, free)| *free = false);
    }
    let mut found = Vec::new();
    let mut called: HashSet<&str> = HashSet::new();
    let mut at = 0;
    while at < words.len() {
        let room = free.iter().skip(at).take(MOST * 2).take_while(|free| **free).count();
        let name = if room == 0 { None } else { finder.name(at, at + room) };
        let Some((end, cued)) = name else {
            at += 1;
            continue;
        };
        let parts = words.get(at..end).unwrap_or_default();
        if cued || parts.len() > 1 || parts.iter().any(|word| word.is(GIVEN)) {
            called.extend(parts.iter().filter(|word| is_telling(word)).map(|word| &*word.low));
        }
        free.iter_mut().skip(at).take(end - at).for_each(|free| *free = false);
        found.push(at..end);
        at = end;
    }
    called.extend(finder.speakers());
    // What has been a name once is one again, in the same text.
    let again = words.iter().zip(&free).enumerate().filter(|(at, (word, free))| {
        **free && called.contains(&*word.low) && (finder.is_again(*at) || finder.speaks(*at))
    });
    found.extend(again.map(|(at, _)| at..at + 1));
    found.sort_by_key(|name| name.start);
    let range =
        |name: std::ops::Range<usize>| Some(words.get(name.start)?.range.start..words.get(name.end - 1)?.range.end);
    let mut spans: Vec<Span> = Vec::new();
    for name in found {
        let apart = words.get(name.start).is_none_or(|word| !word.follows());
        let Some(range) = range(name) else { continue };
        match spans.last_mut() {
            Some(last) if !apart && range.start == last.range.end + 1 => last.range.end = range.end,
            _ => spans.push(Span { kind: Kind::Name, range }),
        }
    }
    spans
}

/// Whether a part of a name is worth looking for elsewhere.
fn is_telling(word: &Word<'_>) -> bool {
    word.low.chars().count() > 2 && !cues::particle(&word.low) && word.shape != Shape::Initial
}

struct Finder<'w, 't> {
    words: &'w [Word<'t>],
    /// Whether the text is German, in which capitals tell little.
    german: bool,
}

impl<'t> Finder<'_, 't> {
    fn word(&self, at: usize) -> Option<&Word<'t>> {
        self.words.get(at)
    }

    /// Where a name that begins at a word ends, and whether the words before it tell that it is one.
    fn name(&self, at: usize, limit: usize) -> Option<(usize, bool)> {
        let cue = cues::before(self.words, at);
        let end = self.run(at, limit, cue);
        let mut end = self.trimmed(at, end);
        if end == at {
            return None;
        }
        let turned = self.turned(at, end, limit);
        if self.is_name(at, end, cue) || turned.is_some_and(|_| self.is_list(at, end, cue)) {
            end = turned.unwrap_or(end);
            return Some((end, cue != Cue::None));
        }
        None
    }

    /// Whether a word stands before a colon at the start of a line, as who speaks does.
    fn speaks(&self, at: usize) -> bool {
        let line = self.word(at).is_some_and(|word| word.gap.is_empty() || word.gap.ends_with('\n'));
        line && self.word(at + 1).is_some_and(|next| next.gap == ": ")
    }

    /// Who speaks more than once in a text, by names that may be other words.
    fn speakers(&self) -> Vec<&str> {
        let mut count: HashMap<&str, usize> = HashMap::new();
        for (at, word) in self.words.iter().enumerate() {
            let name = word.is(NAME) && !word.is(OTHER) || word.known == 0 && word.low.len() > 2;
            if name && matches!(word.shape, Shape::Lower | Shape::Capital) && self.speaks(at) {
                *count.entry(&*word.low).or_default() += 1;
            }
        }
        count.into_iter().filter(|(_, times)| *times > 1).map(|(word, _)| word).collect()
    }

    fn part(&self, at: usize, cue: Cue) -> Part {
        let Some(word) = self.word(at) else { return Part::None };
        let plain = word.is(ORDINARY | OTHER | STATE);
        if self.is_spelled(at) {
            return Part::Sure;
        }
        if word.shape == Shape::Initial {
            return if &*word.low == "i" && !self.dotted(at) { Part::None } else { Part::Initial };
        }
        if cues::suffix(&word.low) && at > 0 && word.shape != Shape::Lower {
            return Part::Suffix;
        }
        let written = matches!(word.shape, Shape::Capital | Shape::Capitals);
        if cues::particle(&word.low) && (word.shape != Shape::Capitals || word.loud) && !word.is(GIVEN | FAMILY) {
            return Part::Particle;
        }
        match word.shape {
            Shape::Number | Shape::Mixed | Shape::Initial => Part::None,
            _ if word.is(GIVEN | FAMILY) => Part::Sure,
            _ if word.is(DEGREE | FORMAL | TITLE) => Part::None,
            Shape::Lower if word.is(MAYBE_GIVEN | MAYBE_FAMILY) && cue != Cue::Near => Part::Maybe,
            Shape::Lower
                if !plain && !word.is(CITY) && matches!(cue, Cue::Title | Cue::Label) && word.low.len() > 2 =>
            {
                Part::Unknown
            }
            // Behind a first name a word that nobody knows is more of the name.
            Shape::Lower if word.known == 0 && word.low.len() > 3 && self.is_behind_given(at) => Part::Unknown,
            Shape::Lower => Part::None,
            _ if written && word.is(MAYBE_GIVEN | MAYBE_FAMILY) => Part::Maybe,
            // Capitals amid small letters are an abbreviation.
            Shape::Capitals if plain || !is_spoken(&word.low) => Part::None,
            Shape::Capitals if word.loud || cue != Cue::None => Part::Unknown,
            Shape::Capitals => Part::None,
            _ if word.is(CITY) => Part::Maybe,
            _ if plain => Part::Word,
            _ => Part::Unknown,
        }
    }

    fn is_behind_given(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.word(at));
        self.word(at).is_some_and(Word::follows)
            && before.is_some_and(|word| word.is(GIVEN) && word.shape == Shape::Lower && !word.owns)
    }

    /// Whether a full stop stands behind a word.
    fn dotted(&self, at: usize) -> bool {
        self.word(at + 1).is_some_and(|next| next.gap.starts_with('.'))
    }

    /// Whether a word goes on with the name before it.
    fn joins(&self, at: usize) -> bool {
        let Some(word) = self.word(at) else { return false };
        let before = at.checked_sub(1).and_then(|at| self.word(at));
        let initial =
            before.is_some_and(|word| word.shape == Shape::Initial || cues::suffix(&word.low) || &*word.low == "st");
        let owned = before.is_some_and(|word| word.owns);
        let quoted = matches!(word.gap, " \"" | "\" " | " “" | "” " | " (" | ") ")
            && word.shape == Shape::Capital
            && word.is(NAME);
        !owned && (word.gap == " " || word.gap == "  " || quoted || (initial && matches!(word.gap, ". " | "." | ".-")))
    }

    /// The end of the words that can be one name.
    fn run(&self, at: usize, limit: usize, cue: Cue) -> usize {
        let lower = self.word(at).is_some_and(|word| word.shape == Shape::Lower);
        let mut end = at;
        while end < limit && end - at < MOST && (end == at || self.joins(end)) {
            let part = self.part(end, cue);
            let small = self.word(end).is_some_and(|word| word.shape == Shape::Lower);
            let known = self.word(end).is_some_and(|word| word.is(GIVEN | FAMILY));
            let fits = match part {
                Part::None => false,
                Part::Particle => {
                    end + 1 < limit
                        && self.joins(end + 1)
                        && !matches!(self.part(end + 1, cue), Part::None | Part::Word | Part::Suffix)
                }
                Part::Suffix => end > at,
                // An ordinary word is a name only behind a title.
                Part::Word => end == at && cue == Cue::Title,
                Part::Maybe if small => end == at || lower && (self.is_family(end) || self.closes_name(at, end)),
                _ if small && end > at => known || (lower && part == Part::Unknown),
                _ => end == at || lower == small,
            };
            if !fits {
                break;
            }
            end += 1;
        }
        end
    }

    /// Whether a word that is often something else ends a phrase behind a name, so that it is more of the name.
    fn closes_name(&self, at: usize, end: usize) -> bool {
        let sure = (at..end).any(|at| self.word(at).is_some_and(|word| word.is(GIVEN)));
        sure && self.word(end).is_some_and(|word| word.is(MAYBE_FAMILY))
            && self.word(end + 1).is_none_or(|next| next.gap != " ")
    }

    /// Whether someone acts behind "not": "may not climb".
    fn is_acting(&self, at: usize) -> bool {
        self.word(at).is_some_and(|word| &*word.low == "not")
            && self.word(at + 1).is_some_and(|next| next.follows() && next.is(ACT))
    }

    fn is_family(&self, at: usize) -> bool {
        self.word(at).is_some_and(|word| word.is(FAMILY) || (word.is(MAYBE_FAMILY) && !word.is(ORDINARY)))
    }

    /// Without what cannot stand at the end of a name.
    fn trimmed(&self, at: usize, mut end: usize) -> usize {
        while end > at && matches!(self.part(end - 1, Cue::Title), Part::Particle) {
            end -= 1;
        }
        end
    }

    /// Where a name ends whose family name stands first, with a comma behind it: `Doe, Jane A`.
    fn turned(&self, at: usize, end: usize, limit: usize) -> Option<usize> {
        let next = self.word(end).filter(|next| end < limit && matches!(next.gap, ", " | ","))?;
        let part = self.part(end, Cue::Label);
        let capital = next.shape != Shape::Lower && self.word(at).is_some_and(|word| word.shape != Shape::Lower);
        let fits = capital && end - at <= 3 && matches!(part, Part::Sure | Part::Maybe | Part::Unknown | Part::Initial);
        if !fits || self.word(end - 1).is_some_and(|word| word.owns || word.shape == Shape::Initial) {
            return None;
        }
        let mut last = end + 1;
        while last < limit
            && last - end < 3
            && self.joins(last)
            && !matches!(self.part(last, Cue::None), Part::None | Part::Word | Part::Particle)
        {
            last += 1;
        }
        Some(last)
    }

    /// Whether a family name before a comma and a first name is one.
    fn is_list(&self, at: usize, end: usize, cue: Cue) -> bool {
        let Some(first) = self.word(end) else { return false };
        let family = self.word(end - 1).is_some_and(|word| word.is(FAMILY | MAYBE_FAMILY) || like_family(&word.low));
        let initial = first.shape == Shape::Initial
            && self
                .word(end + 1)
                .is_none_or(|next| next.shape == Shape::Number || next.gap.contains(['\n', '.', ')', '|']));
        let unknown = matches!(self.part(at, cue), Part::Unknown | Part::Sure | Part::Particle | Part::Maybe);
        unknown
            && (cue == Cue::Label
                || first.is(GIVEN)
                || (family && first.is(MAYBE_GIVEN))
                || (initial && self.word(at).is_some_and(|word| word.shape != Shape::Lower)))
    }
}

/// Whether letters can be said as a word; abbreviations mostly cannot.
fn is_spoken(low: &str) -> bool {
    low.chars().count() > 2
        && low.contains([
            'a', 'e', 'i', 'o', 'u', 'y', 'á', 'é', 'í', 'ó', 'ú', 'ö', 'ü', 'ä', 'ễ', 'ị', 'ư', 'ơ', 'à', 'è',
        ])
        || low.chars().count() > 4
}

#[cfg(test)]
mod tests;
