//! The page on which a text is tried: by the policy in force and by those that might come after it: [`candidates`]. Nothing of it is kept.

mod candidates;

use super::Desk;
use super::deciding::{self, Sighted, rule_named};
use super::kept_text::{Said, WITHIN, inputs, quoted, visible};
use super::language::Language;
use super::page::badge;
use super::trouble::Trouble;
use super::vocabulary;
use crate::classify::Scores;
use crate::classify::pool::Unavailable;
use crate::detect;
use crate::guard::trial::{Trial, Tried, Untried};
use crate::guard::weights::Weights;
use crate::guard::{Sight, Verdict};
use crate::policy::message::{Audience, Languages, Reader, is_tenant};
use crate::policy::rule::{Rewrite, Score};
use crate::policy::{Action, Direction, Policy};
use crate::response::Body;
use candidates::{Candidate, NoPolicy};
use http::{Response, StatusCode};
use maud::{Markup, html};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest text, in bytes.
const LONGEST: usize = 64 * 1024;

const PATH: &str = "/console/try";

/// Shows the form, and once something was tried, what came of it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    if !desk.is_post() {
        return page(desk, StatusCode::OK, (&BTreeMap::new(), html! {})).await;
    }
    let trial = match read(desk) {
        Ok(trial) => trial,
        Err(wrong) => return page(desk, StatusCode::UNPROCESSABLE_ENTITY, (&wrong, html! {})).await,
    };
    let candidates = candidates::of(desk).await?;
    let tried = match desk.console.trying.try_acquire() {
        Ok(_one) => found(desk, &trial, candidates).await,
        Err(_) => Err(Untried::Unavailable(Unavailable::QueueFull)),
    };
    let (status, found) = match tried {
        Ok(found) => (StatusCode::OK, found.shown(desk.language)),
        Err(Untried::Invalid(_)) => {
            let wrong = desk.language.say("This is no conversation.", "Esto no es una conversación.");
            let wrong = BTreeMap::from([("text", wrong)]);
            return page(desk, StatusCode::UNPROCESSABLE_ENTITY, (&wrong, html! {})).await;
        }
        Err(Untried::Unavailable(why)) => {
            tracing::warn!(?why, "the model could not judge what was tried");
            let told = match why {
                Unavailable::QueueFull | Unavailable::Deadline => desk.language.say(
                    "The model is busy with what callers ask. Try again in a moment.",
                    "El modelo está ocupado con lo que piden quienes llaman. Inténtelo de nuevo en un momento.",
                ),
                Unavailable::Failed(_) => desk.language.say(
                    "The model cannot judge now. Try again in a moment; callers are answered as the policy says.",
                    "El modelo no puede evaluar ahora. Inténtelo de nuevo en un momento; a quienes llaman se les responde como indica la política.",
                ),
            };
            (StatusCode::SERVICE_UNAVAILABLE, html! { p class="wrong" role="alert" { (told) } })
        }
    };
    page(desk, status, (&BTreeMap::new(), found)).await
}

type Wrong = BTreeMap<&'static str, &'static str>;

/// What is tried, as the form says it.
struct Asked {
    trial: Trial,
    said: Vec<Said>,
}

fn read(desk: &Desk<'_>) -> Result<Asked, Wrong> {
    let (form, language) = (desk.form, desk.language);
    let (text, completion) = (form.get("text"), form.get("completion"));
    let mut wrong = Wrong::new();
    if text.len() + completion.len() > LONGEST {
        wrong.insert(
            "text",
            language.say("At most 64 KiB can be tried at once.", "Se pueden probar como máximo 64 KiB a la vez."),
        );
    }
    let mut said = match form.get("kind") {
        "conversation" => turns(text),
        _ => vec![("user", text.to_owned())],
    };
    said.retain(|(_, text)| !text.trim().is_empty());
    if said.is_empty() {
        wrong.insert("text", language.say("Write what is to be tried.", "Escriba lo que quiere probar."));
    }
    let completion = (form.get("kind") == "answer").then(|| completion.to_owned());
    if completion.as_ref().is_some_and(|completion| completion.trim().is_empty()) {
        wrong.insert(
            "completion",
            language.say("Write the answer that is to be tried.", "Escriba la respuesta que quiere probar."),
        );
    }
    let tenant = Some(form.get("tenant").trim()).filter(|tenant| !tenant.is_empty());
    if tenant.is_some_and(|tenant| !is_tenant(tenant)) {
        wrong.insert(
            "tenant",
            language.say(
                "Expected a name of a-z, 0-9, \".\", \"_\" and \"-\".",
                "Se espera un nombre con a-z, 0-9, \".\", \"_\" y \"-\".",
            ),
        );
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let messages = said.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
    let reader = Reader {
        languages: Languages::accepted(language.id()),
        audience: Audience::named(form.get("audience")),
        tenant: tenant.map(Arc::from),
        part2: false,
    };
    let mut all: Vec<Said> = said.into_iter().map(|(role, text)| Said { role: role.to_owned(), text }).collect();
    all.extend(completion.clone().map(|text| Said { role: "assistant".to_owned(), text }));
    Ok(Asked { trial: Trial { messages, completion, reader }, said: all })
}

/// The turns of a conversation: a line that begins with a role begins one; what stands before the first is the user's.
fn turns(text: &str) -> Vec<(&'static str, String)> {
    let mut turns: Vec<(&'static str, String)> = Vec::new();
    for line in text.lines() {
        let begins = ["user", "assistant", "system"].into_iter().find_map(|role| {
            let (head, rest) = line.trim_start().split_once(':')?;
            head.eq_ignore_ascii_case(role).then(|| (role, rest.trim_start().to_owned()))
        });
        match (begins, turns.last_mut()) {
            (Some(turn), _) => turns.push(turn),
            (None, Some((_, text))) => {
                text.push('\n');
                text.push_str(line);
            }
            (None, None) => turns.push(("user", line.to_owned())),
        }
    }
    turns.iter_mut().for_each(|(_, text)| text.truncate(text.trim_end().len()));
    turns
}

/// What one policy makes of it.
struct Outcome {
    policy: Arc<Policy>,
    /// What the policy is: in force, a canary …
    is: String,
    tried: Tried,
}

struct Found {
    outcomes: Vec<Outcome>,
    /// A draft that is to be tried, and cannot be.
    no_policy: Option<NoPolicy>,
    readings: Vec<(String, String)>,
    said: Vec<Said>,
    heavy: Option<(usize, Weights)>,
    /// Whether a rule would have asked the second model.
    would_ask: bool,
    text: String,
    reader: Reader,
}

async fn found(
    desk: &Desk<'_>,
    asked: &Asked,
    (candidates, no_policy): (Vec<Candidate>, Option<NoPolicy>),
) -> Result<Found, Untried> {
    let guard = &desk.console.proxy.guard;
    let mut outcomes = Vec::new();
    for (policy, is) in candidates {
        let tried = guard.try_out(&policy, &asked.trial).await?;
        outcomes.push(Outcome { policy, is, tried });
    }
    let said: Vec<Said> =
        asked.said.iter().map(|said| Said { role: said.role.clone(), text: said.text.clone() }).collect();
    let inputs = inputs(&said, "");
    let first = outcomes.first();
    let rule =
        first.and_then(|one| one.policy.rules.iter().find(|rule| one.tried.verdict.rule.as_ref() == Some(&rule.name)));
    let score = rule.map(|rule| rule.score).filter(|score| *score != Score::Pattern).unwrap_or(Score::Violation);
    // An answer that is tried is what is looked at.
    let only = if asked.trial.completion.is_some() { inputs.len().saturating_sub(1) } else { 0 };
    let looked: Vec<_> = inputs.into_iter().skip(only).collect();
    let heavy =
        guard.heaviest(&looked, score, WITHIN).await.ok().flatten().map(|(place, weights)| (place + only, weights));
    let text = said.last().map(|said| said.text.clone()).unwrap_or_default();
    let would_ask = outcomes.iter().any(|one| one.policy.may_want_opinions());
    let readings = readings(desk.language, &said);
    Ok(Found { outcomes, no_policy, readings, said, heavy, would_ask, text, reader: asked.trial.reader.clone() })
}

/// What is said behind the characters of the texts.
fn readings(language: Language, said: &[Said]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for one in said {
        let read = detect::read(&one.text);
        if read.visible.text() != one.text {
            found.push((
                language.say("as a reader sees it", "como lo ve quien lee").to_owned(),
                read.visible.text().to_owned(),
            ));
        }
        found.extend(read.payloads.into_iter().map(|payload| (format!("{:?}", payload.encoding), payload.text)));
    }
    // Some letters apart read as words by chance: what is shown is bounded.
    found.truncate(12);
    found
}

impl Found {
    fn shown(&self, language: Language) -> Markup {
        html! {
            section class="card" id="found" {
                h2 { (language.say("What came of it", "El resultado")) }
                p class="note" { (language.say("This is not recorded, and not kept.", "Esto no se registra ni se guarda.")) }
                @if self.would_ask {
                    p class="note" { (language.say("A rule may ask a second model near its threshold. None is asked here.", "Cerca de su umbral, una regla puede consultar a un segundo modelo. Aquí no se consulta.")) }
                }
                div class={ "verdicts" @if self.outcomes.len() + usize::from(self.no_policy.is_some()) > 1 { " several" } } {
                    @for (place, one) in self.outcomes.iter().enumerate() {
                        (self.outcome(language, one))
                        // A draft stands next to what is in force.
                        @if let Some(no_policy) = self.no_policy.as_ref().filter(|_| place == 0) { (no_policy.shown(language)) }
                    }
                }
            }
            @if !self.readings.is_empty() {
                section class="card" {
                    h2 { (language.say("What it says behind its characters", "Lo que dice tras sus caracteres")) }
                    dl class="facts" { @for (how, text) in &self.readings { dt { (how) } dd { bdi { (visible(text)) } } } }
                }
            }
            section class="card" {
                h2 { (language.say("Words that mattered", "Palabras que influyeron")) }
                (quoted(language, &self.said, self.heavy.as_ref()))
            }
        }
    }

    fn outcome(&self, language: Language, Outcome { policy, is, tried }: &Outcome) -> Markup {
        let verdict = &tried.verdict;
        html! {
            article class="verdict" {
                h3 { code { (policy.to_string()) } " " span class="quiet" { (is) } }
                p { (badge(language, verdict.action.id())) }
                dl class="facts" {
                    dt { (language.say("Rule", "Regla")) }
                    dd {
                        @match &verdict.rule {
                            Some(rule) => (rule_named(language, policy, rule)),
                            None => (language.say("no rule applied", "no se aplicó ninguna regla")),
                        }
                    }
                    @if let Some(kind) = verdict.violation() {
                        dt { (language.say("Principle", "Principio")) } dd { (vocabulary::principle(language, kind.principle.id())) }
                        dt { (language.say("Type", "Tipo")) } dd { (vocabulary::kind(language, kind.id)) }
                    }
                    @if let Some(shadow) = &verdict.shadow {
                        dt { (language.say("In the shadow", "En la sombra")) } dd { code { (shadow.effect.id()) } " " (language.say("by", "por")) " " code { (shadow.rule) } }
                    }
                    dt { (language.say("Judged", "Evaluado")) } dd { (vocabulary::scan(language, verdict.scan.id())) }
                    @for (kind, count) in &verdict.redacted { dt { (language.say("Taken out", "Retirado")) } dd { (kind.id()) ": " (count) } }
                }
                (read_by_caller(language, tried))
                (self.scores(language, policy, verdict))
            }
        }
    }

    fn scores(&self, language: Language, policy: &Policy, verdict: &Verdict) -> Markup {
        let name = |sight: Sight| match sight {
            Sight::Alone => language.say("by itself", "por sí solo"),
            Sight::Context => language.say("in its conversation", "en su conversación"),
            Sight::Said => language.say("said earlier by the LLM", "dicho antes por el LLM"),
        };
        let of = |direction: Direction| -> Vec<Sighted<'_>> {
            let is_of = |sight: Sight| {
                (sight == Sight::Said || verdict.direction == Direction::Completion)
                    == (direction == Direction::Completion)
            };
            let seen = verdict.seen.iter().filter(|(sight, _)| is_of(**sight));
            seen.map(|(sight, scores)| Sighted { name: name(*sight), scores, in_context: *sight == Sight::Context })
                .collect()
        };
        html! {
            @for direction in [Direction::Prompt, Direction::Completion] {
                @let sighted = of(direction);
                @if !sighted.is_empty() {
                    div class="scroll" tabindex="0" role="region" aria-label=(language.say("Scores", "Puntuaciones")) {
                        (deciding::scores(language, (policy, direction), &sighted))
                    }
                    (self.patterns(language, (policy, direction)))
                }
            }
        }
    }

    /// Rules that look for words, and found some in the last text.
    fn patterns(&self, language: Language, (policy, direction): (&Policy, Direction)) -> Markup {
        let evidence = crate::policy::Evidence {
            text: &self.text,
            scores: &Scores::NONE,
            in_context: false,
            reader: &self.reader,
            opinion: None,
        };
        let weighed = policy.weigh(direction, evidence);
        let found: Vec<&str> = weighed
            .iter()
            .filter(|one| one.rule.score == Score::Pattern && one.applies)
            .map(|one| &*one.rule.name)
            .collect();
        html! { @if !found.is_empty() { p { (language.say("Rules that found their words:", "Reglas que hallaron sus palabras:")) @for rule in found { " " code { (rule) } } } } }
    }
}

/// What whoever asked would read.
fn read_by_caller(language: Language, Tried { verdict, read }: &Tried) -> Markup {
    let (title, text) = match (&verdict.action, read) {
        (_, Some(read)) if verdict.action.stops() || verdict.rule.as_deref() == Some("phi") => {
            (language.say("The caller would read", "Quien llama leería"), read.as_str())
        }
        (Action::Block(notice), _) => (language.say("The caller would read", "Quien llama leería"), &*notice.message),
        (Action::Escalate(notice), _) => {
            (language.say("The caller would read this first", "Quien llama leería primero"), &*notice.message)
        }
        (Action::Rewrite(Rewrite::Steer, _), _) => (
            language.say("The LLM would be told", "Se le diría al LLM"),
            language.say(
                "to give the ethical alternative, with the principle named",
                "que dé la alternativa ética, nombrando el principio",
            ),
        ),
        _ => return html! {},
    };
    html! {
        h4 { (title) }
        blockquote class="said" dir="auto" { (text) }
        @if matches!(verdict.action, Action::Rewrite(Rewrite::Regenerate, _)) {
            p class="quiet" { (language.say("The LLM would be asked for another answer first; none is asked here.", "Antes se pediría otra respuesta al LLM; aquí no se pide.")) }
        }
    }
}

async fn page(
    desk: &Desk<'_>,
    status: StatusCode,
    (wrong, found): (&Wrong, Markup),
) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let drafts = candidates::field(desk).await?;
    let title = language.say("Try a text", "Probar un texto");
    let main = html! {
        h1 { (title) }
        p { (language.say(
            "It is judged as the proxy would judge it now. What is tried is not recorded, and not kept; no LLM is asked.",
            "Se evalúa como lo haría ahora el proxy. Lo que se prueba no se registra ni se guarda; no se consulta ningún LLM.",
        )) }
        (form(desk, wrong, &drafts))
        (found)
    };
    Ok(desk.page_with(status, title, &main))
}

fn form(desk: &Desk<'_>, wrong: &Wrong, drafts: &Markup) -> Markup {
    let language = desk.language;
    let chosen = match desk.form.get("kind") {
        kind @ ("answer" | "conversation") => kind,
        _ => "prompt",
    };
    let kinds = [
        ("prompt", language.say("A prompt", "Un mensaje")),
        ("answer", language.say("A prompt and its answer", "Un mensaje y su respuesta")),
        (
            "conversation",
            language.say(
                "A conversation, a turn beginning with user: or assistant:",
                "Una conversación; cada turno empieza por user: o assistant:",
            ),
        ),
    ];
    html! {
        form method="post" action={ (PATH) "#found" } class="card" {
            (desk.token())
            fieldset {
                legend { (language.say("What is tried", "Qué se prueba")) }
                @for (id, name) in kinds {
                    label for={ "kind-" (id) } { input type="radio" id={ "kind-" (id) } name="kind" value=(id) checked[id == chosen]; (name) } br;
                }
            }
            (area(desk, ("text", language.say("Prompt or conversation", "Mensaje o conversación")), wrong))
            (area(desk, ("completion", language.say("Answer, where one is tried", "Respuesta, si se prueba una")), wrong))
            div class="fields" {
                div class="field" {
                    label for="audience" { (language.say("Audience", "Destinatarios")) }
                    select id="audience" name="audience" {
                        option value="" { (language.say("not known", "no se sabe")) }
                        @for (id, _) in Audience::ALL { option value=(id) selected[id == desk.form.get("audience")] { (vocabulary::audience(language, id)) } }
                    }
                }
                div class="field" {
                    label for="tenant" { (language.say("Tenant", "Entidad")) }
                    input id="tenant" name="tenant" value=(desk.form.get("tenant")) maxlength="64" autocomplete="off" autocapitalize="none"
                        aria-invalid=[wrong.get("tenant").map(|_| "true")] aria-describedby=[wrong.get("tenant").map(|_| "tenant-wrong")];
                    @if let Some(wrong) = wrong.get("tenant") { p class="hint wrong" id="tenant-wrong" { (wrong) } }
                }
                (drafts)
                button class="primary" { (language.say("Try", "Probar")) }
            }
        }
    }
}

fn area(desk: &Desk<'_>, (name, label): (&'static str, &str), wrong: &Wrong) -> Markup {
    let wrong = wrong.get(name);
    html! {
        div class="field" {
            label for=(name) { (label) }
            // A line at the beginning is the browser's, so that one of the text stays.
            textarea id=(name) name=(name) rows="6" maxlength=(LONGEST) spellcheck="false" dir="auto" autocomplete="off"
                aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong.map(|_| format!("{name}-wrong"))] { "\n" (desk.form.get(name).replace('\0', "\u{fffd}")) }
            @if let Some(wrong) = wrong { p class="hint wrong" id={ (name) "-wrong" } role="alert" { (wrong) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_begin_with_their_roles() {
        let said = turns("hello\nthere\nassistant: Hi\n\nuser: go on: now\n  System: s");
        let expected = [("user", "hello\nthere"), ("assistant", "Hi"), ("user", "go on: now"), ("system", "s")];
        assert_eq!(said, expected.map(|(role, text)| (role, text.to_owned())));
        assert!(turns("").is_empty());
    }
}
