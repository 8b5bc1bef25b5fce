//! The page of the accounts: who may use the console, and for what.

use super::Desk;
use super::account::{Account, Refusal, Role, Wish, named};
use super::page::{moved, roles};
use super::trouble::Trouble;
use crate::response::Body;
use http::{Response, StatusCode};
use maud::{Markup, html};

const PATH: &str = "/console/people";

/// Shows all accounts.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    all(desk, StatusCode::OK, "").await
}

async fn all(desk: &Desk<'_>, status: StatusCode, wrong: &str) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let title = language.say("People", "Personas");
    let accounts = desk.records.store.accounts().await?;
    let vouched = desk.records.store.vouched_accounts().await?;
    let main = html! {
        h1 { (title) }
        @if !wrong.is_empty() {
            p class="wrong" role="alert" { (wrong) }
        }
        div class="scroll" tabindex="0" role="region" aria-labelledby="accounts" {
            table {
                caption id="accounts" { (language.say("Accounts and what they may do", "Cuentas y lo que pueden hacer")) }
                thead {
                    tr {
                        th scope="col" { (language.say("Name", "Nombre")) }
                        th scope="col" { (language.say("Role", "Rol")) }
                        th scope="col" { (language.say("New password", "Contraseña nueva")) }
                        th scope="col" { (language.say("Remove", "Eliminar")) }
                    }
                }
                tbody {
                    @for (place, account) in accounts.iter().enumerate() {
                        @if vouched.contains(&account.name) {
                            (vouched_row(desk, account))
                        } @else {
                            (row(desk, place, account))
                        }
                    }
                }
            }
        }
        (new(desk))
    };
    Ok(desk.page_with(status, title, &main))
}

fn row(desk: &Desk<'_>, place: usize, account: &Account) -> Markup {
    let language = desk.language;
    let path = format!("{PATH}/{}", account.name);
    let of = |what: &str| format!("{what}: {}", account.name);
    html! {
        tr {
            th scope="row" { (account.name) }
            td {
                form method="post" action=(path) class="row" {
                    (desk.token())
                    label class="unseen" for={ "role-" (place) } { (of(language.say("Role", "Rol"))) }
                    (roles(language, &format!("role-{place}"), account.role))
                    button name="wish" value="role" { (language.say("Change", "Cambiar")) }
                }
            }
            td {
                form method="post" action=(path) class="row" {
                    (desk.token())
                    label class="unseen" for={ "password-" (place) } { (of(language.say("New password", "Contraseña nueva"))) }
                    input id={ "password-" (place) } name="password" type="password" autocomplete="new-password" required minlength="12" maxlength="1024";
                    button name="wish" value="password" { (language.say("Set", "Definir")) }
                }
            }
            td { (removal(desk, account)) }
        }
    }
}

/// The row of an account that the hospital's own provider vouches for.
fn vouched_row(desk: &Desk<'_>, account: &Account) -> Markup {
    let language = desk.language;
    html! {
        tr {
            th scope="row" { (account.name) }
            td { (account.role.name(language)) }
            td { (language.say("Signs in with your provider", "Inicia sesión con su proveedor")) }
            td { (removal(desk, account)) }
        }
    }
}

fn removal(desk: &Desk<'_>, account: &Account) -> Markup {
    let remove = desk.language.say("Remove", "Eliminar");
    html! {
        form method="post" action={ (PATH) "/" (account.name) } {
            (desk.token())
            button class="danger" name="wish" value="remove" aria-label={ (remove) ": " (account.name) } { (remove) }
        }
    }
}

fn new(desk: &Desk<'_>) -> Markup {
    let language = desk.language;
    let role = Role::from_id(desk.form.get("role")).unwrap_or(Role::Viewer);
    html! {
        section class="card" {
            h2 { (language.say("A new account", "Una cuenta nueva")) }
            form method="post" action=(PATH) class="fields" {
                (desk.token())
                div class="field" {
                    label for="name" { (language.say("Name", "Nombre")) }
                    input id="name" name="name" value=(desk.form.get("name")) required maxlength="64" autocomplete="off" autocapitalize="none"
                        spellcheck="false" aria-describedby="name-hint";
                    p class="hint" id="name-hint" { (language.say("a-z, 0-9 and . _ @ -", "a-z, 0-9 y . _ @ -")) }
                }
                div class="field" {
                    label for="new-role" { (language.say("Role", "Rol")) }
                    (roles(language, "new-role", role))
                }
                div class="field" {
                    label for="password" { (language.say("Password", "Contraseña")) }
                    input id="password" name="password" type="password" required minlength="12" maxlength="1024" autocomplete="new-password"
                        aria-describedby="password-hint";
                    p class="hint" id="password-hint" {
                        (language.say("At least 12 characters; several words in a row are best", "Al menos 12 caracteres; lo mejor son varias palabras seguidas"))
                    }
                }
                button class="primary" { (language.say("Make the account", "Crear la cuenta")) }
            }
        }
    }
}

/// Makes an account.
pub(super) async fn add(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let added = async {
        let name = named(desk.form.get("name"))?;
        let role = Role::from_id(desk.form.get("role")).ok_or(Refusal::Unknown)?;
        let hash = desk.console.passwords.hash(desk.form.get("password"), &name).await?;
        wish(desk, &name, &Wish::Add(role, Some(hash))).await?;
        Ok(name)
    };
    match added.await {
        Ok(name) => {
            let done = desk.language.say("There is a new account:", "Hay una cuenta nueva:");
            desk.done(PATH, &format!("{done} {name}.")).await
        }
        Err(refusal) => refused(desk, refusal).await,
    }
}

/// Changes or removes an account.
pub(super) async fn change(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let (name, language) = (desk.param("name"), desk.language);
    let changed = async {
        let (wished, done) = match desk.form.get("wish") {
            "role" => {
                let role = Role::from_id(desk.form.get("role")).ok_or(Refusal::Unknown)?;
                (Wish::Role(role), language.say("has another role", "tiene otro rol"))
            }
            "password" => {
                let hash = desk.console.passwords.hash(desk.form.get("password"), name).await?;
                (Wish::Password(hash), language.say("has another password", "tiene otra contraseña"))
            }
            "remove" => (Wish::Remove, language.say("is removed", "se ha eliminado")),
            _ => return Err(Refusal::Unknown),
        };
        wish(desk, name, &wished).await?;
        Ok(done)
    };
    match changed.await {
        // One's own session has ended with it.
        Ok(_) if name == desk.account.name => Ok(moved("/console/")),
        Ok(done) => desk.done(PATH, &format!("{name} {done}.")).await,
        Err(refusal) => refused(desk, refusal).await,
    }
}

async fn wish(desk: &Desk<'_>, name: &str, wish: &Wish) -> Result<(), Refusal> {
    desk.records.store.change_account(name, wish, (&desk.account.name, &desk.records.key)).await
}

async fn refused(desk: &Desk<'_>, refusal: Refusal) -> Result<Response<Body>, Trouble> {
    if let Refusal::Store(fault) = refusal {
        return Err(fault.into());
    }
    all(desk, StatusCode::UNPROCESSABLE_ENTITY, &refusal.told(desk.language)).await
}
