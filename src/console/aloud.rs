//! A policy read aloud: what its rules do, in plain words.

use super::language::Language;
use super::vocabulary;
use crate::policy::rule::{Effect, Rewrite, Rule, Score};
use crate::policy::{Direction, FailMode, Policy, Unjudgeable};

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
        said.push_str(&match language {
            Language::En => format!(
                " The last turn of a conversation, read together with the turns before it: from {:.2} on.",
                rule.threshold_in_context
            ),
            Language::Es => format!(
                " El último turno de una conversación, leído con los anteriores: a partir de {:.2}.",
                rule.threshold_in_context
            ),
        });
    }
    if let Some(second) = rule.second_opinion {
        let (low, high) = second.band(rule.threshold);
        said.push_str(&match language {
            Language::En => format!(" Between {low:.2} and {high:.2} a second model is asked."),
            Language::Es => format!(" Entre {low:.2} y {high:.2} se consulta a un segundo modelo."),
        });
    }
    if !rule.is_enabled {
        said.push_str(language.say(" This rule is switched off.", " Esta regla está desactivada."));
    } else if rule.is_shadow {
        said.push_str(language.say(
            " This rule is in the shadow: it is recorded, and changes nothing.",
            " Esta regla está en la sombra: se registra y no cambia nada.",
        ));
    }
    said
}

const fn subject(language: Language, direction: Direction) -> &'static str {
    match direction {
        Direction::Prompt => language.say("A prompt", "Un mensaje"),
        Direction::Completion => language.say("An answer", "Una respuesta"),
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

/// What a score is of.
pub(super) const fn score(language: Language, score: Score) -> &'static str {
    match score {
        Score::Violation => language.say("violation", "infracción"),
        Score::Manipulation => language.say("manipulation", "manipulación"),
        Score::Crisis => language.say("emergency", "urgencia"),
        Score::Pattern => language.say("words", "palabras"),
    }
}

/// What a rule does, as the end of a sentence.
const fn done(language: Language, effect: Effect) -> &'static str {
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

/// What a rule can do, as a choice.
pub(super) const fn effect(language: Language, effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => language.say("let it pass", "dejar pasar"),
        Effect::Flag => language.say("let it pass and mark it", "dejar pasar y marcar"),
        Effect::Rewrite(Rewrite::Steer) => {
            language.say("let it pass with a word to the model", "dejar pasar con una indicación al modelo")
        }
        Effect::Rewrite(Rewrite::Replace) => language.say("replace the answer", "sustituir la respuesta"),
        Effect::Rewrite(Rewrite::Excise) => language.say("take sentences out", "quitar frases"),
        Effect::Rewrite(Rewrite::Regenerate) => language.say("ask for another answer", "pedir otra respuesta"),
        Effect::Rewrite(Rewrite::Redact) => language.say("take identifiers out", "quitar identificadores"),
        Effect::Escalate => language.say("give help first", "dar ayuda primero"),
        Effect::Block => language.say("refuse", "rechazar"),
    }
}

/// What holds where no rule does.
pub(super) fn rest(language: Language, policy: &Policy) -> Vec<&'static str> {
    let mut said = vec![match policy.unjudgeable {
        Unjudgeable::Block => language.say(
            "What cannot be judged (images, audio, opaque files) is refused.",
            "Lo que no se puede evaluar (imágenes, audio, archivos opacos) se rechaza.",
        ),
        Unjudgeable::Allow => language.say(
            "What cannot be judged (images, audio, opaque files) passes.",
            "Lo que no se puede evaluar (imágenes, audio, archivos opacos) pasa.",
        ),
    }];
    said.push(match policy.on_unavailable.prompt {
        FailMode::Closed => language.say(
            "While the model cannot judge, prompts are refused.",
            "Mientras el modelo no puede evaluar, los mensajes se rechazan.",
        ),
        FailMode::Open => language.say(
            "While the model cannot judge, prompts pass unchecked.",
            "Mientras el modelo no puede evaluar, los mensajes pasan sin control.",
        ),
    });
    said.push(match policy.on_unavailable.completion {
        FailMode::Closed => language.say(
            "While the model cannot judge, answers are withheld.",
            "Mientras el modelo no puede evaluar, las respuestas se retienen.",
        ),
        FailMode::Open => language.say(
            "While the model cannot judge, answers pass unchecked.",
            "Mientras el modelo no puede evaluar, las respuestas pasan sin control.",
        ),
    });
    if policy.phi.prompt {
        said.push(language.say(
            "Identifiers of people are replaced in prompts.",
            "Los identificadores de personas se sustituyen en los mensajes.",
        ));
    }
    if policy.phi.completion {
        said.push(language.say(
            "Identifiers of people are masked in answers.",
            "Los identificadores de personas se ocultan en las respuestas.",
        ));
    }
    said.push(language.say("Everything else passes.", "Todo lo demás pasa."));
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::{EMBEDDED, parse};

    #[test]
    fn rules_are_read_in_both_languages() {
        let policy = parse("ama.toml", EMBEDDED).unwrap();
        let said = |language, place: usize| rule(language, &policy.rules[place]);
        assert!(
            said(Language::En, 1).starts_with("A prompt with a violation of 0.61 or more is refused. The last turn")
        );
        assert!(said(Language::Es, 1).starts_with("Un mensaje con una infracción de 0.61 o más se rechaza. El último"));
        assert_eq!(said(Language::En, 3), "A prompt with a manipulation of 0.05 or more passes and is marked.");
        assert!(said(Language::En, 0).ends_with("gets help first."), "{}", said(Language::En, 0));
        assert_eq!(rest(Language::Es, &policy).len(), 4);
    }
}
