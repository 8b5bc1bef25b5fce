//! What a form says, as changes to a policy file: fields that say what holds already change nothing.

use crate::console::form::Fields;
use crate::console::language::Language;
use crate::policy::Policy;
use crate::policy::edit::{Change, prompt};
use crate::policy::expectation::{Expectation, Expected};
use crate::policy::message::{Audience, Messages, is_tenant};
use crate::policy::rule::{Effect, Rule, Score};
use serde_json::json;
use std::sync::Arc;

/// The least step of a threshold.
const STEP: f32 = 0.001;

/// The field of a rule.
pub(super) fn field(what: &str, rule: &str) -> String {
    format!("{what}:{rule}")
}

/// What the form of the rules changes.
pub(super) fn of_rules(language: Language, policy: &Policy, form: &Fields) -> Result<Vec<Change>, String> {
    let mut changes = Vec::new();
    for rule in &policy.rules {
        let said = |what: &str| form.all(&field(what, &rule.name)).next();
        if rule.score != Score::Pattern {
            thresholds(language, rule, (said("threshold"), said("context")), &mut changes)?;
        }
        let effect = said("action").and_then(|id| Effect::ALL.iter().find(|(known, _)| *known == id));
        if let Some((_, effect)) = effect.filter(|(_, effect)| *effect != rule.effect) {
            changes.push(Change::Action(rule.name.to_string(), *effect));
        }
        let (is_enabled, is_shadow) = match said("mode") {
            Some("on") => (true, false),
            Some("shadow") => (true, true),
            Some("off") => (false, rule.is_shadow),
            _ => (rule.is_enabled, rule.is_shadow),
        };
        if is_enabled != rule.is_enabled {
            changes.push(Change::Enabled(rule.name.to_string(), is_enabled));
        }
        if is_shadow != rule.is_shadow {
            changes.push(Change::Shadow(rule.name.to_string(), is_shadow));
        }
        changes.extend(messages(rule, form));
    }
    Ok(changes)
}

fn thresholds(
    language: Language,
    rule: &Rule,
    (alone, context): (Option<&str>, Option<&str>),
    changes: &mut Vec<Change>,
) -> Result<(), String> {
    let is_one = rule.threshold.to_bits() == rule.threshold_in_context.to_bits();
    let threshold = match alone {
        Some(text) => probability(language, text)?,
        None => rule.threshold,
    };
    if (threshold - rule.threshold).abs() >= STEP / 2.0 {
        changes.push(Change::Threshold(rule.name.to_string(), threshold));
    }
    match context.map(str::trim) {
        None => {}
        Some("") if is_one => {}
        Some("") => changes.push(Change::InContext(rule.name.to_string(), None)),
        Some(text) => {
            let own = probability(language, text)?;
            if (own - rule.threshold_in_context).abs() >= STEP / 2.0 {
                changes.push(Change::InContext(rule.name.to_string(), Some(own)));
            }
        }
    }
    Ok(())
}

fn probability(language: Language, text: &str) -> Result<f32, String> {
    let number = text.trim().replace(',', ".").parse::<f32>().ok();
    number.filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| match language {
        Language::En => format!("{text:?}: expected a number from 0 to 1"),
        Language::Es => format!("{text:?}: se espera un número de 0 a 1"),
    })
}

/// What a rule says now, where its form shows that: a language that is left empty goes.
fn messages(rule: &Rule, form: &Fields) -> Option<Change> {
    let start = field("message", &rule.name) + ":";
    let said = form.iter().filter_map(|(name, text)| Some((name.strip_prefix(&start)?, text.replace("\r\n", "\n"))));
    let said: Vec<(&str, String)> = said.collect();
    let mut messages = Messages::default();
    said.iter().filter(|(_, text)| !text.trim().is_empty()).for_each(|(language, text)| {
        messages.add(language, text.trim());
    });
    let is_new = !said.is_empty() && !messages.is_empty() && messages != rule.message;
    is_new.then(|| Change::Message(rule.name.to_string(), messages))
}

/// A test as its form says it, over the one of its name.
pub(super) fn of_test(language: Language, policy: &Policy, form: &Fields) -> Result<Change, String> {
    let said = |name: &str| Some(form.get(name).trim().replace("\r\n", "\n")).filter(|text| !text.is_empty());
    let name = said("name").ok_or_else(|| language.say("the test needs a name", "la prueba necesita un nombre"))?;
    let known = policy.tests.iter().find(|test| *test.name == *name);
    // The turns of a conversation are no field of a form.
    let turns = known.filter(|test| prompt(&test.messages).is_none()).map(|test| test.messages.clone());
    let asked = said("prompt").map(|prompt| json!([{"role": "user", "content": prompt}]));
    let messages = turns.or(asked);
    let messages = messages.ok_or_else(|| language.say("the test needs a prompt", "la prueba necesita un mensaje"))?;
    let tenant = said("tenant");
    if tenant.as_deref().is_some_and(|tenant| !is_tenant(tenant)) {
        return Err(language.say("this is no name of a tenant", "no es un nombre de organización válido").to_owned());
    }
    let expected = Expected::ALL.iter().find(|(id, _)| *id == form.get("expect"));
    let (_, expected) =
        expected.ok_or_else(|| language.say("say what is expected", "indique qué se espera").to_owned())?;
    Ok(Change::Test(Expectation {
        name: Arc::from(name),
        messages,
        completion: said("completion"),
        audience: Audience::named(form.get("audience")),
        tenant: tenant.map(Arc::from),
        expected: *expected,
        line: 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::{EMBEDDED, parse};

    fn form(fields: &[(&str, &str)]) -> Fields {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(fields);
        Fields::parse(encoded.finish().as_bytes())
    }

    fn changes(fields: &[(&str, &str)]) -> Result<Vec<Change>, String> {
        of_rules(Language::En, &parse("ama.toml", EMBEDDED).unwrap(), &form(fields))
    }

    #[test]
    fn what_holds_already_is_no_change() {
        let policy = parse("ama.toml", EMBEDDED).unwrap();
        let message = policy.rules[1].message.all().map(|(language, text)| {
            (format!("message:violating-prompt:{language}"), text.replace('\n', "\r\n") + "\r\n")
        });
        let message: Vec<(String, String)> = message.collect();
        let mut fields: Vec<(&str, &str)> = message.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        fields.extend([
            ("threshold:violating-prompt", "0.61"),
            ("context:violating-prompt", "0,8"),
            ("action:violating-prompt", "block"),
            ("mode:violating-prompt", "on"),
            ("context:manipulation", ""),
        ]);
        assert_eq!(changes(&fields), Ok(vec![]));
    }

    #[test]
    fn fields_are_changes() {
        let name = || "violating-prompt".to_owned();
        let found = changes(&[
            ("threshold:violating-prompt", "0,655"),
            ("context:violating-prompt", ""),
            ("action:violating-prompt", "flag"),
            ("mode:violating-prompt", "shadow"),
            ("message:violating-prompt:en", "No."),
            ("message:violating-prompt:es", " "),
        ]);
        let expected = [
            Change::Threshold(name(), 0.655),
            Change::InContext(name(), None),
            Change::Action(name(), Effect::Flag),
            Change::Shadow(name(), true),
            Change::Message(name(), Messages::one("en", "No.")),
        ];
        assert_eq!(found.as_deref(), Ok(expected.as_slice()));
        for wrong in ["1.2", "-1", "x", "NaN", ""] {
            assert!(changes(&[("threshold:violating-prompt", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_test_has_a_name_a_prompt_and_an_end() {
        let policy = parse("ama.toml", EMBEDDED).unwrap();
        let test = |fields: &[(&str, &str)]| of_test(Language::En, &policy, &form(fields));
        let fields = [("name", "a"), ("prompt", "x\r\ny"), ("expect", "pass"), ("audience", "patient")];
        let Ok(Change::Test(found)) = test(&fields) else { panic!("it is one") };
        assert_eq!((prompt(&found.messages), found.audience), (Some("x\ny"), Some(Audience::Patient)));
        for missing in 0..3 {
            let fields = fields.iter().enumerate().filter(|(place, _)| *place != missing).map(|(_, field)| *field);
            assert!(test(&fields.collect::<Vec<_>>()).is_err(), "{missing}");
        }
    }
}
