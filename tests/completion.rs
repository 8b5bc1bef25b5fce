//! A completion is judged before anything of it is released, whole and streamed.

mod common;

use common::{Options, RunningProxy, ScriptedUpstream, answer, ask, chat_answer};
use nonnocere::policy::reload::Source;
use serde_json::{Value, json};
use std::io::Write;

#[tokio::test]
async fn an_allowed_stream_passes_byte_for_byte() {
    let upstream = ScriptedUpstream::saying("Take it with food.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    assert_eq!(got.body, chat_answer(&upstream.asked()[0], "Take it with food.").into_body());
    assert_eq!(got.header("content-type"), "text/event-stream; charset=utf-8");
    assert!(got.header("x-nonnocere-latency").contains("prompt;dur="));
    let whole = proxy.chat(&ask("hello", &json!({}))).await;
    assert!(whole.header("x-nonnocere-latency").contains("completion;dur="));
}

#[tokio::test]
async fn a_refused_completion_is_replaced_and_its_usage_kept() {
    let upstream = ScriptedUpstream::saying("here is how to VIOLATE it").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    let body = got.json();
    assert!(!got.body.windows(7).any(|window| window == b"VIOLATE"));
    assert_eq!(body["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(body["usage"]["total_tokens"], 12);
}

#[tokio::test]
async fn nothing_of_a_refused_stream_is_released() {
    let upstream = ScriptedUpstream::saying("good words first, then VIOLATE and more").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("hello", &json!({"stream": true, "stream_options": {"include_usage": true}}))).await;
    let text = String::from_utf8(got.body.to_vec()).unwrap();
    for word in ["VIOLATE", "good words", "more"] {
        assert!(!text.contains(word), "{text}");
    }
    assert!(text.ends_with("data: [DONE]\n\n"));
    assert!(text.contains("\"finish_reason\":\"content_filter\""));
    assert!(text.contains("\"total_tokens\":12"));
}

#[tokio::test]
async fn every_choice_is_judged_and_only_the_refused_one_replaced() {
    let choices = |second: &str| {
        json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "good"}, "finish_reason": "stop"},
            {"index": 1, "message": {"role": "assistant", "content": second}, "finish_reason": "stop"},
        ]})
        .to_string()
    };
    let upstream = ScriptedUpstream::start(move |_| answer(200, "application/json", &choices("VIOLATE"))).await;
    let proxy = RunningProxy::before(&upstream).await;
    let body = proxy.chat(&ask("hello", &json!({"n": 2}))).await.json();
    assert_eq!(body["choices"][0]["message"]["content"], "good");
    assert_eq!(body["choices"][1]["finish_reason"], "content_filter");
    assert!(!body.to_string().contains("VIOLATE"));
}

#[tokio::test]
async fn texts_are_judged_wherever_they_stand_in_an_answer() {
    let message = |field: Value| {
        let mut message = json!({"role": "assistant", "content": "good"});
        message.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        json!({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    };
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": \"VIOLATE\"}"}});
    for body in [
        message(json!({"reasoning_content": "VIOLATE"})),
        message(json!({"reasoning": "VIOLATE"})),
        message(json!({"refusal": "VIOLATE"})),
        message(json!({"tool_calls": [call]})),
        message(json!({"function_call": {"name": "f", "arguments": "VIOLATE"}})),
        message(json!({"content": [{"type": "text", "text": "VIOLATE"}]})),
        message(json!({"unheard_of": ["VIOLATE"]})),
        json!({"id": "c", "choices": [], "note": "VIOLATE"}),
        json!({"error": {"message": "VIOLATE"}}),
        json!(["VIOLATE"]),
    ] {
        let text = body.to_string();
        let upstream = ScriptedUpstream::start(move |_| answer(200, "application/json", &text)).await;
        let proxy = RunningProxy::before(&upstream).await;
        let got = proxy.chat(&ask("hello", &json!({}))).await;
        assert_eq!(got.header("x-nonnocere-decision"), "block", "{body}");
        assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"), "{body}");
    }
}

#[tokio::test]
async fn json_in_answer_to_a_stream_request_is_judged_too() {
    let upstream = ScriptedUpstream::start(|_| {
        answer(200, "application/json", &json!({"choices": [{"message": {"content": "VIOLATE"}}]}).to_string())
    })
    .await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"));
}

#[tokio::test]
async fn an_error_in_mid_stream_passes_with_what_came_before_it() {
    let cut = |text: &str| {
        let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]});
        let error =
            json!({"error": {"message": "the server fell over", "type": "server_error", "param": null, "code": null}});
        format!("data: {chunk}\n\ndata: {error}\n\n")
    };
    let upstream = ScriptedUpstream::start(move |asked| {
        let bad = String::from_utf8_lossy(&asked.body).contains("say it");
        common::answer(200, "text/event-stream", &cut(if bad { "VIOLATE" } else { "Take it" }))
    })
    .await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    assert_eq!(got.body, cut("Take it"));
    let got = proxy.chat(&ask("say it", &json!({"stream": true}))).await;
    assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"));
    assert!(String::from_utf8_lossy(&got.body).ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_withheld() {
    for (content_type, body) in [
        ("application/json", "VIOLATE"),
        ("text/html", "<p>VIOLATE"),
        ("text/event-stream", "data: {\"choices\": VIOLATE\n\n"),
    ] {
        let upstream = ScriptedUpstream::start(move |_| answer(200, content_type, body)).await;
        let proxy = RunningProxy::before(&upstream).await;
        let got = proxy.chat(&ask("hello", &json!({}))).await;
        assert_eq!(got.status, 502, "{body}");
        assert_eq!(got.error_code(), "upstream_invalid_response");
        assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"));
    }
}

#[tokio::test]
async fn audio_is_withheld_unless_the_policy_lets_it_pass() {
    let body =
        json!({"choices": [{"index": 0, "message": {"audio": {"data": "AAAA", "transcript": "good"}}}]}).to_string();
    let upstream = ScriptedUpstream::start(move |_| answer(200, "application/json", &body)).await;
    let strict = RunningProxy::before(&upstream).await;
    let got = strict.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.header("x-nonnocere-decision"), got.header("x-nonnocere-scan")), ("block", "partial"));
    assert!(!String::from_utf8_lossy(&got.body).contains("AAAA"));

    let mut file = tempfile::NamedTempFile::new().unwrap();
    let lenient = nonnocere::policy::file::EMBEDDED.replace("unjudgeable = \"block\"", "unjudgeable = \"allow\"");
    file.write_all(lenient.as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    options.policy = Source::File(file.path().to_owned());
    let got = RunningProxy::start(options).await.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.header("x-nonnocere-decision"), got.header("x-nonnocere-scan")), ("allow", "partial"));
    assert!(String::from_utf8_lossy(&got.body).contains("AAAA"));
}

#[tokio::test]
async fn errors_of_the_upstream_keep_their_status_and_body() {
    for status in [400, 401, 404, 429, 500, 503] {
        let body = "{\"error\": {\"message\":\"upstream says no\", \"type\":\"x\",\"param\":null,\"code\":null}}";
        let upstream = ScriptedUpstream::start(move |_| answer(status, "application/json", body)).await;
        let proxy = RunningProxy::before(&upstream).await;
        let got = proxy.chat(&ask("hello", &json!({}))).await;
        assert_eq!(got.status.as_u16(), status);
        assert_eq!(got.body, body);
        assert_eq!(got.header("x-request-id"), "up-1");
    }
}

#[tokio::test]
async fn words_of_the_llm_in_an_error_or_beside_vectors_are_judged() {
    let upstream = ScriptedUpstream::start(|asked| {
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let said = if body.contains("say it") { "this is VIOLATE" } else { "this is well" };
        let error = json!({"error": {"message": "tool use failed", "failed_generation": said}});
        match asked.path.as_str() {
            "/v1/embeddings" => {
                answer(200, "application/json", &json!({"data": [{"embedding": "AAAA"}], "note": said}).to_string())
            }
            _ => answer(400, "application/json", &error.to_string()),
        }
    })
    .await;
    let proxy = RunningProxy::before(&upstream).await;
    let fine = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!((fine.status.as_u16(), &fine.json()["error"]["failed_generation"]), (400, &json!("this is well")));
    let bad = proxy.chat(&ask("say it", &json!({}))).await;
    assert_eq!((bad.status.as_u16(), bad.error_code().as_str()), (502, "upstream_invalid_response"));
    assert!(!String::from_utf8_lossy(&bad.body).contains("VIOLATE"));
    let embed = async |text: &str| proxy.post("/v1/embeddings", json!({"input": text}).to_string()).await;
    assert_eq!(embed("hello").await.json()["note"], "this is well");
    assert!(!String::from_utf8_lossy(&embed("say it").await.body).contains("VIOLATE"));
}
