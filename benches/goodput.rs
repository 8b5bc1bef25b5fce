//! How much the guard can do on one core: the rate at which 99 of 100 answers come within 50 ms, when each text is new and
//! when conversations of ten turns go on; and what becomes of two and three times as much, which must be refused at once
//! without a loss for what is not.

mod common;

use common::goodput::{Bodies, Load, Peak, limit};
use common::load::Answer;
use common::results::{self, bars, keep, seconds};
use common::stats::{control, median, quantile};
use common::{Fault, Proxy, runtime, texts, there_and_back, upstream};
use serde_json::{Value, json};

/// Conversations that go on side by side.
const CONVERSATIONS: usize = 100;
const TURNS: usize = 10;

fn main() -> Result<(), Fault> {
    let upstream = upstream::start()?;
    // The cache is as it is by default: what is cold is so because its texts are new.
    // Whoever wants answers within 50 ms lets nobody wait for most of them.
    let settings = [("NONNOCERE_GUARD__REMEMBERED", "16384"), ("NONNOCERE_GUARD__QUEUE_WAIT", "20ms")];
    let proxy = Proxy::start(upstream, &settings)?;
    let runtime = runtime()?;
    let (mut first, mut conversations) = (0, texts::Conversations::begin(0, CONVERSATIONS, TURNS));
    let mut new = |count: usize| {
        first += count as i64;
        texts::cold(first - count as i64, count)
    };
    let mut turns = |count: usize| conversations.turns(count);
    let mut mixes: [(&str, Bodies<'_>); 2] = [("every text new", &mut new), ("conversations", &mut turns)];
    let mut found: [Found; 2] = Default::default();
    for (step, place) in there_and_back(mixes.len()).enumerate() {
        let (name, bodies) = &mut mixes[place];
        let mut load = Load { address: proxy.address, bodies: *bodies, plans: 100 * step as u64 };
        let found = &mut found[place];
        if found.peaks.is_empty() {
            // Once round all conversations: the histories that they begin with are as new as nothing else will be.
            runtime.block_on(load.offer(20.0, CONVERSATIONS as f64 / 20.0))?;
        }
        let peak = runtime.block_on(load.peak())?;
        println!("{name}: {}", described(&peak));
        // Beyond the capacity on the way back.
        let beyond: &[f64] = if found.peaks.is_empty() || peak.rate == 0.0 { &[] } else { &[2.0, 3.0] };
        for &times in beyond {
            found.beyond.push(runtime.block_on(overload(&mut load, &peak, times))?);
        }
        found.peaks.push(peak);
    }
    let names = mixes.map(|(name, _)| name);
    report(&names, &found)
}

/// What was found of a mix: its peak, there and back, and what became of two and three times as much.
#[derive(Default)]
struct Found {
    peaks: Vec<Peak>,
    beyond: Vec<(Value, f64)>,
}

fn described(peak: &Peak) -> String {
    format!(
        "{:.1} a second within {} ms at {:.1} offered; p50 {:.2} ms, p99 {:.2} ms; {:.1}% refused",
        peak.goodput,
        limit(),
        peak.rate,
        peak.p50,
        peak.p99,
        100.0 * peak.refused
    )
}

fn report(names: &[&str], found: &[Found]) -> Result<(), Fault> {
    let goodput = |found: &Found| -> Vec<f64> { found.peaks.iter().map(|peak| peak.goodput).collect() };
    let [there, back] = [0, 1].map(|way| found.iter().map(|found| goodput(found)[way]).collect::<Vec<_>>());
    let mut results = json!({"control": control("goodput", &there, &back).json()});
    let mut drawn = Vec::new();
    for (name, found) in names.iter().zip(found) {
        drawn.push((format!("{name}, 1x"), median(&goodput(found))));
        let peaks: Vec<Value> = found.peaks.iter().map(Peak::json).collect();
        results[*name] =
            json!({"peaks": peaks, "beyond": found.beyond.iter().map(|(json, _)| json).collect::<Vec<_>>()});
        drawn.extend([2, 3].iter().zip(&found.beyond).map(|(times, (_, left))| (format!("{name}, {times}x"), *left)));
    }
    let picture = bars("goodput", "Goodput on one core within 50 ms, at 1, 2 and 3 times the capacity (1/s)", &drawn);
    keep("goodput", results, &[picture])?;
    Ok(())
}

/// What becomes of `times` the capacity, and the goodput that is left.
async fn overload(load: &mut Load<'_>, peak: &Peak, times: f64) -> Result<(Value, f64), Fault> {
    let run = load.offer(times * peak.rate, seconds(10.0)).await?;
    let goodput = run.goodput(limit());
    let busy = run.took(|answer| answer == Answer::Busy);
    let [busy50, busy99] = [0.5, 0.99].map(|part| quantile(&busy, part));
    let [refused, failed] = [Answer::Busy, Answer::Failed].map(|answer| 100.0 * run.share(answer));
    println!(
        "  at {times} times that: {goodput:.1} a second within {} ms, {:.0}% of the peak; judged p50 {:.1} ms, p99 {:.1} ms",
        limit(),
        100.0 * goodput / peak.goodput,
        run.at(0.5),
        run.at(0.99)
    );
    println!("    {refused:.1}% answered 503, p50 {busy50:.2} ms, p99 {busy99:.2} ms; {failed:.1}% failed");
    if goodput < 0.9 * peak.goodput && !results::quick() {
        println!("    LESS THAN 90% OF THE PEAK");
    }
    let kept = json!({"times": times, "goodput": goodput, "of_peak": goodput / peak.goodput, "p50_ms": run.at(0.5), "p99_ms": run.at(0.99),
                      "busy_percent": refused, "failed_percent": failed, "busy_p50_ms": busy50, "busy_p99_ms": busy99});
    Ok((kept, goodput))
}
