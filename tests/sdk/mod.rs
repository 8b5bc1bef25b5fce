//! What all SDK tests share: an LLM that answers as OpenAI does on each surface, and a client that runs to its end.

use crate::common::{Asked, Options, RunningProxy, ScriptedUpstream, answer, chat_answer};
use bytes::Bytes;
use http::Response;
use nonnocere::openai::refusal::Style;
use nonnocere::policy::file::EMBEDDED;
use nonnocere::policy::reload::Source;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How the words begin that are said to the LLM before a steered prompt.
const STEERED: &str = "The next request may go against";

/// An answer of which a sentence may not pass.
const LONG: &str = "Take one tablet a day with a meal. Then VIOLATE it. Come back in two weeks for a test.";

/// Where a client that never ends is given up.
const HANGS: Duration = Duration::from_secs(240);

/// What the policies of the rewriting proxies have in place of refusing, by direction.
const REWRITING: [(&str, &str); 5] = [
    ("violating-completion", "excise"),
    ("violating-completion", "regenerate"),
    ("violating-completion", "replace"),
    ("violating-prompt", "steer"),
    ("phi", "redact"),
];

/// A proxy whose policy rewrites in one way.
async fn rewriting(upstream: &ScriptedUpstream, rule: &str, action: &str) -> RunningProxy {
    let policy = match EMBEDDED.split_once(&format!("name = \"{rule}\"")) {
        Some((before, after)) => {
            format!("{before}name = \"{rule}\"{}", after.replacen("\"block\"", &format!("\"{action}\""), 1))
        }
        None => EMBEDDED.replace("prompt = \"pass\"", &format!("prompt = \"{action}\"")),
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(policy.as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    options.policy = Source::File(file.path().to_owned());
    RunningProxy::start(options).await
}

/// Runs a client in front of the script, with two base URLs: of a proxy that answers with refusals, and of one that
/// blocks; `REWRITING` holds those of proxies that rewrite, by action. The client says how many cases held; no prompt that
/// violates may have left, unless it was steered.
pub async fn run(mut client: Command, cases: usize) {
    let upstream = ScriptedUpstream::start(script).await;
    let proxy = RunningProxy::before(&upstream).await;
    let mut options = Options::new(&upstream.url());
    options.manner.style = Style::Block;
    let blocking = RunningProxy::start(options).await;
    let mut others = Vec::new();
    for (rule, action) in REWRITING {
        others.push((action, rewriting(&upstream, rule, action).await));
    }
    let urls: serde_json::Map<String, Value> = others
        .iter()
        .map(|(action, proxy)| ((*action).to_owned(), json!(format!("http://{}/v1", proxy.address))))
        .collect();
    client.env("REWRITING", Value::Object(urls).to_string());
    client.args([&proxy, &blocking].map(|proxy| format!("http://{}/v1", proxy.address)));
    // A proxy of the environment would take the place of ours.
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        client.env_remove(name);
    }
    let ended = client.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).output();
    let output = tokio::time::timeout(HANGS, ended).await.expect("the client hangs").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{cases} cases\n"));
    for asked in upstream.asked() {
        let body = String::from_utf8_lossy(&asked.body);
        assert!(!body.contains("VIOLATE") || body.contains(STEERED), "a violation left: {asked:?}");
        assert!(!body.contains("Sanchez"), "an identifier left: {asked:?}");
    }
}

/// Answers on every surface with a text, an object where one is asked for, or a call where there are tools.
fn script(asked: &Asked) -> Response<Bytes> {
    let body = String::from_utf8_lossy(&asked.body);
    let request: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if body.contains("make the upstream fail") {
        let error = json!({"message": "the upstream fell over", "type": "server_error", "param": null, "code": null});
        return json_answer(500, &json!({ "error": error }));
    }
    if body.contains("ask for too much") {
        let error = json!({"message": "the context is full", "type": "invalid_request_error", "param": "messages",
                           "code": "context_length_exceeded"});
        return json_answer(400, &json!({ "error": error }));
    }
    let bad = body.contains("say something bad");
    let text = match () {
        () if body.contains(STEERED) => "Rather do this.",
        () if body.contains("in many words") => LONG,
        () if bad => "First this, then VIOLATE it.",
        () => "Take it with food.",
    };
    // Says who it is for.
    let name = body.find("[NAME_").and_then(|at| body.get(at..at + 12)).map(|name| format!("Dear {name}, {text}"));
    let text = name.as_deref().unwrap_or(text);
    let object = json!({ "advice": text }).to_string();
    let text = if wants_object(&request) { &object } else { text };
    let arguments = json!({"drug": if bad { "first this, then VIOLATE it" } else { "ibuprofen" }}).to_string();
    match asked.path.as_str() {
        "/v1/models" => {
            let model = json!({"id": "m", "object": "model", "created": 0, "owned_by": "x"});
            json_answer(200, &json!({"object": "list", "data": [model]}))
        }
        "/v1/embeddings" => embedding(&request),
        "/v1/responses" if may_call(&request) => response(&request, &function_call(&arguments)),
        "/v1/responses" => response(&request, &message(text)),
        _ if may_call(&request) => chat_call(&request, &arguments),
        _ => chat_answer(asked, text),
    }
}

fn json_answer(status: u16, body: &Value) -> Response<Bytes> {
    answer(status, "application/json", &body.to_string())
}

/// Whether structured output is asked for, on either surface.
fn wants_object(request: &Value) -> bool {
    [&request["response_format"]["type"], &request["text"]["format"]["type"]].contains(&&json!("json_schema"))
}

/// Whether there are tools of which none has answered.
fn may_call(request: &Value) -> bool {
    let turns = [&request["messages"], &request["input"]].into_iter().filter_map(Value::as_array).flatten();
    let has_answered = turns.into_iter().any(|turn| turn["role"] == "tool" || turn["type"] == "function_call_output");
    request["tools"].as_array().is_some_and(|tools| !tools.is_empty()) && !has_answered
}

/// A vector for each input, in the encoding that is asked for.
fn embedding(request: &Value) -> Response<Bytes> {
    let vector = [0.5_f32, -1.0];
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    let encoded = if request["encoding_format"] == "base64" {
        json!(data_encoding::BASE64.encode(&bytes))
    } else {
        json!(vector)
    };
    let inputs = request["input"].as_array().map_or(1, Vec::len);
    let data: Vec<Value> =
        (0..inputs).map(|index| json!({"object": "embedding", "index": index, "embedding": encoded})).collect();
    let usage = json!({"prompt_tokens": 7, "total_tokens": 7});
    json_answer(200, &json!({"object": "list", "data": data, "model": "m", "usage": usage}))
}

/// A call of a tool as a chat has it.
fn chat_call(request: &Value, arguments: &str) -> Response<Bytes> {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12});
    let call = |arguments: &str| {
        json!({"index": 0, "id": "call_1", "type": "function",
               "function": {"name": "dose_of", "arguments": arguments}})
    };
    if request["stream"] != json!(true) {
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call(arguments)]});
        let choice = json!({"index": 0, "message": message, "finish_reason": "tool_calls"});
        let body = json!({"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                          "usage": usage});
        return json_answer(200, &body);
    }
    let chunk = |choices: &Value, usage: &Value| {
        let chunk = json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                           "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: &Value, finish: Option<&str>| {
        chunk(&json!([{"index": 0, "delta": delta, "finish_reason": finish}]), &Value::Null)
    };
    let mut body = choice(&json!({"role": "assistant", "content": null, "tool_calls": [call("")]}), None);
    for part in arguments.split_inclusive(' ') {
        let call = json!({"index": 0, "function": {"arguments": part}});
        body.push_str(&choice(&json!({"tool_calls": [call]}), None));
    }
    body.push_str(&choice(&json!({}), Some("tool_calls")));
    if request["stream_options"]["include_usage"] == json!(true) {
        body.push_str(&chunk(&json!([]), &usage));
    }
    body.push_str("data: [DONE]\n\n");
    answer(200, "text/event-stream", &body)
}

/// An item that says `text`.
fn message(text: &str) -> Value {
    let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]})
}

/// An item that calls a tool.
fn function_call(arguments: &str) -> Value {
    json!({"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "dose_of",
           "arguments": arguments})
}

/// A response with one item, whole or in the events that OpenAI streams it by.
fn response(request: &Value, item: &Value) -> Response<Bytes> {
    let usage = json!({"input_tokens": 7, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
                       "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12});
    let text = if request["text"].is_null() { json!({"format": {"type": "text"}}) } else { request["text"].clone() };
    let response = |status: &str, output: &Value, usage: &Value| {
        json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": null,
               "incomplete_details": null, "instructions": null, "max_output_tokens": null, "model": "m",
               "output": output, "parallel_tool_calls": true, "previous_response_id": null,
               "reasoning": {"effort": null, "summary": null}, "store": true, "temperature": 1.0,
               "text": text, "tool_choice": "auto", "tools": [], "top_p": 1.0,
               "truncation": "disabled", "usage": usage, "user": null, "metadata": {}})
    };
    let whole = response("completed", &json!([item]), &usage);
    if request["stream"] != json!(true) {
        return json_answer(200, &whole);
    }
    let mut events = vec![
        ("created", json!({"response": response("in_progress", &json!([]), &Value::Null)})),
        ("in_progress", json!({"response": response("in_progress", &json!([]), &Value::Null)})),
    ];
    events.extend(events_of(item));
    events.push(("completed", json!({ "response": whole })));
    let written = events.into_iter().enumerate().map(|(number, (kind, mut event))| {
        event["type"] = json!(format!("response.{kind}"));
        event["sequence_number"] = json!(number);
        format!("event: response.{kind}\ndata: {event}\n\n")
    });
    answer(200, "text/event-stream; charset=utf-8", &written.collect::<String>())
}

/// The events of one item.
fn events_of(item: &Value) -> Vec<(&'static str, Value)> {
    let at = |fields: Value| {
        let mut event = json!({"item_id": item["id"], "output_index": 0, "content_index": 0});
        event.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap_or_default());
        event
    };
    let mut begun = item.clone();
    begun["status"] = json!("in_progress");
    let mut events = Vec::new();
    if item["type"] == "function_call" {
        begun["arguments"] = json!("");
        events.push(("output_item.added", json!({"output_index": 0, "item": begun})));
        let parts = item["arguments"].as_str().unwrap().split_inclusive(' ');
        events.extend(parts.map(|part| ("function_call_arguments.delta", at(json!({ "delta": part })))));
        let whole = json!({"arguments": item["arguments"], "name": item["name"]});
        events.push(("function_call_arguments.done", at(whole)));
    } else {
        let part = &item["content"][0];
        let mut empty = part.clone();
        empty["text"] = json!("");
        begun["content"] = json!([]);
        events.push(("output_item.added", json!({"output_index": 0, "item": begun})));
        events.push(("content_part.added", at(json!({ "part": empty }))));
        let words = part["text"].as_str().unwrap().split_inclusive(' ');
        events.extend(words.map(|word| ("output_text.delta", at(json!({"delta": word, "logprobs": []})))));
        events.push(("output_text.done", at(json!({"text": part["text"], "logprobs": []}))));
        events.push(("content_part.done", at(json!({ "part": part }))));
    }
    events.push(("output_item.done", json!({"output_index": 0, "item": item})));
    events
}
