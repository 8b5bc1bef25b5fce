//! The words that stand before and behind names.

use super::super::lexicon::{CLOSING, FORMAL, GREETING, KIN, LABEL, TITLE, VERB, WITH};
use super::super::words::{Shape, Word};

/// What the words before a word say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// Nothing.
    None,
    /// That a person may be named: "my husband", "seen by".
    Near,
    /// That a name stands here: "Patient:", "my name is".
    Label,
    /// A title.
    Title,
}

/// What the words before a word say.
pub(super) fn before(words: &[Word<'_>], at: usize) -> Cue {
    let back = |back: usize| at.checked_sub(back).and_then(|at| words.get(at));
    let (Some(word), Some(last)) = (words.get(at), back(1)) else { return Cue::None };
    let gap = word.gap;
    let (low, second) = (&*last.low, back(2).map_or("", |word| &*word.low));
    // "438 ms. Plan" has no title.
    let counted = last.shape == Shape::Lower && back(2).is_some_and(|word| word.shape == Shape::Number);
    let title = !counted && (last.shape != Shape::Capitals || last.loud || low != "ms");
    if title && (gap == " " && last.is(TITLE | FORMAL) || matches!(gap, ". " | "." | ".  ") && last.is(FORMAL)) {
        return Cue::Title;
    }
    let line = gap.contains('\n');
    let signs = |allowed: &str| gap.chars().all(|c| allowed.contains(c));
    if gap.contains([':', '=']) && signs(" \t:=#*_().s\"") && (last.is(LABEL) || low == "of") {
        return Cue::Label;
    }
    if last.is(CLOSING) && (line || gap == ", ") && signs(" ,\n\r-–—.!") {
        return if line { Cue::Label } else { Cue::Near };
    }
    if line || gap.contains(['.', '!', '?', ';', '|', '^']) {
        return Cue::None;
    }
    let near = matches!(gap.trim_matches([' ', '\t']), "" | "," | "(" | ":" | "-" | "–" | "—" | "\"" | "“" | ":\"");
    let by_name = match low {
        "is" | "was" | "as" if matches!(second, "name" | "names") => true,
        "its" | "it's" => matches!(second, "hey" | "hi" | "hello"),
        "signed" | "named" | "surnamed" => true,
        "name" => matches!(second, "last" | "first" | "maiden" | "middle" | "family") || gap.contains([':', '"']),
        "by" => second == "goes",
        _ => false,
    };
    let nearby = match low {
        "is" | "it's" | "its" => matches!(second, "this" | "here" | "that" | "hi" | "hello" | "hey") || low != "is",
        "by" => back(2).is_some_and(|word| word.is(VERB)),
        "with" => back(2).is_some_and(|word| word.is(WITH)),
        "to" => matches!(
            second,
            "spoke" | "speak" | "talked" | "referred" | "talk" | "called" | "listen" | "married" | "given"
        ),
        "me" => matches!(second, "call" | "calls"),
        "called" | "call" => true,
        _ => last.is(KIN | GREETING),
    };
    match (near, by_name, nearby) {
        (true, true, _) => Cue::Label,
        (true, false, true) => Cue::Near,
        _ => Cue::None,
    }
}

/// Whether the label before a word names nothing but names.
pub(super) fn is_name_label(words: &[Word<'_>], at: usize) -> bool {
    let label = |back: usize| at.checked_sub(back).and_then(|at| words.get(at)).map_or("", |word| &*word.low);
    matches!(label(1), "name" | "narne" | "surname" | "alias" | "signed" | "named")
        || label(2) == "name"
        || matches!((label(2), label(1)), ("hey" | "hi" | "hello", "its" | "it's"))
}

/// `Jr`, `III`.
pub(super) fn suffix(low: &str) -> bool {
    matches!(low, "jr" | "sr" | "ii" | "iii" | "iv")
}

/// A word between the parts of a name.
pub(super) fn particle(low: &str) -> bool {
    const PARTICLES: &str = "de del la las los van der den von zu bin bint ibn al el da dos das di du le ter ten abu mac \
        ben y e st ó ní nic o della san santa";
    PARTICLES.split(' ').any(|particle| particle == low)
}
