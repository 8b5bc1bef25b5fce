//! The tables of the overview: by principle, tenant, audience and rule.

use super::Seen;
use super::scope::Scope;
use crate::audit::series::Counts;
use crate::console::figure::{count, interval, part, rate};
use crate::console::language::Language;
use crate::console::principle::{meaning, name};
use crate::policy::taxonomy::Principle;
use maud::{Markup, html};

/// All of them; where there are neither tenants nor audiences, there is no table of them.
pub(super) fn all(language: Language, scope: &Scope, seen: &Seen) -> Markup {
    let tenant = (language.say("By tenant", "Por entidad"), language.say("Tenant", "Entidad"), "tenant");
    let audience =
        (language.say("By audience", "Por destinatarios"), language.say("Audience", "Destinatarios"), "audience");
    let rule = (language.say("By rule", "Por regla"), language.say("Rule", "Regla"), "rule");
    html! {
        (principles(language, scope, seen))
        @for (names, totals) in [(tenant, &seen.tenants), (audience, &seen.audiences), (rule, &seen.rules)] {
            @if totals.iter().any(|(name, _)| !name.is_empty()) {
                (table(language, scope, (names, totals)))
            }
        }
    }
}

/// An action, its names, and how it is counted.
type Done = (&'static str, &'static str, &'static str, fn(&Counts) -> u64);

/// What was done.
const DONE: [Done; 4] = [
    ("block", "Refused", "Rechazados", |counts| counts.block),
    ("escalate", "Help given", "Con ayuda", |counts| counts.escalate),
    ("rewrite", "Rewritten", "Reescritos", |counts| counts.rewrite + counts.redacted),
    ("flag", "Flagged", "Marcados", |counts| counts.flag),
];

fn heads(language: Language) -> Markup {
    html! {
        @for (_, english, spanish, _) in DONE {
            th scope="col" class="number-cell" { (language.say(english, spanish)) }
        }
    }
}

/// How often each thing was done; each number leads there, unless it is of those without a name.
fn cells(language: Language, scope: &Scope, (by, value, counts): (&str, &str, &Counts)) -> Markup {
    html! {
        @for (action, _, _, of) in DONE {
            td class="number-cell" {
                @if of(counts) == 0 || value.is_empty() {
                    (count(language, of(counts)))
                } @else {
                    a href=(scope.decisions(&[(by, value), ("action", action)])) { (count(language, of(counts))) }
                }
            }
        }
    }
}

fn principles(language: Language, scope: &Scope, seen: &Seen) -> Markup {
    let of = |principle: Principle| {
        let counts = seen.principles.iter().find(|(id, _)| id == principle.id()).map(|(_, counts)| *counts);
        let judged = seen.judged_principles.iter().find(|(id, _)| id == principle.id()).map(|(_, judged)| *judged);
        (counts.unwrap_or_default(), judged.filter(|judged| judged.total > 0))
    };
    html! {
        section {
            h2 id="by-principle" { (language.say("By principle", "Por principio")) }
            p class="quiet" {
                (language.say(
                    "The nine Principles of Medical Ethics of the American Medical Association in our own words, and harm outside medicine (G).",
                    "Los nueve Principios de Ética Médica de la American Medical Association en nuestras palabras, y el daño fuera de la medicina (G).",
                ))
            }
            div class="scroll" tabindex="0" role="region" aria-labelledby="by-principle" {
                table {
                    caption class="unseen" { (language.say("Decisions by the violated principle", "Decisiones por principio infringido")) }
                    thead {
                        tr {
                            th scope="col" { (language.say("Principle", "Principio")) }
                            (heads(language))
                            th scope="col" class="number-cell" { (language.say("Stopped wrongly", "Detenido por error")) }
                        }
                    }
                    tbody {
                        @for principle in Principle::ALL {
                            @let (counts, judged) = of(principle);
                            tr {
                                th scope="row" {
                                    a href=(scope.decisions(&[("principle", principle.id())])) { (principle.id()) " · " (name(language, principle)) }
                                    p class="hint" { (meaning(language, principle)) }
                                }
                                (cells(language, scope, ("principle", principle.id(), &counts)))
                                td class="number-cell" {
                                    @match judged {
                                        Some(judged) => { (part(language, judged)) p class="hint" { (interval(language, judged)) } }
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

type Names<'a> = (&'a str, &'a str, &'a str);

fn table(language: Language, scope: &Scope, ((title, head, by), totals): (Names<'_>, &[(String, Counts)])) -> Markup {
    html! {
        section {
            h2 id={ "by-" (by) } { (title) }
            div class="scroll tall" tabindex="0" role="region" aria-labelledby={ "by-" (by) } {
                table {
                    caption class="unseen" { (title) }
                    thead {
                        tr {
                            th scope="col" { (head) }
                            th scope="col" class="number-cell" { (language.say("Messages", "Mensajes")) }
                            th scope="col" class="number-cell" { (language.say("Stopped", "Detenidos")) }
                            (heads(language))
                        }
                    }
                    tbody {
                        @for (value, counts) in totals {
                            tr {
                                th scope="row" {
                                    @if value.is_empty() {
                                        span class="quiet" { (language.say("none", "ninguno")) }
                                    } @else {
                                        a href=(scope.decisions(&[(by, value)])) { (value) }
                                    }
                                }
                                td class="number-cell" { (count(language, counts.all)) }
                                td class="number-cell" { (part(language, rate(counts.stopped(), counts.all))) }
                                (cells(language, scope, (by, value, counts)))
                            }
                        }
                    }
                }
            }
        }
    }
}
