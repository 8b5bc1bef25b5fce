//! What is looked for among decisions, as a query says it, and what is wrong with that.

use super::form::Fields;
use super::language::Language;
use super::moment;
use crate::audit::search::Wanted;
use std::collections::BTreeMap;

/// The fields of the search, as links to it name them.
pub(super) const NAMES: [&str; 16] = [
    "from",
    "until",
    "principle",
    "type",
    "action",
    "tenant",
    "audience",
    "direction",
    "low",
    "high",
    "policy",
    "rule",
    "event",
    "scan",
    "reviewed",
    "before",
];

/// A search, and what is wrong with each field that cannot be understood.
pub(super) struct Filters {
    pub(super) wanted: Wanted,
    pub(super) wrong: BTreeMap<&'static str, &'static str>,
}

/// A query that is read, and what is wrong with it so far.
struct Reading<'a> {
    language: Language,
    query: &'a Fields,
    wrong: BTreeMap<&'static str, &'static str>,
}

impl Reading<'_> {
    fn given(&self, name: &str) -> Option<&str> {
        Some(self.query.get(name).trim()).filter(|value| !value.is_empty())
    }

    /// The value of a field, where it is given; what is expected is noted where it is no value.
    fn value<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
        (english, spanish): (&'static str, &'static str),
    ) -> Option<T> {
        let value = self.given(name).map(read)?;
        if value.is_none() {
            self.wrong.insert(name, self.language.say(english, spanish));
        }
        value
    }

    /// What nobody has would be looked for among all decisions.
    fn known(&mut self, name: &'static str, all: &[&str]) -> Option<String> {
        let read = |value: &str| all.contains(&value).then(|| value.to_owned());
        self.value(name, read, ("expected one of the list", "se espera uno de la lista"))
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        let is_plain = |value: &str| value.chars().count() <= 200 && !value.chars().any(char::is_control);
        let read = |value: &str| is_plain(value).then(|| value.to_owned());
        let plain = ("expected at most 200 letters, in one line", "se esperan como máximo 200 letras, en una línea");
        self.value(name, read, plain)
    }
}

const ACTIONS: [&str; 6] = ["allow", "flag", "rewrite", "escalate", "block", "unavailable"];

const DIRECTIONS: [&str; 2] = ["prompt", "completion"];

const SCANS: [&str; 3] = ["full", "partial", "none"];

const TIME: (&str, &str) =
    ("expected a time such as 2026-11-28T03:20 (UTC)", "se espera una hora como 2026-11-28T03:20 (UTC)");

const SHARE: (&str, &str) = ("expected a number from 0 to 1, such as 0.75", "se espera un número de 0 a 1, como 0.75");

const EVENT: (&str, &str) = (
    "expected an event id, or at least its first 8 letters and digits",
    "se espera el id de un evento, o al menos sus primeras 8 letras y cifras",
);

/// Reads the fields of a query; an empty one says nothing.
pub(super) fn read(language: Language, query: &Fields) -> Filters {
    let mut of = Reading { language, query, wrong: BTreeMap::new() };
    let [from, until] = ["from", "until"].map(|name| of.value(name, moment::read, TIME));
    let [low, high] = ["low", "high"].map(|name| of.value(name, share, SHARE));
    if low.zip(high).is_some_and(|(low, high)| low > high) {
        let expected = language.say("expected no less than the lowest", "se espera no menos que el mínimo");
        of.wrong.insert("high", expected);
    }
    let event = of.value("event", |event| is_event(event).then(|| event.to_owned()), EVENT);
    let reviewed = match query.get("reviewed") {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    let wanted = Wanted {
        from,
        until,
        principle: of.text("principle"),
        kind: of.text("type"),
        action: of.known("action", &ACTIONS),
        tenant: of.text("tenant"),
        audience: of.text("audience"),
        direction: of.known("direction", &DIRECTIONS),
        policy: of.text("policy"),
        rule: of.text("rule"),
        scan: of.known("scan", &SCANS),
        score: (low.is_some() || high.is_some()).then_some((low.unwrap_or(0.0), high.unwrap_or(1.0))),
        event,
        reviewed,
        before: of.given("before").and_then(|before| before.parse().ok()),
    };
    Filters { wanted, wrong: of.wrong }
}

/// The same query from another place on: from the newest, or after one of the decisions.
pub(super) fn link(query: &Fields, before: Option<i64>) -> String {
    let mut link = form_urlencoded::Serializer::new(String::new());
    for name in NAMES.into_iter().filter(|name| *name != "before") {
        if !query.get(name).is_empty() {
            link.append_pair(name, query.get(name));
        }
    }
    if let Some(before) = before {
        link.append_pair("before", &before.to_string());
    }
    format!("/console/decisions?{}", link.finish())
}

/// Whether a text can be an event id, or the beginning of one.
pub(super) fn is_event(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn share(text: &str) -> Option<f64> {
    text.replace(',', ".").parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_by_field_and_nothing_else_is_lost() {
        let query = Fields::parse(b"from=soon&low=2&high=0.5&event=a%27b&tenant=st-anna&type=%00");
        let Filters { wanted, wrong } = read(Language::En, &query);
        assert_eq!(wrong.keys().copied().collect::<Vec<_>>(), ["event", "from", "low", "type"]);
        assert_eq!((wanted.tenant.as_deref(), wanted.score), (Some("st-anna"), Some((0.0, 0.5))));
        assert!(read(Language::En, &Fields::parse(b"low=0.9&high=0.1")).wrong.contains_key("high"));
        assert_eq!(
            link(&query, Some(7)),
            "/console/decisions?from=soon&type=%00&tenant=st-anna&low=2&high=0.5&event=a%27b&before=7"
        );
    }
}
