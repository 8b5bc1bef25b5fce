//! The overview: how much was asked, how much of it was refused, how often wrongly, and what that costs.

mod cards;
mod charts;
mod scope;
mod tables;

use super::Desk;
use super::language::Language;
use super::page::time;
use super::trouble::Trouble;
use crate::audit::sampling::Judged;
use crate::audit::search::Wanted;
use crate::audit::series::{By, Counts, Point, Series};
use crate::audit::store::Fault;
use crate::policy::tune::Rate;
use crate::response::Body;
use http::Response;
use maud::{Markup, html};
use scope::Scope;

/// What is counted, of the time and those that are looked at.
struct Seen {
    series: Series,
    judged: Vec<Judged>,
    principles: Vec<(String, Counts)>,
    judged_principles: Vec<(String, Rate)>,
    tenants: Vec<(String, Counts)>,
    audiences: Vec<(String, Counts)>,
    rules: Vec<(String, Counts)>,
}

/// What can be chosen, whatever is.
struct Choices {
    tenants: Vec<String>,
    audiences: Vec<String>,
}

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let scope = Scope::asked(desk.query, language)?;
    let title = language.say("Overview", "Resumen");
    let store = &desk.records.store;
    let unfilled = store.unfilled().await?;
    // Signing in is on record too, and is no decision.
    if unfilled == 0 && store.found(&Wanted::default(), 1).await?.is_empty() {
        return Ok(desk.page(title, &html! { h1 { (title) } (first_steps(language)) }));
    }
    let (seen, choices) = seen(desk, &scope).await?;
    let main = html! {
        h1 { (title) }
        (scope.chooser(language, &choices))
        @if unfilled > 0 {
            p class="note warn" role="status" { (filling(language, unfilled)) }
        }
        p class="quiet" {
            (language.say("From", "Desde")) " " (time(scope.range.first())) " " (language.say("to", "hasta")) " " (time(scope.range.until)) " UTC. "
            (language.say(
                "“Stopped” is what was refused, rewritten, or answered with help instead.",
                "«Detenido» es lo que se rechazó, se reescribió o se respondió con ayuda.",
            ))
        }
        (cards::all(desk, &scope, &seen))
        (charts::all(language, &seen))
        (tables::all(language, &scope, &seen))
    };
    Ok(desk.page(title, &main))
}

/// All that is asked of the store, at once: each table is read once, and those who could be chosen are those of the whole time.
async fn seen(desk: &Desk<'_>, scope: &Scope) -> Result<(Seen, Choices), Fault> {
    let (store, least) = (&desk.records.store, desk.records.audit.reviewers);
    let (range, whole) = (&scope.range, scope.unfiltered());
    let (series, judged, judged_principles, totals, anybodys) = tokio::try_join!(
        store.series(range),
        store.judged(range, least),
        store.stopped_by_principle(range, least),
        store.totals(range, &[By::Principle, By::Tenant, By::Audience, By::Rule]),
        async {
            // Where nobody was chosen, they are in the totals.
            if *range == whole { Ok(None) } else { store.totals(&whole, &[By::Tenant, By::Audience]).await.map(Some) }
        }
    )?;
    let mut totals = totals.into_iter();
    let [principles, tenants, audiences, rules] = [(); 4].map(|()| totals.next().unwrap_or_default());
    let [all_tenants, all_audiences] = match anybodys {
        Some(totals) => {
            let mut totals = totals.into_iter();
            [(); 2].map(|()| totals.next().unwrap_or_default())
        }
        None => [tenants.clone(), audiences.clone()],
    };
    let choices =
        Choices { tenants: names(all_tenants, &range.tenant), audiences: names(all_audiences, &range.audience) };
    Ok((Seen { series, judged, principles, judged_principles, tenants, audiences, rules }, choices))
}

/// The names that are counted, and the one that was chosen, in their order.
fn names(totals: Vec<(String, Counts)>, chosen: &Option<String>) -> Vec<String> {
    let mut names: Vec<String> = totals.into_iter().map(|(name, _)| name).filter(|name| !name.is_empty()).collect();
    names.extend(chosen.clone());
    names.sort();
    names.dedup();
    names
}

/// All that some points count together.
fn sum(points: &[Point], of: impl Fn(&Counts) -> u64) -> u64 {
    points.iter().map(|point| of(&point.counts)).sum()
}

/// What reviewers settled, over all of the time: of what was stopped, and of what passed.
fn settled<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> [Rate; 2] {
    let nothing = Rate { hits: 0, total: 0 };
    let add = |sum: Rate, more: Rate| Rate { hits: sum.hits + more.hits, total: sum.total + more.total };
    judged.into_iter().fold([nothing; 2], |[stopped, passed], one| [add(stopped, one.stopped), add(passed, one.passed)])
}

fn filling(language: Language, left: i64) -> String {
    let left = super::figure::count(language, left.unsigned_abs());
    match language {
        Language::En => format!("Older decisions are still being counted: up to {left} are not in these numbers yet."),
        Language::Es => format!("Aún se cuentan decisiones antiguas: hasta {left} no están todavía en estas cifras."),
    }
}

fn first_steps(language: Language) -> Markup {
    html! {
        section class="card" {
            h2 { (language.say("Nothing was decided yet", "Aún no se ha decidido nada")) }
            p {
                (language.say(
                    "As soon as the first request passes through nonnocere, this page shows how many are refused, why, and how long judging takes.",
                    "En cuanto la primera petición pase por nonnocere, esta página mostrará cuántas se rechazan, por qué y cuánto tarda la evaluación.",
                ))
            }
            ol {
                li {
                    (language.say(
                        "Have your chat application ask nonnocere instead of the LLM: only the address changes.",
                        "Haga que su aplicación de chat pregunte a nonnocere en lugar del LLM: solo cambia la dirección.",
                    ))
                }
                li {
                    (language.say("Send a question, harmless or not, and come back here.", "Envíe una pregunta, inofensiva o no, y vuelva aquí."))
                }
                li {
                    (language.say("See which rules are in force: ", "Vea qué reglas están en vigor: "))
                    a href="/console/policy" { (language.say("the policy", "la política")) } "."
                }
            }
        }
    }
}
