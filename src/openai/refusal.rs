//! Answers of our own, in the shapes that SDKs take for whole answers.

use super::error::content_filter;
use super::progress::Progress;
use super::request::{Asked, Surface};
use super::responses;
use super::sse;
use bytes::Bytes;
use serde_json::{Value, json};

/// How a refused choice ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// As Azure ends what its filter refused.
    ContentFilter,
    /// As a model that declined by itself.
    Stop,
}

/// How a refused prompt is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// 200 with the refusal as the answer.
    SafeComplete,
    /// 400 with Azure's error body.
    Block,
}

impl FinishReason {
    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContentFilter => "content_filter",
            Self::Stop => "stop",
        }
    }
}

/// How refusals are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How a refused prompt is answered.
    pub style: Style,
    /// How a refused choice ends.
    pub finish: FinishReason,
}

/// Words of ours in place of the LLM's.
#[derive(Clone, Copy)]
pub struct Refusal<'a> {
    /// The words.
    pub message: &'a str,
    /// Whether clients read content as JSON, and words in `refusal`.
    pub structured: bool,
    /// How the answer ends.
    pub finish: FinishReason,
}

/// A body in the place of the LLM's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// The answer to a refused prompt: `message` in every choice that was asked for, streamed if that was asked for. Where
/// nobody waits for words, it is an error.
#[must_use]
pub fn answer(asked: &Asked, event_id: &str, message: &str, finish: FinishReason) -> Answer {
    let created = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    let body = match asked.surface {
        Surface::Embeddings => return blocked(message, None),
        Surface::Responses => {
            let frame = json!({"id": format!("resp_{event_id}"), "created_at": created, "model": asked.model});
            let refusal = Refusal { message, structured: asked.structured, finish };
            match asked.stream {
                true => Progress::default().cut(&frame, &refusal),
                false => responses::refused(&frame, &refusal).to_string(),
            }
        }
        Surface::Chat | Surface::Completions => {
            let id = if asked.surface == Surface::Chat { "chatcmpl" } else { "cmpl" };
            let frame = json!({"id": format!("{id}-{event_id}"), "created": created, "model": asked.model});
            choices(asked, &frame, message, finish)
        }
    };
    Answer { status: 200, content_type: if asked.stream { EVENT_STREAM } else { JSON }, body: Bytes::from(body) }
}

fn choices(asked: &Asked, frame: &Value, message: &str, finish: FinishReason) -> String {
    let usage = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    let frame = with(frame, [("object", Value::from(object(asked.surface, asked.stream)))]);
    let choices = (0..asked.choices).map(|index| Choice { asked, index, message, finish });
    if !asked.stream {
        let choices: Value = choices.map(Choice::whole).collect();
        return with(&frame, [("choices", choices), ("usage", usage)]).to_string();
    }
    let mut body: String = choices.flat_map(|choice| choice.streamed(&frame, Seen::Nothing)).collect();
    if asked.include_usage {
        let last = with(&frame, [("choices", json!([])), ("usage", usage)]);
        body.push_str(&sse::event(&last.to_string()));
    }
    body.push_str(&sse::event(sse::DONE));
    body
}

/// The error body for a refused prompt.
#[must_use]
pub fn blocked(message: &str, category: Option<&str>) -> Answer {
    let body = content_filter(message, category).to_string();
    Answer { status: 400, content_type: JSON, body: Bytes::from(body) }
}

/// What a surface with choices calls its answers.
pub(super) const fn object(surface: Surface, streamed: bool) -> &'static str {
    match (surface, streamed) {
        (Surface::Completions, _) => "text_completion",
        (_, false) => "chat.completion",
        (_, true) => "chat.completion.chunk",
    }
}

/// A refused choice, on a surface with choices.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) asked: &'a Asked,
    pub(super) index: u64,
    pub(super) message: &'a str,
    pub(super) finish: FinishReason,
}

/// What a client has seen of a choice that is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Nothing.
    #[default]
    Nothing,
    /// That it has begun.
    Role,
    /// Some of its text.
    Text,
}

impl Choice<'_> {
    /// The choice in a whole answer.
    pub(super) fn whole(self) -> Value {
        let frame = json!({"index": self.index, "logprobs": null, "finish_reason": self.finish.name()});
        let message = Value::from(self.message);
        if self.asked.surface == Surface::Completions {
            return with(&frame, [("text", message)]);
        }
        let said = json!({"role": "assistant", "content": null, "refusal": null});
        with(&frame, [("message", with(&said, [(self.field(), message)]))])
    }

    /// Where the message of a chat stands.
    const fn field(self) -> &'static str {
        if self.asked.structured { "refusal" } else { "content" }
    }

    /// The choice in a stream: words before all others.
    pub(super) fn said(self, frame: &Value) -> String {
        let said = match self.asked.surface {
            Surface::Completions => ("text", json!(self.message)),
            _ => ("delta", json!({"role": "assistant", "content": self.message})),
        };
        let choice = json!({"index": self.index, "logprobs": null, "finish_reason": null});
        sse::event(&with(frame, [("choices", json!([with(&choice, [said])]))]).to_string())
    }

    /// The choice in a stream: its text and its end, each an event; `frame` holds what all chunks share. Where text of it was
    /// seen, the message comes after that.
    pub(super) fn streamed(self, frame: &Value, seen: Seen) -> impl Iterator<Item = String> {
        let message = if seen == Seen::Text { format!("\n\n{}", self.message) } else { self.message.to_owned() };
        let said = match self.asked.surface {
            Surface::Completions => vec![("text", json!(message)), ("text", json!(""))],
            _ => {
                let begin = ("delta", json!({"role": "assistant", "content": ""}));
                let begin = (seen == Seen::Nothing).then_some(begin);
                begin.into_iter().chain([("delta", json!({(self.field()): message})), ("delta", json!({}))]).collect()
            }
        };
        let last = said.len() - 1;
        said.into_iter().enumerate().map(move |(place, said)| {
            let finish_reason = if place == last { Value::from(self.finish.name()) } else { Value::Null };
            let choice = json!({"index": self.index, "logprobs": null, "finish_reason": finish_reason});
            let chunk = with(frame, [("choices", json!([with(&choice, [said])]))]);
            sse::event(&chunk.to_string())
        })
    }
}

/// `frame` with more fields.
pub(super) fn with<const N: usize>(frame: &Value, fields: [(&str, Value); N]) -> Value {
    let mut chunk = frame.as_object().cloned().unwrap_or_default();
    chunk.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::request::Request;

    fn asked(extra: &Value) -> Asked {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Request::parse(Surface::Chat, Bytes::from(body.to_string()), 64).unwrap().asked().clone()
    }

    #[test]
    fn every_choice_that_was_asked_for_is_refused() {
        let answer = answer(&asked(&json!({"n": 3})), "e", "no", FinishReason::ContentFilter);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let choices = body["choices"].as_array().unwrap();
        assert_eq!(choices.len(), 3);
        for (index, choice) in choices.iter().enumerate() {
            assert_eq!(choice["index"], index);
            assert_eq!(choice["message"]["content"], "no");
            assert_eq!(choice["finish_reason"], "content_filter");
        }
        assert_eq!(body["usage"]["total_tokens"], 0);
    }

    #[test]
    fn where_an_object_is_asked_for_the_refusal_has_its_own_field() {
        let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {}}});
        let chat = |stream: bool| {
            let asked = asked(&json!({"response_format": format, "stream": stream}));
            answer(&asked, "e", "no", FinishReason::ContentFilter).body
        };
        let whole: Value = serde_json::from_slice(&chat(false)).unwrap();
        let message = json!({"role": "assistant", "content": null, "refusal": "no"});
        assert_eq!(whole["choices"][0]["message"], message);
        let events = sse::events(&chat(true)).unwrap();
        let said: Value = serde_json::from_str(&events[1]).unwrap();
        assert_eq!(said["choices"][0]["delta"], json!({"refusal": "no"}));

        let body = json!({"input": "x", "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}}});
        let request = Request::parse(Surface::Responses, Bytes::from(body.to_string()), 64).unwrap();
        let body = answer(request.asked(), "e", "no", FinishReason::ContentFilter).body;
        let response: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(response["output"][0]["content"], json!([{"type": "refusal", "refusal": "no"}]));
    }

    #[test]
    fn a_refused_stream_has_role_text_finish_usage_and_done() {
        let streamed = json!({"stream": true, "stream_options": {"include_usage": true}});
        let answer = answer(&asked(&streamed), "e", "no", FinishReason::Stop);
        let events = sse::events(&answer.body).unwrap();
        let parsed: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
        assert_eq!(parsed.len(), 4);
        assert_eq!(parsed[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(parsed[1]["choices"][0]["delta"]["content"], "no");
        assert_eq!(parsed[2]["choices"][0]["delta"], json!({}));
        assert_eq!(parsed[2]["choices"][0]["finish_reason"], "stop");
        assert_eq!(parsed[3]["choices"], json!([]));
        assert_eq!(events.last().unwrap(), sse::DONE);
    }
}
