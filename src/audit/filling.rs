//! Gives a store of an older version its [facts] and [sums](super::hours), some decisions at a time, while it serves.

use super::decision::Decision;
use super::facts::{self, Fact};
use super::hours::Sums;
use super::store::{Fault, Store, lock};
use sqlx::{AnyConnection, Row};
use std::time::{Duration, Instant};

/// Decisions of one transaction: few enough that those who decide meanwhile do not wait.
const BATCH: i64 = 1000;

/// How long a store that failed is left alone.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether a proxy of an older version has written beside us.
const EVERY: Duration = Duration::from_secs(3600);

/// From `low` down nothing is known to have facts, and from `high` up neither: what is between has.
pub(super) const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS filled (id BIGINT PRIMARY KEY, low BIGINT NOT NULL, high BIGINT NOT NULL)",
    "INSERT INTO filled (id, low, high) SELECT 1, seq, seq FROM chain_tail WHERE id = 1 ON CONFLICT (id) DO NOTHING",
];

impl Store {
    /// How many decisions cannot be searched and are in no sum yet, at most; 0 once all are.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn unfilled(&self) -> Result<i64, Fault> {
        let query = "SELECT low - (SELECT COALESCE(MIN(seq), low + 1) - 1 FROM decisions) FROM filled WHERE id = 1";
        let row = sqlx::query(query).fetch_one(&self.pool).await?;
        Ok(row.try_get::<i64, _>(0)?.max(0))
    }

    /// From which place down decisions may have no facts yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn filled_from(&self) -> Result<i64, Fault> {
        Ok(filled(&mut *self.pool.acquire().await?).await?.0)
    }

    /// Fills in some of what is missing, the newest first; says whether there is more.
    ///
    /// # Errors
    /// When nothing was filled in.
    pub async fn fill_some(&self) -> Result<bool, Fault> {
        let mut transaction = self.pool.begin().await?;
        // Others of the fleet fill in too; and what is pruned meanwhile must not come back.
        lock(&mut transaction).await?;
        let (low, high) = filled(&mut transaction).await?;
        let row = sqlx::query("SELECT seq FROM chain_tail WHERE id = 1").fetch_one(&mut *transaction).await?;
        let tail: i64 = row.try_get(0)?;
        // First down, to what was there before there were facts; then up, to what an older version writes beside us.
        let is_down = low > 0 && first(&mut transaction).await? <= low;
        let (after, last) = if is_down { ((low - BATCH).max(0), low) } else { (high, (high + BATCH).min(tail)) };
        let missing = missing(&mut transaction, (after, last)).await?;
        facts::write(&mut transaction, &missing).await?;
        Sums::of(&missing, |_, _| true).add(&mut transaction).await?;
        let (low, high) = if is_down { (after, high) } else { (0, last) };
        let moved = sqlx::query("UPDATE filled SET low = $1, high = $2 WHERE id = 1").bind(low).bind(high);
        moved.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(is_down || last < tail)
    }

    /// Fills in what is missing, and looks every so often for more, as long as it is polled.
    pub async fn fill(self) {
        loop {
            let begin = Instant::now();
            match self.fill_some().await {
                // Whoever decides has as much time.
                Ok(true) => tokio::time::sleep(begin.elapsed()).await,
                Ok(false) => {
                    let reviews = self.fill_reviews().await;
                    if let Err(error) = reviews {
                        tracing::error!(%error, "what reviewers said could not be summed up");
                    }
                    tokio::time::sleep(EVERY).await;
                }
                Err(error) => {
                    tracing::error!(%error, "older decisions could not be made searchable; it is tried again");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }
}

/// From where down, and from where up, facts may be missing.
async fn filled(connection: &mut AnyConnection) -> Result<(i64, i64), Fault> {
    let row = sqlx::query("SELECT low, high FROM filled WHERE id = 1").fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The place of the first decision that is there.
async fn first(connection: &mut AnyConnection) -> Result<i64, Fault> {
    let row = sqlx::query("SELECT COALESCE(MIN(seq), 0) FROM decisions").fetch_one(connection).await?;
    row.try_get(0)
}

/// The facts of decisions after one place and up to another that have none.
async fn missing(connection: &mut AnyConnection, (after, last): (i64, i64)) -> Result<Vec<Fact>, Fault> {
    let query = "SELECT d.seq, d.body FROM decisions AS d LEFT JOIN facts AS f ON f.seq = d.seq \
                 WHERE d.seq > $1 AND d.seq <= $2 AND f.seq IS NULL ORDER BY d.seq";
    let rows = sqlx::query(query).bind(after).bind(last).fetch_all(connection).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let body: String = row.try_get(1)?;
        // What was tampered with is found by `audit verify`.
        let decision = serde_json::from_str::<Decision>(&body).ok();
        let seq = row.try_get(0)?;
        Ok(decision.and_then(|decision| Fact::of(seq, &decision)))
    };
    let facts: Result<Vec<Option<Fact>>, Fault> = rows.iter().map(read).collect();
    Ok(facts?.into_iter().flatten().collect())
}
