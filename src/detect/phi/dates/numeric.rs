//! Dates in numbers: all three, or a day and a month where something says so.

use super::super::lexicon::{self, DATES};
use super::super::words::{after, before, is_measured, stands_alone};
use super::{captures, pattern, word_before};
use regex::{Captures, Regex};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// Three numbers; poor scans have letters for digits.
static NUMERIC: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\b(?P<one>[0-9OlI]{1,2})(?P<sign>[/.-])(?P<two>[0-9OlI]{1,2})(?P<second>[/.-])(?P<year>[0-9OlI]{4}|[0-9]{2})\b",
    )
});

/// Two numbers.
static SHORT: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"\b(?P<one>[0-9]{1,2})(?:/(?P<two>[0-9]{1,2})|\.(?P<dotted>[0-9]{1,2})\.)"));

/// All of them.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let whole = |date: Captures<'_>| date.get(0).map(|date| date.range());
    let mut found: Vec<Range<usize>> =
        captures(&NUMERIC, text).filter(|date| is_numeric(text, date)).filter_map(whole).collect();
    let (mut last, mut short, mut said) = (0, Vec::new(), HashSet::new());
    for date in captures(&SHORT, text) {
        let is = is_short(text, &date, last);
        let Some(range) = whole(date) else { continue };
        if is {
            last = range.end;
            said.extend(text.get(range.clone()));
        }
        short.push((range, is));
    }
    // What was a date before is one again.
    let again = |range: &Range<usize>| {
        text.get(range.clone()).is_some_and(|written| written.len() > 3 && said.contains(written))
            && stands_alone(text, range)
    };
    found.extend(short.into_iter().filter(|(range, is)| *is || again(range)).map(|(range, _)| range));
    found
}

/// A digit, or a letter that a poor scan has for one.
fn number(text: &str) -> u32 {
    let digit = |c: char| match c {
        'O' | 'o' => 0,
        'l' | 'I' | 'i' | 'L' => 1,
        c => c.to_digit(10).unwrap_or(0),
    };
    text.chars().fold(0, |sum, c| sum * 10 + digit(c))
}

/// Whether two numbers can be a day and a month, in any order.
fn fits(one: u32, two: u32) -> bool {
    (1..=31).contains(&one) && (1..=31).contains(&two) && one.min(two) <= 12
}

fn is_numeric(text: &str, date: &Captures<'_>) -> bool {
    let part = |name: &str| date.name(name).map_or("", |part| part.as_str());
    let Some(whole) = date.get(0) else { return false };
    let (sign, year) = (part("sign"), part("year"));
    let plain = year.len() == 4 || sign == "/";
    let padded = part("one").len() == 2 && part("two").len() == 2;
    let cue = || lexicon::listed(&word_before(text, whole.start())) & DATES != 0;
    let is_year = year.len() == 2 || (1850..2100).contains(&number(year));
    sign == part("second")
        && is_year
        && fits(number(part("one")), number(part("two")))
        && (plain || cue() || (padded && sign == "-" && !is_measured(after(text, whole.end(), 16))))
        && (stands_alone(text, &whole.range()) || (year.len() == 4 && sign == "/" && is_range(text, &whole.range())))
}

/// Whether another date stands right before or behind one, with a dash between.
fn is_range(text: &str, range: &Range<usize>) -> bool {
    let left = before(text, range.start, 6).trim_end_matches(['-', '–']);
    let right = after(text, range.end, 6).trim_start_matches(['-', '–']);
    !left.ends_with(|c: char| c.is_alphanumeric() || "./".contains(c)) && !right.starts_with('/')
        || left.len() == 5 && left.ends_with(|c: char| c.is_ascii_digit()) && !right.starts_with('/')
}

/// Whether two numbers are a date and no share, score or dose: a word before them must say so, a time behind them, or a
/// date right before them; `last` is where that one ended.
fn is_short(text: &str, date: &Captures<'_>, last: usize) -> bool {
    let Some(whole) = date.get(0) else { return false };
    let part = |name: &str| date.name(name).map_or(0, |part| number(part.as_str()));
    let dotted = date.name("dotted").is_some();
    let second = if dotted { part("dotted") } else { part("two") };
    let word = word_before(text, whole.start());
    let rest = after(text, whole.end(), 16);
    let german = matches!(word.as_str(), "am" | "vom" | "seit" | "bis" | "den" | "on" | "from" | "to" | "until");
    // "to 3/5", "was 4/10" and the like are scores; a header or a list's date stands behind a dash at the line's end.
    let heading = !dotted && before(text, whole.start(), 3) == " - " && (rest.is_empty() || rest.starts_with('\n'));
    let between = text.get(last..whole.start()).unwrap_or_default();
    let chained = last > 0
        && between.len() <= 6
        && matches!(between.trim(), "and" | "or" | "+" | "," | "-" | "–" | "&" | "to" | "through" | "thru" | ";");
    let fraction = matches!(whole.as_str(), "1/2" | "1/3" | "2/3" | "1/4" | "3/4");
    let is_cue = |word: &str| lexicon::listed(word) & DATES != 0 && word != "am";
    let cued = is_cue(&word) || (word == "for" && is_cue(&word_before(text, whole.start().saturating_sub(5))));
    fits(part("one"), second)
        && (if dotted { german } else { (cued && !fraction) || heading || chained || is_timed(rest) })
        && (dotted || chained || stands_alone(text, &whole.range()) || rest.starts_with('-'))
        && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '/')
        && !is_measured(rest)
}

/// Whether a time of day follows: ` 23:14`, ` at 3`.
fn is_timed(rest: &str) -> bool {
    let time = |rest: &str| {
        let hours = rest.bytes().take_while(u8::is_ascii_digit).count();
        (1..=2).contains(&hours) && rest.get(hours..).is_some_and(|rest| rest.starts_with(':'))
            || hours == 4 && rest.starts_with(['0', '1', '2'])
    };
    rest.strip_prefix(' ').is_some_and(time)
        || rest
            .strip_prefix(" at ")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) || rest.starts_with("noon"))
        || rest.strip_prefix(" @ ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
