//! The tests of a policy file, over those of the file that it extends.

use super::read::{Reader, Section, span};
use crate::policy::expectation::{Expectation, Expected};
use crate::policy::message::{Audience, TENANT_NAMES, is_tenant};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use toml_edit::{Item, Table};

const KEYS: [&str; 7] = ["name", "prompt", "messages", "completion", "audience", "tenant", "expect"];

impl Reader<'_> {
    /// Its own tests, and those that it extends and has none of the same name for.
    pub(super) fn tests(&mut self, table: &Table, base: Option<&[Expectation]>) -> Option<Vec<Expectation>> {
        let item = table.get("tests");
        let tables = match (item, item.and_then(Item::as_array_of_tables)) {
            (None, _) => return Some(base.unwrap_or_default().to_vec()),
            (_, Some(tables)) => tables,
            (_, None) => {
                self.fault(span(item), "tests", "expected [[tests]] tables");
                return None;
            }
        };
        let mut names = BTreeSet::new();
        let mut own = Vec::new();
        for (index, test) in tables.iter().enumerate() {
            let section = Section { table: test, at: &format!("tests[{index}].") };
            let found = self.test(section);
            if let Some(test) = found.as_ref().filter(|test| !names.insert(Arc::clone(&test.name))) {
                let message = format!("another test has the name {:?}", test.name);
                self.fault(section.table.span(), &format!("{}name", section.at), &message);
            }
            own.push(found);
        }
        let mut tests: Vec<Expectation> = own.into_iter().collect::<Option<_>>()?;
        tests.extend(base.into_iter().flatten().filter(|test| !names.contains(&test.name)).cloned());
        Some(tests)
    }

    fn test(&mut self, section: Section<'_>) -> Option<Expectation> {
        let Section { table, at } = section;
        self.known_keys(section, &KEYS);
        let name = self.text_of(section, "name");
        let expected = self.one_of_or((section, "expect"), &Expected::ALL, None);
        let audience = match table.get("audience") {
            None => Some(None),
            Some(_) => self.one_of_or((section, "audience"), &Audience::ALL, None).map(Some),
        };
        let tenant = match table.get("tenant") {
            None => Some(None),
            Some(_) => self.tenant(section).map(Some),
        };
        let completion = match table.get("completion") {
            None => Some(None),
            Some(_) => self.text_of(section, "completion").map(Some),
        };
        let messages = match (table.get("prompt"), table.get("messages")) {
            (Some(_), None) => {
                self.text_of(section, "prompt").map(|prompt| json!([{"role": "user", "content": prompt}]))
            }
            (None, Some(messages)) => {
                let turns = turns(messages);
                if turns.is_none() {
                    let example = "expected a list such as [{ role = \"user\", content = \"…\" }]";
                    self.fault(messages.span(), &format!("{at}messages"), example);
                }
                turns
            }
            _ => {
                self.fault(table.span(), &format!("{at}prompt"), "expected either a prompt or messages");
                None
            }
        };
        let line = self.line(table.span());
        Some(Expectation {
            name: Arc::from(name?),
            messages: messages?,
            completion: completion?,
            audience: audience?,
            tenant: tenant?,
            expected: expected?,
            line,
        })
    }

    /// Whose request a test is.
    fn tenant(&mut self, section: Section<'_>) -> Option<Arc<str>> {
        let name = self.text_of(section, "tenant")?;
        if !is_tenant(&name) {
            self.fault(span(section.table.get("tenant")), &format!("{}tenant", section.at), TENANT_NAMES);
            return None;
        }
        Some(Arc::from(name))
    }
}

/// The turns of a conversation.
fn turns(item: &Item) -> Option<Value> {
    let turns = item.as_array()?.iter().map(|turn| {
        let turn = turn.as_inline_table()?;
        let text = |key: &str| turn.get(key).and_then(|value| value.as_str());
        (turn.len() == 2).then_some(json!({"role": text("role")?, "content": text("content")?}))
    });
    turns.collect::<Option<Vec<Value>>>().filter(|turns| !turns.is_empty()).map(Value::Array)
}
