//! `/v1/responses`: items in, items out.

use super::refusal::{FinishReason, with};
use super::request::{Invalid, Message, Role, View, string};
use super::sse;
use super::text::{Place, Texts};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The items as turns.
pub(super) fn view(body: &Map<String, Value>) -> Result<View, Invalid> {
    const EXPECTED: Invalid = Invalid::Field { param: "input", message: "expected a string or a list of items" };
    let mut view = View { n: 1, read: &["input", "instructions"], ..View::default() };
    if let Some(instructions) = string(body, "instructions")? {
        view.messages.push(Message::plain(Role::System, instructions));
    }
    match body.get("input") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => view.messages.push(Message::plain(Role::User, text)),
        Some(Value::Array(items)) => {
            for item in items {
                let fields = item.as_object().ok_or(EXPECTED)?;
                view.unseen |= fields.get("type").is_some_and(|kind| kind == "item_reference");
                view.messages.push(Message::of(speaker(fields), item, &mut view.opaque));
            }
        }
        Some(_) => return Err(EXPECTED),
    }
    let kept = ["previous_response_id", "conversation", "prompt"];
    view.unseen |= kept.iter().any(|key| body.get(*key).is_some_and(|value| !value.is_null()));
    Ok(view)
}

/// Whose words an item holds; those of unknown items are the user's, which are judged most closely.
fn speaker(item: &Map<String, Value>) -> Role {
    let field = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    match field("type") {
        "" | "message" => Role::from_name(field("role")),
        "reasoning" | "compaction" => Role::Assistant,
        kind if kind.ends_with("_call") => Role::Assistant,
        kind if kind.ends_with("_output") => Role::Tool,
        _ => Role::User,
    }
}

/// Fields of a response that the LLM does not write: who and when, and what the request asked for.
const FRAME: [&str; 29] = [
    "id",
    "object",
    "created_at",
    "completed_at",
    "model",
    "status",
    "usage",
    "background",
    "billing",
    "conversation",
    "frequency_penalty",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
];

/// What of a frame goes into a refused response; the rest repeats the request. Its id does not: by it the answer could be
/// fetched, or gone on from.
const KEPT: [&str; 4] = ["created_at", "model", "usage", "previous_response_id"];

/// Whether a field repeats the request. Options for the text are an object; a string there is the LLM's.
fn is_frame(key: &str, value: &Value) -> bool {
    FRAME.contains(&key) && (key != "text" || value.is_object())
}

/// All that is said in an answer: one document, or the events of a stream. The same text comes several times in a
/// stream, as fragments and whole; it is judged once.
pub(super) fn spoken(documents: &[Value]) -> (BTreeSet<String>, bool) {
    let mut fragments: BTreeMap<Place, String> = BTreeMap::new();
    let (mut texts, mut opaque) = (BTreeSet::new(), false);
    for document in documents {
        let Some(fields) = document.as_object() else {
            opaque |= collect("", document, &mut texts);
            continue;
        };
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
        let of_stream = |key: &str| matches!(key, "sequence_number" | "item_id" | "obfuscation");
        let whole = fields.contains_key("output");
        let is_frame = |key: &str, value: &Value| if whole { is_frame(key, value) } else { of_stream(key) };
        for (key, value) in fields.iter().filter(|(key, value)| !is_frame(key, value)) {
            match (key.as_str(), value) {
                // Audio comes as data, and its words in events of their own.
                ("delta", Value::String(_)) if kind.ends_with("audio.delta") => opaque = true,
                ("delta", Value::String(part)) => {
                    // Some servers give each event an item of its own.
                    let item = if fields.contains_key("output_index") { "output_index" } else { "item_id" };
                    let at = [item, "content_index", "summary_index"];
                    let place = at.map(|key| fields.get(key).map(Value::to_string).unwrap_or_default());
                    fragments.entry(format!("{kind}{}", place.join("/"))).or_default().push_str(part);
                }
                ("response", Value::Object(response)) => {
                    for (key, value) in response.iter().filter(|(key, value)| !self::is_frame(key, value)) {
                        opaque |= collect(key, value, &mut texts);
                    }
                }
                (key, value) => opaque |= collect(key, value, &mut texts),
            }
        }
    }
    texts.extend(fragments.into_values().filter(|text| !text.trim().is_empty()));
    (texts, opaque)
}

/// Adds the texts of a field; says whether some of it cannot be judged.
fn collect(key: &str, value: &Value, texts: &mut BTreeSet<String>) -> bool {
    let items = match value {
        Value::Array(items) if key == "output" => items.clone(),
        _ => vec![json!({ key: value })],
    };
    let mut opaque = false;
    for item in &items {
        let mut found = Texts::default();
        found.collect(item);
        opaque |= found.opaque || item.get("type").is_some_and(|kind| kind == "image_generation_call");
        texts.extend(found.into_spoken());
    }
    opaque
}

/// What can be kept of an answer that is refused.
pub(super) fn frame(documents: &[Value]) -> Value {
    let mut kept = Map::new();
    for document in documents {
        let fields = document.get("response").unwrap_or(document);
        let known = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), fields.get(*key)?.clone())));
        kept.extend(known.filter(|(_, value)| !value.is_null()));
    }
    Value::Object(kept)
}

/// A response that says `message` and nothing else, as a refusal where clients read text as JSON.
pub(super) fn refused(frame: &Value, message: &str, structured: bool, finish: FinishReason) -> Value {
    let (status, details) = match finish {
        FinishReason::ContentFilter => ("incomplete", json!({"reason": "content_filter"})),
        FinishReason::Stop => ("completed", Value::Null),
    };
    let none = json!({"input_tokens": 0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 0,
                      "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0});
    let part = match structured {
        true => json!({"type": "refusal", "refusal": message}),
        false => json!({"type": "output_text", "text": message, "annotations": []}),
    };
    let item = json!({"type": "message", "id": "msg_refusal", "role": "assistant", "status": status,
                      "content": [part]});
    let response = json!({
        "id": format!("resp_{}", Uuid::now_v7().simple()), "object": "response", "status": status, "error": null, "incomplete_details": details, "instructions": null,
        "metadata": {}, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "temperature": null,
        "top_p": null, "usage": none, "output": [item],
    });
    let mut response = response.as_object().cloned().unwrap_or_default();
    response.extend(frame.as_object().cloned().unwrap_or_default());
    Value::Object(response)
}

/// The events by which a response that [`refused`] made is streamed.
pub(super) fn stream_of(response: &Value) -> String {
    let begun = with(
        response,
        [
            ("status", json!("in_progress")),
            ("output", json!([])),
            ("usage", Value::Null),
            ("incomplete_details", Value::Null),
        ],
    );
    let item = response.pointer("/output/0").cloned().unwrap_or_default();
    let part = item.pointer("/content/0").cloned().unwrap_or_default();
    let at = json!({"item_id": "msg_refusal", "output_index": 0, "content_index": 0});
    let is_text = part.get("text").is_some();
    let (delta, done, field) = match is_text {
        true => ("output_text.delta", "output_text.done", "text"),
        false => ("refusal.delta", "refusal.done", "refusal"),
    };
    let words = part.get(field).cloned().unwrap_or_default();
    let said = |field| {
        let event = with(&at, [(field, words.clone())]);
        if is_text { with(&event, [("logprobs", json!([]))]) } else { event }
    };
    let last =
        if response.get("status").is_some_and(|status| status == "completed") { "completed" } else { "incomplete" };
    let empty_item = with(&item, [("status", json!("in_progress")), ("content", json!([]))]);
    let events = [
        ("created", json!({ "response": begun })),
        ("in_progress", json!({ "response": begun })),
        ("output_item.added", json!({"output_index": 0, "item": empty_item})),
        ("content_part.added", with(&at, [("part", with(&part, [(field, json!(""))]))])),
        (delta, said("delta")),
        (done, said(field)),
        ("content_part.done", with(&at, [("part", part)])),
        ("output_item.done", json!({"output_index": 0, "item": item})),
        (last, json!({ "response": response })),
    ];
    let numbered = events.into_iter().enumerate().map(|(number, (kind, fields))| {
        let kind = format!("response.{kind}");
        let data = with(&fields, [("type", json!(kind)), ("sequence_number", json!(number))]);
        format!("event: {kind}\n{}", sse::event(&data.to_string()))
    });
    numbered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::completion::Completion;
    use crate::openai::request::{Asked, Request, Surface};
    use bytes::Bytes;

    fn read(body: &Value) -> Result<Request, Invalid> {
        Request::parse(Surface::Responses, Bytes::from(body.to_string()), 64)
    }

    #[test]
    fn items_are_turns() {
        let request = read(&json!({
            "instructions": "be kind",
            "tools": [{"type": "function", "name": "look_up", "description": "looks things up"}],
            "input": [
                {"role": "user", "content": "a"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "b"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "function_call", "call_id": "1", "name": "look_up", "arguments": "{\"q\": \"c d\"}"},
                {"type": "function_call_output", "call_id": "1", "output": "found"},
                {"type": "hologram", "words": "e f"},
            ],
        }))
        .unwrap();
        let turns: Vec<_> = request.messages.iter().map(|turn| (turn.role, turn.text.as_str())).collect();
        assert_eq!(
            turns,
            [
                (Role::System, "be kind"),
                (Role::User, "a"),
                (Role::User, "b"),
                (Role::Assistant, "hm"),
                (Role::Assistant, "{\"q\": \"c d\"}"),
                (Role::Tool, "found"),
                (Role::User, ""),
            ]
        );
        assert_eq!(request.messages[6].asides, ["e f"]);
        assert_eq!(request.definitions, ["looks things up"]);
        assert!(!request.opaque && !request.unseen);
    }

    #[test]
    fn what_the_upstream_keeps_is_unseen() {
        let with = |key: &str, value: Value| read(&json!({"input": "x", key: value})).unwrap().unseen;
        assert!(with("previous_response_id", json!("r")) && with("conversation", json!({"id": "c"})));
        assert!(with("prompt", json!({"id": "p", "variables": {"who": "a b"}})));
        assert!(!with("previous_response_id", Value::Null));
        assert!(read(&json!({"input": [{"type": "item_reference", "id": "i"}]})).unwrap().unseen);
    }

    #[test]
    fn input_of_the_wrong_kind_is_named() {
        for input in [json!(3), json!(["x"])] {
            let fault = read(&json!({"input": input})).map(|_| ()).unwrap_err();
            assert!(matches!(fault, Invalid::Field { param: "input", .. }));
        }
    }

    fn answer(documents: &[Value]) -> Completion {
        let events: String = documents.iter().map(|event| sse::event(&event.to_string())).collect();
        Completion::parse(Surface::Responses, Bytes::from(events), true, 64).unwrap()
    }

    #[test]
    fn every_output_is_judged_and_what_the_request_said_is_not() {
        let body = json!({"id": "r", "object": "response", "status": "completed", "instructions": "be kind",
            "output": [
                {"type": "reasoning", "id": "i", "summary": [{"type": "summary_text", "text": "a b"}]},
                {"type": "message", "role": "assistant", "content": [
                    {"type": "output_text", "text": "c d", "annotations": []}, {"type": "refusal", "refusal": "e f"}]},
                {"type": "function_call", "name": "look_up", "arguments": "{\"q\": \"g h\"}"},
            ], "output_text": "c d"});
        let whole = Completion::parse(Surface::Responses, Bytes::from(body.to_string()), false, 64).unwrap();
        assert_eq!(whole.choices[&0], ["a b", "c d", "e f", "{\"q\": \"g h\"}"]);
        assert!(!whole.opaque);
    }

    #[test]
    fn fragments_are_joined_and_a_text_is_judged_once() {
        // Some servers give each event an item id of its own.
        let delta = |item: &str, part: &str| {
            json!({"type": "response.output_text.delta", "item_id": format!("{item}{part}"), "sequence_number": 1,
                   "output_index": u8::from(item == "two"), "content_index": 0, "delta": part, "obfuscation": "xyz"})
        };
        let item = json!({"type": "message", "content": [{"type": "output_text", "text": "good day"}]});
        let streamed = answer(&[
            json!({"type": "response.created", "response": {"id": "r", "instructions": "be kind", "output": []}}),
            delta("one", "good "),
            delta("two", "oth"),
            delta("one", "day"),
            delta("two", "er"),
            json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            json!({"type": "response.completed", "response": {"id": "r", "output": [item]}}),
        ]);
        assert_eq!(streamed.choices[&0], ["good day", "other"]);
    }

    #[test]
    fn a_refused_response_keeps_its_frame_and_nothing_that_was_said() {
        let usage = json!({"input_tokens": 5, "output_tokens": 7, "total_tokens": 12});
        let streamed = answer(&[
            json!({"type": "response.created", "response": {"id": "r", "model": "m", "usage": null, "output": []}}),
            json!({"type": "response.output_text.delta", "item_id": "i", "delta": "bad words"}),
            json!({"type": "response.completed", "response": {"id": "r", "usage": usage, "output": [
                {"type": "message", "content": [{"type": "output_text", "text": "bad words"}]}]}}),
        ]);
        let left = streamed.without(
            &Asked::nothing(Surface::Responses),
            &BTreeMap::from([(0, "no")]),
            FinishReason::ContentFilter,
        );
        let left: Vec<Value> = sse::events(&left).unwrap().iter().map(|e| serde_json::from_str(e).unwrap()).collect();
        assert!(!format!("{left:?}").contains("bad words"));
        let (last, others) = left.split_last().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["incomplete_details"]["reason"], "content_filter");
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], "no");
        assert_eq!(last["response"]["usage"], usage);
        assert_ne!(last["response"]["id"], "r", "the refused answer could be fetched by its id");
        assert!(others.iter().any(|event| event["type"] == "response.output_text.delta" && event["delta"] == "no"));
        assert!(left.iter().enumerate().all(|(place, event)| event["sequence_number"] == place));
    }
}
