//! The end of a streamed answer, or of one of its choices, in the shape of its surface wherever it is cut.

use super::chunk::{Chunk, without_role};
use super::completion::choices;
use super::json;
use super::moderation;
use super::progress::Progress;
use super::refusal::{Choice, FinishReason, Refusal, Seen, object, with};
use super::request::{Asked, Surface};
use super::{responses, sse};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// What must be known of a stream to cut it well.
pub struct Cut {
    asked: Arc<Asked>,
    finish: FinishReason,
    /// What all chunks share, from the first that has choices.
    shared: Map<String, Value>,
    has_choices: bool,
    /// Of a response: what is kept of it, and how far its client has come.
    response: Map<String, Value>,
    progress: Progress,
    usage: Option<Value>,
    /// Events with text: about as many tokens.
    pieces: u64,
    /// Whether the upstream says itself what it found.
    is_annotated: bool,
    is_done: bool,
    /// Who was given help, and in a response, the item that gave it.
    helped: BTreeSet<u64>,
    help_item: Option<Value>,
}

/// A whole message as one delta: the calls of a stream have places.
fn streamed(message: Option<&Value>, seen: Seen) -> Value {
    let mut delta = message.and_then(Value::as_object).cloned().unwrap_or_default();
    if seen > Seen::Nothing {
        delta.remove("role");
    }
    let calls = delta.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
    for (place, call) in calls.enumerate() {
        *call = with(call, [("index", json!(place))]);
    }
    Value::Object(delta)
}

impl Cut {
    /// For the answer to what was `asked`; refused choices end with `finish`.
    #[must_use]
    pub fn new(asked: Arc<Asked>, finish: FinishReason) -> Self {
        Self {
            asked,
            finish,
            shared: Map::new(),
            has_choices: false,
            response: Map::new(),
            progress: Progress::default(),
            usage: None,
            pieces: 0,
            is_annotated: false,
            is_done: false,
            helped: BTreeSet::new(),
            help_item: None,
        }
    }

    /// Notes an event as it comes.
    pub fn note(&mut self, chunk: &Chunk) {
        let Some(document) = chunk.document() else { return };
        self.pieces += u64::from(!chunk.said.fragments.is_empty());
        self.is_annotated |= document.get("moderation").is_some();
        if let Some(usage) = chunk.usage() {
            self.usage = Some(usage.clone());
        }
        if self.asked.surface == Surface::Responses {
            if let Some(frame) = responses::frame([document]).as_object() {
                self.response.extend(frame.clone());
            }
        } else if !self.has_choices {
            // Azure's first chunk has neither choices nor a name.
            self.has_choices = document.get("choices").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
            self.shared = chunk.shared().unwrap_or_default();
        }
    }

    /// Notes an event as it leaves.
    pub fn left(&mut self, chunk: &Chunk) {
        self.is_done |= chunk.is_done();
        if let Some(document) = chunk.document().filter(|_| self.asked.surface == Surface::Responses) {
            self.progress.note(document);
            // By another id, the client would take it for another response.
            if let Some(id) = document.pointer("/response/id") {
                self.response.insert("id".to_owned(), id.clone());
            }
        }
    }

    /// The events that say `message` in place of what a choice would go on to say, and end it.
    #[must_use]
    pub fn choice(&mut self, index: u64, message: &str, seen: Seen) -> String {
        let help = self.asked.help.clone().filter(|_| self.helped.insert(index));
        let message = &help.map_or_else(|| message.to_owned(), |help| format!("{help}\n\n{message}"));
        let (asked, finish) = (&*self.asked, self.finish);
        if self.asked.surface == Surface::Responses {
            let frame = Value::Object(self.response.clone());
            return self.progress.cut(&frame, &Refusal { message, structured: asked.structured, finish });
        }
        let choice = Choice { asked, index, message, finish };
        choice.streamed(&Value::Object(self.shared.clone()), seen).collect()
    }

    /// What is said to someone who needs help now, before the first word of each choice; nothing where no help is given or it
    /// was said.
    #[must_use]
    pub fn help(&mut self, next: &Chunk) -> Vec<String> {
        let Some(help) = self.asked.help.clone() else { return Vec::new() };
        if self.asked.surface == Surface::Responses {
            let is_item = next.document().is_some_and(|event| event.get("output_index").is_some());
            let is_item = is_item || !next.said.ends.is_empty();
            if !is_item || !self.helped.insert(0) {
                return Vec::new();
            }
            let (events, item) = self.progress.item(&help);
            self.help_item = Some(item);
            return vec![events];
        }
        self.pending_help()
    }

    /// The same for all choices at once, before anything has come.
    pub fn pending_help(&mut self) -> Vec<String> {
        let Some(help) = self.asked.help.clone().filter(|_| !self.ends_at_once()) else { return Vec::new() };
        let new: Vec<u64> = (0..self.asked.choices).filter(|index| self.helped.insert(*index)).collect();
        let own = || {
            let object = object(self.asked.surface, true);
            let own = json!({"id": "help", "object": object, "created": 0, "model": self.asked.model});
            own.as_object().cloned().unwrap_or_default()
        };
        let frame = Value::Object(if self.shared.is_empty() { own() } else { self.shared.clone() });
        let words = format!("{help}\n\n");
        let says = |index: u64| Choice { asked: &self.asked, index, message: &words, finish: self.finish }.said(&frame);
        new.into_iter().map(says).collect()
    }

    /// An event as it leaves behind help: its choices have told their role, and the items and events of a response count on.
    #[must_use]
    pub fn behind_help(&self, chunk: &Chunk, bytes: Bytes) -> Bytes {
        if self.asked.surface == Surface::Chat && !self.helped.is_empty() {
            return without_role(&bytes);
        }
        let (Some(item), Some(event)) = (&self.help_item, chunk.document()) else { return bytes };
        let mut event = event.clone();
        for (key, more) in [("output_index", 1), ("sequence_number", Progress::ITEM_EVENTS)] {
            if let Some(number) = event.get(key).and_then(Value::as_u64) {
                event = with(&event, [(key, json!(number + more))]);
            }
        }
        if let Some(output) = event.pointer_mut("/response/output").and_then(Value::as_array_mut) {
            output.insert(0, item.clone());
        }
        let name = event.get("type").and_then(Value::as_str).map(|kind| format!("event: {kind}\n")).unwrap_or_default();
        Bytes::from(format!("{name}{}", sse::event(&event.to_string())))
    }

    /// The same where nothing more of the answer will come: a response is ended with it.
    pub fn last_help(&mut self) -> Vec<String> {
        let Some(help) = self.asked.help.clone() else { return Vec::new() };
        if !self.ends_at_once() {
            return self.pending_help();
        }
        if !self.helped.insert(0) {
            return Vec::new();
        }
        let refusal = Refusal { message: &help, structured: self.asked.structured, finish: FinishReason::Stop };
        vec![self.progress.cut(&Value::Object(self.response.clone()), &refusal)]
    }

    /// A whole answer as the rest of a stream of which no text was seen.
    #[must_use]
    pub fn told(&mut self, answer: &[u8], seen: Seen) -> String {
        let text = std::str::from_utf8(answer).unwrap_or_default();
        let document = json::parse_mended(text, usize::MAX).unwrap_or_default();
        if self.ends_at_once() {
            let id = document.get("id").cloned().unwrap_or_default();
            let frame = with(&responses::frame([&document]), [("id", id)]);
            let mut events = self.progress.begin(&frame, FinishReason::Stop);
            if let Some(help) = self.asked.help.clone().filter(|_| self.helped.insert(0)) {
                events += &self.progress.item(&help).0;
            }
            return events + &self.progress.told(&document);
        }
        let usage = document.get("usage").filter(|_| self.asked.include_usage);
        let mut events = String::new();
        let mut tell = |choices: Value, usage: Option<&Value>| {
            let mut chunk = with(&Value::Object(self.shared.clone()), [("choices", choices)]);
            if let Some(usage) = usage {
                chunk = with(&chunk, [("usage", usage.clone())]);
            }
            events.push_str(&sse::event(&chunk.to_string()));
        };
        for (index, choice) in choices(&document) {
            let (key, said, end) = match self.asked.surface {
                Surface::Completions => ("text", choice.get("text").cloned().unwrap_or_default(), json!("")),
                _ => ("delta", streamed(choice.get("message"), seen), json!({})),
            };
            let finish = choice.get("finish_reason").cloned().unwrap_or_default();
            tell(json!([{"index": index, key: said, "finish_reason": null}]), None);
            tell(json!([{"index": index, key: end, "finish_reason": finish}]), None);
        }
        if usage.is_some() {
            tell(json!([]), usage);
        }
        events
    }

    /// Whether another answer can stand behind what has left.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        self.progress.can_go_on()
    }

    /// Whether the end of a choice is the end of the stream.
    #[must_use]
    pub fn ends_at_once(&self) -> bool {
        self.asked.surface == Surface::Responses
    }

    /// The end of a stream that was left before its upstream had ended it: what was spent so far, as far as that is known
    /// or can be counted, where it was asked for.
    #[must_use]
    pub fn usage(&self) -> Option<String> {
        let counted = || json!({"prompt_tokens": 0, "completion_tokens": self.pieces, "total_tokens": self.pieces});
        let usage = self.usage.clone().unwrap_or_else(counted);
        let chunk = with(&Value::Object(self.shared.clone()), [("choices", json!([])), ("usage", usage)]);
        (self.asked.include_usage && !self.ends_at_once()).then(|| sse::event(&chunk.to_string()))
    }

    /// How far a choice was judged, as Azure tells it of answers that are released before that: offsets in characters.
    #[must_use]
    pub fn offsets(&self, index: u64, span: Range<usize>, is_filtered: bool) -> Option<String> {
        let Range { start, end } = span;
        let check = if is_filtered { start } else { end };
        let choice = json!({"index": index, "delta": {}, "finish_reason": null,
            "content_filter_results": {"ama": {"filtered": is_filtered}},
            "content_filter_offsets": {"check_offset": check, "start_offset": start, "end_offset": end}});
        let chunk = with(&Value::Object(self.shared.clone()), [("choices", json!([choice]))]);
        (self.asked.surface == Surface::Chat).then(|| sse::event(&chunk.to_string()))
    }

    /// The chunk that says what was `found`, where the surface has one and the upstream gave none.
    #[must_use]
    pub fn moderation(&self, found: &Value) -> Option<String> {
        let is_wanted = self.has_choices && !self.is_annotated;
        is_wanted.then(|| moderation::chunk(&self.shared, found))
    }

    /// The end of the stream, where it has not left.
    #[must_use]
    pub fn done(&self) -> Option<String> {
        (!self.is_done && !self.ends_at_once()).then(|| sse::event(sse::DONE))
    }
}
