//! Ages over 89.

use super::dates::{captures, pattern};
use super::words::{after, before};
use super::{Kind, Span};
use regex::{Match, Regex};
use std::sync::LazyLock;

/// Digits and what tells that they are an age.
static AGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let subject = r"(?:s?he|they|i|mom|mum|dad|mother|father|grand(?:ma|pa|mother|father|dad)|nana|gran|granny|patient|pt|husband|wife|aunt|uncle|who|lady|gentleman|man|woman|resident)";
    let spoken =
        r"(?:ninety|one[- ]hundred|a hundred)(?:[- ](?:and[- ])?(?:one|two|three|four|five|six|seven|eight|nine|ten))?";
    let value = format!(r"(?P<value>9[0-9]|1[01][0-9]|{spoken})");
    pattern(
        &[
            format!(r"\b{}\s?-?\s?(?:years?|yrs?|y\.?/?\s?o\b|y\b)", value.replace("value", "a")),
            format!(r"\b{}\s?(?:[mf]|male|female)\b", value.replace("value", "b")),
            format!(
                r"\b(?:aged?|turn(?:s|ed|ing)|birthday|age[:=]|at age|reached|lived to(?: be)?|died at|passed(?: away)? at|and,? at|who,? at)\s?(?:is |of |was )?[:=]?\s?{}\b",
                value.replace("value", "c")
            ),
            format!(r"\b(?:s?hes|im) (?:now |almost )?{}\b", value.replace("value", "e")),
            format!(
                r"\b{subject}(?: is|['’]s| was| am|['’]m|,| turned)(?: now| almost| already| nearly)? {}\b",
                value.replace("value", "d")
            ),
        ]
        .join("|"),
    )
});

/// All of them.
pub(super) fn find(text: &str) -> Vec<Span> {
    let value = |age: regex::Captures<'_>| {
        let value = ["a", "b", "c", "d", "e"].into_iter().find_map(|group| age.name(group))?;
        is_age(text, &value).then(|| Span { kind: Kind::Age, range: value.range() })
    };
    captures(&AGE, text).filter_map(value).collect()
}

fn is_age(text: &str, age: &Match<'_>) -> bool {
    let free =
        before(text, age.start(), 2).ends_with(|c: char| !c.is_alphanumeric() && c != '.' && c != '/' && c != '-');
    let rest = after(text, age.end(), 12);
    let number = rest.starts_with(['.', '/', '%', ',']) && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
    let share = rest.trim_start().starts_with(['%', '/', '°']) || rest.trim_start().starts_with("percent");
    let unit = ["mg", "kg", "mm", "ml", "bpm", "lb", "on", "over", "degrees", "min", "years of", "year history"];
    (free || age.start() == 0)
        && !number
        && !share
        && !unit.iter().any(|unit| rest.trim_start_matches([' ', '-']).starts_with(unit))
}
