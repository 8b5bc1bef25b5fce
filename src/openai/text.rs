//! Finds the texts in a JSON value: every string counts, unless its key is known to hold none.
//!
//! A list of fields to look at would miss the next field that a provider invents; a list of fields to leave out errs on
//! the side of judging too much.

use serde_json::Value;
use std::collections::BTreeMap;

/// Keys whose strings are identifiers or enumerations, as long as they look like one.
const CONTROL: [&str; 10] = [
    "role",
    "type",
    "id",
    "name",
    "tool_call_id",
    "call_id",
    "object",
    "finish_reason",
    "system_fingerprint",
    "service_tier",
];

/// Keys of an answer under which nothing is said that is not said elsewhere.
const SILENT: [&str; 3] = ["logprobs", "content_filter_results", "obfuscation"];

/// Keys that hold what a text model cannot judge.
const OPAQUE: [&str; 6] = ["image_url", "input_audio", "input_image", "file", "audio", "video_url"];

/// Content parts that are text and nothing else; any other part holds something that cannot be judged.
const TEXT_PARTS: [&str; 5] = ["text", "refusal", "input_text", "output_text", "thinking"];

/// A place in a message, as one key; fragments of a stream that belong together have the same place.
pub(super) type Place = String;

/// What is walked through.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// A turn or a choice, whose keys are the API's.
    #[default]
    Message,
    /// A tool, a schema, an option.
    Definition,
}

/// What a value holds. Not `Debug`: it is what people wrote.
#[derive(Default)]
pub(super) struct Texts {
    /// The texts by place.
    pub(super) texts: BTreeMap<Place, String>,
    /// Whether there is something that cannot be judged.
    pub(super) opaque: bool,
    kind: Kind,
}

impl Texts {
    /// Every string of a definition: its keys are its author's, so none of them says what its value is.
    pub(super) fn of_definition(definition: &Value) -> Self {
        let mut texts = Self { kind: Kind::Definition, ..Self::default() };
        texts.collect(definition);
        texts
    }

    /// Adds what a message holds; fragments at a known place are appended to it.
    pub(super) fn collect(&mut self, message: &Value) {
        self.walk(message, &mut String::new());
    }

    fn walk(&mut self, value: &Value, place: &mut Place) {
        match value {
            Value::String(text) => self.texts.entry(place.clone()).or_default().push_str(text),
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.opaque |= self.kind == Kind::Message && place.ends_with("/content") && !is_text_part(item);
                    // A stream's fragments name their place in the whole array; elsewhere it is the position.
                    let index = item.get("index").and_then(Value::as_u64).unwrap_or(position as u64);
                    self.enter(item, place, &format!("{index:06}"));
                }
            }
            Value::Object(entries) if self.kind == Kind::Definition => {
                entries.iter().for_each(|(key, value)| self.enter(value, place, key));
            }
            Value::Object(entries) => {
                for (key, value) in entries {
                    match key.as_str() {
                        key if OPAQUE.contains(&key) && !value.is_null() => self.opaque(value, place, key),
                        key if SILENT.contains(&key) => {}
                        key if CONTROL.contains(&key) && value.as_str().is_some_and(is_identifier) => {}
                        key => self.enter(value, place, key),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn enter(&mut self, value: &Value, place: &mut Place, step: &str) {
        let length = place.len();
        place.push('/');
        place.push_str(step);
        self.walk(value, place);
        place.truncate(length);
    }

    /// Audio comes with its transcript; everything else in an opaque part is data.
    fn opaque(&mut self, value: &Value, place: &mut Place, key: &str) {
        self.opaque = true;
        if let Some(transcript) = value.get("transcript") {
            self.enter(transcript, place, key);
        }
    }

    /// The texts that say something, in the order of their places.
    pub(super) fn into_spoken(self) -> Vec<String> {
        self.texts.into_values().filter(|text| !text.trim().is_empty()).collect()
    }
}

fn is_text_part(part: &Value) -> bool {
    match part.get("type") {
        Some(kind) => kind.as_str().is_some_and(|kind| TEXT_PARTS.contains(&kind)),
        None => part.is_string(),
    }
}

/// Names and identifiers are part of the API; anything longer or freer than that may carry text.
fn is_identifier(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spoken(value: &Value) -> Vec<String> {
        let mut texts = Texts::default();
        texts.collect(value);
        texts.into_spoken()
    }

    #[test]
    fn unknown_fields_are_texts_and_control_fields_are_not() {
        let message = json!({"role": "user", "content": "a", "new_field": {"deep": ["b"]}, "name": "bob", "id": "x"});
        assert_eq!(spoken(&message), ["a", "b"]);
        assert_eq!(spoken(&json!({"name": "do a thing"})), ["do a thing"]);
        assert_eq!(spoken(&json!({"id": {"deep": "a b"}, "role": "c d"})), ["a b", "c d"]);
    }

    #[test]
    fn the_keys_of_a_definition_hide_nothing() {
        let definition = json!({"properties": {"id": {"description": "a b"}, "file": {"type": "c d"}}});
        let texts = Texts::of_definition(&definition);
        assert!(!texts.opaque);
        assert_eq!(texts.into_spoken(), ["c d", "a b"]);
    }

    #[test]
    fn a_content_part_of_an_unknown_type_is_opaque_and_its_strings_are_judged() {
        let mut texts = Texts::default();
        texts.collect(&json!({"content": [{"type": "text", "text": "a"}, {"type": "hologram", "data": "b"}]}));
        assert!(texts.opaque);
        assert_eq!(texts.into_spoken(), ["a", "b"]);
    }

    #[test]
    fn fragments_of_a_stream_are_joined_at_their_place() {
        let mut texts = Texts::default();
        for (index, part) in [(1, "x"), (0, "a"), (1, "y"), (0, "b")] {
            texts.collect(&json!({"tool_calls": [{"index": index, "function": {"arguments": part}}]}));
        }
        assert_eq!(texts.into_spoken(), ["ab", "xy"]);
    }

    #[test]
    fn images_are_opaque_and_audio_is_read_by_its_transcript() {
        let mut texts = Texts::default();
        texts.collect(&json!({"content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}));
        assert!(texts.opaque && texts.texts.is_empty());
        let mut texts = Texts::default();
        texts.collect(&json!({"audio": {"data": "AAAA", "transcript": "hello"}}));
        assert!(texts.opaque);
        assert_eq!(texts.into_spoken(), ["hello"]);
    }
}
