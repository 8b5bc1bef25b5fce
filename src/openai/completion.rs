//! An answer of the LLM, whole or streamed: its bytes, the texts of each choice, and the answer that is
//! left when some choices are refused.

use super::json;
use super::refusal::{Choice, FinishReason, object};
use super::request::{Asked, Surface};
use super::text::Texts;
use super::{responses, sse};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An answer that owns its bytes.
pub struct Completion {
    bytes: Bytes,
    documents: Vec<Value>,
    surface: Surface,
    streamed: bool,
    /// The texts of each choice, by its index; a surface without choices has one.
    pub choices: BTreeMap<u64, Vec<String>>,
    /// Whether there is something that cannot be judged (audio).
    pub opaque: bool,
}

/// Fields of an answer that hold no text of the LLM; with `choices`, all that is kept of an answer with a refused choice.
const FRAME: [&str; 7] = ["id", "object", "created", "model", "system_fingerprint", "service_tier", "usage"];

impl Completion {
    /// Reads an answer of a surface: a stream of events, or one JSON document, nested at most `max_depth` deep.
    ///
    /// # Errors
    /// What makes it unreadable; an answer that cannot be read cannot be judged.
    pub fn parse(surface: Surface, bytes: Bytes, streamed: bool, max_depth: usize) -> Result<Self, &'static str> {
        let read = |data: &str| {
            json::parse(data.as_bytes(), max_depth).or_else(|_| json::parse(mended(data).as_bytes(), max_depth))
        };
        let documents = if streamed {
            let events = sse::events(&bytes).map_err(|_| "the stream is not UTF-8")?;
            let data = events.iter().filter(|data| data.trim() != sse::DONE);
            let parsed: Result<_, _> = data.map(|data| read(data)).collect();
            parsed.map_err(|_| "an event of the stream is not valid JSON")?
        } else {
            let text = std::str::from_utf8(&bytes).map_err(|_| "the body is not UTF-8")?;
            vec![read(text).map_err(|_| "the body is not valid JSON")?]
        };
        let (choices, opaque) = match surface {
            Surface::Responses => {
                let (texts, opaque) = responses::spoken(&documents);
                (BTreeMap::from([(0, texts.into_iter().collect())]), opaque)
            }
            // Vectors may be in base64, and no word stands alone.
            Surface::Embeddings => {
                let (mut choices, opaque) = spoken(&documents, streamed);
                choices.values_mut().for_each(|texts| texts.retain(|text| text.trim().contains(char::is_whitespace)));
                (choices, opaque)
            }
            _ => spoken(&documents, streamed),
        };
        Ok(Self { bytes, documents, surface, streamed, choices, opaque })
    }

    /// The bytes as they came.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The answer to what was `asked` with `refused` choices replaced by their messages: their texts, tool calls and log
    /// probabilities are gone, the other choices and the usage stay.
    #[must_use]
    pub fn without<'a>(self, asked: &'a Asked, refused: &BTreeMap<u64, &'a str>, finish: FinishReason) -> Bytes {
        let instead = |(index, message): (&u64, &&'a str)| (*index, Choice { asked, index: *index, message, finish });
        match (self.surface, self.streamed) {
            (Surface::Responses, streamed) => {
                let message = refused.values().next().copied().unwrap_or_default();
                let response =
                    responses::refused(&responses::frame(&self.documents), message, asked.structured, finish);
                Bytes::from(if streamed { responses::stream_of(&response) } else { response.to_string() })
            }
            (_, true) => self.stream_without(&refused.iter().map(instead).collect()),
            (_, false) => self.whole_without(&refused.iter().map(instead).collect()),
        }
    }

    fn whole_without(mut self, refused: &BTreeMap<u64, Choice<'_>>) -> Bytes {
        let document = self.documents.pop().unwrap_or_default();
        let mut body = frame(&document, object(self.surface, false));
        let mut choices: BTreeMap<u64, Value> =
            choices(&document).map(|(index, choice)| (index, choice.clone())).collect();
        choices.extend(refused.iter().map(|(index, choice)| (*index, choice.whole())));
        body.insert("choices".to_owned(), choices.into_values().collect());
        Bytes::from(Value::Object(body).to_string())
    }

    fn stream_without(self, refused: &BTreeMap<u64, Choice<'_>>) -> Bytes {
        let mut body = String::new();
        let mut usage = String::new();
        // Azure's first chunk has neither choices nor a name.
        let has_choices = |document: &&Value| choices(document).next().is_some();
        let first = self.documents.iter().find(has_choices).or(self.documents.first()).unwrap_or(&Value::Null);
        let mut shared = frame(first, object(self.surface, true));
        shared.remove("usage");
        for document in &self.documents {
            let mut chunk = frame(document, object(self.surface, true));
            let kept: Vec<Value> = choices(document)
                .filter(|(index, _)| !refused.contains_key(index))
                .map(|(_, choice)| choice.clone())
                .collect();
            let spends = chunk.get("usage").is_some_and(|usage| !usage.is_null());
            if !kept.is_empty() || spends {
                let target = if kept.is_empty() { &mut usage } else { &mut body };
                chunk.insert("choices".to_owned(), Value::Array(kept));
                target.push_str(&sse::event(&Value::Object(chunk).to_string()));
            }
        }
        let shared = Value::Object(shared);
        body.extend(refused.values().flat_map(|choice| choice.streamed(&shared)));
        // Usage comes last, after every choice has ended.
        body.push_str(&usage);
        body.push_str(&sse::event(sse::DONE));
        Bytes::from(body)
    }
}

/// JSON in which a surrogate without its other half is U+FFFD: some servers cut an emoji over two fragments.
fn mended(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('\\') {
        mended.push_str(before);
        rest = after;
        let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
        let low = |text: &str| text.get(5..).and_then(|text| unit(text.strip_prefix('\\')?));
        let taken = match (unit(rest), low(rest)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 11,
            (Some(0xD800..=0xDFFF), _) => {
                mended.push_str("\\ufffd");
                rest = rest.get(5..).unwrap_or_default();
                continue;
            }
            _ => rest.chars().next().map_or(0, char::len_utf8),
        };
        let (escape, after) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        mended.push('\\');
        mended.push_str(escape);
        rest = after;
    }
    mended + rest
}

/// The texts of each choice, and whether some of an answer cannot be judged. What stands beside the choices comes again with
/// each chunk, and is judged once.
fn spoken(documents: &[Value], streamed: bool) -> (BTreeMap<u64, Vec<String>>, bool) {
    let texts = || if streamed { Texts::of_fragments() } else { Texts::default() };
    let mut said: BTreeMap<u64, Texts> = BTreeMap::new();
    let (mut beside, mut opaque) = (BTreeSet::new(), false);
    for document in documents {
        for (index, choice) in choices(document) {
            said.entry(index).or_insert_with(texts).collect(choice);
        }
        if let Some(others) = others(document) {
            let mut texts = texts();
            texts.collect(&others);
            opaque |= texts.opaque;
            beside.extend(texts.into_spoken());
        }
    }
    opaque |= said.values().any(|texts| texts.opaque);
    let mut choices: BTreeMap<u64, Vec<String>> =
        said.into_iter().map(|(index, texts)| (index, texts.into_spoken())).collect();
    if !beside.is_empty() {
        choices.entry(0).or_default().extend(beside);
    }
    (choices, opaque)
}

/// What a document says beside its choices.
fn others(document: &Value) -> Option<Value> {
    let Some(fields) = document.as_object() else { return Some(document.clone()) };
    let is_list = |key: &str| key == "choices" && fields.get(key).is_some_and(Value::is_array);
    let beside = fields.iter().filter(|(key, _)| !FRAME.contains(&key.as_str()) && !is_list(key));
    let beside: Map<String, Value> = beside.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!beside.is_empty()).then(|| json!({ "beside": beside }))
}

fn choices(document: &Value) -> impl Iterator<Item = (u64, &Value)> {
    let choices = document.get("choices").and_then(Value::as_array).into_iter().flatten().enumerate();
    choices.map(|(position, choice)| {
        let index = choice.get("index").and_then(Value::as_u64);
        (index.unwrap_or(position as u64), choice)
    })
}

fn frame(document: &Value, object: &str) -> Map<String, Value> {
    let mut kept: Map<String, Value> =
        FRAME.iter().filter_map(|key| document.get(*key).map(|value| ((*key).to_owned(), value.clone()))).collect();
    kept.entry("object").or_insert_with(|| object.into());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: &str = "I can't help with this.";

    fn stream(chunks: &[Value]) -> Bytes {
        let mut body: String = chunks.iter().map(|chunk| sse::event(&chunk.to_string())).collect();
        body.push_str(&sse::event(sse::DONE));
        Bytes::from(body)
    }

    fn delta(index: u64, delta: &Value, finish: Option<&str>) -> Value {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
               "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})
    }

    #[test]
    fn a_whole_answer_and_its_stream_hold_the_same_texts() {
        let whole = json!({"choices": [
            {"index": 0, "message": {"role": "assistant", "content": "good day", "reasoning_content": "hm well"}},
            {"index": 1, "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"a\": \"b c\"}"}}]}},
        ]});
        let call = |part: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]});
        let streamed = stream(&[
            delta(1, &call("{\"a\": "), None),
            delta(0, &json!({"content": "good "}), None),
            delta(0, &json!({"reasoning_content": "hm well"}), None),
            delta(1, &call("\"b c\"}"), Some("tool_calls")),
            delta(0, &json!({"content": "day"}), Some("stop")),
        ]);
        let whole = Completion::parse(Surface::Chat, Bytes::from(whole.to_string()), false, 64).unwrap();
        let streamed = Completion::parse(Surface::Chat, streamed, true, 64).unwrap();
        assert_eq!(whole.choices, streamed.choices);
        assert_eq!(whole.choices[&0], ["good day", "hm well"]);
    }

    #[test]
    fn an_emoji_that_is_cut_in_two_makes_no_answer_unreadable() {
        let chunk = |text: &str| {
            format!("data: {{\"choices\": [{{\"index\": 0, \"delta\": {{\"content\": \"{text}\"}}}}]}}\n\n")
        };
        let stream = [r"a \u", "d83d", r"b\", "ude00 ", r"c\\ud83d \ud83d\ude00"].concat().replace('b', "#");
        let (one, two) = stream.split_once('#').unwrap();
        let stream = chunk(one) + &chunk(two);
        let answer = Completion::parse(Surface::Chat, Bytes::from(stream), true, 64).unwrap();
        assert_eq!(answer.choices[&0], ["a \u{fffd}\u{fffd} c\\ud83d \u{1f600}"]);
        assert_eq!(mended(r#"{"a": "\n\u00e9\\"}"#), r#"{"a": "\n\u00e9\\"}"#);
        assert_eq!(mended(r"\ud83"), r"\ud83");
    }

    #[test]
    fn what_stands_beside_the_choices_is_judged() {
        let body = json!({"id": "x", "model": "m", "choices": [], "note": "more text", "usage": {"total_tokens": 1}});
        let answer = Completion::parse(Surface::Chat, Bytes::from(body.to_string()), false, 64).unwrap();
        assert_eq!(answer.choices[&0], ["more text"]);
        let odd = Completion::parse(Surface::Chat, Bytes::from_static(b"\"just text\""), false, 64).unwrap();
        assert_eq!(odd.choices[&0], ["just text"]);
    }

    #[test]
    fn a_refused_choice_leaves_nothing_but_its_message() {
        let body = json!({"id": "c", "model": "m", "secret": "bad words", "usage": {"total_tokens": 9}, "choices": [
            {"index": 0, "message": {"content": "bad words", "tool_calls": [{"function": {"arguments": "bad words"}}]},
             "logprobs": {"content": [{"token": "bad words"}]}, "finish_reason": "tool_calls"},
            {"index": 1, "message": {"content": "good"}, "finish_reason": "stop"},
        ]});
        let answer = Completion::parse(Surface::Chat, Bytes::from(body.to_string()), false, 64).unwrap();
        let left =
            answer.without(&Asked::nothing(Surface::Chat), &BTreeMap::from([(0, NO)]), FinishReason::ContentFilter);
        let left_text = std::str::from_utf8(&left).unwrap();
        assert!(!left_text.contains("bad words"), "{left_text}");
        let left: Value = serde_json::from_slice(&left).unwrap();
        assert_eq!(left["choices"][0]["message"]["content"], NO);
        assert_eq!(left["choices"][0]["finish_reason"], "content_filter");
        assert_eq!(left["choices"][1], body["choices"][1]);
        assert_eq!(left["usage"], body["usage"]);
    }

    #[test]
    fn a_refused_stream_keeps_the_other_choices_and_the_usage() {
        let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                           "usage": {"total_tokens": 9}});
        let body = stream(&[
            delta(0, &json!({"role": "assistant", "content": "bad "}), None),
            delta(1, &json!({"content": "good"}), Some("stop")),
            delta(0, &json!({"content": "words"}), Some("stop")),
            usage.clone(),
        ]);
        let answer = Completion::parse(Surface::Chat, body, true, 64).unwrap();
        let left =
            answer.without(&Asked::nothing(Surface::Chat), &BTreeMap::from([(0, NO)]), FinishReason::ContentFilter);
        let events = sse::events(&left).unwrap();
        let (done, chunks) = events.split_last().unwrap();
        assert_eq!(done, sse::DONE);
        assert!(!chunks.iter().any(|chunk| chunk.contains("bad") || chunk.contains("words")));
        let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
        assert_eq!(chunks.first().unwrap()["choices"][0]["delta"]["content"], "good");
        assert_eq!(chunks.last().unwrap(), &usage);
        let finish = chunks.iter().rfind(|chunk| chunk["choices"][0]["index"] == 0).unwrap();
        assert_eq!(finish["choices"][0]["finish_reason"], "content_filter");
        assert_eq!(finish["choices"][0]["delta"], json!({}));
        assert_eq!(finish["id"], "c");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(Completion::parse(Surface::Chat, Bytes::from_static(b"<html>"), false, 64).is_err());
        assert!(Completion::parse(Surface::Chat, Bytes::from_static(b"data: {half"), true, 64).is_err());
        assert!(Completion::parse(Surface::Chat, Bytes::from_static(b"data: \xff\n\n"), true, 64).is_err());
    }

    /// What one choice says: its content and the arguments of its tool calls.
    type Said = (String, Vec<String>);

    /// The choices as one document.
    fn whole_of(choices: &[Said]) -> Bytes {
        let choice = |(index, (content, calls)): (usize, &Said)| {
            let calls: Vec<Value> =
                calls.iter().map(|arguments| json!({"function": {"arguments": arguments}})).collect();
            json!({"index": index, "message": {"role": "assistant", "content": content, "tool_calls": calls}})
        };
        Bytes::from(json!({"choices": choices.iter().enumerate().map(choice).collect::<Vec<_>>()}).to_string())
    }

    /// The choices as a stream: `cuts` says how long the fragments are, whose turn it is, and how the events are spelt.
    fn stream_of(choices: &[Said], cuts: &[usize]) -> Bytes {
        let mut cuts = cuts.iter().copied().cycle();
        let mut next = || cuts.next().unwrap_or(1);
        // What is left to say, and how each fragment of it stands in a delta.
        let mut left: Vec<(usize, Option<usize>, Vec<char>)> = Vec::new();
        for (index, (content, calls)) in choices.iter().enumerate() {
            left.push((index, None, content.chars().collect()));
            left.extend(calls.iter().enumerate().map(|(call, text)| (index, Some(call), text.chars().collect())));
        }
        let mut body = String::new();
        while !left.is_empty() {
            let place = next() % left.len();
            let (index, call, text) = &mut left[place];
            let part: String = text.drain(..text.len().min(next() + 1)).collect();
            let said = match call {
                None => json!({"content": part}),
                Some(call) => json!({"tool_calls": [{"index": call, "function": {"arguments": part}}]}),
            };
            let data = delta(*index as u64, &said, None).to_string();
            if text.is_empty() {
                left.remove(place);
            }
            let end = ["\n", "\r\n", "\r"][next() % 3];
            body.push_str(["", ": a comment", "event: x", "id: 7", "retry: 3"][next() % 5]);
            body.push_str(end);
            // An object may be broken over lines between its members.
            let data = if next() % 3 == 0 { data.replacen("{\"", &format!("{{{end}data: \""), 1) } else { data };
            body.push_str(&format!("data:{}{data}{end}{end}", ["", " "][next() % 2]));
        }
        body.push_str(["data: [DONE]\n\n", "", "data:[DONE]"][next() % 3]);
        Bytes::from(body)
    }

    proptest::proptest! {
        #[test]
        fn any_stream_of_an_answer_says_what_the_answer_says(
            choices in proptest::collection::vec(("[a-zé\u{1f489} \"\\\\\n]{1,30}x", proptest::collection::vec("[a-z ]{0,12}x", 0..3)), 1..4),
            cuts in proptest::collection::vec(0_usize..9, 1..40),
        ) {
            let whole = Completion::parse(Surface::Chat, whole_of(&choices), false, 64).unwrap();
            let streamed = Completion::parse(Surface::Chat, stream_of(&choices, &cuts), true, 64).unwrap();
            proptest::prop_assert_eq!(&whole.choices, &streamed.choices);
            // What is left when one is refused is a stream of the others.
            let left = streamed.without(&Asked::nothing(Surface::Chat), &BTreeMap::from([(0, NO)]), FinishReason::ContentFilter);
            let left = Completion::parse(Surface::Chat, left, true, 64).unwrap();
            proptest::prop_assert_eq!(&left.choices[&0], &[NO.to_owned()]);
            for (index, texts) in whole.choices.iter().skip(1) {
                proptest::prop_assert_eq!(&left.choices[index], texts);
            }
        }
    }
}
