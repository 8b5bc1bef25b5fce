//! `nonnocere audit`: proves the stored decisions, writes them out, and removes old ones.

use crate::audit::chain::{Checkpoint, Reason};
use crate::audit::decision::Decision;
use crate::audit::journal::now;
use crate::audit::key::{Public, Signing};
use crate::audit::label::{Label, kappa, settled};
use crate::audit::store::{Fault, Store};
use crate::audit::verify;
use crate::config::{Audit, Config};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

/// How decisions are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a head line.
    Csv,
}

/// Proves the store: says what was found, and whether all is as it was written. Without a `key`, that of `audit.key` counts.
///
/// # Errors
/// When the store or the key cannot be read.
pub async fn verify(config: &Config, key: Option<&str>) -> anyhow::Result<bool> {
    let (audit, store) = open(config).await?;
    let key = match key {
        Some(key) => Public::parse(key).ok_or_else(|| anyhow::anyhow!("--key: expected a public key in base64"))?,
        None => {
            anyhow::ensure!(
                audit.key.exists(),
                "audit.key: {} is not there; name the public key by --key",
                audit.key.display()
            );
            Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?.public()
        }
    };
    let report = verify::verify(&store, &key).await?;
    let mut out = std::io::stdout().lock();
    let verify::Report { decisions, pruned, checkpoints, unsigned, findings, more } = &report;
    writeln!(
        out,
        "{decisions} decisions, {pruned} pruned before them, {checkpoints} signatures, {unsigned} decisions after the last"
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

/// Writes decisions out, the oldest first.
///
/// # Errors
/// When the store cannot be read, or the output is closed.
pub async fn export(config: &Config, since: Option<Duration>, format: Format) -> anyhow::Result<()> {
    let (_, store) = open(config).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if format == Format::Csv {
        writeln!(out, "seq,{}", COLUMNS.map(|(name, _)| name).join(","))?;
    }
    let mut written = Ok(());
    store
        .read(ago(since), |stored| {
            if written.is_err() {
                return;
            }
            written = match format {
                Format::Jsonl => writeln!(out, "{}", stored.body),
                Format::Csv => match serde_json::from_str::<Decision>(&stored.body) {
                    Ok(decision) => {
                        let fields = COLUMNS.map(|(_, of)| quoted(&of(&decision)));
                        writeln!(out, "{},{}", stored.seq, fields.join(","))
                    }
                    Err(error) => Err(error.into()),
                },
            };
        })
        .await?;
    written?;
    out.flush()?;
    Ok(())
}

/// Keeps what a reviewer says of a decision.
///
/// # Errors
/// When no such decision is on record, or it is not stored.
pub async fn label(config: &Config, mut label: Label) -> anyhow::Result<()> {
    let (_, store) = open(config).await?;
    label.time = now();
    store.label(&label).await.map_err(|error| match error {
        Fault::RowNotFound => anyhow::anyhow!("no decision of the event {} is on record", label.event),
        error => error.into(),
    })
}

/// Says how far reviewers agree, two by two, less what chance would give.
///
/// # Errors
/// When the store cannot be read, or the output is closed.
pub async fn agreement(config: &Config) -> anyhow::Result<()> {
    let (_, store) = open(config).await?;
    let labels = store.labels().await?;
    let reviewers: BTreeSet<&str> = labels.iter().map(|label| label.reviewer.as_str()).collect();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} labels by {} reviewers, {} decisions settled",
        labels.len(),
        reviewers.len(),
        settled(&labels).len()
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

/// Removes decisions that are older than `keep`; what is left can still be proven.
///
/// # Errors
/// When the store or the key cannot be used.
pub async fn prune(config: &Config, keep: Duration) -> anyhow::Result<()> {
    let (audit, store) = open(config).await?;
    anyhow::ensure!(
        audit.key.exists(),
        "audit.key: {} is not there; decisions are removed only by the key that signed them",
        audit.key.display()
    );
    let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
    let report = verify::verify(&store, &key.public()).await?;
    anyhow::ensure!(report.holds(), "the chain is broken, so nothing is removed; `nonnocere audit verify` says where");
    let removed = store.prune(ago(Some(keep)), |tail| Checkpoint::sign(tail, Reason::Pruned, now(), &key)).await?;
    writeln!(std::io::stdout(), "{removed} decisions removed")?;
    Ok(())
}

pub(super) async fn open(config: &Config) -> anyhow::Result<(&Audit, Store)> {
    let none = || anyhow::anyhow!("audit.url is none: no decisions are kept");
    let audit = config.audit.as_ref().ok_or_else(none)?;
    Ok((audit, super::open_store(audit).await?))
}

/// A time in the past, in microseconds since 1970; the beginning of all time without one.
pub(super) fn ago(span: Option<Duration>) -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    span.map_or(i64::MIN, |span| now().saturating_sub(micros(span)))
}

/// A column of the CSV file.
type Column = (&'static str, fn(&Decision) -> String);

const COLUMNS: [Column; 21] = [
    ("time", |decision| decision.time.to_string()),
    ("event", |decision| decision.event.clone()),
    ("direction", |decision| decision.direction.clone()),
    ("surface", |decision| decision.surface.clone()),
    ("stream", |decision| decision.stream.to_string()),
    ("audience", |decision| decision.audience.clone().unwrap_or_default()),
    ("action", |decision| decision.action.clone()),
    ("rule", |decision| decision.rule.clone().unwrap_or_default()),
    ("principle", |decision| decision.principle.clone().unwrap_or_default()),
    ("type", |decision| decision.kind.clone().unwrap_or_default()),
    ("shadow", |decision| decision.shadow.as_ref().map(|shadow| shadow.join(" by ")).unwrap_or_default()),
    ("scan", |decision| decision.scan.clone()),
    ("violation", |decision| score(decision, |seen| seen.violation)),
    ("manipulation", |decision| score(decision, |seen| seen.manipulation)),
    ("crisis", |decision| score(decision, |seen| seen.crisis)),
    ("policy", |decision| decision.policy.clone()),
    ("model", |decision| decision.model.clone()),
    ("status", |decision| decision.status.map(|status| status.to_string()).unwrap_or_default()),
    ("tenant", |decision| decision.tenant.clone().unwrap_or_default()),
    ("user", |decision| decision.user.clone().unwrap_or_default()),
    ("part2", |decision| decision.part2.to_string()),
];

/// The highest of a score, however the texts were looked at.
fn score(decision: &Decision, of: fn(&crate::audit::decision::Seen) -> f32) -> String {
    let seen = [&decision.alone, &decision.context, &decision.said].into_iter().flatten();
    seen.map(of).max_by(f32::total_cmp).map(|score| score.to_string()).unwrap_or_default()
}

/// A field as RFC 4180 has it; what a spreadsheet would take for a formula is text.
fn quoted(field: &str) -> String {
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
