//! Dates that say more than the year.

mod numeric;

use super::lexicon::{self, MONTHS};
use super::words::{after, before, is_measured, stands_alone};
use super::{Kind, Span};
use regex::{Captures, Regex};
use std::sync::LazyLock;

const MONTH: &str = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)";
const DAY: &str = r"(?:[12][0-9]|3[01]|0?[1-9])";
const ORDINAL: &str = r"(?:twenty[- ]|thirty[- ])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth";
const YEAR: &str = r"(?:,?\.?\s{0,2}(?:of )?(?:(?:19|20)[0-9]{2}|['’][0-9]{2})\b|,? (?:nineteen|twenty)[- ](?:hundred|oh|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|ten|eleven|twelve|[a-z]{3,5}teen)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?\b)";
const WEEKDAY: &str = r"(?:(?:mon|tue|tues|wed|wednes|thu|thur|thurs|fri|sat|satur|sun)(?:day)?\.?,? )?";
const TIME: &str = r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?";

/// A pattern without regard to case; `\b` knows ASCII only, which keeps the search fast.
pub(super) fn pattern(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("(?i){}", pattern.replace(r"\b", r"(?-u:\b)"))).ok()
}

/// A month, then a day.
static MONTH_DAY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let days = format!(r"(?:the )?(?:{DAY}(?:\s?(?:st|nd|rd|th)\b)?|(?:{ORDINAL})\b)(?:\s?[-–]\s?{DAY}\b)?");
    pattern(&format!(
        r"\b(?P<whole>{WEEKDAY}(?P<month>{MONTH})\b\.?[ -]{{1,2}}{days})(?P<year>{YEAR}|-[0-9]{{2,4}}\b)?"
    ))
});

/// A day, then a month.
static DAY_MONTH: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let day = format!(r"(?:{DAY}(?:st|nd|rd|th|\.)?|(?:{ORDINAL}))(?P<of> (?:day )?of)?");
    let days = format!(r"(?:{DAY}\s?[-–]\s?)?{day}");
    pattern(&format!(
        r"\b(?P<whole>{WEEKDAY}{days}[ -]?(?P<month>{MONTH})\b)(?P<year>{YEAR}|\.?[ /-](?:[0-9]{{4}}|[0-9]{{2}})\b|(?:19|20)[0-9]{{2}}\b)?"
    ))
});

/// A day, a month in letters and a year without anything between them.
static TOGETHER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(&format!(r"\b{DAY}{MONTH}(?:(?:19|20)[0-9]{{2}}|[0-9]{{2}})\b")));

/// A month by itself or with a year.
static MONTH_ONLY: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(&format!(r"\b(?P<whole>(?P<month>{MONTH})\b\.?)(?P<year>{YEAR})?")));

/// The year, the month, the day.
static ISO: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(&format!(r"\b(?:19|20)[0-9]{{2}}[-/.](?:1[0-2]|0?[1-9])[-/.]{DAY}{TIME}")));

/// A day by itself: "on the 19th".
static DAY_ONLY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let day = format!(r"(?:{DAY}(?:st|nd|rd|th)|(?:{ORDINAL}))");
    pattern(&format!(
        r"\b(?:on|by|until|till|since|from|before|after) the (?P<value>{day})(?:[.,;:)!?]|$|\n| (?:and|with|at|for|to|but|because|so|when|he|she|they|we|i|it|after|before|if|or|in the|was|is)\b)"
    ))
});

/// Eight digits, or six, behind a label.
static COMPACT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\b(?:dob|d\.o\.b\.?|birth ?date|date of birth|born|dos|adm|admitted|date)\b[:= ]{1,3}(?P<value>(?:19|20)[0-9]{6}|[01][0-9]{7})\b",
    )
});

/// All dates and ages.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut add = |kind: Kind, range: std::ops::Range<usize>| found.push(Span { kind, range });
    let named = [(&MONTH_DAY, true), (&DAY_MONTH, true), (&MONTH_ONLY, false)];
    for (pattern, day) in named {
        for date in captures(pattern, text).filter(|date| is_month(text, date, day)) {
            let (Some(whole), year) = (date.name("whole"), date.name("year")) else { continue };
            if after(text, date.get(0).map_or(0, |date| date.end()), 4).starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            add(Kind::Date, whole.start()..year.map_or(whole.end(), |year| year.end()));
        }
    }
    for date in captures(&ISO, text).chain(captures(&TOGETHER, text)).filter_map(|date| date.get(0)) {
        if stands_alone(text, &date.range()) {
            add(Kind::Date, date.range());
        }
    }
    numeric::find(text).into_iter().for_each(|range| add(Kind::Date, range));
    for date in captures(&COMPACT, text).chain(captures(&DAY_ONLY, text)).filter_map(|date| date.name("value")) {
        add(Kind::Date, date.range());
    }
    found
}

pub(super) fn captures<'t>(
    pattern: &'static LazyLock<Option<Regex>>,
    text: &'t str,
) -> impl Iterator<Item = Captures<'t>> {
    pattern.iter().flat_map(|pattern| pattern.captures_iter(text))
}

/// The last word before a place, in small letters.
pub(super) fn word_before(text: &str, at: usize) -> String {
    let before = before(text, at, 24).trim_end_matches([' ', ':', '(', '~', '@', '.', '\t']);
    let start = before.rfind(|c: char| !c.is_alphabetic() && c != '/').map_or(0, |at| at + 1);
    before.get(start..).unwrap_or_default().to_lowercase()
}

/// Whether a month's name is one: "may", "march" and "dec" are words as well.
fn is_month(text: &str, date: &Captures<'_>, day: bool) -> bool {
    let Some(month) = date.name("month") else { return false };
    let (written, year) = (month.as_str(), date.name("year").is_some());
    let start = date.name("whole").map_or(month.start(), |whole| whole.start());
    let capital = written.starts_with(char::is_uppercase);
    let cued = || lexicon::listed(&word_before(text, start)) & MONTHS != 0;
    let word =
        matches!(written.to_lowercase().as_str(), "may" | "march" | "mar" | "dec" | "sep" | "jan" | "jun" | "oct");
    let person = || after(text, month.end(), 12).trim_start().starts_with(|c: char| c.is_uppercase());
    match (day, year) {
        (true, false) => {
            let whole = date.name("whole").map_or("", |whole| whole.as_str());
            let ordinal = date.name("of").is_some() || whole.ends_with("th") || whole.ends_with("st");
            let end = date.get(0).map_or(0, |date| date.end());
            // "2x a week for 6. May return": a sentence ends there.
            if whole.contains(". ") && whole.ends_with(written) {
                return false;
            }
            (capital || !word || ordinal || cued()) && !is_measured(after(text, end, 16))
        }
        (true, true) => true,
        (false, true) => capital || !word || cued(),
        (false, false) => {
            let of_year = written.len() > 3 || (written.eq_ignore_ascii_case("may") && capital);
            let surely = capital || !word;
            let to = word_before(text, start) == "to" && !capital;
            of_year && surely && cued() && !to && !person()
        }
    }
}
