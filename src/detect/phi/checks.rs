//! Check digits: they tell an identifier from any other number.

/// The digits of a number, whatever stands between them.
fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> {
    text.chars().filter_map(|c| c.to_digit(10))
}

/// Luhn's sum, from the right; `more` is what a prefix that is not written adds.
fn luhn(text: &str, more: u32) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum = digits(text).rev().enumerate().fold(more, |sum, (at, d)| sum + if at % 2 == 1 { doubled(d) } else { d });
    sum % 10 == 0
}

/// A bank card's number.
pub(super) fn card(text: &str) -> bool {
    (13..=19).contains(&digits(text).count()) && luhn(text, 0) && digits(text).any(|digit| digit != 0)
}

/// A national provider identifier: Luhn's sum with 80840 before it, which adds 24.
pub(super) fn npi(text: &str) -> bool {
    digits(text).count() == 10 && text.starts_with(['1', '2']) && luhn(text, 24)
}

/// A prescriber's number of the Drug Enforcement Administration: two letters, six digits, a check digit.
pub(super) fn dea(text: &str) -> bool {
    let odd: u32 = digits(text).take(6).step_by(2).sum();
    let even: u32 = digits(text).take(6).skip(1).step_by(2).sum();
    digits(text).count() == 7 && digits(text).nth(6) == Some((odd + 2 * even) % 10)
}

/// A vehicle identification number of 17 characters, the ninth of which is the check digit.
pub(super) fn vin(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    const LETTERS: &str = "A1B2C3D4E5F6G7H8J1K2L3M4N5P7R9S2T3U4V5W6X7Y8Z9";
    let value = |c: char| {
        let letter = || LETTERS.split_once(c.to_ascii_uppercase())?.1.chars().next()?.to_digit(10);
        c.to_digit(10).or_else(letter)
    };
    let sum: Option<u32> = text.chars().zip(WEIGHTS).map(|(c, weight)| Some(value(c)? * weight)).sum();
    let check =
        text.chars().nth(8).map(|c| if c.eq_ignore_ascii_case(&'X') { 10 } else { c.to_digit(10).unwrap_or(99) });
    text.chars().count() == 17 && sum.map(|sum| sum % 11) == check
}

/// A social security number that can have been given: no area 000, 666 or 9xx, no group 00, no serial number 0000.
pub(super) fn ssn(text: &str) -> bool {
    let number = digits(text).fold(0_u64, |number, digit| (number * 10 + u64::from(digit)) % 10_000_000_000);
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    digits(text).count() == 9 && (1..900).contains(&area) && area != 666 && group != 0 && serial != 0
}

/// A number of Britain's National Health Service: ten digits, the last of which is the check digit.
pub(super) fn nhs(text: &str) -> bool {
    let sum: u32 = digits(text).take(9).zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    let check = (11 - sum % 11) % 11;
    digits(text).count() == 10 && digits(text).nth(9) == Some(check)
}

/// An international bank account number: the remainder by 97 is 1.
pub(super) fn iban(text: &str) -> bool {
    let compact = || text.chars().filter(|c| c.is_ascii_alphanumeric());
    let remainder = compact().skip(4).chain(compact().take(4)).fold(0, |sum, c| match c.to_digit(36) {
        Some(value) if value > 9 => (sum * 100 + value) % 97,
        value => (sum * 10 + value.unwrap_or(0)) % 97,
    });
    (15..=34).contains(&compact().count()) && remainder == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_checked() {
        assert!(card("4111 1111 1111 1111") && !card("4111 1111 1111 1112") && !card("0000000000000"));
        assert!(npi("1234567893") && !npi("1234567890"));
        assert!(dea("AB1234563") && !dea("AB1234567"));
        assert!(vin("1M8GDM9AXKP042788") && !vin("1M8GDM9A1KP042788") && !vin("1M8"));
        assert!(ssn("123-45-6789") && !ssn("000-12-3456") && !ssn("666-12-3456") && !ssn("912-12-3456"));
        assert!(!ssn("123-00-6789") && !ssn("123-45-0000"));
        assert!(nhs("943 476 5919") && !nhs("943 476 5918"));
        assert!(iban("GB82 WEST 1234 5698 7654 32") && !iban("GB82 WEST 1234 5698 7654 33"));
    }
}
