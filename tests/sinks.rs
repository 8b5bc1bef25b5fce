//! What people write reaches nobody but the LLM: not the log at any level, the metrics, the record, the spool, nor a file.

mod common;
#[path = "common/serving.rs"]
mod serving;

use bytes::Bytes;
use common::{Asked, ScriptedUpstream, answer, chat_answer};
use data_encoding::BASE64;
use http::Response;
use nonnocere::audit::store::Store;
use nonnocere::commands::hush::hush;
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// In no text but ours.
const CANARY: &str = "quetzalcanary";

/// Whatever is waited for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(150);

/// A proxy whose every output is a file in a folder.
struct Watched {
    child: Child,
    folder: tempfile::TempDir,
    clients: String,
    operators: String,
}

impl Watched {
    fn start(upstream: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = |name: &str| at(name).to_str().unwrap().to_owned();
        let child = serving::nonnocere(&["serve", "--upstream", upstream])
            .envs([("RUST_LOG", "trace"), ("NONNOCERE_SERVER__LISTEN", "127.0.0.1:0")])
            .envs([("NONNOCERE_SERVER__ADMIN_LISTEN", "127.0.0.1:0"), ("NONNOCERE_AUDIT__VAULT", "true")])
            .env("NONNOCERE_AUDIT__URL", format!("sqlite:{}", text("audit.db")))
            .envs([("NONNOCERE_AUDIT__KEY", text("key")), ("NONNOCERE_AUDIT__SPOOL", text("spool"))])
            .envs([("NONNOCERE_AUDIT__VAULT_KEY", text("vault-key")), ("TMPDIR", text(""))])
            .envs([("NONNOCERE_GUARD__USER_HEADER", "x-user"), ("NONNOCERE_GUARD__TENANT_HEADER", "x-tenant")])
            .env("NONNOCERE_GUARD__TENANTS", "west,east")
            .env("NONNOCERE_LIMITS__BODY_BYTES", "65536")
            .stdout(Stdio::from(File::create(at("stdout")).unwrap()))
            .stderr(Stdio::from(File::create(at("stderr")).unwrap()))
            .spawn()
            .unwrap();
        let mut watched = Self { child, folder, clients: String::new(), operators: String::new() };
        let greeting = watched.wait_for("stdout", |text| text.matches("curl").count() == 3);
        let address = |label: &str| {
            let line = greeting.lines().find(|line| line.contains(label)).unwrap();
            line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
        };
        (watched.clients, watched.operators) = (address("clients:"), address("operators:"));
        watched
    }

    /// What a file says, once it is as it should be.
    fn wait_for(&self, name: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if is_so(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "{name}:\n{text}");
            std::thread::yield_now();
        }
    }

    /// Asks with everything that a caller can say, and gives the status.
    fn ask(&self, path: &str, body: &str) -> u16 {
        let headers: String = ["x-user", "accept-language", "cookie", "x-nonnocere-conversation", "x-other"]
            .map(|name| format!("{name}: {CANARY}\r\n"))
            .concat();
        let length = body.len();
        let raw = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\nx-tenant: west\r\n\
             authorization: Bearer {CANARY}\r\ndetector-id: nonnocere\r\n{headers}\r\n{body}"
        );
        let answer = sent(&self.clients, raw.as_bytes());
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    fn end(&mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn sent(address: &str, bytes: &[u8]) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    // What is refused early may not be read to its end.
    stream.write_all(bytes).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Answers with the canary in every way that an LLM server can go wrong.
fn script(asked: &Asked) -> Response<Bytes> {
    let body = String::from_utf8_lossy(&asked.body);
    let says = |word: &str| body.contains(word);
    let page = format!("<p>{CANARY}</p>");
    match () {
        () if says("BROKEN-JSON") => answer(200, "application/json", &format!("{{\"{CANARY}\": ")),
        () if says("BROKEN-EVENT") => answer(200, "text/event-stream", &format!("data: {{\"{CANARY}\n\ndata: x\n\n")),
        () if says("BROKEN-CODING") => {
            let mut broken = answer(200, "application/json", &page);
            broken.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            broken
        }
        () if says("REDIRECT") => {
            let mut away = answer(302, "text/html", &page);
            away.headers_mut().insert("location", format!("http://{CANARY}/").parse().unwrap());
            away
        }
        () if says("ERROR-PAGE") => answer(500, "text/html", &page),
        () if says("ERROR-JSON") => answer(429, "application/json", &json!({"error": {"message": CANARY}}).to_string()),
        () if asked.path.contains("/chat/") => chat_answer(asked, "The quetzalcanary of Maria is well. She rests."),
        () => answer(200, "application/json", &json!({"data": [], "object": "list", "text": CANARY}).to_string()),
    }
}

fn chat(content: &str, stream: bool) -> Value {
    let text = format!("My name is Maria {CANARY}, MRN 4471920. {content}");
    json!({"model": CANARY, "stream": stream, "user": CANARY, "messages": [{"role": "user", "content": text}]})
}

/// Every surface, and every way in which a request can fail.
fn requests() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for stream in [false, true] {
        for what in ["", "BROKEN-JSON", "BROKEN-EVENT", "BROKEN-CODING", "REDIRECT", "ERROR-PAGE", "ERROR-JSON"] {
            all.push(("/v1/chat/completions", chat(what, stream).to_string()));
        }
        let prompt = format!("{CANARY}: how do I bill Medicare for visits that never took place?");
        all.push(("/v1/chat/completions", chat(&prompt, stream).to_string()));
        all.push(("/v1/completions", json!({"model": "m", "prompt": prompt, "stream": stream}).to_string()));
        all.push(("/v1/responses", json!({"model": "m", "input": prompt, "stream": stream}).to_string()));
    }
    let hidden = BASE64.encode(format!("please read {CANARY} to me, who is well").as_bytes());
    let image = json!([{"type": "image_url", "image_url": {"url": format!("https://{CANARY}/x.png")}}]);
    let deep = format!("{}\"{CANARY}\"{}", "[".repeat(100), "]".repeat(100));
    all.extend([
        ("/v1/chat/completions", chat(&hidden, false).to_string()),
        ("/v1/chat/completions", json!({"model": "m", "messages": [{"role": "user", "content": image}]}).to_string()),
        ("/v1/chat/completions", chat("I will kill myself tonight.", false).to_string()),
        ("/v1/chat/completions", format!("{{\"messages\": \"{CANARY}")),
        ("/v1/chat/completions", format!("{{\"{CANARY}\": 1, \"{CANARY}\": 2}}")),
        ("/v1/chat/completions", json!({"messages": [{"role": CANARY, "content": {"x": CANARY}}]}).to_string()),
        ("/v1/chat/completions", deep),
        ("/v1/chat/completions", format!("{{\"messages\": \"{}\"}}", CANARY.repeat(6000))),
        ("/v1/embeddings", json!({"model": "m", "input": [CANARY]}).to_string()),
        ("/v1/moderations", json!({"input": [CANARY, "x"]}).to_string()),
        ("/beta/litellm_basic_guardrail_api", json!({"texts": [CANARY], "input_type": "request"}).to_string()),
        ("/api/v1/text/contents", json!({"contents": [CANARY]}).to_string()),
        ("/api/v1/text/generation", json!({"prompt": CANARY, "generated_text": CANARY}).to_string()),
        ("/v1/files/quetzalcanary?name=quetzalcanary", CANARY.to_owned()),
        ("/quetzalcanary", CANARY.to_owned()),
    ]);
    all
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn assert_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    for secret in [CANARY, "4471920", "medicare"] {
        let found = text.find(secret).map(|at| text.get(at.saturating_sub(200)..).unwrap_or(&text));
        // The greeting shows a text of its own.
        let is_ours = what.ends_with("stdout") && secret == "medicare";
        assert!(
            found.is_none() || is_ours,
            "{what} says {:?}",
            found.map(|text| text.chars().take(400).collect::<String>())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_write_is_in_no_sink() {
    let upstream = ScriptedUpstream::start(script).await;
    let mut proxy = Watched::start(&upstream.url());
    let requests = requests();
    let statuses: Vec<u16> = requests.iter().map(|(path, body)| proxy.ask(path, body)).collect();
    for status in [200, 400, 404, 413, 429, 500, 502] {
        assert!(statuses.contains(&status), "{status} of {statuses:?}");
    }
    // A client that is gone in the middle, and one that is no client.
    let broken = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n{CANARY}");
    std::io::Write::write_all(&mut std::net::TcpStream::connect(&proxy.clients).unwrap(), broken.as_bytes()).unwrap();
    sent(&proxy.clients, format!("{CANARY} {CANARY}\r\n\r\n").as_bytes());
    // The store is gone: decisions go to the spool.
    let url = format!("sqlite:{}", proxy.folder.path().join("audit.db").display());
    let store = Store::open(&url).await.unwrap();
    while store.tail().await.unwrap().seq < 20 {
        tokio::task::yield_now().await;
    }
    store.execute("ALTER TABLE decisions RENAME TO elsewhere").await.unwrap();
    assert_eq!(proxy.ask("/v1/chat/completions", &chat("", false).to_string()), 200);
    proxy.wait_for("spool", |text| text.contains("\"event\""));
    for accept in ["text/plain", "application/openmetrics-text"] {
        let head = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: {accept}\r\n\r\n");
        let metrics = sent(&proxy.operators, head.as_bytes());
        assert!(metrics.contains("nonnocere_decisions_total"), "{metrics}");
        assert_clean("the metrics", metrics.as_bytes());
    }
    proxy.end();
    let log = std::fs::read_to_string(proxy.folder.path().join("stderr")).unwrap();
    assert!(log.contains("DEBUG") && log.matches("decision").count() > 30, "{log}");
    let found = files(proxy.folder.path());
    for name in ["audit.db", "spool.taken", "stdout", "stderr", "key"] {
        assert!(found.iter().any(|path| path.ends_with(name)), "{name} is not among {found:?}");
    }
    // ONNX Runtime leaves this where it may tell its maker what it does.
    assert!(!found.iter().any(|path| path.ends_with(".ses")), "{found:?}");
    for path in found {
        assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    // What was looked for was there to be found.
    assert!(upstream.asked().iter().any(|asked| String::from_utf8_lossy(&asked.body).contains(CANARY)));
}

/// Panics as a library would that slices a text, where it is told to.
#[test]
fn a_panic_says_where_and_not_what() {
    const TOLD: &str = "NONNOCERE_TEST_PANICS";
    if std::env::var_os(TOLD).is_some() {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
        hush();
        let text = format!("é{CANARY}");
        panic!("byte index 1 is not a char boundary; it is inside 'é' of `{text}`");
    }
    let this = std::env::current_exe().unwrap();
    let run = Command::new(this)
        .args(["--exact", "a_panic_says_where_and_not_what", "--nocapture"])
        .env(TOLD, "1")
        .output()
        .unwrap();
    assert!(!run.status.success());
    let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(said.contains("tests/sinks.rs:") && said.contains("kept back"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}
