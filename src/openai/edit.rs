//! Changes in a JSON text that leave everything else as it is spelt: a body that is rewritten keeps its fields, their order,
//! its numbers and its blanks.

use super::json;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A change: this part of the text becomes that.
type Change = (std::ops::Range<usize>, String);

/// The text with the value of a member of the outermost object replaced, or the member added where it is missing.
#[must_use]
pub fn with_member(text: &str, key: &str, value: &Value) -> String {
    let members = members(text);
    let change = match members.get(key) {
        Some(found) => (place_of(text, found), value.to_string()),
        None => {
            let start = text.find('{').map_or(text.len(), |brace| brace + 1);
            let comma = if members.is_empty() { "" } else { "," };
            (start..start, format!("{}:{value}{comma}", Value::from(key)))
        }
    };
    changed(text, vec![change])
}

/// The text of an object without one of its members.
#[must_use]
pub fn without_member(text: &str, key: &str) -> String {
    let members = members(text);
    let Some(found) = members.get(key) else { return text.to_owned() };
    let place = place_of(text, found);
    let name = text.get(..place.start).and_then(|before| before.rfind(&Value::from(key).to_string()));
    let Some(start) = name else { return text.to_owned() };
    // With the comma behind it, or where it is the last, before it.
    let behind = text.get(place.end..).unwrap_or_default();
    let comma = behind
        .find(|char: char| !char.is_whitespace())
        .filter(|at| behind.get(*at..).is_some_and(|rest| rest.starts_with(',')));
    let before = text.get(..start).unwrap_or_default().trim_end();
    let cut = match comma {
        Some(at) => start..place.end + at + 1,
        None => before.strip_suffix(',').map_or(start, str::len)..place.end,
    };
    changed(text, vec![(cut, String::new())])
}

/// The text with `item` put before the others of a list that is a member of the outermost object.
#[must_use]
pub fn with_first(text: &str, key: &str, item: &Value) -> String {
    let list = members(text).get(key).copied().filter(|list| list.get().starts_with('['));
    let Some(list) = list else { return with_member(text, key, &Value::Array(vec![item.clone()])) };
    let is_empty = serde_json::from_str::<Vec<&RawValue>>(list.get()).is_ok_and(|items| items.is_empty());
    let start = place_of(text, list).start + list.get().find('[').map_or(0, |bracket| bracket + 1);
    changed(text, vec![(start..start, format!("{item}{}", if is_empty { "" } else { "," }))])
}

/// The text with the value changed that keys and places lead to.
#[must_use]
pub fn at(text: &str, path: &[&str], change: impl FnOnce(&str) -> String) -> String {
    let Ok(mut value) = serde_json::from_str::<&RawValue>(text) else { return text.to_owned() };
    for step in path {
        let items = || serde_json::from_str::<Vec<&RawValue>>(value.get()).unwrap_or_default();
        let found = members(value.get()).get(*step).copied();
        match found.or_else(|| items().get(step.parse::<usize>().ok()?).copied()) {
            Some(found) => value = found,
            None => return text.to_owned(),
        }
    }
    changed(text, vec![(place_of(text, value), change(value.get()))])
}

/// The text with every member called `key` emptied: a list holds nothing, and all else is null.
#[must_use]
pub fn emptied(text: &str, key: &str) -> String {
    fn find<'a>(value: &'a RawValue, key: &str, found: &mut Vec<&'a RawValue>) {
        let members = members(value.get());
        let holds = |value: &&RawValue| !matches!(value.get(), "null" | "[]" | "{}");
        found.extend(members.iter().filter(|(name, _)| *name == key).map(|(_, value)| *value).filter(holds));
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        for value in members.into_iter().filter(|(name, _)| name != key).map(|(_, value)| value).chain(items) {
            if value.get().starts_with(['{', '[']) {
                find(value, key, found);
            }
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str::<&RawValue>(text) {
        find(value, key, &mut found);
    }
    let empty = |value: &RawValue| if value.get().starts_with('[') { "[]" } else { "null" }.to_owned();
    changed(text, found.into_iter().map(|value| (place_of(text, value), empty(value))).collect())
}

/// The text with some of its strings changed. `change` is given the keys and places that lead to a string, and what it says.
#[must_use]
pub fn with_strings(text: &str, mut change: impl FnMut(&[String], &str) -> Option<String>) -> String {
    let mut changes = Vec::new();
    if let Ok(value) = serde_json::from_str::<&RawValue>(text) {
        walk(text, value, (&mut Vec::new(), &mut changes), &mut change);
    }
    changed(text, changes)
}

fn walk(
    text: &str,
    value: &RawValue,
    (path, changes): (&mut Vec<String>, &mut Vec<Change>),
    change: &mut dyn FnMut(&[String], &str) -> Option<String>,
) {
    let inner: Vec<(String, &RawValue)> = match value.get().as_bytes().first() {
        Some(b'{') => members(value.get()).into_iter().collect(),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
            items.into_iter().enumerate().map(|(place, item)| (place.to_string(), item)).collect()
        }
        Some(b'"') => {
            let mended = || serde_json::from_str::<String>(&json::mended(value.get()));
            let said = serde_json::from_str::<String>(value.get()).or_else(|_| mended()).ok();
            if let Some(said) = said.and_then(|said| change(path, &said)) {
                changes.push((place_of(text, value), Value::from(said).to_string()));
            }
            return;
        }
        _ => return,
    };
    for (step, value) in inner {
        path.push(step);
        walk(text, value, (&mut *path, &mut *changes), change);
        path.pop();
    }
}

/// The members of an object; none where it is no object.
fn members(text: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Where a value that was read from `text` stands in it.
fn place_of(text: &str, value: &RawValue) -> std::ops::Range<usize> {
    let start = value.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + value.get().len()
}

fn changed(text: &str, mut changes: Vec<Change>) -> String {
    changes.sort_by_key(|(place, _)| place.start);
    let (mut whole, mut at) = (String::with_capacity(text.len()), 0);
    for (place, new) in changes {
        whole.push_str(text.get(at..place.start).unwrap_or_default());
        whole.push_str(&new);
        at = place.end;
    }
    whole.push_str(text.get(at..).unwrap_or_default());
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_goes_with_one_comma() {
        for (text, left) in [
            (r#"{"role":"assistant","content":""}"#, r#"{"content":""}"#),
            (r#"{ "content" : "the \"role\": x" , "role" : "assistant" }"#, r#"{ "content" : "the \"role\": x"  }"#),
            (r#"{"a":1, "role": "x" , "b":1.50}"#, r#"{"a":1,  "b":1.50}"#),
            (r#"{"role":null}"#, "{}"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("null", "null"),
        ] {
            assert_eq!(without_member(text, "role"), left);
        }
    }
    use serde_json::json;

    const BODY: &str =
        "{ \"n\":1.0e0, \"messages\" : [ {\"content\": \"a\\u00e9\", \"x\": [\"b\", null]} ],\n\"stream\":true }\n";

    #[test]
    fn a_member_is_replaced_or_added_and_the_rest_keeps_its_spelling() {
        assert_eq!(with_member(BODY, "stream", &json!(false)), BODY.replace("true", "false"));
        assert_eq!(with_member(BODY, "a", &json!("b")), BODY.replacen("{ ", "{\"a\":\"b\", ", 1));
        assert_eq!(with_member("{}", "a", &json!(1)), "{\"a\":1}");
    }

    #[test]
    fn an_item_is_put_before_the_others() {
        assert_eq!(with_first(BODY, "messages", &json!("s")), BODY.replacen("[ {", "[\"s\", {", 1));
        assert_eq!(with_first("{\"messages\":[]}", "messages", &json!(1)), "{\"messages\":[1]}");
        assert_eq!(with_first("{\"a\":null}", "a", &json!(1)), "{\"a\":[1]}");
    }

    #[test]
    fn a_value_is_changed_where_it_stands() {
        let content = |message: &str| with_member(message, "content", &json!("b"));
        assert_eq!(at(BODY, &["messages", "0"], content), BODY.replace("\"a\\u00e9\"", "\"b\""));
        assert_eq!(at(BODY, &["messages", "1"], content), BODY);
    }

    #[test]
    fn members_are_nulled_wherever_they_stand() {
        let text = r#"{"a": [{"x": {"x": 1}, "b": 2}, {"x" :[]}], "x":"y"}"#;
        assert_eq!(emptied(text, "x"), r#"{"a": [{"x": null, "b": 2}, {"x" :[]}], "x":null}"#);
    }

    #[test]
    fn half_an_emoji_keeps_no_string_from_being_changed() {
        let text = r#"{"a": "VIOLATE \ud83d"}"#;
        assert_eq!(with_strings(text, |_, said| said.contains('V').then(|| "b".to_owned())), r#"{"a": "b"}"#);
    }

    #[test]
    fn strings_are_changed_by_their_path() {
        let mut seen = Vec::new();
        let changed = with_strings(BODY, |path, said| {
            seen.push(format!("{}={said}", path.join("/")));
            (said == "b").then(|| "\"c\"".to_owned())
        });
        assert_eq!(seen, ["messages/0/content=aé", "messages/0/x/0=b"]);
        assert_eq!(changed, BODY.replace("\"b\"", "\"\\\"c\\\"\""));
        assert_eq!(with_strings("not JSON", |_, _| Some(String::new())), "not JSON");
    }
}
