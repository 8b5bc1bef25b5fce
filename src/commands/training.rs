//! `nonnocere audit training`: what reviewers labelled, as rows of the corpus that the classifier is trained on.

use super::promote::Word;
use super::reveal::Desk;
use crate::audit::act::Deed;
use crate::audit::decision::Decision;
use crate::audit::label::settled;
use crate::audit::training::{Part, Reviewed};
use crate::audit::vault::Sealed;
use crate::config::Config;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Which message of which event.
type Message = (String, String);

/// Writes the labelled decisions whose texts are kept as rows of the corpus, to be read by someone before anything is trained on
/// them. What a label does not say of one text alone is left out, and counted.
///
/// # Errors
/// When a file is there already or cannot be written, or the reading cannot be recorded.
pub async fn training(config: &Config, folder: &Path, word: Word) -> anyhow::Result<()> {
    let desk = Desk::open(config, word).await?;
    let labels = desk.store.labels().await?;
    let marks = settled(&labels, desk.audit.reviewers);
    let mut decisions: BTreeMap<Message, Vec<Decision>> = BTreeMap::new();
    let labelled = |body: &str| {
        if let Ok(decision) = serde_json::from_str::<Decision>(body) {
            let message = (decision.event.clone(), decision.direction.clone());
            if marks.contains_key(&message) {
                decisions.entry(message).or_default().push(decision);
            }
        }
    };
    desk.store.bodies(i64::MIN, labelled).await?;
    let mut texts: BTreeMap<Message, Vec<Sealed>> = BTreeMap::new();
    for sealed in desk.store.texts(None).await? {
        texts.entry((sealed.event.clone(), sealed.direction.clone())).or_default().push(sealed);
    }
    let kept: Vec<&Message> = decisions.keys().filter(|message| texts.contains_key(*message)).collect();
    anyhow::ensure!(!kept.is_empty(), "no decision is both labelled and kept with its text");
    // Whoever is given the rows has read these events, their questions too.
    let mut events: Vec<String> = kept.iter().map(|(event, _)| event.clone()).collect();
    events.dedup();
    desk.act(Deed::Exported { events }).await?;
    let (mut rows, mut left_out): (BTreeMap<Part, Vec<Value>>, usize) = (BTreeMap::new(), 0);
    for message in kept {
        let only = |message: &Message| match texts.get(message).map(Vec::as_slice) {
            // What cannot be opened, by another key for one, is left out.
            Some([only]) => desk.unsealed(only).ok(),
            _ => None,
        };
        let (event, _) = message;
        let reviewed = match (decisions.get(message).map(Vec::as_slice), marks.get(message), only(message)) {
            // A label does not say which of two answers it is on.
            (Some([decision]), Some(mark), Some(text)) => {
                let said =
                    labels.iter().rev().filter(|label| (&label.event, &label.direction) == (&message.0, &message.1));
                let principle = said.filter(|label| label.mark == *mark).find_map(|label| label.principle.as_deref());
                let asked = only(&(event.clone(), "prompt".to_owned()));
                Reviewed { decision, mark: *mark, principle }.row(&text, asked.as_ref())
            }
            _ => None,
        };
        match reviewed {
            Some((part, row)) => rows.entry(part).or_default().push(row),
            None => left_out += 1,
        }
    }
    for (part, rows) in rows {
        let path = folder.join(part.id());
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let path = path.join("reviewed.jsonl");
        // They are texts of people, and no earlier ones are lost.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        rows.iter().try_for_each(|row| writeln!(file, "{row}"))?;
        writeln!(std::io::stdout(), "{}: {} rows", path.display(), rows.len())?;
    }
    writeln!(std::io::stdout(), "{left_out} labelled decisions are left out: their label is not on one text alone")?;
    Ok(())
}
