//! The page of a draft: forms beside the file's text, faults at their lines, what differs, and where to go from here.

use super::chart::slider;
use super::{base, bring, difference, forms, named, path_of, read, trial};
use crate::audit::drafts::Draft;
use crate::console::Desk;
use crate::console::account::Role;
use crate::console::aloud;
use crate::console::language::Language;
use crate::console::page::{policy_script, time};
use crate::console::trouble::Trouble;
use crate::policy::curve::moves;
use crate::policy::edit::own_tests;
use crate::policy::file::Fault;
use crate::policy::rule::{Effect, Rule};
use crate::policy::{Direction, Policy};
use crate::response::Body;
use http::{Response, StatusCode};
use maud::{Markup, html};

/// What a draft's page shows beside the draft.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// What was wrong with what was posted.
    pub(super) wrong: &'a str,
    /// A text that was not saved, in place of the draft's.
    pub(super) text: Option<&'a str>,
}

/// Shows a draft.
pub(in crate::console) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    with(desk, &named(desk).await?, &Shown { wrong: "", text: None }).await
}

/// The same, with what was wrong with what was posted.
pub(super) async fn with(desk: &Desk<'_>, draft: &Draft, shown: &Shown<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let policy = read(desk, draft).await;
    let (base, holds) = (base(desk, draft).await, desk.console.proxy.policy.snapshot());
    let title = format!("{} {}", language.say("Draft", "Borrador"), draft.name);
    let main = html! {
        script src=(policy_script()) defer {}
        h1 { (title) }
        p class="quiet" {
            @if let Some(version) = draft.based_on { (language.say("Began as", "Empezó como")) " v" (version) "; " }
            (language.say("saved by", "guardado por")) " " (draft.by) ", " (time(draft.time))
            ". " a href={ (path_of(&draft.name)) "/text" } { (language.say("Download", "Descargar")) }
            @if desk.may(Role::Editor) {
                " · " a href={ "/console/try?draft=" (draft.name) } { (language.say("Try a text by it", "Probar un texto con él")) }
            }
        }
        @if !shown.wrong.is_empty() { p class="wrong" role="alert" { (shown.wrong) } }
        @if let Err(faults) = &policy { (faulty(language, draft, faults)) }
        div class="columns even" {
            div {
                @if let Ok(policy) = &policy { (rules(desk, draft, policy)) (tests(desk, draft, policy)) }
            }
            div { (text(desk, draft, shown.text)) }
        }
        @if let Ok(policy) = &policy {
            section class="card" {
                h2 { (language.say("What differs", "Lo que difiere")) }
                (difference::values(language, &holds, policy))
                details {
                    summary { (language.say("Line by line", "Línea por línea")) }
                    (difference::by_line(language, difference::own(&base), &draft.text))
                }
            }
            (trial::card(desk, draft, policy))
            (bring::card(desk, draft, policy))
        }
        @if desk.may(Role::Editor) {
            form method="post" action=(path_of(&draft.name)) {
                (desk.token())
                input type="hidden" name="was" value=(draft.digest());
                button class="danger" name="wish" value="remove" { (language.say("Throw the draft away", "Descartar el borrador")) }
            }
        }
    };
    let status = if shown.wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(desk.page_with(status, &title, &main))
}

/// The faults of a text, and the text with each at its line.
fn faulty(language: Language, draft: &Draft, faults: &[Fault]) -> Markup {
    html! {
        section class="card" aria-labelledby="faults" {
            h2 id="faults" { (language.say("Faults", "Errores")) }
            ul {
                @for Fault { line, key, message, .. } in faults {
                    li {
                        a href={ "#line-" (line) } { (language.say("Line", "Línea")) " " (line) }
                        ": " @if !key.is_empty() { code { (key) } ": " }
                        span lang="en" { (message) }
                    }
                }
            }
            div class="scroll tall" tabindex="0" role="region" aria-label=(language.say("The text, line by line", "El texto, línea por línea")) {
                ol class="lines" {
                    @for (number, line) in (1..).zip(draft.text.lines()) {
                        li id={ "line-" (number) } {
                            code { (line) }
                            @for fault in faults.iter().filter(|fault| fault.line == number) {
                                p class="wrong" lang="en" { (fault.message) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The text itself.
fn text(desk: &Desk<'_>, draft: &Draft, unsaved: Option<&str>) -> Markup {
    let language = desk.language;
    let is_editor = desk.may(Role::Editor);
    let text = unsaved.unwrap_or(&draft.text);
    html! {
        section class="card" {
            h2 { (language.say("The file", "El archivo")) }
            form method="post" action=(path_of(&draft.name)) {
                (desk.token())
                input type="hidden" name="was" value=(draft.digest());
                div class="field" {
                    label for="text" { (language.say("Text (TOML)", "Texto (TOML)")) }
                    // A browser drops the first line break.
                    textarea id="text" class="mono" name="text" rows="40" spellcheck="false" readonly[!is_editor] { "\n" (text) }
                }
                @if is_editor {
                    button class="primary" name="wish" value="text" { (language.say("Save the text", "Guardar el texto")) }
                }
            }
        }
    }
}

/// The form of the rules.
fn rules(desk: &Desk<'_>, draft: &Draft, policy: &Policy) -> Markup {
    let language = desk.language;
    html! {
        section class="card" {
            h2 { (language.say("Rules", "Reglas")) }
            form method="post" action=(path_of(&draft.name)) {
                (desk.token())
                input type="hidden" name="was" value=(draft.digest());
                fieldset disabled[!desk.may(Role::Editor)] {
                    legend class="unseen" { (language.say("Rules", "Reglas")) }
                    @for rule in &policy.rules { (one(desk, draft, rule)) }
                    button class="primary" name="wish" value="rules" { (language.say("Apply", "Aplicar")) }
                }
            }
        }
    }
}

fn one(desk: &Desk<'_>, draft: &Draft, rule: &Rule) -> Markup {
    let language = desk.language;
    let (action, mode) = (forms::field("action", &rule.name), forms::field("mode", &rule.name));
    let current = match (rule.is_enabled, rule.is_shadow) {
        (false, _) => "off",
        (true, true) => "shadow",
        (true, false) => "on",
    };
    let modes = [
        ("on", language.say("in force", "en vigor")),
        ("shadow", language.say("in the shadow", "en la sombra")),
        ("off", language.say("switched off", "desactivada")),
    ];
    // What changes one side is not offered for the other.
    let suits = |effect: Effect| match effect {
        Effect::Rewrite(crate::policy::rule::Rewrite::Steer) => rule.direction == Direction::Prompt,
        Effect::Rewrite(_) => rule.direction == Direction::Completion,
        _ => true,
    };
    html! {
        fieldset {
            legend { (rule.name) }
            p { (aloud::rule(language, rule)) }
            @if moves(rule) {
                (slider(desk, &draft.name, (rule, "threshold")))
                (slider(desk, &draft.name, (rule, "context")))
            }
            div class="row" {
                div class="field" {
                    label for=(action) { (language.say("What it does", "Qué hace")) }
                    select id=(action) name=(action) {
                        @for (id, effect) in Effect::ALL.iter().filter(|(_, effect)| suits(*effect)) {
                            option value=(id) selected[*effect == rule.effect] { (aloud::effect(language, *effect)) }
                        }
                    }
                }
                div class="field" {
                    label for=(mode) { (language.say("It is", "Está")) }
                    select id=(mode) name=(mode) {
                        @for (id, name) in modes { option value=(id) selected[id == current] { (name) } }
                    }
                }
            }
            details {
                summary { (language.say("What the person reads", "Lo que lee la persona")) }
                @for (code, text) in said(rule) {
                    @let name = format!("{}:{code}", forms::field("message", &rule.name));
                    div class="field" {
                        label for=(name) { (code) }
                        textarea id=(name) name=(name) rows="4" lang=(code) { "\n" (text) }
                    }
                }
            }
        }
    }
}

/// The texts of a rule, and a place for each language of the console that has none.
fn said(rule: &Rule) -> Vec<(&str, &str)> {
    let mut said: Vec<(&str, &str)> = rule.message.all().collect();
    for (language, _) in Language::ALL {
        if said.iter().all(|(code, _)| *code != language.id()) {
            said.push((language.id(), ""));
        }
    }
    said
}

/// The tests, each with its form, and one for another.
fn tests(desk: &Desk<'_>, draft: &Draft, policy: &Policy) -> Markup {
    let language = desk.language;
    let own = own_tests(&draft.text);
    html! {
        section class="card" {
            h2 { (language.say("Tests", "Pruebas")) }
            p { (language.say(
                "What the policy must do before it comes in force. A test that does not hold keeps it from that.",
                "Lo que la política debe hacer antes de entrar en vigor. Una prueba que no se cumple lo impide.",
            )) }
            @for (place, test) in policy.tests.iter().enumerate() {
                details {
                    summary { (test.name) " · " (test.expected.id()) }
                    (super::tests_of::form(desk, draft, (place + 1, Some(test))))
                    @if desk.may(Role::Editor) && own.iter().any(|name| **name == *test.name) {
                        form method="post" action=(path_of(&draft.name)) {
                            (desk.token())
                            input type="hidden" name="was" value=(draft.digest());
                            input type="hidden" name="name" value=(test.name);
                            button name="wish" value="no-test" { (language.say("Remove this test", "Quitar esta prueba")) }
                        }
                    }
                }
            }
            @if desk.may(Role::Editor) {
                details {
                    summary { (language.say("Another test", "Otra prueba")) }
                    (super::tests_of::form(desk, draft, (0, None)))
                }
            }
        }
    }
}
