//! Reads a policy file. All faults of a file are found in one reading, each with its line and key.

use super::message::{self, Audience, Messages};
use super::taxonomy::Principle;
use super::{Direction, Effect, FailMode, OnUnavailable, Phi, Policy, Rewrite, Rule, Score, Unjudgeable};
use crate::digest;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::Arc;
use toml_edit::{Document, Item, Table};

/// The policy that ships inside the binary.
pub const EMBEDDED: &str = include_str!("../../policies/ama.toml");

/// One thing that is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key, in dotted form; empty when the file is not TOML.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, key, message } = self;
        let separator = if key.is_empty() { "" } else { ": " };
        write!(f, "{file}:{line}: {key}{separator}{message}")
    }
}

/// Reads a policy from the text of the file named `file`.
///
/// # Errors
/// Every [`Fault`] of the file, in the order of its lines.
pub fn parse(file: &str, text: &str) -> Result<Policy, Vec<Fault>> {
    let mut reader = Reader { file, text, faults: Vec::new() };
    // The parser panics at some files that are no TOML; a reload must not end with it.
    let document = match catch_unwind(|| Document::parse(text)) {
        Ok(Ok(document)) => document,
        Ok(Err(error)) => {
            reader.fault(error.span(), "", error.message());
            return Err(reader.faults);
        }
        Err(_) => {
            reader.fault(None, "", "this is not TOML");
            return Err(reader.faults);
        }
    };
    let policy = reader.policy(Section { table: document.as_table(), at: "" });
    reader.faults.sort_by_key(|fault| fault.line);
    match policy {
        Some(policy) if reader.faults.is_empty() => Ok(policy),
        _ => Err(reader.faults),
    }
}

/// A table, and the dotted key that leads to it.
#[derive(Clone, Copy)]
struct Section<'a> {
    table: &'a Table,
    at: &'a str,
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn policy(&mut self, section: Section<'_>) -> Option<Policy> {
        let table = section.table;
        self.known_keys(section, &["name", "description", "unjudgeable", "on_unavailable", "phi", "instead", "rules"]);
        let name = self.text_of(section, "name");
        if table.contains_key("description") {
            self.text_of(section, "description");
        }
        let unjudgeable =
            self.one_of(section, "unjudgeable", &[("allow", Unjudgeable::Allow), ("block", Unjudgeable::Block)]);
        let on_unavailable = self.on_unavailable(table);
        let phi = self.phi(table);
        let instead = self.instead(table);
        let rules = self.rules(table);
        let hash = digest::short(self.text.as_bytes());
        Some(Policy {
            name: name?,
            hash,
            unjudgeable: unjudgeable?,
            on_unavailable: on_unavailable?,
            phi: phi?,
            rules: rules?,
            instead: instead?,
        })
    }

    /// Whether identifiers of people are taken out; they are left where nothing is said.
    fn phi(&mut self, table: &Table) -> Option<Phi> {
        const WAYS: [(&str, bool); 2] = [("pass", false), ("redact", true)];
        let Some(item) = table.get("phi") else { return Some(Phi::default()) };
        let Some(sides) = item.as_table() else {
            self.fault(item.span(), "phi", "expected a table with prompt and completion");
            return None;
        };
        let sides = Section { table: sides, at: "phi." };
        self.known_keys(sides, &["prompt", "completion"]);
        let prompt = self.one_of(sides, "prompt", &WAYS);
        let completion = self.one_of(sides, "completion", &WAYS);
        Some(Phi { prompt: prompt?, completion: completion? })
    }

    /// What can be done instead of what goes against each principle.
    fn instead(&mut self, table: &Table) -> Option<BTreeMap<Principle, Messages>> {
        let Some(item) = table.get("instead") else { return Some(BTreeMap::new()) };
        let Some(principles) = item.as_table_like() else {
            self.fault(item.span(), "instead", "expected a table for each principle, such as [instead.IV]");
            return None;
        };
        let mut found = BTreeMap::new();
        for (id, item) in principles.iter() {
            let key = format!("instead.{id}");
            match (Principle::from_id(id), self.languages(item, &key)) {
                (Some(principle), Some(messages)) => drop(found.insert(principle, messages)),
                (None, _) => self.fault(item.span(), &key, "unknown principle; known: I to IX, G"),
                (_, None) => {}
            }
        }
        Some(found)
    }

    /// A text, or a text for each language.
    fn languages(&mut self, item: &Item, key: &str) -> Option<Messages> {
        let is_said = |text: &&str| !text.trim().is_empty();
        if let Some(text) = item.as_str().filter(is_said) {
            return Some(Messages::one(message::DEFAULT, text.trim()));
        }
        let mut messages = Messages::default();
        for (language, item) in item.as_table_like().into_iter().flat_map(|table| table.iter()) {
            let is_code = (2..=3).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_lowercase());
            match item.as_str().filter(is_said).filter(|_| is_code) {
                Some(text) => messages.add(language, text.trim()),
                None => {
                    self.fault(
                        item.span(),
                        &format!("{key}.{language}"),
                        "expected a text under a language such as en",
                    );
                }
            }
        }
        if messages.is_empty() {
            self.fault(item.span(), key, "expected a text that is not empty, or a text for each language");
            return None;
        }
        Some(messages)
    }

    fn on_unavailable(&mut self, table: &Table) -> Option<OnUnavailable> {
        const MODES: [(&str, FailMode); 2] = [("allow", FailMode::Open), ("block", FailMode::Closed)];
        let Some(modes) = table.get("on_unavailable").and_then(Item::as_table) else {
            self.fault(
                span(table.get("on_unavailable")),
                "on_unavailable",
                "expected a table with prompt and completion",
            );
            return None;
        };
        let modes = Section { table: modes, at: "on_unavailable." };
        self.known_keys(modes, &["prompt", "completion"]);
        let prompt = self.one_of(modes, "prompt", &MODES);
        let completion = self.one_of(modes, "completion", &MODES);
        Some(OnUnavailable { prompt: prompt?, completion: completion? })
    }

    fn rules(&mut self, table: &Table) -> Option<Vec<Rule>> {
        let Some(tables) = table.get("rules").and_then(Item::as_array_of_tables) else {
            self.fault(span(table.get("rules")), "rules", "expected at least one [[rules]] table");
            return None;
        };
        // Each rule is read even after a faulty one, so that all faults are reported.
        let rules: Vec<Option<Rule>> = tables
            .iter()
            .enumerate()
            .map(|(index, rule)| self.rule(Section { table: rule, at: &format!("rules[{index}].") }))
            .collect();
        rules.into_iter().collect()
    }

    fn rule(&mut self, section: Section<'_>) -> Option<Rule> {
        const KEYS: [&str; 9] = [
            "name",
            "direction",
            "score",
            "principles",
            "audiences",
            "threshold",
            "threshold_in_context",
            "action",
            "message",
        ];
        self.known_keys(section, &KEYS);
        let name = self.text_of(section, "name");
        let directions = [("prompt", Direction::Prompt), ("completion", Direction::Completion)];
        let direction = self.one_of(section, "direction", &directions);
        let scores =
            [("violation", Score::Violation), ("manipulation", Score::Manipulation), ("crisis", Score::Crisis)];
        let score = self.one_of(section, "score", &scores);
        let principles = self.principles(section);
        let audiences = self.audiences(section);
        let threshold = self.threshold(section, "threshold");
        let in_context = match section.table.get("threshold_in_context") {
            None => threshold,
            Some(_) => self.threshold(section, "threshold_in_context"),
        };
        let effects = [
            ("allow", Effect::Allow),
            ("flag", Effect::Flag),
            ("steer", Effect::Rewrite(Rewrite::Steer)),
            ("replace", Effect::Rewrite(Rewrite::Replace)),
            ("excise", Effect::Rewrite(Rewrite::Excise)),
            ("regenerate", Effect::Rewrite(Rewrite::Regenerate)),
            ("escalate", Effect::Escalate),
            ("block", Effect::Block),
        ];
        let effect = self.one_of(section, "action", &effects);
        let side = match effect {
            Some(Effect::Rewrite(Rewrite::Steer)) => {
                Some((Direction::Prompt, "steer changes prompts, not completions"))
            }
            Some(Effect::Rewrite(_)) => Some((Direction::Completion, "this action changes completions, not prompts")),
            _ => None,
        };
        if let Some((_, why)) = side.filter(|(side, _)| direction.is_some_and(|direction| direction != *side)) {
            self.fault(span(section.table.get("action")), &format!("{}action", section.at), why);
            return None;
        }
        let message = self.message(section, effect);
        Some(Rule {
            name: Arc::from(name?),
            direction: direction?,
            score: score?,
            principles: principles?,
            audiences: audiences?,
            threshold: threshold?,
            threshold_in_context: in_context?,
            effect: effect?,
            message: message?,
        })
    }

    /// The words of a rule. Only what stands in place of an answer, or before it, needs any.
    fn message(&mut self, section: Section<'_>, effect: Option<Effect>) -> Option<Messages> {
        let Section { table, at } = section;
        let (key, item) = (format!("{at}message"), table.get("message"));
        match (effect, item) {
            (Some(Effect::Allow | Effect::Flag) | None, _) => Some(Messages::default()),
            (_, Some(item)) => self.languages(item, &key),
            (_, None) => {
                self.fault(table.span(), &key, "expected a text that is not empty, or a text for each language");
                None
            }
        }
    }

    fn principles(&mut self, Section { table, at }: Section<'_>) -> Option<Vec<Principle>> {
        let item = match table.get("principles") {
            None => return Some(Vec::new()),
            Some(item) => item,
        };
        let key = format!("{at}principles");
        let Some(array) = item.as_array().filter(|array| !array.is_empty()) else {
            self.fault(item.span(), &key, "expected a list such as [\"I\", \"IX\", \"G\"]; leave it out for all");
            return None;
        };
        let found: Vec<Option<Principle>> = array
            .iter()
            .map(|value| {
                let principle = value.as_str().and_then(Principle::from_id);
                if principle.is_none() {
                    let shown = value.to_string();
                    self.fault(value.span(), &key, &format!("unknown principle {}; known: I to IX, G", shown.trim()));
                }
                principle
            })
            .collect();
        found.into_iter().collect()
    }

    fn audiences(&mut self, Section { table, at }: Section<'_>) -> Option<Vec<Audience>> {
        let Some(item) = table.get("audiences") else { return Some(Vec::new()) };
        let named = |name: &str| Audience::ALL.iter().find(|(known, _)| *known == name).map(|(_, audience)| *audience);
        let names = item.as_array().filter(|names| !names.is_empty());
        let found = names.and_then(|names| names.iter().map(|name| named(name.as_str()?)).collect());
        if found.is_none() {
            let names = Audience::ALL.map(|(name, _)| name).join(", ");
            self.fault(
                item.span(),
                &format!("{at}audiences"),
                &format!("expected a list of some of {names}; leave it out for all"),
            );
        }
        found
    }

    fn threshold(&mut self, Section { table, at }: Section<'_>, key: &str) -> Option<f32> {
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

    fn text_of(&mut self, Section { table, at }: Section<'_>, key: &str) -> Option<String> {
        let item = table.get(key);
        let text = item.and_then(Item::as_str).filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.fault(span(item).or_else(|| table.span()), &format!("{at}{key}"), "expected a text that is not empty");
        }
        text.map(str::to_owned)
    }

    fn one_of<T: Copy>(&mut self, section: Section<'_>, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let Section { table, at } = section;
        let item = table.get(key);
        let name = item.and_then(Item::as_str);
        let found = choices.iter().find(|(choice, _)| Some(*choice) == name).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            let place = span(item).or_else(|| table.span());
            self.fault(place, &format!("{at}{key}"), &format!("expected one of {}", names.join(", ")));
        }
        found
    }

    fn known_keys(&mut self, Section { table, at }: Section<'_>, known: &[&str]) {
        for (key, item) in table.iter().filter(|(key, _)| !known.contains(key)) {
            let place = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
            self.fault(place, &format!("{at}{key}"), &format!("unknown key; known: {}", known.join(", ")));
        }
    }

    fn fault(&mut self, place: Option<Range<usize>>, key: &str, message: &str) {
        let before = place.and_then(|place| self.text.get(..place.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let fault = Fault {
            file: self.file.to_owned(),
            line,
            key: key.to_owned(),
            message: message.trim().replace('\n', "; "),
        };
        self.faults.push(fault);
    }
}

fn span(item: Option<&Item>) -> Option<Range<usize>> {
    item.and_then(Item::span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_policy_is_valid() {
        let policy = parse("ama.toml", EMBEDDED).unwrap();
        assert_eq!(policy.name, "ama");
        assert_eq!(policy.hash.len(), 12);
    }

    #[test]
    fn all_faults_are_reported_with_line_and_key() {
        let text = r#"name = "x"
unjudgeable = "maybe"
colour = 1
[on_unavailable]
prompt = "block"
completion = 3
[[rules]]
name = "a"
direction = "prompt"
score = "violation"
principles = ["I", "X"]
threshold = 1.5
action = "block"
[[rules]]
name = "b"
direction = "both"
score = "crisis"
thresold = 0.5
action = "flag"
"#;
        let faults = parse("p.toml", text).unwrap_err();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "p.toml:2: unjudgeable: expected one of allow, block",
                "p.toml:3: colour: unknown key; known: name, description, unjudgeable, on_unavailable, phi, instead, rules",
                "p.toml:6: on_unavailable.completion: expected one of allow, block",
                "p.toml:7: rules[0].message: expected a text that is not empty, or a text for each language",
                "p.toml:11: rules[0].principles: unknown principle \"X\"; known: I to IX, G",
                "p.toml:12: rules[0].threshold: expected a probability between 0 and 1",
                "p.toml:14: rules[1].threshold: expected a probability between 0 and 1",
                "p.toml:16: rules[1].direction: expected one of prompt, completion",
                "p.toml:18: rules[1].thresold: unknown key; known: name, direction, score, principles, audiences, \
                 threshold, threshold_in_context, action, message",
            ]
        );
    }

    #[test]
    fn a_conversation_may_have_a_threshold_of_its_own() {
        let at = |line: &str| parse("p.toml", &EMBEDDED.replacen("threshold_in_context = 0.80", line, 1));
        let rule = |policy: Policy| policy.rules[1].clone();
        let (own, none) = (rule(at("threshold_in_context = 0.9").unwrap()), rule(at("").unwrap()));
        assert!((own.threshold_in_context - 0.9).abs() < 1e-6 && own.threshold < 0.9);
        assert!((none.threshold_in_context - none.threshold).abs() < 1e-6);
        assert_eq!(at("threshold_in_context = 9").unwrap_err()[0].key, "rules[1].threshold_in_context");
    }

    #[test]
    fn a_file_that_the_parser_panics_at_is_a_fault() {
        let text = "# i\r\r\r==esho.ld Ai*riAPMne lt : the nKn) \r\r. =457\nactio phe nKne \r\rif . =457\n";
        assert_eq!(parse("p.toml", text).unwrap_err().last().unwrap().file, "p.toml");
        assert!(!parse("p.toml", "a = 1\na.b = 2\n").unwrap_err().is_empty());
    }

    #[test]
    fn what_is_not_toml_is_reported_at_its_line() {
        let faults = parse("p.toml", "name = \"x\"\nrules = [\n").unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].line >= 2, "{faults:?}");
    }
}
