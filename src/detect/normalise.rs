//! The text as a reader sees it: look-alike and styled letters are the letters that they look like, what is invisible is
//! gone, and what is escaped for a machine is unescaped.

use super::rewrite::{Edit, Reading};

use std::ops::Range;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};
use unicode_security::confusable_detection::skeleton;

/// A text is Latin that may be disguised, and not another script, when at least this part of its letters look Latin and
/// this part of them are.
const DISGUISED: (f64, f64) = (0.9, 0.2);

/// Look-alikes that Unicode's table maps to letters outside ASCII, or to `l`, as disguises use them.
const LOOK_ALIKES: [(char, char); 33] = [
    ('к', 'k'),
    ('т', 't'),
    ('м', 'm'),
    ('н', 'h'),
    ('в', 'b'),
    ('г', 'r'),
    ('п', 'n'),
    ('и', 'u'),
    ('я', 'r'),
    ('з', 'e'),
    ('ё', 'e'),
    ('ь', 'b'),
    ('К', 'K'),
    ('Я', 'R'),
    ('И', 'N'),
    ('Н', 'H'),
    ('ш', 'w'),
    ('І', 'I'),
    ('Ι', 'I'),
    ('Ӏ', 'I'),
    ('α', 'a'),
    ('β', 'b'),
    ('ε', 'e'),
    ('η', 'n'),
    ('κ', 'k'),
    ('μ', 'u'),
    ('σ', 'o'),
    ('τ', 't'),
    ('χ', 'x'),
    ('ω', 'w'),
    ('Σ', 'E'),
    ('Λ', 'A'),
    ('Π', 'N'),
];

/// Small capitals, typographic marks, and the sign for a millionth, which as `m` would be a thousandth.
const PLAIN: [(char, &str); 35] = [
    ('ᴀ', "a"),
    ('ʙ', "b"),
    ('ᴄ', "c"),
    ('ᴅ', "d"),
    ('ᴇ', "e"),
    ('ꜰ', "f"),
    ('ɢ', "g"),
    ('ʜ', "h"),
    ('ɪ', "i"),
    ('ᴊ', "j"),
    ('ᴋ', "k"),
    ('ʟ', "l"),
    ('ᴍ', "m"),
    ('ɴ', "n"),
    ('ᴏ', "o"),
    ('ᴘ', "p"),
    ('ʀ', "r"),
    ('ꜱ', "s"),
    ('ᴛ', "t"),
    ('ᴜ', "u"),
    ('ᴠ', "v"),
    ('ᴡ', "w"),
    ('ʏ', "y"),
    ('ᴢ', "z"),
    ('µ', "u"),
    ('‘', "'"),
    ('’', "'"),
    ('“', "\""),
    ('”', "\""),
    ('„', "\""),
    ('–', "-"),
    ('—', "-"),
    ('‐', "-"),
    ('‑', "-"),
    ('−', "-"),
];

/// `text` with every character as it reads.
pub(super) fn characters(text: &str) -> Reading {
    let reading = Reading::of(text);
    let edits = escapes(text);
    let reading = reading.rewrite(&edits);
    if reading.text().is_ascii() {
        return reading;
    }
    let edits = styled(reading.text());
    let reading = reading.rewrite(&edits);
    if reading.text().is_ascii() {
        return reading;
    }
    let edits = disguised(reading.text());
    reading.rewrite(&edits)
}

/// `reading` with `[data]` in place of what is data.
pub(super) fn without(reading: Reading, data: &[Range<usize>]) -> Reading {
    let edits: Vec<Edit> = data.iter().map(|range| (range.clone(), "[data]".to_owned())).collect();
    reading.rewrite(&edits)
}

/// HTML entities, and `\u0068`, `\x68`, `\u{68}` of source code.
fn escapes(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(['&', '\\'])) {
        let start = at + found;
        let rest = text.get(start..).unwrap_or_default();
        let unescaped = if rest.starts_with('&') { entity(rest) } else { escape(rest) };
        at = start + 1;
        if let Some((length, replacement)) = unescaped {
            edits.push((start..start + length, replacement));
            at = start + length;
        }
    }
    edits
}

/// The HTML entity at the start of `text`: its length, and what it stands for.
fn entity(text: &str) -> Option<(usize, String)> {
    const LONGEST: usize = 33;
    let end = text.bytes().take(LONGEST).position(|byte| byte == b';')? + 1;
    let entity = text.get(..end)?;
    let decoded = html_escape::decode_html_entities(entity);
    (decoded != entity && !decoded.is_empty()).then(|| (end, decoded.into_owned()))
}

/// The escape of a character at the start of `text`.
fn escape(text: &str) -> Option<(usize, String)> {
    let (digits, length) = match text.as_bytes() {
        [b'\\', b'u', b'{', ..] => {
            let end = text.bytes().take(10).position(|byte| byte == b'}')?;
            (text.get(3..end)?, end + 1)
        }
        [b'\\', b'u', ..] => (text.get(2..6)?, 6),
        [b'\\', b'x', ..] => (text.get(2..4)?, 4),
        _ => return None,
    };
    let all_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let code = u32::from_str_radix(digits, 16).ok().filter(|_| all_hex)?;
    char::from_u32(code).map(|character| (length, character.to_string()))
}

/// Compatibility forms as plain characters, nothing for what is invisible and for marks on ASCII letters.
fn styled(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut after_ascii = false;
    let mut marks = 0_usize;
    for (at, character) in text.char_indices() {
        if character.is_ascii() {
            (after_ascii, marks) = (character.is_ascii_alphanumeric(), 0);
            continue;
        }
        let range = at..at + character.len_utf8();
        if is_invisible(character) {
            edits.push((range, String::new()));
            continue;
        }
        if is_combining_mark(character) {
            marks += 1;
            // One or two marks are spelling in many scripts; a pile of them is a disguise.
            if after_ascii || marks > 2 {
                edits.push((range, String::new()));
            }
            continue;
        }
        let plain = match plain(character) {
            // `1½` is not `11/2`, and `10⁹` is not `109`.
            plain if after_ascii && character.is_numeric() && plain.starts_with(|c: char| c.is_ascii_digit()) => {
                let between = if plain.len() == 1 { '^' } else { ' ' };
                format!("{between}{plain}")
            }
            // The tokenizer takes a word with a sign in it for one unknown word.
            plain if plain.chars().eq([character]) && !character.is_alphanumeric() => format!(" {character} "),
            plain => plain,
        };
        (after_ascii, marks) = (plain.chars().next_back().is_some_and(|last| last.is_ascii_alphanumeric()), 0);
        if !plain.chars().eq([character]) {
            edits.push((range, plain));
        }
    }
    edits
}

/// The plain form of a character: of letters in circles, boxes and tags, and of compatibility forms, without marks.
fn plain(character: char) -> String {
    if let Some((_, plain)) = PLAIN.iter().find(|(from, _)| *from == character) {
        return (*plain).to_owned();
    }
    let code = u32::from(character);
    let letter = |first: u32, base: u8| {
        let place = u8::try_from(code - first).unwrap_or_default();
        char::from(base.saturating_add(place)).to_string()
    };
    match code {
        // Tags are invisible copies of ASCII, which language models read.
        0xE0020..=0xE007E => letter(0xE0020, b' '),
        0x1F130..=0x1F149 => letter(0x1F130, b'A'),
        0x1F150..=0x1F169 => letter(0x1F150, b'A'),
        0x1F170..=0x1F189 => letter(0x1F170, b'A'),
        0x1F1E6..=0x1F1FF => letter(0x1F1E6, b'A'),
        _ => {
            let mut whole = String::new();
            // The slash of fractions is a sign that the tokenizer does not know.
            decompose_compatible(character, |part| whole.push(if part == '\u{2044}' { '/' } else { part }));
            let base: String = whole.chars().filter(|part| !is_combining_mark(*part)).collect();
            // Only Latin loses its marks: in other scripts they are letters of their own.
            if base.is_ascii() && !base.is_empty() {
                base
            } else if whole.chars().count() == 1 {
                whole
            } else {
                compatible(character, whole)
            }
        }
    }
}

/// The decomposition, unless it is canonical and not Latin (Hangul, Greek with accents), which is left as it is.
fn compatible(character: char, whole: String) -> String {
    let mut canonical = String::new();
    unicode_normalization::char::decompose_canonical(character, |part| canonical.push(part));
    if canonical == whole { character.to_string() } else { whole }
}

/// Characters that show nothing: format controls, fillers, variation selectors, and the tag that ends tags.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e001f}' | '\u{e007f}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Letters of other scripts that stand for Latin ones: in words that are partly Latin, and everywhere in a text whose
/// letters nearly all look Latin.
fn disguised(text: &str) -> Vec<Edit> {
    // Only scripts that have look-alikes say whether a text is Latin.
    let letters = text.chars().filter(|character| character.is_alphabetic() && is_like_latin(*character));
    let (all, alike, latin) = letters.fold((0.0, 0.0, 0.0), |(all, alike, latin), letter| {
        let (is, looks) = (letter.is_ascii(), letter.is_ascii() || look_alike(letter).is_some());
        (all + 1.0, alike + f64::from(looks), latin + f64::from(is))
    });
    let everywhere = all > 0.0 && alike >= DISGUISED.0 * all && latin >= DISGUISED.1 * all;
    let mut edits = Vec::new();
    for (start, word) in words(text) {
        let mixed = word.bytes().any(|byte| byte.is_ascii_alphabetic());
        // A single letter is a name: β-blocker, IFN-γ.
        let single = word.chars().filter(|c| c.is_alphabetic()).count() == 1;
        if word.is_ascii() || single || !(everywhere || mixed) {
            continue;
        }
        for (at, character) in word.char_indices().filter(|(_, character)| !character.is_ascii()) {
            if let Some(letter) = look_alike(character) {
                let at = start + at;
                edits.push((at..at + character.len_utf8(), letter.to_string()));
            }
        }
    }
    edits
}

/// Whether a letter is of Latin or of a script made like it: Greek, Cyrillic, Armenian, Cherokee, Lisu.
fn is_like_latin(character: char) -> bool {
    matches!(u32::from(character), 0..=0x58F | 0x13A0..=0x13FF | 0x1D00..=0x1FFF | 0xA4D0..=0xA4FF | 0xAB30..=0xABBF)
}

/// The ASCII letter that a letter looks like.
fn look_alike(character: char) -> Option<char> {
    if character.is_ascii() || !is_like_latin(character) {
        return None;
    }
    if let Some((_, letter)) = LOOK_ALIKES.iter().find(|(from, _)| *from == character) {
        return Some(*letter);
    }
    let mut buffer = [0; 4];
    let mut prototype = skeleton(character.encode_utf8(&mut buffer)).filter(|part| !is_combining_mark(*part));
    match (prototype.next(), prototype.next(), prototype.next()) {
        (Some(letter), None, _) if letter.is_ascii_alphabetic() => Some(letter),
        // Unicode's prototype of `m` is `rn`.
        (Some('r'), Some('n'), None) => Some('m'),
        _ => None,
    }
}

/// Runs of letters and digits, with where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let ahead = text.get(rest..)?;
        let start = rest + ahead.find(char::is_alphanumeric)?;
        let word = text.get(start..)?;
        let word = word.get(..word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len()))?;
        rest = start + word.len();
        Some((start, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> String {
        characters(text).text().to_owned()
    }

    #[test]
    fn what_looks_latin_is_read_as_latin() {
        assert_eq!(read("ｂａｃｋｄａｔｅ 𝗵𝗲𝗿 𝓷𝓸𝓽𝓮"), "backdate her note");
        assert_eq!(read("b\u{0430}\u{0441}kd\u{0430}t\u{0435} the n\u{043e}te"), "backdate the note");
        assert_eq!(read("ⓑⓐⓒⓚ 🄳🄰🅃🄴 🅃🄷🄴 🅵🅸🅻🅴"), "back DATE THE FILE");
        assert_eq!(read("h\u{0336}i\u{0336}d\u{0336}e\u{0336}"), "hide");
        assert_eq!(read("naïve Ménière résumé"), "naive Meniere resume");
        assert_eq!(read("ﬁle №5 ㎎"), "file No5 mg");
    }

    #[test]
    fn signs_do_not_swallow_the_words_that_they_touch() {
        assert_eq!(read("die😭"), "die 😭 ");
        assert_eq!(read("kill⠀him"), "kill ⠀ him");
        assert_eq!(read("“don’t” – no"), "\"don't\" - no");
    }

    #[test]
    fn clinical_signs_keep_their_meaning() {
        assert_eq!(read("50 µg, 88 μmol/L, β-blocker, IFN-γ, TNFα"), "50 ug, 88 umol/L, β-blocker, IFN-γ, TNFa");
        assert_eq!(read("1½ tablets, 10⁹/L, H₂O, x²"), "1 1/2 tablets, 10^9/L, H^2O, x^2");
    }

    #[test]
    fn rare_disguises_are_seen_too() {
        assert_eq!(read("K\u{406}LL V\u{399}OLATE øverđøse ħer"), "KILL VIOLATE overdose her");
        assert_eq!(read("ʙᴀᴄᴋᴅᴀᴛᴇ ᴛʜᴇ ɴᴏᴛᴇ"), "backdate the note");
        assert_eq!(
            read("Please h\u{456}\u{501}\u{435} the note. 谢谢你谢谢你").get(..20),
            Some("Please hide the note")
        );
    }

    #[test]
    fn what_is_invisible_is_gone_and_what_is_smuggled_is_seen() {
        assert_eq!(read("ki\u{200b}ll\u{00ad} h\u{2060}im\u{feff}"), "kill him");
        assert_eq!(read("a\u{202e}b\u{202c}\u{fe0f}"), "ab");
        let smuggled: String = "hi all".chars().map(|c| char::from_u32(0xE0000 + u32::from(c)).unwrap()).collect();
        assert_eq!(read(&format!("ok{smuggled}")), "okhi all");
    }

    #[test]
    fn escapes_are_unescaped() {
        assert_eq!(read("&#104;&#x69;&amp;you &lt;b&gt;"), "hi&you <b>");
        assert_eq!(read(r"\u0068\u0069 \x68\x69 \u{68}"), "hi hi h");
        assert_eq!(
            read("AT&T; R&D \\unless &; 5 & 6; C:\\users\\xavier"),
            "AT&T; R&D \\unless &; 5 & 6; C:\\users\\xavier"
        );
    }

    #[test]
    fn other_scripts_stay_as_they_are() {
        for text in [
            "Пациент просит вернуть ему карту",
            "αιμορραγία",
            "患者のカルテ",
            "रोगी का रिकॉर्ड",
            "سجل المريض",
            "환자 기록",
        ] {
            assert_eq!(read(text), text);
        }
        assert_eq!(read("das Rezept für Müller, größer"), "das Rezept fur Muller, großer");
    }

    proptest! {
        #[test]
        fn every_character_has_an_origin(text in "\\PC{0,60}") {
            let reading = characters(&text);
            for (at, character) in reading.text().char_indices() {
                let origin = reading.origin(at..at + character.len_utf8());
                prop_assert!(text.get(origin.clone()).is_some(), "{origin:?} of {text:?}");
                prop_assert!(!origin.is_empty());
            }
        }

        #[test]
        fn plain_text_stays_as_it_is(text in "[a-zA-Z0-9 .,;:!?'()/%+=-]{0,80}") {
            prop_assert_eq!(read(&text), text);
        }
    }
}
