//! Signing in by name and password, and out again. Who guesses is slowed down, and told nothing.

use super::account::{Refusal, named};
use super::page::{self, Frame, moved};
use super::session::Life;
use super::trouble::Trouble;
use super::{Desk, Records, Visit, oidc};
use crate::audit::act::{Act, Deed};
use crate::audit::journal::now;
use crate::config::Attempts;
use crate::metrics::SignIn;
use crate::response::Body;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{Response, StatusCode};
use lru::LruCache;
use maud::{Markup, html};
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where one signs in.
pub(super) const PATH: &str = "/console/sign-in";

/// How often signing in was tried, by account and by address.
pub(super) struct Gate {
    accounts: Tries,
    addresses: Tries,
    /// Of those who are signed in: nobody else can keep them from changing their password.
    changes: Tries,
    /// Goings to the provider, by address: they are no guesses, and keep nobody from a password.
    departures: Tries,
}

impl Gate {
    /// A gate that lets so many pass.
    #[must_use]
    pub(super) fn new(attempts: Attempts) -> Self {
        let tries = |most| Tries::new(most, attempts.within);
        let (account, address) = (attempts.account, attempts.address);
        Self {
            accounts: tries(account),
            addresses: tries(address),
            changes: tries(account),
            departures: tries(address),
        }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// When there were too many: for how long none is made.
    pub(super) fn pass(&self, name: &str, peer: Option<IpAddr>) -> Result<(), Duration> {
        self.addresses.pass(&place(peer))?;
        self.accounts.pass(name)
    }

    /// The same for someone who is signed in, and says their password once more.
    pub(super) fn pass_change(&self, name: &str) -> Result<(), Duration> {
        self.changes.pass(name)
    }

    /// Counts someone who goes to the provider.
    pub(super) fn pass_departure(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        self.departures.pass(&place(peer))
    }
}

fn place(peer: Option<IpAddr>) -> String {
    peer.map(network).unwrap_or_default()
}

/// Who has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().iter().take(4).map(|part| format!("{part:x}:")).collect(),
    }
}

/// Names of which it is known how often they were tried: what was not tried for the longest time is forgotten.
const NAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

struct Tries {
    quota: Quota,
    known: Mutex<LruCache<String, Arc<DefaultDirectRateLimiter>>>,
}

impl Tries {
    fn new(most: NonZeroU32, within: Duration) -> Self {
        let quota = Quota::with_period(within / most.get()).unwrap_or_else(|| Quota::per_minute(most));
        Self { quota: quota.allow_burst(most), known: Mutex::new(LruCache::new(NAMES)) }
    }

    fn pass(&self, name: &str) -> Result<(), Duration> {
        let limiter = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(RateLimiter::direct(self.quota));
            Arc::clone(known.get_or_insert(name.to_owned(), new))
        };
        limiter.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// The page on which one signs in.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Response<Body>, Trouble> {
    if visit.session.is_some() {
        return Ok(moved("/console/"));
    }
    let said = match visit.query.get("out") {
        "" => "",
        _ => visit.language.say("You have signed out.", "Ha cerrado la sesión."),
    };
    Ok(asked(visit, (said, ""), StatusCode::OK))
}

/// The page on which one signs in, with what went wrong.
pub(super) fn asked(visit: &Visit<'_>, (said, wrong): (&str, &str), status: StatusCode) -> Response<Body> {
    let title = visit.language.say("Sign in", "Iniciar sesión");
    let frame = Frame { title, account: None, said, status };
    page::frame(visit, &frame, &form(visit, title, wrong))
}

fn form(visit: &Visit<'_>, title: &str, wrong: &str) -> Markup {
    let language = visit.language;
    let sent = if visit.form.get("name").is_empty() { visit.query } else { visit.form };
    html! {
        section class="card narrow" {
            h1 { (title) }
            @if !wrong.is_empty() {
                p class="wrong" role="alert" id="wrong" { (wrong) }
            }
            form method="post" action=(PATH) {
                input type="hidden" name="then" value=(sent.get("then"));
                div class="field" {
                    label for="name" { (language.say("Name", "Nombre")) }
                    input id="name" name="name" value=(visit.form.get("name")) autocomplete="username" required maxlength="64"
                        autocapitalize="none" spellcheck="false" aria-describedby=[(!wrong.is_empty()).then_some("wrong")];
                }
                div class="field" {
                    label for="password" { (language.say("Password", "Contraseña")) }
                    input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024";
                }
                button class="primary" { (title) }
            }
            @if let Some(provider) = &visit.console.provider {
                (oidc::link(provider, language, sent.get("then")))
            }
        }
    }
}

/// Signs in.
pub(super) async fn submit(visit: &Visit<'_>) -> Result<Response<Body>, Trouble> {
    let (console, language) = (visit.console, visit.language);
    let records = console.records.as_ref().ok_or(Trouble::NoStore)?;
    let (typed, password) = (visit.form.get("name"), visit.form.get("password"));
    // What is no name is nobody's.
    let name = named(typed).unwrap_or_default();
    console.gate.pass(&name, visit.peer).map_err(|after| {
        console.proxy.metrics.signed_in(SignIn::Limited);
        Trouble::Limited(after)
    })?;
    let found = records.store.account(&name).await?;
    let (account, hash) = found.map_or((None, None), |(account, hash)| (Some(account), hash));
    let is_it = console.passwords.is(password, hash).await.map_err(busy)?;
    let Some(account) = account.filter(|_| is_it) else {
        console.proxy.metrics.signed_in(SignIn::Rejected);
        tracing::warn!(peer = ?visit.peer, "someone did not sign in to the console");
        let wrong = language.say(
            "The name or the password is wrong. Try again, or ask an administrator for a new password.",
            "El nombre o la contraseña no es correcto. Inténtelo de nuevo o pida una contraseña nueva a un administrador.",
        );
        return Ok(asked(visit, ("", wrong), StatusCode::FORBIDDEN));
    };
    open(visit, records, (&account.name, "password"), visit.form.get("then")).await
}

fn busy(refusal: Refusal) -> Trouble {
    match refusal {
        Refusal::Store(fault) => Trouble::Store(fault),
        _ => Trouble::Busy,
    }
}

/// Opens a session for someone who was let in by `with`, on record, and goes on to where they wanted to go.
pub(super) async fn open(
    visit: &Visit<'_>,
    records: &Records,
    (account, with): (&str, &str),
    then: &str,
) -> Result<Response<Body>, Trouble> {
    let deed = Deed::SignedIn { with: with.to_owned() };
    let act = Act { time: now(), by: account.to_owned(), reason: String::new(), deed };
    records.store.act(&act, None, &records.key).await?;
    if let Some(session) = &visit.session {
        records.store.end_session(session).await?;
    }
    let token = records.store.open_session(account, Life::of(visit.console)).await?;
    visit.console.proxy.metrics.signed_in(SignIn::Accepted);
    let then = Some(then).filter(|then| page::is_ours(then)).unwrap_or("/console/");
    Ok(page::with_cookie(moved(then), &token.cookie(visit.console.settings.secure)))
}

/// Signs out.
pub(super) async fn out(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    desk.record(Deed::SignedOut, "").await?;
    desk.records.store.end_session(desk.session).await?;
    let mut cookie = super::session::kept((super::session::COOKIE, String::new()), desk.console.settings.secure);
    cookie.make_removal();
    Ok(page::with_cookie(moved(&format!("{PATH}?out=1")), &cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(account: u32, address: u32) -> Gate {
        let number = |number| NonZeroU32::new(number).unwrap();
        Gate::new(Attempts { account: number(account), address: number(address), within: Duration::from_secs(900) })
    }

    #[test]
    fn who_guesses_is_slowed_down_by_account_and_by_address() {
        let (home, elsewhere) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let by_account = gate(2, 9);
        assert!(by_account.pass("ana", home).is_ok() && by_account.pass("ana", elsewhere).is_ok());
        let after = by_account.pass("ana", home).unwrap_err();
        assert!(after > Duration::from_secs(400) && after <= Duration::from_secs(450), "{after:?}");
        assert!(by_account.pass("ben", home).is_ok());
        let by_address = gate(9, 2);
        assert!(by_address.pass("ana", home).is_ok() && by_address.pass("ben", home).is_ok());
        assert!(by_address.pass("eva", home).is_err());
        assert!(by_address.pass("eva", elsewhere).is_ok());
        // Neither who goes to the provider nor who changes a password is counted with those who guess.
        assert!(by_address.pass_departure(home).is_ok() && by_address.pass_departure(home).is_ok());
        assert!(by_address.pass_departure(home).is_err() && by_address.pass_departure(elsewhere).is_ok());
        assert!(by_account.pass_change("ana").is_ok() && by_account.pass_change("ana").is_ok());
        assert!(by_account.pass_change("ana").is_err() && by_account.pass_change("ben").is_ok());
    }

    #[test]
    fn one_network_is_one_guesser_and_not_all_are_remembered() {
        assert_eq!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:2:3::9".parse().unwrap()));
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1");
        let tries = Tries::new(NonZeroU32::MIN, Duration::from_secs(60));
        assert!((0..20_000).all(|name| tries.pass(&name.to_string()).is_ok()));
        assert_eq!(tries.known.lock().unwrap().len(), 10_000);
    }
}
