//! The end of a streamed answer, or of one of its choices, in the shape of its surface wherever it is cut.

use super::chunk::Chunk;
use super::moderation;
use super::progress::Progress;
use super::refusal::{Choice, FinishReason, Refusal, Seen, with};
use super::request::{Asked, Surface};
use super::{responses, sse};
use serde_json::{Map, Value, json};
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
    pub fn choice(&self, index: u64, message: &str, seen: Seen) -> String {
        let (asked, finish) = (&*self.asked, self.finish);
        if self.asked.surface == Surface::Responses {
            let frame = Value::Object(self.response.clone());
            return self.progress.cut(&frame, &Refusal { message, structured: asked.structured, finish });
        }
        let choice = Choice { asked, index, message, finish };
        choice.streamed(&Value::Object(self.shared.clone()), seen).collect()
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
