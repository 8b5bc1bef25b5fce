//! The same text gets the same verdict wherever it stands: a violating canary in every cell of the matrix reaches nobody,
//! and a harmless one passes byte for byte. The matrix is written to `docs/CONFORMANCE.md`.

#[path = "../common/mod.rs"]
mod common;
mod places;

use bytes::Bytes;
use common::{Options, RunningProxy, ScriptedUpstream, answer};
use http::Response;
use nonnocere::policy::file::EMBEDDED;
use nonnocere::policy::reload::Source;
use places::{
    CHAT, CHAT_ANSWERS, CHAT_REQUESTS, COMPLETIONS, COMPLETIONS_REQUESTS, EMBEDDINGS, EMBEDDINGS_REQUESTS, RESPONSES,
    RESPONSES_EVENTS, RESPONSES_ITEMS, RESPONSES_REQUESTS,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

const BAD: &str = "please VIOLATE this";
const GOOD: &str = "please explain this";

/// What is asked for an answer, and what of the answer stays when it is cut.
struct Cell<'a> {
    row: &'a str,
    path: &'a str,
    ask: &'a Value,
    kept: &'a str,
}

/// One proxy, and an upstream that gives the answer that is in its hand.
struct Rig {
    upstream: ScriptedUpstream,
    proxy: RunningProxy,
    hand: Arc<Mutex<Response<Bytes>>>,
    cells: BTreeMap<String, usize>,
}

impl Rig {
    async fn new() -> Self {
        let hand = Arc::new(Mutex::new(answer(200, "application/json", "{}")));
        let given = Arc::clone(&hand);
        let upstream = ScriptedUpstream::start(move |_| given.lock().unwrap().clone()).await;
        let proxy = RunningProxy::start(Options::new(&upstream.url())).await;
        Self { upstream, proxy, hand, cells: BTreeMap::new() }
    }

    fn hold(&self, stream: bool, body: &str) {
        *self.hand.lock().unwrap() = answer(200, if stream { "text/event-stream" } else { "application/json" }, body);
    }

    fn count(&mut self, row: &str) {
        *self.cells.entry(row.to_owned()).or_default() += 1;
    }

    /// A request that says BAD does not leave, one that says GOOD leaves as it is.
    async fn ask(&mut self, row: &str, path: &str, body: impl Fn(&str) -> Value) {
        let before = self.upstream.asked().len();
        let refused = self.proxy.post(path, body(BAD).to_string()).await;
        assert_eq!(self.upstream.asked().len(), before, "{row} let a violation out");
        assert!(!String::from_utf8_lossy(&refused.body).contains("VIOLATE"), "{row} gives the text back");
        assert_eq!(refused.status.as_u16(), if path == EMBEDDINGS { 400 } else { 200 }, "{row}: {:?}", refused.body);
        assert_eq!(refused.header("x-nonnocere-decision"), "block", "{row}");
        // Spelt in a way of its own, so that a re-serialised body is noticed.
        let sent = body(GOOD).to_string().replacen('{', "{ \"seed\":1.0e0,", 1);
        let passed = self.proxy.post(path, sent.clone()).await;
        let asked = self.upstream.asked();
        assert_eq!(asked.len(), before + 1, "{row} stops a harmless text: {:?}", passed.body);
        assert_eq!(asked[before].body, sent, "{row}");
        assert_eq!(passed.body, *self.hand.lock().unwrap().body(), "{row}");
        self.count(row);
    }

    /// An answer that says BAD does not arrive, one that says GOOD arrives as it is; `kept` stays in both.
    async fn answer(&mut self, cell: Cell<'_>, body: impl Fn(&str) -> String) {
        let Cell { row, path, ask, kept } = cell;
        let stream = ask["stream"] == json!(true);
        self.hold(stream, &body(BAD));
        let cut = self.proxy.post(path, ask.to_string()).await;
        let text = String::from_utf8_lossy(&cut.body).into_owned();
        assert!(!text.contains("VIOL") && !text.contains("LATE"), "{row} lets a violation in: {text}");
        assert!(text.contains("withheld") && text.contains(kept), "{row}: {text}");
        assert_eq!(cut.status.as_u16(), 200, "{row}");
        let good = body(GOOD);
        self.hold(stream, &good);
        let passed = self.proxy.post(path, ask.to_string()).await;
        assert_eq!(passed.body, good, "{row}");
        self.count(row);
    }
}

fn whole(path: &str, choices: &[Value]) -> String {
    let object = if path == CHAT { "chat.completion" } else { "text_completion" };
    format!(
        "{{ \"id\":\"c\",\"object\":\"{object}\",\"created\":1.0e0,\"model\":\"m\",\"choices\":{}}}",
        json!(choices)
    )
}

fn events<'a>(events: impl IntoIterator<Item = &'a Value>) -> String {
    events.into_iter().fold(String::new(), |mut body, event| {
        write!(body, "data:  {event}\r\n\r\n").unwrap();
        body
    })
}

/// An event of a kind.
fn event(kind: &str, fields: &Value) -> Value {
    let mut event = fields.clone();
    event.as_object_mut().unwrap().insert("type".to_owned(), json!(kind));
    event
}

#[tokio::test]
async fn the_same_text_gets_the_same_verdict_on_every_surface() {
    let mut rig = Rig::new().await;
    let surfaces = [
        (CHAT, CHAT_REQUESTS),
        (COMPLETIONS, COMPLETIONS_REQUESTS),
        (RESPONSES, RESPONSES_REQUESTS),
        (EMBEDDINGS, EMBEDDINGS_REQUESTS),
    ];
    for (path, places) in surfaces {
        for (field, role, body) in places {
            let (streams, ns): (&[bool], &[u64]) = match path {
                EMBEDDINGS => (&[false], &[1]),
                RESPONSES => (&[false, true], &[1]),
                _ => (&[false, true], &[1, 2]),
            };
            for (stream, n) in streams.iter().flat_map(|stream| ns.iter().map(move |n| (*stream, *n))) {
                rig.hold(stream, if stream { "data: [DONE]\n\n" } else { "{ \"id\": \"a\"}" });
                let body = |text: &str| {
                    let mut body = body(text);
                    let fields = body.as_object_mut().unwrap();
                    if path != EMBEDDINGS {
                        fields.insert("stream".to_owned(), json!(stream));
                    }
                    if n > 1 {
                        fields.insert("n".to_owned(), json!(n));
                    }
                    body
                };
                rig.ask(&format!("request | `{path}` | {field} | {role}"), path, body).await;
            }
        }
    }
    answers_with_choices(&mut rig).await;
    answers_of_responses(&mut rig).await;
    let (table, cells) = table(&rig.cells);
    assert!(cells >= 300, "{cells} cells");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFORMANCE.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == table, "docs/CONFORMANCE.md is out of date: run UPDATE=1 cargo test --test conformance");
}

async fn answers_with_choices(rig: &mut Rig) {
    for (n, at) in [(1, 0), (2, 0), (2, 1)] {
        let ask = |stream: bool| json!({"model": "m", "n": n, "stream": stream, "messages": [{"role": "user", "content": "x"}]});
        let kept = if n == 2 { "all is well" } else { "" };
        let other = u64::from(at == 0);
        for (field, said) in CHAT_ANSWERS {
            let row = format!("answer | `{CHAT}` | {field} | choice {at} of {n}");
            let choice = |text: &str| json!({"index": at, "message": said(text), "finish_reason": "stop"});
            let beside = json!({"index": other, "message": {"content": "all is well"}, "finish_reason": "stop"});
            let body = |text: &str| match n {
                1 => whole(CHAT, &[choice(text)]),
                _ => whole(CHAT, &[beside.clone(), choice(text)]),
            };
            rig.answer(Cell { row: &row, path: CHAT, ask: &ask(false), kept }, body).await;
            // Fragments of the text come between those of another choice.
            let chunk = |index: u64, delta: &Value| json!({"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": null}]});
            let body = |text: &str| {
                let (one, two) = text.split_at(text.len() / 2);
                let mut chunks = vec![chunk(at, &said(one)), chunk(at, &said(two))];
                if n == 2 {
                    chunks.insert(1, chunk(other, &json!({"content": "all is well"})));
                }
                events(&chunks) + "data: [DONE]\n\n"
            };
            rig.answer(Cell { row: &row, path: CHAT, ask: &ask(true), kept }, body).await;
        }
        let ask = |stream: bool| json!({"model": "m", "n": n, "stream": stream, "prompt": "x"});
        let row = format!("answer | `{COMPLETIONS}` | text | choice {at} of {n}");
        let choice = |index: u64, text: &str| json!({"index": index, "text": text, "finish_reason": "stop"});
        let body = |text: &str| match n {
            1 => whole(COMPLETIONS, &[choice(at, text)]),
            _ => whole(COMPLETIONS, &[choice(other, "all is well"), choice(at, text)]),
        };
        rig.answer(Cell { row: &row, path: COMPLETIONS, ask: &ask(false), kept }, body).await;
        let body = |text: &str| {
            let (one, two) = text.split_at(text.len() / 2);
            let chunk = |index: u64, text: &str| json!({"id": "c", "choices": [choice(index, text)]});
            let mut chunks = vec![chunk(at, one), chunk(at, two)];
            chunks[0]["choices"][0]["finish_reason"] = Value::Null;
            if n == 2 {
                chunks.insert(1, chunk(other, "all is well"));
            }
            events(&chunks)
        };
        rig.answer(Cell { row: &row, path: COMPLETIONS, ask: &ask(true), kept }, body).await;
    }
}

async fn answers_of_responses(rig: &mut Rig) {
    let ask = |stream: bool| json!({"model": "m", "stream": stream, "input": "x"});
    for (field, item) in RESPONSES_ITEMS {
        let row = format!("answer | `{RESPONSES}` | {field} | ");
        let response = |text: &str| json!({"id": "r", "object": "response", "output": [item(text)]});
        rig.answer(Cell { row: &row, path: RESPONSES, ask: &ask(false), kept: "" }, |text| response(text).to_string())
            .await;
        let done = |text: &str| events(&[json!({"type": "response.completed", "response": response(text)})]);
        rig.answer(Cell { row: &row, path: RESPONSES, ask: &ask(true), kept: "" }, done).await;
    }
    for (kind, fields) in RESPONSES_EVENTS {
        let row = format!("answer | `{RESPONSES}` | {kind} | ");
        let event = |text: &str| event(kind, &fields(text));
        let body = |text: &str| {
            let (one, two) = text.split_at(text.len() / 2);
            if kind.ends_with("delta") { events(&[event(one), event(two)]) } else { events(&[event(text)]) }
        };
        rig.answer(Cell { row: &row, path: RESPONSES, ask: &ask(true), kept: "" }, body).await;
    }
}

/// The matrix as a page, and the number of its cells.
fn table(cells: &BTreeMap<String, usize>) -> (String, usize) {
    let total: usize = cells.values().sum();
    let mut page = format!(
        "# The conformance matrix\n\nWritten by `tests/conformance.rs`. In each cell a violating canary reached nobody, and a harmless one passed\nbyte \
         for byte. Cells of a row: whole and streamed, one choice and two, as far as the surface has them.\n\n{total} cells.\n\n\
         | side | surface | field | role or choice | cells |\n|---|---|---|---|---|\n"
    );
    for (row, count) in cells {
        writeln!(page, "| {row} | {count} |").unwrap();
    }
    (page, total)
}

const NOTE: &str = "Patient: Maria Sanchez, MRN 4471920, takes 5 mg";
const HIDDEN: [&str; 3] = ["Maria", "Sanchez", "4471920"];

async fn redacting(upstream: &ScriptedUpstream) -> RunningProxy {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(EMBEDDED.replacen("= \"pass\"", "= \"redact\"", 2).as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    options.policy = Source::File(file.path().to_owned());
    RunningProxy::start(options).await
}

/// Definitions are the operator's, and files are not redacted.
fn is_redacted(field: &str) -> bool {
    let left = ["tools", "functions", "response_format", "text, schema", "file_data", "reasoning_effort"];
    !left.iter().any(|left| field.contains(left))
}

#[tokio::test]
async fn identifiers_leave_in_no_place_of_a_request() {
    let upstream = ScriptedUpstream::start(|_| answer(200, "application/json", "{}")).await;
    let proxy = redacting(&upstream).await;
    let surfaces = [
        (CHAT, CHAT_REQUESTS),
        (COMPLETIONS, COMPLETIONS_REQUESTS),
        (RESPONSES, RESPONSES_REQUESTS),
        (EMBEDDINGS, EMBEDDINGS_REQUESTS),
    ];
    for (path, places) in surfaces {
        for (field, role, body) in places.iter().filter(|(field, ..)| is_redacted(field)) {
            let before = upstream.asked().len();
            proxy.post(path, body(NOTE).to_string()).await;
            let sent = upstream.asked();
            assert_eq!(sent.len(), before + 1, "{path} {field} {role}");
            let sent = String::from_utf8(sent[before].body.to_vec()).unwrap();
            assert!(!HIDDEN.iter().any(|hidden| sent.contains(hidden)), "{path} {field} {role}: {sent}");
            serde_json::from_str::<Value>(&sent).unwrap();
        }
    }
}

#[tokio::test]
async fn identifiers_are_masked_in_every_place_of_an_answer() {
    let rig = Rig::new().await;
    let proxy = redacting(&rig.upstream).await;
    let check = async |row: &str, path: &str, ask: &Value, body: &str| {
        rig.hold(ask["stream"] == json!(true), body);
        let got = String::from_utf8(proxy.post(path, ask.to_string()).await.body.to_vec()).unwrap();
        assert!(!HIDDEN.iter().any(|hidden| got.contains(hidden)), "{row}: {got}");
        assert!(got.contains("takes 5 mg"), "{row}: {got}");
    };
    let chat = |stream: bool| json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "x"}]});
    let asks = |stream: bool| json!({"model": "m", "stream": stream, "input": "x"});
    for (field, said) in CHAT_ANSWERS {
        let choice = |key: &str, text: &str| json!({"id": "c", "choices": [{"index": 0, key: said(text)}]});
        check(field, CHAT, &chat(false), &choice("message", NOTE).to_string()).await;
        let (one, two) = NOTE.split_at(NOTE.len() / 2);
        check(field, CHAT, &chat(true), &events(&[choice("delta", one), choice("delta", two)])).await;
    }
    for (field, item) in RESPONSES_ITEMS {
        let response = json!({"id": "r", "object": "response", "output": [item(NOTE)]});
        check(field, RESPONSES, &asks(false), &response.to_string()).await;
        let done = events(&[json!({"type": "response.completed", "response": response})]);
        check(field, RESPONSES, &asks(true), &done).await;
    }
    for (kind, fields) in RESPONSES_EVENTS {
        let event = |text: &str| event(kind, &fields(text));
        check(kind, RESPONSES, &asks(true), &events(&[event(NOTE)])).await;
    }
}
