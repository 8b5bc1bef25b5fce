//! Where an experiment is kept: a `SQLite` file with every request, answer and judgement. What is in it is not asked again.

use super::Side;
use super::judge::Judgement;
use super::suite::Item;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Row, SqlitePool};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// What was wrong with the store.
pub type Fault = sqlx::Error;

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, begun BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS planned (run TEXT NOT NULL, place BIGINT NOT NULL, side TEXT NOT NULL, key TEXT NOT NULL, \
     item TEXT NOT NULL, PRIMARY KEY (run, place))",
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, time BIGINT NOT NULL, request TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS judgements (judge TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (judge, key))",
];

/// What an experiment is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name: a short hash of all that follows.
    #[serde(skip)]
    pub id: String,
    /// When it began, in microseconds since 1970.
    #[serde(skip)]
    pub begun: i64,
    /// What it is called by whoever runs it.
    pub name: String,
    /// The model.
    pub model: String,
    /// Where it is.
    pub target: String,
    /// The guard: its policy and model, or where it is; empty where nothing was asked through one.
    pub guard: String,
    /// The judges, the one whose scores count first.
    pub judges: Vec<String>,
    /// What is asked, as a hash.
    pub items: String,
    /// Of samples and intervals.
    pub seed: u64,
    /// What is sent with each request beside its text.
    pub sampling: serde_json::Value,
    /// What a reader of the report must know.
    pub warnings: Vec<String>,
}

/// A question of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Which way it takes.
    pub side: Side,
    /// Names its answer: a hash of where it is asked and of all that is sent.
    pub key: String,
    /// The item.
    pub item: Item,
}

/// An answer, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What was said.
    pub text: String,
    /// The HTTP status.
    pub status: u16,
    /// Why the model ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// What the guard said in its headers, by what follows `x-nonnocere-`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guard: BTreeMap<String, String>,
    /// Tokens of the request and of the answer, as the server counts them.
    pub tokens: (u64, u64),
    /// Until the whole answer was there, in milliseconds.
    pub millis: f64,
    /// How often it was asked.
    pub tries: u32,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// An open store.
#[derive(Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// The store in a file, which is made where there is none; only its owner may read it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, Fault> {
        // It holds what models answered to requests that violate.
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        // What was committed outlives a kill of the process.
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(120));
        let pool = pool.connect_with(options).await?;
        for table in TABLES {
            sqlx::query(table).execute(&pool).await?;
        }
        Ok(Self { pool })
    }

    /// Notes what a run is, and what it will ask; one that is there stays as it is.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn begin(&self, run: &Run, planned: &[Planned]) -> Result<(), Fault> {
        let mut transaction = self.pool.begin().await?;
        let query = sqlx::query("INSERT INTO runs (id, begun, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING");
        let made = query.bind(&run.id).bind(run.begun).bind(json(run)?).execute(&mut *transaction).await?;
        for (place, planned) in planned.iter().enumerate().filter(|_| made.rows_affected() > 0) {
            let query = "INSERT INTO planned (run, place, side, key, item) VALUES ($1, $2, $3, $4, $5)";
            let query = sqlx::query(query).bind(&run.id).bind(place as i64).bind(planned.side.id()).bind(&planned.key);
            query.bind(json(&planned.item)?).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// All runs, the oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn runs(&self) -> Result<Vec<Run>, Fault> {
        let rows = sqlx::query("SELECT id, begun, body FROM runs ORDER BY begun, id").fetch_all(&self.pool).await?;
        let run = |row: &SqliteRow| {
            let run: Run = read(row, 2)?;
            Ok(Run { id: row.try_get(0)?, begun: row.try_get(1)?, ..run })
        };
        rows.iter().map(run).collect()
    }

    /// What a run asks, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn planned(&self, run: &str) -> Result<Vec<Planned>, Fault> {
        let query = sqlx::query("SELECT side, key, item FROM planned WHERE run = $1 ORDER BY place").bind(run);
        let planned = |row: &SqliteRow| {
            let side = if row.try_get::<String, _>(0)? == Side::On.id() { Side::On } else { Side::Off };
            Ok(Planned { side, key: row.try_get(1)?, item: read(row, 2)? })
        };
        query.fetch_all(&self.pool).await?.iter().map(planned).collect()
    }

    /// The keys of the answers that are there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn answered(&self) -> Result<HashSet<String>, Fault> {
        let query = "SELECT key FROM answers WHERE json_extract(body, '$.fault') IS NULL";
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// Keeps what was asked and answered, in the place of a fault.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn answer(&self, (key, time): (&str, i64), request: &str, answer: &Answer) -> Result<(), Fault> {
        let query = "INSERT INTO answers (key, time, request, body) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (key) DO UPDATE SET time = excluded.time, body = excluded.body";
        let query = sqlx::query(query).bind(key).bind(time).bind(request).bind(json(answer)?);
        query.execute(&self.pool).await.map(drop)
    }

    /// The answers to what a run asks, by key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn answers(&self, run: &str) -> Result<HashMap<String, Answer>, Fault> {
        let query = "SELECT key, body FROM answers WHERE key IN (SELECT key FROM planned WHERE run = $1)";
        let rows = sqlx::query(query).bind(run).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, read(row, 1)?))).collect()
    }

    /// Keeps a judgement.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn judge(&self, judge: &str, key: &str, judgement: &Judgement) -> Result<(), Fault> {
        let query = "INSERT INTO judgements (judge, key, body) VALUES ($1, $2, $3) \
                     ON CONFLICT (judge, key) DO UPDATE SET body = excluded.body";
        let query = sqlx::query(query).bind(judge).bind(key).bind(json(judgement)?);
        query.execute(&self.pool).await.map(drop)
    }

    /// What a judge says of the answers to what a run asks, by key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn judgements(&self, run: &str, judge: &str) -> Result<HashMap<String, Judgement>, Fault> {
        let query =
            "SELECT key, body FROM judgements WHERE judge = $2 AND key IN (SELECT key FROM planned WHERE run = $1)";
        let rows = sqlx::query(query).bind(run).bind(judge).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, read(row, 1)?))).collect()
    }
}

fn json(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Encode(Box::new(error)))
}

fn read<T: DeserializeOwned>(row: &SqliteRow, column: usize) -> Result<T, Fault> {
    let body: String = row.try_get(column)?;
    serde_json::from_str(&body).map_err(|error| Fault::Decode(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::suite;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn what_is_kept_is_found_again_and_a_fault_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eval.db");
        let store = Store::open(&path).await.unwrap();
        let item = suite::open(&["benign".to_owned()]).unwrap().remove(0);
        let planned = vec![Planned { side: Side::On, key: "k".to_owned(), item }];
        let run: Run =
            serde_json::from_value(serde_json::json!({"name": "", "model": "m", "target": "t", "guard": "g",
            "judges": ["local"], "items": "i", "seed": 1, "sampling": {}, "warnings": []}))
            .unwrap();
        let run = Run { id: "r".to_owned(), begun: 5, ..run };
        store.begin(&run, &planned).await.unwrap();
        // Once more, as after a kill.
        store.begin(&run, &planned).await.unwrap();
        let fault = Answer { fault: Some("timeout".to_owned()), ..Answer::default() };
        store.answer(("k", 1), "{}", &fault).await.unwrap();
        assert!(store.answered().await.unwrap().is_empty());
        let answer = Answer { text: "Yes.".to_owned(), status: 200, tokens: (3, 4), ..Answer::default() };
        store.answer(("k", 2), "{}", &answer).await.unwrap();
        let judgement = Judgement { score: 4, declined: false, why: None, order: None };
        store.judge("local", "k", &judgement).await.unwrap();
        drop(store);
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.runs().await.unwrap(), [run]);
        assert_eq!(store.planned("r").await.unwrap(), planned);
        assert_eq!(store.answered().await.unwrap(), HashSet::from(["k".to_owned()]));
        assert_eq!(store.answers("r").await.unwrap(), HashMap::from([("k".to_owned(), answer)]));
        assert_eq!(store.judgements("r", "local").await.unwrap(), HashMap::from([("k".to_owned(), judgement)]));
        assert!(store.judgements("r", "other").await.unwrap().is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
