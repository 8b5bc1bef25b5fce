//! A prompt is judged before anything is sent: what passes leaves byte for byte, what is refused never leaves.

mod common;

use common::{Options, RunningProxy, ScriptedUpstream, ask};
use nonnocere::openai::refusal::{FinishReason, Manner, Style};
use serde_json::{Value, json};

#[tokio::test]
async fn an_allowed_exchange_passes_byte_for_byte_both_ways() {
    let upstream = ScriptedUpstream::saying("Take it with food.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let request = "{ \"model\":\"m\",\n\"messages\":[ {\"role\":\"user\",\"content\":\"caf\\u00e9 \u{1f489}\"} ],\
                   \"temperature\":1.00e0, \"vendor_field\":[1,2.50] }\n";
    let got = proxy.post("/v1/chat/completions", request).await;
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body, request);
    assert_eq!(asked[0].path, "/v1/chat/completions");
    assert_eq!(got.status, 200);
    assert_eq!(got.body, common::chat_answer(&asked[0], "Take it with food.").into_body());
    assert_eq!(got.header("x-request-id"), "up-1");
    assert_eq!(got.header("content-type"), "application/json");
}

#[tokio::test]
async fn every_answer_says_what_was_decided_and_by_what() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let allowed = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!(allowed.header("x-nonnocere-decision"), "allow");
    assert_eq!(allowed.header("x-nonnocere-categories"), "");
    let refused = proxy.chat(&ask("VIOLATE", &json!({}))).await;
    assert_eq!(refused.header("x-nonnocere-decision"), "block");
    assert_eq!(refused.header("x-nonnocere-categories"), "II, II.2");
    for got in [&allowed, &refused] {
        assert!(got.header("x-nonnocere-policy").starts_with("ama@"));
        assert_eq!(got.header("x-nonnocere-model"), "scripted");
        assert_eq!(got.header("x-nonnocere-scan"), "full");
        assert_eq!(got.header("x-nonnocere-event-id").len(), 32);
        assert!(got.header("x-nonnocere-latency").starts_with("prompt;dur="));
    }
    assert_ne!(allowed.header("x-nonnocere-event-id"), refused.header("x-nonnocere-event-id"));
}

#[tokio::test]
async fn a_refused_prompt_never_reaches_the_upstream() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("please VIOLATE", &json!({"n": 2}))).await;
    assert!(upstream.asked().is_empty());
    assert_eq!(got.status, 200);
    let body = got.json();
    assert_eq!(body["choices"].as_array().unwrap().len(), 2);
    for choice in body["choices"].as_array().unwrap() {
        assert_eq!(choice["finish_reason"], "content_filter");
        assert!(choice["message"]["content"].as_str().unwrap().contains("medical ethics"));
    }
    assert_eq!(body["usage"]["total_tokens"], 0);
    assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"));
}

#[tokio::test]
async fn a_refused_stream_is_a_whole_stream() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("VIOLATE", &json!({"stream": true, "stream_options": {"include_usage": true}}))).await;
    assert!(upstream.asked().is_empty());
    assert_eq!(got.header("content-type"), "text/event-stream");
    let text = String::from_utf8(got.body.to_vec()).unwrap();
    let events: Vec<&str> = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["total_tokens"], 0);
}

#[tokio::test]
async fn the_block_style_answers_with_the_error_that_azure_gives() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let mut options = Options::new(&upstream.url());
    options.manner = Manner { style: Style::Block, finish: FinishReason::ContentFilter };
    let proxy = RunningProxy::start(options).await;
    for stream in [false, true] {
        let got = proxy.chat(&ask("VIOLATE", &json!({"stream": stream}))).await;
        assert_eq!(got.status, 400);
        assert_eq!(got.error_code(), "content_filter");
        assert_eq!(got.header("x-should-retry"), "false");
        let error = &got.json()["error"];
        assert_eq!(error["param"], "prompt");
        assert_eq!(error["innererror"]["code"], "ResponsibleAIPolicyViolation");
        assert_eq!(error["innererror"]["content_filter_result"]["II"]["filtered"], true);
    }
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn someone_in_a_crisis_gets_help_and_never_a_bare_refusal() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let mut options = Options::new(&upstream.url());
    options.manner.style = Style::Block;
    let proxy = RunningProxy::start(options).await;
    let got = proxy.chat(&ask("CRISIS and VIOLATE", &json!({}))).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("x-nonnocere-decision"), "escalate");
    let choice = &got.json()["choices"][0];
    assert!(choice["message"]["content"].as_str().unwrap().contains("988"));
    assert_eq!(choice["finish_reason"], "stop");
}

#[tokio::test]
async fn texts_are_judged_wherever_they_stand() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let user = json!({"role": "user", "content": "hello"});
    let call = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
        "function": {"name": "f", "arguments": "{}"}}]});
    for messages in [
        json!([{"role": "system", "content": "VIOLATE"}, user]),
        json!([{"role": "developer", "content": "VIOLATE"}, user]),
        json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "VIOLATE"}]}]),
        json!([{"role": "user", "content": "hello", "unheard_of": {"deep": "VIOLATE"}}]),
        json!([{"role": "stranger", "content": "VIOLATE"}]),
        json!([user, call, {"role": "tool", "tool_call_id": "1", "content": "VIOLATE"}]),
        json!([user, {"role": "assistant", "content": "Sure, VIOLATE"}]),
    ] {
        let got = proxy.chat(&json!({"model": "m", "messages": messages})).await;
        assert_eq!(got.header("x-nonnocere-decision"), "block", "{messages}");
    }
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "will VIOLATE things"}}]);
    let got = proxy.chat(&ask("hello", &json!({ "tools": tools }))).await;
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn an_old_refused_turn_does_not_poison_a_later_one() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let chat = |answer: &str, last: &str| json!({"model": "m", "messages": [turn("user", "VIOLATE"), turn("assistant", answer), turn("user", last)]});
    let fine = proxy.chat(&chat("REFUSAL: I can't.", "what else may I do?")).await;
    assert_eq!(fine.header("x-nonnocere-decision"), "allow");
    let pressed = proxy.chat(&chat("REFUSAL: I can't.", "go on")).await;
    assert_eq!(pressed.header("x-nonnocere-decision"), "block", "the last turn is judged in its context");
    let made_up = proxy.chat(&chat("Sure.", "thanks")).await;
    assert_eq!(made_up.header("x-nonnocere-decision"), "block", "a history that nobody declined counts");
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn an_image_is_refused_by_the_default_policy_and_reported() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let got = proxy.chat(&json!({"model": "m", "messages": [{"role": "user", "content": [image]}]})).await;
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    assert_eq!(got.header("x-nonnocere-scan"), "partial");
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn someone_in_a_crisis_gets_help_with_an_image_too() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}});
    let content = json!([{"type": "text", "text": "CRISIS"}, image]);
    let got = proxy.chat(&json!({"messages": [{"role": "user", "content": content}]})).await;
    assert_eq!((got.header("x-nonnocere-decision"), got.header("x-nonnocere-scan")), ("escalate", "partial"));
    assert!(got.json()["choices"][0]["message"]["content"].as_str().unwrap().contains("988"));
}

#[tokio::test]
async fn nobody_in_a_document_asks_for_help_now() {
    let upstream = ScriptedUpstream::start(|_| common::answer(200, "application/json", "{\"data\": []}")).await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.post("/v1/embeddings", json!({"input": ["In a CRISIS call an ambulance."]}).to_string()).await;
    assert_eq!((got.status.as_u16(), got.header("x-nonnocere-decision")), (200, "allow"));
}

#[tokio::test]
async fn what_the_llm_reads_elsewhere_is_reported() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for more in [
        json!({"tools": [{"type": "mcp", "server_url": "https://x/mcp"}]}),
        json!({"tools": [{"type": "file_search"}]}),
    ] {
        assert_eq!(proxy.chat(&ask("hello", &more)).await.header("x-nonnocere-scan"), "partial", "{more}");
    }
    let embedded = json!({"prompt": "x", "prompt_embeds": "AAAA"}).to_string();
    assert_eq!(proxy.post("/v1/completions", embedded).await.header("x-nonnocere-decision"), "block");
}

#[tokio::test]
async fn no_request_can_ask_for_answers_without_end() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let many = json!({"prompt": vec!["VIOLATE"; 3000], "n": 128}).to_string();
    assert_eq!(proxy.post("/v1/completions", many).await.error_code(), "invalid_value");
}

#[tokio::test]
async fn a_trick_that_asks_for_nothing_is_flagged_and_passes() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("TRICK", &json!({}))).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("x-nonnocere-decision"), "flag");
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn nothing_in_a_request_turns_the_guard_off() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let body = ask("VIOLATE", &json!({"guardrails": false, "moderation": null, "metadata": {"nonnocere": "off"}}));
    let request = http::Request::post(format!("http://{}/v1/chat/completions", proxy.address))
        .header("x-nonnocere-decision", "allow")
        .header("x-nonnocere-policy", "none")
        .body(http_body_util::Full::new(bytes::Bytes::from(body.to_string())))
        .unwrap();
    let got = proxy.send(request).await;
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    assert!(upstream.asked().is_empty());
}
