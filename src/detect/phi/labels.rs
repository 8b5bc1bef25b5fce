//! Numbers and codes that a label before them names.

use super::dates::pattern;
use super::words::{after, before, is_measured};
use super::{Kind, Span};
use regex::{Captures, Regex};
use std::ops::Range;
use std::sync::LazyLock;

/// Labels by kind, and the fewest digits behind one, with and without a word such as "number" or a sign such as ":".
struct Label {
    kind: Kind,
    words: &'static str,
    fewest: (usize, usize),
}

const LABELS: &[Label] = &[
    Label { kind: Kind::Ssn, words: r"ssn|s\.s\.n\.?|ss ?#|social(?: security)?|s[o0]c\.? ?sec\.?", fewest: (4, 4) },
    Label {
        kind: Kind::Mrn,
        words: r"mrn|m\.r\.n\.?|mr ?#|mr ?(?:no\.?|number)|med(?:ical)?\.? ?rec(?:ord)?s?|chart|unit ?(?:no\.?|number|#)|hosp(?:ital)?\.? ?(?:no\.?|number|#|id)|patient ?(?:id|no\.?|number|#|identifier)|pt\.? ?(?:id|#|no\.?)|record ?(?:no\.?|number|#|id)|nhs|e?mpi|urn|nhi|emr|med rec",
        fewest: (3, 4),
    },
    Label {
        kind: Kind::Vehicle,
        words: r"(?:licen[cs]e |number |car |vehicle )?plates?|vin|vehicle ?(?:id(?:entification)?|registration)|tag ?(?:no\.?|number|#)|car reg(?:istration)?",
        fewest: (2, 3),
    },
    Label {
        kind: Kind::Plan,
        words: r"policy|member(?:ship)?|subscriber|group|grp|beneficiary|medicaid|medicare|medi-cal|insurance|ins|plan|hicn|mbi|payer|health ?card|ohip|coverage|enrollee|aetna|cigna|humana|anthem|bcbs|blue ?cross(?: blue ?shield)?|blue ?shield|tricare|kaiser|united ?healthcare|uhc|member/policy|versicherten?(?:nummer|nr\.?)?",
        fewest: (4, 5),
    },
    Label {
        kind: Kind::Account,
        words: r"acc(?:oun)?t\.?|a/c|iban|routing|billing|invoice|bank|guarantor|checking|savings|credit card|debit card|card|visa|mastercard|amex|statement|hsa|fsa|bill|account ending(?: in)?|card ending(?: in)?|ending in",
        fewest: (4, 5),
    },
    Label {
        kind: Kind::Licence,
        words: r"licen[cs]e|lic\.?|dea|npi|certificate(?: of [a-z]+)?|commission|cert\.?|certification|gmc|nmc|gphc|dl ?(?:#|no\.?|number)|cdl|d\.l\.|driver['’]?s(?: licen[cs]e)?|drivers licen[cs]e|driving licen[cs]e|state id|upin|registration|reg\.?|permit|pin",
        fewest: (4, 5),
    },
    Label {
        kind: Kind::Device,
        words: r"serial|s/n|sn|udi|imei|device(?: id)?|leads?|generator|pacemaker|icd (?:serial|sn)|pump|implant|pod|sensor|transmitter|monitor|cpap|ventilator|machine",
        fewest: (3, 6),
    },
    Label {
        kind: Kind::Biometric,
        words: r"(?:finger|voice|palm|hand|thumb) ?-?prints?(?: (?:id|hash|template|ref\.?|record|file|scan|enrol?lment|enrolled as))?|(?:retinal?|iris|face|facial|finger|palm|voice|vein)(?: ?-?(?:scan|recognition|template|id|geometry|profile|map|vein)){1,3}|biometrics?(?: (?:id|template|hash|token|ref|record|enrol?lment)){0,2}",
        fewest: (2, 3),
    },
    Label {
        kind: Kind::Other,
        words: r"visit|encounter|enc|csn|accession|acc|case|subject|study|participant|enrol?lment|passport|claim|order|reference|specimen|sample|ticket|badge|employee|student|trial|incident|fin|har|rx|prescription|confirmation|tracking|donor|docket|file|appointment|referral|auth(?:orization)?\.?|prior auth(?:orization)?|req(?:uisition)?\.?|transaction|barcode|wristband|report|booking|id|identifier|ref\.? ?(?:no\.?|#|number)|control|episode|inmate|prisoner|a-number|alien|visa (?:no\.?|number)|randomi[sz]ation|kit|registry|cohort|slide|bag|screening|pathology|id band|band|state screen card|screen card|interpreter|operator|agent|ccf|no\.|number",
        fewest: (3, 5),
    },
];

const MARK: &str = r"(?P<mark>(?:[ \t]{0,2}(?:numbers?\b|num\b\.?|no\b\.?|nr\b\.?|nbr\b|identifier\b|id\b|ids\b|code\b|#s?|№)){0,3}(?:[ \t]{0,3}(?:[:=#(,]|is\b|was\b|will be\b|['’]s\b|->|-)){0,3})";

/// A number, or letters and then a number; poor scans have letters for digits, and people say digits as words.
const VALUE: &str = r"(?:[x*]{2,12}[- ]?|\.{2,3} ?)?[a-z0-9](?:[a-z0-9]|[-./_][a-z0-9]){0,40}";

const SPOKEN: &str = r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)(?:[ ,-]{1,2}(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|dash|[a-z])){3,16}\b";

static PATTERN: LazyLock<Vec<(&Label, Option<Regex>)>> = LazyLock::new(|| {
    let full = |words: &str| {
        let words = format!(r"(?:^|[^a-z0-9])(?P<label>(?:{words}))");
        pattern(&format!(r#"{words}(?:s?\b|#)?{MARK}[ \t]{{0,12}}["“]?(?P<value>{SPOKEN}|{VALUE})"#))
    };
    LABELS.iter().map(|label| (label, full(label.words))).collect()
});

/// All of them.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    for (label, pattern) in PATTERN.iter() {
        let Some(pattern) = pattern else { continue };
        let mut at = 0;
        // A label may be what seems a value behind another label, so the search goes on behind the label.
        while let Some(all) = pattern.captures_at(text, at) {
            let named = all.name("label").map_or(text.len(), |label| label.end());
            let value = value(text, label, &all);
            at = value.as_ref().map_or(named, |value| value.end);
            found.extend(value.map(|range| Span { kind: label.kind, range }));
        }
    }
    found
}

/// What a label names, if it is a number or code.
fn value(text: &str, label: &Label, all: &Captures<'_>) -> Option<Range<usize>> {
    let (value, mark, named) = (all.name("value")?, all.name("mark")?, all.name("label")?);
    // "SN" begins "SNOMED", but is no label there.
    let rest = after(text, named.end(), 8);
    let rest = rest.strip_prefix(['s', 'S']).unwrap_or(rest);
    if named.as_str().ends_with(char::is_alphanumeric) && rest.starts_with(char::is_alphanumeric) {
        return None;
    }
    let written = value.as_str();
    if written.split([' ', ',', '-']).count() > 3 && !written.contains(|c: char| c.is_ascii_digit()) {
        return Some(value.range());
    }
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
    let mut end = value.end();
    // Letters and groups of digits with spaces between them.
    let letters = digits(written) == 0;
    if letters && !(written.len() <= 4 && written.chars().all(|c| c.is_ascii_uppercase())) {
        return None;
    }
    for group in after(text, end, 48).split([' ', '\n', '\t']).skip(1).take(5) {
        let group = group.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let rest = after(text, end + 1 + group.len(), 12);
        let numeric = !group.is_empty() && group.chars().all(|c| c.is_ascii_digit() || c == '-');
        let begun = end > value.end();
        let joined = after(text, end, 1) == " ";
        let long = digits(group) >= if begun { 2 } else { 3 } && group.len() <= 16;
        let goes_on = rest.starts_with(|c: char| c.is_alphanumeric() || c == '/')
            || rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !(joined && numeric && long) || goes_on || is_measured(rest) {
            break;
        }
        end += 1 + group.len();
    }
    let whole = text.get(value.start()..end)?;
    let marked = mark.as_str().contains(['#', ':', '=', '№']) || mark.as_str().contains(|c: char| c.is_alphabetic());
    let fewest = if marked { label.fewest.0 } else { label.fewest.1 };
    // A code of capitals and digits needs fewer of these.
    let code = whole.len() > 5
        && digits(whole) > 1
        && whole.contains(|c: char| c.is_ascii_uppercase())
        && !whole.contains(|c: char| c.is_ascii_lowercase());
    let enough = (digits(whole) >= fewest || (code && (marked || whole.contains('-'))))
        && !is_measured(after(text, end, 12))
        && !is_other(whole, label.kind);
    // Letters with a dash before the number belong to it.
    let letters = before(text, value.start(), 6).strip_suffix('-').map_or(0, |before| {
        let letters = before.bytes().rev().take_while(u8::is_ascii_uppercase).count();
        if letters > 0 { letters + 1 } else { 0 }
    });
    (enough && !after(text, end, 4).starts_with(['%', '@'])).then_some(value.start() - letters..end)
}

/// Whether a value is a date, a year, a range, a share or a code of medicine.
fn is_other(value: &str, kind: Kind) -> bool {
    let parts = || value.split(['/', '-', '.']);
    let numeric = || parts().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let lengths: Vec<usize> = parts().take(5).map(str::len).collect();
    let date = numeric() && matches!(lengths.as_slice(), [1 | 2, 1 | 2, 2 | 4] | [4, 1 | 2, 1 | 2]);
    let range = numeric() && matches!(lengths.as_slice(), [1..=3, 1..=3]) && kind != Kind::Vehicle;
    let year = value.len() == 4 && (value.starts_with("19") || value.starts_with("20")) && kind != Kind::Ssn;
    let low = value.to_ascii_lowercase();
    let code = ["icd", "cpt", "loinc", "snomed", "ndc", "nct", "covid", "rxnorm", "http"]
        .iter()
        .any(|code| low.starts_with(code));
    // Decimal numbers.
    let decimal = numeric() && value.contains('.') && lengths.iter().any(|length| *length < 3);
    (date && kind != Kind::Ssn) || range || year || code || decimal
}
