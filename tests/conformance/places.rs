//! Where a text can stand, in what a client says to the LLM and in what the LLM answers.

use serde_json::{Value, json};

/// What stands in the other places.
pub const BESIDE: &str = "nothing to see";

/// A place for a canary: the column of the matrix, and a body with a text in that place.
pub type Place = (&'static str, &'static str, fn(&str) -> Value);

pub const CHAT: &str = "/v1/chat/completions";
pub const COMPLETIONS: &str = "/v1/completions";
pub const RESPONSES: &str = "/v1/responses";
pub const EMBEDDINGS: &str = "/v1/embeddings";

fn turns(messages: &Value) -> Value {
    json!({"model": "m", "messages": messages})
}

fn with_last(message: &Value) -> Value {
    turns(&json!([{"role": "user", "content": BESIDE}, message]))
}

fn chat_with(key: &str, value: &Value) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": BESIDE}], key: value})
}

fn items(items: &Value) -> Value {
    json!({"model": "m", "input": items})
}

fn responses_with(key: &str, value: &Value) -> Value {
    json!({"model": "m", "input": BESIDE, key: value})
}

/// Base64 of a text, as files have it.
fn encoded(text: &str) -> String {
    data_encoding::BASE64.encode(text.as_bytes())
}

/// A text of an answer: its field, and what has a text in that place, whole or as a fragment of a stream.
pub type Said = (&'static str, fn(&str) -> Value);

/// What a request can say to the LLM on each surface.
pub const CHAT_REQUESTS: &[Place] = &[
    ("content, string", "system", |t| {
        turns(&json!([{"role": "system", "content": t}, {"role": "user", "content": BESIDE}]))
    }),
    ("content, string", "developer", |t| {
        turns(&json!([{"role": "developer", "content": t}, {"role": "user", "content": BESIDE}]))
    }),
    ("content, string", "user", |t| turns(&json!([{"role": "user", "content": t}]))),
    ("content, string", "user, earlier", |t| {
        turns(
            &json!([{"role": "user", "content": t}, {"role": "assistant", "content": "Sure."}, {"role": "user", "content": BESIDE}]),
        )
    }),
    ("content, string", "user, earlier, unanswered", |t| {
        turns(&json!([{"role": "user", "content": format!("{t} first")}, {"role": "user", "content": BESIDE}]))
    }),
    ("content, string", "assistant", |t| {
        turns(
            &json!([{"role": "user", "content": BESIDE}, {"role": "assistant", "content": t}, {"role": "user", "content": "and"}]),
        )
    }),
    ("content, string", "assistant, last", |t| with_last(&json!({"role": "assistant", "content": t}))),
    ("content, string", "tool", |t| with_last(&json!({"role": "tool", "tool_call_id": "1", "content": t}))),
    ("content, string", "function", |t| with_last(&json!({"role": "function", "name": "f", "content": t}))),
    ("content, string", "unknown", |t| with_last(&json!({"role": "oracle", "content": t}))),
    ("content, parts", "system", |t| {
        turns(
            &json!([{"role": "system", "content": [{"type": "text", "text": t}]}, {"role": "user", "content": BESIDE}]),
        )
    }),
    ("content, parts", "user", |t| {
        with_last(&json!({"role": "user", "content": [{"type": "text", "text": BESIDE}, {"type": "text", "text": t}]}))
    }),
    ("content, parts", "assistant", |t| {
        with_last(&json!({"role": "assistant", "content": [{"type": "text", "text": t}]}))
    }),
    ("content, parts", "tool", |t| with_last(&json!({"role": "tool", "content": [{"type": "text", "text": t}]}))),
    ("content, split over parts", "user", |t| {
        let (one, two) = t.split_at(t.len() - 4);
        with_last(
            &json!({"role": "user", "content": [{"type": "text", "text": one}, {"type": "text", "text": format!("{two} {t}")}]}),
        )
    }),
    ("file_data", "user", |t| {
        with_last(
            &json!({"role": "user", "content": [{"type": "file", "file": {"filename": "a.txt", "file_data": format!("data:text/plain;base64,{}", encoded(t))}}]}),
        )
    }),
    ("file_data, percent-encoded", "user", |t| {
        with_last(
            &json!({"role": "user", "content": [{"type": "file", "file": {"file_data": format!("data:text/csv,{}", t.replace(' ', "%20"))}}]}),
        )
    }),
    ("filename", "user", |t| {
        with_last(
            &json!({"role": "user", "content": [{"type": "file", "file": {"filename": format!("{t}.txt"), "file_data": "data:,a"}}]}),
        )
    }),
    ("name", "user", |t| with_last(&json!({"role": "user", "name": t, "content": "x"}))),
    ("refusal", "assistant", |t| with_last(&json!({"role": "assistant", "content": null, "refusal": t}))),
    ("tool_calls, arguments", "assistant", |t| {
        with_last(
            &json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": json!({"q": t}).to_string()}}]}),
        )
    }),
    ("function_call, arguments", "assistant", |t| {
        with_last(
            &json!({"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": json!({"q": t}).to_string()}}),
        )
    }),
    ("reasoning_content", "assistant", |t| {
        with_last(&json!({"role": "assistant", "content": "x", "reasoning_content": t}))
    }),
    ("an unknown field", "user", |t| with_last(&json!({"role": "user", "content": "x", "aside": {"deep": [t]}}))),
    ("tools, description", "", |t| {
        chat_with("tools", &json!([{"type": "function", "function": {"name": "f", "description": t}}]))
    }),
    ("tools, parameters", "", |t| {
        chat_with(
            "tools",
            &json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"id": {"type": "string", "description": t}}}}}]),
        )
    }),
    ("functions, description", "", |t| chat_with("functions", &json!([{"name": "f", "description": t}]))),
    ("response_format, schema", "", |t| {
        chat_with(
            "response_format",
            &json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"properties": {"a": {"enum": ["x", t]}}}}}),
        )
    }),
    ("tools, name of a parameter", "", |t| {
        chat_with(
            "tools",
            &json!([{"type": "function", "function": {"name": "f", "parameters": {"properties": {t: {}}}}}]),
        )
    }),
    ("tools, one word without a space", "", |t| {
        let word = t.replace(' ', "\u{2800}");
        chat_with("tools", &json!([{"type": "function", "function": {"name": "f", "description": word}}]))
    }),
    ("tools, words of an enumeration", "", |t| {
        let words: Vec<&str> = t.split(' ').chain(["now", "then"]).collect();
        chat_with(
            "tools",
            &json!([{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"enum": words}}}}}]),
        )
    }),
    ("reasoning_effort", "", |t| chat_with("reasoning_effort", &json!(t))),
    ("prediction", "", |t| chat_with("prediction", &json!({"type": "content", "content": t}))),
    ("web_search_options", "", |t| {
        chat_with("web_search_options", &json!({"user_location": {"approximate": {"city": t}}}))
    }),
    ("an unknown option", "", |t| chat_with("guided_grammar", &json!(t))),
];

pub const COMPLETIONS_REQUESTS: &[Place] = &[
    ("prompt, string", "", |t| json!({"model": "m", "prompt": t})),
    ("prompt, list, first", "", |t| json!({"model": "m", "prompt": [t, BESIDE]})),
    ("prompt, list, last", "", |t| json!({"model": "m", "prompt": [BESIDE, t]})),
    ("prompt, with echo", "", |t| json!({"model": "m", "prompt": t, "echo": true})),
    ("suffix", "", |t| json!({"model": "m", "prompt": BESIDE, "suffix": t})),
    ("an unknown option", "", |t| json!({"model": "m", "prompt": BESIDE, "guided_grammar": t})),
];

pub const RESPONSES_REQUESTS: &[Place] = &[
    ("input, string", "user", |t| items(&json!(t))),
    ("instructions", "system", |t| responses_with("instructions", &json!(t))),
    ("input, message, string", "user", |t| items(&json!([{"role": "user", "content": t}]))),
    ("input, message, string", "system", |t| {
        items(&json!([{"role": "system", "content": t}, {"role": "user", "content": BESIDE}]))
    }),
    ("input, message, string", "developer", |t| {
        items(&json!([{"type": "message", "role": "developer", "content": t}]))
    }),
    ("input, message, parts", "user", |t| {
        items(&json!([{"role": "user", "content": [{"type": "input_text", "text": t}]}]))
    }),
    ("input, message, parts", "assistant", |t| {
        items(
            &json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": "output_text", "text": t}]}, {"role": "user", "content": "and"}]),
        )
    }),
    ("input, file_data", "user", |t| {
        items(
            &json!([{"role": "user", "content": [{"type": "input_file", "filename": "a.md", "file_data": encoded(t)}]}]),
        )
    }),
    ("input, function_call, arguments", "assistant", |t| {
        items(
            &json!([{"type": "function_call", "call_id": "1", "name": "f", "arguments": json!({"q": t}).to_string()}]),
        )
    }),
    ("input, function_call_output", "tool", |t| {
        items(&json!([{"type": "function_call_output", "call_id": "1", "output": t}]))
    }),
    ("input, function_call_output, parts", "tool", |t| {
        items(&json!([{"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": t}]}]))
    }),
    ("input, custom_tool_call_output", "tool", |t| {
        items(&json!([{"type": "custom_tool_call_output", "call_id": "1", "output": t}]))
    }),
    ("input, reasoning, summary", "assistant", |t| {
        items(&json!([{"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": t}]}]))
    }),
    ("input, reasoning, content", "assistant", |t| {
        items(
            &json!([{"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": t}]}]),
        )
    }),
    ("input, mcp_call, output", "assistant", |t| {
        items(
            &json!([{"type": "mcp_call", "id": "1", "name": "f", "server_label": "s", "arguments": "{}", "output": t}]),
        )
    }),
    ("input, an unknown item", "unknown", |t| items(&json!([{"type": "hologram", "words": t}]))),
    ("tools, description", "", |t| {
        responses_with("tools", &json!([{"type": "function", "name": "f", "description": t}]))
    }),
    ("tools, parameters", "", |t| {
        responses_with(
            "tools",
            &json!([{"type": "function", "name": "f", "parameters": {"properties": {"a": {"description": t}}}}]),
        )
    }),
    ("text, schema", "", |t| {
        responses_with("text", &json!({"format": {"type": "json_schema", "name": "s", "schema": {"description": t}}}))
    }),
    ("prompt, variables", "", |t| responses_with("prompt", &json!({"id": "p", "variables": {"who": t}}))),
    ("with previous_response_id", "user", |t| json!({"model": "m", "input": t, "previous_response_id": "resp_1"})),
    ("an unknown option", "", |t| responses_with("guided_grammar", &json!(t))),
];

pub const EMBEDDINGS_REQUESTS: &[Place] = &[
    ("input, string", "", |t| json!({"model": "m", "input": t})),
    ("input, list, first", "", |t| json!({"model": "m", "input": [t, BESIDE]})),
    ("input, list, last", "", |t| json!({"model": "m", "input": [BESIDE, t]})),
];

/// What a choice of a chat can say, in its `message` or `delta`.
pub const CHAT_ANSWERS: &[Said] = &[
    ("content", |t| json!({"content": t})),
    ("content, parts", |t| json!({"content": [{"type": "text", "text": t}]})),
    ("refusal", |t| json!({"refusal": t})),
    ("reasoning_content", |t| json!({"reasoning_content": t})),
    ("reasoning", |t| json!({"reasoning": t})),
    ("tool_calls, arguments", |t| json!({"tool_calls": [{"index": 0, "function": {"arguments": t}}]})),
    ("tool_calls, second call", |t| json!({"tool_calls": [{"index": 1, "function": {"arguments": t}}]})),
    ("tool_calls, custom", |t| json!({"tool_calls": [{"index": 0, "custom": {"input": t}}]})),
    ("function_call, arguments", |t| json!({"function_call": {"arguments": t}})),
    ("annotations", |t| json!({"annotations": [{"type": "url_citation", "url_citation": {"title": t}}]})),
    ("an unknown field", |t| json!({"aside": {"deep": t}})),
];

/// What a response can say.
pub const RESPONSES_ITEMS: &[Said] = &[
    (
        "message, output_text",
        |t| json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": t}]}),
    ),
    (
        "message, refusal",
        |t| json!({"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": t}]}),
    ),
    (
        "message, annotations",
        |t| json!({"type": "message", "content": [{"type": "output_text", "text": "x", "annotations": [{"type": "url_citation", "title": t}]}]}),
    ),
    ("reasoning, summary", |t| json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": t}]})),
    (
        "reasoning, content",
        |t| json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": t}]}),
    ),
    (
        "function_call, arguments",
        |t| json!({"type": "function_call", "name": "f", "arguments": json!({"q": t}).to_string()}),
    ),
    ("custom_tool_call, input", |t| json!({"type": "custom_tool_call", "name": "f", "input": t})),
    ("code_interpreter_call, code", |t| json!({"type": "code_interpreter_call", "code": t, "outputs": []})),
    (
        "code_interpreter_call, outputs",
        |t| json!({"type": "code_interpreter_call", "code": "", "outputs": [{"type": "logs", "logs": t}]}),
    ),
    ("mcp_call, output", |t| json!({"type": "mcp_call", "name": "f", "arguments": "{}", "output": t})),
    ("an unknown item", |t| json!({"type": "hologram", "words": t})),
];

/// Events of a stream that say a text.
pub const RESPONSES_EVENTS: &[Said] = &[
    ("response.output_text.delta", |t| json!({"item_id": "i", "output_index": 0, "content_index": 0, "delta": t})),
    ("response.output_text.done", |t| json!({"item_id": "i", "text": t})),
    ("response.refusal.delta", |t| json!({"item_id": "i", "delta": t})),
    ("response.reasoning_text.delta", |t| json!({"item_id": "i", "delta": t})),
    ("response.reasoning_summary_text.delta", |t| json!({"item_id": "i", "summary_index": 0, "delta": t})),
    ("response.reasoning_summary_part.done", |t| json!({"part": {"type": "summary_text", "text": t}})),
    ("response.function_call_arguments.delta", |t| json!({"item_id": "i", "delta": t})),
    ("response.function_call_arguments.done", |t| json!({"item_id": "i", "arguments": t})),
    ("response.custom_tool_call_input.delta", |t| json!({"item_id": "i", "delta": t})),
    ("response.code_interpreter_call_code.delta", |t| json!({"item_id": "i", "delta": t})),
    ("response.mcp_call_arguments.delta", |t| json!({"item_id": "i", "delta": t})),
    ("response.audio.transcript.delta", |t| json!({"delta": t})),
    ("response.content_part.done", |t| json!({"part": {"type": "output_text", "text": t}})),
    (
        "response.output_item.done",
        |t| json!({"item": {"type": "message", "content": [{"type": "output_text", "text": t}]}}),
    ),
    (
        "response.completed",
        |t| json!({"response": {"id": "r", "output": [{"type": "message", "content": [{"type": "output_text", "text": t}]}]}}),
    ),
    ("response.unknown", |t| json!({"aside": t})),
];
