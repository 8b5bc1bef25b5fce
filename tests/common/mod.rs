//! A real proxy on a free port, in front of a scripted upstream, judged by a scripted classifier.

#![allow(dead_code, reason = "each test file uses its own part")]
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nonnocere::admin::{self, Readiness};
use nonnocere::audit::journal::Journal;
use nonnocere::caller::Callers;
use nonnocere::classify::cache::Cache;
use nonnocere::classify::pool::Pool;
use nonnocere::classify::{Classifier, ClassifyError, Input, Scores};
use nonnocere::config::{self, Limits, Streaming};
use nonnocere::console::{Console, Records};
use nonnocere::guard::Guard;
use nonnocere::guard::judge::{self, Judge};
use nonnocere::guard::stream::Mode;
use nonnocere::metrics::Metrics;
use nonnocere::openai::refusal::{FinishReason, Manner, Style};
use nonnocere::policy::reload::{Live, Source};
use nonnocere::proxy::{self, Proxy};
use nonnocere::route::{Flow, Rule};
use nonnocere::server::Server;
use nonnocere::upstream::{Settings, Upstream};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Judges by what a text says: `VIOLATE`, `CRISIS`, `TRICK` and `REFUSAL` are certain, everything else is nothing.
pub struct Scripted;

impl Classifier for Scripted {
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        let score = |input: &Input| {
            let text = match input {
                Input::Prompt(text) => text.clone(),
                Input::Conversation { context, turn } if turn.contains("go on") => context.clone() + turn,
                Input::Conversation { turn, .. } => turn.clone(),
                Input::Completion { completion, .. } => completion.clone(),
            };
            let says = |word| f32::from(u8::from(text.contains(word)));
            let mut scores = Scores {
                violation: says("VIOLATE"),
                manipulation: says("TRICK"),
                crisis: says("CRISIS"),
                refusal: says("REFUSAL"),
                ..Scores::NONE
            };
            scores.types[7] = 1.0; // II.2
            scores
        };
        Ok(inputs.iter().map(score).collect())
    }

    fn id(&self) -> &str {
        "scripted"
    }
}

/// Never judges.
pub struct Failing;

impl Classifier for Failing {
    fn score(&self, _: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        Err(ClassifyError::Inference("scripted to fail".to_owned()))
    }

    fn id(&self) -> &str {
        "failing"
    }
}

/// Panics when asked.
pub struct Panicking;

impl Classifier for Panicking {
    fn score(&self, _: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        panic!("scripted to panic")
    }

    fn id(&self) -> &str {
        "panicking"
    }
}

/// What a scripted upstream was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An LLM server that answers by a script and remembers what it was asked.
#[derive(Clone)]
pub struct ScriptedUpstream {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ScriptedUpstream {
    pub async fn start(script: impl Fn(&Asked) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let (script, asked) = (Arc::new(script), Arc::clone(&upstream.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let path = parts.uri.path_and_query().unwrap().to_string();
                        let one = Asked { method: parts.method, path, headers: parts.headers, body };
                        asked.lock().unwrap().push(one.clone());
                        Ok::<_, Infallible>(script(&one).map(Full::new))
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        upstream
    }

    /// Answers every chat with `content`, streamed word by word where asked.
    pub async fn saying(content: &'static str) -> Self {
        Self::start(move |asked| chat_answer(asked, content)).await
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// A chat answer with spelling of its own, so that a re-serialised body is noticed.
pub fn chat_answer(asked: &Asked, content: &str) -> Response<Bytes> {
    let request: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if request["stream"] == json!(true) {
        let mut body = String::from(": OPENING COMMENT\r\n\r\n");
        let mut push = |choices: Value| {
            body.push_str(&format!(
                "data:{{\"id\":\"c-1\",  \"object\":\"chat.completion.chunk\",\"created\":1e0,\"model\":\"m\",\"choices\":{choices}}}\n\n"
            ));
        };
        push(json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]));
        for word in content.split_inclusive(' ') {
            push(json!([{"index": 0, "delta": {"content": word}, "finish_reason": null}]));
        }
        push(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
        if request["stream_options"]["include_usage"] == json!(true) {
            body.push_str(
                "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\
                 \"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}}\n\n",
            );
        }
        body.push_str("data: [DONE]\n\n");
        return answer(200, "text/event-stream; charset=utf-8", &body);
    }
    let choices: Vec<String> = (0..request["n"].as_u64().unwrap_or(1))
        .map(|index| {
            let message = json!({"role": "assistant", "content": content});
            format!("{{\"index\":{index}, \"message\":{message},\"finish_reason\":\"stop\",\"vendor\":1.50e+1}}")
        })
        .collect();
    let body = format!(
        "{{\n \"id\":\"c-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{}],\n \
         \"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}}\n}}\n",
        choices.join(",")
    );
    answer(200, "application/json", &body)
}

pub fn answer(status: u16, content_type: &str, body: &str) -> Response<Bytes> {
    let builder = Response::builder().status(status).header("content-type", content_type);
    builder.header("x-request-id", "up-1").body(Bytes::from(body.to_owned())).unwrap()
}

/// What a test may set.
pub struct Options {
    pub upstream: String,
    pub classifier: Arc<dyn Classifier>,
    pub policy: Source,
    pub limits: Limits,
    pub manner: Manner,
    pub upstream_timeout: Duration,
    pub idle_timeout: Duration,
    pub routes: Vec<Rule>,
    pub streaming: Streaming,
    pub journal: Option<Journal>,
    /// Where things are counted, where somebody else counts there too.
    pub metrics: Option<Arc<Metrics>>,
    /// What is in force, in place of `policy`.
    pub live: Option<Live>,
    pub callers: Callers,
    pub judge: Option<judge::Settings>,
    /// What the console shows; without it, it says that there is nothing.
    pub records: Option<Records>,
    pub console: config::Console,
}

impl Options {
    pub fn new(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            classifier: Arc::new(Scripted),
            journal: None,
            metrics: None,
            live: None,
            callers: Callers::default(),
            judge: None,
            records: None,
            console: config::Config::load(&config::Overrides::default()).unwrap().console,
            policy: Source::named(""),
            limits: limits(),
            manner: Manner { style: Style::SafeComplete, finish: FinishReason::ContentFilter },
            upstream_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(4),
            routes: Vec::new(),
            streaming: Streaming {
                flow: Flow { mode: Mode::Window, speculative: false, audience: None, part2: false },
                keep_alive: Duration::from_secs(30),
            },
        }
    }
}

pub fn limits() -> Limits {
    Limits {
        body_bytes: 64 * 1024,
        response_bytes: 256 * 1024,
        depth: 64,
        header_timeout: Duration::from_secs(30),
        body_timeout: Duration::from_secs(30),
        in_flight: 64,
        connections: 64,
    }
}

/// A proxy that runs as long as the test holds it.
pub struct RunningProxy {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub proxy: Arc<Proxy>,
    pub ready: Arc<Readiness>,
    pub stop: watch::Sender<bool>,
    pub stopped: tokio::task::JoinHandle<()>,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn error_code(&self) -> String {
        let body = self.json();
        for field in ["message", "type", "param", "code"] {
            assert!(body["error"].get(field).is_some(), "{body} lacks {field}");
        }
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl RunningProxy {
    pub async fn start(options: Options) -> Self {
        let (listener, admin) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (address, admin_address) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
        let pool = Pool::start(vec![options.classifier], 16, Duration::from_secs(10), Cache::new(1024)).unwrap();
        let settings = Settings {
            url: options.upstream.parse().unwrap(),
            authorization: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: options.idle_timeout,
            timeout: options.upstream_timeout,
            max_response_bytes: options.limits.response_bytes,
        };
        let metrics = options.metrics.unwrap_or_else(|| Arc::new(Metrics::new().unwrap()));
        let judge = options.judge.map(|settings| Judge::new(settings, Arc::clone(&metrics)).unwrap());
        let proxy = Arc::new(Proxy {
            policy: options.live.unwrap_or_else(|| Live::load(options.policy).unwrap()),
            guard: Guard::new(pool, options.manner.finish).with_judge(judge),
            upstream: Upstream::new(settings).unwrap().counted(Arc::clone(&metrics)),
            metrics,
            journal: options.journal.clone(),
            slots: Arc::new(Semaphore::new(options.limits.in_flight)),
            limits: options.limits.clone(),
            manner: options.manner,
            streaming: options.streaming,
            routes: options.routes,
            callers: options.callers,
        });
        let ready = Arc::new(Readiness::default());
        let (stop, shutdown) = watch::channel(false);
        let server = |listener| Server {
            listener,
            limits: options.limits.clone(),
            drain_timeout: Duration::from_secs(10),
            shutdown: shutdown.clone(),
        };
        let handler = Arc::clone(&proxy);
        let stopped = tokio::spawn(server(listener).run(move |request| {
            let proxy = Arc::clone(&handler);
            async move { proxy::handle(&proxy, request).await }
        }));
        let (handler, readiness) = (Arc::clone(&proxy), Arc::clone(&ready));
        let console = Arc::new(Console::new(Arc::clone(&proxy), options.records, options.console).unwrap());
        tokio::spawn(server(admin).run(move |request| {
            let (console, proxy, ready) = (Arc::clone(&console), Arc::clone(&handler), Arc::clone(&readiness));
            async move { admin::handle(Some(&console), (&proxy, &ready), request).await }
        }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, admin: admin_address, proxy, ready, stop, stopped, client }
    }

    /// A proxy with the defaults in front of `upstream`.
    pub async fn before(upstream: &ScriptedUpstream) -> Self {
        Self::start(Options::new(&upstream.url())).await
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Got {
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Got { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Got {
        let request =
            Request::post(format!("http://{}{path}", self.address)).header("content-type", "application/json");
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Got {
        self.send(Request::get(format!("http://{}{path}", self.address)).body(Full::default()).unwrap()).await
    }

    pub async fn admin(&self, path: &str) -> Got {
        self.send(Request::get(format!("http://{}{path}", self.admin)).body(Full::default()).unwrap()).await
    }

    pub async fn chat(&self, body: &Value) -> Got {
        self.post("/v1/chat/completions", body.to_string()).await
    }

    /// The sum of all series of a name with these labels, 0 where none was ever counted.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = String::from_utf8(self.admin("/metrics").await.body.to_vec()).unwrap();
        let parts = |series: &str| -> (String, BTreeSet<String>) {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            (name.to_owned(), labels.trim_end_matches('}').split(',').map(str::to_owned).collect())
        };
        let wanted = parts(series);
        let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = parts(series);
            let all = wanted.1.iter().all(|label| label.is_empty() || labels.contains(label));
            (name == wanted.0 && all).then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }
}

/// A chat request with one user message and more fields.
pub fn ask(content: &str, more: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    body
}
