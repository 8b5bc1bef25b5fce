//! Sessions: a random cookie, of which the store knows the hash alone.

use super::Console;
use super::account::{Account, Role};
use crate::audit::journal::now;
use crate::audit::store::{Fault, Store};
use crate::digest;
use cookie::{Cookie, SameSite};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use sqlx::Row;
use std::time::Duration;

/// The cookie of a session.
pub const COOKIE: &str = "session";

/// How long a session may last, and how long it may be idle.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// From its beginning.
    pub whole: Duration,
    /// From the last page.
    pub idle: Duration,
}

impl Life {
    /// The life that a session of `console` has.
    #[must_use]
    pub const fn of(console: &Console) -> Self {
        Self { whole: console.settings.session, idle: console.settings.session_idle }
    }
}

/// An open session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id in the store.
    id: String,
    /// Whose it is.
    pub account: Account,
    /// What each of its forms must carry.
    pub csrf: String,
    /// What the next page says of what was done.
    pub flash: String,
}

/// What was put into a cookie: whoever has it is in the session.
pub struct Token(String);

impl Token {
    pub(super) fn random() -> Result<Self, Fault> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Fault::Io(std::io::Error::other(error)))?;
        Ok(Self(BASE64URL_NOPAD.encode(&bytes)))
    }

    /// The one that a request shows by a cookie of this name.
    pub(super) fn kept(headers: &HeaderMap, name: &str, secure: bool) -> Option<Self> {
        cookie(headers, name, secure).map(Self)
    }

    pub(super) fn id(&self) -> String {
        digest::sha256(self.0.as_bytes())
    }

    /// It follows from the cookie, so that whoever reads the store has neither.
    fn csrf(&self) -> String {
        self.derived("form")
    }

    /// What nobody knows who does not have it, of use for one thing.
    pub(super) fn derived(&self, thing: &str) -> String {
        digest::sha256(format!("{thing} {}", self.0).as_bytes())
    }

    /// The cookie that has it.
    #[must_use]
    pub fn cookie(&self, secure: bool) -> Cookie<'static> {
        self.cookie_of(COOKIE, secure)
    }

    /// The cookie of this name that has it.
    pub(super) fn cookie_of(&self, name: &'static str, secure: bool) -> Cookie<'static> {
        kept((name, self.0.clone()), secure)
    }
}

/// A cookie of the console, for nobody but its pages. Where it is for HTTPS alone its name says so, and browsers take it from nobody
/// else: neither another host of the domain nor a page without HTTPS can put one there.
pub(super) fn kept((name, value): (&'static str, String), secure: bool) -> Cookie<'static> {
    // The prefix is for cookies of the whole host.
    let path = if secure { "/" } else { "/console" };
    let cookie = Cookie::build((called(name, secure), value)).path(path).http_only(true).same_site(SameSite::Lax);
    cookie.secure(secure).build()
}

fn called(name: &str, secure: bool) -> String {
    if secure { format!("__Host-{name}") } else { name.to_owned() }
}

/// The value of a cookie that a request shows.
pub(super) fn cookie(headers: &HeaderMap, name: &str, secure: bool) -> Option<String> {
    let name = called(name, secure);
    let lines = headers.get_all(http::header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut found = lines.flat_map(|line| Cookie::split_parse(line.to_owned())).filter_map(Result::ok);
    found.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl Store {
    /// Opens a session, and forgets those that have ended.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn open_session(&self, account: &str, life: Life) -> Result<Token, Fault> {
        let (token, now) = (Token::random()?, now());
        let ended = sqlx::query("DELETE FROM sessions WHERE began < $1 OR seen < $2");
        ended.bind(now - micros(life.whole)).bind(now - micros(life.idle)).execute(&self.pool).await?;
        let query = sqlx::query("INSERT INTO sessions (id, account, began, seen, flash) VALUES ($1, $2, $3, $3, '')");
        query.bind(token.id()).bind(account.to_owned()).bind(now).execute(&self.pool).await?;
        Ok(token)
    }

    /// The session of a cookie, if it is open; it is then not idle.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn session(&self, token: &Token, life: Life) -> Result<Option<Session>, Fault> {
        let now = now();
        let query = "SELECT s.account, a.role, s.flash, s.seen FROM sessions s JOIN accounts a ON a.name = s.account \
                     WHERE s.id = $1 AND s.began >= $2 AND s.seen >= $3";
        let query = sqlx::query(query).bind(token.id());
        let query = query.bind(now - micros(life.whole)).bind(now - micros(life.idle));
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(None) };
        let role: String = row.try_get(1)?;
        let Some(role) = Role::from_id(&role) else { return Ok(None) };
        let account = Account { name: row.try_get(0)?, role };
        let session = Session { id: token.id(), account, csrf: token.csrf(), flash: row.try_get(2)? };
        // Not each page is worth a write.
        if row.try_get::<i64, _>(3)? < now - micros(life.idle) / 20 {
            let seen = sqlx::query("UPDATE sessions SET seen = $2 WHERE id = $1").bind(session.id.clone()).bind(now);
            seen.execute(&self.pool).await?;
        }
        Ok(Some(session))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When it may still be open.
    pub async fn end_session(&self, session: &Session) -> Result<(), Fault> {
        let query = sqlx::query("DELETE FROM sessions WHERE id = $1").bind(session.id.clone());
        query.execute(&self.pool).await.map(drop)
    }

    /// Has the next page of a session say something; nothing, once it was said.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn flash(&self, session: &Session, said: &str) -> Result<(), Fault> {
        let query = sqlx::query("UPDATE sessions SET flash = $2 WHERE id = $1");
        query.bind(session.id.clone()).bind(said.to_owned()).execute(&self.pool).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_the_store_knows_its_hash_alone() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one.0, other.0);
        assert_eq!(one.0.len(), 43);
        assert!(one.id() != one.0 && one.csrf() != one.id() && !one.csrf().contains(&one.0));
        assert_eq!(
            one.cookie(true).to_string(),
            format!("__Host-session={}; HttpOnly; SameSite=Lax; Secure; Path=/", one.0)
        );
        assert_eq!(one.cookie(false).to_string(), format!("session={}; HttpOnly; SameSite=Lax; Path=/console", one.0));
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", "a=1; session=x=y".parse().unwrap());
        headers.append("cookie", "theme=dark".parse().unwrap());
        assert_eq!(cookie(&headers, "session", false).unwrap(), "x=y");
        assert_eq!(cookie(&headers, "theme", false).unwrap(), "dark");
        assert_eq!(cookie(&headers, "b", false), None);
        // One without the prefix may have been put there by another host.
        assert_eq!(cookie(&headers, "session", true), None);
        headers.append("cookie", "__Host-session=z".parse().unwrap());
        assert_eq!(cookie(&headers, "session", true).unwrap(), "z");
        assert_eq!(cookie(&headers, "session", false).unwrap(), "x=y");
    }
}
