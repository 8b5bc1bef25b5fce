//! What a caller does turns no judge off, and neither does a judge that fails cost everyone its deadline.

mod common;
#[path = "common/judging.rs"]
mod judging;

use common::{ScriptedUpstream, ask};
use http::Request;
use http_body_util::Full;
use judging::{counted, decision, judge, policy, proxy, said, saying, told, verdict};
use nonnocere::guard::judge::Settings;
use nonnocere::openai::request::{Request as Asking, Surface};
use nonnocere::openai::sse;
use nonnocere::policy::opinion::Opinion;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;

/// What says more behind its characters than a judge is shown.
fn encoded() -> String {
    data_encoding::BASE64.encode("long ".repeat(4000).as_bytes())
}

/// What the proxy would put on record of the opinion on a chat.
async fn recorded(proxy: &common::RunningProxy, body: &Value) -> Option<&'static str> {
    let request = Asking::parse(Surface::Chat, body.to_string().into(), 64).unwrap();
    let policy = proxy.proxy.policy.snapshot();
    let found = proxy.proxy.guard.inspect_request(&policy, request).await.unwrap_or_else(|_| panic!());
    found.verdict.opinion.map(Opinion::id)
}

fn turn(role: &str, text: &str) -> Value {
    json!({"role": role, "content": text})
}

#[tokio::test]
async fn what_a_caller_keeps_from_the_judge_counts_as_a_violation() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let judge_server = saying("harmless").await;
    let proxy = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
    for text in [format!("I DOUBT it: {}", encoded()), format!("I DOUBT it. {}", "long ".repeat(7000))] {
        let body = ask(&text, &json!({}));
        assert_eq!(decision(&proxy.chat(&body).await), "block", "{text}");
        assert_eq!(recorded(&proxy, &body).await, Some("unsent"));
    }
    assert!(judge_server.asked().is_empty() && counted(&proxy, "unsent").await > 1.5);
}

#[tokio::test]
async fn what_stands_before_a_text_does_not_keep_it_from_the_judge() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    for before in [encoded(), "long ".repeat(7000)] {
        for (word, expected) in [("harmless", "allow"), ("violates", "block")] {
            let judge_server = saying(word).await;
            let proxy = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
            let turns = [turn("user", &before), turn("assistant", "REFUSAL"), turn("user", "I DOUBT it")];
            let got = proxy.chat(&json!({"model": "m", "messages": turns})).await;
            assert_eq!(decision(&got), expected, "{word}");
            let asked = judge_server.asked();
            let without = asked.iter().map(told).filter(|[_, data]| data.contains("is not shown")).count();
            assert_eq!((asked.len(), without), (2, 1));
            assert!(asked.iter().map(told).all(|[_, data]| data.contains("I DOUBT it") && data.len() < 1000));
        }
    }
}

#[tokio::test]
async fn of_many_uncertain_texts_the_likeliest_are_asked_about_and_the_others_violate() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let judge_server = saying("harmless").await;
    let proxy = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
    let texts = ["SUSPECT 0", "DOUBT 1", "DOUBT 2", "SUSPECT 3", "SUSPECT 4", "SUSPECT 5"];
    let got = proxy.post("/v1/completions", json!({"model": "m", "prompt": texts}).to_string()).await;
    assert_eq!(decision(&got), "block");
    let asked = judge_server.asked();
    assert!(asked.len() == 4 && asked.iter().all(|asked| told(asked)[1].contains("SUSPECT")));
    assert_eq!(counted(&proxy, "unsent").await, 2.0);
}

#[tokio::test]
async fn what_the_judge_is_remembered_to_have_said_does_not_count_to_the_four() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let judge_server = saying("harmless").await;
    let proxy = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
    let mut turns = Vec::new();
    for number in 0..7 {
        turns.push(turn("user", &format!("I DOUBT it {number}")));
        assert_eq!(decision(&proxy.chat(&json!({"model": "m", "messages": turns})).await), "allow", "{number}");
        turns.push(turn("assistant", "Fine."));
    }
    assert_eq!(counted(&proxy, "unsent").await, 0.0);
}

#[tokio::test]
async fn a_header_of_the_client_turns_no_judge_off() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let judge_server = saying("violates").await;
    let proxy = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
    let url = format!("http://{}/v1/chat/completions", proxy.address);
    let treatment = Request::post(url).header("x-nonnocere-part2", "true").header("content-type", "application/json");
    let body = Full::new(ask("I DOUBT it", &json!({})).to_string().into());
    assert_eq!(decision(&proxy.send(treatment.body(body).unwrap()).await), "block");
    assert_eq!(judge_server.asked().len(), 1);
}

#[tokio::test]
async fn beside_help_an_uncertain_text_counts_as_a_violation() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let judge_server = saying("harmless").await;
    let proxy = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
    let apart = json!({"model": "m", "messages": [turn("system", "I DOUBT it"), turn("user", "CRISIS")]});
    for body in [ask("CRISIS and I DOUBT it", &json!({})), apart] {
        let got = proxy.chat(&body).await;
        assert_eq!(decision(&got), "escalate");
        assert!(String::from_utf8_lossy(&got.body).contains("findahelpline.com"));
    }
    assert!(judge_server.asked().is_empty() && upstream.asked().is_empty());
    // Where nothing is uncertain, the LLM answers behind the help.
    assert_eq!(decision(&proxy.chat(&ask("CRISIS", &json!({}))).await), "escalate");
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn a_sentence_that_the_judge_would_be_asked_about_is_not_left_in_an_excised_answer() {
    let upstream = ScriptedUpstream::saying("All is well here. Some DOUBT is left in it. You VIOLATE it so.").await;
    let excises = |otherwise| policy(otherwise, "action = \"excise\"\n");
    let judge_server = saying("violates").await;
    for stream in [false, true] {
        let proxied = proxy(&upstream, Some(judge(&judge_server.url())), &excises("skip")).await;
        let got = proxied.chat(&ask("hello", &json!({"stream": stream}))).await;
        let said = String::from_utf8_lossy(&got.body).into_owned();
        assert!(!said.contains("DOUBT") && !said.contains("VIOLATE") && said.contains("content_filter"), "{said}");
        // Without a judge the policy's word holds.
        let got = proxy(&upstream, None, &excises("skip")).await.chat(&ask("hello", &json!({"stream": stream}))).await;
        assert!(String::from_utf8_lossy(&got.body).contains("DOUBT"));
    }
}

#[tokio::test]
async fn what_is_refused_anyhow_is_not_asked_about_and_what_stands_beside_it_is() {
    let judge_server = saying("harmless").await;
    let settings = || Some(judge(&judge_server.url()));
    let call = |text: &str| json!({"type": "function", "id": "c", "function": {"name": "f", "arguments": text}});
    let choice = |index: u64, text: &str, called: &str| {
        let message = json!({"role": "assistant", "content": text, "tool_calls": [call(called)]});
        json!({"index": index, "message": message, "finish_reason": "stop"})
    };
    let whole = |choices: &[Value]| json!({"id": "c", "object": "chat.completion", "choices": choices}).to_string();
    let one = whole(&[choice(0, "I DOUBT it", "VIOLATE")]);
    let upstream = ScriptedUpstream::start(move |_| common::answer(200, "application/json", &one)).await;
    let proxied = proxy(&upstream, settings(), &policy("skip", "")).await;
    assert_eq!(decision(&proxied.chat(&ask("hello", &json!({}))).await), "block");
    assert!(judge_server.asked().is_empty());
    let two = whole(&[choice(0, "fine", "VIOLATE"), choice(1, "I DOUBT it", "fine")]);
    let upstream = ScriptedUpstream::start(move |_| common::answer(200, "application/json", &two)).await;
    let proxied = proxy(&upstream, settings(), &policy("apply", "")).await;
    let got = proxied.chat(&ask("hello", &json!({"n": 2}))).await.json();
    assert_eq!(got["choices"][1]["message"]["content"], "I DOUBT it");
    assert_eq!(judge_server.asked().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_anyhow_waits_for_no_judge() {
    let judge_server = saying("harmless").await;
    let call = json!({"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "VIOLATE"}});
    let delta = json!({"role": "assistant", "content": "I DOUBT it", "tool_calls": [call]});
    let choice = json!({"index": 0, "delta": delta, "finish_reason": "stop"});
    let events = sse::event(&json!({"id": "c", "choices": [choice]}).to_string()) + &sse::event(sse::DONE);
    let upstream = ScriptedUpstream::start(move |_| common::answer(200, "text/event-stream", &events)).await;
    let proxied = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
    for choices in [1, 2] {
        let got = proxied.chat(&ask("hello", &json!({"stream": true, "n": choices}))).await;
        let said = String::from_utf8_lossy(&got.body);
        assert!(said.contains("withheld") && !said.contains("DOUBT"), "{said}");
        assert!(judge_server.asked().is_empty(), "{choices}");
    }
}

#[tokio::test]
async fn guard_models_are_understood() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let thinks = format!("<think>\nIs it harmless?\n</think>\n\n```json\n{}\n```", verdict("Violates"));
    for (says, expected) in
        [("harmless".to_owned(), "allow"), ("\n\nunsafe\nS1".to_owned(), "block"), (thinks, "block")]
    {
        let judge_server = ScriptedUpstream::start(move |_| said(&says)).await;
        let settings = Settings { max_tokens: 77, ..judge(&judge_server.url()) };
        let proxy = proxy(&upstream, Some(settings), &policy("threshold", "")).await;
        assert_eq!(decision(&proxy.chat(&ask("I DOUBT it", &json!({}))).await), expected);
        assert_eq!(counted(&proxy, "none_answer").await, 0.0);
        let body: Value = serde_json::from_slice(&judge_server.asked()[0].body).unwrap();
        assert_eq!(body["max_tokens"], 77);
    }
}

#[tokio::test]
async fn a_dead_judge_is_left_alone_for_a_while_and_why_is_on_record() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let broken = ScriptedUpstream::start(|_| common::answer(500, "application/json", "{}")).await;
    let broken_proxy = proxy(&upstream, Some(judge(&broken.url())), &policy("threshold", "")).await;
    for number in 0..8 {
        let word = if number < 5 { "none_answer" } else { "none_paused" };
        let body = ask(&format!("I DOUBT it {number}"), &json!({}));
        assert_eq!(recorded(&broken_proxy, &body).await, Some(word), "{number}");
    }
    assert_eq!((broken.asked().len(), counted(&broken_proxy, "none_paused").await), (5, 3.0));
    // A judge that answers anything is alive: texts cannot turn it off.
    let garbage = ScriptedUpstream::start(|_| said("I would not say")).await;
    let settings = Settings { budget: 7, ..judge(&garbage.url()) };
    let proxied = proxy(&upstream, Some(settings), &policy("threshold", "")).await;
    for number in 0..8 {
        let word = if number < 7 { "none_answer" } else { "none_budget" };
        let body = ask(&format!("I DOUBT it {number}"), &json!({}));
        assert_eq!(recorded(&proxied, &body).await, Some(word), "{number}");
    }
    // One that accepts, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = judge(&format!("http://{}/v1", silent.local_addr().unwrap()));
    let silent = Settings { deadline: Duration::from_millis(50), ..silent };
    let proxied = proxy(&upstream, Some(silent), &policy("threshold", "")).await;
    assert_eq!(recorded(&proxied, &ask("I DOUBT it", &json!({}))).await, Some("none_timeout"));
    let proxied = proxy(&upstream, None, &policy("threshold", "")).await;
    assert_eq!(recorded(&proxied, &ask("I DOUBT it", &json!({}))).await, Some("none_judge"));
    assert_eq!(recorded(&proxied, &ask("hello", &json!({}))).await, None);
}

#[tokio::test]
async fn a_message_of_slow_texts_is_one_failure() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = judge(&format!("http://{}/v1", silent.local_addr().unwrap()));
    let silent = Settings { deadline: Duration::from_millis(50), ..silent };
    let proxy = proxy(&upstream, Some(silent), &policy("threshold", "")).await;
    for message in 0..3 {
        let texts = [0, 1, 2].map(|text| format!("I DOUBT it {message} {text}"));
        proxy.post("/v1/completions", json!({"model": "m", "prompt": texts}).to_string()).await;
    }
    assert_eq!([counted(&proxy, "none_timeout").await, counted(&proxy, "none_paused").await], [9.0, 0.0]);
}

#[tokio::test]
async fn the_same_text_many_times_in_a_message_is_one_of_the_four() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let judge_server = saying("harmless").await;
    let proxy = proxy(&upstream, Some(judge(&judge_server.url())), &policy("skip", "")).await;
    let texts = ["I DOUBT it", "I DOUBT it", "I DOUBT it", "I DOUBT it", "I DOUBT that"];
    let got = proxy.post("/v1/completions", json!({"model": "m", "prompt": texts}).to_string()).await;
    assert_eq!((decision(&got), judge_server.asked().len()), ("allow", 2));
}

#[tokio::test]
async fn the_same_question_is_asked_once_at_a_time() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let judge_server = saying("harmless").await;
    // Nothing is remembered, so that only what is asked at the same time is shared.
    let settings = Settings { remembered: 0, ..judge(&judge_server.url()) };
    let proxy = proxy(&upstream, Some(settings), &policy("apply", "")).await;
    let body = json!({"model": "m", "prompt": ["I DOUBT it", "I DOUBT it", "I DOUBT it"]});
    assert_eq!(decision(&proxy.post("/v1/completions", body.to_string()).await), "allow");
    assert_eq!(judge_server.asked().len(), 1);
    let counts = [counted(&proxy, "harmless").await, counted(&proxy, "cached").await];
    assert_eq!(counts, [1.0, 2.0]);
}
