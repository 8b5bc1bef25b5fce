//! A draft is proposed or put in force, a proposal is approved of, a version is taken back: at the desk where the command line acts
//! too, by whoever is signed in.

use super::editor::{self, Shown};
use super::{PATH, in_force, named, objection, path_of, read, trial};
use crate::audit::act::Word;
use crate::audit::drafts::Draft;
use crate::console::Desk;
use crate::console::account::Role;
use crate::console::trouble::Trouble;
use crate::policy::Policy;
use crate::policy::desk::{self, Back, Objection, Tried};
use crate::response::Body;
use http::{Response, StatusCode};
use maud::{Markup, html};

/// Whose word a form is.
fn word(desk: &Desk<'_>) -> Word {
    let reason = desk.form.get("reason").trim().chars().take(1000).collect();
    Word { by: desk.account.name.clone(), reason, new_key: is_new(desk) }
}

/// Whether it is said that the key is new. A key that the others do not know has them follow nothing any more.
fn is_new(desk: &Desk<'_>) -> bool {
    desk.may(Role::Admin) && desk.form.get("new_key") == "yes"
}

/// The desk of the policy, where versions are kept.
async fn open<'a>(desk: &'a Desk<'_>) -> Result<desk::Desk<'a>, Objection> {
    match desk.console.proxy.policy.versions() {
        Some(versions) => desk::Desk::open(versions.clone(), &desk.records.key, is_new(desk)).await,
        None => Err(Objection::NothingInForce),
    }
}

/// What an objection leads to: words on a page, and in the log where they are not for it.
fn logged(desk: &Desk<'_>, why: &Objection) -> String {
    if let Objection::Store(why) = why {
        tracing::error!(why, "an act of policy failed in the console");
    }
    objection::told(desk.language, why)
}

/// The part of a draft's page on it.
pub(super) fn card(desk: &Desk<'_>, draft: &Draft, policy: &Policy) -> Markup {
    let language = desk.language;
    let Some(versions) = desk.console.proxy.policy.versions() else {
        return html! {
            section class="card" {
                h2 { (language.say("Put it in force", "Ponerlo en vigor")) }
                p { (language.say(
                    "The policy comes from a file: download the draft, and give it to whoever runs nonnocere.",
                    "La política procede de un archivo: descargue el borrador y entréguelo a quien administra nonnocere.",
                )) }
                p { a class="button" href={ (path_of(&draft.name)) "/text" } { (language.say("Download", "Descargar")) } }
            }
        };
    };
    let by_two = versions.is_by_two();
    let least = if by_two { Role::Editor } else { Role::Approver };
    let is_tried = trial::of(desk, policy).and_then(|trial| trial.found()).is_some_and(|found| found.is_ok());
    if !desk.may(least) {
        return html! {};
    }
    let (act, name) = match by_two {
        true => ("propose", language.say("Propose", "Proponer")),
        false => ("promote", language.say("Put in force", "Poner en vigor")),
    };
    html! {
        section class="card" {
            h2 { (name) }
            @if by_two { p { (language.say("Someone else must approve before it holds.", "Otra persona debe aprobarlo antes de que rija.")) } }
            @if is_tried {
                form method="post" action={ (path_of(&draft.name)) "/" (act) } class="fields" {
                    (desk.token())
                    input type="hidden" name="was" value=(draft.digest());
                    div class="field" {
                        label for="share" { (language.say("For this percentage of the conversations", "Para este porcentaje de las conversaciones")) }
                        input type="number" id="share" name="share" min="0" max="100" step="any" value="100" required aria-describedby="share-hint";
                        p class="hint" id="share-hint" {
                            (language.say("100 for all, less for a trial, 0 for the shadow: recorded, and nothing changes", "100 para todas, menos para una prueba, 0 para la sombra: se registra y nada cambia"))
                        }
                    }
                    (in_force::reason(language, "bring-reason"))
                    (in_force::new_key(desk, "bring-key"))
                    button class="primary" { (name) }
                }
            } @else {
                p class="note" { (language.say("Try it first, above: tests and backtest of what it says now.", "Pruébelo antes, arriba: pruebas y prueba retrospectiva de lo que dice ahora.")) }
            }
        }
    }
}

/// Proposes a draft, for someone else to approve.
pub(in crate::console) async fn propose(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    put_forward(desk, true).await
}

/// Puts a draft in force, where nobody else must approve.
pub(in crate::console) async fn promote(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    put_forward(desk, false).await
}

async fn put_forward(desk: &Desk<'_>, by_two: bool) -> Result<Response<Body>, Trouble> {
    let (draft, language) = (named(desk).await?, desk.language);
    // Which of both it is, is said by the configuration and not by the form.
    if desk.console.proxy.policy.versions().is_none_or(|versions| versions.is_by_two() != by_two) {
        return Err(Trouble::NotFound);
    }
    let policy = read(desk, &draft).await.ok().filter(|_| draft.digest() == desk.form.get("was"));
    let found = policy.as_ref().and_then(|policy| trial::of(desk, policy)).and_then(|trial| trial.found());
    let Some(Ok(found)) = found else {
        let wrong = language.say(
            "The draft was changed since it was tried; try it again.",
            "El borrador cambió desde que se probó; pruébelo de nuevo.",
        );
        return editor::with(desk, &draft, &Shown { wrong, text: None }).await;
    };
    let share = desk.form.get("share").trim().replace(',', ".").parse::<f64>().unwrap_or(f64::NAN);
    let put = async {
        if !found.broken.is_empty() {
            return Err(Objection::Broken(found.broken.clone()));
        }
        let tried = Tried {
            policy: found.policy.clone(),
            model: found.model.clone(),
            backtest: found.backtest.in_short(found.since),
        };
        open(desk).await?.put_forward(tried, share, word(desk)).await
    };
    match put.await {
        Ok(_) => {
            let said = match by_two {
                true => language.say("Proposed. Someone else must approve.", "Propuesta. Otra persona debe aprobarla."),
                false => language.say(
                    "Put in force; every proxy follows within seconds.",
                    "Puesta en vigor; todos los proxies la siguen en segundos.",
                ),
            };
            desk.done(PATH, said).await
        }
        Err(why) => editor::with(desk, &draft, &Shown { wrong: &logged(desk, &why), text: None }).await,
    }
}

/// Approves of a proposal.
pub(in crate::console) async fn approve(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let version = desk.form.get("version").parse::<i64>().map_err(|_| Trouble::NoForm)?;
    let share = desk.form.get("share").parse::<f64>().map_err(|_| Trouble::NoForm)?;
    let approved = async {
        let word = word(desk);
        let opened = open(desk).await?;
        let waiting = opened.waiting((version, share), &word.by).await?;
        opened.approve(waiting, word).await
    };
    match approved.await {
        Ok(_) => {
            let said = language.say(
                "Approved; every proxy follows within seconds.",
                "Aprobada; todos los proxies la siguen en segundos.",
            );
            desk.done(PATH, said).await
        }
        Err(why) => in_force::with(desk, StatusCode::UNPROCESSABLE_ENTITY, &logged(desk, &why)).await,
    }
}

/// Takes a version back.
pub(in crate::console) async fn roll_back(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let back = match desk.form.get("back") {
        "newest" => Back::Newest,
        "shadow" => Back::Shadow,
        version => Back::To(version.parse().map_err(|_| Trouble::NoForm)?),
    };
    let taken = async { open(desk).await?.roll_back(back, word(desk)).await };
    match taken.await {
        Ok(_) => {
            desk.done(
                PATH,
                language.say(
                    "Taken back; every proxy follows within seconds.",
                    "Retirada; todos los proxies lo siguen en segundos.",
                ),
            )
            .await
        }
        Err(why) => in_force::with(desk, StatusCode::UNPROCESSABLE_ENTITY, &logged(desk, &why)).await,
    }
}
