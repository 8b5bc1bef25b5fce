//! The kept texts of an event, shown once to someone who says why, on record before they are opened.

use super::Desk;
use super::decision::{Event, may_read};
use super::language::Language;
use super::page::time;
use super::trouble::Trouble;
use super::vocabulary;
use crate::audit::act::Deed;
use crate::audit::journal::{Journal, now};
use crate::audit::vault::Sealed;
use crate::classify::Input;
use crate::guard::weights::Weights;
use crate::policy::rule::Score;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;
use std::time::Duration;

/// How long it is looked what a score comes from.
pub(super) const WITHIN: Duration = Duration::from_secs(3);

/// What comes of wanting to read.
pub(super) enum Shown {
    /// The reason is none.
    NoReason,
    /// There is nothing to read: why.
    Nothing(Missing),
    /// The texts of each message, and what of them mattered.
    Texts(Vec<Message>),
}

/// Why there is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is about treatment records.
    Part2,
    /// No vault is set.
    NoVault,
    /// It was kept, and was to be kept no longer.
    Forgotten,
    /// None was kept.
    None,
}

/// A message that was kept, or why it cannot be opened.
pub(super) struct Message {
    direction: String,
    time: i64,
    opened: Option<Opened>,
}

struct Opened {
    said: Vec<Said>,
    /// The text that scores highest, and what its score comes from.
    heavy: Option<(usize, Weights)>,
}

/// One text, and who said it.
pub(super) struct Said {
    pub(super) role: String,
    pub(super) text: String,
}

impl Shown {
    /// The status of the page that shows it.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NoReason => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Nothing(_) | Self::Texts(_) => StatusCode::OK,
        }
    }
}

/// A reason that counts: something is said, in a line.
pub(super) fn reason(text: &str) -> Option<&str> {
    let reason = text.trim();
    let is_one = reason.chars().any(char::is_alphanumeric)
        && reason.chars().count() <= 500
        && !reason.chars().any(char::is_control);
    is_one.then_some(reason)
}

/// Opens the texts of an event, or those that one direction needs, for the reason that was posted.
pub(super) async fn read(desk: &Desk<'_>, event: &Event, only: Option<&str>) -> Result<Shown, Trouble> {
    let Some(reason) = reason(desk.form.get("reason")) else { return Ok(Shown::NoReason) };
    let sealed = desk.records.store.texts(Some(&event.id)).await?;
    let (now, is_any) = (now(), !sealed.is_empty());
    // An answer is read with what it answers.
    let is_wanted =
        |one: &Sealed| one.until > now && only.is_none_or(|only| only == "completion" || only == one.direction);
    let wanted: Vec<Sealed> = sealed.into_iter().filter(is_wanted).collect();
    let vault = desk.console.proxy.journal.as_ref().and_then(Journal::vault);
    let (Some(vault), false) = (vault, wanted.is_empty()) else {
        return Ok(Shown::Nothing(missing(desk, event, (is_any, vault.is_some()))));
    };
    desk.record(Deed::Read { event: event.id.clone() }, reason).await?;
    let mut messages: Vec<Message> = Vec::new();
    for one in &wanted {
        let opened = match vault.unseal(one) {
            Ok(text) => {
                let text = serde_json::from_str(&text).unwrap_or_default();
                Some(opened(desk, (event, &one.direction), (said(&text), &messages)).await)
            }
            Err(why) => {
                tracing::warn!(event = event.id, why, "a kept text cannot be opened");
                None
            }
        };
        messages.push(Message { direction: one.direction.clone(), time: one.time, opened });
    }
    Ok(Shown::Texts(messages))
}

fn missing(desk: &Desk<'_>, event: &Event, (is_any, has_vault): (bool, bool)) -> Missing {
    let settings = desk.records.audit.vault.as_ref();
    let keep = settings.map(|vault| i64::try_from(vault.retention.as_micros()).unwrap_or(i64::MAX));
    let newest = event.decisions.iter().map(|decision| decision.time).max().unwrap_or_default();
    let is_old = keep.is_some_and(|keep| newest.saturating_add(keep) <= now());
    match (event.decisions.iter().any(|decision| decision.part2), has_vault) {
        (true, _) => Missing::Part2,
        (_, false) => Missing::NoVault,
        _ if is_any || is_old => Missing::Forgotten,
        _ => Missing::None,
    }
}

/// The texts of a message, in their order.
fn said(text: &Value) -> Vec<Said> {
    let one =
        |role: &str, text: &Value| text.as_str().map(|text| Said { role: role.to_owned(), text: text.to_owned() });
    let list = |key: &str| text.get(key).and_then(Value::as_array).into_iter().flatten();
    let turn = |turn: &Value| one(turn.get("role").and_then(Value::as_str).unwrap_or("user"), turn.get("content")?);
    let mut said: Vec<Said> = list("messages").filter_map(turn).collect();
    said.extend(list("prompts").filter_map(|prompt| one("user", prompt)));
    said.extend(list("beside").filter_map(|aside| one("beside", aside)));
    let choices = list("choices").filter_map(Value::as_array).flatten();
    said.extend(choices.filter_map(|choice| one("assistant", choice)));
    said.retain(|said| !said.text.is_empty());
    said
}

async fn opened(
    desk: &Desk<'_>,
    (event, direction): (&Event, &str),
    (said, before): (Vec<Said>, &[Message]),
) -> Opened {
    let decided = event.decisions.iter().find(|decision| decision.direction == direction);
    let rule = decided.and_then(|decision| event.policy(decision)?.rule(decision.rule.as_deref()?));
    let score = rule.map(|rule| rule.score).filter(|score| *score != Score::Pattern).unwrap_or(Score::Violation);
    let mut asked = before.iter().filter_map(|message| message.opened.as_ref()).flat_map(|opened| &opened.said);
    let asked = asked.rfind(|said| said.role == "user").map(|said| said.text.clone()).unwrap_or_default();
    let inputs = inputs(&said, &asked);
    let heavy = desk.console.proxy.guard.heaviest(&inputs, score, WITHIN).await;
    Opened { said, heavy: heavy.ok().flatten() }
}

/// Each text as it is judged by itself, or as an answer.
pub(super) fn inputs(said: &[Said], asked: &str) -> Vec<Input> {
    let mut question = asked.to_owned();
    let input = |said: &Said| match said.role.as_str() {
        "assistant" => Input::Completion { prompt: question.clone(), completion: said.text.clone() },
        role => {
            if role == "user" {
                question.clone_from(&said.text);
            }
            Input::Prompt(said.text.clone())
        }
    };
    said.iter().map(input).collect()
}

/// The part of a page on the texts: the form that asks for them, and what came of it.
pub(super) fn card(desk: &Desk<'_>, event: &Event, (path, shown): (&str, Option<&Shown>)) -> Markup {
    let language = desk.language;
    html! {
        @if may_read(desk) {
            section class="card" id="text" {
                h2 { (language.say("The text", "El texto")) }
                @match shown {
                    None => {}
                    Some(Shown::NoReason) => p class="wrong" role="alert" id="reason-wrong" { (language.say("Say in a line why you need to read it.", "Diga en una línea por qué necesita leerlo.")) },
                    Some(Shown::Nothing(missing)) => p class="note" role="status" { (told(language, *missing)) },
                    Some(Shown::Texts(messages)) => { @for message in messages { (texts(language, message)) } }
                }
                @if !matches!(shown, Some(Shown::Texts(_) | Shown::Nothing(_))) { (ask(desk, event, path)) }
            }
        }
    }
}

fn ask(desk: &Desk<'_>, event: &Event, path: &str) -> Markup {
    let language = desk.language;
    let is_wrong = desk.is_post();
    let reason = if desk.form.get("reason").is_empty() {
        super::review::standing_reason(desk)
    } else {
        desk.form.get("reason").to_owned()
    };
    html! {
        p class="quiet" { (language.say(
            "Texts are words of patients. Whoever reads one is on record, with the reason, before it is opened.",
            "Los textos son palabras de pacientes. Quien lee uno queda registrado, con el motivo, antes de que se abra.",
        )) }
        form method="post" action={ (path) "#text" } class="fields" {
            (desk.token())
            input type="hidden" name="at" value=(desk.form.get("at"));
            div class="field" {
                label for="reason" { (language.say("Reason", "Motivo")) }
                input id="reason" name="reason" value=(reason) required maxlength="500" autocomplete="off"
                    aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some("reason-wrong")];
            }
            @if path.starts_with("/console/review/") {
                div class="field" {
                    label { input type="checkbox" name="keep" value="yes" checked; (language.say("For the whole queue", "Para toda la cola")) }
                }
            }
            button data-key="t" { (language.say("Show the text", "Mostrar el texto")) @if path.starts_with("/console/review/") { " " kbd { "T" } } }
        }
        @if event.decisions.iter().any(|decision| decision.part2) { p class="quiet" { (told(language, Missing::Part2)) } }
    }
}

const fn told(language: Language, missing: Missing) -> &'static str {
    match missing {
        Missing::Part2 => language.say(
            "It is about records of substance-use treatment (42 CFR Part 2), of which no text is kept.",
            "Trata de registros de tratamiento por consumo de sustancias (42 CFR Part 2), de los que no se guarda texto.",
        ),
        Missing::NoVault => language.say(
            "No texts are kept here. Ask whoever runs nonnocere to set audit.vault, if reviewers need them.",
            "Aquí no se guardan textos. Pida a quien administra nonnocere que active audit.vault si los revisores los necesitan.",
        ),
        Missing::Forgotten => language.say(
            "Its time is over: texts are kept for days only, and this one is forgotten.",
            "Su plazo terminó: los textos se guardan solo unos días, y este se ha olvidado.",
        ),
        Missing::None => language.say("No text of this event was kept.", "No se guardó ningún texto de este evento."),
    }
}

fn texts(language: Language, message: &Message) -> Markup {
    html! {
        h3 { (vocabulary::direction(language, &message.direction)) " " span class="quiet" { (time(message.time)) } }
        @match &message.opened {
            None => p class="wrong" { (language.say(
                "It cannot be opened: it was sealed by another key, or changed. Ask whoever runs nonnocere; what is wrong is in the log.",
                "No se puede abrir: se selló con otra clave o se modificó. Consulte a quien administra nonnocere; el motivo consta en el registro del servidor.",
            )) },
            Some(opened) => (quoted(language, &opened.said, opened.heavy.as_ref()))
        }
    }
}

/// Texts as they were said, with what mattered marked.
pub(super) fn quoted(language: Language, said: &[Said], heavy: Option<&(usize, Weights)>) -> Markup {
    html! {
        @for (place, said) in said.iter().enumerate() {
            figure class="said" {
                figcaption class="quiet" { (role(language, &said.role)) }
                blockquote dir="auto" {
                    @match heavy.filter(|(heaviest, _)| *heaviest == place) {
                        Some((_, weights)) => (marked(&said.text, weights)),
                        None => (visible(&said.text)),
                    }
                }
            }
        }
        @match heavy {
            Some((_, weights)) => p class="quiet" {
                (language.say("Marked is what the score falls most without; it shows where to look, and proves no reason.", "Lo marcado es aquello sin lo que más baja la puntuación; indica dónde mirar y no prueba un motivo."))
                @if weights.is_cut { " " (language.say("Not all of it was weighed: the time was over, or the model busy.", "No todo se ponderó: se acabó el tiempo o el modelo estaba ocupado.")) }
            },
            None => p class="quiet" { (language.say("Which words mattered cannot be told now: the model is busy.", "Ahora no se puede decir qué palabras influyeron: el modelo está ocupado.")) }
        }
    }
}

fn role(language: Language, role: &str) -> &'static str {
    match role {
        "user" => language.say("user", "usuario"),
        "assistant" => language.say("assistant", "asistente"),
        "system" => language.say("system", "sistema"),
        "tool" => language.say("tool", "herramienta"),
        "beside" => language.say("beside the messages", "junto a los mensajes"),
        _ => language.say("another role", "otro papel"),
    }
}

/// A text of which nobody knows what it holds: what no page may have is shown as what it is.
pub(super) fn visible(text: &str) -> String {
    let seen = |letter: char| match letter {
        '\n' | '\t' => letter,
        letter if letter.is_control() => '\u{fffd}',
        // What turns the text around would turn what stands beside it.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(seen).collect()
}

fn marked(text: &str, weights: &Weights) -> Markup {
    let mut at = 0;
    let mut parts = Vec::new();
    for part in weights.heavy() {
        let (before, heavy) = (text.get(at..part.place.start), text.get(part.place.clone()));
        parts.push((visible(before.unwrap_or_default()), visible(heavy.unwrap_or_default()), part.weight));
        at = part.place.end;
    }
    let rest = visible(text.get(at..).unwrap_or_default());
    html! {
        @for (before, heavy, weight) in parts { (before) mark title=(format!("{weight:+.2}")) { (heavy) } }
        (rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::weights::Part;

    #[test]
    fn what_is_shown_can_do_nothing() {
        let weights = Weights { words: vec![Part { place: 1..7, weight: 0.4 }], ..Weights::default() };
        let shown = marked("<script>\0\u{202e}\"x\"</script>", &weights).into_string();
        assert_eq!(shown, "&lt;<mark title=\"+0.40\">script</mark>&gt;\u{fffd}\u{fffd}&quot;x&quot;&lt;/script&gt;");
    }

    #[test]
    fn a_reason_says_something() {
        assert_eq!(reason(" complaint 4711 "), Some("complaint 4711"));
        for none in ["", " ", "...", "a\nb", "a\0b"] {
            assert_eq!(reason(none), None, "{none:?}");
        }
    }

    #[test]
    fn all_that_was_kept_is_shown() {
        let kept = serde_json::json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}], "prompts": ["b"], "beside": ["c"], "choices": [["d"], ["e"]]});
        let roles: Vec<String> = said(&kept).into_iter().map(|said| format!("{} {}", said.role, said.text)).collect();
        assert_eq!(roles, ["user a", "user b", "beside c", "assistant d", "assistant e"]);
    }
}
