//! What reviewers said of a decision, as far as whoever looks may see it: where several must agree, nobody sees what another said
//! before enough have spoken.

use super::Desk;
use super::account::Role;
use super::page::time;
use super::vocabulary;
use crate::audit::label::Label;
use crate::policy::taxonomy::Principle;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// The labels on one decision that may be seen, in their order, and how many reviewers said something that may not.
pub(super) fn seen<'a>(desk: &Desk<'_>, labels: &'a [Label]) -> (Vec<&'a Label>, usize) {
    let spoken: BTreeSet<&str> = labels.iter().map(|label| label.reviewer.as_str()).collect();
    let me = desk.account.name.as_str();
    let least = desk.records.audit.reviewers;
    // Who spoke has nothing left to be led by; yet others still have.
    if least < 2 || spoken.len() >= least {
        return (labels.iter().collect(), 0);
    }
    let own: Vec<&Label> = labels.iter().filter(|label| label.reviewer == me).collect();
    (own, spoken.iter().filter(|name| **name != me).count())
}

/// In a few words: what each said last.
pub(super) fn short(desk: &Desk<'_>, labels: &[Label]) -> Markup {
    let language = desk.language;
    let (seen, hidden) = seen(desk, labels);
    let last: BTreeMap<&str, &Label> = seen.into_iter().map(|label| (label.reviewer.as_str(), label)).collect();
    html! {
        @for (reviewer, label) in last {
            span class="mark" { (reviewer) ": " (vocabulary::mark(language, label.mark)) } " "
        }
        @if hidden > 0 { span class="quiet" { (language.say("not to be seen yet", "aún no visible")) } }
    }
}

/// All that was said, by whom and when.
pub(super) fn table(desk: &Desk<'_>, labels: &[Label]) -> Markup {
    let language = desk.language;
    let (seen, hidden) = seen(desk, labels);
    html! {
        @if labels.is_empty() { p class="quiet" { (language.say("No reviewer has said anything yet.", "Ningún revisor ha opinado aún.")) } }
        @if hidden > 0 {
            p class="note" { (language.say(
                "Another reviewer has labelled this. What they said is shown once enough reviewers have spoken, so that nobody is led.",
                "Otro revisor ya lo ha etiquetado. Lo que dijo se mostrará cuando hayan opinado suficientes revisores, para no influir en nadie.",
            )) }
        }
        @if !seen.is_empty() {
            table {
                caption { (language.say("What reviewers said", "Lo que dijeron los revisores")) }
                thead { tr {
                    th scope="col" { (language.say("Reviewer", "Revisor")) }
                    th scope="col" { (language.say("Mark", "Etiqueta")) }
                    th scope="col" { (language.say("Principle", "Principio")) }
                    th scope="col" { (language.say("Note", "Nota")) }
                    th scope="col" { (language.say("Time (UTC)", "Hora (UTC)")) }
                } }
                tbody {
                    @for label in seen {
                        tr {
                            th scope="row" { (label.reviewer) }
                            td { (vocabulary::mark(language, label.mark)) }
                            td { @if let Some(id) = &label.principle { (vocabulary::principle(language, id)) } }
                            // A note should hold no words of a patient, and may.
                            td { @if desk.may(Role::Reviewer) { bdi { (label.note.as_deref().unwrap_or_default()) } } @else { "–" } }
                            td { (time(label.time)) }
                        }
                    }
                }
            }
        }
    }
}

/// The form to say something, for those who may; `at` is where the queue stands, for those who come from there.
pub(super) fn form(desk: &Desk<'_>, (event, direction): (&str, &str), at: Option<usize>) -> Markup {
    let language = desk.language;
    let id = |name: &str| format!("{name}-{direction}");
    let key = |key: &'static str| at.map(|_| key);
    html! {
        @if desk.may(Role::Reviewer) {
            form method="post" action={ "/console/review/" (event) "/" (direction) } {
                (desk.token())
                @if let Some(at) = at { input type="hidden" name="at" value=(at); }
                div class="fields" {
                    div class="field" {
                        label for=(id("principle")) { (language.say("Principle (optional)", "Principio (opcional)")) }
                        select id=(id("principle")) name="principle" {
                            option value="" { "–" }
                            @for one in Principle::ALL { option value=(one.id()) { (vocabulary::principle(language, one.id())) } }
                        }
                    }
                    div class="field" {
                        label for=(id("note")) { (language.say("Note (optional)", "Nota (opcional)")) }
                        input id=(id("note")) name="note" maxlength="500" autocomplete="off" aria-describedby=(id("note-hint"));
                        p class="hint" id=(id("note-hint")) { (language.say("No words of the conversation", "Sin palabras de la conversación")) }
                    }
                }
                div class="row" {
                    button name="mark" value="correct" data-key=[key("1")] { (language.say("Correct", "Correcta")) @if at.is_some() { " " kbd { "1" } } }
                    button name="mark" value="over-blocked" data-key=[key("2")] { (language.say("Stopped wrongly", "Detenida por error")) @if at.is_some() { " " kbd { "2" } } }
                    button name="mark" value="missed" data-key=[key("3")] { (language.say("Missed", "No detectada")) @if at.is_some() { " " kbd { "3" } } }
                    @if let Some(at) = at {
                        a class="button" data-key="s" href={ "/console/review?at=" (at + 1) } { (language.say("Skip", "Omitir")) " " kbd { "S" } }
                    }
                }
            }
        }
    }
}
