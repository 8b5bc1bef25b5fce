//! Numbers as people of a language read them.

use super::language::Language;
use crate::policy::tune::Rate;

/// A whole number, in groups of three.
pub(super) fn count(language: Language, n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push_str(language.say(",", "\u{202f}"));
        }
        shown.push(digit);
    }
    shown
}

/// A number with so many places behind the point.
pub(super) fn decimal(language: Language, value: f64, places: usize) -> String {
    format!("{value:.places$}").replace('.', language.say(".", ","))
}

/// A percentage, of a number from 0 to 100.
pub(super) fn percent(language: Language, value: f64, places: usize) -> String {
    format!("{}{}", decimal(language, value, places), language.say("%", "\u{a0}%"))
}

/// A time in milliseconds.
pub(super) fn millis(language: Language, value: f64) -> String {
    format!("{}\u{a0}ms", decimal(language, value, if value < 10.0 && value.fract() != 0.0 { 1 } else { 0 }))
}

/// A part of some, as a percentage; a stroke where there are none.
pub(super) fn part(language: Language, rate: Rate) -> String {
    if rate.total == 0 { "–".to_owned() } else { percent(language, rate.rate() * 100.0, 1) }
}

/// How sure a part is: its 95% interval, and of how many it is.
pub(super) fn interval(language: Language, rate: Rate) -> String {
    let (low, high) = rate.interval();
    let [low, high] = [low, high].map(|end| percent(language, end * 100.0, 1));
    let [hits, total] = [rate.hits, rate.total].map(|n| count(language, n as u64));
    match language {
        Language::En => format!("{hits} of {total}; 95% interval {low} to {high}"),
        Language::Es => format!("{hits} de {total}; intervalo del 95\u{a0}%: {low} a {high}"),
    }
}

/// So many of so many.
pub(super) fn rate(hits: u64, total: u64) -> Rate {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Rate { hits: size(hits), total: size(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_each_language_does() {
        let (en, es) = (Language::En, Language::Es);
        assert_eq!(
            (count(en, 7), count(en, 1234), count(en, 1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
        assert_eq!(count(es, 12_345), "12\u{202f}345");
        assert_eq!((percent(en, 2.5, 1), percent(es, 2.5, 1)), ("2.5%".to_owned(), "2,5\u{a0}%".to_owned()));
        assert_eq!((millis(en, 3.12), millis(es, 31.4)), ("3.1\u{a0}ms".to_owned(), "31\u{a0}ms".to_owned()));
        assert_eq!(part(en, rate(0, 0)), "–");
        assert_eq!(interval(en, rate(1, 10)), "1 of 10; 95% interval 1.8% to 40.4%");
    }
}
