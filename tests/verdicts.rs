//! The verdict alone, by each contract in which it is asked for; and what the operator's route rules do.

mod common;

use common::{Failing, Options, RunningProxy, ScriptedUpstream, answer, ask};
use http::{Method, Request};
use http_body_util::Full;
use nonnocere::guard::stream::Mode;
use nonnocere::openai::request::Surface;
use nonnocere::route::{Action, Flow, Rule};
use serde_json::{Value, json};
use std::sync::Arc;

const LITELLM: &str = "/beta/litellm_basic_guardrail_api";

async fn proxy() -> (ScriptedUpstream, RunningProxy) {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    (upstream, proxy)
}

#[tokio::test]
async fn a_moderation_has_the_stock_categories_and_ours() {
    let (upstream, proxy) = proxy().await;
    let got = proxy.post("/v1/moderations", json!({"input": ["hello", "VIOLATE", "CRISIS"]}).to_string()).await;
    assert_eq!(got.status, 200);
    let body = got.json();
    assert!(body["id"].as_str().unwrap().starts_with("modr-") && body["model"] == "scripted");
    let results = body["results"].as_array().unwrap();
    let flagged: Vec<&Value> = results.iter().map(|result| &result["flagged"]).collect();
    assert_eq!(flagged, [&json!(false), &json!(true), &json!(true)]);
    for result in results {
        for stock in
            ["harassment", "hate/threatening", "illicit/violent", "self-harm/intent", "sexual/minors", "violence"]
        {
            assert!(result["categories"][stock].is_boolean() && result["category_scores"][stock].is_number());
            assert_eq!(result["category_applied_input_types"][stock], json!(["text"]));
        }
    }
    assert_eq!(results[1]["categories"]["ama/II"], true);
    assert_eq!(results[1]["categories"]["illicit"], true);
    assert_eq!(results[1]["categories"]["ama/I"], false);
    assert_eq!(results[2]["categories"]["crisis"], true);
    assert!(upstream.asked().is_empty());
    assert_eq!(got.header("x-nonnocere-decision"), "escalate");
}

#[tokio::test]
async fn a_moderation_reads_parts_and_says_what_it_could_not_read() {
    let (_upstream, proxy) = proxy().await;
    let parts =
        json!([{"type": "text", "text": "VIOLATE"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]);
    let got = proxy.post("/v1/moderations", json!({ "input": parts }).to_string()).await;
    assert_eq!(got.json()["results"][0]["flagged"], true);
    assert_eq!(got.header("x-nonnocere-scan"), "partial");
    for bad in [json!({}), json!({"input": []}), json!({"input": [3]}), json!({"input": 3})] {
        let got = proxy.post("/v1/moderations", bad.to_string()).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (400, "invalid_value"), "{bad}");
    }
}

#[tokio::test]
async fn litellm_is_told_what_to_block_and_what_to_say() {
    let (_upstream, proxy) = proxy().await;
    let action = async |body: Value| proxy.post(LITELLM, body.to_string()).await.json();
    let messages = |text: &str| json!([{"role": "user", "content": text}]);
    let blocked = [
        json!({"input_type": "request", "texts": ["VIOLATE"]}),
        json!({"input_type": "request", "texts": ["x", "VIOLATE"], "structured_messages": messages("x")}),
        json!({"input_type": "request", "texts": [], "structured_messages": messages("VIOLATE")}),
        json!({"input_type": "request", "texts": ["x"], "tools": [{"function": {"description": "please VIOLATE"}}],
               "structured_messages": messages("x")}),
        json!({"input_type": "request", "texts": [], "tool_calls": [{"function": {"arguments": "please VIOLATE"}}]}),
        json!({"input_type": "request", "texts": ["x"], "images": ["AAAA"]}),
        json!({"input_type": "request", "texts": ["CRISIS"]}),
        json!({"input_type": "response", "texts": ["x", "VIOLATE"]}),
        json!({"input_type": "response", "texts": ["VIOLATE"], "structured_messages": messages("x")}),
        json!({"input_type": "response", "texts": [], "tool_calls": [{"function": {"arguments": "VIOLATE"}}]}),
        json!({"input_type": "response", "texts": ["x"], "images": ["AAAA"]}),
    ];
    for body in blocked {
        let got = action(body.clone()).await;
        assert_eq!(got["action"], "BLOCKED", "{body}");
        assert!(got["blocked_reason"].as_str().is_some_and(|reason| !reason.contains("VIOLATE")), "{body}");
    }
    for body in [
        json!({"input_type": "request", "texts": ["x"], "structured_messages": messages("x"), "litellm_call_id": "1"}),
        json!({"input_type": "response", "texts": ["x"], "request_data": {"user_api_key_user_id": "a b"}}),
        json!({"input_type": "request", "texts": []}),
    ] {
        assert_eq!(action(body.clone()).await, json!({"action": "NONE"}), "{body}");
    }
    let bad = proxy.post(LITELLM, json!({"texts": ["x"]}).to_string()).await;
    assert_eq!((bad.status.as_u16(), bad.error_code().as_str()), (400, "invalid_value"));
}

#[tokio::test]
async fn a_detector_gives_spans_and_says_which_side_it_judged() {
    let (_upstream, proxy) = proxy().await;
    let ask = async |path: &str, id: &str, body: Value| {
        let request = Request::post(format!("http://{}{path}", proxy.address)).header("detector-id", id);
        proxy.send(request.body(Full::new(body.to_string().into())).unwrap()).await
    };
    let found =
        ask("/api/v1/text/contents", "nonnocere", json!({"contents": ["x", "VIOLATE é", "TRICK", "CRISIS"]})).await;
    let span = |end: u64, text: &str, kind: &str, name: &str| json!([{"start": 0, "end": end, "text": text, "detection_type": kind, "detection": name, "score": 1.0}]);
    assert_eq!(
        found.json(),
        json!([
            [],
            span(9, "VIOLATE é", "ama-principles", "II.2"),
            span(5, "TRICK", "manipulation", "trick"),
            span(6, "CRISIS", "crisis", "needs-help-now")
        ])
    );
    let completion =
        ask("/api/v1/text/contents", "nonnocere-completion", json!({"contents": ["CRISIS", "VIOLATE"]})).await;
    assert_eq!(completion.json()[0], json!([]));
    assert_eq!(completion.json()[1][0]["detection"], "II.2");
    let body = json!({"prompt": "x", "generated_text": "VIOLATE"});
    let generation = ask("/api/v1/text/generation", "nonnocere", body).await;
    assert_eq!(generation.json()[0]["detection_type"], "ama-principles");
    let history = json!([{"author": "user", "content": "VIOLATE"}, {"role": "assistant", "content": "REFUSAL"},
                         {"role": "user", "content": "thanks"}]);
    assert_eq!(ask("/api/v1/text/context/chat", "nonnocere", json!({"chat_history": history})).await.json(), json!([]));
    for (path, id, body) in [
        ("/api/v1/text/contents", "other", json!({"contents": ["x"]})),
        ("/api/v1/text/contents", "nonnocere", json!({"contents": "x"})),
        ("/api/v1/text/generation", "nonnocere", json!({"prompt": "x"})),
        ("/api/v1/text/context/chat", "nonnocere", json!({})),
    ] {
        assert_eq!(ask(path, id, body).await.error_code(), "invalid_value", "{path}");
    }
}

#[tokio::test]
async fn no_verdict_is_given_while_nothing_can_judge() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(Options { classifier: Arc::new(Failing), ..Options::new(&upstream.url()) }).await;
    for (path, body) in [
        ("/v1/moderations", json!({"input": "x"})),
        (LITELLM, json!({"input_type": "request", "texts": ["x"]})),
        (LITELLM, json!({"input_type": "response", "texts": ["x"]})),
    ] {
        let got = proxy.post(path, body.to_string()).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (503, "guardrail_unavailable"), "{path}");
    }
}

#[tokio::test]
async fn an_answer_says_what_was_found_when_it_is_asked_to() {
    let upstream = ScriptedUpstream::start(|asked| {
        let bad = String::from_utf8_lossy(&asked.body).contains("say it");
        common::chat_answer(asked, if bad { "VIOLATE" } else { "Fine." })
    })
    .await;
    let proxy = RunningProxy::before(&upstream).await;
    for stream in [false, true] {
        let found = async |text: &str| {
            let got = proxy.chat(&ask(text, &json!({"stream": stream, "moderation": {"model": "x"}}))).await;
            let body = String::from_utf8(got.body.to_vec()).unwrap();
            let chunks: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: {")).collect();
            let last = if stream { format!("{{{}", chunks.last().unwrap()) } else { body };
            let document: Value = serde_json::from_str(&last).unwrap();
            assert!(!last.contains("score"), "{last}");
            document["moderation"].clone()
        };
        let fine = found("hello").await;
        assert_eq!((&fine["input"]["flagged"], &fine["output"]["flagged"]), (&json!(false), &json!(false)));
        let refused = found("VIOLATE").await;
        assert_eq!((&refused["input"]["flagged"], &refused["output"]), (&json!(true), &Value::Null));
        assert_eq!(refused["input"]["categories"]["ama/II"], true);
        let cut = found("say it").await;
        assert_eq!((&cut["input"]["flagged"], &cut["output"]["flagged"]), (&json!(false), &json!(true)));
    }
}

#[tokio::test]
async fn an_answer_that_was_kept_is_judged_when_it_is_fetched() {
    let said = |text: &str| json!({"id": "r", "object": "response", "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]});
    let upstream = ScriptedUpstream::start(move |asked| {
        let text = if asked.path.ends_with("bad") { "VIOLATE" } else { "all is well" };
        answer(200, "application/json", &said(text).to_string())
    })
    .await;
    let proxy = RunningProxy::before(&upstream).await;
    assert_eq!(proxy.get("/v1/responses/good?include=x").await.json(), said("all is well"));
    assert_eq!(upstream.asked()[0].path, "/v1/responses/good?include=x");
    let got = proxy.get("/v1/responses/bad").await;
    assert_eq!(got.json()["incomplete_details"]["reason"], "content_filter");
    assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"));
}

#[tokio::test]
async fn route_rules_guard_pass_and_deny() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let rule = |path: &str, action| Rule { path: path.to_owned(), action, upstream: None };
    let routes = vec![
        rule(
            "/clinic/chat",
            Action::Guard(Surface::Chat, Flow { mode: Mode::Window, speculative: false, audience: None, part2: false }),
        ),
        rule("/v1/files*", Action::Pass),
        rule("/v1/embeddings", Action::Deny),
    ];
    let proxy = RunningProxy::start(Options { routes, ..Options::new(&upstream.url()) }).await;
    let guarded = proxy.post("/clinic/chat", ask("VIOLATE", &json!({})).to_string()).await;
    assert_eq!(guarded.header("x-nonnocere-decision"), "block");
    let denied = proxy.post("/v1/embeddings", json!({"input": "x"}).to_string()).await;
    assert_eq!(denied.error_code(), "unguarded_endpoint");
    assert!(upstream.asked().is_empty());
    let request = Request::put(format!("http://{}/v1/files/a?b=c", proxy.address));
    let passed = proxy.send(request.body(Full::new("VIOLATE".into())).unwrap()).await;
    assert_eq!((passed.status.as_u16(), passed.header("x-nonnocere-scan")), (200, "none"));
    let asked = &upstream.asked()[0];
    assert_eq!((&asked.method, asked.path.as_str()), (&Method::PUT, "/v1/files/a?b=c"));
    assert_eq!(asked.body, "VIOLATE");
}
