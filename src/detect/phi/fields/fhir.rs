//! FHIR as JSON: the keys around a value say what it is. The text may be cut off anywhere.

use super::super::dates::pattern;
use super::super::{Kind, Span};
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#""(?:[^"\\\n]|\\.)*"|[{}\[\],:]|-?[0-9][0-9.]*"#));

/// An object or list that is open, by the key before it.
#[derive(Default)]
struct Open<'t> {
    key: &'t str,
    /// The value in it whose kind other values in it tell.
    value: Option<Range<usize>>,
    /// The kind that they tell.
    kind: Option<Kind>,
}

/// The identifiers in a text's resources.
pub(super) fn find(text: &str) -> Vec<Span> {
    const KEYS: &[&str] = &[
        "\"resourceType\"",
        "\"family\"",
        "\"given\"",
        "\"birthDate\"",
        "\"identifier\"",
        "\"telecom\"",
        "\"postalCode\"",
    ];
    let mut found = Vec::new();
    if !KEYS.iter().any(|key| text.contains(key)) {
        return found;
    }
    let mut open: Vec<Open<'_>> = vec![Open::default()];
    let (mut key, mut last) = ("", "");
    for token in TOKEN.iter().flat_map(|pattern| pattern.find_iter(text)) {
        match token.as_str() {
            "{" | "[" => {
                open.push(Open { key, ..Open::default() });
                key = "";
            }
            "}" | "]" => {
                let inner = open.pop().unwrap_or_default();
                close(inner, &mut open, &mut found);
                key = "";
            }
            ":" => key = last,
            "," => key = "",
            value if value.starts_with('"') => {
                last = value.trim_matches('"');
                let range = token.start() + 1..(token.end() - 1).max(token.start() + 1);
                // A key is known by the colon behind it; as a value it would stand for nothing that is looked for.
                let is_key =
                    text.get(token.end()..).is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(':'));
                if !is_key {
                    read(&mut open, (key, last), range, &mut found);
                }
            }
            _ if key == "value" => read(&mut open, (key, token.as_str()), token.range(), &mut found),
            _ => {}
        }
    }
    for inner in open {
        close(inner, &mut Vec::new(), &mut found);
    }
    found
}

/// The nearest keys around a value, the innermost first; lists and objects of no key have none.
fn around<'o, 't>(open: &'o [Open<'t>]) -> impl Iterator<Item = &'t str> + use<'o, 't> {
    open.iter().rev().take(8).map(|open| open.key).filter(|key| !key.is_empty())
}

fn read<'t>(open: &mut [Open<'t>], (key, value): (&'t str, &'t str), range: Range<usize>, found: &mut Vec<Span>) {
    let outer: Vec<&str> = around(open).take(3).collect();
    let holder = outer.first().copied().unwrap_or_default();
    let key = if key.is_empty() { holder } else { key };
    let identifier = outer.iter().take(3).any(|key| *key == "identifier" || *key == "Identifier");
    let address = outer.contains(&"address");
    let has_digit = value.contains(|c: char| c.is_ascii_digit());
    let kind = match key {
        "family" | "given" => Some(Kind::Name),
        "text" if holder == "name" => Some(Kind::Name),
        "display" if is_person(holder) && !has_digit => Some(Kind::Name),
        "line" | "city" | "district" | "postalCode" => Some(Kind::Place),
        "text" if address => Some(Kind::Place),
        "birthDate" | "deceasedDateTime" | "birthTime" if has_digit => Some(Kind::Date),
        "serialNumber" | "carrierHRF" | "deviceIdentifier" => Some(Kind::Device),
        "subscriberId" | "policyNumber" | "memberId" => Some(Kind::Plan),
        "accountNumber" => Some(Kind::Account),
        "ssn" => Some(Kind::Ssn),
        "mrn" => Some(Kind::Mrn),
        "id" if has_digit && value.len() > 2 => Some(Kind::Other),
        "reference" => {
            let id = value.rsplit('/').next().unwrap_or_default();
            if value.contains('/') && id.len() > 3 && id.contains(|c: char| c.is_ascii_digit()) {
                found.push(Span { kind: Kind::Other, range: range.end - id.len()..range.end });
            }
            None
        }
        _ => None,
    };
    if let Some(kind) = kind {
        found.push(Span { kind, range });
        return;
    }
    // The kind of an identifier or of a telephone number is told beside it.
    let Some(holder) = open.iter_mut().rev().take(8).find(|open| !open.key.is_empty() || open.value.is_some()) else {
        return;
    };
    let telecom = holder.key == "telecom" || outer.contains(&"telecom");
    let told = told(value, telecom).filter(|_| identifier || telecom);
    if let Some(inner) = open.last_mut() {
        inner.kind = inner.kind.or(told);
        if key == "value" && (identifier || telecom) && value.len() > 1 {
            inner.value = Some(range);
        }
    }
}

/// Tells the kind of the value of an object that ends; what a nested object tells, the one around it learns.
fn close(inner: Open<'_>, open: &mut [Open<'_>], found: &mut Vec<Span>) {
    if let Some(range) = inner.value {
        found.push(Span { kind: inner.kind.unwrap_or(Kind::Other), range });
    } else if let (Some(kind), Some(outer)) = (inner.kind, open.last_mut()) {
        outer.kind = outer.kind.or(Some(kind));
    }
}

fn is_person(key: &str) -> bool {
    matches!(
        key,
        "subject"
            | "patient"
            | "performer"
            | "requester"
            | "author"
            | "generalPractitioner"
            | "practitioner"
            | "actor"
            | "recorder"
            | "asserter"
            | "individual"
            | "beneficiary"
            | "subscriber"
            | "policyHolder"
            | "informationSource"
            | "participant"
            | "who"
            | "sender"
            | "recipient"
            | "attester"
            | "party"
            | "member"
            | "resultsInterpreter"
    )
}

fn told(value: &str, telecom: bool) -> Option<Kind> {
    let low = value.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| low.contains(word));
    if telecom {
        return match low.as_str() {
            "phone" | "sms" | "pager" => Some(Kind::Phone),
            "fax" => Some(Kind::Fax),
            "email" => Some(Kind::Email),
            "url" => Some(Kind::Url),
            _ => None,
        };
    }
    match low.as_str() {
        "mr" => return Some(Kind::Mrn),
        "ss" | "sb" => return Some(Kind::Ssn),
        "dl" | "ln" | "md" | "npi" => return Some(Kind::Licence),
        "mb" | "sn" | "mc" => return Some(Kind::Plan),
        "an" => return Some(Kind::Account),
        "ppn" | "vn" | "acsn" | "plac" | "fill" => return Some(Kind::Other),
        _ => {}
    }
    match () {
        () if any(&["us-ssn", "social", "/ssn"]) => Some(Kind::Ssn),
        () if any(&["us-npi", "/npi", "dea", "licen"]) => Some(Kind::Licence),
        () if any(&["mrn", "medical record", "medical-record", "nhs-number"]) => Some(Kind::Mrn),
        () if any(&["us-medicare", "us-mbi", "member", "subscriber", "policy", "insurance", "payer", "medicaid"]) => {
            Some(Kind::Plan)
        }
        () if any(&["account", "billing"]) => Some(Kind::Account),
        () if any(&["serial", "udi"]) => Some(Kind::Device),
        _ => None,
    }
}
