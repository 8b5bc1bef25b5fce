//! Acts and policies in the store, beside the decisions.

use super::act::{Act, Deed, GENESIS, Signed};
use super::decision::Decision;
use super::key::{Public, Signing};
use super::store::{Fault, Store, append, lock};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

impl Store {
    /// All acts, in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn acts(&self) -> Result<Vec<Signed>, Fault> {
        self.acts_from(1).await
    }

    /// The acts from a place on, in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn acts_from(&self, seq: i64) -> Result<Vec<Signed>, Fault> {
        let query = "SELECT seq, body, hash, key, signature FROM acts WHERE seq >= $1 ORDER BY seq";
        sqlx::query(query).bind(seq).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// The acts before a place, the newest first, and not more than `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn acts_before(&self, seq: i64, limit: i64) -> Result<Vec<Signed>, Fault> {
        let query = "SELECT seq, body, hash, key, signature FROM acts WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
        sqlx::query(query).bind(seq).bind(limit).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// How many acts there are up to a place, and the hash of the one that stands there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn acts_up_to(&self, seq: i64) -> Result<(i64, Option<String>), Fault> {
        let query = "SELECT (SELECT COUNT(*) FROM acts WHERE seq <= $1), (SELECT hash FROM acts WHERE seq = $1)";
        let row = sqlx::query(query).bind(seq).fetch_one(&self.pool).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// Whether a key has signed anything here: an act, or the chain.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn knows(&self, key: &Public) -> Result<bool, Fault> {
        let key = key.to_string();
        for query in ["SELECT 1 FROM acts WHERE key = $1 LIMIT 1", "SELECT 1 FROM checkpoints WHERE key = $1 LIMIT 1"] {
            if sqlx::query(query).bind(key.clone()).fetch_optional(&self.pool).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The place and the hash of the last act, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn last_act(&self) -> Result<Option<(i64, String)>, Fault> {
        last(&mut *self.pool.acquire().await?).await
    }

    /// The place and the hash of the last act that the chain of decisions tells of.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn last_witness(&self) -> Result<Option<(i64, String)>, Fault> {
        witness(&mut *self.pool.acquire().await?).await
    }

    /// Adds an act, where `after` is still the last one that whoever acts knows of; says whether it was.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn act(&self, act: &Act, after: Option<i64>, key: &Signing) -> Result<bool, Fault> {
        let mut transaction = self.pool.begin().await?;
        let is_done = add(&mut transaction, act, (after, key)).await?;
        transaction.commit().await?;
        Ok(is_done)
    }

    /// What was done to an account of the console, the first first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn account_changes(&self, account: &str) -> Result<Vec<Act>, Fault> {
        let query = "SELECT body FROM acts WHERE body LIKE '%\"account_changed\"%' ORDER BY seq";
        let mut found = Vec::new();
        for row in sqlx::query(query).fetch_all(&self.pool).await? {
            let body: String = row.try_get(0)?;
            let act: Act = serde_json::from_str(&body).map_err(|error| Fault::Decode(error.into()))?;
            if matches!(&act.deed, Deed::AccountChanged { account: changed, .. } if changed == account) {
                found.push(act);
            }
        }
        Ok(found)
    }

    /// Keeps the texts of a policy, and gives its version: the one that it has already, or the next.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn keep_policy(&self, digest: &str, texts: &str) -> Result<i64, Fault> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        let known = sqlx::query("SELECT version FROM policies WHERE digest = $1").bind(digest.to_owned());
        if let Some(row) = known.fetch_optional(&mut *transaction).await? {
            return row.try_get(0);
        }
        let next =
            sqlx::query("SELECT COALESCE(MAX(version), 0) + 1 FROM policies").fetch_one(&mut *transaction).await?;
        let next: i64 = next.try_get(0)?;
        sqlx::query("INSERT INTO policies (version, digest, texts) VALUES ($1, $2, $3)")
            .bind(next)
            .bind(digest.to_owned())
            .bind(texts.to_owned())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(next)
    }

    /// The texts of a version of the policy, if it is kept.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn policy(&self, version: i64) -> Result<Option<String>, Fault> {
        let query = sqlx::query("SELECT texts FROM policies WHERE version = $1").bind(version);
        query.fetch_optional(&self.pool).await?.map(|row| row.try_get(0)).transpose()
    }
}

/// Adds an act within a transaction, where `after` is still the last one; says whether it was.
pub(crate) async fn add(
    connection: &mut AnyConnection,
    act: &Act,
    (after, key): (Option<i64>, &Signing),
) -> Result<bool, Fault> {
    let body = serde_json::to_string(act).map_err(|error| Fault::Encode(error.into()))?;
    // Those who act take turns, as those who decide do.
    lock(&mut *connection).await?;
    let (seq, hash) = last(&mut *connection).await?.unwrap_or_else(|| (0, GENESIS.to_owned()));
    if after.is_some_and(|after| after != seq) {
        return Ok(false);
    }
    let signed = Signed::after((seq, &hash), body, key);
    tracing::info!(seq = signed.seq, hash = signed.hash, signature = signed.signature, "act signed");
    sqlx::query("INSERT INTO acts (seq, body, hash, key, signature) VALUES ($1, $2, $3, $4, $5)")
        .bind(signed.seq)
        .bind(signed.body.clone())
        .bind(signed.hash.clone())
        .bind(signed.key)
        .bind(signed.signature)
        .execute(&mut *connection)
        .await?;
    // The chain of decisions, which is signed every so often, tells of it: it cannot be cut off unseen.
    append(connection, &[Decision::of_act(act.time, signed.seq, &signed.hash)]).await?;
    Ok(true)
}

fn read(row: &AnyRow) -> Result<Signed, Fault> {
    Ok(Signed {
        seq: row.try_get(0)?,
        body: row.try_get(1)?,
        hash: row.try_get(2)?,
        key: row.try_get(3)?,
        signature: row.try_get(4)?,
    })
}

async fn last(connection: &mut AnyConnection) -> Result<Option<(i64, String)>, Fault> {
    let last = sqlx::query("SELECT seq, hash FROM acts ORDER BY seq DESC LIMIT 1");
    last.fetch_optional(connection).await?.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// The last act that the chain of decisions tells of.
pub(super) async fn witness(connection: &mut AnyConnection) -> Result<Option<(i64, String)>, Fault> {
    let last = sqlx::query("SELECT body FROM decisions WHERE action = 'act' ORDER BY seq DESC LIMIT 1");
    let Some(row) = last.fetch_optional(connection).await? else { return Ok(None) };
    let body: String = row.try_get(0)?;
    let told = serde_json::from_str::<Decision>(&body).map_err(|error| Fault::Decode(error.into()))?;
    Ok(told.act())
}
