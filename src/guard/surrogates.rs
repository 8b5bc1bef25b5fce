//! Identifiers of people out of prompts, and back into the answers: each is replaced by a typed, random surrogate
//! (`[NAME_K7QW]`) before a prompt leaves, and put back where the answer says the surrogate.
//!
//! A surrogate is drawn, never derived from what it stands for (45 CFR 164.514(c)), and lives as long as its request.

use crate::detect::phi::{self, Kind};
use regex::Regex;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::LazyLock;
use uuid::Uuid;

/// A surrogate as an LLM may give it back: with its brackets, or without.
#[expect(clippy::unwrap_used, reason = "the pattern is a constant, and a test reads it")]
static SURROGATE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[?\b([A-Z]+_[A-Z2-7]{5})\b\]?").unwrap());

/// Letters and digits that are not taken for one another.
const ALPHABET: [char; 32] = [
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W',
    'X', 'Y', 'Z', '2', '3', '4', '5', '6', '7',
];

/// What stands for what, in one request. Not `Debug`: it is what people wrote.
#[derive(Clone, Default)]
pub struct Surrogates {
    originals: HashMap<String, String>,
    by_original: HashMap<(Kind, String), String>,
    /// How many places were replaced, by kind.
    pub hidden: BTreeMap<Kind, u64>,
}

/// A part of a text, and what is to stand in its place.
pub(crate) type Change = (Range<usize>, String);

impl Surrogates {
    /// Whether nothing was replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.originals.is_empty()
    }

    /// The text with every identifier replaced; `None` where there is none.
    pub fn hide(&mut self, text: &str) -> Option<String> {
        let found = phi::find(text);
        let changes: Vec<Change> = found
            .into_iter()
            .filter_map(|span| {
                let original = text.get(span.range.clone())?;
                Some((span.range, format!("[{}]", self.surrogate(span.kind, original))))
            })
            .collect();
        (!changes.is_empty()).then(|| fitted(text, &changes))
    }

    /// The masks of the identifiers in a text, and how many there are of each kind; a surrogate is none.
    pub(super) fn masked(&self, text: &str) -> (Vec<Change>, BTreeMap<Kind, u64>) {
        let (mut changes, mut counts) = (Vec::new(), BTreeMap::new());
        for (place, kind) in self.masks(text) {
            *counts.entry(kind).or_default() += 1;
            changes.push((place, mask(kind)));
        }
        (changes, counts)
    }

    /// The identifiers in a text; a surrogate is none.
    pub(super) fn masks(&self, text: &str) -> Vec<(Range<usize>, Kind)> {
        let shown = self.shown(text);
        let is_free =
            |range: &Range<usize>| !shown.iter().any(|(one, _)| one.start < range.end && range.start < one.end);
        phi::find(text).into_iter().map(|span| (span.range, span.kind)).filter(|(range, _)| is_free(range)).collect()
    }

    /// The places of surrogates in a text, and what they stand for.
    pub(super) fn shown(&self, text: &str) -> Vec<Change> {
        if self.is_empty() {
            return Vec::new();
        }
        let found = SURROGATE.captures_iter(text).filter_map(|found| {
            let (whole, name) = (found.get(0)?, found.get(1)?);
            let original = self.originals.get(name.as_str())?;
            // One bracket alone belongs to the text.
            let is_pair = whole.as_str().starts_with('[') && whole.as_str().ends_with(']');
            Some((if is_pair { whole.range() } else { name.range() }, original.clone()))
        });
        found.collect()
    }

    /// The text with every surrogate replaced by what it stands for; `None` where there is none. In a text that is JSON, what
    /// is put in is spelt as JSON spells it.
    #[must_use]
    pub fn show(&self, text: &str) -> Option<String> {
        let mut changes = self.shown(text);
        if is_json(text) {
            changes.iter_mut().for_each(|(_, original)| *original = escaped(original));
        }
        (!changes.is_empty()).then(|| changed(text, &changes))
    }

    /// The surrogate of an original: the same one each time.
    pub(super) fn surrogate(&mut self, kind: Kind, original: &str) -> String {
        *self.hidden.entry(kind).or_default() += 1;
        let key = (kind, original.to_lowercase());
        if let Some(surrogate) = self.by_original.get(&key) {
            return surrogate.clone();
        }
        let mut surrogate = drawn(kind);
        while self.originals.contains_key(&surrogate) {
            surrogate = drawn(kind);
        }
        self.originals.insert(surrogate.clone(), original.to_owned());
        self.by_original.insert(key, surrogate.clone());
        surrogate
    }
}

/// What stands for an identifier that is masked.
pub(super) fn mask(kind: Kind) -> String {
    format!("[{}]", kind.id())
}

/// A text with changes, which are in order and do not overlap.
pub(super) fn changed(text: &str, changes: &[Change]) -> String {
    let (mut whole, mut at) = (String::with_capacity(text.len()), 0);
    for (place, new) in changes {
        whole.push_str(text.get(at..place.start).unwrap_or_default());
        whole.push_str(new);
        at = place.end;
    }
    whole.push_str(text.get(at..).unwrap_or_default());
    whole
}

/// A text with changes; where it is JSON, what stands in place of a bare number is a string.
pub(super) fn fitted(text: &str, changes: &[Change]) -> String {
    let plain = changed(text, changes);
    if !is_json(text) || is_json(&plain) {
        return plain;
    }
    changed(text, &quoted(text, changes))
}

/// Changes of a JSON text, or the beginning of one, in which what stands outside of its strings becomes a string.
pub(super) fn quoted(text: &str, changes: &[Change]) -> Vec<Change> {
    let (mut at, mut in_string, mut is_escaped) = (0, false, false);
    let quoted = |(place, new): &Change| {
        for byte in text.get(at..place.start).unwrap_or_default().bytes() {
            in_string ^= byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
        }
        at = place.start;
        (place.clone(), if in_string { new.clone() } else { format!("\"{new}\"") })
    };
    changes.iter().map(quoted).collect()
}

/// Whether a text is an object or a list.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A text as it stands between the quotes of a JSON string.
pub(super) fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
}

fn drawn(kind: Kind) -> String {
    // The first bytes of this version are a time and a counter.
    let random = Uuid::now_v7().into_bytes();
    let letters = random.iter().skip(11).filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    format!("{}_{}", kind.id(), letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "Patient: Maria Sanchez, MRN 4471920, seen by Dr. Lee. Call Maria Sanchez at 415-555-0132.";

    #[test]
    fn identifiers_leave_and_come_back() {
        let mut surrogates = Surrogates::default();
        let hidden = surrogates.hide(NOTE).unwrap();
        for original in ["Sanchez", "4471920", "0132"] {
            assert!(!hidden.contains(original), "{hidden}");
        }
        assert_eq!(surrogates.show(&hidden).unwrap(), NOTE);
        assert_eq!(surrogates.hide("It is 120/80 on 5 mg daily."), None);
        assert_eq!(surrogates.show("Nothing to show [NAME_AAAAA]."), None);
    }

    #[test]
    fn one_person_has_one_surrogate_and_another_request_another_one() {
        let (mut one, mut other) = (Surrogates::default(), Surrogates::default());
        let hidden = one.hide(NOTE).unwrap();
        let name = SURROGATE.find(&hidden).unwrap().as_str();
        assert_eq!(hidden.matches(name).count(), 2, "{hidden}");
        assert!(!other.hide(NOTE).unwrap().contains(name));
    }

    #[test]
    fn an_llm_may_leave_the_brackets_out_or_spell_json() {
        let mut surrogates = Surrogates::default();
        let surrogate = surrogates.surrogate(Kind::Name, "Dee \"Dee\" O'Hara");
        assert_eq!(surrogates.show(&format!("{surrogate}'s dose")).unwrap(), "Dee \"Dee\" O'Hara's dose");
        assert_eq!(surrogates.show(&format!("([{surrogate}])")).unwrap(), "(Dee \"Dee\" O'Hara)");
        let number = surrogates.hide("{\"phone\": 4155550132, \"n\": 3}").unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&number).is_ok_and(|json| json["n"] == 3), "{number}");
        let prose = surrogates.hide("{\"note\":\"Patient MRN: 4471920, seen today\"}").unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&prose).is_ok(), "{prose}");
        let json = surrogates.show(&format!("{{\"who\": \"[{surrogate}]\"}}")).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["who"], "Dee \"Dee\" O'Hara");
    }
}
