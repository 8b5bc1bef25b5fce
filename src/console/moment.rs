//! Moments: as they stand in a form or a query, and in short on a chart. All in UTC.

use super::language::Language;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in microseconds since 1970, as RFC 3339 spells it.
pub(super) fn exact(micros: i64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default());
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The same as a field of a form holds it: `2026-11-28T03:20`.
pub(super) fn field(micros: i64) -> String {
    exact(micros).chars().take(16).collect()
}

/// The same, to the second, for the search.
pub(super) fn field_time(micros: i64) -> String {
    exact(micros).trim_end_matches('Z').to_owned()
}

/// A time (RFC 3339, or without seconds or zone: then in UTC) in microseconds since 1970.
pub(super) fn read(text: &str) -> Option<i64> {
    let (time, ahead) = zone(text)?;
    let time = match time.len() {
        10 => format!("{time}T00:00:00"),
        16 => format!("{time}:00"),
        _ => time.to_owned(),
    };
    let time = humantime::parse_rfc3339_weak(&time).ok()?;
    let micros = i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()?;
    micros.checked_sub(ahead)
}

/// A time without its zone, and by how many microseconds the zone is ahead of UTC.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some((time, zone)) = text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) else {
        return Some((text, 0));
    };
    let (sign, zone) = match (time.contains(['T', ' ']), zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (true, Some(zone), _) => (1, zone),
        (true, _, Some(zone)) => (-1, zone),
        _ => return Some((text, 0)),
    };
    let (hours, minutes) = zone.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..24).contains(&hours) && (0..60).contains(&minutes))
        .then_some((time, sign * (hours * 60 + minutes) * 60_000_000))
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
    fn times_are_read_with_and_without_their_zone() {
        let at = 1_795_836_000_000_000;
        for text in [
            "2026-11-28T03:20",
            "2026-11-28T03:20:00Z",
            "2026-11-28T05:20:00+02:00",
            "2026-11-28 03:20:00",
            "2026-11-27T23:20-04:00",
        ] {
            assert_eq!(read(text), Some(at), "{text}");
        }
        assert_eq!(read("2026-11-28"), Some(at - (3 * 60 + 20) * 60_000_000));
        assert_eq!(field_time(at), "2026-11-28T03:20:00");
        for text in ["", "tomorrow", "2026-13-01", "2026-11-28T03:20+99:00", "28.11.2026", "ééé"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        let moment = 1_795_836_000_000_000;
        assert_eq!((exact(moment), field(moment)), ("2026-11-28T03:20:00Z".to_owned(), "2026-11-28T03:20".to_owned()));
        assert_eq!((read("2026-11-28T03:20:00Z"), read("2026-11-28T03:20")), (Some(moment), Some(moment)));
        for wrong in ["", "yesterday", "2026-13-28T03:20", "1969-01-01T00:00", "2026-11-28T03:2é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!((day(Language::Es, moment), hour(moment)), ("28 nov".to_owned(), "03:20".to_owned()));
        assert_eq!(day(Language::En, 0), "1 Jan");
    }
}
