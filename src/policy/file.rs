//! Reads a policy file. All faults of a file are found in one reading, each with its line and key.
//!
//! A file may extend another one, or a [shipped] policy: what it does not say holds as it is there. Its rules
//! and tests of the same name change those, key by key; another rule of its own stands behind the one that it follows in
//! the file.

mod opinion;
mod read;
mod rules;
mod tests_of;

use super::message::{self, Messages};
use super::taxonomy::Principle;
use super::{FailMode, OnUnavailable, Phi, Policy, Unjudgeable, shipped};
use crate::digest;
use read::{Reader, Section, span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use toml_edit::{Document, DocumentMut, Item, Table};

/// The policy that holds where nobody says otherwise.
pub const EMBEDDED: &str = include_str!("../../policies/ama.toml");

/// So many files may extend one another.
const DEEPEST: usize = 8;

/// One thing that is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key, in dotted form; empty when the file is not TOML.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, key, message } = self;
        let separator = if key.is_empty() { "" } else { ": " };
        write!(f, "{file}:{line}: {key}{separator}{message}")
    }
}

/// The text of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The file, as it was named.
    pub file: String,
    /// What stands in it.
    pub text: String,
}

/// Where the files are that a policy extends.
#[derive(Clone, Copy)]
enum Bases<'a> {
    /// On the disk, or in the binary; the files that extend one another so far.
    Disk(&'a [PathBuf]),
    /// Kept with it, the next one first.
    Kept(&'a [Text]),
    /// These, by what a file calls them, and those in the binary: nothing is read from the disk.
    Among(&'a [Base]),
}

/// A policy that a text may extend by a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// What `extends` says.
    pub name: String,
    /// Its own text, and those that it extends in their order.
    pub texts: Vec<Text>,
}

/// Reads a policy from the text of the file named `file`, and those that it extends.
///
/// # Errors
/// Every [`Fault`] of the file, in the order of its lines.
pub fn parse(file: &str, text: &str) -> Result<Policy, Vec<Fault>> {
    parse_in(file, text, Bases::Disk(&[real(Path::new(file))]))
}

/// Reads a policy from the [texts](Policy::texts) that it was once made of, whatever stands on the disk or in the binary now.
///
/// # Errors
/// Every [`Fault`] of them.
pub fn restore(texts: &[Text]) -> Result<Policy, Vec<Fault>> {
    match texts {
        [Text { file, text }, bases @ ..] => parse_in(file, text, Bases::Kept(bases)),
        [] => Err(vec![Fault { file: String::new(), line: 1, key: String::new(), message: "no text".to_owned() }]),
    }
}

/// Reads a policy from a text of whoever may see no file here: it extends one of `bases`, or a shipped policy.
///
/// # Errors
/// Every [`Fault`] of the text, in the order of its lines.
pub fn parse_among(file: &str, text: &str, bases: &[Base]) -> Result<Policy, Vec<Fault>> {
    parse_in(file, text, Bases::Among(bases))
}

/// A file as TOML alone, to be changed and written again.
///
/// # Errors
/// That it is none.
pub fn document(file: &str, text: &str) -> Result<DocumentMut, Fault> {
    let mut reader = Reader { file, text, faults: Vec::new() };
    match reader.document() {
        Some(document) => Ok(document.into_mut()),
        None => Err(reader.faults.swap_remove(0)),
    }
}

/// Reads the policy file at `path`.
///
/// # Errors
/// Every [`Fault`]; that it cannot be read is one.
pub fn open(path: &Path) -> Result<Policy, Vec<Fault>> {
    open_in(path, Bases::Disk(&[real(path)]))
}

/// The path of a file, the same by whatever way it is named.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Reads a file, and what it extends from among `bases`.
fn open_in(path: &Path, bases: Bases<'_>) -> Result<Policy, Vec<Fault>> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse_in(&name, &text, bases),
        Err(e) => {
            let message = format!("cannot be read: {e}");
            Err(vec![Fault { file: name, line: 1, key: String::new(), message }])
        }
    }
}

fn parse_in(file: &str, text: &str, bases: Bases<'_>) -> Result<Policy, Vec<Fault>> {
    let mut reader = Reader { file, text, faults: Vec::new() };
    let Some(document) = reader.document() else { return Err(reader.faults) };
    let policy = reader.policy(Section { table: document.as_table(), at: "" }, bases);
    reader.faults.sort_by_key(|fault| fault.line);
    match policy {
        Some(policy) if reader.faults.is_empty() => Ok(policy),
        _ => Err(reader.faults),
    }
}

impl<'a> Reader<'a> {
    /// The file as TOML; a fault where it is none.
    fn document(&mut self) -> Option<Document<&'a str>> {
        let text = self.text;
        // The parser panics at some files that are no TOML; a reload must not end with it.
        match catch_unwind(|| Document::parse(text)) {
            Ok(Ok(document)) => return Some(document),
            Ok(Err(error)) => self.fault(error.span(), "", error.message()),
            Err(_) => self.fault(None, "", "this is not TOML"),
        }
        None
    }
}

impl Reader<'_> {
    fn policy(&mut self, section: Section<'_>, bases: Bases<'_>) -> Option<Policy> {
        const KEYS: [&str; 10] = [
            "name",
            "description",
            "extends",
            "shadow",
            "unjudgeable",
            "on_unavailable",
            "phi",
            "instead",
            "rules",
            "tests",
        ];
        let table = section.table;
        self.known_keys(section, &KEYS);
        let base = match table.get("extends") {
            None => None,
            // Without what it extends, nothing else can be said of a file.
            Some(item) => Some(self.extended(item, bases)?),
        };
        let base = base.as_ref();
        let name = self.text_of(section, "name");
        if table.contains_key("description") {
            self.text_of(section, "description");
        }
        let ways = [("allow", Unjudgeable::Allow), ("block", Unjudgeable::Block)];
        let unjudgeable = self.one_of_or((section, "unjudgeable"), &ways, base.map(|base| base.unjudgeable));
        let on_unavailable = self.on_unavailable(table, base.map(|base| base.on_unavailable));
        let phi = self.phi(table, base.map(|base| base.phi).unwrap_or_default());
        let instead = self.instead(table, base.map(|base| base.instead.clone()).unwrap_or_default());
        let is_shadow = match table.get("shadow") {
            None => Some(None),
            Some(_) => self.flag_or(section, "shadow", None).map(Some),
        };
        let rules = self.rules(table, base.map(|base| &*base.rules), is_shadow?);
        let tests = self.tests(table, base.map(|base| &*base.tests));
        let hash = digest::short(&[self.text.as_bytes(), base.map_or("", |base| &base.hash).as_bytes()].concat());
        let mut texts = vec![Text { file: self.file.to_owned(), text: self.text.to_owned() }];
        texts.extend(base.into_iter().flat_map(|base| base.texts.iter().cloned()));
        Some(Policy {
            name: name?,
            hash,
            unjudgeable: unjudgeable?,
            on_unavailable: on_unavailable?,
            phi: phi?,
            rules: rules?,
            instead: instead?,
            tests: tests?,
            texts,
            beside: None,
        })
    }

    /// The policy that this one extends.
    fn extended(&mut self, item: &Item, bases: Bases<'_>) -> Option<Policy> {
        let Some(name) = item.as_str() else {
            let names: Vec<&str> = shipped::ALL.iter().map(|shipped| shipped.name).collect();
            let message =
                format!("expected the name of a shipped policy ({}), or the path of a file", names.join(", "));
            self.fault(item.span(), "extends", &message);
            return None;
        };
        let path = Path::new(self.file).parent().unwrap_or(Path::new("")).join(name);
        let read = match (bases, shipped::named(name)) {
            (Bases::Kept(texts), _) => restore(texts),
            (Bases::Among(bases), shipped) => match (bases.iter().find(|base| base.name == name), shipped) {
                (Some(base), _) => restore(&base.texts),
                (None, Some(shipped)) => parse_in(shipped.file, shipped.text, Bases::Among(&[])),
                (None, None) => {
                    let known = bases.iter().map(|base| base.name.as_str());
                    let known: Vec<&str> = known.chain(shipped::ALL.iter().map(|shipped| shipped.name)).collect();
                    self.fault(item.span(), "extends", &format!("expected one of {}", known.join(", ")));
                    return None;
                }
            },
            (_, Some(shipped)) => parse_in(shipped.file, shipped.text, bases),
            (Bases::Disk(chain), None) if chain.contains(&real(&path)) || chain.len() >= DEEPEST => {
                let message = format!("at most {DEEPEST} files may extend one another, and not in a circle");
                self.fault(item.span(), "extends", &message);
                return None;
            }
            (Bases::Disk(chain), None) => open_in(&path, Bases::Disk(&[chain, &[real(&path)]].concat())),
        };
        match read {
            Ok(base) => Some(base),
            Err(faults) => {
                let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
                self.fault(item.span(), "extends", &all.join("; "));
                None
            }
        }
    }

    /// Whether identifiers of people are taken out; they are left where nothing is said.
    fn phi(&mut self, table: &Table, base: Phi) -> Option<Phi> {
        const WAYS: [(&str, bool); 2] = [("pass", false), ("redact", true)];
        let Some(item) = table.get("phi") else { return Some(base) };
        let Some(sides) = item.as_table() else {
            self.fault(item.span(), "phi", "expected a table with prompt and completion");
            return None;
        };
        let sides = Section { table: sides, at: "phi." };
        self.known_keys(sides, &["prompt", "completion"]);
        let prompt = self.one_of_or((sides, "prompt"), &WAYS, Some(base.prompt));
        let completion = self.one_of_or((sides, "completion"), &WAYS, Some(base.completion));
        Some(Phi { prompt: prompt?, completion: completion? })
    }

    /// What can be done instead of what goes against each principle.
    fn instead(
        &mut self,
        table: &Table,
        mut found: BTreeMap<Principle, Messages>,
    ) -> Option<BTreeMap<Principle, Messages>> {
        let Some(item) = table.get("instead") else { return Some(found) };
        let Some(principles) = item.as_table_like() else {
            self.fault(item.span(), "instead", "expected a table for each principle, such as [instead.IV]");
            return None;
        };
        for (id, item) in principles.iter() {
            let key = format!("instead.{id}");
            match (Principle::from_id(id), self.languages(item, &key)) {
                (Some(principle), Some(messages)) => drop(found.insert(principle, messages)),
                (None, _) => self.fault(item.span(), &key, "unknown principle; known: I to IX, G"),
                (_, None) => {}
            }
        }
        Some(found)
    }

    /// A text, or a text for each language.
    fn languages(&mut self, item: &Item, key: &str) -> Option<Messages> {
        let is_said = |text: &&str| !text.trim().is_empty();
        if let Some(text) = item.as_str().filter(is_said) {
            return Some(Messages::one(message::DEFAULT, text.trim()));
        }
        let mut messages = Messages::default();
        for (language, item) in item.as_table_like().into_iter().flat_map(|table| table.iter()) {
            let is_code = (2..=3).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_lowercase());
            match item.as_str().filter(is_said).filter(|_| is_code) {
                Some(text) => messages.add(language, text.trim()),
                None => {
                    self.fault(
                        item.span(),
                        &format!("{key}.{language}"),
                        "expected a text under a language such as en",
                    );
                }
            }
        }
        if messages.is_empty() {
            self.fault(item.span(), key, "expected a text that is not empty, or a text for each language");
            return None;
        }
        Some(messages)
    }

    fn on_unavailable(&mut self, table: &Table, base: Option<OnUnavailable>) -> Option<OnUnavailable> {
        const MODES: [(&str, FailMode); 2] = [("allow", FailMode::Open), ("block", FailMode::Closed)];
        let item = table.get("on_unavailable");
        if let (None, Some(base)) = (item, base) {
            return Some(base);
        }
        let Some(modes) = item.and_then(Item::as_table) else {
            self.fault(span(item), "on_unavailable", "expected a table with prompt and completion");
            return None;
        };
        let modes = Section { table: modes, at: "on_unavailable." };
        self.known_keys(modes, &["prompt", "completion"]);
        let prompt = self.one_of_or((modes, "prompt"), &MODES, base.map(|base| base.prompt));
        let completion = self.one_of_or((modes, "completion"), &MODES, base.map(|base| base.completion));
        Some(OnUnavailable { prompt: prompt?, completion: completion? })
    }
}

#[cfg(test)]
mod tests;
