//! Answers of our own, in the shapes that SDKs take for whole answers.

use super::chat::Asked;
use super::error::content_filter;
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

/// The answer to a refused prompt: `message` in every choice that was asked for, streamed if that was asked for.
#[must_use]
pub fn answer(asked: &Asked, event_id: &str, message: &str, finish: FinishReason) -> Answer {
    let created = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    let id = format!("chatcmpl-{event_id}");
    let usage = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    if !asked.stream {
        let choices: Vec<Value> = (0..asked.n).map(|index| choice(index, message, finish)).collect();
        let body = json!({
            "id": id, "object": "chat.completion", "created": created, "model": asked.model,
            "choices": choices, "usage": usage,
        });
        return Answer { status: 200, content_type: JSON, body: Bytes::from(body.to_string()) };
    }
    let frame = json!({"id": id, "object": "chat.completion.chunk", "created": created, "model": asked.model});
    let mut body: String = (0..asked.n).flat_map(|index| chunks(&frame, index, message, finish)).collect();
    if asked.include_usage {
        let last = with(&frame, [("choices", json!([])), ("usage", usage)]);
        body.push_str(&sse::event(&last.to_string()));
    }
    body.push_str(&sse::event(sse::DONE));
    Answer { status: 200, content_type: EVENT_STREAM, body: Bytes::from(body) }
}

/// The error body for a refused prompt.
#[must_use]
pub fn blocked(message: &str, category: Option<&str>) -> Answer {
    let body = content_filter(message, category).to_string();
    Answer { status: 400, content_type: JSON, body: Bytes::from(body) }
}

/// A refused choice of a whole answer.
#[must_use]
pub fn choice(index: u64, message: &str, finish: FinishReason) -> Value {
    json!({
        "index": index,
        "message": {"role": "assistant", "content": message, "refusal": null},
        "logprobs": null,
        "finish_reason": finish.name(),
    })
}

/// A refused choice of a stream: role, text and finish, each an event; `frame` holds what all chunks share.
pub fn chunks(frame: &Value, index: u64, message: &str, finish: FinishReason) -> impl Iterator<Item = String> {
    let deltas = [
        (json!({"role": "assistant", "content": ""}), Value::Null),
        (json!({"content": message}), Value::Null),
        (json!({}), Value::from(finish.name())),
    ];
    deltas.into_iter().map(move |(delta, finish_reason)| {
        let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        let chunk = with(frame, [("choices", json!([choice]))]);
        sse::event(&chunk.to_string())
    })
}

fn with<const N: usize>(frame: &Value, fields: [(&str, Value); N]) -> Value {
    let mut chunk = frame.as_object().cloned().unwrap_or_default();
    chunk.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::chat::Request;

    fn asked(extra: &Value) -> Asked {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Request::parse(Bytes::from(body.to_string()), 64).unwrap().asked()
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
