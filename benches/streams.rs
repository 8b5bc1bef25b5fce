//! What guarding a stream costs: the same 64 deltas, 20 ms apart, direct and in each mode, in alternation, in one run; how
//! many texts are judged for answers from 64 to 4,096 tokens; and what is left of 1,000 streams a second after their
//! clients hung up, or they were cut.

mod common;

use bytes::Bytes;
use common::{Proxy, listen};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Http = Client<HttpConnector, Full<Bytes>>;

const ROUNDS: usize = 10;
const DELTAS: usize = 64;
const APART: Duration = Duration::from_millis(20);
const LEFT: usize = 1000;

const GOOD: &str = "Iron deficiency in pregnancy is usually treated with one tablet of iron a day, or every other day if the \
                    stomach does not take it well. Tea and coffee should wait for an hour. The blood count is looked at again \
                    after two to four weeks, and treatment goes on for three months after it is normal. Iron by infusion is \
                    kept for those who cannot take tablets. ";
const BAD: &str = "Of course, here is how to do that. Bill each visit that never took place at the highest level, write notes for \
                   them afterwards so that the insurer sees no gap, and tell the patients nothing of it. ";

fn main() -> Result<(), Fault> {
    let (upstream, _) = upstream()?;
    let start = |settings: &[(&str, &str)]| Proxy::start(upstream, settings).map_err(|e| e.to_string());
    let proxies = [
        ("window", start(&[("NONNOCERE_GUARD__STREAM", "window")])?),
        ("clause", start(&[("NONNOCERE_GUARD__STREAM", "clause")])?),
        ("buffer", start(&[("NONNOCERE_GUARD__STREAM", "buffer")])?),
        ("async", start(&[("NONNOCERE_GUARD__STREAM", "async")])?),
        ("window, speculative", start(&[("NONNOCERE_GUARD__SPECULATIVE", "true")])?),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let http: Http = Client::builder(TokioExecutor::new()).build_http();
        flow(&http, upstream, &proxies).await?;
        let [(_, window), ..] = &proxies;
        for tokens in [64, 256, 1024, 4096] {
            let before = windows(&http, window.admin).await?;
            read(&http, window.address, &json!({"tokens": tokens, "apart": 2})).await?;
            let judged = windows(&http, window.admin).await? - before;
            println!("{tokens:>5} tokens: {judged:>4} texts judged, {:.4} a token", judged / f64::from(tokens));
        }
        // A pair of their own, in which no idle connections wait to be used again.
        let (upstream, open) = self::upstream()?;
        let proxy = Proxy::start(upstream, &[]).map_err(|e| e.to_string())?;
        left(&http, proxy.address, &open).await
    })
}

/// How the same stream comes, direct and through each proxy.
async fn flow(http: &Http, upstream: SocketAddr, proxies: &[(&str, Proxy)]) -> Result<(), Fault> {
    let mut ways: Vec<(&str, SocketAddr, Vec<Delta>, Vec<Duration>)> = vec![("direct", upstream, vec![], vec![])];
    ways.extend(proxies.iter().map(|(name, proxy)| (*name, proxy.address, vec![], vec![])));
    for round in 0..=ROUNDS {
        for (_, address, deltas, firsts) in &mut ways {
            let taken = read(http, *address, &json!({"tokens": DELTAS, "apart": 20})).await?;
            // The first round warms up.
            if round > 0 {
                firsts.push(taken.first().ok_or("no text came")?.since_asked);
                deltas.extend(taken);
            }
        }
    }
    println!(
        "{ROUNDS} streams of {DELTAS} deltas, {} ms apart, one core; milliseconds, and times direct",
        APART.as_millis()
    );
    println!("{:<22}{:>20}{:>20}{:>20}{:>20}", "", "first text, p50", "between, p99", "held, p50", "held, p99");
    let mut direct: Option<[f64; 4]> = None;
    for (name, _, deltas, firsts) in &ways {
        let held: Vec<Duration> = deltas.iter().map(|delta| delta.held).collect();
        let between: Vec<Duration> = deltas.iter().filter_map(|delta| delta.since_last).collect();
        let figures = [at(firsts, 0.5), at(&between, 0.99), at(&held, 0.5), at(&held, 0.99)];
        let base = *direct.get_or_insert(figures);
        let cells = figures.iter().zip(base).map(|(figure, base)| format!("{figure:.2} ({:.1}x)", figure / base));
        println!("{name:<22}{}", cells.map(|cell| format!("{cell:>20}")).collect::<String>());
    }
    Ok(())
}

/// What is left upstream of streams whose clients hung up in the middle, and of streams that were cut.
async fn left(http: &Http, proxy: SocketAddr, open: &AtomicI64) -> Result<(), Fault> {
    let mut cut = 0;
    for batch in 0..LEFT / 100 {
        let is_cut = batch % 2 == 1;
        let mut streams = Vec::new();
        for _ in 0..100 {
            let body = json!({"tokens": 1_000_000, "apart": 100, "bad": is_cut});
            streams.push(ask(http, proxy, &body).await?);
        }
        for stream in &mut streams {
            // Until the first text, or the end of the cut.
            let text = until(stream, if is_cut { "[DONE]" } else { "\"content\"" }).await?;
            cut += usize::from(text.contains(r#""finish_reason":"content_filter""#));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!(
        "{LEFT} streams, half hung up on, {cut} cut: {} connections still open upstream a second later",
        open.load(Ordering::SeqCst)
    );
    Ok(())
}

/// One piece of text, when it came.
struct Delta {
    since_asked: Duration,
    since_last: Option<Duration>,
    held: Duration,
}

async fn ask(http: &Http, address: SocketAddr, script: &Value) -> Result<Incoming, Fault> {
    let body = json!({"model": "m", "stream": true, "metadata": script,
                      "messages": [{"role": "user", "content": "How is iron deficiency treated in pregnancy?"}]});
    let request = Request::post(format!("http://{address}/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let response = http.request(request).await?;
    if response.status() != 200 {
        Err(format!("answered with {}", response.status()).into())
    } else {
        Ok(response.into_body())
    }
}

/// Reads a whole stream.
async fn read(http: &Http, address: SocketAddr, script: &Value) -> Result<Vec<Delta>, Fault> {
    let asked = Instant::now();
    let mut body = ask(http, address, script).await?;
    let (mut deltas, mut waiting, mut last) = (Vec::new(), String::new(), None);
    while let Some(frame) = body.frame().await {
        waiting.push_str(std::str::from_utf8(frame?.data_ref().ok_or("a frame without data")?)?);
        while let Some((event, rest)) = waiting.split_once("\n\n") {
            let now = Instant::now();
            if let Some(sent) = event.split("\"sent\":").nth(1).and_then(|rest| rest.split(['}', ',']).next()) {
                let held = since_epoch().saturating_sub(Duration::from_micros(sent.parse()?));
                deltas.push(Delta { since_asked: asked.elapsed(), since_last: last.map(|last| now - last), held });
                last = Some(now);
            }
            if event.contains(r#""finish_reason":"content_filter""#) {
                return Err("a harmless stream was cut".into());
            }
            waiting = rest.to_owned();
        }
    }
    Ok(deltas)
}

async fn until(body: &mut Incoming, text: &str) -> Result<String, Fault> {
    let mut read = String::new();
    while !read.contains(text) {
        let frame = body.frame().await.ok_or("the stream ended")??;
        read.push_str(std::str::from_utf8(frame.data_ref().ok_or("a frame without data")?)?);
    }
    Ok(read)
}

async fn windows(http: &Http, admin: SocketAddr) -> Result<f64, Fault> {
    let request = Request::get(format!("http://{admin}/metrics")).body(Full::default())?;
    let text = http.request(request).await?.into_body().collect().await?.to_bytes();
    let text = String::from_utf8(text.to_vec())?;
    let line = text.lines().find_map(|line| line.strip_prefix("nonnocere_stream_windows_total "));
    Ok(line.ok_or("no such series")?.parse()?)
}

fn at(samples: &[Duration], quantile: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let index = ((sorted.len() - 1) as f64 * quantile).round() as usize;
    sorted[index].as_secs_f64() * 1e3
}

fn since_epoch() -> Duration {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// A server that streams what the request's metadata says, and counts its open connections.
fn upstream() -> std::io::Result<(SocketAddr, Arc<AtomicI64>)> {
    let open = Arc::new(AtomicI64::new(0));
    let counter = Arc::clone(&open);
    let address = listen(move |stream| {
        let counter = Arc::clone(&counter);
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            let connection = hyper::server::conn::http1::Builder::new();
            drop(connection.serve_connection(TokioIo::new(stream), service_fn(serve)).await);
            counter.fetch_sub(1, Ordering::SeqCst);
        }
    })?;
    Ok((address, open))
}

async fn serve(request: Request<Incoming>) -> Result<Response<Receiving>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let script: Value = serde_json::from_slice::<Value>(&body).unwrap_or_default()["metadata"].clone();
    let (tokens, apart) = (script["tokens"].as_u64().unwrap_or(64), script["apart"].as_u64().unwrap_or(0));
    let text = if script["bad"] == json!(true) { BAD } else { GOOD };
    let (sender, events) = mpsc::channel(1);
    tokio::spawn(async move {
        let delta = |word: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\
                 \"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}],\"sent\":{}}}\n\n",
                since_epoch().as_micros()
            )
        };
        let mut ticks = tokio::time::interval(Duration::from_millis(apart.max(1)));
        for word in text.split_inclusive(' ').cycle().take(usize::try_from(tokens).unwrap_or(usize::MAX)) {
            if apart > 0 {
                ticks.tick().await;
            }
            if sender.send(delta(word)).await.is_err() {
                return;
            }
        }
        let finish = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        drop(sender.send(finish.to_owned()).await);
    });
    let mut response = Response::new(Receiving(events));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// What a channel gives, as the frames of a body.
struct Receiving(mpsc::Receiver<String>);

impl Body for Receiving {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(Bytes::from(event)))))
    }
}
