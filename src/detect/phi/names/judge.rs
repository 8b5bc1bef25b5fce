//! Whether words that can be a name are one.

use super::super::lexicon::{
    ACT, BELONGING, DEGREE, DOSE, FAMILY, FINDING, FORMAL, GIVEN, INSTITUTION, KIN, LETTER, MAYBE_FAMILY, MAYBE_GIVEN,
    NAME, NEVER, ORDINARY, OTHER, SAID, STATE, known, like_family, listed,
};
use super::super::words::{Shape, Word};
use super::cues::{self, Cue};
use super::{Finder, Part};

impl Finder<'_, '_> {
    /// Whether words that can be a name are one.
    pub(super) fn is_name(&self, at: usize, end: usize, cue: Cue) -> bool {
        let parts: Vec<Part> = (at..end).map(|at| self.part(at, cue)).collect();
        let count = |part: Part| parts.iter().filter(|found| **found == part).count();
        let (sure, maybe, unknown) = (count(Part::Sure), count(Part::Maybe), count(Part::Unknown));
        let Some((first, last)) = self.word(at).zip(self.word(end - 1)) else { return false };
        let full = sure + maybe + unknown + count(Part::Initial) > 1;
        let next = self.word(end).filter(|next| next.gap == " " || last.owns);
        let finding = next.is_some_and(|next| next.is(FINDING));
        let place = next.is_some_and(|next| next.shape != Shape::Lower && next.is(INSTITUTION));
        if cue == Cue::Title {
            return self.is_titled(at, end);
        }
        if (finding && (sure <= 1 || last.owns)) || (place && cue == Cue::None) || self.is_treatment(end) {
            return false;
        }
        let credential = self
            .word(end)
            .is_some_and(|next| matches!(next.gap, ", " | " " | ",") && next.shape != Shape::Lower && next.is(DEGREE));
        let said = self.word(end).is_some_and(|next| next.follows() && !last.owns && next.is(SAID));
        let owned = last.owns && self.word(end).is_some_and(|next| next.follows() && next.is(BELONGING | KIN));
        let aged = self.word(end).is_some_and(|next| {
            matches!(next.gap, ", " | " (")
                && next.shape == Shape::Number
                && next.low.len() <= 4
                && (full || next.low.ends_with(['m', 'f', 'y']))
        });
        let acts = self.word(end).is_some_and(|next| next.follows() && is_modal(&next.low))
            && self.word(end + 1).is_some_and(|next| {
                next.follows() && next.is(ACT | NEVER) && (next.is(ACT) || self.is_acting(end + 1))
            });
        let closes = first.gap.contains('\n') && end + 2 >= self.words.len();
        let evidence = credential || said || owned || aged || acts || closes;
        let small = first.shape == Shape::Lower;
        match cue {
            Cue::Label if sure > 0 && !small => true,
            Cue::Label if sure + maybe + unknown > 0 && (maybe == 0 || !small) => {
                full || evidence || cues::is_name_label(self.words, at) || self.ends_line(end)
            }
            Cue::Near if !small && (sure + unknown > 0 || (maybe > 0 && !first.is(OTHER))) => {
                unknown == 0 || sure > 0 || full || !first.opens() || evidence || first.gap.starts_with('\n')
            }
            _ if self.is_spelled(at) => true,
            _ if small => self.is_small(at, end) || (owned && self.is_stranger(at)),
            _ if evidence && unknown == 1 && closes => true,
            _ if sure > 0 && (full || self.is_alone(at, end)) => true,
            _ if evidence && (unknown > 0 || (maybe > 0 && full)) => true,
            _ if evidence && maybe > 0 && first.is(MAYBE_GIVEN) && !first.is(OTHER) && said => true,
            _ if count(Part::Initial) > 0 && full => self.is_initialled(at, end),
            _ if maybe > 0 && full && first.is(MAYBE_GIVEN) => {
                !first.is(OTHER) || !first.opens() || like_family(&last.low)
            }
            _ if unknown > 1 => !(first.loud || self.german) || like_family(&last.low) || like_family(&first.low),
            _ if unknown == 1 && last.shape == Shape::Initial => !first.opens() && self.dotted(end - 1),
            _ if maybe == 1 && !full => self.is_amid(at),
            _ => false,
        }
    }

    /// A common name that stands by itself.
    fn is_alone(&self, at: usize, end: usize) -> bool {
        let single = (at..end).filter_map(|at| self.word(at)).find(|word| word.is(GIVEN | FAMILY));
        single.is_some_and(|word| word.shape == Shape::Capital || (word.shape == Shape::Capitals && word.low.len() > 3))
    }

    /// A name in small letters: a first name that is no other word, or two parts of which one is sure.
    fn is_small(&self, at: usize, end: usize) -> bool {
        let Some(first) = self.word(at) else { return false };
        let apart = first.gap.is_empty() || first.gap.ends_with([' ', '\n', '(', '"', '\t', '“']);
        let long = first.low.chars().count();
        let first_name = apart && (first.is(GIVEN) && long > 2 || first.is(FAMILY) && long > 4);
        let pair = end - at > 1
            && first.is(GIVEN | MAYBE_GIVEN | FAMILY)
            && (at + 1..end).any(|at| self.word(at).is_some_and(|word| word.is(FAMILY)));
        first_name || pair
    }

    /// A name that is spelled: `o-k-o-r-o`.
    pub(super) fn is_spelled(&self, at: usize) -> bool {
        let Some(word) = self.word(at) else { return false };
        let before = at.checked_sub(1).and_then(|at| self.word(at));
        word.low.len() > 6
            && word.low.split('-').all(|letter| letter.chars().count() == 1)
            && (before.is_some_and(|word| matches!(&*word.low, "that" | "that's" | "spelled" | "spelt"))
                || known(&word.low.replace('-', "")) & NAME != 0)
    }

    /// A word in small letters that nobody knows.
    fn is_stranger(&self, at: usize) -> bool {
        self.word(at).is_some_and(|word| word.known == 0 && word.low.len() > 2)
    }

    /// A word that can be a first name, with a capital that nothing but a name explains.
    fn is_amid(&self, at: usize) -> bool {
        let Some(word) = self.word(at) else { return false };
        let before = at.checked_sub(1).and_then(|at| self.word(at));
        let joins = |word: &Word<'_>| matches!(&*word.low, "and" | "but" | "maybe" | "with");
        let quiet =
            before.is_some_and(|word| word.shape == Shape::Lower || joins(word)) && matches!(word.gap, " " | ", ");
        let after =
            self.word(at + 1).is_none_or(|next| matches!(next.shape, Shape::Lower | Shape::Initial) || next.gap != " ");
        word.shape == Shape::Capital && word.is(MAYBE_GIVEN) && !word.is(OTHER | STATE) && quiet && after
    }

    /// Initials and a family name: `J. R. Okafor`.
    fn is_initialled(&self, at: usize, end: usize) -> bool {
        let Some((first, last)) = self.word(at).zip(self.word(end - 1)) else { return false };
        let before = at.checked_sub(1).and_then(|at| self.word(at));
        let type_of = before.is_some_and(|word| first.gap == " " && word.is(LETTER));
        let species = "coli diff difficile pylori aureus aeruginosa pneumoniae faecalis albicans";
        let unknown = !first.opens()
            && last.shape == Shape::Capital
            && !last.is(ORDINARY | OTHER)
            && !species.contains(&*last.low);
        let family = last.is(FAMILY | MAYBE_FAMILY) || unknown;
        let dotted = self.dotted(at)
            || (at..end).any(|at| self.word(at).is_some_and(|word| word.shape == Shape::Initial) && self.dotted(at));
        !type_of
            && family
            && dotted
            && last.shape != Shape::Lower
            && last.shape != Shape::Initial
            && end - at <= 4
            && (!last.is(OTHER) || last.is(NAME))
    }

    fn is_titled(&self, at: usize, end: usize) -> bool {
        let Some(first) = self.word(at) else { return false };
        // "Mr B" is nobody.
        if end - at == 1 && first.shape == Shape::Initial {
            return false;
        }
        let formal = at.checked_sub(1).and_then(|at| self.word(at)).is_some_and(|title| title.is(FORMAL));
        let ordinary = first.is(ORDINARY | OTHER) && !first.is(NAME) && first.shape != Shape::Initial;
        let small = first.shape == Shape::Lower;
        let certain = end - at > 1 && (at..end).any(|at| self.word(at).is_some_and(|word| word.is(GIVEN | FAMILY)));
        match (small, formal) {
            (false, true) => !ordinary || (first.shape == Shape::Capital && !first.is(NEVER)),
            (false, false) => !ordinary && !self.word(end).is_some_and(|next| next.gap == " " && next.is(FINDING)),
            (true, true) => !ordinary && (!first.is(ORDINARY) || first.is(MAYBE_FAMILY) || certain),
            (true, false) => {
                first.is(GIVEN | FAMILY)
                    || (first.is(NAME) && !first.is(ORDINARY))
                    || (!first.is(ORDINARY | OTHER) && first.low.len() > 3)
                    || certain
            }
        }
    }

    /// Whether a dose follows, as it does behind a drug.
    fn is_treatment(&self, at: usize) -> bool {
        let Some((dose, unit)) = self.word(at).zip(self.word(at + 1)) else { return false };
        let attached = dose.low.trim_start_matches(|c: char| c.is_ascii_digit());
        dose.follows()
            && dose.shape == Shape::Number
            && (listed(attached) & DOSE != 0 || (unit.gap == " " && unit.is(DOSE)))
    }

    fn ends_line(&self, at: usize) -> bool {
        self.word(at).is_none_or(|next| {
            next.gap.contains('\n')
                || next.gap.starts_with("  ")
                || next.gap.starts_with([',', ';', '(', '\t'])
                || next.gap.starts_with(" (")
        })
    }

    /// Whether a part of a name that the text has used stands for it here.
    pub(super) fn is_again(&self, at: usize) -> bool {
        let Some(word) = self.word(at) else { return false };
        let finding = self.word(at + 1).is_some_and(|next| (next.gap == " " || word.owns) && next.is(FINDING));
        let plain = word.is(ORDINARY | OTHER);
        let written = match word.shape {
            Shape::Lower => !plain,
            Shape::Capital => !plain || (!word.opens() && !word.is(OTHER)),
            Shape::Capitals => !plain,
            _ => false,
        };
        written && !finding
    }
}

fn is_modal(low: &str) -> bool {
    matches!(
        low,
        "will" | "may" | "can" | "should" | "would" | "could" | "did" | "does" | "has" | "had" | "might" | "didn't"
    )
}
