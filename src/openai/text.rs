//! Finds the texts in a JSON value: every string counts, unless its key is known to hold none.
//!
//! A list of fields to look at would miss the next field that a provider invents; a list of fields to leave out errs on
//! the side of judging too much.

use serde_json::Value;
use std::collections::BTreeMap;

/// Keys whose strings are identifiers or enumerations, never text.
const CONTROL: [&str; 12] = [
    "role",
    "type",
    "id",
    "tool_call_id",
    "call_id",
    "object",
    "finish_reason",
    "logprobs",
    "content_filter_results",
    "system_fingerprint",
    "service_tier",
    "obfuscation",
];

/// Keys that hold what a text model cannot judge.
const OPAQUE: [&str; 6] = ["image_url", "input_audio", "input_image", "file", "audio", "video_url"];

/// A place in a message, as one key; fragments of a stream that belong together have the same place.
pub(super) type Place = String;

/// What a value holds.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The texts by place.
    pub(super) texts: BTreeMap<Place, String>,
    /// Whether there is something that cannot be judged.
    pub(super) opaque: bool,
}

impl Texts {
    /// Adds what `value` holds; fragments at a known place are appended to it.
    pub(super) fn collect(&mut self, value: &Value) {
        self.walk(value, &mut String::new());
    }

    fn walk(&mut self, value: &Value, place: &mut Place) {
        match value {
            Value::String(text) => self.texts.entry(place.clone()).or_default().push_str(text),
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    // A stream's fragments name their place in the whole array; elsewhere it is the position.
                    let index = item.get("index").and_then(Value::as_u64).unwrap_or(position as u64);
                    self.enter(item, place, &format!("{index:06}"));
                }
            }
            Value::Object(entries) => {
                for (key, value) in entries {
                    match key.as_str() {
                        key if OPAQUE.contains(&key) && !value.is_null() => self.opaque(value, place, key),
                        key if CONTROL.contains(&key) => {}
                        "name" if value.as_str().is_some_and(is_identifier) => {}
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

/// Function names are part of the API; anything longer or freer than that may carry text.
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
