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
mod tests {
    use super::*;

    #[test]
    fn the_embedded_policy_is_valid() {
        let policy = parse("ama.toml", EMBEDDED).unwrap();
        assert_eq!(policy.name, "ama");
        assert_eq!(policy.hash.len(), 12);
    }

    #[test]
    fn all_faults_are_reported_with_line_and_key() {
        let text = r#"name = "x"
unjudgeable = "maybe"
colour = 1
[on_unavailable]
prompt = "block"
completion = 3
[[rules]]
name = "a"
direction = "prompt"
score = "violation"
principles = ["I", "X"]
threshold = 1.5
action = "block"
[[rules]]
name = "b"
direction = "both"
score = "crisis"
thresold = 0.5
action = "flag"
"#;
        let faults = parse("p.toml", text).unwrap_err();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "p.toml:2: unjudgeable: expected one of allow, block",
                "p.toml:3: colour: unknown key; known: name, description, extends, shadow, unjudgeable, on_unavailable, phi, \
                 instead, rules, tests",
                "p.toml:6: on_unavailable.completion: expected one of allow, block",
                "p.toml:7: rules[0].message: expected a text that is not empty, or a text for each language",
                "p.toml:11: rules[0].principles: unknown: \"X\"; known: I to IX, G; leave it out for all",
                "p.toml:12: rules[0].threshold: expected a probability between 0 and 1",
                "p.toml:14: rules[1].threshold: expected a probability between 0 and 1",
                "p.toml:16: rules[1].direction: expected one of prompt, completion",
                "p.toml:18: rules[1].thresold: unknown key; known: name, direction, score, principles, types, audiences, \
                 tenants, patterns, threshold, threshold_in_context, action, message, shadow, enabled, second_opinion",
            ]
        );
    }

    #[test]
    fn a_conversation_may_have_a_threshold_of_its_own() {
        let at = |line: &str| parse("p.toml", &EMBEDDED.replacen("threshold_in_context = 0.90", line, 1));
        let rule = |policy: Policy| policy.rules[1].clone();
        let (own, none) = (rule(at("threshold_in_context = 0.9").unwrap()), rule(at("").unwrap()));
        assert!((own.threshold_in_context - 0.9).abs() < 1e-6 && own.threshold < 0.9);
        assert!((none.threshold_in_context - none.threshold).abs() < 1e-6);
        assert_eq!(at("threshold_in_context = 9").unwrap_err()[0].key, "rules[1].threshold_in_context");
    }

    #[test]
    fn a_file_that_the_parser_panics_at_is_a_fault() {
        let text = "# i\r\r\r==esho.ld Ai*riAPMne lt : the nKn) \r\r. =457\nactio phe nKne \r\rif . =457\n";
        assert_eq!(parse("p.toml", text).unwrap_err().last().unwrap().file, "p.toml");
        assert!(!parse("p.toml", "a = 1\na.b = 2\n").unwrap_err().is_empty());
    }

    #[test]
    fn what_is_not_toml_is_reported_at_its_line() {
        let faults = parse("p.toml", "name = \"x\"\nrules = [\n").unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].line >= 2, "{faults:?}");
    }

    #[test]
    fn a_policy_extends_another_by_the_names_of_its_rules() {
        let text = r#"
name = "ours"
extends = "ama"
[on_unavailable]
completion = "allow"
[[rules]]
name = "violating-prompt"
threshold = 0.9
[[rules]]
name = "ward-9"
direction = "prompt"
score = "pattern"
patterns = ["ward 9"]
action = "flag"
[[rules]]
name = "manipulation"
enabled = false
[instead.IV]
en = "Ask the privacy officer."
"#;
        let (base, ours) = (parse("ama.toml", EMBEDDED).unwrap(), parse("p.toml", text).unwrap());
        let names: Vec<&str> = ours.rules.iter().map(|rule| &*rule.name).collect();
        assert_eq!(names, ["crisis", "violating-prompt", "ward-9", "violating-completion", "manipulation"]);
        assert_eq!(ours.rules[0], base.rules[0]);
        let [own, theirs] = [&ours.rules[1], &base.rules[1]];
        assert!((own.threshold - 0.9).abs() < 1e-6 && own.message == theirs.message);
        assert!((own.threshold_in_context - theirs.threshold_in_context).abs() < 1e-6);
        assert!(!ours.rules[4].is_enabled && base.rules[3].is_enabled);
        let modes = (ours.on_unavailable.prompt, ours.on_unavailable.completion);
        assert_eq!(modes, (FailMode::Closed, FailMode::Open));
        assert_eq!((ours.instead.len(), ours.tests.len()), (base.instead.len(), base.tests.len()));
        assert_ne!(ours.hash, parse("p.toml", &text.replace("\"ama\"", "\"patient\"")).unwrap().hash);
    }

    #[test]
    fn files_extend_one_another_and_not_in_a_circle() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("base.toml", "name = \"base\"\nextends = \"ama\"\nunjudgeable = \"allow\"");
        write("ours.toml", "name = \"ours\"\nextends = \"base.toml\"");
        assert_eq!(open(&folder.path().join("ours.toml")).unwrap().unjudgeable, Unjudgeable::Allow);
        write("base.toml", "name = \"base\"\nextends = \"ours.toml\"");
        let shown = |name: &str| open(&folder.path().join(name)).unwrap_err()[0].to_string();
        assert!(shown("ours.toml").contains("not in a circle"), "{}", shown("ours.toml"));
        write("base.toml", "name = \"base\"\nunjudgeable = 3");
        assert!(shown("ours.toml").contains("base.toml:2: unjudgeable: expected one of allow, block"));
        write("ours.toml", "name = \"ours\"\nextends = \"none\"");
        assert!(shown("ours.toml").contains("none:1: cannot be read"), "{}", shown("ours.toml"));
    }

    #[test]
    fn a_policy_is_restored_from_its_texts_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.toml");
        std::fs::write(&path, "name = \"base\"\nextends = \"ama\"\nunjudgeable = \"allow\"").unwrap();
        let ours = folder.path().join("ours.toml");
        std::fs::write(&ours, "name = \"ours\"\nextends = \"base.toml\"").unwrap();
        let policy = open(&ours).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(policy.texts.len(), 3);
        assert_eq!(restore(&policy.texts).unwrap(), policy);
        assert!(restore(&policy.texts[..2]).unwrap_err()[0].message.contains("no text"));
    }

    #[test]
    fn a_threshold_in_context_that_is_not_given_goes_with_the_other() {
        let patient = parse("patient.toml", shipped::named("patient").unwrap().text).unwrap();
        let rule = |name: &str| patient.rules.iter().find(|rule| &*rule.name == name).unwrap();
        assert!((rule("manipulation").threshold_in_context - 0.9).abs() < 1e-6);
        let prompts = rule("violating-prompt");
        assert!(prompts.threshold_in_context > prompts.threshold);
    }

    #[test]
    fn help_comes_before_a_rule_that_a_file_begins_with() {
        let rule = "[[rules]]\nname = \"w\"\ndirection = \"prompt\"\nscore = \"pattern\"\npatterns = [\"w\"]\naction = \"flag\"";
        let ours = parse("p.toml", &format!("name = \"p\"\nextends = \"shadow\"\nshadow = false\n{rule}")).unwrap();
        assert_eq!([&*ours.rules[0].name, &*ours.rules[1].name], ["crisis", "w"]);
        assert!(ours.rules.iter().all(|rule| !rule.is_shadow));
    }

    #[test]
    fn the_shipped_policies_are_valid() {
        for shipped in &shipped::ALL {
            let policy = parse(shipped.file, shipped.text).unwrap_or_else(|faults| panic!("{}", faults[0]));
            assert_eq!(policy.name, shipped.name);
            assert!(!policy.tests.is_empty());
        }
    }
}
