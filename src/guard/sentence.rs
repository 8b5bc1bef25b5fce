//! Where a text that grows may be cut: at the ends of its sentences, and of its lines.
//!
//! A sentence that goes on without an end may be cut at a clause, and at last at a word; a run without a blank, such as
//! encoded data, never.

/// From so many bytes on, a sentence may be cut at the end of a clause, and from twice as many at a word.
const LONG: usize = 320;

/// A line, or an exclamation, ends a sentence of so many words, and a mark a clause.
const FEWEST_WORDS: usize = 4;

/// Words that end in a full stop and do not end a sentence.
const ABBREVIATIONS: [&str; 27] = [
    "dr", "mr", "mrs", "ms", "prof", "st", "mt", "e.g", "i.e", "vs", "etc", "cf", "approx", "fig", "no", "nos", "dept",
    "inc", "ltd", "jr", "sr", "a.m", "p.m", "u.s", "u.k", "al", "resp",
];

/// The ends of sentences in a text, as far as it was looked at.
#[derive(Default)]
pub(super) struct Ends {
    ends: Vec<usize>,
    /// Up to here the text was looked at.
    seen: usize,
    /// The last place where a clause, and a word, ended.
    clause: usize,
    word: usize,
    /// How many words have begun since the last end, and how many had at the end of the last clause.
    words: usize,
    clause_words: usize,
}

impl Ends {
    /// Looks at what `text` has grown by.
    pub(super) fn look(&mut self, text: &str) {
        while let Some(letter) = text.get(self.seen..).and_then(|rest| rest.chars().next()) {
            let (at, after) = (self.seen, self.seen + letter.len_utf8());
            let before = text.get(..at).unwrap_or_default();
            let is_start = !letter.is_whitespace() && before.ends_with(char::is_whitespace);
            if at == 0 && !letter.is_whitespace() {
                self.words = 1;
            }
            if is_start {
                self.word = at;
                let closed = before.trim_end();
                if ends_sentence(closed, letter) && (closed.ends_with('.') || self.words >= FEWEST_WORDS) {
                    self.end(at);
                } else if self.words >= self.clause_words + FEWEST_WORDS
                    && closed.ends_with([',', ';', ':', ')', '–', '—'])
                {
                    (self.clause, self.clause_words) = (at, self.words);
                }
                if self.last() < at {
                    self.words += 1;
                }
            }
            // A text with an end after each word would leave word by word.
            let is_line = letter == '\n' && (before.ends_with('\n') || self.words >= FEWEST_WORDS);
            if is_line || matches!(letter, '。' | '！' | '？') {
                self.end(after);
            }
            let begun = self.last();
            if after - begun > LONG && self.clause > begun {
                self.end(self.clause);
            } else if after - begun > 2 * LONG && self.word > begun {
                self.end(self.word);
            }
            self.seen = after;
        }
    }

    /// All ends so far, in order.
    pub(super) fn all(&self) -> &[usize] {
        &self.ends
    }

    /// The last end; 0 where there is none.
    pub(super) fn last(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// The end of the last clause of [`FEWEST_WORDS`] or more; 0 where there is none.
    pub(super) const fn clause(&self) -> usize {
        self.clause
    }

    /// The first end at or after `place`; 0 counts as one.
    pub(super) fn from(&self, place: usize) -> usize {
        if place == 0 {
            return 0;
        }
        let after = self.ends.partition_point(|end| *end < place);
        self.ends.get(after).copied().unwrap_or_else(|| self.last())
    }

    fn end(&mut self, place: usize) {
        if place > self.last() {
            self.ends.push(place);
            // What has begun behind it counts for what comes.
            (self.words, self.clause_words) = (usize::from(self.word >= place), 0);
        }
    }
}

/// Whether a sentence ends with `closed`, when `next` is the next letter after the blank.
fn ends_sentence(closed: &str, next: char) -> bool {
    let bare = closed.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']', '*', '_', '`']);
    match bare.chars().next_back() {
        Some('!' | '?' | '…') => true,
        Some('.') if next.is_lowercase() => false,
        Some('.') => !is_abbreviation(bare.trim_end_matches('.')),
        _ => false,
    }
}

/// Whether a text ends in a word whose full stop is a part of it: a title, an initial, the number of a list.
fn is_abbreviation(text: &str) -> bool {
    let word =
        text.rsplit(|letter: char| letter.is_whitespace() || "([\"'*_".contains(letter)).next().unwrap_or_default();
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let before = text.strip_suffix(word).unwrap_or_default().trim_end_matches([' ', '*', '_', '(']);
    let is_alone = before.is_empty() || before.ends_with('\n');
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    is_initial || (is_number && is_alone) || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut ends = Ends::default();
        ends.look(text);
        let mut at = 0;
        let cut = |end: usize| text.get(std::mem::replace(&mut at, end)..end).unwrap();
        ends.ends.clone().into_iter().map(cut).collect()
    }

    #[test]
    fn sentences_and_lines_end() {
        let text = "Take it with food. Dr. A. Lee (e.g. 5 mg. daily) agrees! Did he really say that? Yes\n\nIt was 3.5 mg.\n1. First. 2nd I. Then";
        let expected = [
            "Take it with food. ",
            "Dr. A. Lee (e.g. 5 mg. daily) agrees! ",
            "Did he really say that? ",
            "Yes\n\n",
            "It was 3.5 mg.\n",
            "1. First. ",
            "2nd I. ",
        ];
        assert_eq!(sentences(text), expected);
        assert_eq!(sentences("Not yet."), Vec::<&str>::new());
        assert_eq!(sentences("很好。再见"), ["很好。"]);
        // An end after each word is none.
        assert_eq!(sentences("Forge! the! consent! of! her! now"), ["Forge! the! consent! of! "]);
        assert_eq!(sentences("one\ntwo\nthree\nfour\nfive\n"), ["one\ntwo\nthree\nfour\n"]);
    }

    #[test]
    fn a_sentence_without_end_is_cut_at_a_clause_or_a_word_and_data_never() {
        let clauses = "so it goes on, ".repeat(30);
        assert!(sentences(&clauses).iter().all(|one| one.ends_with(", ") && one.len() <= LONG + 15));
        let words = "on and on ".repeat(90);
        assert!(sentences(&words).iter().all(|one| one.ends_with(' ') && one.len() <= 2 * LONG + 3));
        assert_eq!(sentences(&words).len(), 1);
        assert_eq!(sentences(&"QUJD".repeat(1000)), Vec::<&str>::new());
    }

    proptest::proptest! {
        #[test]
        fn ends_do_not_depend_on_how_the_text_grows(text in "([a-zé]{1,9}[.,!? \n]{0,2} ?){0,60}", step in 1_usize..7) {
            let mut ends = Ends::default();
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            for place in places.iter().step_by(step).chain(places.last()) {
                ends.look(text.get(..*place).unwrap());
            }
            let mut whole = Ends::default();
            whole.look(&text);
            proptest::prop_assert_eq!(&ends.ends, &whole.ends);
            proptest::prop_assert!(whole.ends.windows(2).all(|two| two[0] < two[1]));
        }
    }
}
