//! How long things are kept: decisions for years, texts for days.

use super::chain::{Checkpoint, Reason};
use super::journal::now;
use super::key::{Public, Signing};
use super::store::{Fault, Store};
use super::verify::verify;
use std::time::Duration;

/// How often it is looked whether something is too old.
const EVERY: Duration = Duration::from_secs(3600);

/// Decisions are not proven and pruned for less than a day of them.
const DAY: Duration = Duration::from_secs(86_400);

/// What is kept, and how long.
pub struct Retention {
    /// Where.
    pub store: Store,
    /// What signs for what is removed.
    pub key: Signing,
    /// Whose signatures count.
    pub keys: Vec<Public>,
    /// How long decisions are kept.
    pub decisions: Duration,
}

/// The time so long ago, in microseconds since 1970.
#[must_use]
pub fn ago(span: Duration) -> i64 {
    now().saturating_sub(micros(span))
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Why nothing was removed.
#[derive(Debug)]
pub enum Kept {
    /// The store failed.
    Fault(Fault),
    /// The chain is broken, so that what is left could not be proven.
    Broken,
}

impl From<Fault> for Kept {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Retention {
    /// Removes what is too old, every so often, as long as it is polled.
    pub async fn run(self) {
        loop {
            match self.store.forget_texts(now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "texts of decisions were removed, as old as they may get"),
                Err(error) => tracing::error!(%error, "texts that are too old could not be removed"),
            }
            match self.prune_daily().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "decisions were removed, as old as they may get"),
                Err(why) => tracing::error!(?why, "decisions that are too old were not removed"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn prune_daily(&self) -> Result<u64, Kept> {
        match self.store.oldest().await? {
            // By whole days, whose sums go with them: nothing has to be counted anew while the chain is locked.
            Some(oldest) if oldest < ago(self.decisions.saturating_add(DAY)) => {
                let before = ago(self.decisions);
                self.remove(before - before.rem_euclid(micros(DAY))).await
            }
            _ => Ok(0),
        }
    }

    /// Removes the decisions that are too old; what is left can still be proven. Gives how many there were.
    ///
    /// # Errors
    /// [`Kept`], and nothing was removed.
    pub async fn prune(&self) -> Result<u64, Kept> {
        self.remove(ago(self.decisions)).await
    }

    async fn remove(&self, before: i64) -> Result<u64, Kept> {
        if !verify(&self.store, &self.keys).await?.holds() {
            return Err(Kept::Broken);
        }
        let sign = |tail: &super::chain::Tail| Checkpoint::sign(tail, Reason::Pruned, now(), &self.key);
        Ok(self.store.prune(before, sign).await?)
    }
}
