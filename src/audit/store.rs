//! Where decisions are kept: `SQLite` in a file, or `PostgreSQL` for a fleet. One chain for all that write to it.

use super::chain::{Checkpoint, Reason, Tail, link};
use super::decision::Decision;
use super::facts::{self, Fact};
use super::hours::{self, Sums};
use super::{acts, filling, reviews, texts};
use futures_util::TryStreamExt;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row};
use std::collections::HashSet;
use std::time::Duration;

/// An open store.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: AnyPool,
}

/// A decision as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// When, in microseconds since 1970.
    pub time: i64,
    /// The event that it is of.
    pub event: String,
    /// What was done.
    pub action: String,
    /// The [`Decision`], as JSON.
    pub body: String,
    /// The hash of the body, after the decision before it.
    pub hash: String,
}

impl Stored {
    pub(super) fn of(row: &AnyRow) -> Result<Self, Fault> {
        Ok(Self {
            seq: row.try_get(0)?,
            time: row.try_get(1)?,
            event: row.try_get(2)?,
            action: row.try_get(3)?,
            body: row.try_get(4)?,
            hash: row.try_get(5)?,
        })
    }
}

/// What was wrong with the store.
pub type Fault = sqlx::Error;

const TABLES: [&str; 15] = [
    "CREATE TABLE IF NOT EXISTS decisions (seq BIGINT PRIMARY KEY, time BIGINT NOT NULL, event TEXT NOT NULL, \
     action TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS decisions_time ON decisions (time)",
    "CREATE INDEX IF NOT EXISTS decisions_event ON decisions (event)",
    "CREATE TABLE IF NOT EXISTS chain_tail (id BIGINT PRIMARY KEY, seq BIGINT NOT NULL, hash TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS checkpoints (seq BIGINT NOT NULL, hash TEXT NOT NULL, reason TEXT NOT NULL, \
     time BIGINT NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS labels (event TEXT NOT NULL, direction TEXT NOT NULL, reviewer TEXT NOT NULL, \
     mark TEXT NOT NULL, principle TEXT, note TEXT, time BIGINT NOT NULL)",
    "INSERT INTO chain_tail (id, seq, hash) VALUES (1, 0, 'nonnocere') ON CONFLICT (id) DO NOTHING",
    "CREATE TABLE IF NOT EXISTS policies (version BIGINT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, texts TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS acts (seq BIGINT PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL, \
     key TEXT NOT NULL, signature TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS decisions_acts ON decisions (seq) WHERE action = 'act'",
    "CREATE TABLE IF NOT EXISTS texts (event TEXT NOT NULL, direction TEXT NOT NULL, time BIGINT NOT NULL, \
     until BIGINT NOT NULL, text TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS texts_event ON texts (event)",
    "CREATE INDEX IF NOT EXISTS labels_event ON labels (event, direction, reviewer)",
    "CREATE INDEX IF NOT EXISTS labels_reviewer ON labels (reviewer, time)",
    "CREATE INDEX IF NOT EXISTS texts_until ON texts (until)",
];

/// Who may use the console, who does, and what they write there.
const CONSOLE_TABLES: [&str; 6] = [
    "CREATE TABLE IF NOT EXISTS drafts (name TEXT PRIMARY KEY, text TEXT NOT NULL, based_on BIGINT NOT NULL, \
     by_whom TEXT NOT NULL, time BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT, made BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, account TEXT NOT NULL, began BIGINT NOT NULL, \
     seen BIGINT NOT NULL, flash TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sessions_account ON sessions (account)",
    "CREATE TABLE IF NOT EXISTS subjects (subject TEXT PRIMARY KEY, account TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS sign_ins (id TEXT PRIMARY KEY, began BIGINT NOT NULL, next TEXT NOT NULL)",
];

impl Store {
    /// The store at `url`: `sqlite:FILE`, which is made where there is none, or `postgres://…`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(url: &str) -> Result<Self, Fault> {
        sqlx::any::install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        let url = if is_sqlite && !url.contains("mode=") {
            format!("{url}{}mode=rwc", if url.contains('?') { '&' } else { '?' })
        } else {
            url.to_owned()
        };
        let pool = AnyPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(5));
        // A commit is on the disk when it is said to be.
        let settings: &'static [&'static str] = if is_sqlite {
            // What is removed leaves nothing in the file.
            &[
                "PRAGMA busy_timeout = 5000",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA secure_delete = ON",
            ]
        } else {
            &[]
        };
        let pool = pool.after_connect(move |connection, _| {
            Box::pin(async move {
                for setting in settings {
                    sqlx::query(*setting).execute(&mut *connection).await?;
                }
                Ok(())
            })
        });
        let pool = pool.connect(&url).await?;
        // SQLite does not wait for a lock that a transaction asks for after it has read.
        let begin = if is_sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let mut transaction = pool.begin_with(begin).await?;
        let mut is_there = false;
        if !is_sqlite {
            // Those of a fleet that start at once make the tables one after the other, and not beside one that writes already.
            sqlx::query("SELECT pg_advisory_xact_lock(5031403716)").execute(&mut *transaction).await?;
            let found = sqlx::query("SELECT to_regclass('sign_ins') IS NOT NULL").fetch_one(&mut *transaction).await?;
            is_there = found.try_get(0)?;
        }
        let tables = TABLES.iter().chain(&facts::TABLES).chain(&hours::TABLES).chain(&filling::TABLES);
        for table in tables.chain(&reviews::TABLES).chain(&CONSOLE_TABLES).filter(|_| !is_there) {
            sqlx::query(AssertSqlSafe(spelt(table, is_sqlite))).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Self { pool })
    }

    /// Adds decisions to the chain, all or none; gives its new end.
    ///
    /// # Errors
    /// When they are not stored.
    pub async fn append(&self, decisions: &[Decision]) -> Result<Tail, Fault> {
        let mut transaction = self.pool.begin().await?;
        let tail = append(&mut transaction, decisions).await?;
        transaction.commit().await?;
        Ok(tail)
    }

    /// Those of some decisions that are not stored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn without_stored(&self, decisions: Vec<Decision>) -> Result<Vec<Decision>, Fault> {
        let places: Vec<String> = (1..=decisions.len()).map(|place| format!("${place}")).collect();
        let query = format!("SELECT body FROM decisions WHERE event IN ({})", places.join(", "));
        let query = decisions
            .iter()
            .fold(sqlx::query(AssertSqlSafe(query)), |query, decision| query.bind(decision.event.clone()));
        let rows = query.fetch_all(&self.pool).await?;
        let bodies: Result<HashSet<String>, Fault> = rows.iter().map(|row| row.try_get(0)).collect();
        let bodies = bodies?;
        let is_new = |decision: &Decision| serde_json::to_string(decision).is_ok_and(|body| !bodies.contains(&body));
        Ok(decisions.into_iter().filter(is_new).collect())
    }

    /// When the oldest decision was made, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn oldest(&self) -> Result<Option<i64>, Fault> {
        let query = sqlx::query("SELECT time FROM decisions ORDER BY seq LIMIT 1");
        query.fetch_optional(&self.pool).await?.map(|row| row.try_get(0)).transpose()
    }

    /// The hash of the decision at a place of the chain, if it is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn hash_at(&self, seq: i64) -> Result<Option<String>, Fault> {
        let row = sqlx::query("SELECT hash FROM decisions WHERE seq = $1").bind(seq).fetch_optional(&self.pool).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn tail(&self) -> Result<Tail, Fault> {
        let row = sqlx::query("SELECT seq, hash FROM chain_tail WHERE id = 1").fetch_one(&self.pool).await?;
        Ok(Tail { seq: row.try_get(0)?, hash: row.try_get(1)? })
    }

    /// Keeps a signed hash.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        keep(&mut *self.pool.acquire().await?, checkpoint).await
    }

    /// All signed hashes, in the order of what they are of.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Fault> {
        let rows = sqlx::query("SELECT seq, hash, reason, time, key, signature FROM checkpoints ORDER BY seq, time");
        let rows = rows.fetch_all(&self.pool).await?;
        let read = |row: &AnyRow| {
            let reason: String = row.try_get(2)?;
            let reason = Reason::from_id(&reason).ok_or_else(|| Fault::Decode("an unknown reason".into()))?;
            Ok(Checkpoint {
                seq: row.try_get(0)?,
                hash: row.try_get(1)?,
                reason,
                time: row.try_get(3)?,
                key: row.try_get(4)?,
                signature: row.try_get(5)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Gives each decision from `since` on (microseconds since 1970), in the order of the chain, to `each`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read(&self, since: i64, mut each: impl FnMut(Stored)) -> Result<(), Fault> {
        let query = "SELECT seq, time, event, action, body, hash FROM decisions WHERE time >= $1 ORDER BY seq";
        let mut rows = sqlx::query(query).bind(since).fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            each(Stored::of(&row)?);
        }
        Ok(())
    }

    /// The same of all decisions, each with its fact, where it has one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read_with_facts(&self, mut each: impl FnMut(Stored, Option<Fact>)) -> Result<(), Fault> {
        let query = format!(
            "SELECT d.seq, d.time, d.event, d.action, d.body, d.hash, {} FROM decisions AS d \
             LEFT JOIN facts AS f ON f.seq = d.seq ORDER BY d.seq",
            facts::columns("f")
        );
        let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&self.pool);
        let mut read = 0;
        while let Some(row) = rows.try_next().await? {
            breathe(&mut read).await;
            let has_fact = row.try_get::<Option<i64>, _>(6)?.is_some();
            each(Stored::of(&row)?, has_fact.then(|| Fact::read(&row, 6)).transpose()?);
        }
        Ok(())
    }

    /// Facts that are of no decision: their places, and not more than some.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn stray_facts(&self) -> Result<Vec<i64>, Fault> {
        let query = "SELECT f.seq FROM facts AS f LEFT JOIN decisions AS d ON d.seq = f.seq WHERE d.seq IS NULL \
                     ORDER BY f.seq LIMIT 100";
        sqlx::query(query).fetch_all(&self.pool).await?.iter().map(|row| row.try_get(0)).collect()
    }

    /// Gives the JSON of each decision from `since` on to `each`, in the order of the chain: what a million of them are read for
    /// in seconds.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn bodies(&self, since: i64, mut each: impl FnMut(&str)) -> Result<(), Fault> {
        let query = "SELECT body FROM decisions WHERE time >= $1 AND action <> 'act' ORDER BY seq";
        let mut rows = sqlx::query(query).bind(since).fetch(&self.pool);
        let mut read = 0;
        while let Some(row) = rows.try_next().await? {
            breathe(&mut read).await;
            each(row.try_get(0)?);
        }
        Ok(())
    }

    /// Removes the decisions at the beginning of the chain that are older than `before`, but for the last one; what they end
    /// in is signed by `sign`, so that the rest can be proven. Gives how many there were.
    ///
    /// # Errors
    /// When nothing was removed.
    pub async fn prune(&self, before: i64, sign: impl FnOnce(&Tail) -> Checkpoint) -> Result<u64, Fault> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        // The first that is young enough ends what is removed, so that the chain has no gap.
        let query = "SELECT seq, hash FROM decisions WHERE seq < COALESCE((SELECT MIN(seq) FROM decisions WHERE time >= $1), \
                     (SELECT seq FROM chain_tail WHERE id = 1)) ORDER BY seq DESC LIMIT 1";
        let Some(row) = sqlx::query(query).bind(before).fetch_optional(&mut *transaction).await? else {
            return Ok(0);
        };
        let last = Tail { seq: row.try_get(0)?, hash: row.try_get(1)? };
        // What is left still tells of the last act.
        if let Some((act, hash)) = acts::witness(&mut transaction).await? {
            append(&mut transaction, &[Decision::of_act(super::journal::now(), act, &hash)]).await?;
        }
        let removed = sqlx::query("DELETE FROM decisions WHERE seq <= $1").bind(last.seq).execute(&mut *transaction);
        let removed = removed.await?.rows_affected();
        forget(&mut transaction, last.seq).await?;
        let texts = sqlx::query("DELETE FROM texts WHERE time < COALESCE((SELECT MIN(time) FROM decisions), $1)");
        texts.bind(before).execute(&mut *transaction).await?;
        keep(&mut transaction, &sign(&last)).await?;
        transaction.commit().await?;
        Ok(removed)
    }

    /// Waits until all connections are closed.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs a statement as it stands, for tests that tamper.
    ///
    /// # Errors
    /// When it fails.
    pub async fn execute(&self, statement: &str) -> Result<(), Fault> {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&self.pool).await.map(drop)
    }
}

/// Lets others go on after some rows: what is read from SQLite is there at once, and callers are answered by the same threads.
async fn breathe(read: &mut u32) {
    *read += 1;
    if read.is_multiple_of(256) {
        tokio::task::yield_now().await;
    }
}

/// Locks the tail in both databases until the transaction ends: the writers of a fleet take turns.
pub(crate) async fn lock(connection: &mut AnyConnection) -> Result<(), Fault> {
    sqlx::query("UPDATE chain_tail SET seq = seq WHERE id = 1").execute(connection).await.map(drop)
}

/// Adds decisions to the chain within a transaction; gives its new end.
pub(super) async fn append(connection: &mut AnyConnection, decisions: &[Decision]) -> Result<Tail, Fault> {
    let bodies: Result<Vec<String>, serde_json::Error> = decisions.iter().map(serde_json::to_string).collect();
    let bodies = bodies.map_err(|error| Fault::Encode(error.into()))?;
    lock(&mut *connection).await?;
    let row = sqlx::query("SELECT seq, hash FROM chain_tail WHERE id = 1").fetch_one(&mut *connection).await?;
    let mut tail = Tail { seq: row.try_get(0)?, hash: row.try_get(1)? };
    let rows: Vec<(&Decision, String, Tail)> = decisions
        .iter()
        .zip(bodies)
        .map(|(decision, body)| {
            tail = Tail { seq: tail.seq + 1, hash: link(&tail.hash, &body) };
            (decision, body, tail.clone())
        })
        .collect();
    for some in rows.chunks(facts::rows(6)) {
        let insert = format!(
            "INSERT INTO decisions (seq, time, event, action, body, hash) VALUES {}",
            facts::places(some.len(), 6)
        );
        let mut insert = sqlx::query(AssertSqlSafe(insert));
        for (decision, body, at) in some {
            insert = insert.bind(at.seq).bind(decision.time).bind(decision.event.clone());
            insert = insert.bind(decision.action.clone()).bind(body.clone()).bind(at.hash.clone());
        }
        insert.execute(&mut *connection).await?;
    }
    let facts: Vec<Fact> = rows.iter().filter_map(|(decision, _, at)| Fact::of(at.seq, decision)).collect();
    facts::write(&mut *connection, &facts).await?;
    Sums::of(&facts, |_, _| true).add(&mut *connection).await?;
    for sealed in decisions.iter().filter_map(|decision| decision.sealed.as_ref()) {
        texts::keep(&mut *connection, sealed).await?;
    }
    sqlx::query("UPDATE chain_tail SET seq = $1, hash = $2 WHERE id = 1")
        .bind(tail.seq)
        .bind(tail.hash.clone())
        .execute(&mut *connection)
        .await?;
    Ok(tail)
}

/// A table as a database spells it: what one of them says of how rows lie is not for the other.
fn spelt(table: &str, is_sqlite: bool) -> String {
    if is_sqlite {
        return table.to_owned();
    }
    table.replace(" INTEGER PRIMARY KEY", " BIGINT PRIMARY KEY").replace(" WITHOUT ROWID", "")
}

/// Removes the facts of decisions up to a place, and takes them off the sums.
async fn forget(connection: &mut AnyConnection, last: i64) -> Result<(), Fault> {
    let newest = sqlx::query("SELECT MAX(time) FROM facts WHERE seq <= $1").bind(last);
    let newest: Option<i64> = newest.fetch_one(&mut *connection).await?.try_get(0)?;
    let Some(newest) = newest else { return Ok(()) };
    sqlx::query("DELETE FROM facts WHERE seq <= $1").bind(last).execute(&mut *connection).await?;
    hours::recount(connection, newest).await
}

async fn keep(connection: &mut AnyConnection, checkpoint: &Checkpoint) -> Result<(), Fault> {
    let query = "INSERT INTO checkpoints (seq, hash, reason, time, key, signature) VALUES ($1, $2, $3, $4, $5, $6)";
    sqlx::query(query)
        .bind(checkpoint.seq)
        .bind(checkpoint.hash.clone())
        .bind(checkpoint.reason.id())
        .bind(checkpoint.time)
        .bind(checkpoint.key.clone())
        .bind(checkpoint.signature.clone())
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::GENESIS;

    #[test]
    fn the_first_tail_is_the_genesis() {
        assert!(TABLES[6].contains(&format!("'{GENESIS}'")));
    }
}
