//! `nonnocere audit`: proves the stored decisions, writes them out, and removes old ones.

use crate::audit::journal::now;
use crate::audit::key::{Public, Signing};
use crate::audit::label::{Label, kappa, settled};
use crate::audit::retention::{self, Kept};
use crate::audit::store::{Fault, Store};
use crate::audit::verify;
use crate::config::{Audit, Config};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

/// Proves the store: says what was found, and whether all is as it was written. Without `keys`, those of `audit.key` and `audit.trust` count.
///
/// # Errors
/// When the store or the key cannot be read.
pub async fn verify(config: &Config, keys: &[String]) -> anyhow::Result<bool> {
    let (audit, store) = open(config).await?;
    let keys = match keys {
        [] => super::trusted(audit)?,
        keys => {
            let wrong = || anyhow::anyhow!("--key: expected a public key in base64");
            keys.iter().map(|key| Public::parse(key).ok_or_else(wrong)).collect::<anyhow::Result<_>>()?
        }
    };
    anyhow::ensure!(
        !keys.is_empty(),
        "audit.key: {} is not there; name the public keys by --key or audit.trust",
        audit.key.display()
    );
    let report = verify::verify(&store, &keys).await?;
    let mut out = std::io::stdout().lock();
    let verify::Report { decisions, pruned, checkpoints, acts, unsigned, findings, more } = &report;
    writeln!(
        out,
        "{decisions} decisions, {pruned} pruned before them, {checkpoints} signatures, {unsigned} decisions after the last, \
         {acts} acts"
    )?;
    for finding in findings {
        writeln!(out, "  {finding}")?;
    }
    if *more > 0 {
        writeln!(out, "  and {more} more")?;
    }
    writeln!(out, "{}", if report.holds() { "the chain holds" } else { "the chain is broken" })?;
    Ok(report.holds())
}

/// Keeps what a reviewer says of a decision.
///
/// # Errors
/// When no such decision is on record, or it cannot be signed or stored.
pub async fn label(config: &Config, mut label: Label) -> anyhow::Result<()> {
    let (audit, store) = open(config).await?;
    label.time = now();
    anyhow::ensure!(audit.key.exists(), "audit.key: {} is not there; labels are signed", audit.key.display());
    let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
    let public = key.public();
    // Signed by a key that nobody knows, it would break the chain for all.
    anyhow::ensure!(
        store.knows(&public).await?,
        "audit.key: {} has signed nothing here yet; label by a key that has, or run a proxy with this one first",
        audit.key.display()
    );
    store.label(&label, Some(&key)).await.map_err(|error| match error {
        Fault::RowNotFound => anyhow::anyhow!("no decision of the event {} is on record", label.event),
        error => error.into(),
    })
}

/// Says how far reviewers agree, two by two, less what chance would give.
///
/// # Errors
/// When the store cannot be read, or the output is closed.
pub async fn agreement(config: &Config) -> anyhow::Result<()> {
    let (audit, store) = open(config).await?;
    let labels = store.labels().await?;
    let reviewers: BTreeSet<&str> = labels.iter().map(|label| label.reviewer.as_str()).collect();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} labels by {} reviewers, {} decisions settled",
        labels.len(),
        reviewers.len(),
        settled(&labels, audit.reviewers).len()
    )?;
    for (place, one) in reviewers.iter().enumerate() {
        for other in reviewers.iter().skip(place + 1) {
            match kappa(&labels, one, other) {
                Some((kappa, count)) => writeln!(out, "  {one}, {other}: kappa {kappa:.2} over {count} decisions")?,
                None => writeln!(out, "  {one}, {other}: too little in common")?,
            }
        }
    }
    Ok(())
}

/// Removes decisions that are older than `keep`, or than they may get; what is left can still be proven.
///
/// # Errors
/// When the store or the key cannot be used.
pub async fn prune(config: &Config, keep: Option<Duration>) -> anyhow::Result<()> {
    let (audit, store) = open(config).await?;
    anyhow::ensure!(
        audit.key.exists(),
        "audit.key: {} is not there; decisions are removed only by the key that signed them",
        audit.key.display()
    );
    let mut retention = super::retention(audit, store)?;
    retention.decisions = keep.unwrap_or(retention.decisions);
    let removed = retention.prune().await.map_err(|why| match why {
        Kept::Broken => {
            anyhow::anyhow!("the chain is broken, so nothing is removed; `nonnocere audit verify` says where")
        }
        Kept::Fault(error) => error.into(),
    })?;
    writeln!(std::io::stdout(), "{removed} decisions removed")?;
    Ok(())
}

pub(super) async fn open(config: &Config) -> anyhow::Result<(&Audit, Store)> {
    let none = || anyhow::anyhow!("audit.url is none: no decisions are kept");
    let audit = config.audit.as_ref().ok_or_else(none)?;
    Ok((audit, super::find_store(audit).await?))
}

/// A time in the past, in microseconds since 1970; the beginning of all time without one.
pub(super) fn ago(span: Option<Duration>) -> i64 {
    span.map_or(i64::MIN, retention::ago)
}
