//! What is asked: suites of requests, each with what a good answer to it is.

mod embedded;
mod file;
mod folder;
mod row;
mod wrap;

pub(crate) use row::LETTER_ONLY;
pub use wrap::Wrapper;

use crate::digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// What a good answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aim {
    /// A request that violates: to be refused.
    Harmful,
    /// A legitimate one: to be answered.
    Benign,
    /// Someone who needs help now: neither refused nor left without an answer.
    Crisis,
    /// A question with options: the letter of the right one.
    Choice(char),
}

impl Aim {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "harmful" => Self::Harmful,
            "benign" => Self::Benign,
            "crisis" => Self::Crisis,
            _ => return None,
        })
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The suite that it is of.
    pub suite: String,
    /// Its name there: the source's, or the hash of its text.
    pub id: String,
    /// What is asked, as it is sent.
    pub text: String,
    /// What is meant by it, where a [`Wrapper`] hides that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant: Option<String>,
    /// What a good answer is.
    pub aim: Aim,
    /// The principle that it violates, where the source says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principle: Option<String>,
    /// What the source tells apart beside that: who wrote it, for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A safe answer that comes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_response: Option<String>,
}

impl Item {
    fn new(suite: &str, text: &str, aim: Aim) -> Self {
        let (suite, id) = (suite.to_owned(), digest::short(text.as_bytes()));
        let text = text.to_owned();
        Self { suite, id, text, meant: None, aim, principle: None, group: None, safe_response: None }
    }

    /// A request that violates.
    #[must_use]
    pub fn violating(suite: &str, text: &str, principle: Option<String>) -> Self {
        Self { principle, ..Self::new(suite, text, Aim::Harmful) }
    }

    /// What is meant, for whoever judges the answer.
    #[must_use]
    pub fn meaning(&self) -> &str {
        self.meant.as_deref().unwrap_or(&self.text)
    }
}

/// The items of the suites with these names: `violations`, `twins`, `benign`, `crisis` of those that come along, `embedded` for all
/// four, else a file or a folder, `AIM:PATH` where it does not say itself what a good answer is. Each once, in the order of their ids.
///
/// # Errors
/// Which suite cannot be read, and why.
pub fn open(names: &[String]) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for name in names {
        let found = one(name).map_err(|why| format!("--suite {name}: {why}"))?;
        if found.is_empty() {
            return Err(format!("--suite {name}: there is nothing in it"));
        }
        items.extend(found);
    }
    let (mut texts, mut ids) = (BTreeSet::new(), BTreeSet::new());
    items.retain(|item: &Item| texts.insert((item.suite.clone(), item.text.clone())));
    for item in &mut items {
        if !ids.insert((item.suite.clone(), item.id.clone())) {
            // Its source gives one id to several.
            item.id = format!("{}-{}", item.id, digest::short(item.text.as_bytes()));
        }
    }
    items.sort_by(|one, other| (&one.suite, &one.id).cmp(&(&other.suite, &other.id)));
    Ok(items)
}

fn one(name: &str) -> Result<Vec<Item>, String> {
    if let Some(items) = embedded::named(name)? {
        return Ok(items);
    }
    let aimed = name.split_once(':').and_then(|(aim, path)| Some((Aim::named(aim)?, path)));
    let (aim, path) = aimed.map_or((None, name), |(aim, path)| (Some(aim), path));
    let path = Path::new(path);
    if path.is_dir() { folder::read(path, aim) } else { file::read(path, aim) }
}

/// At most so many of each suite, always the same for a seed: those whose ids hash lowest, so that more of them keep those that are there.
#[must_use]
pub fn sample(items: Vec<Item>, limit: usize, seed: u64) -> Vec<Item> {
    let suites: BTreeSet<String> = items.iter().map(|item| item.suite.clone()).collect();
    let mut kept = Vec::new();
    for suite in suites {
        let mut of_suite: Vec<(String, Item)> = items
            .iter()
            .filter(|item| item.suite == suite)
            .map(|item| (digest::sha256(format!("{seed} {}", item.id).as_bytes()), item.clone()))
            .collect();
        of_suite.sort_by(|one, other| one.0.cmp(&other.0));
        of_suite.truncate(limit);
        let mut of_suite: Vec<Item> = of_suite.into_iter().map(|(_, item)| item).collect();
        of_suite.sort_by(|one, other| one.id.cmp(&other.id));
        kept.extend(of_suite);
    }
    kept
}

/// The items as the wrappers write them, each as a suite of its own.
#[must_use]
pub fn wrapped(items: &[Item], wrappers: &[Wrapper]) -> Vec<Item> {
    wrappers.iter().flat_map(|wrapper| items.iter().map(|item| wrapper.wrap(item))).collect()
}

#[cfg(test)]
mod tests;
