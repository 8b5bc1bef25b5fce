//! Who may use the console: names, roles, and passwords, of which only a hash is kept (argon2id).

use super::language::Language;
use super::oidc;
use crate::audit::act::{Act, Change, Deed, OURSELVES};
use crate::audit::acts;
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::audit::store::{Fault, Store, lock};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What an account may do: all that those before it may, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at everything but texts.
    Viewer,
    /// Labels decisions, and reads kept texts on purpose.
    Reviewer,
    /// Drafts and proposes policies.
    Editor,
    /// Approves of policies, and takes them back.
    Approver,
    /// Looks after accounts.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Reviewer, Self::Editor, Self::Approver, Self::Admin];

    /// The word on the command line and in the store.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reviewer => "reviewer",
            Self::Editor => "editor",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == id)
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self, language: Language) -> &'static str {
        match self {
            Self::Viewer => language.say("viewer", "lector"),
            Self::Reviewer => language.say("reviewer", "revisor"),
            Self::Editor => language.say("editor", "redactor"),
            Self::Approver => language.say("approver", "aprobador"),
            Self::Admin => language.say("administrator", "administrador"),
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Why an account is not changed.
#[derive(Debug)]
pub enum Refusal {
    /// Names are of fewer characters.
    Name,
    /// The password is too short, or too long.
    Length,
    /// The password is one that is tried first.
    Common,
    /// There is such an account.
    Taken,
    /// There is no such account.
    Unknown,
    /// Nobody would be left who looks after accounts.
    LastAdmin,
    /// The hospital's own provider vouches for it, and says what it may do.
    Vouched,
    /// Someone else changed it meanwhile.
    Overtaken,
    /// No password can be hashed now.
    Busy,
    /// The store failed.
    Store(Fault),
}

impl Refusal {
    /// What is wrong, and what to do.
    #[must_use]
    pub fn told(&self, language: Language) -> String {
        let told = match self {
            Self::Name => language.say(
                "a name is made of a-z, 0-9 and . _ @ -, at most 64",
                "un nombre consta de a-z, 0-9 y . _ @ -, como máximo 64",
            ),
            Self::Length => language.say(
                "a password has at least 12 characters, and at most 1024 bytes",
                "una contraseña tiene al menos 12 caracteres, y como máximo 1024 bytes",
            ),
            Self::Common => language.say(
                "this password is easy to guess; several words in a row are not",
                "esta contraseña es fácil de adivinar; varias palabras seguidas no lo son",
            ),
            Self::Taken => language.say("there is an account of this name", "ya existe una cuenta con este nombre"),
            Self::Unknown => language.say("there is no such account", "no existe esa cuenta"),
            Self::LastAdmin => language.say(
                "this is the last administrator; make another one first",
                "es el último administrador; nombre antes a otro",
            ),
            Self::Vouched => language.say(
                "whoever has this account signs in with your provider, which also says their role; change it there",
                "quien tiene esta cuenta inicia sesión con su proveedor, que también indica su rol; cámbielo allí",
            ),
            Self::Overtaken => language.say(
                "someone else changed this account meanwhile; sign in again",
                "otra persona cambió esta cuenta entretanto; inicie sesión de nuevo",
            ),
            Self::Busy => {
                language.say("too much is asked at once; try again", "hay demasiada actividad; inténtelo de nuevo")
            }
            Self::Store(_) => language.say("the audit store does not answer", "el registro de auditoría no responde"),
        };
        told.to_owned()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Store(fault)
    }
}

/// A name as accounts have them.
///
/// # Errors
/// When it is made of other characters, or too long.
pub fn named(text: &str) -> Result<String, Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._@-".contains(&byte);
    let name = text.trim().to_ascii_lowercase();
    // Nobody is who the proxy is when it acts by itself.
    match (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && name != OURSELVES {
        true => Ok(name),
        false => Err(Refusal::Name),
    }
}

/// Beginnings of long passwords that are tried first.
const COMMON: [&str; 16] = [
    "123456",
    "abcdef",
    "admin",
    "changeme",
    "contrase",
    "dragon",
    "football",
    "hospital",
    "iloveyou",
    "letmein",
    "nonnocere",
    "passw0rd",
    "password",
    "qwerty",
    "secret",
    "welcome",
];

/// A password that is good enough for an account.
fn checked(password: &str, name: &str) -> Result<(), Refusal> {
    if password.chars().count() < 12 || password.len() > 1024 {
        return Err(Refusal::Length);
    }
    // What is left of it without what is tried first, and without digits and signs at the ends, must be something.
    let mut rest = password.to_lowercase();
    for known in COMMON.iter().copied().chain([name]) {
        rest = rest.replace(known, "");
    }
    let rest = rest.trim_matches(|letter: char| !letter.is_alphabetic());
    let mut letters: Vec<char> = rest.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    if letters.len() < 4 { Err(Refusal::Common) } else { Ok(()) }
}

/// Hashes passwords, no more than two at a time: each takes 19 MiB, and a core.
pub struct Passwords(Arc<Semaphore>);

/// What a password is held against where there is no account, so that this takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$0R6KnSTiRhDgLQYjo8VNfgKxuzVGO4tgyxtjWtWlXZ4";

/// How long someone waits for the others.
const PATIENCE: Duration = Duration::from_secs(10);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(2)))
    }
}

impl Passwords {
    /// The hash of a password that is good enough for an account of this name.
    ///
    /// # Errors
    /// When it is not, or it cannot be hashed now.
    pub async fn hash(&self, password: &str, name: &str) -> Result<String, Refusal> {
        checked(password, name)?;
        let password = password.to_owned();
        let hash = move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string());
        self.run(hash).await?.map_err(|_| Refusal::Busy)
    }

    /// Whether a password is that of a hash; it takes as long where there is none.
    ///
    /// # Errors
    /// When it cannot be told now.
    pub async fn is(&self, password: &str, hash: Option<String>) -> Result<bool, Refusal> {
        let password = password.to_owned();
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let is_it = move || {
            let hash = PasswordHash::new(&hash).ok();
            hash.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        };
        Ok(self.run(is_it).await? && is_known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let slot = tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        let slot = slot.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Busy)?;
        // The slot is the work's, which goes on where the visitor has left.
        let work = move || {
            let done = work();
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Busy)
    }
}

/// What is to be done with an account.
#[derive(Clone, Debug)]
pub enum Wish {
    /// It is made, with the hash of its password; without one, someone else vouches for it.
    Add(Role, Option<String>),
    /// It gets another role.
    Role(Role),
    /// It gets another password, by its hash.
    Password(String),
    /// The same, by who has it: where its password still has the hash that theirs was held against.
    Replace {
        /// The hash before.
        was: String,
        /// The hash after.
        new: String,
    },
    /// It goes.
    Remove,
}

impl Wish {
    const fn change(&self) -> Change {
        match self {
            Self::Add(role, _) => Change::Added(*role),
            Self::Role(role) => Change::Role(*role),
            Self::Password(_) | Self::Replace { .. } => Change::Password,
            Self::Remove => Change::Removed,
        }
    }
}

impl Store {
    /// The account of a name and the hash of its password.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn account(&self, name: &str) -> Result<Option<(Account, Option<String>)>, Fault> {
        let query = sqlx::query("SELECT name, role, password FROM accounts WHERE name = $1").bind(name.to_owned());
        let row = query.fetch_optional(&self.pool).await?;
        row.map(|row| Ok((account(&row)?, row.try_get(2)?))).transpose()
    }

    /// All accounts, by their names.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn accounts(&self) -> Result<Vec<Account>, Fault> {
        let rows = sqlx::query("SELECT name, role FROM accounts ORDER BY name").fetch_all(&self.pool).await?;
        rows.iter().map(account).collect()
    }

    /// Does what is wished with the account `name`, by the word of `by`, and records it; its sessions end.
    ///
    /// # Errors
    /// When it cannot be done; nothing is then.
    pub async fn change_account(&self, name: &str, wish: &Wish, (by, key): (&str, &Signing)) -> Result<(), Refusal> {
        let mut transaction = self.pool.begin().await?;
        // Those who change accounts take turns, so that two last administrators cannot remove each other.
        lock(&mut transaction).await?;
        change(&mut transaction, name, wish).await?;
        let sessions = sqlx::query("DELETE FROM sessions WHERE account = $1").bind(name.to_owned());
        sessions.execute(&mut *transaction).await?;
        let deed = Deed::AccountChanged { account: name.to_owned(), change: wish.change() };
        let act = Act { time: now(), by: by.to_owned(), reason: String::new(), deed };
        acts::add(&mut transaction, &act, (None, key)).await?;
        Ok(transaction.commit().await?)
    }
}

async fn change(connection: &mut AnyConnection, name: &str, wish: &Wish) -> Result<(), Refusal> {
    let found = sqlx::query("SELECT name, role FROM accounts WHERE name = $1").bind(name.to_owned());
    let found = found.fetch_optional(&mut *connection).await?.map(|row| account(&row)).transpose()?;
    let is_no_admin = matches!(wish, Wish::Remove) || matches!(wish, Wish::Role(role) if *role != Role::Admin);
    match (&found, wish) {
        (Some(_), Wish::Add(..)) => return Err(Refusal::Taken),
        (None, Wish::Role(_) | Wish::Password(_) | Wish::Replace { .. } | Wish::Remove) => {
            return Err(Refusal::Unknown);
        }
        (Some(account), _) if account.role == Role::Admin && is_no_admin => {
            let admins = sqlx::query("SELECT COUNT(*) FROM accounts WHERE role = $1").bind(Role::Admin.id());
            if admins.fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? < 2 {
                return Err(Refusal::LastAdmin);
            }
        }
        _ => {}
    }
    if !matches!(wish, Wish::Add(..)) {
        oidc::let_go(connection, name, wish).await?;
    }
    let query = match wish {
        Wish::Add(role, password) => {
            let query = sqlx::query("INSERT INTO accounts (name, role, password, made) VALUES ($1, $2, $3, $4)");
            query.bind(name.to_owned()).bind(role.id()).bind(password.clone()).bind(now())
        }
        Wish::Role(role) => {
            sqlx::query("UPDATE accounts SET role = $2 WHERE name = $1").bind(name.to_owned()).bind(role.id())
        }
        Wish::Password(hash) => {
            sqlx::query("UPDATE accounts SET password = $2 WHERE name = $1").bind(name.to_owned()).bind(hash.clone())
        }
        Wish::Replace { was, new } => {
            let query = sqlx::query("UPDATE accounts SET password = $2 WHERE name = $1 AND password = $3");
            query.bind(name.to_owned()).bind(new.clone()).bind(was.clone())
        }
        Wish::Remove => sqlx::query("DELETE FROM accounts WHERE name = $1").bind(name.to_owned()),
    };
    match query.execute(connection).await?.rows_affected() {
        0 => Err(Refusal::Overtaken),
        _ => Ok(()),
    }
}

fn account(row: &sqlx::any::AnyRow) -> Result<Account, Fault> {
    let role: String = row.try_get(1)?;
    let role = Role::from_id(&role).ok_or_else(|| Fault::Decode("an unknown role".into()))?;
    Ok(Account { name: row.try_get(0)?, role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert_eq!(named(" Ana.Diaz@Clinic-1 ").unwrap(), "ana.diaz@clinic-1");
        for name in ["nonnocere", "", "a b", "<b>", "é", "a/b", &"a".repeat(65)] {
            assert!(named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn passwords_are_long_and_not_those_that_are_tried_first() {
        for password in ["correct horse battery", "ünïcödé sätze", "tratar-a-todos-bien"] {
            assert!(checked(password, "ana").is_ok(), "{password}");
        }
        assert!(matches!(checked("short enough", "ana"), Ok(())));
        assert!(matches!(checked("short one", "ana"), Err(Refusal::Length)));
        assert!(matches!(checked(&"long".repeat(300), "ana"), Err(Refusal::Length)));
        for password in
            ["Password1234!", "123456789012", "aaaaaaaaaaaa", "qwertyqwerty12", "ana.diaz2026!", "Hospital2026!!"]
        {
            assert!(matches!(checked(password, "ana.diaz"), Err(Refusal::Common)), "{password}");
        }
    }

    #[tokio::test]
    async fn a_password_is_told_by_its_hash() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse battery", "ana").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.is("correct horse battery", Some(hash.clone())).await.unwrap());
        assert!(!passwords.is("correct horse batterie", Some(hash)).await.unwrap());
        assert!(!passwords.is("correct horse battery", None).await.unwrap());
        // What stands for nobody is a hash, of as much work.
        let nobody = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(nobody.params.to_string(), "m=19456,t=2,p=1");
        assert!(nobody.salt.is_some() && nobody.hash.is_some());
    }
}
