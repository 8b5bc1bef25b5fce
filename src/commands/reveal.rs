//! `nonnocere audit read`: the kept texts of decisions. Whoever reads one is on record before they see it.

use super::audit::open;
use super::promote::Word;
use crate::audit::act::{Act, Deed};
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::audit::store::Store;
use crate::audit::vault::{Sealed, Vault};
use crate::config::{Audit, Config};
use crate::policy::backtest::Sample;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// The texts of a store, and who wants to see them.
pub(super) struct Desk<'a> {
    pub(super) audit: &'a Audit,
    pub(super) store: Store,
    key: Signing,
    vault: Vault,
    word: Word,
}

impl<'a> Desk<'a> {
    pub(super) async fn open(config: &'a Config, word: Word) -> anyhow::Result<Self> {
        let (audit, store) = open(config).await?;
        let none = || anyhow::anyhow!("audit.vault is false: no texts are kept");
        let vault = super::vault(audit, false)?.ok_or_else(none)?;
        super::heard(&word)?;
        // Who makes a key to read with, or signs by one that nobody knows, would break the chain for all.
        anyhow::ensure!(audit.key.exists(), "audit.key: {} is not there; readings are signed", audit.key.display());
        let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
        let public = key.public().to_string();
        let is_known = store.acts().await?.iter().any(|act| act.key == public)
            || store.checkpoints().await?.iter().any(|one| one.key == public);
        anyhow::ensure!(
            word.new_key || is_known,
            "audit.key: {} has signed nothing here yet; add {public} to audit.trust of all proxies, and say --new-key",
            audit.key.display()
        );
        Ok(Self { audit, store, key, vault, word })
    }

    /// Records what is done with texts, before it is.
    pub(super) async fn act(&self, deed: Deed) -> anyhow::Result<()> {
        let Word { by, reason, .. } = self.word.clone();
        let is_done = self.store.act(&Act { time: now(), by, reason, deed }, None, &self.key).await?;
        anyhow::ensure!(is_done, "the reading could not be recorded");
        Ok(())
    }

    pub(super) fn unsealed(&self, sealed: &Sealed) -> anyhow::Result<Value> {
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
