//! The page of the decisions: searched by what is known of them, the newest first.

use super::Desk;
use super::filters::{self, Filters, link};
use super::language::Language;
use super::page::{badge, time};
use super::trouble::Trouble;
use super::{marks, moment, vocabulary};
use crate::audit::facts::Fact;
use crate::audit::label::Label;
use crate::audit::search::{Count, Wanted};
use crate::policy::message::Audience;
use crate::policy::taxonomy::{Principle, VIOLATION_TYPES};
use crate::response::Body;
use http::{Response, StatusCode};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Decisions of one page.
const PAGE: i64 = 50;

const ACTIONS: [&str; 6] = ["allow", "flag", "rewrite", "escalate", "block", "unavailable"];

/// Shows those that are looked for.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let title = language.say("Decisions", "Decisiones");
    let filters = filters::read(language, desk.query);
    let is_right = filters.wrong.is_empty();
    let found = if is_right { Some(Found::read(desk, &filters.wanted).await?) } else { None };
    let main = html! {
        h1 { (title) }
        @if !is_right {
            p class="wrong" role="alert" { (language.say("Some fields cannot be understood; they say what is expected.", "Algunos campos no se entienden; indican lo que se espera.")) }
        }
        (form(desk, &filters))
        @if let Some(found) = &found { (list(desk, &filters.wanted, found)) }
    };
    let status = if is_right { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(desk.page_with(status, title, &main))
}

struct Found {
    count: Count,
    rows: Vec<Fact>,
    labels: Vec<Label>,
    is_more: bool,
}

impl Found {
    async fn read(desk: &Desk<'_>, wanted: &Wanted) -> Result<Self, Trouble> {
        let store = &desk.records.store;
        let count = store.counted(wanted).await?;
        let mut rows = store.found(wanted, PAGE + 1).await?;
        let is_more = rows.len() as i64 > PAGE;
        rows.truncate(PAGE as usize);
        let events: Vec<&str> = rows.iter().map(|fact| fact.event.as_str()).collect();
        let labels = store.labels_among(&events).await?;
        Ok(Self { count, rows, labels, is_more })
    }
}

type Choices = Vec<(String, String)>;

fn form(desk: &Desk<'_>, filters: &Filters) -> Markup {
    let language = desk.language;
    let rules = desk.console.proxy.policy.snapshot();
    let principles = Principle::ALL.map(|one| (one.id().to_owned(), vocabulary::principle(language, one.id())));
    let types = VIOLATION_TYPES.iter().map(|one| (one.id.to_owned(), vocabulary::kind(language, one.id)));
    let audiences = Audience::ALL.map(|(id, _)| (id.to_owned(), vocabulary::audience(language, id).to_owned()));
    let directions = ["prompt", "completion"].map(|id| (id.to_owned(), vocabulary::direction(language, id).to_owned()));
    let scans = ["full", "partial", "none"].map(|id| (id.to_owned(), vocabulary::scan(language, id).to_owned()));
    let reviewed =
        [("yes", language.say("yes", "sí")), ("no", "no")].map(|(id, name)| (id.to_owned(), name.to_owned()));
    let actions = ACTIONS.map(|id| (id.to_owned(), action(language, id).to_owned()));
    let choice = |name: (&str, &str), choices: Choices| choice(desk, filters, name, &choices);
    let input = |name: (&'static str, &str), kind: &str| input(desk, filters, name, kind);
    html! {
        form method="get" action="/console/decisions" class="card" role="search" aria-label=(language.say("Search decisions", "Buscar decisiones")) {
            div class="filters" {
                (input(("from", language.say("From (UTC)", "Desde (UTC)")), "datetime-local"))
                (input(("until", language.say("Until (UTC)", "Hasta (UTC)")), "datetime-local"))
                (choice(("action", language.say("Action", "Acción")), actions.to_vec()))
                (choice(("direction", language.say("Direction", "Dirección")), directions.to_vec()))
                (choice(("principle", language.say("Principle", "Principio")), principles.to_vec()))
                (choice(("type", language.say("Type", "Tipo")), types.collect()))
                (choice(("audience", language.say("Audience", "Destinatarios")), audiences.to_vec()))
                (input(("tenant", language.say("Tenant", "Entidad")), "text"))
                (input(("event", language.say("Event", "Evento")), "text"))
            }
            details open[["low", "high", "policy", "rule", "scan", "reviewed"].iter().any(|name| !desk.query.get(name).is_empty())] {
                summary { (language.say("More", "Más")) }
                div class="filters" {
                    (input(("low", language.say("Lowest score", "Puntuación mínima")), "number"))
                    (input(("high", language.say("Highest score", "Puntuación máxima")), "number"))
                    (input(("rule", language.say("Rule", "Regla")), "text"))
                    (input(("policy", language.say("Policy (name@hash)", "Política (nombre@hash)")), "text"))
                    (choice(("scan", language.say("Judged", "Evaluado")), scans.to_vec()))
                    (choice(("reviewed", language.say("Reviewed", "Revisada")), reviewed.to_vec()))
                }
            }
            datalist id="rules" { @for rule in &rules.rules { option value=(rule.name) {} } }
            div class="row" {
                button class="primary" { (language.say("Search", "Buscar")) }
                a class="button" href="/console/decisions" { (language.say("Clear", "Limpiar")) }
            }
        }
    }
}

fn action(language: Language, id: &str) -> &str {
    match id {
        "allow" => language.say("allowed", "permitido"),
        "flag" => language.say("flagged", "marcado"),
        "rewrite" => language.say("rewritten", "reescrito"),
        "escalate" => language.say("help given", "ayuda dada"),
        "block" => language.say("refused", "rechazado"),
        "unavailable" => language.say("not judged", "no evaluado"),
        other => other,
    }
}

fn choice(desk: &Desk<'_>, filters: &Filters, (name, label): (&str, &str), choices: &Choices) -> Markup {
    let wrong = filters.wrong.get(name).copied();
    let hint = wrong.map(|_| format!("{name}-wrong"));
    let chosen = desk.query.get(name);
    let is_known = chosen.is_empty() || choices.iter().any(|(id, _)| id == chosen);
    html! {
        div class="field" {
            label for=(name) { (label) }
            select id=(name) name=(name) aria-invalid=[wrong.map(|_| "true")] aria-describedby=[hint.as_deref()] {
                option value="" { (desk.language.say("all", "todo")) }
                @for (id, shown) in choices {
                    option value=(id) selected[id == chosen] { (shown) }
                }
                @if !is_known { option value=(chosen) selected { (chosen) } }
            }
            @if let (Some(wrong), Some(hint)) = (wrong, &hint) { p class="wrong" id=(hint) { (wrong) } }
        }
    }
}

fn input(desk: &Desk<'_>, filters: &Filters, (name, label): (&'static str, &str), kind: &str) -> Markup {
    let wrong = filters.wrong.get(name).copied();
    let time = match name {
        "from" => filters.wanted.from,
        "until" => filters.wanted.until,
        _ => None,
    };
    // What a browser could not show in its own field is shown as it was sent.
    let kind = if wrong.is_some() { "text" } else { kind };
    let value = time.map_or_else(|| desk.query.get(name).to_owned(), moment::field_time);
    let is_score = kind == "number";
    html! {
        div class="field" {
            label for=(name) { (label) }
            input id=(name) name=(name) type=(kind) value=(value) step=[match kind { "number" => Some("any"), "datetime-local" => Some("1"), _ => None }]
                min=[is_score.then_some("0")] max=[is_score.then_some("1")] list=[(name == "rule").then_some("rules")]
                maxlength="200" autocomplete="off" aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong.map(|_| format!("{name}-wrong"))];
            @if let Some(wrong) = wrong { p class="hint wrong" id={ (name) "-wrong" } { (wrong) } }
        }
    }
}

fn list(desk: &Desk<'_>, wanted: &Wanted, found: &Found) -> Markup {
    let language = desk.language;
    let Count { n, more } = found.count;
    let more = if more { language.say("more than ", "más de ") } else { "" };
    let last = found.rows.last().map(|fact| fact.seq).filter(|_| found.is_more);
    let of: BTreeMap<(&str, &str), Vec<&Label>> = found.labels.iter().fold(BTreeMap::new(), |mut of, label| {
        of.entry((label.event.as_str(), label.direction.as_str())).or_insert_with(Vec::new).push(label);
        of
    });
    html! {
        p role="status" { strong { (more) (n) } " " (language.say("decisions, the newest first", "decisiones, las más recientes primero")) }
        @if found.rows.is_empty() {
            p class="note" { (language.say("No decision is like this.", "No hay decisiones así.")) }
        } @else {
            div class="scroll" tabindex="0" role="region" aria-labelledby="found" {
                table {
                    caption id="found" { (language.say("Decisions that were found", "Decisiones encontradas")) }
                    thead { tr { @for head in heads(language) { th scope="col" { (head) } } } }
                    tbody { @for fact in &found.rows { (row(desk, fact, of.get(&(fact.event.as_str(), fact.direction.as_str())))) } }
                }
            }
        }
        nav class="row" aria-label=(language.say("Pages of the list", "Páginas de la lista")) {
            @if wanted.before.is_some() { a class="button" rel="first" href=(link(desk.query, None)) { (language.say("Newest", "Más recientes")) } }
            @if last.is_some() { a class="button" rel="next" href=(link(desk.query, last)) { (language.say("Older", "Anteriores")) } }
        }
    }
}

fn heads(language: Language) -> [&'static str; 10] {
    [
        language.say("Time (UTC)", "Hora (UTC)"),
        language.say("Direction", "Dirección"),
        language.say("Action", "Acción"),
        language.say("Principle", "Principio"),
        language.say("Type", "Tipo"),
        language.say("Rule", "Regla"),
        language.say("Violation", "Infracción"),
        language.say("Tenant", "Entidad"),
        language.say("Audience", "Destinatarios"),
        language.say("Reviewers", "Revisores"),
    ]
}

fn row(desk: &Desk<'_>, fact: &Fact, labels: Option<&Vec<&Label>>) -> Markup {
    let language = desk.language;
    let labels: Vec<Label> = labels.into_iter().flatten().map(|label| (*label).clone()).collect();
    html! {
        tr {
            th scope="row" { a href={ "/console/decisions/" (fact.event) } { (time(fact.time)) } }
            td { (vocabulary::direction(language, &fact.direction)) }
            td { (badge(language, &fact.action)) }
            td { @if !fact.principle.is_empty() { (vocabulary::principle(language, &fact.principle)) } }
            td { @if !fact.kind.is_empty() { (vocabulary::kind(language, &fact.kind)) } }
            td { @if !fact.rule.is_empty() { code { (fact.rule) } } }
            td class="number-cell" {
                @if let Some(score) = fact.violation {
                    (format!("{score:.3}")) " "
                    meter min="0" max="1" value=(format!("{score:.3}")) aria-label=(language.say("Violation", "Infracción")) { (format!("{score:.3}")) }
                }
            }
            td { (fact.tenant) }
            td { (vocabulary::audience(language, &fact.audience)) }
            td { (marks::short(desk, &labels)) }
        }
    }
}
