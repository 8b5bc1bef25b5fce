//! `nonnocere audit read | training`: the kept texts of decisions. Whoever reads one is on record before they see it.

use super::audit::open;
use super::promote::Word;
use crate::audit::act::{Act, Deed};
use crate::audit::decision::Decision;
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::audit::label::{Label, Mark, settled, stopped};
use crate::audit::store::Store;
use crate::audit::vault::{Sealed, Vault};
use crate::config::{Audit, Config};
use crate::policy::backtest::Sample;
use crate::policy::taxonomy::VIOLATION_TYPES;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

/// The texts of a store, and who wants to see them.
struct Desk<'a> {
    audit: &'a Audit,
    store: Store,
    vault: Vault,
    word: Word,
}

impl<'a> Desk<'a> {
    async fn open(config: &'a Config, word: Word) -> anyhow::Result<Self> {
        let (audit, store) = open(config).await?;
        let none = || anyhow::anyhow!("audit.vault is false: no texts are kept");
        let vault = super::vault(audit)?.ok_or_else(none)?;
        word.checked()?;
        // Who makes a key to read with is nobody that others know.
        anyhow::ensure!(audit.key.exists(), "audit.key: {} is not there; readings are signed", audit.key.display());
        Ok(Self { audit, store, vault, word })
    }

    /// Records what is done with texts, before it is.
    async fn act(&self, deed: Deed) -> anyhow::Result<()> {
        let Word { by, reason, .. } = self.word.clone();
        let key = Signing::open(&self.audit.key).map_err(|why| anyhow::anyhow!(why))?;
        let is_done = self.store.act(&Act { time: now(), by, reason, deed }, None, &key).await?;
        anyhow::ensure!(is_done, "the reading could not be recorded");
        Ok(())
    }

    fn unsealed(&self, sealed: &Sealed) -> anyhow::Result<Value> {
        let text = self.vault.unseal(sealed).map_err(|why| anyhow::anyhow!("the text of {}: {why}", sealed.event))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// The kept texts of some decisions, by event and direction.
pub(super) type Texts = BTreeMap<(String, String), Value>;

/// The texts of the decisions that a backtest names, as far as they are kept; each reading is recorded.
pub(super) async fn texts_of(config: &Config, word: Word, samples: &[Sample]) -> anyhow::Result<Texts> {
    let desk = Desk::open(config, word).await?;
    let mut texts = BTreeMap::new();
    let events: BTreeSet<&str> = samples.iter().map(|sample| sample.event.as_str()).collect();
    for event in events {
        let sealed = desk.store.texts(Some(event)).await?;
        if sealed.is_empty() {
            continue;
        }
        desk.act(Deed::Read { event: event.to_owned() }).await?;
        for one in sealed {
            let text = desk.unsealed(&one)?;
            texts.insert((one.event, one.direction), text);
        }
    }
    Ok(texts)
}

/// Shows the texts of an event, a JSON object for each of its messages.
///
/// # Errors
/// When none is kept, or the reading cannot be recorded.
pub async fn read(config: &Config, event: &str, word: Word) -> anyhow::Result<()> {
    let desk = Desk::open(config, word).await?;
    let texts = desk.store.texts(Some(event)).await?;
    anyhow::ensure!(!texts.is_empty(), "no text of the event {event} is kept");
    desk.act(Deed::Read { event: event.to_owned() }).await?;
    let mut out = std::io::stdout().lock();
    for sealed in &texts {
        let text = desk.unsealed(sealed)?;
        writeln!(out, "{}", json!({"event": event, "direction": sealed.direction, "time": sealed.time, "text": text}))?;
    }
    Ok(())
}

/// Writes the labelled decisions whose texts are kept as rows of the corpus that the classifier is trained on, to be read by
/// someone before they are.
///
/// # Errors
/// When a text cannot be read, a file cannot be written, or it cannot be recorded.
pub async fn training(config: &Config, folder: &Path, word: Word) -> anyhow::Result<()> {
    let desk = Desk::open(config, word).await?;
    let texts = desk.store.texts(None).await?;
    let labels = desk.store.labels().await?;
    let marks = settled(&labels, desk.audit.reviewers);
    let principles: BTreeMap<(&str, &str), &str> = labels.iter().filter_map(named).collect();
    let mut decisions = BTreeMap::new();
    let labelled = |body: &str| {
        if let Ok(decision) = serde_json::from_str::<Decision>(body) {
            let key = (decision.event.clone(), decision.direction.clone());
            if let Some(mark) = marks.get(&key) {
                decisions.insert(key, (decision, *mark));
            }
        }
    };
    desk.store.bodies(i64::MIN, labelled).await?;
    let of_label: Vec<&Sealed> =
        texts.iter().filter(|sealed| marks.contains_key(&(sealed.event.clone(), sealed.direction.clone()))).collect();
    desk.act(Deed::Exported { texts: of_label.len() as u64 }).await?;
    let asked: BTreeMap<&str, &Sealed> = texts
        .iter()
        .filter(|sealed| sealed.direction == "prompt")
        .map(|sealed| (sealed.event.as_str(), sealed))
        .collect();
    let mut parts: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for sealed in of_label {
        let Some((decision, mark)) = decisions.get(&(sealed.event.clone(), sealed.direction.clone())) else { continue };
        let principle = principles.get(&(sealed.event.as_str(), sealed.direction.as_str())).copied();
        let asked = asked.get(sealed.event.as_str()).map(|asked| desk.unsealed(asked)).transpose()?;
        let row = Row { decision, mark: *mark, principle };
        parts.entry("").or_default();
        for (part, row) in row.rows(&desk.unsealed(sealed)?, asked.as_ref()) {
            parts.entry(part).or_default().push(row);
        }
    }
    for (part, rows) in parts.iter().filter(|(part, _)| !part.is_empty()) {
        let path = folder.join(part);
        std::fs::create_dir_all(&path)?;
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(path.join("reviewed.jsonl"), lines)?;
        writeln!(std::io::stdout(), "{}/{part}/reviewed.jsonl: {} rows", folder.display(), rows.len())?;
    }
    anyhow::ensure!(!parts.is_empty(), "no decision is both labelled and kept with its text");
    Ok(())
}

/// The principle that a reviewer names for a decision.
fn named(label: &Label) -> Option<((&str, &str), &str)> {
    Some(((label.event.as_str(), label.direction.as_str()), label.principle.as_deref()?))
}

/// A labelled decision, on its way into the corpus.
struct Row<'a> {
    decision: &'a Decision,
    mark: Mark,
    principle: Option<&'a str>,
}

impl Row<'_> {
    /// The rows that a text becomes, each with the part of the corpus that it belongs to.
    fn rows(&self, text: &Value, asked: Option<&Value>) -> Vec<(&'static str, Value)> {
        let turns = |of: &Value| of.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(choices) = text.get("choices").and_then(Value::as_array) {
            let messages = asked.map(turns).unwrap_or_default();
            // An answer without its question, or to more than one, teaches nothing.
            if messages.last().and_then(|last| last.get("role")).and_then(Value::as_str) != Some("user") {
                return Vec::new();
            }
            let said = choices.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
            let kind = if self.violates() { "comply" } else { "answer" };
            let more = |said: &str| json!({"messages": messages, "completion": said, "kind": kind});
            return said
                .filter(|said| !said.trim().is_empty())
                .map(|said| ("completions", self.row(more(said))))
                .collect();
        }
        let prompts = text.get("prompts").and_then(Value::as_array).cloned().unwrap_or_default();
        let spoken: Vec<Value> =
            turns(text).into_iter().filter(|turn| turn.get("role") != Some(&json!("system"))).collect();
        let alone: Vec<String> = match spoken.as_slice() {
            [only] => only.get("content").and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
            _ => prompts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        };
        if alone.is_empty() {
            let is_asked = spoken.last().is_some_and(|last| last.get("role") == Some(&json!("user")));
            let row = is_asked.then(|| ("conversations", self.row(json!({ "messages": spoken }))));
            return row.into_iter().collect();
        }
        let part = if self.is_crisis() { "crisis" } else { "prompts" };
        alone
            .iter()
            .map(|text| (part, self.row(json!({"text": text, "form": form(text), "register": "plain"}))))
            .collect()
    }

    fn row(&self, more: Value) -> Value {
        let kind = self.kind();
        let principle =
            if matches!(kind, "crisis" | "none") { "none" } else { kind.split('.').next().unwrap_or_default() };
        let label = match (self.is_crisis(), self.violates()) {
            (true, _) => "crisis",
            (_, true) => "violation",
            (_, false) => "safe",
        };
        let audience = match self.decision.audience.as_deref() {
            Some("clinician") => "physician",
            Some("staff") => "administrator",
            Some("research") => "researcher",
            _ => "patient",
        };
        let event = &self.decision.event;
        let mut row = json!({"id": format!("{event}-{}", self.decision.direction), "pair": event, "group": event,
            "type": kind, "principle": principle, "label": label, "audience": audience});
        if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
            row.extend(more);
        }
        row
    }

    /// The violated type: the likeliest one, or the first of the principle that the reviewer names.
    fn kind(&self) -> &str {
        if self.is_crisis() {
            return "crisis";
        }
        if !self.violates() {
            return "none";
        }
        let seen = self.decision.alone.as_ref().or(self.decision.context.as_ref()).or(self.decision.said.as_ref());
        let likeliest = seen.map_or("I.1", |seen| seen.kind.as_str());
        match self.principle {
            Some(named) if likeliest.split('.').next() != Some(named) => {
                let first = VIOLATION_TYPES.iter().find(|kind| kind.principle.id() == named);
                first.map_or(likeliest, |kind| kind.id)
            }
            _ => likeliest,
        }
    }

    fn is_crisis(&self) -> bool {
        self.decision.action == "escalate" && self.mark == Mark::Correct
    }

    fn violates(&self) -> bool {
        !self.is_crisis() && self.mark.violates(stopped(self.decision))
    }
}

fn form(text: &str) -> &'static str {
    if text.trim_end().ends_with('?') { "question" } else { "imperative" }
}
