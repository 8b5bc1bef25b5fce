//! The form of a test of a draft.

use super::path_of;
use crate::audit::drafts::Draft;
use crate::console::Desk;
use crate::console::account::Role;
use crate::console::language::Language;
use crate::console::vocabulary;
use crate::policy::edit::prompt;
use crate::policy::expectation::{Expectation, Expected};
use crate::policy::message::Audience;
use maud::{Markup, html};
use serde_json::Value;

/// The form of a test, or of a new one; `place` tells its fields from those of others.
pub(super) fn form(desk: &Desk<'_>, draft: &Draft, (place, test): (usize, Option<&Expectation>)) -> Markup {
    let language = desk.language;
    let id = |what: &str| format!("test-{place}-{what}");
    let asked = test.and_then(|test| prompt(&test.messages)).unwrap_or_default();
    let turns = test.filter(|test| prompt(&test.messages).is_none());
    html! {
        form method="post" action=(path_of(&draft.name)) {
            (desk.token())
            input type="hidden" name="was" value=(draft.digest());
            fieldset disabled[!desk.may(Role::Editor)] {
                legend class="unseen" { (test.map_or(language.say("Another test", "Otra prueba"), |test| &test.name)) }
                @match test {
                    Some(test) => input type="hidden" name="name" value=(test.name);,
                    None => div class="field" {
                        label for=(id("name")) { (language.say("What it is about", "De qué trata")) }
                        input id=(id("name")) name="name" required maxlength="200" autocomplete="off";
                    },
                }
                @if let Some(test) = turns {
                    (conversation(&test.messages))
                } @else {
                    div class="field" {
                        label for=(id("prompt")) { (language.say("What is asked", "Lo que se pregunta")) }
                        textarea id=(id("prompt")) name="prompt" rows="3" required { "\n" (asked) }
                    }
                }
                div class="field" {
                    label for=(id("completion")) { (language.say("What is answered, if the answer is tested", "Lo que se responde, si se prueba la respuesta")) }
                    textarea id=(id("completion")) name="completion" rows="2" { "\n" (test.and_then(|test| test.completion.as_deref()).unwrap_or_default()) }
                }
                div class="row" {
                    (audience(language, &id("audience"), test.and_then(|test| test.audience)))
                    div class="field" {
                        label for=(id("tenant")) { (language.say("Tenant", "Organización")) }
                        input id=(id("tenant")) name="tenant" maxlength="64" value=(test.and_then(|test| test.tenant.as_deref()).unwrap_or_default());
                    }
                    (expected(language, &id("expect"), test.map(|test| test.expected)))
                }
                button name="wish" value="test" { (language.say("Apply", "Aplicar")) }
            }
        }
    }
}

fn conversation(messages: &Value) -> Markup {
    let text = |turn: &Value, key: &str| turn.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    html! {
        dl class="facts" {
            @for turn in messages.as_array().into_iter().flatten() {
                dt { (text(turn, "role")) } dd { (text(turn, "content")) }
            }
        }
    }
}

fn audience(language: Language, id: &str, chosen: Option<Audience>) -> Markup {
    html! {
        div class="field" {
            label for=(id) { (language.say("Who asks", "Quién pregunta")) }
            select id=(id) name="audience" {
                option value="" { (language.say("anyone", "cualquiera")) }
                @for (name, audience) in Audience::ALL {
                    option value=(name) selected[chosen == Some(audience)] { (vocabulary::audience(language, name)) }
                }
            }
        }
    }
}

fn expected(language: Language, id: &str, chosen: Option<Expected>) -> Markup {
    let name = |id: &'static str| match id {
        "pass" => language.say("it passes, marked or not", "pasa, marcado o no"),
        "allow" => language.say("it passes", "pasa"),
        "flag" => language.say("it is marked", "queda marcado"),
        "rewrite" => language.say("it is changed", "se modifica"),
        "escalate" => language.say("help is given first", "se da ayuda primero"),
        "block" => language.say("it is refused", "se rechaza"),
        other => other,
    };
    html! {
        div class="field" {
            label for=(id) { (language.say("What must happen", "Qué debe ocurrir")) }
            select id=(id) name="expect" {
                @for (word, expected) in Expected::ALL {
                    option value=(word) selected[chosen == Some(expected)] { (name(word)) }
                }
            }
        }
    }
}
