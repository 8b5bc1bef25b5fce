//! `nonnocere audit export`: decisions for whoever analyses or keeps them elsewhere, as JSON lines, CSV or Parquet.

use super::audit::{ago, open};
use crate::audit::export::{Format, Output};
use crate::config::Config;
use std::time::Duration;

/// Writes decisions out, the oldest first.
///
/// # Errors
/// When the store cannot be read, or the output is closed.
pub async fn export(config: &Config, since: Option<Duration>, format: Format) -> anyhow::Result<()> {
    let (_, store) = open(config).await?;
    let mut out = Output::begin(std::io::BufWriter::new(std::io::stdout()), format)?;
    let mut written = Ok(());
    store
        .read(ago(since), |stored| {
            if written.is_ok() {
                written = out.write(stored);
            }
        })
        .await?;
    written?;
    out.end()
}
