//! What the store keeps of those who sign in by a provider: that they went there, and which account is theirs.

use super::person::Person;
use crate::audit::act::{Act, Change, Deed, OURSELVES};
use crate::audit::acts;
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::audit::store::{Fault, Store, lock};
use crate::console::account::{Refusal, Wish};
use crate::console::session::{Token, micros};
use sqlx::{AnyConnection, Row};
use std::time::Duration;

/// How long someone may be at the provider.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

impl Store {
    /// Notes that someone goes to the provider, to go on to `then`; forgets those who did not come back.
    pub(super) async fn begin_sign_in(&self, token: &Token, then: &str) -> Result<(), Fault> {
        let over = sqlx::query("DELETE FROM sign_ins WHERE began < $1").bind(now() - micros(PATIENCE));
        over.execute(&self.pool).await?;
        let query = sqlx::query("INSERT INTO sign_ins (id, began, next) VALUES ($1, $2, $3)");
        query.bind(token.id()).bind(now()).bind(then.to_owned()).execute(&self.pool).await.map(drop)
    }

    /// Where someone who comes back wanted to go; once.
    pub(super) async fn take_sign_in(&self, token: &Token) -> Result<Option<String>, Fault> {
        let query = sqlx::query("DELETE FROM sign_ins WHERE id = $1 RETURNING began, next").bind(token.id());
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(None) };
        let is_in_time = row.try_get::<i64, _>(0)? >= now() - micros(PATIENCE);
        is_in_time.then(|| row.try_get(1)).transpose()
    }

    /// The name of the account of someone whom the provider vouches for, who may now do what it says. It is made where there is none,
    /// unless the name is taken.
    pub(super) async fn vouched(&self, person: &Person, key: &Signing) -> Result<String, Refusal> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        let query = "SELECT a.name, a.role FROM subjects s JOIN accounts a ON a.name = s.account WHERE s.subject = $1";
        let found = sqlx::query(query).bind(person.subject.clone()).fetch_optional(&mut *transaction).await?;
        let (name, change) = match found {
            Some(row) => {
                let (name, role): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                (name, (role != person.role.id()).then_some(Change::Role(person.role)))
            }
            None => (person.name.clone(), Some(Change::Added(person.role))),
        };
        if let Some(change) = change {
            note(&mut transaction, person, (&name, change)).await?;
            let deed = Deed::AccountChanged { account: name.clone(), change };
            let reason = format!("vouched for: {}", person.subject);
            acts::add(&mut transaction, &Act { time: now(), by: OURSELVES.to_owned(), reason, deed }, (None, key))
                .await?;
        }
        transaction.commit().await?;
        Ok(name)
    }

    /// Ends the sessions of someone whom the provider no longer vouches for.
    pub(super) async fn end_sessions(&self, subject: &str) -> Result<(), Fault> {
        let query = "DELETE FROM sessions WHERE account IN (SELECT account FROM subjects WHERE subject = $1)";
        sqlx::query(query).bind(subject.to_owned()).execute(&self.pool).await.map(drop)
    }

    /// The names of accounts that a provider vouches for.
    pub(in crate::console) async fn vouched_accounts(&self) -> Result<Vec<String>, Fault> {
        let rows = sqlx::query("SELECT account FROM subjects").fetch_all(&self.pool).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

/// Changes an account as the provider says, or makes it.
async fn note(connection: &mut AnyConnection, person: &Person, (name, change): (&str, Change)) -> Result<(), Refusal> {
    let role = person.role.id();
    if change == Change::Role(person.role) {
        let query = sqlx::query("UPDATE accounts SET role = $2 WHERE name = $1").bind(name.to_owned()).bind(role);
        query.execute(connection).await?;
        return Ok(());
    }
    let taken = sqlx::query("SELECT name FROM accounts WHERE name = $1").bind(name.to_owned());
    if taken.fetch_optional(&mut *connection).await?.is_some() {
        return Err(Refusal::Taken);
    }
    let account = sqlx::query("INSERT INTO accounts (name, role, password, made) VALUES ($1, $2, NULL, $3)");
    account.bind(name.to_owned()).bind(role).bind(now()).execute(&mut *connection).await?;
    let subject = sqlx::query("INSERT INTO subjects (subject, account) VALUES ($1, $2)");
    subject.bind(person.subject.clone()).bind(name.to_owned()).execute(connection).await?;
    Ok(())
}

/// Lets someone's account go with its owner; else it is for the provider to say who they are and what they may do.
pub(in crate::console) async fn let_go(connection: &mut AnyConnection, name: &str, wish: &Wish) -> Result<(), Refusal> {
    if matches!(wish, Wish::Remove) {
        let query = sqlx::query("DELETE FROM subjects WHERE account = $1").bind(name.to_owned());
        query.execute(connection).await?;
        return Ok(());
    }
    let query = sqlx::query("SELECT account FROM subjects WHERE account = $1").bind(name.to_owned());
    match query.fetch_optional(connection).await? {
        Some(_) => Err(Refusal::Vouched),
        None => Ok(()),
    }
}
