//! The page on which someone changes the password of their own account. Who guesses the one before is slowed down.

use super::Desk;
use super::account::{Refusal, Wish};
use super::page::{moved, with_cookie};
use super::session::Life;
use super::trouble::Trouble;
use crate::response::Body;
use http::{Response, StatusCode};
use maud::{Markup, html};

const PATH: &str = "/console/password";

/// Shows the form, or why there is none.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let main = own(desk).await?.map(|_| form(desk, ""));
    Ok(page(desk, StatusCode::OK, main))
}

/// Changes it. All sessions of the account end, and whoever changed it goes on in a new one: a cookie that was stolen is of no use then.
pub(super) async fn change(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    const WRONG: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    let Some(was) = own(desk).await? else { return Ok(page(desk, WRONG, None)) };
    let wrong = |wrong: &str| Ok(page(desk, WRONG, Some(form(desk, wrong))));
    let (language, account) = (desk.language, &desk.account.name);
    let [old, new, again] = ["old", "new", "again"].map(|name| desk.form.get(name));
    if new != again {
        return wrong(
            language.say("The new password is not the same twice.", "La contraseña nueva no es igual las dos veces."),
        );
    }
    let passwords = &desk.console.passwords;
    desk.console.gate.pass_change(account).map_err(Trouble::Limited)?;
    if !passwords.is(old, Some(was.clone())).await.map_err(trouble)? {
        tracing::warn!(peer = ?desk.visit.peer, account, "someone did not change a password in the console");
        return wrong(language.say("The current password is wrong.", "La contraseña actual no es correcta."));
    }
    if new == old {
        return wrong(language.say("The new password is the current one.", "La contraseña nueva es la actual."));
    }
    let changed = async {
        let new = passwords.hash(new, account).await?;
        let by = (account.as_str(), &desk.records.key);
        desk.records.store.change_account(account, &Wish::Replace { was, new }, by).await
    };
    match changed.await {
        Ok(()) => anew(desk).await,
        Err(refusal @ (Refusal::Store(_) | Refusal::Busy)) => Err(trouble(refusal)),
        Err(refusal) => wrong(&refusal.told(language)),
    }
}

/// The hash of the password; nothing where the account has none.
async fn own(desk: &Desk<'_>) -> Result<Option<String>, Trouble> {
    Ok(desk.records.store.account(&desk.account.name).await?.and_then(|(_, hash)| hash))
}

fn trouble(refusal: Refusal) -> Trouble {
    match refusal {
        Refusal::Store(fault) => Trouble::Store(fault),
        _ => Trouble::Busy,
    }
}

/// Goes on in a new session.
async fn anew(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let (store, life) = (&desk.records.store, Life::of(desk.console));
    let token = store.open_session(&desk.account.name, life).await?;
    if let Some(session) = store.session(&token, life).await? {
        let done = desk.language.say(
            "Your password is changed, and all other sessions of your account have ended.",
            "Su contraseña ha cambiado y todas las demás sesiones de su cuenta han terminado.",
        );
        store.flash(&session, done).await?;
    }
    Ok(with_cookie(moved(PATH), &token.cookie(desk.console.settings.secure)))
}

fn page(desk: &Desk<'_>, status: StatusCode, form: Option<Markup>) -> Response<Body> {
    let language = desk.language;
    let title = language.say("Your password", "Su contraseña");
    let main = html! {
        section class="card narrow" {
            h1 { (title) }
            @match form {
                Some(form) => (form),
                None => p {
                    (language.say(
                        "Your account has no password here: you sign in with your organisation's account. Change its password there.",
                        "Su cuenta no tiene contraseña aquí: inicia sesión con la cuenta de su organización. Cambie allí su contraseña.",
                    ))
                },
            }
        }
    };
    desk.page_with(status, title, &main)
}

fn form(desk: &Desk<'_>, wrong: &str) -> Markup {
    let language = desk.language;
    let described = (!wrong.is_empty()).then_some("wrong");
    let fields = [
        ("old", language.say("Current password", "Contraseña actual"), "current-password", None),
        ("new", language.say("New password", "Contraseña nueva"), "new-password", Some("12")),
        ("again", language.say("The new one once more", "La nueva otra vez"), "new-password", Some("12")),
    ];
    html! {
        @if !wrong.is_empty() { p class="wrong" role="alert" id="wrong" { (wrong) } }
        form method="post" action=(PATH) {
            (desk.token())
            // For those who have passwords kept.
            input type="hidden" name="name" value=(desk.account.name) autocomplete="username";
            @for (name, label, kind, least) in fields {
                div class="field" {
                    label for=(name) { (label) }
                    input id=(name) name=(name) type="password" autocomplete=(kind) required minlength=[least] maxlength="1024"
                        aria-describedby=[if name == "new" { Some("new-hint") } else { described }];
                    @if name == "new" {
                        p class="hint" id="new-hint" {
                            (language.say("At least 12 characters; several words in a row are best", "Al menos 12 caracteres; lo mejor son varias palabras seguidas"))
                        }
                    }
                }
            }
            button class="primary" { (language.say("Change the password", "Cambiar la contraseña")) }
        }
        p class="hint" {
            (language.say("All other sessions of your account end.", "Todas las demás sesiones de su cuenta terminan."))
        }
    }
}
