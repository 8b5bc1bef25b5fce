//! What the guard adds to a call: the same request direct and through the proxy, in alternation, in one run.
//!
//! The proxy runs on one core (`taskset`), the client and the upstream on another where there is one. Requests follow
//! one another on a kept connection. Beside the added time stands the part of it that is inference, as the proxy
//! reports it, and a control: the same upstream against itself, which says how much of a difference is noise.

mod common;

use common::{Proxy, listen};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const ROUNDS: usize = 40;
const REQUESTS_A_ROUND: usize = 50;

/// Prompts of 32 tokens each with the shipped tokenizer, special tokens counted.
const PROMPTS: [&str; 4] = [
    "Which laboratory checks should be repeated every three months when an adult patient with type two diabetes takes \
     metformin and some insulin at home?",
    "My mother is eighty and takes a blood thinner for her heart; which of the common pain medicines can she use safely \
     for a sore knee now?",
    "Please summarise for a first year medical student how the kidney keeps the level of potassium in the blood stable \
     over a whole day of meals.",
    "What should a nurse on a surgical ward look for in the first hours after a patient has come back from an operation \
     on the bowel today?",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let upstream = upstream()?;
    let proxy = Proxy::start(upstream, &[])?;
    let mut direct = Connection::open(upstream)?;
    let mut control = Connection::open(upstream)?;
    let mut guarded = Connection::open(proxy.address)?;
    let mut samples = Samples::default();
    for round in 0..=ROUNDS {
        let mut taken = Samples::default();
        for request in 0..REQUESTS_A_ROUND {
            let body = body(PROMPTS[request % PROMPTS.len()]);
            // A B C, C B A: what drifts falls on all alike.
            let forwards = request % 2 == 0;
            if forwards {
                taken.direct.push(direct.post(&body)?.took);
            }
            let answer = guarded.post(&body)?;
            taken.guarded.push(answer.took);
            taken.judging.push(answer.judging.ok_or("the proxy did not report its latency")?);
            taken.control.push(control.post(&body)?.took);
            if !forwards {
                taken.direct.push(direct.post(&body)?.took);
            }
        }
        // The first round warms up.
        if round > 0 {
            samples.extend(taken);
        }
    }
    samples.report();
    Ok(())
}

#[derive(Default)]
struct Samples {
    direct: Vec<Duration>,
    control: Vec<Duration>,
    guarded: Vec<Duration>,
    judging: Vec<Duration>,
}

impl Samples {
    fn extend(&mut self, more: Self) {
        self.direct.extend(more.direct);
        self.control.extend(more.control);
        self.guarded.extend(more.guarded);
        self.judging.extend(more.judging);
    }

    fn report(mut self) {
        let all = [&mut self.direct, &mut self.control, &mut self.guarded, &mut self.judging];
        all.into_iter().for_each(|samples| samples.sort_unstable());
        let at = |samples: &[Duration], quantile: f64| {
            let index = ((samples.len() - 1) as f64 * quantile).round() as usize;
            samples[index].as_secs_f64() * 1e3
        };
        println!("{} requests of each kind, 32-token prompts, the proxy on one core; milliseconds", self.direct.len());
        println!("{:<34}{:>8}{:>8}", "", "p50", "p99");
        let row =
            |what: &str, value: &dyn Fn(f64) -> f64| println!("{what:<34}{:>8.3}{:>8.3}", value(0.5), value(0.99));
        row("direct", &|q| at(&self.direct, q));
        row("direct again (control)", &|q| at(&self.control, q));
        row("through the proxy", &|q| at(&self.guarded, q));
        row("added", &|q| at(&self.guarded, q) - at(&self.direct, q));
        row("  of it judging (both directions)", &|q| at(&self.judging, q));
        println!("control against direct, p50: {:.3}", at(&self.control, 0.5) / at(&self.direct, 0.5));
        println!("guarded against direct, p50: {:.1}", at(&self.guarded, 0.5) / at(&self.direct, 0.5));
        println!("judging's share of the added p50: {:.0}%", {
            let added = at(&self.guarded, 0.5) - at(&self.direct, 0.5);
            100.0 * at(&self.judging, 0.5) / added
        });
    }
}

fn body(prompt: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{prompt}"}}]}}"#)
}

/// A server that answers every request at once with a short completion.
fn upstream() -> std::io::Result<SocketAddr> {
    listen(|stream| async {
        let connection = hyper::server::conn::http1::Builder::new();
        drop(connection.serve_connection(TokioIo::new(stream), service_fn(serve)).await);
    })
}

async fn serve(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Please ask your care team."},"finish_reason":"stop"}]}"#;
    drop(request.into_body().collect().await);
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

struct Answer {
    took: Duration,
    judging: Option<Duration>,
}

impl Connection {
    fn open(host: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// One request; how long until its answer was read.
    fn post(&mut self, body: &str) -> Result<Answer, Box<dyn std::error::Error>> {
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        let start = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut length, mut judging, mut line) = (0, None, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.starts_with("HTTP/") && !line.contains(" 200 ") {
                return Err(line.into());
            }
            match line.trim().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("x-nonnocere-latency", value)) => judging = Some(sum(value)),
                Some(("x-nonnocere-decision", "allow")) => {}
                Some(("x-nonnocere-decision", other)) => {
                    return Err(format!("a benign prompt was answered with {other}").into());
                }
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        std::io::copy(&mut self.stream.by_ref().take(length), &mut std::io::sink())?;
        Ok(Answer { took: start.elapsed(), judging })
    }
}

/// The sum of all `dur=` milliseconds in a Server-Timing value.
fn sum(timing: &str) -> Duration {
    let millis = timing.split("dur=").skip(1).filter_map(|rest| rest.split(',').next()?.trim().parse::<f64>().ok());
    Duration::from_secs_f64(millis.sum::<f64>() / 1e3)
}
