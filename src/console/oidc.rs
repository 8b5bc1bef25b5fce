//! Signing in with the hospital's own OpenID Connect provider: by an authorization code that only this browser can redeem (PKCE, `state`,
//! `nonce`), and an ID token that is checked whole. Its groups say what someone may do; who is in none does not get in.
//!
//! A browser that goes to the provider keeps a random cookie. All that must come back follows from it, and the store knows its hash alone:
//! once, and for ten minutes.

mod kept;
mod person;
mod provider;

use super::account::Refusal;
use super::language::Language;
use super::page::{is_ours, moved, with_cookie};
use super::session::{Token, kept as cookie};
use super::trouble::Trouble;
use super::{Records, Visit, sign_in};
use crate::metrics::SignIn;
use crate::response::Body;
use http::{Response, StatusCode};
pub(super) use kept::let_go;
use maud::{Markup, html};
use person::Person;
pub(super) use provider::Provider;
use provider::{Fault, Secrets};

/// Where one goes to the provider.
pub(crate) const PATH: &str = "/console/sign-in/oidc";

/// Where one comes back.
pub(crate) const BACK: &str = "/console/sign-in/oidc/back";

/// The cookie of those who are at the provider.
pub(super) const COOKIE: &str = "sign_in";

/// Why someone who came back is not signed in.
enum Wrong {
    /// It took too long, was done before, or began elsewhere.
    Over,
    /// The provider failed, or did not vouch.
    Provider(Fault),
    /// The provider vouched, for nobody of ours.
    Person(person::Stranger),
    /// The name is someone else's.
    Account(Refusal),
    /// Not even a page can be kept.
    Trouble(Trouble),
}

impl<T: Into<Trouble>> From<T> for Wrong {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

/// The link to the provider, on the page on which one signs in.
pub(super) fn link(provider: &Provider, language: Language, then: &str) -> Markup {
    let path = match is_ours(then) {
        true => format!("{PATH}?then={}", form_urlencoded::byte_serialize(then.as_bytes()).collect::<String>()),
        false => PATH.to_owned(),
    };
    let text = match &provider.settings.name {
        Some(name) => format!("{} {name}", language.say("Sign in with", "Iniciar sesión con")),
        None => language
            .say("Sign in with your organisation's account", "Iniciar sesión con la cuenta de su organización")
            .to_owned(),
    };
    html! {
        p { a class="button" href=(path) { (text) } }
        p class="hint" {
            (language.say("Signing out of the console does not sign you out there.", "Cerrar la sesión de la consola no cierra la de allí."))
        }
    }
}

/// Sends a visitor to the provider.
pub(super) async fn begin(visit: &Visit<'_>) -> Result<Response<Body>, Trouble> {
    let (provider, records) = both(visit)?;
    let metrics = &visit.console.proxy.metrics;
    visit.console.gate.pass_departure(visit.peer).map_err(|after| {
        metrics.signed_in(SignIn::Limited);
        Trouble::Limited(after)
    })?;
    let token = Token::random()?;
    let address = match provider.address(Secrets::of(&token)).await {
        Ok(address) => address,
        Err(fault) => return refused(visit, Wrong::Provider(fault)),
    };
    let then = Some(visit.query.get("then")).filter(|then| is_ours(then)).unwrap_or("/console/");
    records.store.begin_sign_in(&token, then).await?;
    let mut cookie = token.cookie_of(COOKIE, visit.console.settings.secure);
    cookie.set_max_age(::cookie::time::Duration::try_from(kept::PATIENCE).ok());
    Ok(with_cookie(moved(&address), &cookie))
}

fn both<'a>(visit: &Visit<'a>) -> Result<(&'a Provider, &'a Records), Trouble> {
    let provider = visit.console.provider.as_ref().ok_or(Trouble::NotFound)?;
    Ok((provider, visit.console.records.as_ref().ok_or(Trouble::NoStore)?))
}

/// Signs in someone whom the provider sent back.
pub(super) async fn back(visit: &Visit<'_>) -> Result<Response<Body>, Trouble> {
    let (provider, records) = both(visit)?;
    // Who is not signed in keeps the cookie: another site may have sent them here while they are at the provider.
    let (name, then) = match vouched(visit, provider, records).await {
        Ok(vouched) => vouched,
        Err(wrong) => return refused(visit, wrong),
    };
    let response = sign_in::open(visit, records, (&name, provider.settings.issuer.as_str()), &then).await?;
    let mut over = cookie((COOKIE, String::new()), visit.console.settings.secure);
    over.make_removal();
    Ok(with_cookie(response, &over))
}

/// The account of someone whom the provider vouches for, and where they wanted to go.
async fn vouched(visit: &Visit<'_>, provider: &Provider, records: &Records) -> Result<(String, String), Wrong> {
    let sent = visit.query;
    let token = visit.begun.filter(|token| Secrets::of(token).state == sent.get("state")).ok_or(Wrong::Over)?;
    let then = records.store.take_sign_in(token).await?.ok_or(Wrong::Over)?;
    // Whoever answers in place of the provider says so (RFC 9207).
    if sent.all("iss").any(|issuer| issuer != provider.settings.issuer.as_str()) {
        return Err(Wrong::Over);
    }
    if let Some(error) = sent.all("error").next() {
        return Err(Wrong::Provider(Fault::Refused(format!("the provider says {error:?}"))));
    }
    let claims = provider.claims(sent.get("code"), Secrets::of(token)).await.map_err(Wrong::Provider)?;
    match Person::of(&claims, &provider.settings) {
        Ok(person) => {
            let account = records.store.vouched(&person, &records.key).await.map_err(Wrong::Account)?;
            Ok((account, then))
        }
        Err(stranger) => {
            // They may have been one of ours.
            records.store.end_sessions(&stranger.subject).await?;
            Err(Wrong::Person(stranger))
        }
    }
}

/// The page on which one signs in, with why one is not.
fn refused(visit: &Visit<'_>, wrong: Wrong) -> Result<Response<Body>, Trouble> {
    let language = visit.language;
    let (why, status, told) = match wrong {
        Wrong::Trouble(trouble) => return Err(trouble),
        Wrong::Account(Refusal::Store(fault)) => return Err(Trouble::Store(fault)),
        Wrong::Over => (
            "it was not the browser that began, or too late".to_owned(),
            StatusCode::BAD_REQUEST,
            language.say(
                "This sign-in is over: it took longer than ten minutes, was used before, or began in another browser. Start again.",
                "Este inicio de sesión ya no es válido: tardó más de diez minutos, ya se usó o empezó en otro navegador. Empiece de nuevo.",
            ),
        ),
        Wrong::Provider(Fault::Unreachable(why)) => (
            why,
            StatusCode::BAD_GATEWAY,
            language.say(
                "Your organisation's sign-in does not answer. Try again in a moment, or sign in with a name and a password here.",
                "El inicio de sesión de su organización no responde. Inténtelo de nuevo en un momento, o use aquí un nombre y una contraseña.",
            ),
        ),
        Wrong::Provider(Fault::Refused(why)) => (
            why,
            StatusCode::FORBIDDEN,
            language.say(
                "Your organisation's sign-in did not let you in. Try again; if it stays so, whoever runs nonnocere finds the reason in the log.",
                "El inicio de sesión de su organización no le dejó entrar. Inténtelo de nuevo; si sigue igual, quien administra nonnocere verá el motivo en el registro del servidor.",
            ),
        ),
        Wrong::Person(stranger) => (stranger.why.to_owned(), StatusCode::FORBIDDEN, stranger.told(language)),
        Wrong::Account(_) => (
            "the account of this name is someone else's".to_owned(),
            StatusCode::FORBIDDEN,
            language.say(
                "There already is another account of your name. Ask an administrator of the console to remove or rename it.",
                "Ya existe otra cuenta con su nombre. Pida a un administrador de la consola que la elimine o le cambie el nombre.",
            ),
        ),
    };
    visit.console.proxy.metrics.signed_in(SignIn::Rejected);
    tracing::warn!(peer = ?visit.peer, why, "someone did not sign in to the console by its provider");
    Ok(sign_in::asked(visit, ("", told), status))
}
