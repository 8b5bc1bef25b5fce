//! The queue of those who review: one decision after the other, why it was drawn, and what all that was said amounts to.

use super::Desk;
use super::decision::{Event, record};
use super::filters::is_event;
use super::kept_text::{self, Shown};
use super::language::Language;
use super::page::{review_script, with_cookie};
use super::session::kept;
use super::trouble::Trouble;
use super::{deciding, marks, vocabulary};
use crate::audit::facts::Fact;
use crate::audit::journal::now;
use crate::audit::label::{Label, Mark};
use crate::audit::sampling::{Progress, Queue, Why};
use crate::digest;
use crate::policy::taxonomy::Principle;
use crate::response::Body;
use data_encoding::BASE64URL_NOPAD;
use http::{Response, StatusCode};
use maud::{Markup, html};

const PATH: &str = "/console/review";

/// So many may be skipped before one begins anew.
const MOST_SKIPPED: usize = 200;

const DAY: i64 = 86_400_000_000;

/// The cookie of a reason that stands for all that its session reads in the queue.
pub(super) const REASON: &str = "reason";

/// Shows what is next.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let at = at(desk.query.get("at"));
    let language = desk.language;
    let next = next(desk, at).await?;
    let main = match next {
        Some((fact, why)) => {
            let event = Event::read(desk, &fact.event).await?;
            item(desk, (&event, &fact.direction), (at, Some(why), None))
        }
        None => html! {
            section class="card" {
                p role="status" { (language.say("Nothing is left to look at.", "No queda nada por revisar.")) }
                @if at > 0 { p { a class="button" href=(PATH) { (language.say("Back to what was skipped", "Volver a lo omitido")) } } }
            }
        },
    };
    page(desk, StatusCode::OK, &main).await
}

fn at(text: &str) -> usize {
    text.parse::<usize>().unwrap_or_default().min(MOST_SKIPPED)
}

async fn next(desk: &Desk<'_>, at: usize) -> Result<Option<(Fact, Why)>, Trouble> {
    let audit = &desk.records.audit;
    let keep = audit.vault.as_ref().map_or(audit.retention, |vault| vault.retention);
    let since = now().saturating_sub(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
    // The same through the day, so that what was skipped stays skipped.
    let seed = digest::sha256(format!("{} {}", desk.account.name, now() / DAY).as_bytes());
    let seed = seed.bytes().take(16).fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let queue = Queue {
        reviewer: &desk.account.name,
        thresholds: deciding::stops_from(&desk.console.proxy.policy.snapshot()),
        least: audit.reviewers,
        since: since.max(0),
        seed,
    };
    Ok(desk.records.store.to_review(&queue, at + 1).await?.into_iter().nth(at))
}

async fn page(desk: &Desk<'_>, status: StatusCode, main: &Markup) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let title = language.say("Review", "Revisión");
    let progress = desk.records.store.progress(desk.records.audit.reviewers).await?;
    let main = html! {
        h1 { (title) }
        p class="row" {
            label hidden data-shortcuts for="shortcuts" { input type="checkbox" id="shortcuts" checked; (language.say("Keyboard shortcuts: 1, 2, 3, S, T", "Atajos de teclado: 1, 2, 3, S, T")) }
        }
        (main)
        (far(language, &progress, desk.records.audit.reviewers))
        script src=(review_script()) defer {}
    };
    Ok(desk.page_with(status, title, &main))
}

/// One decision of the queue.
fn item(
    desk: &Desk<'_>,
    (event, direction): (&Event, &str),
    (at, why, shown): (usize, Option<Why>, Option<&Shown>),
) -> Markup {
    let language = desk.language;
    let labels = event.labels(direction);
    let path = format!("{PATH}/{}/{direction}/text", event.id);
    html! {
        p class="row" {
            @if let Some(why) = why { span class="badge" { (told(language, why)) } }
            span { (vocabulary::direction(language, direction)) }
            a href={ "/console/decisions/" (event.id) } { (language.say("All of the event", "Todo el evento")) }
        }
        @for decision in event.decisions.iter().filter(|decision| decision.direction == direction) { (record(desk, event, decision)) }
        (kept_text::card(desk, event, (&path, shown)))
        section class="card" {
            h2 { (language.say("Was it right?", "¿Fue correcta?")) }
            (marks::table(desk, &labels))
            (marks::form(desk, (&event.id, direction), Some(at)))
        }
    }
}

const fn told(language: Language, why: Why) -> &'static str {
    match why {
        Why::SecondWord => language.say("needs a second word", "necesita una segunda opinión"),
        Why::Uncertain => language.say("near the threshold", "cerca del umbral"),
        Why::Random => language.say("drawn at random", "elegida al azar"),
    }
}

/// How far all have come, and how far they agree.
fn far(language: Language, progress: &Progress, least: usize) -> Markup {
    html! {
        section class="card" {
            h2 { (language.say("Progress", "Progreso")) }
            dl class="facts" {
                dt { (language.say("Settled", "Resueltas")) } dd { (progress.settled) }
                dt { (language.say("Open: they need another word", "Abiertas: necesitan otra opinión")) } dd { (progress.open) }
                dt { (language.say("Reviewers who must agree", "Revisores que deben coincidir")) } dd { (least) }
            }
            @if !progress.by.is_empty() {
                table {
                    caption { (language.say("Labels by reviewer", "Etiquetas por revisor")) }
                    thead { tr { th scope="col" { (language.say("Reviewer", "Revisor")) } th scope="col" class="number-cell" { (language.say("Labels", "Etiquetas")) } } }
                    tbody { @for (reviewer, count) in &progress.by { tr { th scope="row" { (reviewer) } td class="number-cell" { (count) } } } }
                }
            }
            @if !progress.agreement.is_empty() {
                table {
                    caption { (language.say("Agreement (Cohen's kappa): 1 is always, 0 is by chance", "Acuerdo (kappa de Cohen): 1 es siempre, 0 es por azar")) }
                    thead { tr {
                        th scope="col" { (language.say("Reviewers", "Revisores")) }
                        th scope="col" class="number-cell" { "κ" }
                        th scope="col" class="number-cell" { (language.say("Decisions of both", "Decisiones de ambos")) }
                    } }
                    tbody {
                        @for (one, other, kappa, count) in &progress.agreement {
                            tr { th scope="row" { (one) ", " (other) } td class="number-cell" { (format!("{kappa:.2}")) } td class="number-cell" { (count) } }
                        }
                    }
                }
            }
        }
    }
}

/// The message that the path names.
async fn named(desk: &Desk<'_>) -> Result<(Event, String), Trouble> {
    let event = Event::named(desk).await?;
    let direction = desk.param("direction").to_owned();
    match event.decisions.iter().any(|decision| decision.direction == direction) {
        true => Ok((event, direction)),
        false => Err(Trouble::NotFound),
    }
}

/// Shows the text of one, on record; the reason may stand for the rest of the queue.
pub(super) async fn text(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let (event, direction) = named(desk).await?;
    let shown = kept_text::read(desk, &event, Some(&direction)).await?;
    let main = item(desk, (&event, &direction), (at(desk.form.get("at")), None, Some(&shown)));
    let response = page(desk, shown.status(), &main).await?;
    let reason = kept_text::reason(desk.form.get("reason")).filter(|_| desk.form.get("keep") == "yes");
    let standing = reason.map(|reason| BASE64URL_NOPAD.encode(format!("{} {reason}", whose(desk)).as_bytes()));
    let mut cookie = kept((REASON, standing.clone().unwrap_or_default()), desk.console.settings.secure);
    if standing.is_none() {
        cookie.make_removal();
    }
    Ok(with_cookie(response, &cookie))
}

/// Names the session, so that the reason of one is not that of the next in the same browser.
fn whose(desk: &Desk<'_>) -> String {
    digest::short(format!("reason {}", desk.session.csrf).as_bytes())
}

/// The reason that stands for the queue, where this session gave one.
pub(super) fn standing_reason(desk: &Desk<'_>) -> String {
    let bytes = BASE64URL_NOPAD.decode(desk.visit.reason.as_bytes()).unwrap_or_default();
    let said = String::from_utf8(bytes).unwrap_or_default();
    let reason = said.split_once(' ').filter(|(by, _)| *by == whose(desk)).map(|(_, reason)| reason);
    reason.and_then(kept_text::reason).unwrap_or_default().to_owned()
}

/// Keeps what a reviewer says, signed, and goes on.
pub(super) async fn label(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let (language, form) = (desk.language, desk.form);
    let (event, direction) = (desk.param("event"), desk.param("direction"));
    let mark = Mark::from_id(form.get("mark")).ok_or(Trouble::NoForm)?;
    if !is_event(event) || !["prompt", "completion"].contains(&direction) {
        return Err(Trouble::NotFound);
    }
    let principle = Some(form.get("principle")).filter(|id| !id.is_empty());
    if principle.is_some_and(|id| Principle::from_id(id).is_none()) {
        return Err(Trouble::NoForm);
    }
    let note = Some(form.get("note").trim()).filter(|note| !note.is_empty());
    if note.is_some_and(|note| note.chars().count() > 500 || note.chars().any(char::is_control)) {
        let told = language.say(
            "A note has at most 500 letters, in one line.",
            "Una nota tiene como máximo 500 letras, en una línea.",
        );
        return Err(Trouble::BadInput(told.to_owned()));
    }
    let said = Label {
        event: event.to_owned(),
        direction: direction.to_owned(),
        reviewer: desk.account.name.clone(),
        mark,
        principle: principle.map(str::to_owned),
        note: note.map(str::to_owned),
        time: now(),
    };
    match desk.records.store.label(&said, Some(&desk.records.key)).await {
        Err(sqlx::Error::RowNotFound) => return Err(Trouble::NotFound),
        stored => stored?,
    }
    let mut done = format!("{} {}.", language.say("Kept:", "Guardado:"), vocabulary::mark(language, mark));
    done.push_str(&others(desk, &said).await?);
    let back = match form.get("at") {
        "" => format!("/console/decisions/{event}"),
        skipped => format!("{PATH}?at={}", at(skipped)),
    };
    desk.done(&back, &done).await
}

/// What others said of the same, now that it may be seen.
async fn others(desk: &Desk<'_>, said: &Label) -> Result<String, Trouble> {
    let language = desk.language;
    let labels = desk.records.store.labels_of(&said.event).await?;
    let labels: Vec<Label> = labels.into_iter().filter(|label| label.direction == said.direction).collect();
    let (seen, _) = marks::seen(desk, &labels);
    let last: std::collections::BTreeMap<&str, Mark> = seen
        .into_iter()
        .filter(|label| label.reviewer != said.reviewer)
        .map(|label| (label.reviewer.as_str(), label.mark))
        .collect();
    let told = last.into_iter().map(|(reviewer, mark)| match mark == said.mark {
        true => format!(" {reviewer} {}.", language.say("says the same", "dice lo mismo")),
        false => format!(" {reviewer} {} {}.", language.say("says:", "dice:"), vocabulary::mark(language, mark)),
    });
    Ok(told.collect())
}
