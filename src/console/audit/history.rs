//! What people did, the newest first.

use crate::audit::act::{Act, Candidate, Change, Deed};
use crate::audit::store::{Fault, Store};
use crate::console::Desk;
use crate::console::decision::may_read;
use crate::console::language::Language;
use crate::console::page::time;
use crate::console::trouble::Trouble;
use form_urlencoded::Serializer;
use maud::{Markup, html};

/// Acts of one page.
const SHOWN: usize = 50;

/// Acts that are read at once, and how often, before a page ends.
const READ: i64 = 500;
const READS: usize = 10;

/// An act and its place; what cannot be read is shown as that.
type Found = (i64, Option<Act>);

/// A page of them, as the query asks.
pub(super) async fn table(desk: &Desk<'_>) -> Result<Markup, Trouble> {
    let language = desk.language;
    let before = match desk.query.get("before") {
        "" => i64::MAX,
        before => before.parse().map_err(|_| {
            let what = language
                .say("The page begins before a number of an act.", "La página empieza antes del número de un acto.");
            Trouble::BadInput(what.to_owned())
        })?,
    };
    let by = desk.query.get("by").trim();
    let (acts, older) = found(&desk.records.store, by, before).await?;
    let link = |older: i64| {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(Some(("by", by)).filter(|(_, by)| !by.is_empty())).append_pair("before", &older.to_string());
        format!("/console/audit?{}#acts", query.finish())
    };
    Ok(html! {
        section {
            h2 id="acts" { (language.say("What people did", "Lo que hicieron las personas")) }
            form method="get" action="/console/audit" class="fields" {
                div class="field" {
                    label for="by" { (language.say("Account", "Cuenta")) }
                    input id="by" name="by" value=(by) maxlength="64" autocapitalize="none" spellcheck="false";
                }
                button { (language.say("Filter", "Filtrar")) }
            }
            @if acts.is_empty() {
                p class="note" { (language.say("There is nothing here.", "Aquí no hay nada.")) }
            } @else {
                (rows(desk, &acts))
            }
            ul class="pages" {
                @if before < i64::MAX {
                    li { a class="button" href="/console/audit#acts" { (language.say("Newest", "Más recientes")) } }
                }
                @if let Some(older) = older {
                    li { a class="button" rel="next" href=(link(older)) { (language.say("Older", "Anteriores")) } }
                }
            }
        }
    })
}

fn rows(desk: &Desk<'_>, acts: &[Found]) -> Markup {
    let language = desk.language;
    html! {
        div class="scroll" tabindex="0" role="region" aria-labelledby="acts" {
            table {
                caption class="unseen" { (language.say("Acts, the newest first", "Actos, los más recientes primero")) }
                thead {
                    tr {
                        th scope="col" class="number-cell" { (language.say("No.", "N.º")) }
                        th scope="col" { (language.say("When (UTC)", "Cuándo (UTC)")) }
                        th scope="col" { (language.say("Who", "Quién")) }
                        th scope="col" { (language.say("What", "Qué")) }
                        th scope="col" { (language.say("Why", "Por qué")) }
                    }
                }
                tbody {
                    @for (seq, act) in acts {
                        tr {
                            th scope="row" class="number-cell" { (seq) }
                            @match act {
                                Some(act) => {
                                    td { (time(act.time)) }
                                    td { (act.by) }
                                    td { (told(language, &act.deed)) }
                                    td { (why(desk, act)) }
                                }
                                None => td colspan="4" class="wrong" { (language.say("cannot be read: prove the record", "no se puede leer: pruebe el registro")) },
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Why something was done. Why somebody read a text may say something of a patient, so that it is for those who may read them.
fn why<'a>(desk: &Desk<'_>, act: &'a Act) -> &'a str {
    let is_of_texts = matches!(act.deed, Deed::Read { .. } | Deed::Exported { .. });
    if is_of_texts && !may_read(desk) { "–" } else { &act.reason }
}

/// The acts of someone, or all, before a place; and from which place on there may be more.
async fn found(store: &Store, by: &str, mut before: i64) -> Result<(Vec<Found>, Option<i64>), Fault> {
    let mut found = Vec::new();
    for _ in 0..READS {
        let some = store.acts_before(before, READ).await?;
        let is_end = i64::try_from(some.len()).unwrap_or_default() < READ;
        for signed in some {
            if found.len() == SHOWN {
                return Ok((found, Some(before)));
            }
            before = signed.seq;
            let act = serde_json::from_str::<Act>(&signed.body).ok();
            if by.is_empty() || act.as_ref().is_some_and(|act| act.by == by) {
                found.push((signed.seq, act));
            }
        }
        if is_end {
            return Ok((found, None));
        }
    }
    Ok((found, Some(before)))
}

/// What was done, in words.
fn told(language: Language, deed: &Deed) -> Markup {
    let say = |english, spanish| language.say(english, spanish);
    html! {
        @match deed {
            Deed::Proposed(candidate) => { (say("proposed", "propuso")) " " (version(language, candidate)) }
            Deed::Promoted { candidate, proposed_by } => {
                (say("put in force", "puso en vigor")) " " (version(language, candidate))
                @if let Some(by) = proposed_by { ", " (say("proposed by", "propuesta por")) " " (by) }
            }
            Deed::RolledBack { version, to } => { (say("took back", "retiró")) " v" (version) "; v" (to) " " (say("holds", "rige")) }
            Deed::FellBack { version, to, stopped, of } => {
                "v" (version) " " (say("went into the shadow, since it stopped", "pasó a la sombra, porque detuvo")) " " (stopped) " " (say("of", "de")) " " (of)
                " " (say("messages that pass by", "mensajes que pasan con")) " v" (to)
            }
            Deed::Read { event } => { (say("read the text of", "leyó el texto de")) " " (link(event)) }
            Deed::Exported { events } => { (say("wrote out texts for training:", "extrajo textos para entrenar:")) " " (events.len()) }
            Deed::DraftSaved { draft, .. } => { (say("saved the draft", "guardó el borrador")) " " (draft) }
            Deed::DraftRemoved { draft } => { (say("threw away the draft", "descartó el borrador")) " " (draft) }
            Deed::SignedIn { with } => { (say("signed in by", "inició sesión con")) " " (with) }
            Deed::SignedOut => (say("signed out", "cerró la sesión")),
            Deed::AccountChanged { account, change } => (changed(language, account, *change)),
            // What they said stands with the decision, where another reviewer does not see it too early.
            Deed::Labelled { event, direction, .. } => { (say("labelled", "etiquetó")) " " (link(event)) " (" (direction) ")" }
            Deed::Verified { holds, decisions, .. } => {
                (say("proved the record:", "probó el registro:")) " " (decisions) " " (say("decisions,", "decisiones,")) " "
                (if *holds { say("the chain holds", "la cadena se sostiene") } else { say("the chain is broken", "la cadena está rota") })
            }
            Deed::Downloaded { from, until, tenant, format } => {
                (say("took decisions away as", "se llevó decisiones como")) " " (format) ", " (time(*from)) " – " (time(*until))
                @if let Some(tenant) = tenant { ", " (say("of tenant", "de la entidad")) " " (tenant) }
            }
        }
    }
}

fn version(language: Language, candidate: &Candidate) -> Markup {
    let share = match candidate.share {
        share if share <= 0.0 => language.say(" (in the shadow)", " (en la sombra)").to_owned(),
        share if share < 100.0 => match language {
            Language::En => format!(" (for {share}% of the conversations)"),
            Language::Es => format!(" (para el {share} % de las conversaciones)"),
        },
        _ => String::new(),
    };
    html! { "v" (candidate.version) " " code { (candidate.policy) } (share) }
}

fn changed(language: Language, account: &str, change: Change) -> Markup {
    let what = match change {
        Change::Added(role) => format!("{} {}", language.say("is made, as", "creada, como"), role.name(language)),
        Change::Role(role) => format!("{} {}", language.say("is now", "es ahora"), role.name(language)),
        Change::Password => language.say("has a new password", "tiene otra contraseña").to_owned(),
        Change::Removed => language.say("is removed", "eliminada").to_owned(),
    };
    html! { (language.say("account", "cuenta")) " " (account) " " (what) }
}

fn link(event: &str) -> Markup {
    let path: String = form_urlencoded::byte_serialize(event.as_bytes()).collect();
    html! { a href={ "/console/decisions/" (path) } { code { (event) } } }
}
