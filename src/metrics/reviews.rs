//! What reviewers found lately, looked up every so often and never while metrics are written: how often harmless messages are
//! stopped is what their labels say.

use super::Metrics;
use crate::audit::journal::now;
use crate::audit::retention::ago;
use crate::audit::series::Range;
use crate::audit::store::Store;
use std::sync::Arc;
use std::time::Duration;

/// Of which time decisions are looked at, and how often.
const LATELY: Duration = Duration::from_secs(28 * 86_400);
const EVERY: Duration = Duration::from_secs(60);

/// Looks every so often, as long as it is polled; settled is what `reviewers` say alike.
pub async fn follow(store: Store, reviewers: usize, metrics: Arc<Metrics>) {
    loop {
        let range = Range { from: ago(LATELY), until: now(), ..Range::default() };
        match store.judged(&range, reviewers).await {
            Ok(found) => metrics.reviewed(&found),
            Err(error) => tracing::warn!(%error, "what reviewers found cannot be read for the metrics"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
