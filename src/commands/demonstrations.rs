//! `nonnocere demonstrations export`: requests that violate, with safe answers, as a model can be fine-tuned on them.

use super::eval::{Kept, named};
use super::promote::Word;
use super::reveal::Desk;
use crate::audit::act::Deed;
use crate::audit::decision::Decision;
use crate::audit::label::settled;
use crate::audit::vault::Sealed;
use crate::config::Config;
use crate::eval::demonstrations::{Demonstration, Form, distinct, is_held_out, of_items, refused, safe_answers};
use crate::eval::store::Store;
use crate::eval::suite::{self, Item};
use crate::policy::reload::Source;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is to be done with demonstrations.
#[derive(Subcommand)]
pub enum DemonstrationsCommand {
    /// Write train.jsonl and validation.jsonl.
    Export(Box<DemonstrationsWanted>),
}

/// What is wanted of them.
#[derive(Args)]
pub struct DemonstrationsWanted {
    /// Requests: what violates in these suites (see `eval run --suite`).
    #[arg(long = "suite")]
    suites: Vec<String>,
    /// Requests: what was refused, as far as its text is kept (audit.vault) and people agreed (audit.consent). It is recorded.
    #[arg(long, requires_all = ["by", "reason"])]
    refused: bool,
    /// Who has what was refused written out.
    #[arg(long)]
    by: Option<String>,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// Safe answers: of this run, those of the model that the judge gives 1. Without --suite, its requests too.
    #[arg(long)]
    run: Option<String>,
    #[command(flatten)]
    kept: Kept,
    /// The policy whose offers stand in answers that nobody wrote.
    #[arg(long, default_value = "ama")]
    offers: String,
    /// The form of the rows.
    #[arg(long, value_enum, default_value = "openai")]
    form: Form,
    /// The part that is held out of training.
    #[arg(long, default_value_t = 0.1)]
    validation: f64,
    /// The folder that they are written to.
    #[arg(long)]
    out: PathBuf,
}

/// Writes them.
///
/// # Errors
/// When there are none, or a file is there already or cannot be written.
pub async fn export(config: &Config, wanted: &DemonstrationsWanted) -> anyhow::Result<()> {
    let policy = Source::named(&wanted.offers).read();
    let policy = policy.map_err(|found| super::faults("--offers: the policy is not valid", &found))?;
    let mut items = suite::open(&wanted.suites).map_err(|why| anyhow::anyhow!(why))?;
    let mut said = HashMap::new();
    if let Some(name) = &wanted.run {
        let store = Store::open(&wanted.kept.store).await.with_context(|| wanted.kept.store.display().to_string())?;
        let run = named(&store.runs().await?, Some(name.as_str()))?;
        let planned = store.planned(&run.id).await?;
        let judge = run.judges.first().cloned().unwrap_or_default();
        let judged = store.judgements(&run.id, &judge).await?;
        said = safe_answers(&planned, &store.answers(&run.id).await?, &judged);
        if wanted.suites.is_empty() {
            items = planned.into_iter().map(|planned| planned.item).collect();
        }
    }
    if let (true, Some(by), Some(reason)) = (wanted.refused, wanted.by.clone(), wanted.reason.clone()) {
        items.extend(refused_of(config, Word { by, reason, new_key: false }).await?);
    }
    let found = distinct(of_items(&items, &said, &policy));
    anyhow::ensure!(!found.is_empty(), "nothing that violates: name a --suite or a --run, or say --refused");
    let (held_out, trained): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| is_held_out(one, wanted.validation));
    std::fs::create_dir_all(&wanted.out).with_context(|| wanted.out.display().to_string())?;
    write(&wanted.out.join("train.jsonl"), &trained, wanted.form)?;
    write(&wanted.out.join("validation.jsonl"), &held_out, wanted.form)
}

/// What was refused, and is kept. Whoever has it written out is on record before they see it.
async fn refused_of(config: &Config, word: Word) -> anyhow::Result<Vec<Item>> {
    let desk = Desk::open(config, word).await?;
    anyhow::ensure!(
        desk.audit.consent,
        "audit.consent is false: nobody has agreed that a model is trained on their texts"
    );
    let marks = settled(&desk.store.labels().await?, desk.audit.reviewers);
    let mut decisions: BTreeMap<(String, String), Decision> = BTreeMap::new();
    let refusing = |body: &str| {
        if let Ok(decision) = serde_json::from_str::<Decision>(body)
            && decision.action == "block"
        {
            decisions.insert((decision.event.clone(), decision.direction.clone()), decision);
        }
    };
    desk.store.bodies(i64::MIN, refusing).await?;
    let mut texts = desk.store.texts(None).await?;
    texts.retain(|sealed| decisions.contains_key(&(sealed.event.clone(), sealed.direction.clone())));
    anyhow::ensure!(!texts.is_empty(), "no text of what was refused is kept");
    desk.act(Deed::Exported { events: texts.iter().map(|sealed| sealed.event.clone()).collect() }).await?;
    let item = |sealed: &Sealed| {
        let message = (sealed.event.clone(), sealed.direction.clone());
        refused(decisions.get(&message)?, marks.get(&message).copied(), &desk.unsealed(sealed).ok()?)
    };
    Ok(texts.iter().filter_map(item).collect())
}

fn write(path: &Path, demonstrations: &[Demonstration], form: Form) -> anyhow::Result<()> {
    // Nobody's earlier ones are lost, and they may be texts of people.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| path.display().to_string())?;
    let rows: Vec<Value> = demonstrations.iter().map(|one| one.row(form)).collect();
    rows.iter().try_for_each(|row| writeln!(file, "{row}"))?;
    let mut told = format!("{}: {} rows", path.display(), rows.len());
    for from in ["source", "model", "template"] {
        let count = demonstrations.iter().filter(|one| one.from == from).count();
        if count > 0 {
            told.push_str(&format!(", {count} answers by the {from}"));
        }
    }
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}
