//! A draft is tried: its tests by the model, and all decisions on record by the draft. That goes on beside the pages; the page of it
//! looks again by itself.

use super::workshop::{Found, Trial, digest_of};
use super::{in_force, named, path_of, read};
use crate::audit::drafts::Draft;
use crate::audit::retention::ago;
use crate::console::Desk;
use crate::console::account::Role;
use crate::console::language::Language;
use crate::console::page::{badge, moved, time};
use crate::console::trouble::Trouble;
use crate::policy::Policy;
use crate::policy::backtest::Sample;
use crate::policy::expectation::Broken;
use crate::response::Body;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// How far back a draft is held against what is on record, in days, where nobody says otherwise.
const DAYS: u64 = 30;

/// The trial of what a draft says now.
pub(super) fn of(desk: &Desk<'_>, policy: &Policy) -> Option<Arc<Trial>> {
    desk.console.workshop.trial(&digest_of(policy))
}

/// Begins it.
pub(in crate::console) async fn begin(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let draft = named(desk).await?;
    let Ok(policy) = read(desk, &draft).await else { return Ok(moved(&path_of(&draft.name))) };
    let days =
        desk.form.get("days").trim().parse::<u64>().ok().filter(|days| (1..=3660).contains(days)).unwrap_or(DAYS);
    let kept = (desk.records.store.clone(), desk.records.audit.reviewers, ago(Duration::from_secs(days * 86_400)));
    if !desk.console.workshop.begin(Arc::clone(&desk.console.proxy), policy, kept) {
        return Err(Trouble::Busy);
    }
    Ok(moved(&format!("{}/trial", path_of(&draft.name))))
}

/// The part of a draft's page on it.
pub(super) fn card(desk: &Desk<'_>, draft: &Draft, policy: &Policy) -> Markup {
    let language = desk.language;
    let path = format!("{}/trial", path_of(&draft.name));
    html! {
        section class="card" {
            h2 { (language.say("Tests and backtest", "Pruebas y prueba retrospectiva")) }
            @match of(desk, policy).map(|trial| trial.found()) {
                None => p class="quiet" { (language.say(
                    "What the draft says now was not tried yet (since this proxy started).",
                    "Lo que dice ahora el borrador aún no se ha probado (desde que arrancó este proxy).",
                )) },
                Some(None) => p { a href=(path) { (language.say("It is being tried.", "Se está probando.")) } },
                Some(Some(Err(_))) => p class="wrong" { (language.say("It could not be tried; why is in the log.", "No se pudo probar; el motivo consta en el registro del servidor.")) },
                Some(Some(Ok(found))) => { (in_short(language, &found)) p { a href=(path) { (language.say("All that was found", "Todo lo encontrado")) } } }
            }
            @if desk.may(Role::Editor) {
                form method="post" action=(path) class="row" {
                    (desk.token())
                    div class="field" {
                        label for="days" { (language.say("Decisions of the last days", "Decisiones de los últimos días")) }
                        input type="number" id="days" name="days" min="1" max="3660" value=(DAYS);
                    }
                    button { (language.say("Try it", "Probarlo")) }
                }
            }
        }
    }
}

fn in_short(language: Language, found: &Found) -> Markup {
    let (tests, broken) = (found.policy.tests.len(), found.broken.len());
    html! {
        p {
            @if broken == 0 {
                strong { (tests) " " (language.say("tests hold", "pruebas se cumplen")) }
            } @else {
                strong class="wrong" { (broken) " " (language.say("of", "de")) " " (tests) " " (language.say("tests do not hold", "pruebas no se cumplen")) }
            }
            "; " (in_force::measured(language, &found.backtest.in_short(found.since))) "."
        }
        p class="quiet" {
            (language.say("Decisions since", "Decisiones desde")) " " (time(found.since)) "; "
            (language.say("tried", "probado")) " " (time(found.time)) ", "
            (format!("{:.1} s", found.took.as_secs_f64()))
        }
    }
}

/// What came out, or how far it is.
pub(in crate::console) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let (draft, language) = (named(desk).await?, desk.language);
    let Ok(policy) = read(desk, &draft).await else { return Ok(moved(&path_of(&draft.name))) };
    let Some(trial) = of(desk, &policy) else { return Ok(moved(&path_of(&draft.name))) };
    let title = format!("{} {}", language.say("Trial of", "Prueba de"), draft.name);
    let found = trial.found();
    let main = html! {
        h1 { (title) }
        p { a href=(path_of(&draft.name)) { (language.say("Back to the draft", "Volver al borrador")) } }
        @match &found {
            None => p role="status" {
                (language.say("It goes on; this page looks again by itself. Decisions read so far:", "Está en curso; esta página se actualiza sola. Decisiones leídas hasta ahora:"))
                " " (trial.read.load(Ordering::Relaxed))
            },
            Some(Err(why)) => {
                ({ tracing::error!(why, "a draft could not be tried"); "" })
                p class="wrong" role="alert" { (language.say("It could not be tried; why is in the log.", "No se pudo probar; el motivo consta en el registro del servidor.")) }
            }
            Some(Ok(found)) => { (in_short(language, found)) (broken(language, &found.broken)) (changes(language, found)) }
        }
    };
    let mut response = desk.page_with(StatusCode::OK, &title, &main);
    if found.is_none() {
        response.headers_mut().insert(REFRESH, HeaderValue::from_static("1"));
    }
    Ok(response)
}

fn broken(language: Language, broken: &[Broken]) -> Markup {
    html! {
        @if !broken.is_empty() {
            div class="scroll" tabindex="0" role="region" aria-labelledby="broken" {
                table {
                    caption id="broken" { (language.say("Tests that do not hold", "Pruebas que no se cumplen")) }
                    thead {
                        tr {
                            th scope="col" { (language.say("Test", "Prueba")) }
                            th scope="col" { (language.say("Expected", "Se espera")) }
                            th scope="col" { (language.say("Found", "Resultado")) }
                            th scope="col" { (language.say("Rule", "Regla")) }
                            th scope="col" class="number-cell" { (language.say("Violation", "Infracción")) }
                        }
                    }
                    tbody {
                        @for one in broken {
                            tr {
                                th scope="row" { (one.test.name) }
                                td { (one.test.expected.id()) }
                                td { (badge(language, one.action)) }
                                td { (one.rule.as_deref().unwrap_or("–")) }
                                td class="number-cell" { (format!("{:.3}", one.scores.violation)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

type Counts = BTreeMap<(String, String), u64>;

fn changes(language: Language, found: &Found) -> Markup {
    let backtest = &found.backtest;
    let [stopped, passed] = &backtest.reviewed;
    html! {
        (counts(language, (language.say("Newly refused", "Rechazadas de nuevo"), "refused"), &backtest.newly_stopped, *stopped))
        (counts(language, (language.say("Newly allowed", "Permitidas de nuevo"), "allowed"), &backtest.newly_passed, *passed))
        @if !backtest.samples.is_empty() {
            div class="scroll" tabindex="0" role="region" aria-labelledby="samples" {
                table {
                    caption id="samples" { (language.say("Some of them", "Algunas de ellas")) }
                    thead {
                        tr {
                            th scope="col" { (language.say("Decision", "Decisión")) }
                            th scope="col" { (language.say("Was", "Fue")) }
                            th scope="col" { (language.say("Would be", "Sería")) }
                            th scope="col" class="number-cell" { (language.say("Violation", "Infracción")) }
                            th scope="col" { (language.say("Reviewers", "Revisores")) }
                        }
                    }
                    tbody {
                        @for Sample { event, direction, before, after, violation, violates } in &backtest.samples {
                            tr {
                                th scope="row" { a href={ "/console/decisions/" (event) } { (event) } " " (direction) }
                                td { (badge(language, before)) }
                                td { (badge(language, after)) }
                                td class="number-cell" { (format!("{violation:.3}")) }
                                td {
                                    @match violates {
                                        Some(true) => (language.say("it violates", "infringe")),
                                        Some(false) => (language.say("it is harmless", "es inofensivo")),
                                        None => "–",
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn counts(language: Language, (title, id): (&str, &str), of: &Counts, [violating, harmless]: [u64; 2]) -> Markup {
    html! {
        h2 { (title) ": " (of.values().sum::<u64>()) }
        p { (language.say("Reviewers say of them:", "Los revisores dicen de ellas:")) " "
            (violating) " " (language.say("violate,", "infringen,")) " " (harmless) " " (language.say("are harmless", "son inofensivas")) }
        @if !of.is_empty() {
            table {
                caption class="unseen" id=(id) { (title) }
                thead {
                    tr {
                        th scope="col" { (language.say("Side", "Lado")) }
                        th scope="col" { (language.say("Principle", "Principio")) }
                        th scope="col" class="number-cell" { (language.say("Count", "Cantidad")) }
                    }
                }
                tbody {
                    @for ((direction, principle), count) in of {
                        tr { td { (direction) } td { (principle) } td class="number-cell" { (count) } }
                    }
                }
            }
        }
    }
}
