//! In what two policies are different, in words that a reader of policy files knows.

use super::expectation::Expectation;
use super::message::{Audience, Messages};
use super::opinion::SecondOpinion;
use super::rule::{Patterns, Rule, Score};
use super::{FailMode, Policy, Unjudgeable};
use crate::policy::taxonomy::Principle;
use similar::{ChangeTag, TextDiff};
use std::fmt;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is in: a key of the file, a rule or a test.
    pub place: String,
    /// What stood there; nothing for what is new.
    pub before: Option<String>,
    /// What stands there; nothing for what is gone.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { place, before: Some(before), after: Some(after) } => write!(f, "{place}: {before} -> {after}"),
            Self { place, before: None, after: Some(after) } => write!(f, "{place}: new: {after}"),
            Self { place, before: Some(before), after: None } => write!(f, "{place}: gone: {before}"),
            Self { place, .. } => write!(f, "{place}"),
        }
    }
}

/// A line of two texts that are held side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It stands in both.
    Kept(String),
    /// It stands in the first alone.
    Gone(String),
    /// It stands in the second alone.
    New(String),
    /// Lines are left out here that stand in both.
    Gap,
}

/// So many lines are shown around each difference.
const AROUND: usize = 3;

/// The lines that differ in two texts, with some around them.
#[must_use]
pub fn lines(before: &str, after: &str) -> Vec<Line> {
    let found: TextDiff<'_, '_, str> = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (place, group) in found.grouped_ops(AROUND).iter().enumerate() {
        if place > 0 {
            lines.push(Line::Gap);
        }
        for change in group.iter().flat_map(|op| found.iter_changes(op)) {
            let line = change.value().trim_end_matches(['\n', '\r']).to_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => Line::Kept(line),
                ChangeTag::Delete => Line::Gone(line),
                ChangeTag::Insert => Line::New(line),
            });
        }
    }
    lines
}

/// What is different in `after`, in the order of a policy file.
#[must_use]
pub fn diff(before: &Policy, after: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut changed = |place: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            changes.push(Change { place: place.to_owned(), before, after });
        }
    };
    for (place, of) in POLICY {
        changed(place, Some(of(before)), Some(of(after)));
    }
    let names = |policy: &Policy| -> Vec<String> { policy.rules.iter().map(|rule| rule.name.to_string()).collect() };
    for name in all(names(before), names(after)) {
        let of = |policy: &Policy| policy.rules.iter().find(|rule| *rule.name == *name).cloned();
        let place = |key: &str| format!("rule {name:?}{key}");
        match (of(before), of(after)) {
            (Some(before), Some(after)) => {
                for (key, of) in RULE {
                    changed(&place(&format!(", {key}")), Some(of(&before)), Some(of(&after)));
                }
            }
            (before, after) => changed(&place(""), before.as_ref().map(in_short), after.as_ref().map(in_short)),
        }
    }
    let (first, second) = (names(before), names(after));
    let common = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    let order = [common(&first, &second), common(&second, &first)].map(|names| names.join(", "));
    let [one, other] = order.map(Some);
    changed("order of the rules", one, other);
    for principle in Principle::ALL {
        let of = |policy: &Policy| policy.instead.get(&principle).map(said);
        changed(&format!("instead.{principle}"), of(before), of(after));
    }
    let names = |policy: &Policy| -> Vec<String> { policy.tests.iter().map(|test| test.name.to_string()).collect() };
    for name in all(names(before), names(after)) {
        let of = |policy: &Policy| policy.tests.iter().find(|test| *test.name == *name).map(expected);
        changed(&format!("test {name:?}"), of(before), of(after));
    }
    changes
}

/// The names of both, each once, the first's before the second's.
fn all(first: Vec<String>, second: Vec<String>) -> Vec<String> {
    let more: Vec<String> = second.into_iter().filter(|name| !first.contains(name)).collect();
    [first, more].concat()
}

/// A value of something, and the key that it stands under.
type Shown<T> = (&'static str, fn(&T) -> String);

const POLICY: [Shown<Policy>; 6] = [
    ("name", |policy| policy.name.clone()),
    ("unjudgeable", |policy| {
        match policy.unjudgeable {
            Unjudgeable::Allow => "allow",
            Unjudgeable::Block => "block",
        }
        .to_owned()
    }),
    ("on_unavailable.prompt", |policy| mode(policy.on_unavailable.prompt)),
    ("on_unavailable.completion", |policy| mode(policy.on_unavailable.completion)),
    ("phi.prompt", |policy| redacts(policy.phi.prompt)),
    ("phi.completion", |policy| redacts(policy.phi.completion)),
];

const RULE: [Shown<Rule>; 14] = [
    ("enabled", |rule| rule.is_enabled.to_string()),
    ("shadow", |rule| rule.is_shadow.to_string()),
    ("direction", |rule| rule.direction.id().to_owned()),
    ("score", |rule| rule.score.id().to_owned()),
    ("principles", |rule| listed(rule.principles.iter().map(|principle| principle.id()))),
    ("types", |rule| listed(rule.types.iter().map(|kind| kind.id))),
    ("audiences", |rule| listed(rule.audiences.iter().copied().map(Audience::id))),
    ("tenants", |rule| listed(rule.tenants.iter().map(AsRef::as_ref))),
    ("patterns", |rule| listed(rule.patterns.iter().flat_map(Patterns::all).map(String::as_str))),
    ("threshold", |rule| rule.threshold.to_string()),
    ("threshold_in_context", |rule| rule.threshold_in_context.to_string()),
    ("second_opinion", |rule| opinion(rule.second_opinion)),
    ("action", |rule| rule.effect.id().to_owned()),
    ("message", |rule| said(&rule.message)),
];

fn mode(mode: FailMode) -> String {
    match mode {
        FailMode::Open => "allow",
        FailMode::Closed => "block",
    }
    .to_owned()
}

fn redacts(redacts: bool) -> String {
    if redacts { "redact" } else { "pass" }.to_owned()
}

fn opinion(second: Option<SecondOpinion>) -> String {
    second.map_or_else(
        || "none".to_owned(),
        |second| format!("below {}, above {}, otherwise {}", second.below, second.above, second.otherwise.id()),
    )
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "all".to_owned() } else { names.join(", ") }
}

fn said(messages: &Messages) -> String {
    let said: Vec<String> = messages.all().map(|(language, text)| format!("{language} {text:?}")).collect();
    said.join(", ")
}

fn in_short(rule: &Rule) -> String {
    let over = if rule.score == Score::Pattern { String::new() } else { format!(" >= {}", rule.threshold) };
    let shadow = if rule.is_shadow { ", in the shadow" } else { "" };
    let off = if rule.is_enabled { "" } else { ", disabled" };
    format!("{} {}{over}: {}{shadow}{off}", rule.direction.id(), rule.score.id(), rule.effect.id())
}

fn expected(test: &Expectation) -> String {
    let told = test.completion.as_ref().map(|completion| format!(" -> {completion:?}")).unwrap_or_default();
    let audience = test.audience.map(|audience| format!(" for {}", audience.id())).unwrap_or_default();
    let tenant = test.tenant.as_ref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
    format!("{}{told}{audience}{tenant}: {}", test.messages, test.expected.id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::{EMBEDDED, parse};

    #[test]
    fn lines_that_differ_are_shown_with_some_around_them() {
        let before: String = (1..=20).map(|number| format!("{number}\n")).collect();
        let after = before.replace("\n5\n", "\nfive\n").replace("20\n", "20\n21\n");
        let shown: Vec<String> = lines(&before, &after)
            .into_iter()
            .map(|line| match line {
                Line::Kept(line) => line,
                Line::Gone(line) => format!("-{line}"),
                Line::New(line) => format!("+{line}"),
                Line::Gap => "…".to_owned(),
            })
            .collect();
        assert_eq!(shown.join(" "), "2 3 4 -5 +five 6 7 8 … 18 19 20 +21");
        assert!(lines(&before, &before).is_empty());
    }

    #[test]
    fn what_changed_is_named_and_nothing_else() {
        let before = parse("ama.toml", EMBEDDED).unwrap();
        assert!(diff(&before, &before).is_empty());
        let after = "name = \"ama\"\nextends = \"ama\"\nunjudgeable = \"allow\"\n[phi]\nprompt = \"redact\"\n\
                     [[rules]]\nname = \"manipulation\"\nthreshold = 0.9\nshadow = true\n\
                     [[rules]]\nname = \"violating-completion\"\nsecond_opinion = { below = 0.25 }\n\
                     [[rules]]\nname = \"ward\"\ndirection = \"prompt\"\nscore = \"pattern\"\npatterns = [\"ward 9\"]\naction = \"flag\"\n\
                     [[tests]]\nname = \"ward\"\nprompt = \"ward 9\"\nexpect = \"flag\"\n[instead.I]\nen = \"Ask.\"";
        let after = parse("p.toml", after).unwrap();
        let shown: Vec<String> = diff(&before, &after).iter().map(ToString::to_string).collect();
        let instead = shown.iter().position(|line| line.starts_with("instead.I: en")).unwrap();
        assert_eq!(
            shown[..instead],
            [
                "unjudgeable: block -> allow",
                "phi.prompt: pass -> redact",
                "rule \"violating-completion\", second_opinion: none -> below 0.25, above 0, otherwise threshold",
                "rule \"manipulation\", shadow: false -> true",
                "rule \"manipulation\", threshold: 0.05 -> 0.9",
                "rule \"manipulation\", threshold_in_context: 0.05 -> 0.9",
                "rule \"ward\": new: prompt pattern: flag",
            ]
        );
        assert!(shown.last().unwrap().starts_with("test \"ward\": new: "), "{shown:?}");
        assert_eq!(diff(&after, &before).len(), shown.len());
    }
}
