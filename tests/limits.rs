//! Bad input, slow clients and a missing upstream each get a clear answer.

mod common;

use bytes::Bytes;
use common::{Options, RunningProxy, Scripted, ScriptedUpstream, ask};
use http::{Request, Response};
use http_body_util::Full;
use nonnocere::classify::{Classifier, ClassifyError, Input, Scores};
use serde_json::json;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn rejected(body: &str) -> (u16, String) {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.post("/v1/chat/completions", body.to_owned()).await;
    assert!(upstream.asked().is_empty());
    assert_eq!(got.header("x-nonnocere-decision"), "error");
    (got.status.as_u16(), got.error_code())
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let body = ask(&"x ".repeat(40_000), &json!({})).to_string();
    assert_eq!(rejected(&body).await, (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn a_body_over_the_limit_that_does_not_announce_its_length_is_413() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream
        .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for _ in 0..17 {
        // The proxy may have closed already.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
}

#[tokio::test]
async fn what_is_not_json_is_400_with_its_position() {
    assert_eq!(rejected("{\"messages\": nope}").await, (400, "invalid_json".to_owned()));
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.post("/v1/chat/completions", "{\n  \"messages\": patient Smith").await;
    let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("line 2, column 15"), "{message}");
    assert!(!message.contains("Smith"), "an error never holds text of the request");
}

#[tokio::test]
async fn hostile_json_is_400() {
    let deep = format!("{{\"messages\": {}1{}}}", "[".repeat(70), "]".repeat(70));
    let twice = r#"{"messages": [{"role": "user", "content": "a", "content": "b"}]}"#;
    let surrogate = r#"{"messages": [{"role": "user", "content": "\ud800"}]}"#;
    for body in [&deep, twice, surrogate, "\u{feff}{}", "", "[]", "null", "{\"messages\": []}", "{\"messages\": [{}]}"]
    {
        assert_eq!(rejected(body).await.0, 400, "{body}");
    }
}

/// A body in gzip.
fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, body).unwrap();
    encoder.finish().unwrap().into()
}

#[tokio::test]
async fn a_compressed_body_is_judged_and_sent_on_as_it_was_judged() {
    let upstream = ScriptedUpstream::start(|asked| {
        let mut answer = common::chat_answer(asked, "Fine.");
        *answer.body_mut() = gzip(answer.body());
        answer.headers_mut().insert("content-encoding", http::HeaderValue::from_static("gzip"));
        answer
    })
    .await;
    let proxy = RunningProxy::before(&upstream).await;
    let send = async |encoding: &str, body: Bytes| {
        let request = Request::post(format!("http://{}/v1/chat/completions", proxy.address));
        proxy.send(request.header("content-encoding", encoding).body(Full::new(body)).unwrap()).await
    };
    let body = ask("hello", &json!({})).to_string();
    let got = send("gzip", gzip(body.as_bytes())).await;
    let asked = upstream.asked();
    assert_eq!(asked[0].body, body);
    assert!(asked[0].headers.get("content-encoding").is_none());
    assert_eq!(got.header("content-encoding"), "");
    assert_eq!(got.body, common::chat_answer(&asked[0], "Fine.").into_body());
    let violating = ask("VIOLATE", &json!({})).to_string();
    assert_eq!(send("gzip", gzip(violating.as_bytes())).await.header("x-nonnocere-decision"), "block");
    for (encoding, body, expected) in [
        ("compress", Bytes::from_static(b"x"), (415, "unsupported_encoding")),
        ("gzip", Bytes::from_static(b"x"), (400, "body_incomplete")),
        ("gzip", gzip(&vec![b' '; 10_000_000]), (413, "body_too_large")),
    ] {
        let got = send(encoding, body).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), expected, "{encoding}");
    }
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn hostile_bytes_are_answered_and_never_sent() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let body = ask("VIOLATE", &json!({})).to_string();
    let wide: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked: Vec<u8> = [0xff, 0xfe].into_iter().chain(wide.iter().copied()).collect();
    let numbers = body.replacen('{', "{\"seed\": 1e999,", 1);
    let broken = [body.as_bytes(), &[0xc3, 0x28]].concat();
    let two = format!("{body}{body}");
    for body in [wide, marked, numbers.into_bytes(), broken, two.into_bytes(), vec![0; 64]] {
        let got = proxy.post("/v1/chat/completions", body.clone()).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (400, "invalid_json"), "{body:?}");
    }
    // A NUL is a character like any other, and hides nothing behind it.
    let got = proxy.post("/v1/chat/completions", ask("a\0 VIOLATE", &json!({})).to_string()).await;
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_one_body() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for (text, expected) in [("VIOLATE", "x-nonnocere-decision: block"), ("hello", "x-nonnocere-decision: allow")] {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head =
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for byte in ask(text, &json!({})).to_string().bytes() {
            stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn what_nothing_guards_is_not_served() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for path in [
        "/v1/files",
        "/v1/batches",
        "/v1/responses/r/cancel",
        "/v1/",
        "/",
        "/v1/models/..%2fx/..",
        "/v1/chat/completions/",
    ] {
        let got = proxy.post(path, "{}").await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (404, "unguarded_endpoint"), "{path}");
    }
    let got = proxy.get("/v1/chat/completions").await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (405, "method_not_allowed"));
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn models_are_passed_through() {
    let list = "{\"object\": \"list\",  \"data\": []}";
    let upstream = ScriptedUpstream::start(move |_| common::answer(200, "application/json", list)).await;
    let proxy = RunningProxy::before(&upstream).await;
    assert_eq!(proxy.get("/v1/models?limit=3").await.body, list);
    assert_eq!(proxy.get("/v1/models/m").await.body, list);
    let paths: Vec<String> = upstream.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/v1/models?limit=3", "/v1/models/m"]);
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_are_408() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let mut options = Options::new(&upstream.url());
    options.limits.header_timeout = Duration::from_millis(50);
    options.limits.body_timeout = Duration::from_millis(50);
    let proxy = RunningProxy::start(options).await;
    for (sent, code) in [
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n", "header_timeout"),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", "body_timeout"),
    ] {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let mut length = 0;
        while !String::from_utf8_lossy(&answer[..length]).contains(code) {
            let read = stream.read(&mut answer[length..]).await.unwrap();
            assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer[..length]));
            length += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 408"));
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_502() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = RunningProxy::start(Options::new(&format!("http://{gone}/v1"))).await;
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (502, "upstream_unreachable"));
    assert_eq!(got.header("x-nonnocere-decision"), "error");
    assert!((proxy.metric("nonnocere_upstream_errors_total{kind=\"unreachable\"}").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            drop(stream.read(&mut request).await);
            let half =
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 500\r\n\r\ndata: {\"half\"";
            drop(stream.write_all(half).await);
        }
    });
    let proxy = RunningProxy::start(Options::new(&format!("http://{address}/v1"))).await;
    let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (502, "upstream_unreachable"));
}

#[tokio::test]
async fn an_upstream_that_closes_idle_connections_loses_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await);
                // Closes just as the next request comes.
                drop(stream.read(&mut request).await);
            });
        }
    });
    let url = format!("http://{address}/v1");
    let proxy = RunningProxy::start(Options { idle_timeout: Duration::ZERO, ..Options::new(&url) }).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/v1/models").await.status, 200);
    }
}

#[tokio::test]
async fn an_upstream_that_is_too_slow_is_504() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options::new(&format!("http://{}/v1", listener.local_addr().unwrap()));
    options.upstream_timeout = Duration::from_millis(50);
    let proxy = RunningProxy::start(options).await;
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (504, "upstream_timeout"));
}

#[tokio::test]
async fn answers_that_cannot_be_used_are_502() {
    let long = "x".repeat(300 * 1024);
    for answer in [
        Response::builder().status(200).body(Bytes::from(long)).unwrap(),
        Response::builder()
            .status(200)
            .header("content-encoding", "gzip")
            .body(Bytes::from_static(b"\x1f\x8b"))
            .unwrap(),
        Response::builder().status(307).header("location", "http://elsewhere/").body(Bytes::new()).unwrap(),
    ] {
        let upstream = ScriptedUpstream::start(move |_| answer.clone()).await;
        let proxy = RunningProxy::before(&upstream).await;
        let got = proxy.chat(&ask("hello", &json!({}))).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (502, "upstream_invalid_response"));
    }
}

/// Judges nothing until it is let go.
struct Held(Arc<(Mutex<bool>, Condvar)>);

impl Classifier for Held {
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        let (free, changed) = &*self.0;
        drop(changed.wait_while(free.lock().unwrap(), |free| !*free).unwrap());
        Scripted.score(inputs)
    }

    fn id(&self) -> &str {
        "held"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_slots_are_503_at_once() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let mut options = Options::new(&upstream.url());
    options.classifier = Arc::new(Held(Arc::clone(&gate)));
    options.limits.in_flight = 2;
    let proxy = Arc::new(RunningProxy::start(options).await);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let proxy = Arc::clone(&proxy);
            tokio::spawn(async move { proxy.chat(&ask("hello", &json!({}))).await })
        })
        .collect();
    while proxy.proxy.slots.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (503, "overloaded"));
    assert_eq!(got.header("retry-after"), "1");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for one in held {
        assert_eq!(one.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = RunningProxy::start(Options::new(&format!("http://{}/v1", listener.local_addr().unwrap()))).await;
    let body = ask("hello", &json!({})).to_string();
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.write_all(head.as_bytes()).await.unwrap();
    // The request has reached the upstream, which never answers.
    let (mut upstream, _) = listener.accept().await.unwrap();
    upstream.read_u8().await.unwrap();
    assert!((proxy.metric("nonnocere_requests_in_flight").await - 1.0).abs() < 0.1);
    drop(client);
    // The proxy hangs up on the upstream, so that nobody pays for an answer that nobody reads.
    let mut rest = Vec::new();
    upstream.read_to_end(&mut rest).await.unwrap();
    assert!(proxy.metric("nonnocere_requests_in_flight").await.abs() < 0.1);
    assert_eq!(proxy.proxy.slots.available_permits(), 64);
}
