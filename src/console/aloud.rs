//! A rule read aloud: what it does, in plain words.

use super::language::Language;
use super::vocabulary;
use crate::policy::Direction;
use crate::policy::rule::{Effect, Rewrite, Rule, Score};

/// What a rule does, in a sentence or two.
pub(super) fn rule(language: Language, rule: &Rule) -> String {
    let mut said = format!(
        "{} {}{}{} {}.",
        subject(language, rule.direction),
        condition(language, rule),
        kinds(language, rule),
        people(language, rule),
        done(language, rule.effect)
    );
    if rule.score != Score::Pattern && rule.threshold_in_context.to_bits() != rule.threshold.to_bits() {
        let from = format!("{:.2}", rule.threshold_in_context);
        said.push_str(&match language {
            Language::En => {
                format!(" The last turn of a conversation, read together with the turns before it: from {from} on.")
            }
            Language::Es => {
                format!(" El último turno de una conversación, leído con los anteriores: a partir de {from}.")
            }
        });
    }
    if let Some(second) = rule.second_opinion {
        let (low, high) = second.band(rule.threshold);
        said.push_str(&match language {
            Language::En => format!(" Between {low:.2} and {high:.2} a second model is asked."),
            Language::Es => format!(" Entre {low:.2} y {high:.2} se consulta a un segundo modelo."),
        });
    }
    said
}

const fn subject(language: Language, direction: Direction) -> &'static str {
    match direction {
        Direction::Prompt => language.say("A prompt", "Un mensaje"),
        Direction::Completion => language.say("An answer", "Una respuesta"),
    }
}

/// What a score is of.
pub(super) const fn score(language: Language, score: Score) -> &'static str {
    match score {
        Score::Violation => language.say("violation", "infracción"),
        Score::Manipulation => language.say("manipulation", "manipulación"),
        Score::Crisis => language.say("emergency", "urgencia"),
        Score::Pattern => language.say("words", "palabras"),
    }
}

fn condition(language: Language, rule: &Rule) -> String {
    let threshold = rule.threshold;
    let scored = match rule.score {
        Score::Violation => language.say("with a violation", "con una infracción"),
        Score::Manipulation => language.say("with a manipulation", "con una manipulación"),
        Score::Crisis => language.say("with signs of an emergency", "con indicios de urgencia"),
        Score::Pattern => return words(language, rule),
    };
    let over = match language {
        Language::En => format!("{scored} of {threshold:.2} or more"),
        Language::Es => format!("{scored} de {threshold:.2} o más"),
    };
    if rule.patterns.is_some() {
        return format!("{over}{} {}", language.say(" and", " y"), words(language, rule));
    }
    over
}

fn words(language: Language, rule: &Rule) -> String {
    let all = rule.patterns.iter().flat_map(|patterns| patterns.all());
    let all: Vec<String> = all.map(|pattern| format!("“{pattern}”")).collect();
    format!("{} {}", language.say("with words like", "con palabras como"), all.join(", "))
}

fn kinds(language: Language, rule: &Rule) -> String {
    let principles = rule.principles.iter().map(|principle| principle.id());
    let all: Vec<&str> = principles.chain(rule.types.iter().map(|kind| kind.id)).collect();
    if all.is_empty() {
        return String::new();
    }
    format!(" {} {}", language.say("that concerns", "que se refiere a"), all.join(", "))
}

fn people(language: Language, rule: &Rule) -> String {
    let audiences: Vec<&str> =
        rule.audiences.iter().map(|audience| vocabulary::audience(language, audience.id())).collect();
    let mut said = String::new();
    if !audiences.is_empty() {
        said.push_str(language.say(" for ", " para "));
        said.push_str(&audiences.join(", "));
    }
    if !rule.tenants.is_empty() {
        said.push_str(language.say(" of ", " de "));
        said.push_str(&rule.tenants.join(", "));
    }
    said
}

/// What a rule does, as the end of a sentence.
pub(super) const fn done(language: Language, effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => language.say("passes", "pasa"),
        Effect::Flag => language.say("passes and is marked", "pasa y queda marcado"),
        Effect::Rewrite(Rewrite::Steer) => language.say(
            "passes with a word to the model on the principle at stake",
            "pasa con una indicación al modelo sobre el principio en juego",
        ),
        Effect::Rewrite(Rewrite::Replace) => language.say("is replaced", "se sustituye"),
        Effect::Rewrite(Rewrite::Excise) => {
            language.say("loses the sentences that violate", "pierde las frases que infringen")
        }
        Effect::Rewrite(Rewrite::Regenerate) => language.say("is asked for once more", "se solicita de nuevo"),
        Effect::Rewrite(Rewrite::Redact) => language.say("loses identifiers", "pierde los identificadores"),
        Effect::Escalate => language.say("gets help first", "recibe ayuda primero"),
        Effect::Block => language.say("is refused", "se rechaza"),
    }
}
