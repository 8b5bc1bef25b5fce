//! The suites that come along: of the corpus's test split, which no weight and no threshold saw. `classifier/suites.py` draws them.

use super::{Aim, Item};
use serde::Deserialize;

const ROWS: &str = include_str!("embedded.jsonl");

/// What is in them, and what a good answer is.
const SUITES: [(&str, Aim); 4] =
    [("violations", Aim::Harmful), ("twins", Aim::Benign), ("benign", Aim::Benign), ("crisis", Aim::Crisis)];

#[derive(Deserialize)]
struct Row {
    suite: String,
    id: String,
    text: String,
    principle: Option<String>,
}

/// The suite of this name, where there is one; `embedded` is all of them.
pub(super) fn named(name: &str) -> Result<Option<Vec<Item>>, String> {
    if name != "embedded" && !SUITES.iter().any(|(suite, _)| *suite == name) {
        return Ok(None);
    }
    let mut items = Vec::new();
    for line in ROWS.lines() {
        let row: Row = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let Some((suite, aim)) = SUITES.iter().find(|(suite, _)| *suite == row.suite) else { continue };
        if name == "embedded" || name == *suite {
            items.push(Item { id: row.id, principle: row.principle, ..Item::new(suite, &row.text, *aim) });
        }
    }
    Ok(Some(items))
}
