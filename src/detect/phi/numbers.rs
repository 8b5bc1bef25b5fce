//! Numbers and addresses that tell by their shape or checksum what they are.

use super::dates::{captures, pattern};
use super::words::{after, before, is_measured, stands_alone};
use super::{Kind, Span, checks};
use regex::Regex;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::sync::LazyLock;

type Pattern = LazyLock<Option<Regex>>;

static EMAIL: Pattern = LazyLock::new(|| {
    pattern(
        r"[a-z0-9._%+'-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,24}\b|\b[a-z0-9._-]{2,40}\s?(?:\(at\)|\[at\]| at )\s?[a-z0-9-]{2,30}\s?(?:\(dot\)|\[dot\]| dot |\.)\s?(?:com|org|net|edu)\b",
    )
});

static URL: Pattern = LazyLock::new(|| {
    pattern(
        r#"\b(?:https?://|ftp://|www\.)[^\s"'<>()\[\]{}|^\\]+|\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|edu|gov|io|info|health|care|me|uk|de|app|example|test)/[^\s"'<>()\[\]{}|^\\]+|\b[a-z0-9-]+(?:\.[a-z0-9-]+)+\.(?:com|org|net|edu|example|test)\b"#,
    )
});

static IP: Pattern =
    LazyLock::new(|| pattern(r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|\b[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){2,7}(?:::)?"));

static MAC: Pattern = LazyLock::new(|| pattern(r"\b[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5})\b"));

static SSN: Pattern = LazyLock::new(|| pattern(r"\b[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}\b|[x*]{3}-[x*]{2}-[0-9]{4}\b"));

/// North American, with the area.
static PHONE: Pattern = LazyLock::new(|| {
    pattern(
        r"(?:\+?1[-. ]?)?(?:\([0-9]{3}\)\s?[-.]?\s?|\b[0-9]{3}\s?[-. /·]\s?)[0-9Ol]{3}\s?[-. ·]\s?[0-9Ol]{4}\b(?:,?\s?(?:x|ext\.?|extension)\s?[0-9]{1,6}\b)?",
    )
});

/// With a country's number, or with the zero before an area's number.
static ABROAD: Pattern = LazyLock::new(|| {
    pattern(
        r"(?:\+|\b00)[1-9][0-9]{0,2}(?:[ .\-/]{0,2}\(?[0-9]{1,5}\)?){2,7}|\b\(?0[0-9]{2,4}\)?[ /][0-9]{3,8}(?:[ -][0-9]{2,6}){0,3}\b",
    )
});

/// Seven digits, or ten to eleven at once: a word before them must say what they are.
static LOCAL: Pattern = LazyLock::new(|| {
    pattern(
        r"\b(?:[0-9]{3}[-. ][0-9Ol]{4}|555[0-9]{4}|1?[2-9][0-9]{9})\b(?:,?\s?(?:x|ext\.?|extension)\s?[0-9]{1,6}\b)?",
    )
});

static PAGER: Pattern = LazyLock::new(|| {
    pattern(r"\b(?:pager|beeper|bleep|pgr)\b(?: (?:no\.?|number|is))?[ :#]{1,3}(?P<value>[0-9]{3,7})\b")
});

/// Digits as words.
static SPOKEN: Pattern = LazyLock::new(|| {
    let digit = "(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|double)";
    pattern(&format!(r"\b{digit}(?:[ ,-]{{1,2}}(?:area code |dash )?{digit}){{6,14}}\b"))
});

static CARD: Pattern = LazyLock::new(|| {
    pattern(r"\b[0-9]{4}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}\b|\b3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5}\b")
});

static IBAN: Pattern = LazyLock::new(|| pattern(r"\b[a-z]{2}[0-9]{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b"));

static VIN: Pattern = LazyLock::new(|| pattern(r"\b[a-hj-npr-z0-9]{17}\b"));

/// Medicare's number of a beneficiary.
static MEDICARE: Pattern = LazyLock::new(|| {
    let letter = "[ac-hj-kmnp-rt-y]";
    let either = "[ac-hj-kmnp-rt-y0-9]";
    pattern(&format!(r"\b[1-9]{letter}{either}[0-9]-?{letter}{either}[0-9]-?{letter}{{2}}[0-9]{{2}}\b"))
});

/// A device's number in the form of its bar code.
static UDI: Pattern = LazyLock::new(|| pattern(r"\(01\)[0-9]{14}(?:\([0-9]{2}\)[a-z0-9-]{1,20}){0,4}"));

/// An id that a computer gave.
static UUID: Pattern = LazyLock::new(|| pattern(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"));

/// Capital letters and a long number: no code of medicine looks so.
static SERIES: Pattern = LazyLock::new(|| pattern(r"\b[a-z]{1,4}-?[0-9]{7,14}[a-z]?\b"));

/// All but the last digits of a telephone number hidden.
static HIDDEN: Pattern = LazyLock::new(|| pattern(r"[x*]{3}[-. ][x*]{3}[-. ][0-9]{4}\b"));

static NHS: Pattern = LazyLock::new(|| pattern(r"\b[0-9]{3} [0-9]{3} [0-9]{4}\b"));

static NPI: Pattern = LazyLock::new(|| pattern(r"\b[12][0-9]{9}\b"));

static DEA: Pattern = LazyLock::new(|| pattern(r"\b[abfgmpr][a-z9][0-9]{7}\b"));

/// All of them.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut add = |kind: Kind, pattern: &'static Pattern, is: &dyn Fn(&str, &Range<usize>) -> bool| {
        let spans = captures(pattern, text).filter_map(|all| all.name("value").or_else(|| all.get(0)));
        let spans = spans.map(|span| (span.as_str(), span.range())).filter(|(written, range)| is(written, range));
        found.extend(spans.map(|(_, range)| Span { kind, range }));
    };
    let free = |range: &Range<usize>| stands_alone(text, range);
    add(Kind::Email, &EMAIL, &|_, _| true);
    add(Kind::Device, &MAC, &|_, range| free(range));
    add(Kind::Device, &UDI, &|_, _| true);
    add(Kind::Ip, &IP, &|written, range| is_ip(text, written, range));
    add(Kind::Ssn, &SSN, &|written, range| free(range) && is_ssn(text, written, range));
    add(Kind::Plan, &MEDICARE, &|written, _| written.contains(|c: char| c.is_ascii_uppercase()));
    add(Kind::Account, &IBAN, &|written, _| checks::iban(written));
    add(Kind::Account, &CARD, &|written, range| free(range) && checks::card(written));
    add(Kind::Vehicle, &VIN, &|written, _| {
        written.contains(|c: char| c.is_ascii_alphabetic())
            && written.contains(|c: char| c.is_ascii_digit())
            && checks::vin(written)
    });
    add(Kind::Licence, &DEA, &|written, _| written.chars().all(|c| !c.is_lowercase()) && checks::dea(written));
    add(Kind::Licence, &NPI, &|written, range| free(range) && checks::npi(written) && !is_called(text, range));
    add(Kind::Mrn, &NHS, &|written, range| free(range) && checks::nhs(written) && !is_called(text, range));
    add(Kind::Phone, &HIDDEN, &|_, _| true);
    add(Kind::Phone, &PAGER, &|_, _| true);
    add(Kind::Phone, &PHONE, &|written, range| is_phone(text, written, range));
    add(Kind::Phone, &ABROAD, &|written, range| (9..=15).contains(&digits(written)) && free(range));
    add(Kind::Phone, &LOCAL, &|written, range| {
        let ten = digits(written) == 10 && !written.starts_with('1') && written.get(3..4).is_none_or(|c| c >= "2");
        let known = (ten && !is_code(text, range)) || (written.starts_with("555") && written.len() > 7);
        free(range) && (is_called(text, range) || known)
    });
    add(Kind::Phone, &SPOKEN, &|_, _| true);
    let urls =
        captures(&URL, text).filter_map(|url| url.get(0)).map(|url| url.start()..url.start() + trimmed(url.as_str()));
    found.extend(urls.filter(|range| is_url(text, range)).map(|range| Span { kind: Kind::Url, range }));
    for span in &mut found {
        let label = before(text, span.range.start, 18).to_lowercase();
        // The nearest word counts: "phone … fax …".
        let label = label.rsplit(|c: char| c.is_ascii_digit() || c == '\n').next().unwrap_or_default();
        if span.kind == Kind::Phone && (label.contains("fax") || label.contains("facsimile")) {
            span.kind = Kind::Fax;
        }
    }
    found
}

/// Ids and codes that nothing but their length and letters gives away.
pub(super) fn series(text: &str) -> Vec<Span> {
    const PUBLIC: &[&str] = &["NCT", "PMID", "RS", "ISBN", "PMC", "CHEBI", "DOI", "EC", "CAS", "UMLS", "GSE", "CVE"];
    let of_person = |written: &str, range: &Range<usize>| {
        stands_alone(text, range)
            && !written.contains(|c: char| c.is_ascii_lowercase())
            && !PUBLIC.iter().any(|code| written.starts_with(code))
            && !is_code(text, range)
    };
    let series =
        captures(&SERIES, text).filter_map(|all| all.get(0)).filter(|all| of_person(all.as_str(), &all.range()));
    let ids = captures(&UUID, text).filter_map(|all| all.get(0));
    series.chain(ids).map(|all| Span { kind: Kind::Other, range: all.range() }).collect()
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// How much of an address is left without the sentence's marks.
fn trimmed(url: &str) -> usize {
    url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']).len()
}

/// Addresses of standards and of what everyone reads tell nothing about a person.
fn is_url(text: &str, range: &Range<usize>) -> bool {
    const PUBLIC: &[&str] = &[
        "hl7.org",
        "loinc.org",
        "snomed.info",
        "unitsofmeasure.org",
        "w3.org",
        "nih.gov",
        "cdc.gov",
        "who.int",
        "fda.gov",
        "cms.gov",
        "nejm.org",
        "uptodate.com",
        "medlineplus.gov",
        "doi.org",
        "icd.who",
        "iana.org",
        "json-schema.org",
        "nice.org.uk",
        "mayoclinic.org",
        "wikipedia.org",
        "github.com",
        "acc.org",
        "hhs.gov",
        "ada.org",
    ];
    let url = text.get(range.clone()).unwrap_or_default().to_lowercase();
    let key = before(text, range.start, 24);
    let in_email = before(text, range.start, 4).ends_with('@') || after(text, range.end, 4).starts_with('@');
    let is_system = ["system", "profile", "url"].iter().any(|name| key.contains(&format!("\"{name}\"")));
    !in_email && !is_system && !PUBLIC.iter().any(|host| url.contains(host)) && range.len() > 5
}

fn is_ip(text: &str, written: &str, range: &Range<usize>) -> bool {
    if written.contains(':') {
        let telling = written.contains("::") || written.bytes().any(|b| b.is_ascii_alphabetic());
        return telling && written.parse::<Ipv6Addr>().is_ok();
    }
    let label = before(text, range.start, 12).to_lowercase();
    let version = ["version", " v", "ver", "section", "build", "firmware", "oid", "§"];
    written.split('.').all(|part| part.parse::<u8>().is_ok())
        && !version.iter().any(|word| label.trim_end_matches([' ', '.', ':']).ends_with(word))
        && stands_alone(text, range)
}

/// A number that cannot have been given counts where a word says what it is.
fn is_ssn(text: &str, written: &str, range: &Range<usize>) -> bool {
    let label = before(text, range.start, 28).to_lowercase();
    let cue = ["ssn", "social", "soc sec", "ss#", "ss #", "tin"].iter().any(|word| label.contains(word));
    cue || !written.starts_with(|c: char| c.is_ascii_digit())
        || (written.contains('-') && !written.ends_with("-0000"))
        || checks::ssn(written)
}

/// Whether words before a number say that it is a code of medicine.
fn is_code(text: &str, range: &Range<usize>) -> bool {
    const WORDS: &[&str] = &[
        "code", "snomed", "sct", "ndc", "loinc", "rxnorm", "icd", "cpt", "hcpcs", "upc", "gtin", "lot", "pmid", "cid",
    ];
    let label = before(text, range.start, 24).to_lowercase();
    WORDS.iter().any(|word| label.contains(word))
}

/// Whether words before a number say that someone is called by it.
fn is_called(text: &str, range: &Range<usize>) -> bool {
    const WORDS: &[&str] = &[
        "call",
        "phone",
        "tel",
        "cell",
        "mobile",
        "text",
        "reach",
        "fax",
        "ring",
        "ph:",
        "ph ",
        "contact",
        "dial",
        "whatsapp",
        "home:",
        "msg",
        "message",
        "work:",
        "(h)",
        "(c)",
        "(w)",
        "handy",
        "line",
        "c:",
        "h:",
        "t:",
        "landline",
        "voicemail",
        "number is",
        "my number",
        "her number",
        "his number",
        "number's",
        "office",
    ];
    let label = before(text, range.start, 32).to_lowercase();
    let label = label.rsplit(['\n', '|', ';']).next().unwrap_or_default();
    WORDS.iter().any(|word| label.contains(word))
}

fn is_phone(text: &str, written: &str, range: &Range<usize>) -> bool {
    let area = written.trim_start_matches(['+', '(']);
    let area = area
        .strip_prefix(['1'])
        .filter(|_| digits(written) > 10)
        .unwrap_or(area)
        .trim_start_matches(['-', '.', ' ', '(']);
    let count = digits(written.split(['x', 'e', ',']).next().unwrap_or_default());
    let code = before(text, range.start, 8).to_lowercase().contains("ndc");
    (7..=11).contains(&count)
        && (area.starts_with(|c: char| ('2'..='9').contains(&c)) || is_called(text, range))
        && !code
        && stands_alone(text, range)
        && !is_measured(after(text, range.end, 12))
}
