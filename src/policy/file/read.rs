//! The values of a table, each read with what was expected in its place.

use super::Fault;
use std::ops::Range;
use toml_edit::{Item, Table};

/// A table, and the dotted key that leads to it.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) table: &'a Table,
    pub(super) at: &'a str,
}

pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) faults: Vec<Fault>,
}

impl Reader<'_> {
    pub(super) fn text_of(&mut self, Section { table, at }: Section<'_>, key: &str) -> Option<String> {
        let item = table.get(key);
        let text = item.and_then(Item::as_str).filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.fault(span(item).or_else(|| table.span()), &format!("{at}{key}"), "expected a text that is not empty");
        }
        text.map(str::to_owned)
    }

    /// One of some words; where there is none, what it is otherwise, if that is known.
    pub(super) fn one_of_or<T: Copy>(
        &mut self,
        (Section { table, at }, key): (Section<'_>, &str),
        choices: &[(&str, T)],
        otherwise: Option<T>,
    ) -> Option<T> {
        let item = table.get(key);
        if let (None, Some(otherwise)) = (item, otherwise) {
            return Some(otherwise);
        }
        let name = item.and_then(Item::as_str);
        let found = choices.iter().find(|(choice, _)| Some(*choice) == name).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            let place = span(item).or_else(|| table.span());
            self.fault(place, &format!("{at}{key}"), &format!("expected one of {}", names.join(", ")));
        }
        found
    }

    /// Whether something is so; `false` where nothing is said.
    pub(super) fn flag_or(&mut self, section: Section<'_>, key: &str, otherwise: Option<bool>) -> Option<bool> {
        let Section { table, at } = section;
        let Some(item) = table.get(key) else { return Some(otherwise.unwrap_or_default()) };
        let found = item.as_bool();
        if found.is_none() {
            self.fault(item.span(), &format!("{at}{key}"), "expected true or false");
        }
        found
    }

    /// A list in which `read` knows every entry; `None` after a fault, which says what was `expected`.
    pub(super) fn list<T>(
        &mut self,
        (Section { table, at }, key): (Section<'_>, &str),
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let item = table.get(key)?;
        let key = format!("{at}{key}");
        let Some(array) = item.as_array().filter(|array| !array.is_empty()) else {
            self.fault(item.span(), &key, &format!("expected a list: {expected}"));
            return None;
        };
        let found: Vec<Option<T>> = array
            .iter()
            .map(|value| {
                let found = value.as_str().and_then(&read);
                if found.is_none() {
                    self.fault(value.span(), &key, &format!("unknown: {}; {expected}", value.to_string().trim()));
                }
                found
            })
            .collect();
        found.into_iter().collect()
    }

    pub(super) fn probability(&mut self, Section { table, at }: Section<'_>, key: &str) -> Option<f32> {
        let item = table.get(key);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a probability fits an f32")]
        let number =
            item.and_then(|item| item.as_float().or_else(|| item.as_integer().map(|n| n as f64))).map(|n| n as f32);
        let valid = number.filter(|number| (0.0..=1.0).contains(number));
        if valid.is_none() {
            let place = span(item).or_else(|| table.span());
            self.fault(place, &format!("{at}{key}"), "expected a probability between 0 and 1");
        }
        valid
    }

    pub(super) fn known_keys(&mut self, Section { table, at }: Section<'_>, known: &[&str]) {
        for (key, item) in table.iter().filter(|(key, _)| !known.contains(key)) {
            let place = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
            self.fault(place, &format!("{at}{key}"), &format!("unknown key; known: {}", known.join(", ")));
        }
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, place: Option<Range<usize>>) -> usize {
        let before = place.and_then(|place| self.text.get(..place.start)).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    pub(super) fn fault(&mut self, place: Option<Range<usize>>, key: &str, message: &str) {
        let fault = Fault {
            file: self.file.to_owned(),
            line: self.line(place),
            key: key.to_owned(),
            message: message.trim().replace('\n', "; "),
        };
        self.faults.push(fault);
    }
}

pub(super) fn span(item: Option<&Item>) -> Option<Range<usize>> {
    item.and_then(Item::span)
}
