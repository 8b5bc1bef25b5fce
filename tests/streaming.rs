//! A streamed answer flows as it comes, and is cut where it violates; nobody is kept who is not needed.

mod common;

use bytes::Bytes;
use common::{Options, RunningProxy, Scripted, ScriptedUpstream, answer, ask};
use http::Request;
use http_body_util::{BodyExt, Full};
use nonnocere::classify::{Classifier, ClassifyError, Input, Scores};
use nonnocere::guard::stream::Mode;
use nonnocere::openai::sse;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An LLM server whose answers a test writes by hand, event by event.
struct ByHand {
    listener: TcpListener,
    address: SocketAddr,
}

/// One answer that is being written.
struct Writing(TcpStream);

impl ByHand {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    async fn asked(&self) -> Writing {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(12).any(|window| window == b"\"messages\":[") {
            stream.read_buf(&mut request).await.unwrap();
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        Writing(stream)
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Writing {
    async fn event(&mut self, event: &str) {
        self.0.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
    }

    async fn says(&mut self, text: &str) {
        self.event(&says(text)).await;
    }

    async fn end(&mut self) {
        self.event(&sse::event(sse::DONE)).await;
        self.0.write_all(b"0\r\n\r\n").await.unwrap();
    }

    /// Returns when the other side has closed the connection.
    async fn closed(&mut self) {
        while !matches!(self.0.read(&mut [0; 64]).await, Ok(0) | Err(_)) {}
    }
}

fn says(text: &str) -> String {
    let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
    sse::event(&json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}).to_string())
}

/// A client that reads its answer as it comes.
struct Reading(hyper::body::Incoming);

impl Reading {
    async fn start(proxy: &RunningProxy, body: Value) -> Self {
        let request = Request::post(format!("http://{}/v1/chat/completions", proxy.address));
        let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body.to_string())));
        let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let response = client.request(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        Self(response.into_body())
    }

    /// Reads on until `text` was read; gives all that was.
    async fn until(&mut self, text: &str) -> String {
        let mut read = String::new();
        while !read.contains(text) {
            let frame = self.0.frame().await.unwrap_or_else(|| panic!("{text:?} never came: {read}")).unwrap();
            read.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
        read
    }

    async fn rest(self) -> String {
        String::from_utf8(self.0.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

fn asking() -> Value {
    ask("hello", &json!({"stream": true}))
}

/// Judges as [`Scripted`] does, each text when the gate opens.
struct Gated {
    begun: tokio::sync::mpsc::UnboundedSender<()>,
    gate: Mutex<blocking::Receiver<()>>,
}

impl Classifier for Gated {
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        self.begun.send(()).unwrap();
        self.gate.lock().unwrap().recv().unwrap();
        Scripted.score(inputs)
    }

    fn id(&self) -> &str {
        "gated"
    }
}

fn gated() -> (Arc<Gated>, tokio::sync::mpsc::UnboundedReceiver<()>, blocking::Sender<()>) {
    let ((begun, judging), (open, gate)) = (tokio::sync::mpsc::unbounded_channel(), blocking::channel());
    (Arc::new(Gated { begun, gate: Mutex::new(gate) }), judging, open)
}

#[tokio::test]
async fn a_sentence_is_read_before_the_next_is_written() {
    let upstream = ByHand::start().await;
    let proxy = RunningProxy::start(Options::new(&upstream.url())).await;
    let (mut reading, mut writing) = tokio::join!(async { Reading::start(&proxy, asking()).await }, async {
        let mut writing = upstream.asked().await;
        writing.says("Take it with food. ").await;
        writing
    });
    writing.says("Then").await;
    assert_eq!(reading.until("food").await, says("Take it with food. "));
    writing.says(" rest.").await;
    writing.end().await;
    assert_eq!(reading.rest().await, [says("Then"), says(" rest."), sse::event(sse::DONE)].concat());
    assert!(proxy.metric("nonnocere_stream_held_seconds_count").await >= 3.0);
    assert!((proxy.metric("nonnocere_stream_windows_total").await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn a_cut_ends_the_answer_and_leaves_the_upstream_at_once() {
    let upstream = ByHand::start().await;
    let proxy = RunningProxy::start(Options::new(&upstream.url())).await;
    let body = ask("hello", &json!({"stream": true, "stream_options": {"include_usage": true}, "moderation": {}}));
    let (reading, mut writing) = tokio::join!(Reading::start(&proxy, body), async {
        let mut writing = upstream.asked().await;
        writing.says("All is well. ").await;
        writing
    });
    writing.says("Now VIOLATE it. ").await;
    writing.says("And").await;
    let read = reading.rest().await;
    assert!(!read.contains("VIOLATE") && !read.contains("Now") && read.contains("All is well."), "{read}");
    let events = sse::events(read.as_bytes()).unwrap();
    assert_eq!(events.last().unwrap(), sse::DONE);
    let event = |back: usize| -> Value { serde_json::from_str(&events[events.len() - back]).unwrap() };
    assert_eq!(event(2)["moderation"]["output"]["flagged"], true);
    assert_eq!((&event(3)["choices"], &event(3)["usage"]["completion_tokens"]), (&json!([]), &json!(3)));
    assert_eq!(
        (&event(4)["choices"][0]["finish_reason"], &event(4)["choices"][0]["delta"]),
        (&json!("content_filter"), &json!({}))
    );
    writing.closed().await;
    assert!((proxy.metric("nonnocere_requests_in_flight").await).abs() < 0.1);
    let counted = "nonnocere_decisions_total{action=\"block\",direction=\"completion\",principle=\"II\"}";
    assert!((proxy.metric(counted).await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_client_that_leaves_frees_everything_and_leaves_a_record() {
    let upstream = ByHand::start().await;
    let proxy = RunningProxy::start(Options::new(&upstream.url())).await;
    for told in ["Take it with food. ", "Take it"] {
        let (mut reading, mut writing) = tokio::join!(Reading::start(&proxy, asking()), async {
            let mut writing = upstream.asked().await;
            writing.event(&says("")).await;
            writing
        });
        reading.until("content").await;
        writing.says(told).await;
        drop(reading);
        writing.closed().await;
    }
    // The body is dropped just before its connection to the upstream closes.
    assert!((proxy.metric("nonnocere_requests_in_flight").await).abs() < 0.1);
    let counted = "nonnocere_decisions_total{action=\"allow\",direction=\"completion\",principle=\"none\"}";
    assert!((proxy.metric(counted).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_ends_in_an_error() {
    let upstream = ByHand::start().await;
    let proxy = RunningProxy::start(Options::new(&upstream.url())).await;
    let (reading, writing) = tokio::join!(Reading::start(&proxy, asking()), async {
        let mut writing = upstream.asked().await;
        writing.says("Take it with food. Th").await;
        writing
    });
    drop(writing);
    let read = reading.rest().await;
    let last = sse::events(read.as_bytes()).unwrap().pop().unwrap();
    assert!(last.contains("\"upstream_unreachable\"") && !read.contains("[DONE]"), "{read}");
}

#[tokio::test]
async fn a_stream_that_is_held_back_shows_that_it_lives() {
    let upstream = ByHand::start().await;
    let mut options = Options::new(&upstream.url());
    options.streaming.keep_alive = Duration::from_millis(20);
    options.streaming.flow.mode = Mode::Buffer;
    let proxy = RunningProxy::start(options).await;
    let (mut reading, mut writing) = tokio::join!(Reading::start(&proxy, asking()), async {
        let mut writing = upstream.asked().await;
        writing.says("Take it with food. ").await;
        writing
    });
    let alive = reading.until(": keep-alive\n\n: keep-alive\n\n").await;
    assert!(!alive.contains("food"));
    writing.end().await;
    let rest = reading.rest().await.replace(": keep-alive\n\n", "");
    assert_eq!(rest, [says("Take it with food. "), sse::event(sse::DONE)].concat());
}

#[tokio::test]
async fn slow_judging_neither_reorders_nor_drops() {
    let upstream = ByHand::start().await;
    let (classifier, mut judging, open) = gated();
    let mut options = Options::new(&upstream.url());
    options.classifier = classifier;
    let proxy = RunningProxy::start(options).await;
    open.send(()).unwrap();
    let (mut reading, mut writing) = tokio::join!(Reading::start(&proxy, asking()), async {
        let mut writing = upstream.asked().await;
        writing.event(&says("")).await;
        writing
    });
    reading.until("content").await;
    let sentences: Vec<String> = (0..200).map(|n| format!("This is sentence {n}. ")).collect();
    writing.says(&sentences[0]).await;
    writing.says(&sentences[1]).await;
    // The prompt, then the first sentence; while that is judged, all others come.
    judging.recv().await.unwrap();
    judging.recv().await.unwrap();
    for sentence in &sentences[2..] {
        writing.says(sentence).await;
    }
    writing.end().await;
    // How many judgements it takes depends on how the rest arrives.
    (0..200).for_each(|_| open.send(()).unwrap());
    let all: String = sentences.iter().map(|sentence| says(sentence)).collect();
    assert_eq!(reading.rest().await, all + &sse::event(sse::DONE));
}

#[tokio::test]
async fn the_llm_is_asked_ahead_only_where_a_route_says_so_and_left_on_a_refusal() {
    let upstream = ByHand::start().await;
    let (classifier, mut judging, open) = gated();
    let mut options = Options::new(&upstream.url());
    options.classifier = classifier;
    options.streaming.flow.speculative = true;
    let proxy = RunningProxy::start(options).await;
    for (content, said) in [("hello", "Take it with food. "), ("VIOLATE", "medical ethics")] {
        let body = ask(content, &json!({"stream": true}));
        let (reading, writing) = tokio::join!(Reading::start(&proxy, body), async {
            // The answer has begun, and the prompt is still being judged.
            let mut writing = upstream.asked().await;
            judging.recv().await.unwrap();
            writing.says("Take it with food. ").await;
            open.send(()).unwrap();
            writing
        });
        let mut writing = writing;
        if content == "hello" {
            writing.end().await;
            open.send(()).unwrap();
        } else {
            writing.closed().await;
        }
        let read = reading.rest().await;
        assert!(read.contains(said), "{read}");
        assert_eq!(read.contains("food"), content == "hello");
    }
    // By default, nothing leaves before it is cleared.
    let plain = RunningProxy::before(&ScriptedUpstream::start(|_| answer(200, "application/json", "{}")).await).await;
    assert_eq!(plain.chat(&ask("VIOLATE", &json!({}))).await.header("x-nonnocere-decision"), "block");
}

#[tokio::test]
async fn what_is_released_at_once_waits_for_no_verdict() {
    let upstream = ByHand::start().await;
    let (classifier, mut judging, open) = gated();
    let mut options = Options::new(&upstream.url());
    options.classifier = classifier;
    options.streaming.flow.mode = Mode::Async;
    let proxy = RunningProxy::start(options).await;
    open.send(()).unwrap();
    let (mut reading, mut writing) = tokio::join!(Reading::start(&proxy, asking()), async {
        let mut writing = upstream.asked().await;
        writing.says("Now VIOLATE it. And").await;
        writing
    });
    assert!(reading.until("VIOLATE").await.contains("And"), "it is seen before it is judged");
    for _ in 0..2 {
        judging.recv().await.unwrap();
    }
    open.send(()).unwrap();
    let read = reading.rest().await;
    assert!(read.contains("content_filter_offsets") && read.ends_with("data: [DONE]\n\n"), "{read}");
    writing.closed().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_left() {
    let upstream = ByHand::start().await;
    let mut options = Options::new(&upstream.url());
    options.limits.body_timeout = Duration::from_millis(50);
    let proxy = RunningProxy::start(options).await;
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    let body = asking().to_string();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.write_all(head.as_bytes()).await.unwrap();
    let mut writing = upstream.asked().await;
    // More than the buffers on the way can take.
    let sentence = "All is well here today. ".repeat(2_000);
    let event = says(&sentence);
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    while writing.0.write_all(chunk.as_bytes()).await.is_ok() {}
    drop(client);
}

#[tokio::test]
async fn an_answer_is_over_when_its_upstream_says_so() {
    let upstream = ByHand::start().await;
    let proxy = RunningProxy::start(Options::new(&upstream.url())).await;
    let (reading, mut writing) = tokio::join!(Reading::start(&proxy, asking()), async {
        let mut writing = upstream.asked().await;
        writing.says("Take it with food.").await;
        writing
    });
    // The upstream says that it is done, and keeps the connection.
    writing.event(&sse::event(sse::DONE)).await;
    assert_eq!(reading.rest().await, says("Take it with food.") + &sse::event(sse::DONE));
}
