//! The numbers of the overview that one looks at first.

use super::scope::Scope;
use super::{Seen, settled, sum};
use crate::audit::series::{Counts, Took};
use crate::console::Desk;
use crate::console::figure::{count, interval, millis, part, rate};
use crate::console::language::Language;
use maud::{Markup, html};

/// Labels that say little are fewer than this.
const FEW: usize = 30;

/// All of them.
pub(super) fn all(desk: &Desk<'_>, scope: &Scope, seen: &Seen) -> Markup {
    let language = desk.language;
    html! {
        section class="cards" aria-label=(language.say("In short", "En breve")) {
            (asked(language, scope, seen))
            (refused(language, scope, seen))
            (benign(language, seen))
            (helped(language, scope, seen))
            (unscanned(language, scope, seen))
            (degraded(language, scope, seen))
            (latency(language, seen))
            (in_force(desk))
        }
    }
}

fn both(seen: &Seen, of: fn(&Counts) -> u64) -> u64 {
    sum(&seen.series.prompts, of) + sum(&seen.series.completions, of)
}

fn card(title: &str, number: &str, more: &Markup) -> Markup {
    html! {
        div class="card" {
            h2 { (title) }
            span class="number" { (number) }
            (more)
        }
    }
}

fn asked(language: Language, scope: &Scope, seen: &Seen) -> Markup {
    let [prompts, completions] =
        [&seen.series.prompts, &seen.series.completions].map(|points| sum(points, |counts| counts.all));
    let more = html! {
        p class="quiet" {
            a href=(scope.decisions(&[("direction", "prompt")])) { (language.say("Look at them", "Verlas")) } "; "
            (language.say("answers judged:", "respuestas evaluadas:")) " "
            a href=(scope.decisions(&[("direction", "completion")])) { (count(language, completions)) }
        }
    };
    card(language.say("Requests judged", "Peticiones evaluadas"), &count(language, prompts), &more)
}

fn refused(language: Language, scope: &Scope, seen: &Seen) -> Markup {
    let of = |points| rate(sum(points, Counts::stopped), sum(points, |counts| counts.all));
    let (prompts, completions) = (of(&seen.series.prompts), of(&seen.series.completions));
    let done = |action: &str, of: fn(&Counts) -> u64| {
        html! { a href=(scope.decisions(&[("action", action)])) { (count(language, both(seen, of))) } }
    };
    let more = html! {
        @if prompts.total > 0 {
            p class="quiet" { (interval(language, prompts)) }
        }
        p class="quiet" { (language.say("Answers:", "Respuestas:")) " " (part(language, completions)) }
        p class="quiet" {
            (language.say("Refused:", "Rechazados:")) " " (done("block", |counts| counts.block)) "; "
            (language.say("rewritten:", "reescritos:")) " " (done("rewrite", |counts| counts.rewrite + counts.redacted))
        }
    };
    card(language.say("Refusal rate", "Tasa de rechazo"), &part(language, prompts), &more)
}

fn benign(language: Language, seen: &Seen) -> Markup {
    let [stopped, passed] = settled(&seen.judged);
    let more = html! {
        @if stopped.total == 0 {
            p class="quiet" {
                (language.say("No reviewer has settled yet whether what was stopped was harmless.", "Ningún revisor ha aclarado aún si lo detenido era inofensivo."))
            }
        } @else {
            p class="quiet" {
                (language.say("Harmless, of what was stopped and reviewed:", "Inofensivos, de lo detenido y revisado:")) " " (interval(language, stopped))
                @if stopped.total < FEW {
                    ". " (language.say("Few labels: not much can be said yet.", "Pocas etiquetas: aún no se puede decir mucho."))
                }
            }
        }
        @if passed.total > 0 {
            p class="quiet" {
                (language.say("Missed, of what passed and was reviewed:", "Omitidos, de lo que pasó y se revisó:")) " "
                (part(language, passed)) " (" (count(language, passed.total as u64)) ")"
            }
        }
    };
    card(language.say("Stopped wrongly", "Detenido por error"), &part(language, stopped), &more)
}

fn helped(language: Language, scope: &Scope, seen: &Seen) -> Markup {
    let more = html! {
        p class="quiet" {
            a href=(scope.decisions(&[("action", "escalate")])) { (language.say("Look at them", "Verlos")) } ". "
            (language.say("Someone may be in danger and was given help.", "Alguien puede estar en peligro y recibió ayuda."))
        }
    };
    let helped = both(seen, |counts| counts.escalate);
    card(language.say("Cries for help answered", "Peticiones de auxilio atendidas"), &count(language, helped), &more)
}

fn unscanned(language: Language, scope: &Scope, seen: &Seen) -> Markup {
    // What was refused since it could not be judged is counted beside this.
    let passed = both(seen, |counts| counts.unscanned.saturating_sub(counts.unavailable));
    let link = |scan: &str, n: u64| html! { a href=(scope.decisions(&[("scan", scan)])) { (count(language, n)) } };
    let partial = both(seen, |counts| counts.partial);
    let more = html! {
        p class="quiet" {
            (language.say("passed unjudged:", "pasaron sin evaluar:")) " " (link("none", passed)) "; "
            (language.say("judged in part (images, files):", "evaluados en parte (imágenes, archivos):")) " " (link("partial", partial))
        }
    };
    card(language.say("Not or partly judged", "Sin evaluar del todo"), &count(language, passed + partial), &more)
}

fn degraded(language: Language, scope: &Scope, seen: &Seen) -> Markup {
    let refused = both(seen, |counts| counts.unavailable);
    let more = html! {
        p class="quiet" {
            @if refused > 0 {
                span class="badge degraded" { (language.say("degraded", "degradado")) } " "
                a href=(scope.decisions(&[("action", "unavailable")])) { (language.say("Look at them", "Verlos")) } ". "
            }
            (language.say("Refused since nothing could be judged.", "Rechazados porque no se pudo evaluar nada."))
        }
    };
    card(language.say("Degraded", "Degradado"), &count(language, refused), &more)
}

fn latency(language: Language, seen: &Seen) -> Markup {
    let told = |took: &Option<Took>| match took {
        None => "–".to_owned(),
        Some(took) => format!("{} / {}", millis(language, took.p50), millis(language, took.p99)),
    };
    let [prompts, completions] = &seen.series.took;
    let more = html! {
        p class="quiet" {
            (language.say("Half of the prompts / all but one of a hundred (p50 / p99).", "La mitad de las peticiones / todas menos una de cien (p50 / p99).")) " "
            (language.say("Answers:", "Respuestas:")) " " (told(completions))
        }
    };
    card(language.say("Added latency", "Latencia añadida"), &told(prompts), &more)
}

fn in_force(desk: &Desk<'_>) -> Markup {
    let (language, proxy) = (desk.language, &desk.console.proxy);
    let in_force = proxy.policy.in_force();
    let standing = in_force.standing.as_ref();
    html! {
        div class="card" {
            h2 { (language.say("In force", "En vigor")) }
            dl class="facts" {
                dt { (language.say("Policy", "Política")) }
                dd {
                    a href="/console/policy" { code { (in_force.policy.to_string()) } }
                    @if let Some(version) = standing.and_then(|standing| standing.stable) { " (v" (version) ")" }
                }
                @if let Some((canary, share)) = &in_force.canary {
                    dt { (language.say("Canary", "Canario")) }
                    dd { code { (canary.to_string()) } ", " (share) (language.say("% of the conversations", " % de las conversaciones")) }
                }
                @if let Some(version) = standing.and_then(|standing| standing.shadow) {
                    dt { (language.say("In the shadow", "En la sombra")) }
                    dd { "v" (version) }
                }
                dt { (language.say("Model", "Modelo")) }
                dd { a href="/console/about" { code { (proxy.guard.model()) } } }
            }
        }
    }
}
