//! Drafts: begun, saved, thrown away, downloaded.

use super::editor::{self, Shown};
use super::{PATH, forms, named, path_of, read};
use crate::audit::drafts::{Draft, is_name};
use crate::audit::journal::now;
use crate::console::Desk;
use crate::console::account::Role;
use crate::console::page::{moved, time};
use crate::console::trouble::Trouble;
use crate::policy::draft::{extending, plain};
use crate::policy::edit::{Change, edit};
use crate::policy::reload::InForce;
use crate::policy::shipped;
use crate::response::{Body, text};
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use maud::{Markup, html};

/// All drafts, and the form that begins one.
pub(super) async fn list(desk: &Desk<'_>, in_force: &InForce) -> Result<Markup, Trouble> {
    let language = desk.language;
    let drafts = desk.records.store.drafts().await?;
    let version = in_force.standing.as_ref().and_then(|standing| standing.stable);
    Ok(html! {
        section class="card" {
            h2 { (language.say("Drafts", "Borradores")) }
            @if drafts.is_empty() {
                p class="quiet" { (language.say("There is none yet.", "Aún no hay ninguno.")) }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label=(language.say("Drafts", "Borradores")) {
                    table {
                        caption class="unseen" { (language.say("Drafts", "Borradores")) }
                        thead {
                            tr {
                                th scope="col" { (language.say("Name", "Nombre")) }
                                th scope="col" { (language.say("Began as", "Empezó como")) }
                                th scope="col" { (language.say("Saved by", "Guardado por")) }
                                th scope="col" { (language.say("Time (UTC)", "Hora (UTC)")) }
                            }
                        }
                        tbody {
                            @for draft in &drafts {
                                tr {
                                    th scope="row" { a href=(path_of(&draft.name)) { (draft.name) } }
                                    td { @if let Some(version) = draft.based_on { "v" (version) } @else { "–" } }
                                    td { (draft.by) }
                                    td { (time(draft.time)) }
                                }
                            }
                        }
                    }
                }
            }
            @if desk.may(Role::Editor) { (beginning(desk, version)) }
        }
    })
}

fn beginning(desk: &Desk<'_>, version: Option<i64>) -> Markup {
    let language = desk.language;
    html! {
        form method="post" action={ (PATH) "/drafts" } class="fields" {
            (desk.token())
            div class="field" {
                label for="draft-name" { (language.say("Name of a new draft", "Nombre de un borrador nuevo")) }
                input id="draft-name" name="name" required maxlength="64" pattern="[a-z0-9][a-z0-9._\\-]*" autocomplete="off"
                    autocapitalize="none" spellcheck="false" aria-describedby="draft-hint";
                p class="hint" id="draft-hint" { (language.say("a-z, 0-9 and . _ -", "a-z, 0-9 y . _ -")) }
            }
            div class="field" {
                label for="draft-base" { (language.say("It begins as", "Empieza como")) }
                select id="draft-base" name="base" {
                    option value="" { (language.say("the text of what is in force", "el texto de lo que está en vigor")) }
                    @if let Some(version) = version {
                        option value={ "v" (version) } { (language.say("changes to v", "cambios sobre v")) (version) }
                    }
                    @for shipped in &shipped::ALL {
                        option value=(shipped.name) { (language.say("changes to the policy", "cambios sobre la política")) " " (shipped.name) }
                    }
                }
            }
            button class="primary" { (language.say("Begin a draft", "Empezar un borrador")) }
        }
    }
}

/// So many drafts there may be: the page of all of them reads them.
const MOST: usize = 100;

/// Begins a draft.
pub(in crate::console) async fn begin(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let name = desk.form.get("name").trim().to_owned();
    if !is_name(&name) {
        let wrong = language.say(
            "A draft's name is made of a-z, 0-9 and . _ -, begins with a letter or a digit, and has at most 64 characters.",
            "El nombre de un borrador consta de a-z, 0-9 y . _ -, empieza por una letra o una cifra, y tiene como máximo 64 caracteres.",
        );
        return super::in_force::with(desk, StatusCode::UNPROCESSABLE_ENTITY, wrong).await;
    }
    let in_force = desk.console.proxy.policy.in_force();
    let version = in_force.standing.as_ref().and_then(|standing| standing.stable);
    let base = desk.form.get("base");
    let is_known = shipped::named(base).is_some() || version.is_some_and(|version| base == format!("v{version}"));
    let text = match base {
        "" => in_force.policy.texts.first().map(|own| own.text.clone()).unwrap_or_default(),
        base if is_known => extending(&name, base),
        _ => return Err(Trouble::NoForm),
    };
    if desk.records.store.drafts().await?.len() >= MOST {
        let wrong = language.say(
            "There are a hundred drafts already: throw away those that nobody needs.",
            "Ya hay cien borradores: descarte los que nadie necesite.",
        );
        return super::in_force::with(desk, StatusCode::UNPROCESSABLE_ENTITY, wrong).await;
    }
    let draft = Draft { name, text: plain(&text), based_on: version, by: desk.account.name.clone(), time: now() };
    if !desk.records.store.save_draft(&draft, None, &desk.records.key).await? {
        let wrong = language.say("There is a draft of this name already.", "Ya existe un borrador con este nombre.");
        return super::in_force::with(desk, StatusCode::UNPROCESSABLE_ENTITY, wrong).await;
    }
    desk.done(
        &path_of(&draft.name),
        language.say(
            "The draft is begun; it changes nothing that is in force.",
            "El borrador está empezado; no cambia nada de lo que está en vigor.",
        ),
    )
    .await
}

/// Saves what a form of the draft's page says, or throws the draft away.
pub(in crate::console) async fn save(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let (draft, language) = (named(desk).await?, desk.language);
    if desk.form.get("wish") == "remove" {
        if draft.digest() != desk.form.get("was") {
            let wrong = language.say(
                "Someone else saved this draft meanwhile, so that it was not thrown away.",
                "Otra persona guardó este borrador entretanto, por lo que no se descartó.",
            );
            return editor::with(desk, &draft, &Shown { wrong, text: None }).await;
        }
        let by = (desk.account.name.as_str(), now());
        desk.records.store.remove_draft(&draft.name, by, &desk.records.key).await?;
        return desk.done(PATH, language.say("The draft is thrown away.", "El borrador se ha descartado.")).await;
    }
    let was = desk.form.get("was").to_owned();
    let text = match text_of(desk, &draft).await {
        Ok(text) => text,
        Err(wrong) => return editor::with(desk, &draft, &Shown { wrong: &wrong, text: None }).await,
    };
    let new = Draft { text, by: desk.account.name.clone(), time: now(), ..draft.clone() };
    if new.text == draft.text {
        return Ok(moved(&path_of(&draft.name)));
    }
    if !desk.records.store.save_draft(&new, Some(&was), &desk.records.key).await? {
        let wrong = language.say(
            "Someone else saved this draft meanwhile, so that yours was not saved. Your text stands below; the page shows theirs when it is loaded again.",
            "Otra persona guardó este borrador entretanto, por lo que el suyo no se guardó. Su texto está abajo; al recargar la página verá el de la otra persona.",
        );
        return editor::with(desk, &draft, &Shown { wrong, text: Some(&new.text) }).await;
    }
    let said = match read(desk, &new).await {
        Ok(_) => language.say("The draft is saved.", "El borrador está guardado."),
        Err(_) => language.say("The draft is saved, and has faults.", "El borrador está guardado y tiene errores."),
    };
    desk.done(&path_of(&draft.name), said).await
}

/// The text that a form makes of a draft.
async fn text_of(desk: &Desk<'_>, draft: &Draft) -> Result<String, String> {
    let language = desk.language;
    if desk.form.get("wish") == "text" {
        return Ok(plain(desk.form.get("text")));
    }
    let faulty = || {
        language.say(
            "The text has faults; correct it before you use the forms.",
            "El texto tiene errores; corríjalo antes de usar los formularios.",
        )
    };
    let policy = read(desk, draft).await.map_err(|_| faulty())?;
    let changes = match desk.form.get("wish") {
        "rules" => forms::of_rules(language, &policy, desk.form)?,
        "test" => vec![forms::of_test(language, &policy, desk.form)?],
        "no-test" => vec![Change::NoTest(desk.form.get("name").to_owned())],
        _ => return Err(language.say("This form is not known.", "Este formulario no se conoce.").to_owned()),
    };
    edit(&draft.name, &draft.text, &changes).map_err(|fault| fault.to_string())
}

/// The text of a draft, as a file.
pub(in crate::console) async fn download(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let draft = named(desk).await?;
    let mut response = text(StatusCode::OK, "application/toml; charset=utf-8", draft.text);
    let file = HeaderValue::try_from(format!("attachment; filename=\"{}.toml\"", draft.name));
    response.headers_mut().extend(file.ok().map(|file| (header::CONTENT_DISPOSITION, file)));
    Ok(response)
}
