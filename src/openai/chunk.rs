//! One event of a streamed answer: its bytes, and what it adds to the answer.

use super::completion::{choices, frame, others};
use super::edit;
use super::json;
use super::refusal::object;
use super::request::Surface;
use super::text::{Place, Texts};
use super::{responses, sse};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One event, as it came and as it reads.
pub struct Chunk {
    bytes: Bytes,
    surface: Surface,
    document: Option<Value>,
    is_done: bool,
    /// What it says.
    pub said: Said,
}

/// What an event says.
#[derive(Default)]
pub struct Said {
    /// The choices that it is about; a surface without choices has one.
    pub choices: Vec<u64>,
    /// Texts that go on from where the last event left them.
    pub fragments: Vec<Fragment>,
    /// Texts that are whole, each with its choice.
    pub wholes: Vec<(u64, String)>,
    /// The choices that end here.
    pub ends: Vec<u64>,
    /// Whether it is part of a call, of which a client can use nothing before it is whole.
    pub of_call: bool,
    /// Whether it holds what cannot be judged (audio).
    pub opaque: bool,
    /// Texts that stand beside the choices, by their place; they come again with each event.
    pub beside: Vec<Fragment>,
}

/// A piece of a text.
pub struct Fragment {
    /// Whose text it is, and which of its texts.
    pub line: (u64, Place),
    /// The piece.
    pub text: String,
}

impl Chunk {
    /// Reads an event, whose JSON is nested at most `max_depth` deep.
    ///
    /// # Errors
    /// What makes it unreadable; what cannot be read cannot be judged.
    pub fn parse(surface: Surface, bytes: Bytes, max_depth: usize) -> Result<Self, &'static str> {
        let data = sse::data(&bytes).map_err(|_| "the stream is not UTF-8")?;
        let is_done = data.as_ref().is_some_and(|data| data.trim() == sse::DONE);
        let document = match data.filter(|_| !is_done) {
            None => None,
            Some(data) => {
                Some(json::parse_mended(&data, max_depth).map_err(|_| "an event of the stream is not valid JSON")?)
            }
        };
        let said = match (&document, surface) {
            (None, _) => Said::default(),
            (Some(document), Surface::Responses) => responses::said(document),
            (Some(document), _) => said(document),
        };
        Ok(Self { bytes, surface, document, is_done, said })
    }

    /// The event as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether this is the end of the stream.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// What it holds; nothing for a comment and for the end.
    #[must_use]
    pub const fn document(&self) -> Option<&Value> {
        self.document.as_ref()
    }

    /// What all chunks of the answer share, where this is one of them.
    pub(super) fn shared(&self) -> Option<Map<String, Value>> {
        let mut shared = frame(self.document.as_ref()?, object(self.surface, true));
        shared.remove("usage");
        Some(shared)
    }

    /// Whether its list of choices is there, and empty.
    #[must_use]
    pub fn has_no_choices(&self) -> bool {
        let choices = self.document.as_ref().and_then(|document| document.get("choices")?.as_array());
        choices.is_some_and(Vec::is_empty)
    }

    /// The index of each choice, by its place in the list.
    #[must_use]
    pub fn indices(&self) -> BTreeMap<String, u64> {
        let choices = self.document.iter().flat_map(choices).enumerate();
        choices.map(|(place, (index, _))| (place.to_string(), index)).collect()
    }

    /// What was spent so far, where the chunk says so.
    #[must_use]
    pub fn usage(&self) -> Option<&Value> {
        self.document.as_ref()?.get("usage").filter(|usage| !usage.is_null())
    }

    /// The event with some of its strings changed; `change` is given the path of each, and what it says.
    #[must_use]
    pub fn with_strings(&self, change: &mut dyn FnMut(&[String], &str) -> Option<String>) -> Bytes {
        let change = std::cell::RefCell::new(change);
        self.edited(&|data| edit::with_strings(data, |path, said| (change.borrow_mut())(path, said)))
    }

    /// The same event by other bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: Bytes) -> Self {
        if bytes != self.bytes {
            let data = sse::data(&bytes).ok().flatten();
            self.document = data.and_then(|data| json::parse_mended(&data, usize::MAX).ok());
            self.bytes = bytes;
        }
        self
    }

    /// The event without probabilities of tokens and their ids: they say again what its texts say, and what those no longer do.
    #[must_use]
    pub fn without_logprobs(self) -> Self {
        let bytes = match std::str::from_utf8(&self.bytes) {
            Ok(event) if event.contains("logprobs") || event.contains("token_ids") => {
                self.edited(&|data| edit::emptied(&edit::emptied(data, "logprobs"), "token_ids"))
            }
            _ => return self,
        };
        self.with_bytes(bytes)
    }

    /// The event with its data changed.
    fn edited(&self, change: &dyn Fn(&str) -> String) -> Bytes {
        edited(&self.bytes, change)
    }

    /// The event without the choices that are `refused`; `None` when nothing is left.
    #[must_use]
    pub fn without(&self, refused: &dyn Fn(u64) -> bool) -> Option<Bytes> {
        if !self.said.choices.iter().any(|index| refused(*index)) {
            return Some(self.bytes.clone());
        }
        let document = self.document.as_ref()?;
        let kept: Vec<Value> =
            choices(document).filter(|(index, _)| !refused(*index)).map(|(_, choice)| choice.clone()).collect();
        let mut chunk: Map<String, Value> = frame(document, object(self.surface, true));
        let is_left = !kept.is_empty() || chunk.get("usage").is_some_and(|usage| !usage.is_null());
        chunk.insert("choices".to_owned(), Value::Array(kept));
        is_left.then(|| Bytes::from(sse::event(&Value::Object(chunk).to_string())))
    }
}

/// What a chunk with choices says.
fn said(document: &Value) -> Said {
    let mut said = Said::default();
    for (index, choice) in choices(document) {
        let mut texts = Texts::of_fragments();
        texts.collect(choice);
        said.opaque |= texts.opaque;
        let (fragments, wholes) = texts.into_fragments();
        said.fragments.extend(fragments.into_iter().map(|(place, text)| Fragment { line: (index, place), text }));
        said.wholes.extend(wholes.into_iter().map(|whole| (index, whole)));
        let is_given = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        // Some servers write one that is empty, or the word null, with every chunk.
        let finish = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        if !matches!(finish, "" | "null") {
            said.ends.push(index);
        }
        let said_by = choice.get("delta").or_else(|| choice.get("message"));
        let calls = ["tool_calls", "function_call"].map(|key| said_by.and_then(|message| message.get(key)));
        said.of_call |= calls.into_iter().any(is_given);
        said.choices.push(index);
    }
    // What stands beside the choices comes again with each chunk.
    if let Some(others) = others(document) {
        let mut texts = Texts::of_fragments();
        texts.collect(&others);
        said.opaque |= texts.opaque;
        let (beside, wholes) = texts.into_fragments();
        said.beside.extend(beside.into_iter().map(|(place, text)| Fragment { line: (0, place), text }));
        said.wholes.extend(wholes.into_iter().map(|text| (0, text)));
        said.choices.extend((!said.choices.contains(&0)).then_some(0));
    }
    said
}

/// An event whose data are changed.
fn edited(event: &Bytes, change: &dyn Fn(&str) -> String) -> Bytes {
    let (Ok(text), Ok(Some(data))) = (std::str::from_utf8(event), sse::data(event)) else { return event.clone() };
    let changed = change(&data);
    match text.contains(&data) {
        true => Bytes::from(text.replacen(&data, &changed, 1)),
        // It was broken over lines.
        false => Bytes::from(sse::event(&changed.replace('\n', " "))),
    }
}

/// An event of a chat without the role of its speaker: some clients join one that comes twice.
#[must_use]
pub fn without_role(event: &Bytes) -> Bytes {
    edited(event, &|data| {
        let document: Value = serde_json::from_str(data).unwrap_or_default();
        let choices = document.get("choices").and_then(Value::as_array).into_iter().flatten().enumerate();
        let speaking = choices.filter(|(_, choice)| choice.pointer("/delta/role").is_some());
        speaking.fold(data.to_owned(), |data, (place, _)| {
            let path = ["choices", &place.to_string(), "delta"];
            edit::at(&data, &path, |delta| edit::without_member(delta, "role"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::completion::Completion;
    use serde_json::json;

    fn delta(index: u64, delta: &Value, finish: Option<&str>) -> Value {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
               "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})
    }

    fn chunk(surface: Surface, event: &Value) -> Chunk {
        Chunk::parse(surface, Bytes::from(sse::event(&event.to_string())), 64).unwrap()
    }

    /// All that a stream says, as a whole answer would.
    fn told(surface: Surface, stream: &[u8]) -> BTreeMap<u64, Vec<String>> {
        let mut decoder = sse::Decoder::default();
        decoder.push(stream);
        let mut events: Vec<Bytes> = std::iter::from_fn(|| decoder.next_event()).collect();
        events.extend(decoder.rest());
        let mut lines: BTreeMap<(u64, Place), String> = BTreeMap::new();
        for event in events {
            for Fragment { line, text } in Chunk::parse(surface, event, 64).unwrap().said.fragments {
                lines.entry(line).or_default().push_str(&text);
            }
        }
        let mut told: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        lines.into_iter().for_each(|((index, _), text)| told.entry(index).or_default().push(text));
        told
    }

    #[test]
    fn a_chunk_says_where_its_text_goes_on_and_what_ends() {
        let said =
            chunk(Surface::Chat, &delta(1, &json!({"role": "assistant", "content": "good "}), Some("stop"))).said;
        let fragments: Vec<_> = said.fragments.iter().map(|one| (one.line.0, one.text.as_str())).collect();
        assert_eq!((fragments, said.ends, said.of_call), (vec![(1, "good ")], vec![1], false));
        let call = json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]});
        assert!(chunk(Surface::Chat, &delta(0, &call, None)).said.of_call);
        let added = json!({"type": "response.output_item.added", "item": {"type": "function_call", "arguments": ""}});
        assert!(chunk(Surface::Responses, &added).said.of_call);
        let last = json!({"type": "response.completed", "response": {"output": []}});
        assert_eq!(chunk(Surface::Responses, &last).said.ends, [0]);
    }

    #[test]
    fn what_stands_beside_the_choices_is_whole() {
        let event =
            json!({"id": "c", "citations": ["https://x/y"], "choices": [{"index": 0, "delta": {"content": "a "}}]});
        let beside = chunk(Surface::Chat, &event).said.beside;
        assert_eq!(beside.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["https://x/y"]);
    }

    #[test]
    fn an_emoji_that_is_cut_in_two_makes_no_event_unreadable() {
        let event = r#"data: {"choices": [{"index": 0, "delta": {"content": "a \ud83d"}}]}"#;
        assert_eq!(told(Surface::Chat, event.as_bytes())[&0], ["a \u{fffd}"]);
    }

    #[test]
    fn fragments_of_a_response_are_joined_by_their_place() {
        // Some servers give each event an item id of its own.
        let delta = |item: &str, part: &str| {
            let event = json!({"type": "response.output_text.delta", "item_id": format!("{item}{part}"),
                "sequence_number": 1, "output_index": u8::from(item == "two"), "content_index": 0, "delta": part,
                "obfuscation": "xyz"});
            sse::event(&event.to_string())
        };
        let stream = [delta("one", "good "), delta("two", "oth"), delta("one", "day"), delta("two", "er")].concat();
        assert_eq!(told(Surface::Responses, stream.as_bytes())[&0], ["good day", "other"]);
        let created =
            json!({"type": "response.created", "response": {"id": "r", "instructions": "be kind", "output": []}});
        assert!(chunk(Surface::Responses, &created).said.wholes.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for event in [&b"data: {half"[..], b"data: \xff\n\n", b"data: <html>\n\n"] {
            assert!(Chunk::parse(Surface::Chat, Bytes::copy_from_slice(event), 64).is_err());
        }
        let comment = Chunk::parse(Surface::Chat, Bytes::from_static(b": hi\n\n"), 64).unwrap();
        assert!(comment.document().is_none() && !comment.is_done());
    }

    #[test]
    fn a_refused_choice_leaves_a_chunk() {
        let choice = |index: u64| json!({"index": index, "delta": {"content": "words"}});
        let event = json!({"id": "c", "secret": "words", "choices": [choice(0), choice(1)]});
        let left = chunk(Surface::Chat, &event).without(&|index| index == 0).unwrap();
        let left: Value = serde_json::from_str(&sse::events(&left).unwrap()[0]).unwrap();
        assert_eq!(left, json!({"id": "c", "object": "chat.completion.chunk", "choices": [choice(1)]}));
        assert!(chunk(Surface::Chat, &delta(0, &json!({}), None)).without(&|_| true).is_none());
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
            let whole = Completion::parse(Surface::Chat, whole_of(&choices), 64).unwrap();
            proptest::prop_assert_eq!(&whole.choices, &told(Surface::Chat, &stream_of(&choices, &cuts)));
        }
    }
}
