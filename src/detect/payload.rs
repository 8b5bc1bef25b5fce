//! What is encoded in a text, decoded, to be judged beside it.
//!
//! Only what decodes to words is a payload. What decodes to the bytes of an image or a document is data, which a text
//! model cannot judge and need not.

use super::spelling;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 4648, both alphabets, with or without padding and line breaks.
    Base64,
    /// Numbers of characters: hexadecimal, binary or decimal.
    Numbers,
    /// `%20` and the like.
    Percent,
    /// Bytes in variation selectors.
    Selectors,
    /// Letters moved along the alphabet, such as rot13.
    Rotated,
    /// Backwards as a whole.
    Reversed,
    /// Backwards word by word.
    WordsReversed,
    /// Digits and signs for letters.
    Leet,
}

/// A stretch of a text and what it says when decoded. Not `Debug`: it is what people wrote.
pub(super) struct Hidden {
    pub(super) at: Range<usize>,
    pub(super) encoding: Encoding,
    pub(super) text: String,
}

/// The shortest run of characters that is taken for base64 or hexadecimal.
const SHORTEST: usize = 8;

/// The fewest characters that are given by their numbers.
const FEWEST_NUMBERS: usize = 5;

/// How documents, images, sound and archives begin.
const MAGIC: [&[u8]; 15] = [
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"%PDF-",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"OggS",
    b"ID3",
    b"\0\0\0\x18ftyp",
    b"\0\0\0 ftyp",
    b"\xd0\xcf\x11\xe0",
    b"7z\xbc\xaf",
];

/// What machines encode, as runs of a transfer encoding, and the runs that hold data instead of words.
pub(super) fn encoded(text: &str) -> (Vec<Hidden>, Vec<Range<usize>>) {
    let (mut hidden, mut data) = (numbers(text), Vec::new());
    for at in base64_runs(text) {
        let run: String = text.get(at.clone()).unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
        match transferred(&run) {
            Some(Transferred::Words(encoding, text)) => hidden.push(Hidden { at, encoding, text }),
            Some(Transferred::Data) => data.push(at),
            None => {}
        }
    }
    apart(&mut hidden, |hidden| &hidden.at);
    (hidden, data)
}

/// Puts runs in their order, without those that begin inside an earlier one.
pub(super) fn apart<T>(runs: &mut Vec<T>, at: impl Fn(&T) -> &Range<usize>) {
    runs.sort_by_key(|run| at(run).start);
    let mut end = 0;
    runs.retain(|run| {
        let is_apart = at(run).start >= end;
        end = if is_apart { at(run).end } else { end };
        is_apart
    });
}

/// The text with its `%20`s decoded, if it has at least three.
pub(super) fn percent(text: &str) -> Option<Hidden> {
    let is_escape = |three: &&[u8]| matches!(three, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if text.as_bytes().windows(3).filter(is_escape).count() < 3 {
        return None;
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
    Some(Hidden { at: 0..text.len(), encoding: Encoding::Percent, text: decoded })
}

/// Bytes smuggled in rows of variation selectors; a single one only marks the character before it.
pub(super) fn smuggled(text: &str) -> Vec<Hidden> {
    let mut rows: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for (at, character) in text.char_indices() {
        let byte = match u32::from(character) {
            code @ 0xFE00..=0xFE0F => u8::try_from(code - 0xFE00),
            code @ 0xE0100..=0xE01EF => u8::try_from(code - 0xE0100 + 16),
            _ => continue,
        };
        let end = at + character.len_utf8();
        match rows.last_mut() {
            Some((row, bytes)) if row.end == at => {
                row.end = end;
                bytes.extend(byte);
            }
            _ => rows.push((at..end, byte.into_iter().collect())),
        }
    }
    let said = |(at, bytes): (Range<usize>, Vec<u8>)| {
        as_words(&bytes).map(|text| Hidden { at, encoding: Encoding::Selectors, text })
    };
    rows.into_iter().filter(|(_, bytes)| bytes.len() > 1).filter_map(said).collect()
}

/// Sentences that are turned round or whose letters are moved, and the whole text where it is spelled with digits; each
/// list is one way to read the text.
pub(super) fn ciphered(text: &str) -> [Vec<Hidden>; 3] {
    let (mut moved, mut by_word) = (Vec::new(), Vec::new());
    for at in sentences(text) {
        let sentence = text.get(at.clone()).unwrap_or_default();
        match cipher_of(sentence) {
            Some(Cipher::Rotated(places)) => {
                let text = rotated(sentence, 26 - places);
                moved.push(Hidden { at, encoding: Encoding::Rotated, text });
            }
            Some(Cipher::Reversed) => {
                let words = sentence.split(' ').map(|word| word.chars().rev().collect::<String>()).collect::<Vec<_>>();
                let (encoding, whole) = (Encoding::Reversed, sentence.chars().rev().collect());
                moved.push(Hidden { at: at.clone(), encoding, text: whole });
                by_word.push(Hidden { at, encoding: Encoding::WordsReversed, text: words.join(" ") });
            }
            None => {}
        }
    }
    // The sentences of a text that is turned round as a whole stand in the wrong order too.
    if moved.len() > 1 && moved.iter().all(|hidden| hidden.encoding == Encoding::Reversed) {
        moved = vec![Hidden { at: 0..text.len(), encoding: Encoding::Reversed, text: text.chars().rev().collect() }];
    }
    let leet = spelling::unleet(text).map(|said| Hidden { at: 0..text.len(), encoding: Encoding::Leet, text: said });
    [moved, by_word, leet.into_iter().collect()]
}

/// Lines and what is set off in them; those in which nothing is turned or moved as a whole, sentence by sentence.
fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for line in runs(text, |c| !"\n\"“”`:;|{}[]()<>".contains(c), SHORTEST) {
        let whole = text.get(line.clone()).unwrap_or_default();
        if cipher_of(whole).is_some() {
            found.push(line);
        } else {
            let sentences = runs(whole, |c| !".?!".contains(c), SHORTEST);
            found.extend(sentences.into_iter().map(|part| line.start + part.start..line.start + part.end));
        }
    }
    found
}

enum Transferred {
    Words(Encoding, String),
    Data,
}

/// What a run of base64's or hexadecimal's characters holds, if anything.
fn transferred(run: &str) -> Option<Transferred> {
    let run = run.trim_end_matches('=');
    let hex = run.strip_prefix("0x").unwrap_or(run).as_bytes();
    if let Some(text) = HEXLOWER_PERMISSIVE.decode(hex).ok().and_then(|bytes| as_words(&bytes)) {
        return Some(Transferred::Words(Encoding::Numbers, text));
    }
    if let Some(text) = binary(run).and_then(|bytes| as_words(&bytes)) {
        return Some(Transferred::Words(Encoding::Numbers, text));
    }
    // What stands before the run may belong to the alphabet too, so that its groups of four begin later.
    let starts = (0..4).filter_map(|skip| run.get(skip..)).filter(|rest| rest.len() >= SHORTEST);
    let decoded: Vec<Vec<u8>> = starts.filter_map(base64).collect();
    if let Some(text) = decoded.iter().find_map(|bytes| as_words(bytes)) {
        return Some(Transferred::Words(Encoding::Base64, text));
    }
    let bytes = decoded.first()?;
    let bitmap = bytes.starts_with(b"BM") && bytes.get(6..10) == Some(&[0; 4]);
    let is_data = bitmap || MAGIC.iter().any(|magic| bytes.starts_with(magic));
    (is_data && !is_spelled(run)).then_some(Transferred::Data)
}

/// The bytes of whole groups of four characters; what is left over is dropped.
fn base64(text: &str) -> Option<Vec<u8>> {
    let whole = text.as_bytes();
    let (groups, _) = whole.split_at(whole.len() - whole.len() % 4);
    let decode = |text: &[u8]| BASE64_NOPAD.decode(text).or_else(|_| BASE64URL_NOPAD.decode(text)).ok();
    decode(whole).or_else(|| decode(groups))
}

/// The bytes of eight binary digits each.
fn binary(run: &str) -> Option<Vec<u8>> {
    if !run.len().is_multiple_of(8) || run.len() < 8 * FEWEST_NUMBERS || run.bytes().any(|c| !b"01".contains(&c)) {
        return None;
    }
    let byte = |digits: &[u8]| digits.iter().fold(0, |byte, digit| byte << 1 | (digit & 1));
    Some(run.as_bytes().chunks(8).map(byte).collect())
}

/// Whether a run that could be data is made of words: such rows of small letters are rare in random characters.
fn is_spelled(run: &str) -> bool {
    let small: usize = run.split(|c: char| !c.is_ascii_lowercase()).map(str::len).filter(|length| *length >= 6).sum();
    small * 8 > run.len()
}

/// Rows of characters given by their numbers: `68 6f 77`, `0x68,0x6f`, `01101000 01101111`, `104 111 119`.
fn numbers(text: &str) -> Vec<Hidden> {
    let groups: Vec<(Range<usize>, &str)> = runs(text, |c| c.is_ascii_alphanumeric(), 1)
        .into_iter()
        .filter_map(|at| text.get(at.clone()).map(|group| (at, group)))
        .collect();
    let hex = |group: &str| {
        let digits = group.strip_prefix("0x").or(group.strip_prefix('x')).unwrap_or(group);
        HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok().filter(|bytes| !bytes.is_empty() && bytes.len() <= 8)
    };
    let decimal = |group: &str| group.parse::<u8>().ok().filter(|_| group.len() <= 3).map(|byte| vec![byte]);
    let eight = |group: &str| u8::from_str_radix(group, 2).ok().filter(|_| group.len() == 8).map(|byte| vec![byte]);
    let mut hidden = rows(&groups, eight);
    hidden.extend(rows(&groups, hex));
    hidden.extend(rows(&groups, decimal));
    hidden
}

/// The rows of neighbouring groups that `read` reads as bytes, where they are words.
fn rows(groups: &[(Range<usize>, &str)], read: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<Hidden> {
    let mut hidden = Vec::new();
    let mut row: Option<(Range<usize>, Vec<u8>)> = None;
    let mut close = |row: Option<(Range<usize>, Vec<u8>)>| {
        if let Some((at, bytes)) = row.filter(|(_, bytes)| bytes.len() >= FEWEST_NUMBERS)
            // Vital signs spell words by chance, but hardly two.
            && let Some(text) = as_words(&bytes).filter(|text| text.trim().contains(char::is_whitespace))
        {
            hidden.push(Hidden { at, encoding: Encoding::Numbers, text });
        }
    };
    for (at, group) in groups {
        row = match (row.take(), read(group)) {
            // Numbers of one list stand close together.
            (Some((whole, mut bytes)), Some(more)) if at.start - whole.end <= 4 => {
                bytes.extend(more);
                Some((whole.start..at.end, bytes))
            }
            (before, more) => {
                close(before);
                more.map(|bytes| (at.clone(), bytes))
            }
        };
    }
    close(row);
    hidden
}

/// What the bytes say, if it is words: two or more of them, or a single one of letters only. Bytes that are no text are
/// passed over, so that none of them hides the rest; so are the zeros of UTF-16.
fn as_words(bytes: &[u8]) -> Option<String> {
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let (mut text, mut letters, mut odd) = (String::new(), 0_usize, 0_usize);
    for character in String::from_utf8_lossy(&bytes).chars() {
        match character {
            char::REPLACEMENT_CHARACTER => odd += 1,
            _ if character.is_control() && !character.is_whitespace() => odd += 1,
            _ => {
                letters += usize::from(character.is_alphabetic() || character == ' ');
                text.push(character);
            }
        }
    }
    let all = text.chars().count();
    let several = text.trim().contains(char::is_whitespace) && letters * 2 >= all;
    let single = odd == 0 && all >= SHORTEST - 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let encoded = || odd == 0 && text.is_ascii() && text.chars().all(is_base64) && is_transferred(&text);
    (odd * 6 <= all && (several || single || encoded())).then_some(text)
}

/// Whether a text is encoded once more. Each encoding makes a text longer, so that this ends soon.
fn is_transferred(text: &str) -> bool {
    text.len() >= SHORTEST && matches!(transferred(text), Some(Transferred::Words(..)))
}

/// Common words, whatever alphabet they are moved to, with the places that they are moved by.
static MOVED: LazyLock<HashMap<String, u8>> = LazyLock::new(|| {
    let all = (1..26).flat_map(|places| COMMON.iter().map(move |word| (rotated(word, places), places)));
    // A word that is common as it stands tells nothing.
    all.filter(|(word, _)| !COMMON.contains(&word.as_str())).collect()
});

/// Words that most sentences have some of.
const COMMON: [&str; 33] = [
    "the", "how", "for", "you", "that", "with", "what", "this", "without", "from", "your", "her", "his", "him",
    "patient", "write", "make", "tell", "have", "will", "should", "when", "which", "they", "them", "please", "why",
    "into", "about", "who", "their", "and", "give",
];

enum Cipher {
    Rotated(u8),
    Reversed,
}

/// The cipher that shows two different common words or more in a sentence, and more than stand there as it is.
fn cipher_of(sentence: &str) -> Option<Cipher> {
    let (mut all, mut plain) = (0_usize, HashSet::new());
    let (mut reversed, mut moved) = (HashSet::new(), HashMap::<u8, HashSet<String>>::new());
    for word in sentence.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        all += 1;
        if !(3..=8).contains(&word.len()) {
            continue;
        }
        let word = word.to_ascii_lowercase();
        if let Some(places) = MOVED.get(&word) {
            moved.entry(*places).or_default().insert(word.clone());
        }
        let backwards: String = word.chars().rev().collect();
        if COMMON.contains(&backwards.as_str()) {
            reversed.insert(backwards);
        }
        if COMMON.contains(&word.as_str()) {
            plain.insert(word);
        }
    }
    let (places, most) =
        moved.iter().map(|(places, words)| (*places, words.len())).max_by_key(|(_, words)| *words).unwrap_or((0, 0));
    let (cipher, most) = match most >= reversed.len() {
        true => (Cipher::Rotated(places), most),
        false => (Cipher::Reversed, reversed.len()),
    };
    (most >= 2 && most > plain.len() && most * 8 >= all).then_some(cipher)
}

/// The text with its letters moved along the alphabet.
fn rotated(text: &str, places: u8) -> String {
    let turn = |letter: u8, first: u8| char::from((letter - first + places) % 26 + first);
    let rotate = |c: char| match u8::try_from(c) {
        Ok(letter @ b'a'..=b'z') => turn(letter, b'a'),
        Ok(letter @ b'A'..=b'Z') => turn(letter, b'A'),
        _ => c,
    };
    text.chars().map(rotate).collect()
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/_-=".contains(c)
}

/// Runs of base64's characters; lines of one length that follow one another, as encoders break them, are one run.
fn base64_runs(text: &str) -> Vec<Range<usize>> {
    const SHORTEST_LINE: usize = 16;
    let mut merged: Vec<(Range<usize>, usize)> = Vec::new();
    for line in runs(text, |c| is_base64(c) && c != '=', 1) {
        let between = |end: usize| text.get(end..line.start).unwrap_or_default();
        match merged.last_mut() {
            Some((whole, length))
                if *length >= SHORTEST_LINE && line.len() <= *length && matches!(between(whole.end), "\n" | "\r\n") =>
            {
                // The last line may be shorter; nothing follows it.
                *length = if line.len() == *length { *length } else { 0 };
                whole.end = line.end;
            }
            _ => merged.push((line.clone(), line.len())),
        }
    }
    // The padding belongs to the run before it.
    let padding = |end: usize| text.get(end..).unwrap_or_default().bytes().take(2).take_while(|c| *c == b'=').count();
    let long = merged.into_iter().map(|(run, _)| run).filter(|run| run.len() >= SHORTEST);
    long.map(|run| run.start..run.end + padding(run.end)).collect()
}

/// Ranges of at least `shortest` bytes of characters that `belongs` holds of.
pub(super) fn runs(text: &str, belongs: impl Fn(char) -> bool, shortest: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices().chain(std::iter::once((text.len(), '\0'))) {
        if at < text.len() && belongs(character) {
            start.get_or_insert(at);
        } else if let Some(start) = start.take().filter(|start| at - start >= shortest) {
            runs.push(start..at);
        }
    }
    runs
}

/// `text` with every hidden stretch as it reads, so that a single encoded word is seen in its sentence.
pub(super) fn in_place<'a>(text: &'a str, hidden: &[Hidden]) -> Cow<'a, str> {
    let mut whole = String::new();
    let mut done = 0;
    for Hidden { at, text: said, .. } in hidden {
        whole.push_str(text.get(done..at.start).unwrap_or_default());
        whole.push_str(said.trim());
        done = at.end;
    }
    whole.push_str(text.get(done..).unwrap_or_default());
    if hidden.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(whole) }
}
