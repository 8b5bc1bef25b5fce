//! The page of one event: what was decided on its messages, by what, and what reviewers say of it.

use super::Desk;
use super::account::Role;
use super::deciding::{self, Deciding, Sighted, rule_named};
use super::kept_text::{self, Shown};
use super::page::{badge, time};
use super::trouble::Trouble;
use super::{filters, marks, vocabulary};
use crate::audit::decision::Decision;
use crate::audit::label::Label;
use crate::classify::Scores;
use crate::policy::Direction;
use crate::response::Body;
use http::{Response, StatusCode};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// All that is on record of an event.
pub(super) struct Event {
    pub(super) id: String,
    pub(super) decisions: Vec<Decision>,
    pub(super) labels: Vec<Label>,
    policies: BTreeMap<String, Deciding>,
}

impl Event {
    /// The event that the path names.
    pub(super) async fn named(desk: &Desk<'_>) -> Result<Self, Trouble> {
        Self::read(desk, desk.param("event")).await
    }

    pub(super) async fn read(desk: &Desk<'_>, id: &str) -> Result<Self, Trouble> {
        if !filters::is_event(id) {
            return Err(Trouble::NotFound);
        }
        let decisions = desk.records.store.decisions_of(id).await?;
        if decisions.is_empty() {
            return Err(Trouble::NotFound);
        }
        let labels = desk.records.store.labels_of(id).await?;
        let policies = deciding::of(desk, &decisions).await;
        Ok(Self { id: id.to_owned(), decisions, labels, policies })
    }

    /// What reviewers said of its messages of one direction.
    pub(super) fn labels(&self, direction: &str) -> Vec<Label> {
        self.labels.iter().filter(|label| label.direction == direction).cloned().collect()
    }

    /// The policy of one of its decisions.
    pub(super) fn policy(&self, decision: &Decision) -> Option<&Deciding> {
        self.policies.get(&decision.policy)
    }
}

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let event = Event::named(desk).await?;
    Ok(page(desk, StatusCode::OK, (&event, None)))
}

/// Shows its kept text, on record.
pub(super) async fn text(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let event = Event::named(desk).await?;
    let shown = kept_text::read(desk, &event, None).await?;
    let status = shown.status();
    Ok(page(desk, status, (&event, Some(&shown))))
}

fn page(desk: &Desk<'_>, status: StatusCode, (event, shown): (&Event, Option<&Shown>)) -> Response<Body> {
    let language = desk.language;
    let title = language.say("Decision", "Decisión");
    let directions: BTreeSet<&str> = event.decisions.iter().map(|decision| decision.direction.as_str()).collect();
    let main = html! {
        p { a href="/console/decisions" { (language.say("All decisions", "Todas las decisiones")) } }
        h1 { (title) }
        p { (language.say("Event", "Evento")) " " code { (event.id) } }
        (timeline(desk, event))
        (kept_text::card(desk, event, (&format!("/console/decisions/{}/text", event.id), shown)))
        @for decision in &event.decisions { (record(desk, event, decision)) }
        // Prompts come before answers.
        @for direction in directions.into_iter().rev() {
            @let labels = event.labels(direction);
            section class="card" {
                h2 { (language.say("Reviewers", "Revisores")) ": " (vocabulary::direction(language, direction)) }
                (marks::table(desk, &labels))
                (marks::form(desk, (&event.id, direction), None))
            }
        }
    };
    desk.page_with(status, title, &main)
}

/// What happened, as far as it is on record.
fn timeline(desk: &Desk<'_>, event: &Event) -> Markup {
    let language = desk.language;
    let of =
        |direction: &str| event.decisions.iter().filter(|decision| decision.direction == direction).collect::<Vec<_>>();
    let (prompts, completions) = (of("prompt"), of("completion"));
    let is_stopped = prompts.iter().any(|decision| matches!(decision.action.as_str(), "block" | "unavailable"));
    let step = |decision: &Decision| {
        html! {
            (badge(language, &decision.action)) " " (time(decision.time))
            @if let Some(took) = decision.took_ms { " · " (format!("{took:.1} ms")) }
        }
    };
    html! {
        section class="card" {
            h2 { (language.say("What happened", "Lo que ocurrió")) }
            ol class="timeline" {
                @for prompt in &prompts { li { strong { (language.say("Prompt judged", "Mensaje evaluado")) } " " (step(prompt)) } }
                li {
                    strong { (language.say("LLM", "LLM")) } " "
                    @if !completions.is_empty() {
                        (language.say("answered, as the record of its answer shows", "respondió, como muestra el registro de su respuesta"))
                    } @else if is_stopped {
                        (language.say("no answer is on record: the prompt was stopped", "no consta respuesta: el mensaje se detuvo"))
                    } @else {
                        (language.say("no answer is on record", "no consta respuesta"))
                    }
                }
                @for completion in &completions { li { strong { (language.say("Answer judged", "Respuesta evaluada")) } " " (step(completion)) } }
            }
        }
    }
}

/// One record, whole.
pub(super) fn record(desk: &Desk<'_>, event: &Event, decision: &Decision) -> Markup {
    let language = desk.language;
    let title = match decision.direction.as_str() {
        "prompt" => language.say("The prompt", "El mensaje"),
        _ => language.say("The answer", "La respuesta"),
    };
    html! {
        section class="card" {
            h2 { (title) " " (badge(language, &decision.action)) }
            dl class="facts" { (facts(desk, event, decision)) }
            (judged(desk, event, decision))
        }
    }
}

fn fact(name: &str, value: Markup) -> Markup {
    html! { dt { (name) } dd { (value) } }
}

fn facts(desk: &Desk<'_>, event: &Event, decision: &Decision) -> Markup {
    let language = desk.language;
    let policy = event.policy(decision);
    let named = |name: &str| match policy {
        Some(deciding) => rule_named(language, &deciding.policy, name),
        None => html! { code { (name) } },
    };
    let version = policy.filter(|deciding| deciding.is_it).and_then(|deciding| deciding.version);
    let maybe = |name: &str, value: Option<Markup>| html! { @if let Some(value) = value { (fact(name, value)) } };
    let text = |text: &Option<String>| text.as_ref().map(|text| html! { (text) });
    let redacted =
        decision.redacted.iter().map(|(kind, count)| format!("{kind}: {count}")).collect::<Vec<_>>().join(", ");
    html! {
        (fact(language.say("Time (UTC)", "Hora (UTC)"), time(decision.time)))
        (fact(language.say("Rule", "Regla"), decision.rule.as_deref().map_or_else(|| html! { (language.say("no rule applied", "no se aplicó ninguna regla")) }, named)))
        (maybe(language.say("Principle", "Principio"), decision.principle.as_deref().map(|id| html! { (vocabulary::principle(language, id)) })))
        (maybe(language.say("Type", "Tipo"), decision.kind.as_deref().map(|id| html! { (vocabulary::kind(language, id)) })))
        (maybe(language.say("In the shadow", "En la sombra"), decision.shadow.as_ref().map(|[effect, rule]| html! { (language.say("would have been", "habría sido")) " " code { (effect) } " " (language.say("by", "por")) " " code { (rule) } })))
        (maybe(language.say("Second opinion", "Segunda opinión"), decision.opinion.as_deref().map(|id| html! { (vocabulary::opinion(language, id)) })))
        (maybe(language.say("Identifiers taken out", "Identificadores retirados"), (!redacted.is_empty()).then(|| html! { (redacted) })))
        (fact(language.say("Judged", "Evaluado"), html! { (vocabulary::scan(language, &decision.scan)) }))
        (fact(language.say("Policy", "Política"), html! {
            a href="/console/policy" { code { (decision.policy) } }
            @if let Some(version) = version { " v" (version) }
        }))
        (fact(language.say("Model", "Modelo"), html! { code { (decision.model) } }))
        (maybe(language.say("Tenant", "Entidad"), text(&decision.tenant)))
        (maybe(language.say("Audience", "Destinatarios"), decision.audience.as_deref().map(|id| html! { (vocabulary::audience(language, id)) })))
        (maybe(language.say("User (pseudonym)", "Usuario (seudónimo)"), decision.user.as_deref().map(|user| html! { code { (user) } })))
        (fact(language.say("Came by", "Llegó por"), html! { code { (decision.surface) } @if decision.stream { " · " (language.say("streamed", "en flujo")) } }))
        (maybe(language.say("Status of the answer", "Estado de la respuesta"), decision.status.map(|status| html! { (status) })))
        (maybe(language.say("Judging took", "La evaluación tardó"), decision.took_ms.map(|took| html! { (format!("{took:.1} ms")) })))
        @if decision.part2 {
            (fact(language.say("Treatment records", "Registros de tratamiento"), html! { "42 CFR Part 2" }))
        }
    }
}

/// The scores against the thresholds of the policy that decided.
fn judged(desk: &Desk<'_>, event: &Event, decision: &Decision) -> Markup {
    let language = desk.language;
    let Some(deciding) = event.policy(decision) else { return html! {} };
    let names = [
        (&decision.alone, language.say("by itself", "por sí solo"), false),
        (&decision.context, language.say("in its conversation", "en su conversación"), true),
        (&decision.said, language.say("said earlier by the LLM", "dicho antes por el LLM"), false),
    ];
    let seen: Vec<(Scores, &str, bool)> = names
        .into_iter()
        .filter_map(|(seen, name, in_context)| seen.as_ref().map(|seen| (seen.scores(), name, in_context)))
        .collect();
    // What the LLM said earlier is held against the rules for answers.
    let part = |direction: Direction| {
        let is_said = |name: &str| name == names[2].1;
        let is_of = |name: &str| match decision.direction.as_str() {
            "prompt" => is_said(name) == (direction == Direction::Completion),
            _ => direction == Direction::Completion,
        };
        let of = seen.iter().filter(|(_, name, _)| is_of(name));
        of.map(|(scores, name, in_context)| Sighted { name, scores, in_context: *in_context }).collect::<Vec<_>>()
    };
    html! {
        @if !deciding.is_it {
            p class="note" { (language.say(
                "The policy that decided is not kept; the thresholds are those of the policy in force:",
                "La política que decidió no se conserva; los umbrales son los de la política en vigor:",
            )) " " code { (deciding.policy.to_string()) } }
        }
        @for direction in [Direction::Prompt, Direction::Completion] {
            @let sighted = part(direction);
            @if !sighted.is_empty() {
                div class="scroll" tabindex="0" role="region" aria-label=(language.say("Scores", "Puntuaciones")) {
                    (deciding::scores(language, (&deciding.policy, direction), &sighted))
                }
            }
        }
        @if seen.is_empty() { p class="quiet" { (language.say("No scores are on record.", "No constan puntuaciones.")) } }
    }
}

/// Whether whoever looks may read texts.
pub(super) fn may_read(desk: &Desk<'_>) -> bool {
    desk.may(Role::Reviewer)
}
