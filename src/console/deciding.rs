//! The policy by which something was decided, as far as it is still there; and scores held against its thresholds.

use super::Desk;
use super::aloud;
use super::language::Language;
use super::scale::scale;
use crate::audit::act::Deed;
use crate::audit::decision::Decision;
use crate::classify::Scores;
use crate::policy::rule::{Rule, Score};
use crate::policy::{Direction, Policy};
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The policy that is shown for a decision.
pub(super) struct Deciding {
    pub(super) policy: Arc<Policy>,
    /// Whether it is the one that decided; else the one in force stands for it.
    pub(super) is_it: bool,
    /// Its version, where versions are kept.
    pub(super) version: Option<i64>,
}

/// The policies of some decisions, by `name@hash`.
pub(super) async fn of(desk: &Desk<'_>, decisions: &[Decision]) -> BTreeMap<String, Deciding> {
    let mut found = BTreeMap::new();
    for decision in decisions {
        if !found.contains_key(&decision.policy) {
            found.insert(decision.policy.clone(), find(desk, &decision.policy).await);
        }
    }
    found
}

async fn find(desk: &Desk<'_>, name: &str) -> Deciding {
    let live = &desk.console.proxy.policy;
    let in_force = live.in_force();
    let known = match live.versions() {
        Some(versions) => versions.known().await.ok(),
        None => None,
    };
    let acts = known.iter().flat_map(|known| known.acts.iter().rev());
    let version = acts.into_iter().find_map(|act| match &act.deed {
        Deed::Proposed(candidate) | Deed::Promoted { candidate, .. } if candidate.policy == name => {
            Some(candidate.version)
        }
        _ => None,
    });
    let at_hand =
        [Some(&in_force.policy), in_force.canary.as_ref().map(|(policy, _)| policy), in_force.policy.beside.as_ref()];
    if let Some(policy) = at_hand.into_iter().flatten().find(|policy| policy.to_string() == name) {
        return Deciding { policy: Arc::clone(policy), is_it: true, version };
    }
    if let (Some(versions), Some(known), Some(version)) = (live.versions(), &known, version)
        && let Ok(policy) = versions.policy(version, &known.standing).await
    {
        return Deciding { policy: Arc::new(policy), is_it: true, version: Some(version) };
    }
    Deciding { policy: Arc::clone(&in_force.policy), is_it: false, version: None }
}

impl Deciding {
    /// The rule of this name.
    pub(super) fn rule(&self, name: &str) -> Option<&Rule> {
        self.policy.rules.iter().find(|rule| &*rule.name == name)
    }
}

/// A rule by its name, in plain words where the policy has it.
pub(super) fn rule_named(language: Language, policy: &Policy, name: &str) -> Markup {
    let said = match name {
        "phi" => Some(
            language
                .say("Identifiers of people were taken out.", "Se quitaron identificadores de personas.")
                .to_owned(),
        ),
        "unjudgeable" => {
            Some(language.say("It holds what cannot be judged.", "Contiene algo que no se puede evaluar.").to_owned())
        }
        _ => policy.rules.iter().find(|rule| &*rule.name == name).map(|rule| aloud::rule(language, rule)),
    };
    html! { code { (name) } @if let Some(said) = said { " – " (said) } }
}

/// How texts were looked at, and what the model says of them.
pub(super) struct Sighted<'a> {
    pub(super) name: &'a str,
    pub(super) scores: &'a Scores,
    pub(super) in_context: bool,
}

/// Each score with the thresholds of the policy's rules for a direction.
pub(super) fn scores(language: Language, (policy, direction): (&Policy, Direction), sighted: &[Sighted<'_>]) -> Markup {
    let all = [Score::Violation, Score::Manipulation, Score::Crisis];
    html! {
        table class="scores" {
            caption { (language.say("Scores, and from where on rules apply", "Puntuaciones, y desde dónde se aplican las reglas")) }
            thead { tr {
                th scope="col" { (language.say("Text", "Texto")) }
                th scope="col" { (language.say("Score", "Puntuación")) }
                th scope="col" class="number-cell" { (language.say("Value", "Valor")) }
                th scope="col" { (language.say("On its scale", "En su escala")) }
                th scope="col" { (language.say("Thresholds", "Umbrales")) }
            } }
            tbody {
                @for sight in sighted {
                    @for score in all {
                        @let held = thresholds(policy, direction, (score, sight.in_context));
                        @let value = f64::from(score.of(sight.scores));
                        @let name = aloud::score(language, score);
                        tr {
                            th scope="row" { (sight.name) }
                            td { (name) }
                            td class="number-cell" { (format!("{value:.3}")) }
                            td { (scale(language, (name, value), &held.iter().map(|(_, threshold)| *threshold).collect::<Vec<_>>())) }
                            td { @for (rule, threshold) in &held { (format!("{threshold:.2} ")) code { (rule) } " " } }
                        }
                    }
                    @if direction == Direction::Completion {
                        @let value = f64::from(sight.scores.refusal);
                        @let name = language.say("declines by itself", "declina por sí misma");
                        tr {
                            th scope="row" { (sight.name) }
                            td { (name) }
                            td class="number-cell" { (format!("{value:.3}")) }
                            td { (scale(language, (name, value), &[])) }
                            td {}
                        }
                    }
                }
            }
        }
    }
}

/// From where on the rules for a score apply, by their names.
fn thresholds(policy: &Policy, direction: Direction, (score, in_context): (Score, bool)) -> Vec<(&str, f64)> {
    let rules =
        policy.rules.iter().filter(|rule| rule.direction == direction && rule.score == score && rule.is_enabled);
    let threshold = |rule: &Rule| if in_context { rule.threshold_in_context } else { rule.threshold };
    // As it is written, and not as the nearest number of half the digits is.
    let whole = |threshold: f32| (f64::from(threshold) * 1e6).round() / 1e6;
    rules.map(|rule| (&*rule.name, whole(threshold(rule)))).collect()
}

/// From where on violations are stopped, for prompts and for completions.
pub(super) fn stops_from(policy: &Policy) -> [f64; 2] {
    [Direction::Prompt, Direction::Completion].map(|direction| {
        let stops = |rule: &&Rule| {
            rule.direction == direction
                && rule.score == Score::Violation
                && rule.is_enabled
                && !rule.is_shadow
                && rule.effect.rank() >= 2
        };
        let lowest = policy.rules.iter().filter(stops).map(|rule| f64::from(rule.threshold)).reduce(f64::min);
        lowest.unwrap_or(0.5)
    })
}
