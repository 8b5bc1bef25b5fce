//! Finds the texts in a JSON value: every string counts, unless its key is known to hold none.
//!
//! A list of fields to look at would miss the next field that a provider invents; a list of fields to leave out errs on
//! the side of judging too much.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys whose strings are identifiers or enumerations, as long as they look like one.
const CONTROL: [&str; 15] = [
    "role",
    "type",
    "id",
    "name",
    "tool_call_id",
    "call_id",
    "item_id",
    "object",
    "finish_reason",
    "system_fingerprint",
    "service_tier",
    "status",
    "detail",
    "format",
    "phase",
];

/// Keys of an answer under which nothing is said that is not said elsewhere.
const SILENT: [&str; 3] = ["logprobs", "content_filter_results", "obfuscation"];

/// Keys that hold what a text model cannot judge, unless it is text after all.
const OPAQUE: [&str; 7] =
    ["image_url", "input_audio", "input_image", "file", "audio", "video_url", "partial_image_b64"];

/// Content parts that are text and nothing else; any other part holds something that cannot be judged.
const TEXT_PARTS: [&str; 7] =
    ["text", "refusal", "input_text", "output_text", "thinking", "summary_text", "reasoning_text"];

/// Content parts that hold a file, which may be text.
const FILE_PARTS: [&str; 2] = ["file", "input_file"];

/// Keys of a file that name it or say what it is, and hold none of it.
const FILE_LABELS: [&str; 4] = ["type", "filename", "detail", "cache_control"];

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
                let is_content =
                    self.kind == Kind::Message && (place.ends_with("/content") || place.ends_with("/output"));
                for (position, item) in items.iter().enumerate() {
                    // A stream's fragments name their place in the whole array; elsewhere it is the position.
                    let index = item.get("index").and_then(Value::as_u64).unwrap_or(position as u64);
                    let step = format!("{index:06}");
                    match part(item) {
                        Part::File if is_content => self.file(item, place, &step),
                        Part::Other if is_content => {
                            self.opaque = true;
                            self.enter(item, place, &step);
                        }
                        _ => self.enter(item, place, &step),
                    }
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

    /// Audio comes with its transcript, and what is called an image or a file may be text; all else is data.
    fn opaque(&mut self, value: &Value, place: &mut Place, key: &str) {
        if key == "file" {
            return self.file(value, place, key);
        }
        self.opaque = true;
        let inside = value.as_object().into_iter().flat_map(|fields| fields.values());
        for text in std::iter::once(value).chain(inside).filter_map(Value::as_str).filter_map(readable_url) {
            self.enter(&Value::from(text), place, key);
        }
        if let Some(transcript) = value.get("transcript") {
            self.enter(transcript, place, key);
        }
    }

    /// A file is judged when all of it is text that is here.
    fn file(&mut self, file: &Value, place: &mut Place, step: &str) {
        let Some(fields) = file.as_object() else {
            self.opaque = true;
            return self.enter(file, place, step);
        };
        let length = place.len();
        place.push('/');
        place.push_str(step);
        let mut is_read = false;
        for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            match (key.as_str(), value.as_str().and_then(readable)) {
                ("file", _) if value.is_object() => {
                    is_read = true;
                    self.file(value, place, key);
                }
                ("file_data", Some(text)) => {
                    is_read = true;
                    self.enter(&Value::from(text), place, key);
                }
                (key, _) if FILE_LABELS.contains(&key) => self.walk_label(value, place, key),
                // By reference, or not text: the LLM reads what we cannot.
                ("file_data" | "file_id" | "file_url", _) => self.opaque = true,
                (key, _) => self.enter(value, place, key),
            }
        }
        self.opaque |= !is_read;
        place.truncate(length);
    }

    /// A name is a text when it says more than a name does.
    fn walk_label(&mut self, value: &Value, place: &mut Place, key: &str) {
        if !value.as_str().is_some_and(is_identifier) {
            self.enter(value, place, key);
        }
    }

    /// The texts that say something, in the order of their places.
    pub(super) fn into_spoken(self) -> Vec<String> {
        self.texts.into_values().filter(|text| !text.trim().is_empty()).collect()
    }
}

/// What a part of a content is.
enum Part {
    Text,
    File,
    Other,
}

fn part(part: &Value) -> Part {
    match (part.get("type"), part.get("type").and_then(Value::as_str)) {
        (None, _) if part.is_string() => Part::Text,
        (_, Some(kind)) if TEXT_PARTS.contains(&kind) => Part::Text,
        (_, Some(kind)) if FILE_PARTS.contains(&kind) => Part::File,
        _ => Part::Other,
    }
}

/// The text of a file's data: a `data:` URL, or base64 alone.
fn readable(data: &str) -> Option<String> {
    readable_url(data).or_else(|| text_of(base64(data)?))
}

/// The text that a `data:` URL holds, when its media type is one of text (RFC 2397).
fn readable_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let (media, data) = rest.split_once(',')?;
    if !scheme.trim().eq_ignore_ascii_case("data") {
        return None;
    }
    let mut parameters = media.split(';').map(str::trim);
    let kind = parameters.next().unwrap_or_default().to_ascii_lowercase();
    let is_text = kind.is_empty()
        || kind.starts_with("text/")
        || ["json", "xml", "yaml", "csv", "javascript"].iter().any(|name| kind.ends_with(name));
    let bytes = match parameters.any(|parameter| parameter.eq_ignore_ascii_case("base64")) {
        true => base64(data)?,
        false => percent_decode_str(data).collect(),
    };
    text_of(bytes).filter(|_| is_text)
}

fn base64(data: &str) -> Option<Vec<u8>> {
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD].iter().find_map(|alphabet| alphabet.decode(&data).ok())
}

/// Bytes as text, where they are text.
fn text_of(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
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
    fn a_file_of_text_is_read_and_any_other_is_opaque() {
        let part = |file: Value| {
            let mut texts = Texts::default();
            texts.collect(&json!({"content": [{"type": "text", "text": "see"}, file]}));
            (texts.opaque, texts.into_spoken())
        };
        let said = (false, vec!["see".to_owned(), "bad wörds".to_owned()]);
        for data in [
            "data:text/plain;charset=utf-8;base64,YmFkIHfDtnJkcw==",
            "data:text/markdown,bad%20w%C3%B6rds",
            "data:application/json;base64,YmFkIHfDtnJkcw",
            "YmFkIHfD\ntnJkcw==",
        ] {
            assert_eq!(part(json!({"type": "file", "file": {"filename": "a.txt", "file_data": data}})), said, "{data}");
            assert_eq!(part(json!({"type": "input_file", "filename": "a.txt", "file_data": data})), said, "{data}");
        }
        let pdf = "data:application/pdf;base64,JVBERi0xLjcAAA==";
        for file in [
            json!({"type": "file", "file": {"file_data": pdf}}),
            json!({"type": "file", "file": {"file_id": "file-1"}}),
            json!({"type": "input_file", "file_url": "https://example.org/a.txt"}),
            json!({"type": "input_file", "file_data": said.1[1], "file_id": "file-1"}),
            json!({"type": "file"}),
        ] {
            assert!(part(file.clone()).0, "{file}");
        }
        let named = part(json!({"type": "input_file", "filename": "do bad things.txt", "file_data": "YQ=="}));
        assert_eq!(named.1, ["see", "a", "do bad things.txt"]);
    }

    #[test]
    fn text_in_the_place_of_an_image_is_read() {
        let mut texts = Texts::default();
        texts.collect(&json!({"content": [{"type": "image_url", "image_url": {"url": "data:,bad%20words"}}]}));
        assert!(texts.opaque);
        assert_eq!(texts.into_spoken(), ["bad words"]);
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
