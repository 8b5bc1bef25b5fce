//! Sealed texts in the store, beside the decisions that they belong to.

use super::store::{Fault, Store};
use super::vault::Sealed;
use sqlx::{AnyConnection, Row};

impl Store {
    /// The sealed texts of an event, or of all events.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn texts(&self, event: Option<&str>) -> Result<Vec<Sealed>, Fault> {
        let query = "SELECT event, direction, time, until, text FROM texts WHERE $1 = '' OR event = $1 ORDER BY time";
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Sealed {
                event: row.try_get(0)?,
                direction: row.try_get(1)?,
                time: row.try_get(2)?,
                until: row.try_get(3)?,
                text: row.try_get(4)?,
            })
        };
        let query = sqlx::query(query).bind(event.unwrap_or_default().to_owned());
        query.fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Whether any text is kept.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn has_texts(&self) -> Result<bool, Fault> {
        Ok(sqlx::query("SELECT 1 FROM texts LIMIT 1").fetch_optional(&self.pool).await?.is_some())
    }

    /// Removes the texts that were to be kept until `now` or less; gives how many there were.
    ///
    /// # Errors
    /// When nothing was removed.
    pub async fn forget_texts(&self, now: i64) -> Result<u64, Fault> {
        let removed = sqlx::query("DELETE FROM texts WHERE until <= $1").bind(now).execute(&self.pool);
        Ok(removed.await?.rows_affected())
    }
}

pub(super) async fn keep(connection: &mut AnyConnection, sealed: &Sealed) -> Result<(), Fault> {
    let Sealed { event, direction, time, until, text } = sealed.clone();
    let insert = sqlx::query("INSERT INTO texts (event, direction, time, until, text) VALUES ($1, $2, $3, $4, $5)");
    insert.bind(event).bind(direction).bind(time).bind(until).bind(text).execute(connection).await.map(drop)
}
