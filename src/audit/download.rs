//! Decisions written out bit by bit, as someone takes them: no more than some are in memory.

use super::export::{Format, Output};
use super::store::{Fault, Store, Stored};
use serde::Deserialize;
use sqlx::Row;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Decisions that are read at once.
const PAGE: i64 = 1000;

/// Which decisions are written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// From this time on, in microseconds since 1970.
    pub from: i64,
    /// Before this time.
    pub until: i64,
    /// Of this tenant only.
    pub tenant: Option<String>,
}

/// Decisions on their way out, the oldest first.
pub struct Download {
    store: Store,
    selection: Selection,
    /// The place of the last one that was read.
    after: i64,
    /// The place of the last one that there was at the beginning.
    last: i64,
    written: Written,
    /// Nothing once it has ended.
    out: Option<Output<Written>>,
}

/// What was written and not taken yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whose request it was.
#[derive(Deserialize)]
struct Whose {
    #[serde(default)]
    tenant: Option<String>,
}

impl Download {
    /// Begins to write out what is selected.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn begin(store: Store, selection: Selection, format: Format) -> anyhow::Result<Self> {
        let query = "SELECT MIN(seq), MAX(seq) FROM decisions WHERE time >= $1 AND time < $2";
        let row = sqlx::query(query).bind(selection.from).bind(selection.until).fetch_one(&store.pool).await?;
        let (first, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        let written = Written::default();
        let out = Some(Output::begin(written.clone(), format)?);
        let after = first.map_or(0, |first| first - 1);
        Ok(Self { store, selection, after, last: last.unwrap_or_default(), written, out })
    }

    /// The next bytes; nothing once all are written.
    ///
    /// # Errors
    /// When the store cannot be read; what was written so far is not all.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        while self.after < self.last {
            let page = self.page().await?;
            let Some(last) = page.last().map(|stored| stored.seq) else { break };
            self.after = last;
            for stored in page {
                if let Some(out) = self.out.as_mut().filter(|_| self.selection.is_of(&stored)) {
                    out.write(stored)?;
                }
            }
            let bytes = self.written.take();
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        let Some(out) = self.out.take() else { return Ok(None) };
        out.end()?;
        Ok(Some(self.written.take()))
    }

    async fn page(&self) -> Result<Vec<Stored>, Fault> {
        let query = "SELECT seq, time, event, action, body, hash FROM decisions \
                     WHERE seq > $1 AND seq <= $2 AND time + 0 >= $3 AND time + 0 < $4 ORDER BY seq LIMIT $5";
        let query = sqlx::query(query).bind(self.after).bind(self.last);
        let query = query.bind(self.selection.from).bind(self.selection.until).bind(PAGE);
        query.fetch_all(&self.store.pool).await?.iter().map(Stored::of).collect()
    }
}

impl Selection {
    fn is_of(&self, stored: &Stored) -> bool {
        let Some(tenant) = &self.tenant else { return true };
        serde_json::from_str::<Whose>(&stored.body).is_ok_and(|whose| whose.tenant.as_ref() == Some(tenant))
    }
}
