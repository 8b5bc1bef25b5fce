//! Drafts of a policy in the store: texts that somebody works on, and that change nothing. Each saving is an act.

use super::act::{Act, Deed};
use super::acts;
use super::key::Signing;
use super::store::{Fault, Store, lock};
use crate::digest;
use sqlx::Row;

/// The text of a policy file that somebody works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// What stands in it.
    pub text: String,
    /// The version that it began as, where it began as one.
    pub based_on: Option<i64>,
    /// Who saved it last.
    pub by: String,
    /// When, in microseconds since 1970.
    pub time: i64,
}

/// The longest name of a draft, in bytes.
const LONGEST: usize = 64;

/// What a draft's name is made of.
pub const NAMES: &str =
    "names are of a-z, 0-9, \".\", \"_\" and \"-\", begin with a letter or a digit, and are at most 64 bytes";

/// Whether a draft can have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LONGEST
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || b"._-".contains(&byte))
}

impl Draft {
    /// The SHA-256 of its text.
    #[must_use]
    pub fn digest(&self) -> String {
        digest::sha256(self.text.as_bytes())
    }
}

impl Store {
    /// Saves a draft in place of the one whose text has the digest `was`, where that is what is there (nothing, for a new one);
    /// says whether it was. The saving is on record, signed by `key`.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn save_draft(&self, draft: &Draft, was: Option<&str>, key: &Signing) -> Result<bool, Fault> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        let found = sqlx::query("SELECT text FROM drafts WHERE name = $1").bind(draft.name.clone());
        let found: Option<String> =
            found.fetch_optional(&mut *transaction).await?.map(|row| row.try_get(0)).transpose()?;
        if found.map(|text| digest::sha256(text.as_bytes())).as_deref() != was {
            return Ok(false);
        }
        let deed = Deed::DraftSaved { draft: draft.name.clone(), digest: draft.digest() };
        let act = Act { time: draft.time, by: draft.by.clone(), reason: String::new(), deed };
        acts::add(&mut transaction, &act, None, key).await?;
        let save = "INSERT INTO drafts (name, text, based_on, by_whom, time) VALUES ($1, $2, $3, $4, $5) \
                    ON CONFLICT (name) DO UPDATE SET text = $2, based_on = $3, by_whom = $4, time = $5";
        sqlx::query(save)
            .bind(draft.name.clone())
            .bind(draft.text.clone())
            .bind(draft.based_on.unwrap_or_default())
            .bind(draft.by.clone())
            .bind(draft.time)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// All drafts, the last that was saved first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn drafts(&self) -> Result<Vec<Draft>, Fault> {
        let all = sqlx::query("SELECT name, text, based_on, by_whom, time FROM drafts ORDER BY time DESC, name");
        all.fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// The draft of this name, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn draft(&self, name: &str) -> Result<Option<Draft>, Fault> {
        let one = sqlx::query("SELECT name, text, based_on, by_whom, time FROM drafts WHERE name = $1");
        one.bind(name.to_owned()).fetch_optional(&self.pool).await?.as_ref().map(read).transpose()
    }

    /// Throws a draft away; says whether there was one. That is on record, too.
    ///
    /// # Errors
    /// When it is not removed.
    pub async fn remove_draft(&self, name: &str, (by, time): (&str, i64), key: &Signing) -> Result<bool, Fault> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        let removed = sqlx::query("DELETE FROM drafts WHERE name = $1").bind(name.to_owned());
        if removed.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let deed = Deed::DraftRemoved { draft: name.to_owned() };
        let act = Act { time, by: by.to_owned(), reason: String::new(), deed };
        acts::add(&mut transaction, &act, None, key).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn read(row: &sqlx::any::AnyRow) -> Result<Draft, Fault> {
    let based_on: i64 = row.try_get(2)?;
    Ok(Draft {
        name: row.try_get(0)?,
        text: row.try_get(1)?,
        based_on: Some(based_on).filter(|version| *version > 0),
        by: row.try_get(3)?,
        time: row.try_get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_in_a_path() {
        for name in ["ours", "2026-11", "a.b_c"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "-a", "A", "a/b", "a b", "é", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_draft_is_saved_over_what_one_has_seen_and_each_saving_is_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("a.db").display())).await.unwrap();
        let key = Signing::random().unwrap();
        let draft = |text: &str, time| {
            let [name, text, by] = ["ours", text, "ana"].map(str::to_owned);
            Draft { name, text, based_on: Some(3), by, time }
        };
        let (first, second) = (draft("a = 1", 1), draft("a = 2", 2));
        assert!(store.save_draft(&first, None, &key).await.unwrap());
        assert!(!store.save_draft(&second, None, &key).await.unwrap(), "it is there already");
        assert!(!store.save_draft(&second, Some("00"), &key).await.unwrap(), "someone else changed it");
        assert!(store.save_draft(&second, Some(&first.digest()), &key).await.unwrap());
        assert_eq!(store.draft("ours").await.unwrap(), Some(second.clone()));
        assert_eq!(store.drafts().await.unwrap(), [second.clone()]);
        assert!(store.remove_draft("ours", ("ben", 3), &key).await.unwrap());
        assert!(!store.remove_draft("ours", ("ben", 3), &key).await.unwrap());
        assert_eq!(store.draft("ours").await.unwrap(), None);
        let acts = super::super::act::proven(&store.acts().await.unwrap(), &[key.public()]).unwrap();
        let deeds: Vec<Deed> = acts.into_iter().map(|act| act.deed).collect();
        let saved = |draft: &Draft| Deed::DraftSaved { draft: draft.name.clone(), digest: draft.digest() };
        assert_eq!(deeds, [saved(&first), saved(&second), Deed::DraftRemoved { draft: "ours".into() }]);
    }
}
