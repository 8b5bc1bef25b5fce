//! Moments: as they stand in a form or a query, and in short on a chart. All in UTC.

use super::language::Language;
use std::time::{Duration, SystemTime};

/// A moment in microseconds since 1970, as RFC 3339 spells it.
pub(super) fn exact(micros: i64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default());
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The same as a field of a form holds it: `2026-11-28T03:20`.
pub(super) fn field(micros: i64) -> String {
    exact(micros).chars().take(16).collect()
}

/// What a query or a form says: RFC 3339, or `2026-11-28T03:20`; in microseconds since 1970.
pub(super) fn read(text: &str) -> Option<i64> {
    let text = if text.len() == 16 { format!("{text}:00Z") } else { text.to_owned() };
    let time = humantime::parse_rfc3339(&text).ok()?;
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_micros()).ok()
}

const MONTHS: [(&str, &str); 12] = [
    ("Jan", "ene"),
    ("Feb", "feb"),
    ("Mar", "mar"),
    ("Apr", "abr"),
    ("May", "may"),
    ("Jun", "jun"),
    ("Jul", "jul"),
    ("Aug", "ago"),
    ("Sep", "sep"),
    ("Oct", "oct"),
    ("Nov", "nov"),
    ("Dec", "dic"),
];

/// The day: `28 Nov`.
pub(super) fn day(language: Language, micros: i64) -> String {
    let exact = exact(micros);
    let number = |from: usize| exact.get(from..from + 2).and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(1);
    let (english, spanish) = MONTHS.get(number(5).saturating_sub(1)).copied().unwrap_or_default();
    format!("{} {}", number(8), language.say(english, spanish))
}

/// The time of the day: `03:20`.
pub(super) fn hour(micros: i64) -> String {
    exact(micros).chars().skip(11).take(5).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        let moment = 1_795_836_000_000_000;
        assert_eq!((exact(moment), field(moment)), ("2026-11-28T03:20:00Z".to_owned(), "2026-11-28T03:20".to_owned()));
        assert_eq!((read("2026-11-28T03:20:00Z"), read("2026-11-28T03:20")), (Some(moment), Some(moment)));
        for wrong in ["", "yesterday", "2026-11-28", "2026-13-28T03:20", "1969-01-01T00:00", "2026-11-28T03:2é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!((day(Language::Es, moment), hour(moment)), ("28 nov".to_owned(), "03:20".to_owned()));
        assert_eq!(day(Language::En, 0), "1 Jan");
    }
}
