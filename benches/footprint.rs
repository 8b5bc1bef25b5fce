//! What the proxy takes: memory when idle, at work and after a spike, as a multiple of the model's bytes, and how long it takes
//! from the start until it is ready.

mod common;

use common::goodput::Load;
use common::process::Memory;
use common::results::{bars, keep, rounds, seconds};
use common::stats::{median, quantile};
use common::{Fault, Proxy, runtime, texts, upstream};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/classifier/model/model.onnx");
const STARTS: usize = 10;

/// Requests a second: half of what one core did at first, and ten times as much.
const STEADY: f64 = 50.0;
const SPIKE: f64 = 1000.0;

fn main() -> Result<(), Fault> {
    let upstream = upstream::start()?;
    let model = std::fs::metadata(MODEL)?.len() as f64;
    // The cache is as it is by default.
    let settings = [("NONNOCERE_GUARD__REMEMBERED", "16384")];
    let mut took = Vec::new();
    for _ in 0..=rounds(STARTS) {
        let start = Instant::now();
        let proxy = Proxy::start(upstream, &settings)?;
        while !is_ready(proxy.admin)? {
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    // The first one reads the program from the disk.
    let (first, took) = (took[0], &took[1..]);
    println!(
        "start to ready: p50 {:.0} ms, the slowest {:.0} ms, the first {first:.0} ms (1,000 are wanted)",
        median(took),
        quantile(took, 1.0)
    );
    let stages = memory(upstream, &settings)?;
    println!("{:<24}{:>12}{:>10}{:>12}", "memory", "resident", "x model", "peak");
    for (stage, memory) in &stages {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "{stage:<24}{:>8.1} MiB{:>10.2}{:>8.1} MiB",
            mebibytes(memory.resident),
            memory.resident as f64 / model,
            mebibytes(memory.peak)
        );
    }
    let kept: Vec<_> = stages
        .iter()
        .map(|(stage, memory)| {
            json!({"stage": stage, "resident": memory.resident, "peak": memory.peak,
                                      "of_model": memory.resident as f64 / model})
        })
        .collect();
    let drawn: Vec<_> = stages.iter().map(|(stage, memory)| (stage.clone(), memory.resident as f64 / model)).collect();
    keep(
        "footprint",
        json!({"start_p50_ms": median(took), "start_max_ms": quantile(took, 1.0), "start_first_ms": first,
               "model_bytes": model, "memory": kept}),
        &[bars("footprint", "Resident memory, as a multiple of the model's bytes", &drawn)],
    )?;
    Ok(())
}

/// How much memory it takes, from its start until after a spike.
fn memory(upstream: SocketAddr, settings: &[(&str, &str)]) -> Result<Vec<(String, Memory)>, Fault> {
    let proxy = Proxy::start(upstream, settings)?;
    while !is_ready(proxy.admin)? {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (runtime, mut first) = (runtime()?, 0);
    let mut bodies = |count: usize| {
        first += count as i64;
        texts::cold(first - count as i64, count)
    };
    let mut load = Load { address: proxy.address, bodies: &mut bodies, plans: 0 };
    let mut stages = vec![("idle".to_owned(), proxy.process.memory()?)];
    for _ in 0..rounds(3) {
        runtime.block_on(load.offer(STEADY, seconds(10.0)))?;
    }
    stages.push((format!("at {STEADY} a second"), proxy.process.memory()?));
    runtime.block_on(load.offer(SPIKE, seconds(10.0)))?;
    stages.push((format!("after {SPIKE} a second"), proxy.process.memory()?));
    std::thread::sleep(Duration::from_secs_f64(seconds(10.0)));
    stages.push(("ten seconds later".to_owned(), proxy.process.memory()?));
    Ok(stages)
}

fn is_ready(admin: SocketAddr) -> Result<bool, Fault> {
    let mut stream = TcpStream::connect(admin)?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
