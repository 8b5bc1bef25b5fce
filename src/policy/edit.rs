//! Changes to a policy file as a form makes them: values change, and all else, comments and order too, stays as it is. A rule or
//! a test that the file extends is named in it, as the format wants.

use super::expectation::Expectation;
use super::file::{self, Fault};
use super::message::{DEFAULT, Messages};
use super::rule::Effect;
use serde_json::Value as Json;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, RawString, Table, TableLike, Value};

/// One change; rules and tests go by their names.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// From which probability on a rule applies, in steps of a thousandth.
    Threshold(String, f32),
    /// The same for the last turn in the light of the turns before it; without one, the other threshold holds there too.
    InContext(String, Option<f32>),
    /// What a rule does.
    Action(String, Effect),
    /// Whether a rule is read at all.
    Enabled(String, bool),
    /// Whether a rule is only recorded.
    Shadow(String, bool),
    /// What a person reads by a rule, in all languages.
    Message(String, Messages),
    /// A test, in place of the one of its name or behind all others.
    Test(Expectation),
    /// A test goes; one that the file extends stays.
    NoTest(String),
}

/// The text of the file named `file` with some changes.
///
/// # Errors
/// When it is not TOML, or has no tables where there should be some.
pub fn edit(file: &str, text: &str, changes: &[Change]) -> Result<String, Fault> {
    let mut document = file::document(file, text)?;
    for change in changes {
        let is_done = match change {
            Change::Test(test) => tables(&mut document, "tests").map(|tests| put(tests, test)),
            Change::NoTest(name) => tables(&mut document, "tests").map(|tests| {
                tests.retain(|test| named(test) != Some(name));
            }),
            change => tables(&mut document, "rules").and_then(|rules| of_rule(rules, change)),
        };
        if is_done.is_none() {
            let key = if matches!(change, Change::Test(_) | Change::NoTest(_)) { "tests" } else { "rules" };
            let message = format!("{key}: expected [[{key}]] tables");
            return Err(Fault { file: file.to_owned(), line: 1, key: key.to_owned(), message });
        }
    }
    for key in ["rules", "tests"] {
        // What was made to be looked into, and stayed empty.
        if document.get(key).and_then(Item::as_array_of_tables).is_some_and(ArrayOfTables::is_empty) {
            document.remove(key);
        }
    }
    Ok(document.to_string())
}

fn tables<'a>(document: &'a mut DocumentMut, key: &str) -> Option<&'a mut ArrayOfTables> {
    document.entry(key).or_insert(Item::ArrayOfTables(ArrayOfTables::new())).as_array_of_tables_mut()
}

fn named(table: &Table) -> Option<&str> {
    table.get("name").and_then(Item::as_str)
}

/// The table of this name, which is added where there is none.
fn table_of<'a>(tables: &'a mut ArrayOfTables, name: &str) -> Option<&'a mut Table> {
    let place = tables.iter().position(|table| named(table) == Some(name));
    if place.is_none() {
        let mut table = Table::new();
        table.insert("name", Item::Value(name.into()));
        table.decor_mut().set_prefix("\n");
        tables.push(table);
    }
    let last = tables.len().saturating_sub(1);
    tables.get_mut(place.unwrap_or(last))
}

fn of_rule(rules: &mut ArrayOfTables, change: &Change) -> Option<()> {
    let probability = |threshold: f32| Value::from((f64::from(threshold) * 1000.0).round() / 1000.0);
    match change {
        Change::Threshold(name, threshold) => set(table_of(rules, name)?, "threshold", probability(*threshold)),
        Change::InContext(name, Some(threshold)) => {
            set(table_of(rules, name)?, "threshold_in_context", probability(*threshold));
        }
        Change::InContext(name, None) => drop(table_of(rules, name)?.remove("threshold_in_context")),
        Change::Action(name, effect) => set(table_of(rules, name)?, "action", effect.id().into()),
        Change::Enabled(name, is_enabled) => set(table_of(rules, name)?, "enabled", (*is_enabled).into()),
        Change::Shadow(name, is_shadow) => set(table_of(rules, name)?, "shadow", (*is_shadow).into()),
        Change::Message(name, messages) => say(table_of(rules, name)?, messages),
        Change::Test(_) | Change::NoTest(_) => {}
    }
    Some(())
}

/// Puts a value where another one stands, with what stands around that.
fn set(table: &mut dyn TableLike, key: &str, mut new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

/// Puts a text, unless it stands there already, however it is spelt.
fn set_text(table: &mut dyn TableLike, key: &str, text: &str) {
    if table.get(key).and_then(Item::as_str).map(str::trim) != Some(text.trim()) {
        set(table, key, text.trim().into());
    }
}

fn say(rule: &mut Table, messages: &Messages) {
    let all: Vec<(&str, &str)> = messages.all().collect();
    let is_text = rule.get("message").is_some_and(Item::is_str);
    if let (true, [(DEFAULT, text)]) = (is_text, all.as_slice()) {
        set_text(rule, "message", text);
        return;
    }
    if is_text || !rule.contains_key("message") {
        let mut table = Table::new();
        // What is said beside the one text is said beside the texts.
        if let Some((key, old)) = rule.remove_entry("message") {
            let before = key.leaf_decor().prefix().and_then(RawString::as_str).unwrap_or_default();
            table.decor_mut().set_prefix(before.to_owned());
            let beside = old.as_value().and_then(|old| old.decor().suffix()).and_then(RawString::as_str);
            table.decor_mut().set_suffix(beside.unwrap_or_default().to_owned());
        }
        rule.insert("message", Item::Table(table));
    }
    let Some(table) = rule.get_mut("message").and_then(Item::as_table_like_mut) else { return };
    let gone: Vec<String> = table.iter().map(|(language, _)| language.to_owned()).collect();
    for language in gone.iter().filter(|language| all.iter().all(|(kept, _)| kept != language)) {
        table.remove(language);
    }
    for (language, text) in all {
        set_text(table, language, text);
    }
}

fn put(tests: &mut ArrayOfTables, test: &Expectation) {
    let Some(table) = table_of(tests, &test.name) else { return };
    match prompt(&test.messages) {
        Some(prompt) => {
            table.remove("messages");
            set_text(table, "prompt", prompt);
        }
        None if table.contains_key("messages") => {}
        None => {
            table.remove("prompt");
            set(table, "messages", Value::Array(turns(&test.messages)));
        }
    }
    let audience = test.audience.map(|audience| audience.id());
    for (key, value) in
        [("completion", test.completion.as_deref()), ("audience", audience), ("tenant", test.tenant.as_deref())]
    {
        match value {
            Some(value) => set_text(table, key, value),
            None => drop(table.remove(key)),
        }
    }
    set_text(table, "expect", test.expected.id());
}

/// The names of the tests that a text has itself, beside those of what it extends.
#[must_use]
pub fn own_tests(text: &str) -> Vec<String> {
    let document = file::document("", text).ok();
    let tests = document.as_ref().and_then(|document| document.get("tests")?.as_array_of_tables());
    tests.into_iter().flatten().filter_map(named).map(str::to_owned).collect()
}

/// What is asked, where that is one message.
#[must_use]
pub fn prompt(messages: &Json) -> Option<&str> {
    match messages.as_array().map(Vec::as_slice) {
        Some([turn]) if turn.get("role").and_then(Json::as_str) == Some("user") => turn.get("content")?.as_str(),
        _ => None,
    }
}

fn turns(messages: &Json) -> Array {
    let turn = |turn: &Json| {
        let text = |key: &str| turn.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        InlineTable::from_iter([("role", text("role")), ("content", text("content"))])
    };
    messages.as_array().into_iter().flatten().map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::expectation::Expected;
    use crate::policy::file::{EMBEDDED, parse};
    use serde_json::json;

    const OURS: &str = "# Ours.\nname = \"p\"\nextends = \"ama\" # the standard\n\n[[rules]] # the first\n\
                        name = \"violating-prompt\"\nthreshold = 0.50 # by hand\n\n# Asked often.\n[[tests]]\n\
                        name = \"a\" # mind\nprompt = \"x\"\nexpect = \"pass\" # or not\n";

    fn expectation(name: &str, messages: Json) -> Expectation {
        let (completion, audience, tenant) = (None, None, None);
        Expectation { name: name.into(), messages, completion, audience, tenant, expected: Expected::Pass, line: 0 }
    }

    fn user(text: &str) -> Json {
        json!([{"role": "user", "content": text}])
    }

    fn edited(text: &str, changes: &[Change]) -> String {
        edit("p.toml", text, changes).unwrap()
    }

    #[test]
    fn without_a_change_nothing_changes() {
        for text in [OURS, EMBEDDED, "name = \"p\"\nextends = \"ama\"\n"] {
            assert_eq!(edited(text, &[]), text);
        }
        // What stands there already is not written anew, whatever its spelling.
        let policy = parse("ama.toml", EMBEDDED).unwrap();
        let same = policy.rules.iter().filter(|rule| !rule.message.is_empty());
        let same = same.map(|rule| Change::Message(rule.name.to_string(), rule.message.clone()));
        let changes: Vec<Change> = same.chain(policy.tests.iter().cloned().map(Change::Test)).collect();
        assert!(changes.len() > 10);
        assert_eq!(edited(EMBEDDED, &changes), EMBEDDED);
    }

    #[test]
    fn values_change_and_comments_stay() {
        let name = || "violating-prompt".to_owned();
        let changes = [
            Change::Threshold(name(), 0.615),
            Change::InContext(name(), Some(0.95)),
            Change::Action(name(), Effect::Flag),
            Change::Shadow(name(), true),
            Change::Threshold("manipulation".into(), 0.2),
            Change::Test(Expectation { completion: Some("y".into()), ..expectation("a", user("x")) }),
            Change::Test(expectation("b", user("new\nline"))),
        ];
        let new = edited(OURS, &changes);
        let expected = OURS
            .replace("0.50 # by hand\n", "0.615 # by hand\nthreshold_in_context = 0.95\naction = \"flag\"\nshadow = true\n\n[[rules]]\nname = \"manipulation\"\nthreshold = 0.2\n")
            .replace("or not\n", "or not\ncompletion = \"y\"\n");
        assert!(new.starts_with(&expected), "{new}");
        let policy = parse("p.toml", &new).unwrap();
        let rule = |name: &str| policy.rules.iter().find(|rule| &*rule.name == name).unwrap();
        assert!((rule("manipulation").threshold - 0.2).abs() < 1e-6);
        assert_eq!((rule("violating-prompt").effect, rule("violating-prompt").is_shadow), (Effect::Flag, true));
        let test = |name: &str| policy.tests.iter().find(|test| &*test.name == name);
        assert_eq!(test("b").map(|test| &test.messages), Some(&user("new\nline")));
        assert_eq!(own_tests(&new), ["a", "b"]);
        let back = edited(&new, &[Change::NoTest("b".into()), Change::InContext(name(), None)]);
        assert!(!back.contains("name = \"b\"") && !back.contains("in_context") && back.contains("# or not"), "{back}");
    }

    #[test]
    fn messages_change_language_by_language() {
        let mut messages = Messages::one("en", "No.\nNot here.");
        messages.add("es", "No: \"aquí\" no.");
        let of = |text: &str| {
            let policy = parse("p.toml", text).unwrap();
            policy.rules.iter().find(|rule| &*rule.name == "violating-prompt").unwrap().message.clone()
        };
        for text in [OURS.to_owned(), OURS.replace("0.50", "0.50\nmessage = \"Old.\""), EMBEDDED.to_owned()] {
            let new = edited(&text, &[Change::Message("violating-prompt".into(), messages.clone())]);
            assert_eq!(of(&new), messages, "{new}");
            assert_eq!(new.matches('#').count(), text.matches('#').count());
            let one = edited(&new, &[Change::Message("violating-prompt".into(), Messages::one("en", "No."))]);
            assert_eq!(of(&one), Messages::one("en", "No."));
        }
        let short = edited(
            &OURS.replace("0.50", "0.50\nmessage = \"Old.\" # why"),
            &[Change::Message("violating-prompt".into(), Messages::one("en", "New."))],
        );
        assert!(short.contains("message = \"New.\" # why"), "{short}");
    }

    #[test]
    fn turns_of_a_test_are_written_where_it_is_new() {
        let turns = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b \"c\""}]);
        let new = edited(OURS, &[Change::Test(expectation("turns", turns.clone()))]);
        let policy = parse("p.toml", &new).unwrap();
        assert_eq!(policy.tests.iter().find(|test| &*test.name == "turns").unwrap().messages, turns);
    }

    #[test]
    fn what_is_no_policy_file_is_a_fault() {
        let change = [Change::Threshold("a".into(), 0.5)];
        assert_eq!(edit("p.toml", "rules = 3", &change).unwrap_err().key, "rules");
        assert_eq!(edit("p.toml", "name = \"x\"\na = [", &change).unwrap_err().line, 2);
    }
}
