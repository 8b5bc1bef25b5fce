//! What is known of words: common names from many cultures, ordinary words, proper nouns that are no person's name, and
//! the words that stand around names, places, dates and measures.
//!
//! All lists are our own. The ordinary words are those that the classifier's corpus writes in small letters: a word that
//! is capitalised amid a sentence and is not among them is likely a name of something.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What is known of a word: a set of the bits below.
pub(super) type Known = u32;

/// A first name that is no ordinary word.
pub(super) const GIVEN: Known = 1;
/// A family name that is no ordinary word.
pub(super) const FAMILY: Known = 2;
/// A first name that is an ordinary word, an eponym or another proper noun as well.
pub(super) const MAYBE_GIVEN: Known = 4;
/// The same for a family name.
pub(super) const MAYBE_FAMILY: Known = 8;
/// A word that is written in small letters.
pub(super) const ORDINARY: Known = 16;
/// A proper noun of another kind: a day, a language, a brand, an eponym, a heading.
pub(super) const OTHER: Known = 32;
/// A city.
pub(super) const CITY: Known = 64;
/// A part of a country that is no identifier.
pub(super) const STATE: Known = 128;

/// A title before family names.
pub(super) const FORMAL: Known = 1 << 8;
/// A title or an occupation before names.
pub(super) const TITLE: Known = 1 << 9;
/// What stands before a colon and a name.
pub(super) const LABEL: Known = 1 << 10;
/// What someone is to someone.
pub(super) const KIN: Known = 1 << 11;
/// What is done "by" someone.
pub(super) const VERB: Known = 1 << 12;
/// What is done "with" someone.
pub(super) const WITH: Known = 1 << 13;
/// What stands right before whom one speaks to or of.
pub(super) const GREETING: Known = 1 << 14;
/// The end of a letter.
pub(super) const CLOSING: Known = 1 << 15;
/// A degree or a profession behind a name.
pub(super) const DEGREE: Known = 1 << 16;
/// What a person does, and seldom a thing, in the form behind a name.
pub(super) const SAID: Known = 1 << 17;
/// The same, in the form behind "will".
pub(super) const ACT: Known = 1 << 18;
/// What an eponym stands before.
pub(super) const FINDING: Known = 1 << 19;
/// What a single letter follows: "hepatitis B".
pub(super) const LETTER: Known = 1 << 20;
/// A unit of doses.
pub(super) const DOSE: Known = 1 << 21;
/// What names nobody behind a title.
pub(super) const NEVER: Known = 1 << 22;
/// What stands two words before a place: "lives in".
pub(super) const LIVES: Known = 1 << 23;
/// What a place's or a company's name stands before.
pub(super) const INSTITUTION: Known = 1 << 24;
/// What a person has.
pub(super) const BELONGING: Known = 1 << 25;
/// What stands before a date without a year.
pub(super) const DATES: Known = 1 << 26;
/// What stands before a month alone.
pub(super) const MONTHS: Known = 1 << 27;
/// What makes the number before it a measure.
pub(super) const UNIT: Known = 1 << 28;

/// Any sign of a person's name.
pub(super) const NAME: Known = GIVEN | FAMILY | MAYBE_GIVEN | MAYBE_FAMILY;

/// The names of the lists of cues.
const CUES: [(&str, Known); 21] = [
    ("formal", FORMAL),
    ("title", TITLE),
    ("label", LABEL),
    ("kin", KIN),
    ("verb", VERB),
    ("with", WITH),
    ("greeting", GREETING),
    ("closing", CLOSING),
    ("degree", DEGREE),
    ("said", SAID),
    ("act", ACT),
    ("finding", FINDING),
    ("letter", LETTER),
    ("dose", DOSE),
    ("never", NEVER),
    ("lives", LIVES),
    ("institution", INSTITUTION),
    ("belonging", BELONGING),
    ("dates", DATES),
    ("months", MONTHS),
    ("unit", UNIT),
];

static WORDS: LazyLock<HashMap<&'static str, Known>> = LazyLock::new(|| {
    let lists = [
        (include_str!("given.txt"), GIVEN),
        (include_str!("family.txt"), FAMILY),
        (include_str!("either.txt"), MAYBE_GIVEN),
        (include_str!("familyeither.txt"), MAYBE_FAMILY),
        (include_str!("ordinary.txt"), ORDINARY),
        (include_str!("other.txt"), OTHER),
        (include_str!("cities.txt"), CITY),
        (include_str!("states.txt"), STATE),
    ];
    let cues = include_str!("cues.txt").lines().filter_map(|line| line.split_once(':'));
    let cues = cues.filter_map(|(name, list)| Some((list, CUES.iter().find(|(of, _)| *of == name)?.1)));
    let mut words: HashMap<&str, Known> = HashMap::with_capacity(20_000);
    for (list, bit) in lists.into_iter().chain(cues) {
        list.split_whitespace().for_each(|word| *words.entry(word).or_default() |= bit);
    }
    words.values_mut().for_each(|known| *known = certain(*known));
    words
});

/// A name that is also something else is one only where more speaks for it; a cue is a word of the language.
const fn certain(known: Known) -> Known {
    let both = known & (MAYBE_GIVEN | MAYBE_FAMILY | OTHER | STATE) != 0;
    let given = if both && known & GIVEN != 0 { (known & !GIVEN) | MAYBE_GIVEN } else { known };
    let elsewhere = both || known & CITY != 0;
    let name = if elsewhere && given & FAMILY != 0 { (given & !FAMILY) | MAYBE_FAMILY } else { given };
    if name & (NAME | OTHER | CITY | STATE) == 0 { name | ORDINARY } else { name }
}

/// What the lists say of a word in small letters.
pub(super) fn listed(low: &str) -> Known {
    WORDS.get(low).copied().unwrap_or_default()
}

/// What is known of a word in small letters; of one with hyphens, what is known of all its parts.
pub(super) fn known(low: &str) -> Known {
    let word = listed(low);
    if word != 0 {
        return word;
    }
    if low.contains('-') {
        let parts = || low.split('-').map(listed);
        let named = parts().any(|part| part & (FAMILY | GIVEN) != 0)
            || parts().all(|part| part & NAME != 0 && part & ORDINARY == 0);
        let plain = parts().any(|part| part & ORDINARY != 0 && part & NAME == 0);
        let ordinary = low.split('-').all(|part| part.len() < 2 || listed(part) & (ORDINARY | OTHER) != 0);
        return if named && !plain { FAMILY } else { Known::from(ordinary) * ORDINARY };
    }
    // "I've", "doesn't".
    if low.contains(['\'', '’'])
        && ["ve", "ll", "re", "d", "m", "t"].iter().any(|end| low.rsplit(['\'', '’']).next() == Some(end))
    {
        return ORDINARY;
    }
    // A plural, a past or an adverb of an ordinary word is one.
    let mut stems = ["s", "es", "d", "ed", "ing", "ly", "er"].iter().filter_map(|end| low.strip_suffix(end));
    let derived = stems.any(|word| word.len() > 3 && listed(word) & ORDINARY != 0);
    if derived || is_term(low) { ORDINARY } else { 0 }
}

/// Whether a word ends as drugs, diseases, tests and operations do.
fn is_term(low: &str) -> bool {
    const ENDS: &str = "mab nib pril sartan statin olol azole cillin mycin micin cycline floxacin idine amine zepam zolam \
        oxetine gliptin gliflozin glutide parin xaban dipine sone solone prazole setron triptan phylline \
        thiazide semide vir itis osis emia aemia uria oma pathy ectomy otomy ostomy plasty scopy graphy gram \
        ology ologist emic otic lysis penia algia plegia trophy genic ium cocci coccus \
        bacter pram tidine profen caine barbital ular ical ation ity ness ment ible etic \
        atic itic";
    low.len() > 6 && ENDS.split(' ').any(|end| low.ends_with(end))
}

/// Whether a word ends or begins as family names do.
pub(super) fn like_family(low: &str) -> bool {
    const ENDS: &str = "ski sky ska son sen ez es ova eva ov ev vic vić ian yan berg stein man mann wicz enko opoulos poulou \
        iou akis idis chuk oglu escu elli etti ini ani sson dottir dóttir strom ström gren quist qvist dahl \
        lund feld field ford ton ham worth well ley wood kar wal zadeh nko aru adze shvili moto mura yama \
        uchi awa shita saki naka ndo onkwo eke emi ola oye ade wu iyer murthy swamy rajan nathan raman pudi \
        sz cki czyk ek ak ik ič ić eau eaux oux ault ier ard rd tz";
    const STARTS: &str = "mc mac o' o’ d' d’ fitz al- el- van ben- bin-";
    let ends = || ENDS.split(' ').any(|end| low.ends_with(end));
    low.chars().count() > 4 && (ends() || STARTS.split(' ').any(|start| low.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_words() {
        assert_eq!(known("siobhan"), GIVEN);
        assert_eq!(known("okafor"), FAMILY);
        assert_eq!(known("parkinson") & (GIVEN | FAMILY), 0);
        assert_eq!(known("will") & (MAYBE_GIVEN | ORDINARY), MAYBE_GIVEN | ORDINARY);
        assert_eq!(known("long-term") & ORDINARY, ORDINARY);
        assert_eq!(known("smith-jones") & NAME, FAMILY);
        assert_eq!(known("zanubrutinib"), ORDINARY);
        assert!(like_family("szymański") && like_family("mcallister") && !like_family("ozen"));
    }
}
