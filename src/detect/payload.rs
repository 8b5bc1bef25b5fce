//! What is encoded in a text: decoded, to be judged beside it.
//!
//! Only what decodes to words is a payload. What decodes to the bytes of an image or a document is data, which a text
//! model cannot judge and need not.

use super::normalise::Reading;
use super::rewrite::Edit;
use super::spelling;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use std::ops::Range;

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// RFC 4648, both alphabets, with or without padding and line breaks.
    Base64,
    /// Numbers of characters: hexadecimal, binary or decimal.
    Numbers,
    /// `%20` and the like.
    Percent,
    /// Bytes in variation selectors.
    Selectors,
    /// Letters 13 places on.
    Rot13,
    /// Backwards, as a whole or word by word.
    Reversed,
    /// Digits and signs for letters.
    Leet,
}

/// One encoded stretch. Not `Debug`: it is what people wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// How it is encoded.
    pub encoding: Encoding,
    /// What it says.
    pub text: String,
    /// Its bytes in the original.
    pub source: Range<usize>,
}

/// What [`encoded`] finds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) payloads: Vec<Payload>,
    /// Stretches of the reading that are data and no text.
    pub(super) data: Vec<Range<usize>>,
}

/// The shortest run of characters that is taken for an encoding.
const SHORTEST: usize = 12;

/// How documents, images, sound and archives begin.
const MAGIC: [&[u8]; 16] = [
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"%PDF-",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"RIFF",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"OggS",
    b"ID3",
    b"\0\0\0\x18ftyp",
    b"\0\0\0 ftyp",
    b"\xd0\xcf\x11\xe0",
    b"7z\xbc\xaf",
];

/// What machines encode: runs of a transfer encoding, anywhere in the text.
pub(super) fn encoded(reading: &Reading) -> Found {
    let text = reading.text();
    let mut found = Found::default();
    for range in runs(text, is_base64) {
        let run = text.get(range.clone()).unwrap_or_default();
        match transfer(run) {
            Some(Decoded::Text(encoding, said)) => {
                found.payloads.push(Payload { encoding, text: said, source: reading.origin(range) });
            }
            Some(Decoded::Data) => found.data.push(range),
            None => {}
        }
    }
    for range in runs(text, |c| c.is_ascii_hexdigit() || " ,:x\\-".contains(c)) {
        if let Some(said) = text.get(range.clone()).and_then(numbers) {
            found.payloads.push(Payload { encoding: Encoding::Numbers, text: said, source: reading.origin(range) });
        }
    }
    for range in runs(text, |c| !c.is_whitespace()) {
        if let Some(said) = text.get(range.clone()).and_then(percent) {
            found.payloads.push(Payload { encoding: Encoding::Percent, text: said, source: reading.origin(range) });
        }
    }
    found
}

/// What people disguise: the whole text or lines of it, backwards, rotated, or spelled with digits.
pub(super) fn disguised(reading: &Reading) -> Vec<Payload> {
    let text = reading.text();
    let mut disguises: [(Encoding, String, Option<Range<usize>>); 3] =
        [Encoding::Rot13, Encoding::Reversed, Encoding::Reversed].map(|encoding| (encoding, String::new(), None));
    for range in runs(text, |c| !"\n\"“”`:;|{}[]()<>".contains(c)) {
        let segment = text.get(range.clone()).unwrap_or_default();
        let backwards = || segment.chars().rev().collect::<String>();
        let by_word =
            || segment.split(' ').map(|word| word.chars().rev().collect::<String>()).collect::<Vec<_>>().join(" ");
        let readings: Vec<String> = match hidden_by(segment) {
            Some(Encoding::Rot13) => vec![rot13(segment), String::new(), String::new()],
            Some(_) => vec![String::new(), backwards(), by_word()],
            None => continue,
        };
        for ((_, said, whole), decoded) in disguises.iter_mut().zip(readings) {
            if !decoded.is_empty() {
                said.push_str(&decoded);
                said.push('\n');
                *whole = Some(whole.as_ref().map_or(range.start, |whole| whole.start)..range.end);
            }
        }
    }
    let mut payloads: Vec<Payload> = disguises
        .into_iter()
        .filter_map(|(encoding, said, range)| Some(Payload { encoding, text: said, source: reading.origin(range?) }))
        .collect();
    if let Some(said) = spelling::unleet(text) {
        payloads.push(Payload { encoding: Encoding::Leet, text: said, source: reading.origin(0..text.len()) });
    }
    payloads
}

/// Bytes smuggled in variation selectors, of which one marks a character and a row of them nothing.
pub(super) fn smuggled(text: &str) -> Option<Payload> {
    let mut bytes = Vec::new();
    let mut whole: Option<Range<usize>> = None;
    for (at, character) in text.char_indices() {
        let byte = match u32::from(character) {
            code @ 0xFE00..=0xFE0F => code - 0xFE00,
            code @ 0xE0100..=0xE01EF => code - 0xE0100 + 16,
            _ => continue,
        };
        bytes.extend(u8::try_from(byte));
        whole = Some(whole.map_or(at, |whole| whole.start)..at + character.len_utf8());
    }
    let said = words(bytes)?;
    Some(Payload { encoding: Encoding::Selectors, text: said, source: whole? })
}

/// The reading with `[data]` in place of what is data.
pub(super) fn without_data(reading: Reading, data: &[Range<usize>]) -> Reading {
    let edits: Vec<Edit> = data.iter().map(|range| (range.clone(), "[data]".to_owned())).collect();
    reading.rewrite(&edits)
}

enum Decoded {
    Text(Encoding, String),
    Data,
}

/// What a run of base64's characters holds, if anything.
fn transfer(run: &str) -> Option<Decoded> {
    let run: String = run.chars().filter(|c| !c.is_whitespace()).collect();
    let run = run.trim_matches('=');
    if run.len() < SHORTEST {
        return None;
    }
    if let Some(said) = HEXLOWER_PERMISSIVE.decode(run.as_bytes()).ok().and_then(words) {
        return Some(Decoded::Text(Encoding::Numbers, said));
    }
    // A run may begin or end with a stray character of the alphabet, such as a dash: whole groups of four count.
    let bits = run.len() % 4;
    let whole = run.get(..run.len() - usize::from(bits == 1))?;
    let decode = |text: &str| {
        let text = text.as_bytes();
        BASE64_NOPAD.decode(text).or_else(|_| BASE64URL_NOPAD.decode(text)).or_else(|_| lenient(text)).ok()
    };
    let bytes = decode(whole)?;
    if MAGIC.iter().any(|magic| bytes.starts_with(magic)) && !is_spelled(run) {
        return Some(Decoded::Data);
    }
    words(bytes).map(|said| Decoded::Text(Encoding::Base64, said))
}

/// Base64 whose last bits are not zero, which strict decoders refuse: the last character is left out.
fn lenient(text: &[u8]) -> Result<Vec<u8>, data_encoding::DecodeError> {
    let (groups, _) = text.split_at(text.len() - text.len() % 4);
    BASE64_NOPAD.decode(groups).or_else(|_| BASE64URL_NOPAD.decode(groups))
}

/// Whether a run that could be data is made of words: such rows of small letters are rare in random characters.
fn is_spelled(run: &str) -> bool {
    let small: usize = run.split(|c: char| !c.is_ascii_lowercase()).map(str::len).filter(|length| *length >= 6).sum();
    small * 8 > run.len()
}

/// Characters given by their numbers: `68 6f 77`, `0x68,0x6f`, `01101000 01101111`, `104 111 119`.
fn numbers(run: &str) -> Option<String> {
    let groups: Vec<&str> = run
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|group| group.trim_start_matches("0x").trim_start_matches('x'))
        .filter(|group| !group.is_empty())
        .collect();
    if groups.len() < 6 {
        return None;
    }
    let read =
        |radix: u32| -> Option<Vec<u8>> { groups.iter().map(|group| u8::from_str_radix(group, radix).ok()).collect() };
    let all = |length: usize| groups.iter().all(|group| group.len() == length);
    let radix = if all(8) {
        2
    } else if all(2) {
        16
    } else {
        10
    };
    read(radix).and_then(words).or_else(|| read(10).filter(|_| radix == 16).and_then(words))
}

/// A word with at least three `%20`, decoded.
fn percent(word: &str) -> Option<String> {
    let bytes = word.as_bytes();
    let escapes = bytes
        .windows(3)
        .filter(|three| matches!(three, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()));
    if escapes.count() < 3 {
        return None;
    }
    let spaced = word.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
    decoded.contains(char::is_whitespace).then_some(decoded)
}

/// The bytes as a text, if they are one: printable, mostly letters, with a space between words; or encoded once more.
fn words(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let (mut all, mut letters) = (0_usize, 0_usize);
    for character in text.chars() {
        if character.is_control() && !character.is_whitespace() {
            return None;
        }
        all += 1;
        letters += usize::from(character.is_alphabetic() || character == ' ');
    }
    let said = letters * 4 >= all * 3 && text.trim().contains(char::is_whitespace);
    // Each encoding makes a text longer, so that this ends soon.
    let encoded =
        || text.is_ascii() && text.chars().all(is_base64) && matches!(transfer(&text), Some(Decoded::Text(..)));
    (said || encoded()).then_some(text)
}

/// Common words that do not become other words when they are rotated or turned round.
const COMMON: [&str; 34] = [
    "the", "of", "how", "for", "my", "you", "that", "with", "can", "what", "this", "without", "from", "your", "her",
    "his", "him", "she", "patient", "write", "make", "tell", "have", "will", "should", "when", "which", "they", "them",
    "please", "why", "into", "about", "who",
];

/// How a segment is disguised: the way that shows more common words than the segment as it stands, and at least two.
fn hidden_by(segment: &str) -> Option<Encoding> {
    let (mut all, mut plain, mut rotated, mut reversed) = (0_usize, 0_usize, 0_usize, 0_usize);
    let is_common = |word: &str| COMMON.contains(&word);
    for word in segment.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        all += 1;
        if (2..=8).contains(&word.len()) {
            let word = word.to_ascii_lowercase();
            plain += usize::from(is_common(&word));
            rotated += usize::from(is_common(&rot13(&word)));
            reversed += usize::from(is_common(&word.chars().rev().collect::<String>()));
        }
    }
    let (most, encoding) =
        if rotated >= reversed { (rotated, Encoding::Rot13) } else { (reversed, Encoding::Reversed) };
    (most >= 2 && most > plain && most * 12 >= all).then_some(encoding)
}

fn rot13(text: &str) -> String {
    let turn = |letter: u8, first: u8| char::from((letter - first + 13) % 26 + first);
    let rotate = |c: char| match u8::try_from(c) {
        Ok(letter @ b'a'..=b'z') => turn(letter, b'a'),
        Ok(letter @ b'A'..=b'Z') => turn(letter, b'A'),
        _ => c,
    };
    text.chars().map(rotate).collect()
}

/// A character of base64, or a line break inside of it.
fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-".contains(c)
}

/// Ranges of characters that `belongs` holds of, of a length that can hold a payload.
fn runs(text: &str, belongs: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices().chain(std::iter::once((text.len(), '\0'))) {
        if at < text.len() && belongs(character) {
            start.get_or_insert(at);
        } else if let Some(start) = start.take().filter(|start| at - start >= SHORTEST) {
            runs.push(start..at);
        }
    }
    runs
}
