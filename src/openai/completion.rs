//! A whole answer of the LLM: its bytes, the texts of each choice, and the answer that is left when some choices are
//! refused. Of a streamed one, see [`chunk`](super::chunk).

use super::edit;
use super::json;
use super::refusal::{Choice, FinishReason, Refusal, object, with};
use super::request::{Asked, Surface};
use super::responses;
use super::text::Texts;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An answer that owns its bytes.
pub struct Completion {
    bytes: Bytes,
    document: Value,
    surface: Surface,
    /// The texts of each choice, by its index; a surface without choices has one.
    pub choices: BTreeMap<u64, Vec<String>>,
    /// Whether there is something that cannot be judged (audio).
    pub opaque: bool,
}

/// Fields of an answer that hold no text of the LLM; with `choices`, all that is kept of an answer with a refused choice.
const FRAME: [&str; 7] = ["id", "object", "created", "model", "system_fingerprint", "service_tier", "usage"];

impl Completion {
    /// Reads an answer of a surface, nested at most `max_depth` deep.
    ///
    /// # Errors
    /// What makes it unreadable; an answer that cannot be read cannot be judged.
    pub fn parse(surface: Surface, bytes: Bytes, max_depth: usize) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(&bytes).map_err(|_| "the body is not UTF-8")?;
        let document = json::parse_mended(text, max_depth).map_err(|_| "the body is not valid JSON")?;
        let (choices, opaque) = said(surface, &document);
        Ok(Self { bytes, document, surface, choices, opaque })
    }

    /// The bytes as they came.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The answer with some of its texts changed, each where it stands.
    #[must_use]
    pub fn with_texts(self, mut change: impl FnMut(u64, &str) -> Option<String>) -> Self {
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        let indices: Vec<u64> = choices(&self.document).map(|(index, _)| index).collect();
        let changed = edit::with_strings(text, |path, said| {
            let place = match path {
                [key, place, ..] if key == "choices" => place.parse().ok().and_then(|place: usize| indices.get(place)),
                _ => None,
            };
            change(place.copied().unwrap_or_default(), said)
        });
        // Probabilities of tokens would say what the texts no longer do.
        let changed = if changed == text { changed } else { edit::emptied(&changed, "logprobs") };
        self.read_again(changed)
    }

    /// The same answer by another text.
    fn read_again(self, text: String) -> Self {
        let document = json::parse_mended(&text, usize::MAX).unwrap_or_default();
        let (choices, opaque) = said(self.surface, &document);
        Self { bytes: Bytes::from(text), document, choices, opaque, ..self }
    }

    /// The answer with `words` before what each choice says, but those that are `refused`.
    #[must_use]
    pub fn after(bytes: &Bytes, asked: &Asked, words: &str) -> Bytes {
        let Ok(text) = std::str::from_utf8(bytes) else { return bytes.clone() };
        if asked.surface == Surface::Responses {
            let item = with(
                &responses::refusal_item(),
                [
                    ("status", json!("completed")),
                    ("id", json!("msg_help")),
                    ("content", json!([responses::part("output_text", words)])),
                ],
            );
            return Bytes::from(edit::with_first(text, "output", &item));
        }
        let document = json::parse_mended(text, usize::MAX).unwrap_or_default();
        if choices(&document).next().is_none() {
            let choice = Choice { asked, index: 0, message: words, finish: FinishReason::Stop }.whole();
            return Bytes::from(edit::with_member(text, "choices", &json!([choice])));
        }
        let mut changed = text.to_owned();
        for (place, (_, choice)) in choices(&document).enumerate() {
            let said = choice.pointer("/message/content").or_else(|| choice.get("text")).unwrap_or(&Value::Null);
            let whole = match said {
                Value::Array(parts) => {
                    Value::Array([vec![json!({"type": "text", "text": words})], parts.clone()].concat())
                }
                said => json!(format!("{words}\n\n{}", said.as_str().unwrap_or_default()).trim_end()),
            };
            changed = edit::at(&changed, &["choices", &place.to_string()], |choice| match asked.surface {
                Surface::Completions => edit::with_member(choice, "text", &whole),
                _ if choice.contains("\"message\"") => {
                    edit::at(choice, &["message"], |message| edit::with_member(message, "content", &whole))
                }
                _ => edit::with_member(choice, "message", &json!({"role": "assistant", "content": whole})),
            });
        }
        Bytes::from(changed)
    }

    /// The answer to what was `asked` with `refused` choices replaced by their messages: their texts, tool calls and log
    /// probabilities are gone, the other choices and the usage stay.
    #[must_use]
    pub fn without<'a>(self, asked: &'a Asked, refused: &BTreeMap<u64, &'a str>, finish: FinishReason) -> Self {
        if self.surface == Surface::Responses {
            let message = refused.values().next().copied().unwrap_or_default();
            let frame = responses::frame([&self.document]);
            return self.read_again(
                responses::refused(&frame, &Refusal { message, structured: asked.structured, finish }).to_string(),
            );
        }
        let mut body = frame(&self.document, object(self.surface, false));
        let mut choices: BTreeMap<u64, Value> =
            choices(&self.document).map(|(index, choice)| (index, choice.clone())).collect();
        let instead = |(index, message): (&u64, &&'a str)| Choice { asked, index: *index, message, finish }.whole();
        choices.extend(refused.iter().map(|refused| (*refused.0, instead(refused))));
        body.insert("choices".to_owned(), choices.into_values().collect());
        self.read_again(Value::Object(body).to_string())
    }
}

/// The texts of each choice by the surface's own shape, and whether some of the answer cannot be judged.
fn said(surface: Surface, document: &Value) -> (BTreeMap<u64, Vec<String>>, bool) {
    match surface {
        Surface::Responses => {
            let said = responses::said(document);
            let fragments = said.fragments.into_iter().map(|fragment| fragment.text);
            let texts: BTreeSet<String> = said.wholes.into_iter().map(|(_, text)| text).chain(fragments).collect();
            (BTreeMap::from([(0, texts.into_iter().collect())]), said.opaque)
        }
        // Vectors may be in base64, and no word stands alone.
        Surface::Embeddings => {
            let (mut choices, opaque) = spoken(document);
            choices.values_mut().for_each(|texts| texts.retain(|text| text.trim().contains(char::is_whitespace)));
            (choices, opaque)
        }
        Surface::Chat | Surface::Completions => spoken(document),
    }
}

/// The texts of each choice, and whether some of the answer cannot be judged.
fn spoken(document: &Value) -> (BTreeMap<u64, Vec<String>>, bool) {
    let (mut said, mut opaque): (BTreeMap<u64, Vec<String>>, bool) = (BTreeMap::new(), false);
    let beside = others(document);
    for (index, value) in choices(document).chain(beside.iter().map(|value| (0, value))) {
        let mut texts = Texts::default();
        texts.collect(value);
        opaque |= texts.opaque;
        said.entry(index).or_default().extend(texts.into_spoken());
    }
    // What stands beside the choices alone makes no choice.
    said.retain(|index, texts| !texts.is_empty() || choices(document).any(|(of, _)| of == *index));
    (said, opaque)
}

/// What a document says beside its choices.
pub(super) fn others(document: &Value) -> Option<Value> {
    let Some(fields) = document.as_object() else { return Some(document.clone()) };
    let is_list = |key: &str| key == "choices" && fields.get(key).is_some_and(Value::is_array);
    let beside = fields.iter().filter(|(key, _)| !FRAME.contains(&key.as_str()) && !is_list(key));
    let beside: Map<String, Value> = beside.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!beside.is_empty()).then(|| json!({ "beside": beside }))
}

pub(super) fn choices(document: &Value) -> impl Iterator<Item = (u64, &Value)> {
    let choices = document.get("choices").and_then(Value::as_array).into_iter().flatten().enumerate();
    choices.map(|(position, choice)| {
        let index = choice.get("index").and_then(Value::as_u64);
        (index.unwrap_or(position as u64), choice)
    })
}

pub(super) fn frame(document: &Value, object: &str) -> Map<String, Value> {
    let mut kept: Map<String, Value> =
        FRAME.iter().filter_map(|key| document.get(*key).map(|value| ((*key).to_owned(), value.clone()))).collect();
    kept.entry("object").or_insert_with(|| object.into());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: &str = "I can't help with this.";

    #[test]
    fn what_stands_beside_the_choices_is_judged() {
        let body = json!({"id": "x", "model": "m", "choices": [], "note": "more text", "usage": {"total_tokens": 1}});
        let answer = Completion::parse(Surface::Chat, Bytes::from(body.to_string()), 64).unwrap();
        assert_eq!(answer.choices[&0], ["more text"]);
        let odd = Completion::parse(Surface::Chat, Bytes::from_static(b"\"just text\""), 64).unwrap();
        assert_eq!(odd.choices[&0], ["just text"]);
    }

    #[test]
    fn a_refused_choice_leaves_nothing_but_its_message() {
        let body = json!({"id": "c", "model": "m", "secret": "bad words", "usage": {"total_tokens": 9}, "choices": [
            {"index": 0, "message": {"content": "bad words", "tool_calls": [{"function": {"arguments": "bad words"}}]},
             "logprobs": {"content": [{"token": "bad words"}]}, "finish_reason": "tool_calls"},
            {"index": 1, "message": {"content": "good"}, "finish_reason": "stop"},
        ]});
        let answer = Completion::parse(Surface::Chat, Bytes::from(body.to_string()), 64).unwrap();
        let left =
            answer.without(&Asked::nothing(Surface::Chat), &BTreeMap::from([(0, NO)]), FinishReason::ContentFilter);
        let left = left.into_bytes();
        let left_text = std::str::from_utf8(&left).unwrap();
        assert!(!left_text.contains("bad words"), "{left_text}");
        let left: Value = serde_json::from_slice(&left).unwrap();
        assert_eq!(left["choices"][0]["message"]["content"], NO);
        assert_eq!(left["choices"][0]["finish_reason"], "content_filter");
        assert_eq!(left["choices"][1], body["choices"][1]);
        assert_eq!(left["usage"], body["usage"]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(Completion::parse(Surface::Chat, Bytes::from_static(b"<html>"), 64).is_err());
        assert!(Completion::parse(Surface::Chat, Bytes::from_static(b"\"\xff\""), 64).is_err());
    }
}
