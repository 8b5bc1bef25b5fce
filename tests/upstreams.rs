//! Several LLM servers: which of them is asked, what is tried again elsewhere, and what happens when they go and come back.

mod common;
#[path = "common/server.rs"]
mod server;

use bytes::Bytes;
use common::{Asked, Options, RunningProxy, answer, ask};
use http::Response;
use nonnocere::route::{Action, Rule};
use nonnocere::upstream::{EndpointSettings, Health, Pattern, Terms};
use serde_json::{Value, json};
use server::{Upstream, terms};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn proxy(endpoints: Vec<EndpointSettings>) -> Arc<RunningProxy> {
    Arc::new(RunningProxy::start(Options { upstreams: endpoints, ..Options::new("http://unused/v1") }).await)
}

fn serving(endpoint: EndpointSettings, models: &[&str]) -> EndpointSettings {
    EndpointSettings { models: models.iter().map(|name| Pattern((*name).to_owned())).collect(), ..endpoint }
}

fn weighing(endpoint: EndpointSettings, weight: u32) -> EndpointSettings {
    EndpointSettings { weight: NonZeroU32::new(weight).unwrap(), ..endpoint }
}

/// A server that does `what` with each connection once a request came.
async fn rogue<F: Future<Output = ()> + Send>(what: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 8192];
            drop(stream.read(&mut request).await);
            what(stream).await;
        }
    });
    url
}

fn at(name: &str, url: &str, terms: Terms) -> EndpointSettings {
    EndpointSettings::plain(name, url.parse().unwrap(), terms)
}

async fn nobody() -> String {
    format!("http://{}/v1", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap())
}

async fn standing(proxy: &RunningProxy, name: &str) -> Value {
    let all = proxy.admin("/health/upstreams").await.json();
    all["upstreams"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
}

async fn chat(proxy: &RunningProxy) -> (u16, String) {
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    let said = if got.status == 200 { "answered".to_owned() } else { got.error_code() };
    (got.status.as_u16(), said)
}

#[tokio::test]
async fn models_and_routes_choose_who_serves() {
    let (one, two, any) = (Upstream::saying("1").await, Upstream::saying("2").await, Upstream::saying("3").await);
    let endpoints = vec![
        serving(one.endpoint("one"), &["gpt-*"]),
        serving(two.endpoint("two"), &["gpt-4o", "o1"]),
        any.endpoint("any"),
    ];
    let routes = vec![Rule {
        path: "/v1/completions".to_owned(),
        action: Action::Guard(nonnocere::openai::request::Surface::Completions, Options::new("").streaming.flow),
        upstream: Some("two".into()),
    }];
    let options = Options { upstreams: endpoints, routes, ..Options::new("http://unused/v1") };
    let proxy = RunningProxy::start(options).await;
    let counts = || [&one, &two, &any].map(Upstream::count);
    for (model, expected) in
        [("gpt-4o", [0, 1, 0]), ("gpt-4o-mini", [1, 1, 0]), ("o1", [1, 2, 0]), ("llama", [1, 2, 1])]
    {
        proxy.chat(&ask("hello", &json!({"model": model}))).await;
        assert_eq!(counts(), expected, "{model}");
    }
    // The route is heard before the model.
    proxy.post("/v1/completions", json!({"model": "gpt-3", "prompt": "hello"}).to_string()).await;
    assert_eq!(counts(), [1, 3, 1]);
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_404() {
    let one = Upstream::saying("1").await;
    let proxy = proxy(vec![serving(one.endpoint("one"), &["gpt-*"])]).await;
    let got = proxy.chat(&ask("hello", &json!({"model": "llama"}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (404, "model_not_found"));
    assert_eq!(got.json()["error"]["param"], "model");
    assert_eq!(one.count(), 0);
    assert_eq!(proxy.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn idle_upstreams_share_by_weight() {
    let (heavy, light) = (Upstream::saying("1").await, Upstream::saying("2").await);
    let proxy = proxy(vec![weighing(heavy.endpoint("heavy"), 3), light.endpoint("light")]).await;
    for _ in 0..12 {
        assert_eq!(chat(&proxy).await.0, 200);
    }
    assert_eq!((heavy.count(), light.count()), (9, 3));
    let answered = |name| format!("nonnocere_upstream_requests_total{{endpoint=\"{name}\",result=\"2xx\"}}");
    assert!((proxy.metric(&answered("heavy")).await - 9.0).abs() < 0.1);
}

#[tokio::test]
async fn who_has_the_least_in_flight_is_next() {
    let (slow, quick) = (Upstream::saying("1").await, Upstream::saying("2").await);
    let proxy = proxy(vec![slow.endpoint("slow"), quick.endpoint("quick")]).await;
    slow.hold(true);
    let waiting = {
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move { chat(&proxy).await })
    };
    while slow.count() == 0 {
        tokio::task::yield_now().await;
    }
    // As long as one answer is awaited, the others do not stand behind it.
    for _ in 0..6 {
        assert_eq!(chat(&proxy).await.0, 200);
    }
    assert_eq!((slow.count(), quick.count()), (1, 6));
    assert_eq!(standing(&proxy, "slow").await["in_flight"], 1);
    assert!((proxy.metric("nonnocere_upstream_in_flight{endpoint=\"slow\"}").await - 1.0).abs() < 0.1);
    slow.hold(false);
    assert_eq!(waiting.await.unwrap().0, 200);
    while standing(&proxy, "slow").await["in_flight"] != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_that_is_killed_costs_no_request_and_is_asked_again_when_it_is_back() {
    let (mut mortal, other) = (Upstream::saying("1").await, Upstream::saying("2").await);
    let mut endpoint = mortal.endpoint("mortal");
    (endpoint.terms.breaker.pause, endpoint.terms.idle_timeout) = (Duration::from_millis(20), Duration::ZERO);
    endpoint.terms.breaker.longest = Duration::from_millis(20);
    let proxy = proxy(vec![endpoint, other.endpoint("other")]).await;
    for _ in 0..2 {
        assert_eq!(chat(&proxy).await.0, 200);
    }
    mortal.kill().await;
    for _ in 0..10 {
        assert_eq!(chat(&proxy).await.0, 200);
    }
    assert_eq!((mortal.count(), other.count()), (1, 11));
    assert_ne!(standing(&proxy, "mortal").await["breaker"], "closed");
    mortal.revive().await;
    while mortal.count() == 1 {
        assert_eq!(chat(&proxy).await.0, 200);
    }
    assert_eq!(standing(&proxy, "mortal").await["breaker"], "closed");
}

#[tokio::test]
async fn where_nobody_is_left_it_is_said_at_once_and_when_to_come_again() {
    let endpoints = vec![at("one", &nobody().await, terms()), at("two", &nobody().await, terms())];
    let proxy = proxy(endpoints).await;
    // Each request asks both, and each is left alone after two failures.
    for _ in 0..2 {
        assert_eq!(chat(&proxy).await, (502, "upstream_unreachable".to_owned()));
    }
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (503, "upstream_unavailable"));
    let seconds: u32 = got.header("retry-after").parse().unwrap();
    assert!((1800..=3600).contains(&seconds), "{seconds}");
    for name in ["one", "two"] {
        let one = standing(&proxy, name).await;
        assert_eq!(
            (&one["breaker"], &one["available"], &one["healthy"]),
            (&json!("open"), &json!(false), &Value::Null)
        );
        assert!(proxy.metric(&format!("nonnocere_upstream_available{{endpoint=\"{name}\"}}")).await < 0.1);
    }
    assert!((proxy.metric("nonnocere_upstream_errors_total{kind=\"unavailable\"}").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_post_that_may_have_been_read_is_not_sent_twice() {
    let whole_head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"choices\"";
    for (what, sent, status) in [
        ("before the head", &b""[..], 502),
        ("in the head", &b"HTTP/1.1 20"[..], 502),
        ("in the body", &whole_head[..], 502),
    ] {
        let url = rogue(move |mut stream| async move { drop(stream.write_all(sent).await) }).await;
        let other = Upstream::saying("2").await;
        // The rogue is asked first.
        let proxy = proxy(vec![weighing(at("rogue", &url, terms()), 9), other.endpoint("other")]).await;
        assert_eq!(chat(&proxy).await, (status, "upstream_unreachable".to_owned()), "{what}");
        assert_eq!(other.count(), 0, "{what}");
    }
}

#[tokio::test]
async fn a_get_that_breaks_is_sent_to_another() {
    let url = rogue(|stream| async move { drop(stream) }).await;
    let other = Upstream::start(|_| answer(200, "application/json", "{\"object\": \"list\", \"data\": []}")).await;
    let proxy = proxy(vec![weighing(at("rogue", &url, terms()), 9), other.endpoint("other")]).await;
    assert_eq!(proxy.get("/v1/models").await.status, 200);
    assert_eq!(other.count(), 1);
}

fn busy(retry_after: bool) -> impl Fn(&Asked) -> Response<Bytes> + Send + Sync {
    move |_| {
        let mut busy = answer(503, "application/json", "{\"error\": {\"message\": \"busy\"}}");
        if retry_after {
            busy.headers_mut().insert("retry-after", http::HeaderValue::from_static("7"));
        }
        busy
    }
}

#[tokio::test]
async fn one_that_says_come_later_has_another_asked() {
    let (one, other) = (Upstream::start(busy(true)).await, Upstream::saying("2").await);
    let proxy = proxy(vec![weighing(one.endpoint("one"), 9), other.endpoint("other")]).await;
    let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    assert_eq!((got.status.as_u16(), one.count(), other.count()), (200, 1, 1));
    assert!(String::from_utf8_lossy(&got.body).contains("[DONE]"));
    // Without a word on when, it may be about what was asked.
    one.answers(busy(false));
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.status.as_u16(), one.count(), other.count()), (503, 2, 1));
    // It was the second failure in a row.
    assert_eq!(standing(&proxy, "one").await["breaker"], "open");
}

#[tokio::test]
async fn a_storm_of_503_ends_in_silence_towards_them() {
    let (one, two) = (Upstream::start(busy(true)).await, Upstream::start(busy(true)).await);
    let proxy = proxy(vec![one.endpoint("one"), two.endpoint("two")]).await;
    // What the last of them says passes, with its Retry-After.
    for _ in 0..2 {
        let got = proxy.chat(&ask("hello", &json!({}))).await;
        assert_eq!((got.status.as_u16(), got.header("retry-after")), (503, "7"));
    }
    for _ in 0..20 {
        assert_eq!(chat(&proxy).await, (503, "upstream_unavailable".to_owned()));
    }
    assert_eq!((one.count(), two.count()), (2, 2));
}

#[tokio::test]
async fn what_a_request_can_bring_about_leaves_nobody_alone() {
    let one = Upstream::start(|_| answer(500, "application/json", "{\"error\": {\"message\": \"boom\"}}")).await;
    let proxy = proxy(vec![one.endpoint("one")]).await;
    for status in [500, 400, 429, 500] {
        one.answers(move |_| answer(status, "application/json", "{\"error\": {\"message\": \"boom\"}}"));
        for _ in 0..3 {
            assert_eq!(proxy.chat(&ask("hello", &json!({}))).await.status, status);
        }
    }
    assert_eq!(standing(&proxy, "one").await["breaker"], "closed");
}

#[tokio::test]
async fn attempts_are_bounded() {
    let mut endpoints = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        endpoints.push(at(name, &nobody().await, terms()));
    }
    let proxy = proxy(endpoints).await;
    assert_eq!(chat(&proxy).await.0, 502);
    let mut asked = 0.0;
    for name in ["a", "b", "c", "d", "e"] {
        let series = format!("nonnocere_upstream_requests_total{{endpoint=\"{name}\",result=\"unreachable\"}}");
        asked += proxy.metric(&series).await;
    }
    assert!((asked - 3.0).abs() < 0.1, "{asked}");
}

#[tokio::test]
async fn each_phase_has_a_time_of_its_own() {
    let short = Duration::from_millis(50);
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let hang = |sent: &'static [u8]| {
        rogue(move |mut stream| async move {
            drop(stream.write_all(sent).await);
            // Held open for as long as the test runs.
            tokio::spawn(async move { drop(stream.read(&mut [0; 64]).await) });
        })
    };
    for (terms, sent) in [
        (Terms { first_byte_timeout: short, ..terms() }, &b""[..]),
        (Terms { between_bytes_timeout: short, ..terms() }, head),
        (Terms { timeout: short, ..terms() }, head),
    ] {
        let proxy = proxy(vec![at("slow", &hang(sent).await, terms)]).await;
        let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (504, "upstream_timeout"));
    }
    // One that takes the connection and never shakes hands: nothing was sent, so that another may be asked.
    let silent = hang(b"").await.replace("http:", "https:");
    let other = Upstream::saying("2").await;
    let tls = Terms { connect_timeout: short, ..terms() };
    let proxy = proxy(vec![weighing(at("silent", &silent, tls), 9), other.endpoint("other")]).await;
    assert_eq!((chat(&proxy).await.0, other.count()), (200, 1));
}

#[tokio::test]
async fn a_client_that_leaves_a_trial_leaves_it_to_the_next() {
    let mut one = Upstream::saying("1").await;
    let mut endpoint = one.endpoint("one");
    (endpoint.terms.breaker.pause, endpoint.terms.breaker.failures) = (Duration::from_millis(1), 1);
    let proxy = proxy(vec![endpoint]).await;
    one.kill().await;
    assert_eq!(chat(&proxy).await.0, 502);
    one.revive().await;
    one.hold(true);
    while one.count() == 0 {
        // Each request waits for ever, or is told to come later.
        drop(tokio::time::timeout(Duration::from_millis(20), chat(&proxy)).await);
    }
    one.hold(false);
    while chat(&proxy).await.0 != 200 {}
    assert_eq!(standing(&proxy, "one").await["breaker"], "closed");
}

#[tokio::test]
async fn one_that_is_not_well_is_not_asked_until_it_is() {
    let (one, other) = (Upstream::saying("1").await, Upstream::saying("2").await);
    let sick = |asked: &Asked| match asked.path.as_str() {
        "/health" => answer(500, "text/plain", "no"),
        _ => common::chat_answer(asked, "1"),
    };
    let well = |asked: &Asked| match asked.path.as_str() {
        "/health" => answer(200, "text/plain", "yes"),
        _ => common::chat_answer(asked, "1"),
    };
    one.answers(sick);
    let every = Duration::from_millis(5);
    let mut endpoint = one.endpoint("one");
    endpoint.authorization = Some("Bearer own".parse().unwrap());
    endpoint.terms.health =
        Some(Health { path: "/health".to_owned(), interval: every, timeout: Duration::from_secs(5) });
    let proxy = proxy(vec![endpoint, other.endpoint("other")]).await;
    while standing(&proxy, "one").await["healthy"] == true {
        tokio::task::yield_now().await;
    }
    let chats = || one.asked.lock().unwrap().iter().filter(|asked| asked.path != "/health").count();
    for _ in 0..4 {
        assert_eq!(chat(&proxy).await.0, 200);
    }
    assert_eq!((chats(), other.count()), (0, 4));
    one.answers(well);
    while standing(&proxy, "one").await["healthy"] == false {
        tokio::task::yield_now().await;
    }
    for _ in 0..4 {
        assert_eq!(chat(&proxy).await.0, 200);
    }
    assert_eq!((chats(), other.count()), (2, 6));
    let asked = one.asked.lock().unwrap();
    assert!(asked.iter().all(|asked| asked.headers["authorization"] == "Bearer own"));
}

#[tokio::test]
async fn a_stream_that_has_begun_is_never_begun_again() {
    let chunk = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":\
                 [{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"One sentence is there. And\"},\"finish_reason\":null}]}\n\n";
    let sent = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n{chunk}");
    let sent: &'static str = Box::leak(sent.into_boxed_str());
    let url = rogue(move |mut stream| async move { drop(stream.write_all(sent.as_bytes()).await) }).await;
    let other = Upstream::saying("2").await;
    let proxy = proxy(vec![weighing(at("rogue", &url, terms()), 9), other.endpoint("other")]).await;
    let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    let text = String::from_utf8_lossy(&got.body);
    assert!(text.contains("upstream_unreachable") && !text.contains("[DONE]"), "{text}");
    assert_eq!(other.count(), 0);
}
