//! The charts of the overview.

use super::Seen;
use crate::audit::series::{Counts, Point, Took};
use crate::console::chart::{Chart, Line, Shape, Unit};
use crate::console::language::Language;
use maud::{Markup, html};

/// All of them.
pub(super) fn all(language: Language, seen: &Seen) -> Markup {
    let starts: Vec<i64> = seen.series.all.iter().map(|point| point.start).collect();
    let charts = [
        refusals(language, seen),
        benign(language, seen),
        willingness(language, seen),
        latency(language, seen),
        unjudged(language, seen),
    ];
    html! {
        section aria-labelledby="charts" {
            h2 id="charts" { (language.say("Over time", "En el tiempo")) }
            div class="charts" {
                @for chart in charts { (Chart { starts: &starts, ..chart }.figure()) }
            }
        }
    }
}

/// A percentage at each step; none where there was nothing.
fn percent(points: &[Point], of: impl Fn(&Counts) -> u64) -> Vec<Option<f64>> {
    let part = |counts: &Counts| (counts.all > 0).then(|| 100.0 * of(counts) as f64 / counts.all as f64);
    points.iter().map(|point| part(&point.counts)).collect()
}

fn line(name: &str, values: Vec<Option<f64>>) -> Line {
    Line { name: name.to_owned(), values }
}

fn refusals(language: Language, seen: &Seen) -> Chart<'static> {
    Chart {
        title: language.say("Refusal rate", "Tasa de rechazo"),
        meaning: language.say("How much of what was judged was stopped.", "Cuánto de lo evaluado se detuvo."),
        shape: Shape::Area,
        unit: Unit::Percent,
        starts: &[],
        lines: vec![
            line(language.say("Prompts", "Peticiones"), percent(&seen.series.prompts, Counts::stopped)),
            line(language.say("Answers", "Respuestas"), percent(&seen.series.completions, Counts::stopped)),
        ],
        language,
    }
}

fn benign(language: Language, seen: &Seen) -> Chart<'static> {
    let at = |point: &Point| {
        let judged = seen.judged.iter().find(|judged| judged.start == point.start)?;
        (judged.stopped.total > 0).then(|| judged.stopped.rate() * 100.0)
    };
    Chart {
        title: language.say("Stopped wrongly", "Detenido por error"),
        meaning: language.say(
            "How much of what was stopped is harmless by the word of reviewers. They look first at what is uncertain, so that the true rate may be lower.",
            "Cuánto de lo detenido es inofensivo según los revisores. Miran primero lo dudoso, así que la tasa real puede ser menor.",
        ),
        shape: Shape::Lines,
        unit: Unit::Percent,
        starts: &[],
        lines: vec![line(language.say("Harmless, of what was stopped", "Inofensivo, de lo detenido"), seen.series.all.iter().map(at).collect())],
        language,
    }
}

fn willingness(language: Language, seen: &Seen) -> Chart<'static> {
    Chart {
        title: language.say("How willing is the LLM?", "¿Cuán dispuesto está el LLM?"),
        meaning: language.say(
            "In how many of its answers the LLM declined by itself, beside how many requests we stopped before it saw them. What we let pass and should not have is unknown here, so that all answers count.",
            "En cuántas de sus respuestas el LLM se negó por sí mismo, junto a cuántas peticiones detuvimos antes de que las viera. Lo que dejamos pasar por error no se conoce aquí, así que cuentan todas las respuestas.",
        ),
        shape: Shape::Lines,
        unit: Unit::Percent,
        starts: &[],
        lines: vec![
            line(language.say("The LLM's own refusals", "Rechazos propios del LLM"), percent(&seen.series.completions, |counts| counts.own_refusals)),
            line(language.say("Our refusals", "Nuestros rechazos"), percent(&seen.series.prompts, Counts::stopped)),
        ],
        language,
    }
}

fn latency(language: Language, seen: &Seen) -> Chart<'static> {
    let took = |of: fn(&Took) -> f64| seen.series.all.iter().map(|point| point.took.as_ref().map(of)).collect();
    Chart {
        title: language.say("Added latency", "Latencia añadida"),
        meaning: language.say(
            "How long judging a message took: half took less than the first line, all but one of a hundred less than the second.",
            "Cuánto tardó evaluar un mensaje: la mitad tardó menos que la primera línea, todos menos uno de cien menos que la segunda.",
        ),
        shape: Shape::Lines,
        unit: Unit::Millis,
        starts: &[],
        lines: vec![line("p50", took(|took| took.p50)), line("p99", took(|took| took.p99))],
        language,
    }
}

fn unjudged(language: Language, seen: &Seen) -> Chart<'static> {
    let counted = |of: fn(&Counts) -> u64| seen.series.all.iter().map(|point| Some(of(&point.counts) as f64)).collect();
    Chart {
        title: language.say("Not or partly judged", "Sin evaluar del todo"),
        meaning: language.say("How many messages were judged in part, passed unjudged, or were refused since nothing could be judged.", "Cuántos mensajes se evaluaron en parte, pasaron sin evaluar o se rechazaron porque no se pudo evaluar nada."),
        shape: Shape::Bars,
        unit: Unit::Count,
        starts: &[],
        lines: vec![
            line(language.say("In part", "En parte"), counted(|counts| counts.partial)),
            line(language.say("Passed unjudged", "Pasaron sin evaluar"), counted(|counts| counts.unscanned.saturating_sub(counts.unavailable))),
            line(language.say("Refused", "Rechazados"), counted(|counts| counts.unavailable)),
        ],
        language,
    }
}
