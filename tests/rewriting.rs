//! What may not pass as it is is changed, so that it may: by removing text, or by words of the policy, and nothing else.

mod common;

use common::{Asked, Options, RunningProxy, ScriptedUpstream, answer, ask, chat_answer};
use http::Request;
use http_body_util::Full;
use nonnocere::openai::sse;
use nonnocere::policy::file::EMBEDDED;
use nonnocere::policy::reload::Source;
use serde_json::{Value, json};
use std::io::Write;

const HELP: &str = "findahelpline.com";

/// The default policy with another action for a rule.
async fn with_action(upstream: &ScriptedUpstream, rule: &str, action: &str) -> RunningProxy {
    let (before, after) = EMBEDDED.split_once(&format!("name = \"{rule}\"")).unwrap();
    let policy = format!("{before}name = \"{rule}\"{}", after.replacen("\"block\"", &format!("\"{action}\""), 1));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(policy.as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    options.policy = Source::File(file.path().to_owned());
    RunningProxy::start(options).await
}

/// The text and the end of the first choice, whole or streamed.
fn told(body: &[u8]) -> (String, String) {
    if let Ok(whole) = serde_json::from_slice::<Value>(body) {
        let choice = &whole["choices"][0];
        return (
            choice["message"]["content"].as_str().unwrap().to_owned(),
            choice["finish_reason"].as_str().unwrap().to_owned(),
        );
    }
    let (mut text, mut finish) = (String::new(), String::new());
    let events = sse::events(body).unwrap();
    assert_eq!(events.last().unwrap(), sse::DONE);
    for event in events.iter().filter(|event| *event != sse::DONE) {
        let event: Value = serde_json::from_str(event).unwrap();
        let choice = &event["choices"][0];
        text += choice["delta"]["content"].as_str().unwrap_or_default();
        assert!(finish.is_empty() || choice.is_null(), "a choice goes on after its end");
        finish += choice["finish_reason"].as_str().unwrap_or_default();
    }
    (text, finish)
}

/// A chat answer by how often it was asked for, `{}` in it being what was asked.
fn answers(asked: &Asked, texts: [&str; 2]) -> http::Response<bytes::Bytes> {
    let is_steered = String::from_utf8_lossy(&asked.body).contains("ethical alternative");
    chat_answer(asked, texts[usize::from(is_steered)])
}

#[tokio::test]
async fn someone_in_a_crisis_gets_help_first_and_then_the_answer() {
    let upstream = ScriptedUpstream::saying("Please sit down and tell me more.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for stream in [false, true] {
        let got = proxy.chat(&ask("CRISIS", &json!({"stream": stream}))).await;
        assert_eq!(got.header("x-nonnocere-decision"), "escalate");
        let (text, finish) = told(&got.body);
        let (help, rest) = text.split_once("\n\nPlease sit down").unwrap_or_else(|| panic!("{text}"));
        assert!(help.contains(HELP) && rest.starts_with(" and tell me more."), "{text}");
        assert_eq!(finish, "stop");
    }
    // The rest of the bytes stays as it came.
    let got = proxy.chat(&ask("CRISIS", &json!({}))).await;
    assert!(String::from_utf8_lossy(&got.body).contains("\"vendor\":1.50e+1"));
}

#[tokio::test]
async fn help_is_given_without_the_answer_when_that_may_not_pass() {
    let upstream = ScriptedUpstream::saying("All is well. Here is how to VIOLATE it.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for stream in [false, true] {
        let (text, _) = told(&proxy.chat(&ask("CRISIS", &json!({"stream": stream}))).await.body);
        assert!(text.contains(HELP) && !text.contains("VIOLATE"), "{text}");
    }
    // Who asks for a violation too gets help, and the LLM is not asked.
    let before = upstream.asked().len();
    let (text, finish) = told(&proxy.chat(&ask("CRISIS and VIOLATE", &json!({}))).await.body);
    assert!(text.contains(HELP) && finish == "stop");
    assert_eq!(upstream.asked().len(), before);
}

#[tokio::test]
async fn help_stands_before_a_response_and_before_a_legacy_completion() {
    let item = json!({"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": "Sit down."}]});
    let whole = json!({"id": "r", "object": "response", "output": [item]});
    let delta = json!({"type": "response.output_text.delta", "sequence_number": 3, "output_index": 0, "content_index": 0, "delta": "Sit down."});
    let events = [
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "output": []}}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "message", "id": "i", "content": []}}),
        json!({"type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": ""}}),
        delta,
        json!({"type": "response.output_item.done", "sequence_number": 4, "output_index": 0, "item": item}),
        json!({"type": "response.completed", "sequence_number": 5, "response": whole}),
    ];
    let streamed: String = events.iter().map(|event| sse::event(&event.to_string())).collect();
    let upstream = ScriptedUpstream::start(move |asked| {
        let stream = String::from_utf8_lossy(&asked.body).contains("\"stream\":true");
        match (asked.path.as_str(), stream) {
            ("/v1/completions", _) => answer(
                200,
                "application/json",
                r#"{"choices":[{"index":0,"text":"Sit down.","finish_reason":"stop"}]}"#,
            ),
            (_, true) => answer(200, "text/event-stream", &streamed),
            _ => answer(200, "application/json", &whole.to_string()),
        }
    })
    .await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.post("/v1/completions", json!({"model": "m", "prompt": "CRISIS"}).to_string()).await.json();
    let text = got["choices"][0]["text"].as_str().unwrap();
    assert!(text.contains(HELP) && text.ends_with("\n\nSit down."), "{text}");
    let body = json!({"model": "m", "input": "CRISIS"});
    let output = proxy.post("/v1/responses", body.to_string()).await.json()["output"].clone();
    let check = |output: &Value| {
        assert!(output[0]["content"][0]["text"].as_str().unwrap().contains(HELP), "{output}");
        assert_eq!(output[1], item);
    };
    check(&output);
    let body = json!({"model": "m", "input": "CRISIS", "stream": true});
    let got = proxy.post("/v1/responses", body.to_string()).await;
    let events: Vec<Value> =
        sse::events(&got.body).unwrap().iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert!(events.iter().enumerate().all(|(place, event)| event["sequence_number"] == place), "{events:?}");
    let places: Vec<u64> = events.iter().filter_map(|event| event["output_index"].as_u64()).collect();
    assert_eq!(places, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    check(&events.last().unwrap()["response"]["output"]);
}

#[tokio::test]
async fn words_are_said_in_the_language_of_the_client() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for (language, content, said) in [
        ("es-MX, en;q=0.5", "VIOLATE", "ética médica"),
        ("fr", "VIOLATE", "éthique médicale"),
        ("fr", "CRISIS", "antipoison"),
        ("de", "VIOLATE", "medical ethics"),
    ] {
        let request = Request::post(format!("http://{}/v1/chat/completions", proxy.address));
        let request = request.header("content-type", "application/json").header("accept-language", language);
        let body = ask(content, &json!({})).to_string();
        let (text, _) = told(&proxy.send(request.body(Full::new(body.into())).unwrap()).await.body);
        assert!(text.contains(said), "{language}: {text}");
    }
    // What can be done instead, by the principle.
    let (text, _) = told(&proxy.chat(&ask("VIOLATE", &json!({}))).await.body);
    assert!(text.contains("honest record"), "{text}");
}

#[tokio::test]
async fn a_steered_prompt_passes_behind_words_that_name_the_principle() {
    let upstream = ScriptedUpstream::start(|asked| match asked.path.as_str() {
        "/v1/chat/completions" => chat_answer(asked, "Rather do this."),
        _ => answer(200, "application/json", "{}"),
    })
    .await;
    let proxy = with_action(&upstream, "violating-prompt", "steer").await;
    let sent = ask("VIOLATE", &json!({})).to_string().replacen('{', "{ \"seed\":1.0e0,", 1);
    let got = proxy.post("/v1/chat/completions", sent.clone()).await;
    assert_eq!(got.header("x-nonnocere-decision"), "rewrite");
    assert_eq!(told(&got.body).0, "Rather do this.");
    let passed = String::from_utf8(upstream.asked()[0].body.to_vec()).unwrap();
    let body: Value = serde_json::from_str(&passed).unwrap();
    assert_eq!(body["messages"][0]["role"], "system");
    assert!(body["messages"][0]["content"].as_str().unwrap().contains("principle II"), "{passed}");
    // All else is as it came.
    let inserted = format!("{},", body["messages"][0]);
    assert_eq!(passed.replacen(&inserted, "", 1), sent);
    for (path, body) in [
        ("/v1/responses", json!({"model": "m", "input": "VIOLATE", "instructions": "Be kind."})),
        ("/v1/responses", json!({"model": "m", "input": "VIOLATE"})),
        ("/v1/completions", json!({"model": "m", "prompt": ["hello", "VIOLATE"]})),
    ] {
        proxy.post(path, body.to_string()).await;
        let passed: Value = serde_json::from_slice(&upstream.asked().last().unwrap().body).unwrap();
        let before = [&passed["instructions"], &passed["prompt"][1]].into_iter().find_map(Value::as_str).unwrap();
        assert!(before.starts_with("The next request may go against"), "{passed}");
        assert!(body.get("instructions").is_none() || before.ends_with("Be kind."));
    }
    // Nothing can be said to what is only embedded.
    let got = proxy.post("/v1/embeddings", json!({"model": "m", "input": "VIOLATE"}).to_string()).await;
    assert_eq!(got.status, 400);
}

#[tokio::test]
async fn only_the_violating_sentences_of_a_completion_are_removed() {
    const LONG: &str = "Take one tablet of 500 mg with a meal every day. Then VIOLATE the rules. Come back after two weeks for a test.";
    let upstream = ScriptedUpstream::saying(LONG).await;
    let proxy = with_action(&upstream, "violating-completion", "excise").await;
    for stream in [false, true] {
        let body = ask("hello", &json!({"stream": stream, "stream_options": {"include_usage": stream}}));
        let got = proxy.chat(&body).await;
        let (text, finish) = told(&got.body);
        let (before, after) = (LONG.find("Then").unwrap(), LONG.find("Come").unwrap());
        assert!(text.starts_with(&format!("{}[The answer was withheld", &LONG[..before])), "{text}");
        assert!(text.ends_with(&LONG[after..]) && !text.contains("VIOLATE") && finish == "stop", "{text}");
        assert!(String::from_utf8_lossy(&got.body).contains("\"total_tokens\":12"));
        if !stream {
            assert_eq!(got.header("x-nonnocere-decision"), "rewrite");
            assert!(String::from_utf8_lossy(&got.body).contains("\"vendor\":1.50e+1"), "all else is as it came");
        }
    }
    // Where nothing sound is left, nothing is.
    let short = ScriptedUpstream::saying("Sure. Here is how to VIOLATE it.").await;
    let proxy = with_action(&short, "violating-completion", "excise").await;
    for stream in [false, true] {
        let (text, finish) = told(&proxy.chat(&ask("hello", &json!({"stream": stream}))).await.body);
        assert!(text.trim_start_matches("Sure. \n\n").starts_with("The answer was withheld"), "{text}");
        assert_eq!(finish, "content_filter");
    }
}

#[tokio::test]
async fn the_llm_is_asked_once_more_with_the_principle_named() {
    for (second, said, finish) in
        [("Rather do this.", "Rather do this.", "stop"), ("VIOLATE again.", "withheld", "content_filter")]
    {
        let upstream = ScriptedUpstream::start(move |asked| answers(asked, ["Now VIOLATE it. And on.", second])).await;
        let proxy = with_action(&upstream, "violating-completion", "regenerate").await;
        for more in [json!({}), json!({"stream": true, "stream_options": {"include_usage": true}})] {
            let before = upstream.asked().len();
            let got = proxy.chat(&ask("hello", &more)).await;
            let asked = upstream.asked()[before..].to_vec();
            assert_eq!(asked.len(), 2);
            let again: Value = serde_json::from_slice(&asked[1].body).unwrap();
            assert!(again["messages"][0]["content"].as_str().unwrap().contains("principle II"));
            assert_eq!(again["stream"], false);
            let (text, end) = told(&got.body);
            assert!(text.contains(said) && !text.contains("VIOLATE") && end == finish, "{text}, {end}");
            assert!(more.get("stream").is_none() || String::from_utf8_lossy(&got.body).contains("\"total_tokens\":12"));
        }
    }
}

#[tokio::test]
async fn a_second_answer_that_does_not_come_leaves_the_refusal() {
    let upstream = ScriptedUpstream::start(|asked| {
        let is_again = String::from_utf8_lossy(&asked.body).contains("ethical alternative");
        if is_again { answer(500, "application/json", "{}") } else { chat_answer(asked, "Now VIOLATE it. And on.") }
    })
    .await;
    let proxy = with_action(&upstream, "violating-completion", "regenerate").await;
    for stream in [false, true] {
        let (text, finish) = told(&proxy.chat(&ask("hello", &json!({"stream": stream}))).await.body);
        assert!(text.contains("withheld") && !text.contains("VIOLATE") && finish == "content_filter", "{text}");
    }
}

#[tokio::test]
async fn a_completion_is_replaced_by_the_words_of_the_policy() {
    let upstream = ScriptedUpstream::saying("Now VIOLATE it. And on.").await;
    let proxy = with_action(&upstream, "violating-completion", "replace").await;
    for stream in [false, true] {
        let got = proxy.chat(&ask("hello", &json!({"stream": stream}))).await;
        let (text, _) = told(&got.body);
        assert!(text.contains("withheld") && text.contains("honest record"), "{text}");
        assert!(stream || got.header("x-nonnocere-decision") == "rewrite");
    }
}

const NOTE: &str = "Patient: Maria Sanchez, MRN 4471920, phone 415-555-0132. Is 5 mg of apixaban right at 120/80?";
const HIDDEN: [&str; 4] = ["Maria", "Sanchez", "4471920", "555-0132"];

async fn redacting(upstream: &ScriptedUpstream) -> RunningProxy {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(EMBEDDED.replace("prompt = \"pass\"", "prompt = \"redact\"").as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    options.policy = Source::File(file.path().to_owned());
    RunningProxy::start(options).await
}

#[tokio::test]
async fn identifiers_do_not_leave_on_any_surface() {
    let upstream = ScriptedUpstream::start(|_| answer(200, "application/json", "{}")).await;
    let proxy = redacting(&upstream).await;
    let tool = json!({"type": "function", "function": {"name": "f", "description": "looks up", "parameters": {}}});
    let call = json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": json!({"note": NOTE}).to_string()}});
    let bodies = [
        (
            "/v1/chat/completions",
            json!({"model": "m", "tools": [tool], "seed": 7, "messages": [
            {"role": "system", "content": NOTE}, {"role": "user", "content": [{"type": "text", "text": NOTE}]},
            {"role": "assistant", "content": null, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "t", "content": NOTE},
            {"role": "user", "content": NOTE}]}),
        ),
        ("/v1/completions", json!({"model": "m", "prompt": [NOTE, "hello"], "suffix": NOTE})),
        ("/v1/responses", json!({"model": "m", "instructions": NOTE, "input": NOTE})),
        (
            "/v1/responses",
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": NOTE}]},
            {"type": "function_call_output", "call_id": "1", "output": NOTE}]}),
        ),
        ("/v1/embeddings", json!({"model": "m", "input": [NOTE]})),
    ];
    for (path, body) in bodies {
        let got = proxy.post(path, body.to_string()).await;
        assert_eq!(got.header("x-nonnocere-decision"), "rewrite", "{path}");
        let sent = String::from_utf8(upstream.asked().last().unwrap().body.to_vec()).unwrap();
        assert!(!HIDDEN.iter().any(|hidden| sent.contains(hidden)), "{path}: {sent}");
        assert!(sent.contains("5 mg of apixaban right at 120/80?") && sent.contains("[NAME_"), "{path}: {sent}");
        serde_json::from_str::<Value>(&sent).unwrap();
    }
    assert!(proxy.metric("nonnocere_redacted_total{direction=\"prompt\",kind=\"MRN\"}").await >= 9.0);
}

#[tokio::test]
async fn identifiers_come_back_in_the_answer() {
    // The upstream says what it was asked, and calls a tool with it.
    let upstream = ScriptedUpstream::start(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let said = body["messages"][0]["content"].as_str().unwrap();
        if body["stream"] == json!(true) {
            let mut stream: String = said.as_bytes().chunks(3).map(|piece| {
                let choice = json!({"index": 0, "delta": {"content": std::str::from_utf8(piece).unwrap()}});
                sse::event(&json!({"id": "c", "choices": [choice]}).to_string())
            }).collect();
            stream += "data: {\"id\": \"c\", \"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\"}]}\n\ndata: [DONE]\n\n";
            return answer(200, "text/event-stream", &stream);
        }
        let call = json!({"function": {"name": "f", "arguments": json!({"note": said}).to_string()}});
        let choice = json!({"index": 0, "message": {"content": said, "tool_calls": [call]}, "finish_reason": "stop"});
        answer(200, "application/json", &json!({"choices": [choice]}).to_string())
    })
    .await;
    let proxy = redacting(&upstream).await;
    for stream in [false, true] {
        let got = proxy.chat(&ask(NOTE, &json!({"stream": stream}))).await;
        let (text, finish) = told(&got.body);
        assert_eq!((text.as_str(), finish.as_str()), (NOTE, "stop"));
        if !stream {
            let arguments = got.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].clone();
            assert_eq!(serde_json::from_str::<Value>(arguments.as_str().unwrap()).unwrap()["note"], NOTE);
        }
    }
}

#[tokio::test]
async fn help_is_given_when_there_is_no_answer() {
    for status in [500, 429] {
        let upstream = ScriptedUpstream::start(move |_| answer(status, "application/json", "{}")).await;
        let proxy = RunningProxy::before(&upstream).await;
        for stream in [false, true] {
            let got = proxy.chat(&ask("CRISIS", &json!({"stream": stream}))).await;
            assert_eq!(got.status, 200);
            assert!(told(&got.body).0.contains(HELP));
        }
    }
    // Nor is it lost when the answer is cut before anything of it was seen, or breaks off.
    let bad = ScriptedUpstream::saying("VIOLATE.").await;
    let broken =
        ScriptedUpstream::start(|_| answer(200, "text/event-stream", "data: {\"choices\": []}\n\ndata: {half\n\n"))
            .await;
    let mut options = Options::new(&bad.url());
    options.streaming.flow.mode = nonnocere::guard::stream::Mode::Buffer;
    for proxy in [RunningProxy::start(options).await, RunningProxy::before(&broken).await] {
        let got = proxy.chat(&ask("CRISIS", &json!({"stream": true}))).await;
        assert!(String::from_utf8_lossy(&got.body).matches(HELP).count() == 1, "{:?}", got.body);
    }
}

#[tokio::test]
async fn what_the_policy_changes_is_never_sent_ahead() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(EMBEDDED.replace("prompt = \"pass\"", "prompt = \"redact\"").as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    options.policy = Source::File(file.path().to_owned());
    options.streaming.flow.speculative = true;
    let proxy = RunningProxy::start(options).await;
    proxy.chat(&ask(NOTE, &json!({}))).await;
    let asked = upstream.asked();
    assert!(asked.len() == 1 && !String::from_utf8_lossy(&asked[0].body).contains("Sanchez"));
}

#[tokio::test]
async fn identifiers_do_not_leave_while_nothing_can_judge() {
    let upstream = ScriptedUpstream::start(|asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        chat_answer(asked, body["messages"][0]["content"].as_str().unwrap())
    })
    .await;
    let open =
        EMBEDDED.replace("prompt = \"block\"\ncompletion = \"block\"", "prompt = \"allow\"\ncompletion = \"allow\"");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(open.replace("prompt = \"pass\"", "prompt = \"redact\"").as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    (options.policy, options.classifier) = (Source::File(file.path().to_owned()), std::sync::Arc::new(common::Failing));
    let proxy = RunningProxy::start(options).await;
    let got = proxy.chat(&ask(NOTE, &json!({}))).await;
    assert_eq!((got.header("x-nonnocere-scan"), told(&got.body).0.as_str()), ("none", NOTE));
    assert!(!String::from_utf8_lossy(&upstream.asked()[0].body).contains("Sanchez"));
}

#[tokio::test]
async fn nothing_that_was_taken_out_stands_elsewhere_in_the_answer() {
    const TEXT: &str = "Take one tablet of 500 mg with a meal every day. Then VIOLATE the rules. ";
    // Half an emoji, and the tokens of the text.
    let body = format!(
        "{{\"choices\":[{{\"index\":0,\"message\":{{\"content\":\"{TEXT}\\ud83d\"}},\
         \"logprobs\":{{\"content\":[{{\"token\":\"VIOLATE\"}}]}},\"finish_reason\":\"stop\"}}]}}"
    );
    let upstream = ScriptedUpstream::start(move |_| answer(200, "application/json", &body)).await;
    let proxy = with_action(&upstream, "violating-completion", "excise").await;
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"), "{:?}", got.body);
    assert!(told(&got.body).0.starts_with("Take one tablet"));
}

#[tokio::test]
async fn an_excised_stream_loses_nothing_else() {
    let upstream = ScriptedUpstream::start(|_| {
        let pieces = ["Take one tablet of 500 mg with a meal ", "every day. Then ", "VIOLATE it. Come back after ", "two weeks."];
        let say = |text: &&str| sse::event(&json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]}).to_string());
        let end = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        answer(200, "text/event-stream", &(pieces.iter().map(say).collect::<String>() + end))
    })
    .await;
    let proxy = with_action(&upstream, "violating-completion", "excise").await;
    let (text, finish) = told(&proxy.chat(&ask("hello", &json!({"stream": true}))).await.body);
    assert!(text.starts_with("Take one tablet of 500 mg with a meal every day. [The answer was"), "{text}");
    assert!(text.ends_with("Come back after two weeks.") && finish == "stop", "{text}");
}

#[tokio::test]
async fn a_response_is_asked_for_once_more_after_its_message_has_begun() {
    let item = |text: &str| json!({"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]});
    let upstream = ScriptedUpstream::start(move |asked| {
        if String::from_utf8_lossy(&asked.body).contains("ethical alternative") {
            let whole = json!({"id": "r2", "status": "completed", "output": [item("Rather do this.")], "usage": {"total_tokens": 3}});
            return answer(200, "application/json", &whole.to_string());
        }
        let bad = item("Now VIOLATE it. And on.");
        let events = [
            json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r1", "output": []}}),
            json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item("")}),
            json!({"type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": ""}}),
            json!({"type": "response.output_text.delta", "sequence_number": 3, "output_index": 0, "content_index": 0, "delta": "Now VIOLATE it. And on."}),
            json!({"type": "response.output_item.done", "sequence_number": 4, "output_index": 0, "item": bad}),
            json!({"type": "response.completed", "sequence_number": 5, "response": {"id": "r1", "output": [bad]}}),
        ];
        let streamed: String = events.iter().map(|event| sse::event(&event.to_string())).collect();
        answer(200, "text/event-stream", &streamed)
    })
    .await;
    let proxy = with_action(&upstream, "violating-completion", "regenerate").await;
    for (asked, help) in [("hello", false), ("CRISIS", true)] {
        let got = proxy.post("/v1/responses", json!({"model": "m", "input": asked, "stream": true}).to_string()).await;
        let events: Vec<Value> =
            sse::events(&got.body).unwrap().iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let said = String::from_utf8_lossy(&got.body);
        assert!(!said.contains("VIOLATE") && said.contains(HELP) == help, "{said}");
        let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
        let last = events.last().unwrap();
        assert_eq!((&last["type"], &last["response"]["id"]), (&json!("response.completed"), &json!("r2")));
        let output = last["response"]["output"].as_array().unwrap();
        assert_eq!(
            (output.len(), &output[usize::from(help)]["content"][0]["text"]),
            (1 + usize::from(help), &json!("Rather do this."))
        );
    }
}

#[tokio::test]
async fn a_steered_prompt_goes_behind_the_system_message_that_is_there() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = with_action(&upstream, "violating-prompt", "steer").await;
    let messages = json!([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "VIOLATE"}]);
    proxy.chat(&json!({"model": "m", "messages": messages})).await;
    let passed: Value = serde_json::from_slice(&upstream.asked()[0].body).unwrap();
    assert_eq!(passed["messages"].as_array().unwrap().len(), 2);
    let said = passed["messages"][0]["content"].as_str().unwrap();
    assert!(said.starts_with("The next request") && said.ends_with("Be kind."), "{said}");
}

#[tokio::test]
async fn help_ends_a_response_that_breaks_off() {
    let created = sse::event(
        &json!({"type": "response.created", "response": {"id": "r", "model": "m", "output": []}}).to_string(),
    );
    for rest in ["", "data: {half\n\n"] {
        let stream = format!("{created}{rest}");
        let upstream = ScriptedUpstream::start(move |_| answer(200, "text/event-stream", &stream)).await;
        let proxy = RunningProxy::before(&upstream).await;
        let body = json!({"model": "m", "input": "CRISIS", "stream": true}).to_string();
        let got = proxy.post("/v1/responses", body).await;
        let events = sse::events(&got.body).unwrap();
        let ended = events
            .iter()
            .find(|event| event.contains("\"response.completed\""))
            .unwrap_or_else(|| panic!("{events:?}"));
        assert!(ended.contains(HELP));
    }
}
