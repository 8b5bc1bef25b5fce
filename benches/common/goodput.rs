//! How much a server can do: the highest rate at which 99 of 100 answers come within [`limit`], and none is refused.

use super::load::{self, Answer, Fault, Plan, Run};
use super::results::{quick, seconds};
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Milliseconds within which an answer counts; where everything is to be short, the machine may be busy.
pub fn limit() -> f64 {
    if quick() { 1000.0 } else { 50.0 }
}

/// Connections that may be open.
const CONNECTIONS: usize = 1024;

/// Below so many requests a second nobody looks further.
const LEAST: f64 = 1.0;

/// From one rate to the next, until one holds and one does not.
const STEP: f64 = 1.5;

/// As many bodies as are asked for, which differ from all before.
pub type Bodies<'a> = &'a mut dyn FnMut(usize) -> Vec<Bytes>;

/// What is asked of whom.
pub struct Load<'a> {
    pub address: SocketAddr,
    pub bodies: Bodies<'a>,
    /// How many arrivals were planned, so that no two plans are alike.
    pub plans: u64,
}

/// The most that a server can do.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Requests a second; 0 where not even [`LEAST`] go well.
    pub rate: f64,
    /// Judged answers within [`limit`], a second.
    pub goodput: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// The part that was refused by its text: little, or it was not the work that was meant.
    pub refused: f64,
}

impl Peak {
    /// As JSON.
    pub fn json(&self) -> Value {
        json!({"rate": self.rate, "goodput": self.goodput, "p50_ms": self.p50, "p99_ms": self.p99,
               "refused": self.refused})
    }
}

impl Load<'_> {
    /// `rate` requests a second for so many seconds, as many as a percentile needs at least.
    pub async fn offer(&mut self, rate: f64, lasting: f64) -> Result<Run, Fault> {
        self.plans += 1;
        let count = ((rate * lasting) as usize).max(if quick() { 10 } else { 40 });
        let bodies = (self.bodies)(count);
        load::run(Plan { address: self.address, rate, bodies, connections: CONNECTIONS, seed: self.plans }).await
    }

    /// Requests a second, one after the other.
    async fn pace(&mut self) -> Result<f64, Fault> {
        let mut took = load::in_turn(self.address, (self.bodies)(30)).await?;
        // The first ones warm up.
        let took = took.split_off(10);
        Ok(1e3 * took.len() as f64 / took.iter().sum::<f64>())
    }

    /// The peak, found by steps up or down from what is done one after the other, then by three halvings.
    pub async fn peak(&mut self) -> Result<Peak, Fault> {
        let start = 0.6 * self.pace().await?;
        let (mut best, mut failed): (Option<Peak>, Option<f64>) = (None, None);
        let mut rate = start;
        while best.is_none() || failed.is_none() {
            match self.holds(rate).await? {
                Some(peak) => {
                    best = Some(peak);
                    rate *= STEP;
                }
                None => {
                    failed = Some(rate);
                    rate /= STEP;
                }
            }
            if rate < LEAST {
                return Ok(Peak { rate: 0.0, goodput: 0.0, p50: f64::NAN, p99: f64::NAN, refused: 0.0 });
            }
        }
        let (Some(mut best), Some(mut failed)) = (best, failed) else { return Err("no peak".into()) };
        for _ in 0..3 {
            let between = (best.rate * failed).sqrt();
            match self.holds(between).await? {
                Some(peak) => best = peak,
                None => failed = between,
            }
        }
        Ok(best)
    }

    /// What comes of a rate, where it is good enough.
    async fn holds(&mut self, rate: f64) -> Result<Option<Peak>, Fault> {
        let run = self.offer(rate, seconds(5.0)).await?;
        let refused = run.share(Answer::Refused);
        let peak = Peak { rate, goodput: run.goodput(limit()), p50: run.at(0.5), p99: run.at(0.99), refused };
        let (busy, broken) = (run.share(Answer::Busy), run.share(Answer::Failed));
        if let Some(fault) = &run.fault {
            println!("    at {rate:.1}/s {:.1}% failed, the first: {fault}", 100.0 * broken);
        }
        let late = run.late();
        if late > limit() / 10.0 {
            println!("    at {rate:.1}/s requests left {late:.1} ms late (p99): the load itself is too slow");
        }
        Ok((peak.p99 <= limit() && busy + broken < 0.001).then_some(peak))
    }
}
