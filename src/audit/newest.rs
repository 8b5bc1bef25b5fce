//! The newest decisions, and those that reviewers spoke of: what a page looks at in place of all that is on record.

use super::store::{Fault, Store};
use futures_util::TryStreamExt;
use sqlx::Row;

impl Store {
    /// Gives the JSON of each of the newest decisions to `each`, the newest first, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn newest(&self, limit: i64, each: impl FnMut(&str)) -> Result<(), Fault> {
        self.some("SELECT body FROM decisions WHERE action <> 'act' ORDER BY seq DESC LIMIT $1", limit, each).await
    }

    /// Gives the JSON of each decision that reviewers spoke of to `each`: of the `limit` events that they spoke of last.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn labelled(&self, limit: i64, each: impl FnMut(&str)) -> Result<(), Fault> {
        let query = "SELECT body FROM decisions WHERE action <> 'act' AND event IN \
                     (SELECT event FROM labels GROUP BY event ORDER BY MAX(time) DESC LIMIT $1)";
        self.some(query, limit, each).await
    }

    async fn some(&self, query: &'static str, limit: i64, mut each: impl FnMut(&str)) -> Result<(), Fault> {
        let mut rows = sqlx::query(query).bind(limit).fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            each(row.try_get(0)?);
        }
        Ok(())
    }
}
