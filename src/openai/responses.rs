//! `/v1/responses`: items in, items out.

use super::chunk::{Fragment, Said};
use super::refusal::{FinishReason, Refusal, with};
use super::request::{Invalid, Message, Role, View, string};
use super::text::{Place, Texts};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
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

/// All that is said in an answer, or in one event of a stream, in which the same text comes several times: as fragments
/// and whole.
pub(super) fn said(document: &Value) -> Said {
    let (mut said, mut texts) = (Said { choices: vec![0], ..Said::default() }, BTreeSet::new());
    let Some(fields) = document.as_object() else {
        said.opaque = collect("", document, &mut texts);
        said.wholes = texts.into_iter().map(|text| (0, text)).collect();
        return said;
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let of_stream = |key: &str| matches!(key, "sequence_number" | "item_id" | "obfuscation");
    let whole = fields.contains_key("output");
    let is_frame = |key: &str, value: &Value| if whole { is_frame(key, value) } else { of_stream(key) };
    for (key, value) in fields.iter().filter(|(key, value)| !is_frame(key, value)) {
        match (key.as_str(), value) {
            // Audio comes as data, and its words in events of their own.
            ("delta", Value::String(_)) if kind.ends_with("audio.delta") => said.opaque = true,
            ("delta", Value::String(part)) => {
                said.fragments.push(Fragment { line: (0, place(kind, fields)), text: part.clone() });
            }
            // Servers that send more than a string there go on in it all the same.
            ("delta", value) => {
                let mut found = Texts::of_fragments();
                found.collect(&json!({ "delta": value }));
                said.opaque |= found.opaque;
                let (fragments, labels) = found.into_fragments();
                let at = place(kind, fields);
                let fragments = fragments.into_iter();
                said.fragments
                    .extend(fragments.map(|(path, text)| Fragment { line: (0, format!("{at}{path}")), text }));
                texts.extend(labels);
            }
            ("response", Value::Object(response)) => {
                for (key, value) in response.iter().filter(|(key, value)| !self::is_frame(key, value)) {
                    said.opaque |= collect(key, value, &mut texts);
                }
            }
            (key, value) => said.opaque |= collect(key, value, &mut texts),
        }
    }
    said.wholes = texts.into_iter().map(|text| (0, text)).collect();
    let is_last = ["response.completed", "response.incomplete", "response.failed"].contains(&kind);
    said.ends.extend(is_last.then_some(0));
    let of_item = document.pointer("/item/type").and_then(Value::as_str).unwrap_or_default();
    said.of_call = [kind, of_item].iter().any(|kind| CALLS.iter().any(|call| kind.contains(call)));
    said
}

/// Calls that a client carries out.
const CALLS: [&str; 6] =
    ["function_call", "custom_tool_call", "computer_call", "shell_call", "apply_patch_call", "mcp_call"];

/// Which text the fragment of an event belongs to.
fn place(kind: &str, fields: &Map<String, Value>) -> Place {
    // Some servers give each event an item of its own.
    let item = if fields.contains_key("output_index") { "output_index" } else { "item_id" };
    let at = [item, "content_index", "summary_index"];
    let place = at.map(|key| fields.get(key).map(Value::to_string).unwrap_or_default());
    format!("{kind}{}", place.join("/"))
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
pub(super) fn frame<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut kept = Map::new();
    for document in documents {
        let fields = document.get("response").unwrap_or(document);
        let known = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), fields.get(*key)?.clone())));
        kept.extend(known.filter(|(_, value)| !value.is_null()));
    }
    Value::Object(kept)
}

/// A response that says `message` and nothing else, as a refusal where clients read text as JSON.
pub(super) fn refused(frame: &Value, refusal: &Refusal<'_>) -> Value {
    let Refusal { message, structured, finish } = *refusal;
    let part = part(said_as(structured), message);
    let item = with(&refusal_item(), [("status", json!(status(finish))), ("content", json!([part]))]);
    response(frame, &[item], finish)
}

/// A response with `output`, that ends as refused ones do.
pub(super) fn response(frame: &Value, output: &[Value], finish: FinishReason) -> Value {
    let details = match finish {
        FinishReason::ContentFilter => json!({"reason": "content_filter"}),
        FinishReason::Stop => Value::Null,
    };
    let none = json!({"input_tokens": 0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 0,
                      "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0});
    let response = json!({
        "id": format!("resp_{}", Uuid::now_v7().simple()), "object": "response", "status": status(finish),
        "error": null, "incomplete_details": details, "instructions": null, "metadata": {},
        "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "temperature": null, "top_p": null,
        "usage": none, "output": output,
    });
    let mut response = response.as_object().cloned().unwrap_or_default();
    response.extend(frame.as_object().cloned().unwrap_or_default());
    Value::Object(response)
}

/// How a refused response, and its last item, stand.
pub(super) const fn status(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::ContentFilter => "incomplete",
        FinishReason::Stop => "completed",
    }
}

/// The kind of part that words of ours are.
pub(super) const fn said_as(structured: bool) -> &'static str {
    if structured { "refusal" } else { "output_text" }
}

/// A part of a message.
pub(super) fn part(kind: &str, text: &str) -> Value {
    match kind {
        "refusal" => json!({"type": kind, "refusal": text}),
        _ => json!({"type": kind, "text": text, "annotations": []}),
    }
}

/// A message of ours that has not begun.
pub(super) fn refusal_item() -> Value {
    json!({"type": "message", "id": "msg_refusal", "role": "assistant", "status": "in_progress", "content": []})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::completion::Completion;
    use crate::openai::request::{Request, Surface};
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

    #[test]
    fn every_output_is_judged_and_what_the_request_said_is_not() {
        let body = json!({"id": "r", "object": "response", "status": "completed", "instructions": "be kind",
            "output": [
                {"type": "reasoning", "id": "i", "summary": [{"type": "summary_text", "text": "a b"}]},
                {"type": "message", "role": "assistant", "content": [
                    {"type": "output_text", "text": "c d", "annotations": []}, {"type": "refusal", "refusal": "e f"}]},
                {"type": "function_call", "name": "look_up", "arguments": "{\"q\": \"g h\"}"},
            ], "output_text": "c d"});
        let whole = Completion::parse(Surface::Responses, Bytes::from(body.to_string()), 64).unwrap();
        assert_eq!(whole.choices[&0], ["a b", "c d", "e f", "{\"q\": \"g h\"}"]);
        assert!(!whole.opaque);
    }
}
