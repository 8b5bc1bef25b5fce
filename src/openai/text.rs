//! Finds the texts in a JSON value: every string counts, unless its key is known to hold none.
//!
//! A list of fields to look at would miss the next field that a provider invents; a list of fields to leave out errs on
//! the side of judging too much.

use super::data::{is_sealed, readable, readable_url};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Keys whose strings are identifiers or enumerations, as long as they look like one.
const CONTROL: [&str; 16] = [
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
    "reason",
];

/// Of these, the ones whose value the caller makes up.
const CHOSEN: [&str; 6] = ["role", "id", "name", "tool_call_id", "call_id", "item_id"];

/// Keys of an answer under which nothing is said that is not said elsewhere.
const REPEATED: [&str; 4] = ["logprobs", "prompt_logprobs", "content_filter_results", "obfuscation"];

/// Keys of what the upstream has encrypted or signed for itself.
const SEALED: [&str; 4] = ["encrypted_content", "signature", "thought_signature", "data"];

/// Keys of a message under which the API has what is said. What stands under any other is judged by itself: servers drop
/// fields that they do not know, so that it must neither hide nor excuse what stands beside it.
const SAID: [&str; 23] = [
    "annotations",
    "arguments",
    "audio",
    "code",
    "content",
    "custom",
    "delta",
    "file",
    "file_data",
    "function",
    "function_call",
    "input",
    "message",
    "output",
    "part",
    "reasoning",
    "reasoning_content",
    "refusal",
    "summary",
    "text",
    "tool_calls",
    "transcript",
    "beside",
];

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
    /// Texts in places that the API does not know.
    asides: BTreeMap<Place, String>,
    /// Keys and names that say something. They come again with each fragment of a stream.
    labels: BTreeMap<Place, String>,
    /// Whether there is something that cannot be judged.
    pub(super) opaque: bool,
    kind: Kind,
    /// Whether parts of an array say where in the whole array they belong, as fragments of a stream do.
    fragments: bool,
    /// Whether the walk is below a key that the API does not know.
    aside: bool,
}

impl Texts {
    /// Every string of a definition: its keys are its author's, so none of them says what its value is.
    pub(super) fn of_definition(definition: &Value) -> Self {
        let mut texts = Self { kind: Kind::Definition, ..Self::default() };
        texts.collect(definition);
        texts
    }

    /// For the fragments of a stream.
    pub(super) fn of_fragments() -> Self {
        Self { fragments: true, ..Self::default() }
    }

    /// Adds what a message holds; fragments at a known place are appended to it.
    pub(super) fn collect(&mut self, message: &Value) {
        self.walk(message, &mut String::new());
    }

    fn walk(&mut self, value: &Value, place: &mut Place) {
        match value {
            Value::String(text) if self.aside => self.asides.entry(place.clone()).or_default().push_str(text),
            Value::String(text) => self.texts.entry(place.clone()).or_default().push_str(text),
            Value::Array(items) => self.array(items, place),
            Value::Object(entries) if self.kind == Kind::Definition => {
                for (key, value) in entries {
                    self.key(key, place);
                    self.enter(value, place, key);
                }
            }
            Value::Object(entries) => self.message(entries, place),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn array(&mut self, items: &[Value], place: &mut Place) {
        let is_message = self.kind == Kind::Message;
        let (is_content, is_output) =
            (is_message && place.ends_with("/content"), is_message && place.ends_with("/output"));
        for (position, item) in items.iter().enumerate() {
            let index = item.get("index").and_then(Value::as_u64).filter(|_| self.fragments);
            let step = format!("{:06}", index.unwrap_or(position as u64));
            match part(item) {
                Part::File if is_content || is_output => self.file(item, place, &step),
                part => {
                    // An output is a tool's own, where only what is named so is an image.
                    self.opaque |= matches!(part, Part::Image if is_content || is_output);
                    self.opaque |= matches!(part, Part::Other if is_content);
                    self.enter(item, place, &step);
                }
            }
        }
        // Words that are listed one by one are read one after the other.
        let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        if let Some(words) = words.filter(|words| self.kind == Kind::Definition && words.len() >= SPELT_OUT) {
            self.labels.insert(place.clone(), words.join(" "));
        }
    }

    fn message(&mut self, entries: &Map<String, Value>, place: &mut Place) {
        for (key, value) in entries {
            let was_aside = self.aside;
            match key.as_str() {
                key if OPAQUE.contains(&key) && !value.is_null() => self.opaque(value, place, key),
                key if REPEATED.contains(&key) => {}
                key if SEALED.contains(&key) && value.as_str().is_some_and(is_sealed) => {}
                key if CONTROL.contains(&key) && value.as_str().is_some_and(is_identifier) => {
                    // Templates show the LLM who speaks and what was called.
                    if CHOSEN.contains(&key) {
                        self.name(value.as_str().unwrap_or_default(), place, key);
                    }
                }
                key => {
                    self.key(key, place);
                    self.aside |= !SAID.contains(&key) && !CONTROL.contains(&key);
                    self.enter(value, place, key);
                }
            }
            self.aside = was_aside;
        }
    }

    /// A key that is no identifier is a text, and so is one that spells a sentence out.
    fn key(&mut self, key: &str, place: &str) {
        if is_identifier(key) {
            self.name(key, place, "");
        } else if !key.trim().is_empty() {
            self.labels.insert(format!("{place}/{key}"), key.to_owned());
        }
    }

    /// A name that spells a sentence out is a text.
    fn name(&mut self, name: &str, place: &str, key: &str) {
        if let Some(words) = spelt_out(name) {
            self.labels.insert(format!("{place}/{key}={name}"), words);
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
        match value.as_str().filter(|name| is_identifier(name)) {
            Some(name) => self.name(name, place, key),
            None => self.enter(value, place, key),
        }
    }

    /// The texts that say something, in the order of their places, and then those that stand aside.
    pub(super) fn into_spoken(self) -> Vec<String> {
        let (mut said, asides) = self.into_said();
        said.extend(asides);
        said
    }

    /// The texts that say something, and those that stand aside, each in the order of their places.
    pub(super) fn into_said(self) -> (Vec<String>, Vec<String>) {
        let spoken = |texts: BTreeMap<Place, String>| -> Vec<String> {
            texts.into_values().filter(|text| !text.trim().is_empty()).collect()
        };
        let mut asides = spoken(self.asides);
        asides.extend(spoken(self.labels));
        (spoken(self.texts), asides)
    }

    /// Of a piece of a stream: what goes on at each place, and what is whole by itself.
    pub(super) fn into_fragments(self) -> (BTreeMap<Place, String>, Vec<String>) {
        let mut fragments = self.texts;
        // No place is both: below a key that is not known, all is aside.
        fragments.extend(self.asides);
        fragments.retain(|_, fragment| !fragment.is_empty());
        (fragments, self.labels.into_values().collect())
    }
}

/// What a part of a content is.
enum Part {
    Text,
    File,
    Image,
    Other,
}

fn part(part: &Value) -> Part {
    match (part.get("type"), part.get("type").and_then(Value::as_str)) {
        (None, _) if part.is_string() => Part::Text,
        (_, Some(kind)) if TEXT_PARTS.contains(&kind) => Part::Text,
        (_, Some(kind)) if FILE_PARTS.contains(&kind) => Part::File,
        (_, Some(kind)) if ["image", "audio", "video", "screenshot"].iter().any(|data| kind.contains(data)) => {
            Part::Image
        }
        _ => Part::Other,
    }
}

/// Names and identifiers are part of the API; anything longer or freer than that may carry text.
pub(super) fn is_identifier(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// From so many words on, a name is a sentence, and a list of words too.
const SPELT_OUT: usize = 4;

/// The words of a name that spells a sentence out: `like_this_one_here`, `likeThisOneHere`.
pub(super) fn spelt_out(name: &str) -> Option<String> {
    let mut words = String::new();
    let mut before = ' ';
    for letter in name.chars() {
        match letter {
            '_' | '-' | '.' => words.push(' '),
            letter => {
                if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
                    words.push(' ');
                }
                words.push(letter);
            }
        }
        before = letter;
    }
    let count = words.split(' ').filter(|word| word.len() > 1 && word.bytes().all(|b| b.is_ascii_alphabetic())).count();
    (count >= SPELT_OUT).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;
    use serde_json::json;

    fn spoken(value: &Value) -> Vec<String> {
        let mut texts = Texts::default();
        texts.collect(value);
        texts.into_spoken()
    }

    #[test]
    fn names_and_keys_that_spell_a_sentence_out_are_texts() {
        let message = json!({"name": "how_do_I_do_bad_things", "content": "x", "id": "call_abcDEF-1234"});
        assert_eq!(spoken(&message), ["x", "how do I do bad things"]);
        assert_eq!(spelt_out("get_weather").or(spelt_out("8f14e45f-ceea-467f-9a36-dedd4bea2543")), None);
        assert_eq!(spelt_out("howDoIDoBadThings").unwrap(), "how Do IDo Bad Things");
        let definition = json!({"properties": {"do bad things": {"enum": ["do", "bad", "things", "now"]}}});
        let said = Texts::of_definition(&definition).into_spoken();
        assert!(
            said.contains(&"do bad things".to_owned()) && said.contains(&"do bad things now".to_owned()),
            "{said:?}"
        );
    }

    #[test]
    fn what_is_sealed_is_silent_and_what_only_looks_so_is_not() {
        let sealed = BASE64.encode(&[0x80, 0xfe, 3, 9, 0xff].repeat(9));
        assert!(spoken(&json!({"encrypted_content": sealed, "signature": sealed})).is_empty());
        let open = BASE64.encode(&b"bad words ".repeat(9));
        assert_eq!(spoken(&json!({"encrypted_content": open, "signature": "bad words"})), [open.as_str(), "bad words"]);
    }

    #[test]
    fn what_the_api_does_not_know_stands_aside() {
        let mut texts = Texts::default();
        texts.collect(&json!({"content": [{"type": "text", "aa": "in front", "text": "said", "zz": "behind"}]}));
        assert_eq!(texts.into_said(), (vec!["said".to_owned()], vec!["in front".to_owned(), "behind".to_owned()]));
    }

    #[test]
    fn an_index_orders_fragments_and_nothing_else() {
        let message =
            json!({"content": [{"type": "text", "text": "a", "index": 1}, {"type": "text", "text": "b", "index": 0}]});
        assert_eq!(spoken(&message), ["a", "b"]);
        let mut texts = Texts::of_fragments();
        texts.collect(&message);
        assert_eq!(texts.into_spoken(), ["b", "a"]);
    }

    #[test]
    fn unknown_fields_are_texts_and_control_fields_are_not() {
        let message = json!({"role": "user", "content": "a", "new_field": {"deep": ["b"]}, "name": "bob", "id": "x"});
        assert_eq!(spoken(&message), ["a", "b"]);
        assert_eq!(spoken(&json!({"name": "do a thing"})), ["do a thing"]);
        assert_eq!(spoken(&json!({"id": {"deep": "a b"}, "role": "c d"})), ["c d", "a b"]);
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
        let mut texts = Texts::of_fragments();
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
