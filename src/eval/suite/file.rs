//! A suite in a file: JSON lines (gzipped too), CSV with a head, or plain text with a request a line.

use super::row::item;
use super::{Aim, Item};
use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The items of a file.
pub(super) fn read(path: &Path, aim: Option<Aim>) -> Result<Vec<Item>, String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let (inner, file): (&str, Box<dyn Read>) = match name.strip_suffix(".gz") {
        Some(inner) => (inner, Box::new(GzDecoder::new(file))),
        None => (name, Box::new(file)),
    };
    let (suite, kind) = inner.rsplit_once('.').unwrap_or((inner, ""));
    match kind {
        "jsonl" | "ndjson" => lines(suite, file, aim),
        "csv" => csv(suite, file, aim),
        "txt" => plain(suite, file, aim),
        _ => Err("expected a folder, or a file .jsonl, .jsonl.gz, .csv or .txt".to_owned()),
    }
}

fn lines(suite: &str, file: impl Read, aim: Option<Aim>) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (place, line) in BufReader::new(file).lines().enumerate() {
        let at = |why: String| format!("line {}: {why}", place + 1);
        let line = line.map_err(|error| at(error.to_string()))?;
        if !line.trim().is_empty() {
            let row: Map<String, Value> = serde_json::from_str(&line).map_err(|error| at(error.to_string()))?;
            items.extend(item(suite, &row, aim).map_err(at)?);
        }
    }
    Ok(items)
}

/// The rows of a CSV file, each as an object by the names of its head.
pub(super) fn csv(suite: &str, file: impl Read, aim: Option<Aim>) -> Result<Vec<Item>, String> {
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let head = rows.headers().map_err(|error| error.to_string())?.clone();
    let mut items = Vec::new();
    for row in rows.records() {
        let row = row.map_err(|error| error.to_string())?;
        let field = |(name, value): (&str, &str)| (name.trim().to_owned(), value.to_owned().into());
        let mut row: Map<String, Value> = head.iter().zip(&row).map(field).collect();
        // Options have columns of their own, A to Z.
        let options: Map<String, Value> =
            row.iter().filter(|(name, _)| is_letter(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
        if !options.is_empty() {
            row.insert("options".to_owned(), options.into());
        }
        items.extend(item(suite, &row, aim)?);
    }
    Ok(items)
}

fn is_letter(name: &str) -> bool {
    name.len() == 1 && name.chars().all(|letter| letter.is_ascii_uppercase())
}

/// The lines of a plain text, each a request.
pub(super) fn plain(suite: &str, file: impl Read, aim: Option<Aim>) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| error.to_string())?;
        if !line.trim().is_empty() {
            items.push(Item::new(suite, line.trim(), aim.unwrap_or(Aim::Harmful)));
        }
    }
    Ok(items)
}
