//! The log: to the standard error, in lines for people or for machines.

use crate::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts it, once a process; `RUST_LOG` overrides the level.
///
/// # Errors
/// When the level cannot be read.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(&log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
