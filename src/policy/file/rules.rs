//! The rules of a policy file, over those of the file that it extends.

use super::opinion::Of;
use super::read::{Reader, Section, span};
use crate::policy::Direction;
use crate::policy::message::{Audience, Messages, TENANT_NAMES, is_tenant};
use crate::policy::rule::{Effect, Patterns, Rewrite, Rule, Score};
use crate::policy::taxonomy::{Principle, VIOLATION_TYPES};
use std::collections::BTreeSet;
use std::sync::Arc;
use toml_edit::{Item, Table};

const KEYS: [&str; 15] = [
    "name",
    "direction",
    "score",
    "principles",
    "types",
    "audiences",
    "tenants",
    "patterns",
    "threshold",
    "threshold_in_context",
    "action",
    "message",
    "shadow",
    "enabled",
    "second_opinion",
];

const DIRECTIONS: [(&str, Direction); 2] = [("prompt", Direction::Prompt), ("completion", Direction::Completion)];

const SCORES: [(&str, Score); 4] = [
    ("violation", Score::Violation),
    ("manipulation", Score::Manipulation),
    ("crisis", Score::Crisis),
    ("pattern", Score::Pattern),
];

impl Reader<'_> {
    /// The rules that it extends, changed where it says so, and those of its own: each behind the rule that it follows in the
    /// file, the first behind those that give help. `is_shadow` holds for all that do not say
    /// otherwise.
    pub(super) fn rules(&mut self, table: &Table, base: Option<&[Rule]>, is_shadow: Option<bool>) -> Option<Vec<Rule>> {
        let item = table.get("rules");
        let Some(tables) = item.and_then(Item::as_array_of_tables) else {
            if let (None, Some(base)) = (item, base) {
                return Some(base.iter().map(|rule| shaded(rule.clone(), is_shadow)).collect());
            }
            self.fault(span(item), "rules", "expected at least one [[rules]] table");
            return None;
        };
        // Each rule is read even after a faulty one, so that all faults are reported.
        let mut names = BTreeSet::new();
        let mut rules: Vec<Option<Rule>> =
            base.into_iter().flatten().map(|rule| Some(shaded(rule.clone(), is_shadow))).collect();
        // A rule that comes first in the file stands behind those that give help: it must not take that away.
        let gives_help = |rule: &Option<Rule>| rule.as_ref().is_some_and(|rule| rule.effect == Effect::Escalate);
        let mut next = rules.iter().rposition(gives_help).map_or(0, |place| place + 1);
        for (index, rule) in tables.iter().enumerate() {
            let section = Section { table: rule, at: &format!("rules[{index}].") };
            let name = rule.get("name").and_then(Item::as_str).unwrap_or_default();
            if ["phi", "unjudgeable"].contains(&name) {
                self.fault(
                    span(rule.get("name")),
                    &format!("{}name", section.at),
                    "this name is taken by what is built in",
                );
            }
            if !name.is_empty() && !names.insert(name) {
                self.fault(span(rule.get("name")), &format!("{}name", section.at), "another rule has this name");
            }
            let extended = base.into_iter().flatten().find(|rule| &*rule.name == name);
            let found = self.rule(section, extended, is_shadow);
            let is_named = |rule: &Option<Rule>| rule.as_ref().is_some_and(|rule| &*rule.name == name);
            match rules.iter().position(is_named) {
                Some(place) if extended.is_some() => {
                    rules.splice(place..=place, [found]);
                    next = place + 1;
                }
                _ => {
                    rules.insert(next.min(rules.len()), found);
                    next += 1;
                }
            }
        }
        rules.into_iter().collect()
    }

    fn rule(&mut self, section: Section<'_>, base: Option<&Rule>, is_shadow: Option<bool>) -> Option<Rule> {
        let has = |key| section.table.contains_key(key);
        self.known_keys(section, &KEYS);
        let name = self.text_of(section, "name");
        let direction = self.one_of_or((section, "direction"), &DIRECTIONS, base.map(|base| base.direction));
        let score = self.one_of_or((section, "score"), &SCORES, base.map(|base| base.score));
        let known = "known: I to IX, G; leave it out for all";
        let principles = self.list((section, "principles"), known, Principle::from_id);
        let of_type = |id: &str| VIOLATION_TYPES.iter().find(|kind| kind.id == id);
        let types = self.list((section, "types"), "known: I.1 to IX.5, G.1 to G.7; leave it out for all", of_type);
        let known = format!("known: {}; leave it out for all", Audience::names());
        let audiences = self.list((section, "audiences"), &known, Audience::named);
        let tenant = |name: &str| is_tenant(name).then(|| Arc::from(name));
        let tenants = self.list((section, "tenants"), &format!("{TENANT_NAMES}; leave it out for all"), tenant);
        let patterns = self.patterns(section, base, score);
        let (threshold, in_context) = self.thresholds(section, base, score)?;
        let effect = self.one_of_or((section, "action"), &Effect::ALL, base.map(|base| base.effect));
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
        let of = Of { base, score, effect, thresholds: [threshold, in_context] };
        let second_opinion = self.second_opinion(section, &of);
        let message = self.message(section, effect, base);
        let is_shadow =
            self.flag_or(section, "shadow", Some(is_shadow.unwrap_or(base.is_some_and(|base| base.is_shadow))));
        let is_enabled = self.flag_or(section, "enabled", Some(base.is_none_or(|base| base.is_enabled)));
        // What is left out holds as in the rule that is changed; what is there and faulty is no rule.
        fn kept<T: Clone>(has: bool, found: Option<Vec<T>>, base: Option<&Vec<T>>) -> Option<Vec<T>> {
            if has { found } else { Some(base.cloned().unwrap_or_default()) }
        }
        Some(Rule {
            name: Arc::from(name?),
            direction: direction?,
            score: score?,
            principles: kept(has("principles"), principles, base.map(|base| &base.principles))?,
            types: kept(has("types"), types, base.map(|base| &base.types))?,
            audiences: kept(has("audiences"), audiences, base.map(|base| &base.audiences))?,
            tenants: kept(has("tenants"), tenants, base.map(|base| &base.tenants))?,
            patterns: patterns?,
            threshold: threshold?,
            threshold_in_context: in_context?,
            second_opinion: second_opinion?,
            effect: effect?,
            message: message?,
            is_shadow: is_shadow?,
            is_enabled: is_enabled?,
        })
    }

    /// Both thresholds, each `None` after a fault. A rule that looks at patterns alone has none; in context, the first holds
    /// where no other is given.
    fn thresholds(
        &mut self,
        section: Section<'_>,
        base: Option<&Rule>,
        score: Option<Score>,
    ) -> Option<(Option<f32>, Option<f32>)> {
        let table = section.table;
        if score == Some(Score::Pattern) {
            for key in ["threshold", "threshold_in_context"] {
                if let Some(item) = table.get(key) {
                    let key = format!("{}{key}", section.at);
                    self.fault(item.span(), &key, "the score pattern has no threshold: a pattern is found or not");
                    return None;
                }
            }
            return Some((Some(0.0), Some(0.0)));
        }
        let threshold = match (table.get("threshold"), base) {
            (None, Some(base)) if base.score != Score::Pattern => Some(base.threshold),
            _ => self.probability(section, "threshold"),
        };
        let in_context = match (table.get("threshold_in_context"), base) {
            // Where it has no threshold of its own in context, it goes with the other one.
            (None, Some(base)) if base.threshold_in_context.to_bits() != base.threshold.to_bits() => {
                Some(base.threshold_in_context)
            }
            (None, _) => threshold,
            _ => self.probability(section, "threshold_in_context"),
        };
        Some((threshold, in_context))
    }

    /// The patterns of a rule; `None` after a fault.
    #[expect(clippy::option_option, reason = "none is a fault, and none in it is a rule without patterns")]
    fn patterns(
        &mut self,
        section: Section<'_>,
        base: Option<&Rule>,
        score: Option<Score>,
    ) -> Option<Option<Patterns>> {
        let key = format!("{}patterns", section.at);
        if !section.table.contains_key("patterns") {
            let inherited = base.and_then(|base| base.patterns.clone());
            if inherited.is_none() && score == Some(Score::Pattern) {
                self.fault(
                    section.table.span(),
                    &key,
                    "expected a list of regular expressions, for score = \"pattern\"",
                );
                return None;
            }
            return Some(inherited);
        }
        let read = |pattern: &str| (!pattern.is_empty()).then(|| pattern.to_owned());
        let patterns = self.list((section, "patterns"), "expected regular expressions", read)?;
        match Patterns::new(patterns.iter().map(String::as_str)) {
            Ok(patterns) => Some(Some(patterns)),
            Err(why) => {
                self.fault(span(section.table.get("patterns")), &key, &why);
                None
            }
        }
    }

    /// The words of a rule. Only what stands in place of an answer, or before it, needs any.
    fn message(&mut self, section: Section<'_>, effect: Option<Effect>, base: Option<&Rule>) -> Option<Messages> {
        let Section { table, at } = section;
        let (key, item) = (format!("{at}message"), table.get("message"));
        let inherited = base.map(|base| base.message.clone()).filter(|message| !message.is_empty());
        match (item, effect) {
            (_, None) => Some(Messages::default()),
            (Some(item), Some(effect)) if effect.speaks() => self.languages(item, &key),
            (_, Some(effect)) if !effect.speaks() => Some(inherited.unwrap_or_default()),
            _ if inherited.is_some() => inherited,
            _ => {
                self.fault(table.span(), &key, "expected a text that is not empty, or a text for each language");
                None
            }
        }
    }
}

fn shaded(mut rule: Rule, is_shadow: Option<bool>) -> Rule {
    rule.is_shadow = is_shadow.unwrap_or(rule.is_shadow);
    rule
}
