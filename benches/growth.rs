//! How the cost grows with the work: turns of a conversation, tokens of an answer and of a prompt, connections, cores. Each is a
//! curve with the exponent that fits it best (least squares over the logarithms): 1 is linear, 0 does not grow.
//!
//! What is added is what the same request takes through the proxy less what it takes direct, each the median of a few.

mod common;

use common::goodput::Load;
use common::load::{self, Answer, Connections, Plan};
use common::process;
use common::results::{curves, keep, rounds, seconds};
use common::stats::{exponent, median};
use common::{Fault, Launch, Proxy, runtime, texts, upstream};
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::runtime::Runtime;

const ROUNDS: usize = 12;
const TURNS: usize = 50;
const TOKENS_OUT: [usize; 7] = [64, 128, 256, 512, 1024, 2048, 4096];
const TOKENS_IN: [usize; 9] = [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];
const CONNECTIONS: [usize; 4] = [1, 10, 100, 1000];

/// The cache as it is by default.
const REMEMBERED: (&str, &str) = ("NONNOCERE_GUARD__REMEMBERED", "16384");

/// One curve: what it is of, in which unit, and its points.
struct Curve {
    name: &'static str,
    axes: [&'static str; 2],
    points: Vec<(f64, f64)>,
}

fn main() -> Result<(), Fault> {
    let (upstream, runtime) = (upstream::start()?, runtime()?);
    let mut curves = Vec::new();
    let mut done = |curve: Curve| {
        println!("{}, {} by {}: exponent {:.2}", curve.name, curve.axes[1], curve.axes[0], exponent(&curve.points));
        let points = curve.points.iter().map(|(x, y)| format!("  {x:>6} {y:>10.3}"));
        println!("{}", points.collect::<Vec<_>>().join("\n"));
        curves.push(curve);
    };
    {
        let proxy = Proxy::start(upstream, &[REMEMBERED])?;
        let ends = [upstream, proxy.address];
        done(turns(&runtime, ends)?);
        done(sizes("output", &runtime, (ends, &TOKENS_OUT), |number, tokens| {
            request(json!([{"role": "user", "content": texts::question(number)}]), json!({"tokens": tokens}))
        })?);
        done(sizes("prompt", &runtime, (ends, &TOKENS_IN), |number, tokens| {
            let text = texts::of_about(|piece| texts::question(1000 * number + piece), tokens);
            request(json!([{"role": "user", "content": text}]), json!({}))
        })?);
        done(connections(&runtime, &proxy)?);
    }
    done(cores(&runtime, upstream)?);
    let kept = curves.iter().map(|curve| {
        json!({"name": curve.name, "axes": curve.axes, "points": curve.points, "exponent": exponent(&curve.points)})
    });
    let kept: Value = kept.collect();
    let pictures: Vec<Value> = curves.iter().map(Curve::picture).collect();
    keep("growth", kept, &pictures)?;
    Ok(())
}

impl Curve {
    fn picture(&self) -> Value {
        let exponent = exponent(&self.points);
        let title = format!("Growth with {}: exponent {exponent:.2}", self.name);
        let lines = [(self.axes[1].to_owned(), self.points.clone())];
        curves(&format!("growth-{}", self.name), &title, self.axes, &lines)
    }
}

fn request(messages: Value, script: Value) -> Bytes {
    json!({"model": "m", "messages": messages, "metadata": script}).to_string().into()
}

/// Milliseconds that the proxy adds to each of `bodies`: what it takes there less what it takes direct.
fn added(runtime: &Runtime, [upstream, proxy]: [SocketAddr; 2], bodies: &[Bytes]) -> Result<Vec<f64>, Fault> {
    let direct = runtime.block_on(load::in_turn(upstream, bodies.to_vec()))?;
    let guarded = runtime.block_on(load::in_turn(proxy, bodies.to_vec()))?;
    Ok(guarded.iter().zip(direct).map(|(guarded, direct)| (guarded - direct).max(0.001)).collect())
}

/// Turn 1 to 50: the history comes with each turn, and was judged before.
fn turns(runtime: &Runtime, ends: [SocketAddr; 2]) -> Result<Curve, Fault> {
    let mut took = vec![Vec::new(); TURNS];
    for round in 0..rounds(ROUNDS) {
        let mut conversation = texts::Conversations::begin(round as i64, 1, TURNS);
        for (took, added) in took.iter_mut().zip(added(runtime, ends, &conversation.turns(TURNS))?) {
            took.push(added);
        }
    }
    let points = took.iter().enumerate().map(|(turn, took)| ((turn + 1) as f64, median(took))).collect();
    Ok(Curve { name: "turns", axes: ["turn", "ms added, p50"], points })
}

/// Tokens of something, of which `body` makes a request.
fn sizes(
    name: &'static str,
    runtime: &Runtime,
    (ends, tokens): ([SocketAddr; 2], &[usize]),
    body: impl Fn(i64, usize) -> Bytes,
) -> Result<Curve, Fault> {
    let mut points = Vec::new();
    for &tokens in tokens {
        // No text twice: what was judged is known.
        let bodies: Vec<Bytes> =
            (0..rounds(ROUNDS) as i64).map(|round| body(tokens as i64 * 100 + round, tokens)).collect();
        points.push((tokens as f64, median(&added(runtime, ends, &bodies)?)));
    }
    Ok(Curve { name, axes: ["tokens", "ms added, p50"], points })
}

/// The same load over more connections, each of which is used in its turn: microseconds on the core, a request.
fn connections(runtime: &Runtime, proxy: &Proxy) -> Result<Curve, Fault> {
    const RATE: f64 = 40.0;
    let mut points = Vec::new();
    for (place, count) in CONNECTIONS.into_iter().enumerate() {
        let requests = (RATE * seconds(15.0)) as usize;
        let bodies = texts::cold((place as i64 + 1) << 32, requests);
        // They are open for as long as it takes, and each of them has been used once.
        let idle = Connections::new(proxy.address, count);
        runtime.block_on(idle.open_all())?;
        let before = proxy.process.cpu()?;
        let plan = Plan { address: proxy.address, rate: RATE, bodies, connections: count, seed: place as u64 };
        let run = runtime.block_on(load::run_on(plan, idle))?;
        let cpu = (proxy.process.cpu()? - before).as_secs_f64() * 1e6 / requests as f64;
        if run.share(Answer::Failed) > 0.0 {
            println!("  {count} connections: {:.1}% failed: {:?}", 100.0 * run.share(Answer::Failed), run.fault);
        }
        points.push((count as f64, cpu));
    }
    Ok(Curve { name: "connections", axes: ["connections", "us on the core, a request"], points })
}

/// The goodput by cores, with a worker for each. On a machine with two, the load takes its part of the second one.
fn cores(runtime: &Runtime, upstream: SocketAddr) -> Result<Curve, Fault> {
    let (mut points, mut first) = (Vec::new(), 1 << 50);
    for (count, cores) in [(1, "0"), (2, "0,1")] {
        if process::cores() < count {
            break;
        }
        let workers = count.to_string();
        let settings = [REMEMBERED, ("NONNOCERE_GUARD__WORKERS", workers.as_str())];
        let proxy = Proxy::launch(upstream, &Launch { cores, arguments: &[], settings: &settings })?;
        let mut new = |count: usize| {
            first += count as i64;
            texts::cold(first - count as i64, count)
        };
        let mut load = Load { address: proxy.address, bodies: &mut new, plans: 0 };
        points.push((count as f64, runtime.block_on(load.peak())?.goodput.max(0.001)));
    }
    Ok(Curve { name: "cores", axes: ["cores", "answers a second within 50 ms"], points })
}
