//! How what may not pass as it is is changed, so that it may: text is removed, or words of the policy are put in its
//! place. Nothing is ever paraphrased, so that no dose, number or diagnosis can change.

use super::sentence::Ends;
use super::surrogates::Change;
use crate::policy::taxonomy::Principle;

/// A completion must keep so many words, and so large a part of its words, to be sound without the rest.
const FEWEST_WORDS: usize = 8;
const LEAST_PART: f64 = 0.3;

/// What the LLM is told of a prompt that passes so, or of an answer of its own that may not.
pub(super) fn steer(principle: Principle) -> String {
    format!(
        "The next request may go against the AMA Principles of Medical Ethics, {}. Do not help with what would go against it. \
         Say so in one kind sentence, and then help with the ethical alternative that serves the need behind the request.",
        principle.means()
    )
}

/// The sentences of a text; together they are the text.
#[must_use]
pub fn sentences(text: &str) -> Vec<&str> {
    let mut ends = Ends::default();
    ends.look(text);
    let mut rest = text;
    let mut at = 0;
    let mut sentences = Vec::new();
    for end in ends.all() {
        let (sentence, after) = rest.split_at_checked(end - at).unwrap_or((rest, ""));
        sentences.push(sentence);
        (rest, at) = (after, *end);
    }
    sentences.extend(Some(rest).filter(|rest| !rest.is_empty()));
    sentences
}

/// What takes the sentences that are `bad` out of their text, each run of them with a notice in its place; `None` when too
/// little is left, or nothing was found to take out.
pub(super) fn without(sentences: &[&str], bad: &[bool], notice: &str) -> Option<Vec<Change>> {
    let mut cuts: Vec<Change> = Vec::new();
    let (mut kept, mut total, mut at) = (0, 0, 0);
    for (sentence, bad) in sentences.iter().zip(bad) {
        let words = sentence.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count();
        let place = at..at + sentence.len();
        at = place.end;
        total += words;
        if !bad {
            kept += words;
            continue;
        }
        // What ends a line still does.
        let end = if sentence.ends_with('\n') { "\n" } else { " " };
        let words = |is_first| if is_first { format!("[{notice}]{end}") } else { format!("[…]{end}") };
        let is_first = cuts.len() <= 1;
        match cuts.last_mut().filter(|(last, _)| last.end == place.start) {
            Some((last, told)) => (last.end, *told) = (place.end, words(is_first)),
            None => cuts.push((place, words(cuts.is_empty()))),
        }
    }
    let is_sound = kept >= FEWEST_WORDS && kept as f64 >= LEAST_PART * total as f64;
    (!cuts.is_empty() && is_sound).then_some(cuts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::surrogates::changed;

    #[test]
    fn bad_sentences_leave_and_a_notice_stands_in_their_place() {
        let text = "Take the tablets with a glass of water. Bad one. Bad two of them! Rest for a day or two. Bad three.\nThen call us.";
        let all = sentences(text);
        assert_eq!(all.concat(), text);
        let bad: Vec<bool> = all.iter().map(|one| one.starts_with("Bad")).collect();
        let left = changed(text, &without(&all, &bad, "removed").unwrap());
        let expected = "Take the tablets with a glass of water. [removed] Rest for a day or two. […]\nThen call us.";
        assert_eq!(left, expected);
    }

    #[test]
    fn what_leaves_nothing_sound_is_not_cut() {
        let all = sentences("Sure. Bad one in many many words. Bad two in many many words.");
        assert_eq!(without(&all, &[false, true, true], "removed"), None);
        let long = sentences("One two three four five six seven eight nine ten.");
        assert_eq!(without(&long, &[false], "removed"), None, "nothing is bad by itself");
    }
}
