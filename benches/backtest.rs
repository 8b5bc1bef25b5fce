//! How long it takes to hold a policy against a million decisions on record.

use nonnocere::audit::decision::{Decision, Seen};
use nonnocere::audit::store::Store;
use nonnocere::classify::Scores;
use nonnocere::policy::backtest::Backtest;
use nonnocere::policy::file;
use std::time::Instant;

const DECISIONS: i64 = 1_000_000;
const BATCH: i64 = 10_000;

fn decision(number: i64) -> Decision {
    let violation = (number % 1000) as f32 / 1000.0;
    let mut scores = Scores { violation, manipulation: 0.01, crisis: 0.002, refusal: 0.1, ..Scores::NONE };
    scores.types[(number % 56) as usize] = 0.9;
    Decision {
        time: 1_700_000_000_000_000 + number,
        event: format!("0199aa00{number:024x}"),
        direction: if number % 2 == 0 { "prompt" } else { "completion" }.into(),
        surface: "chat".into(),
        stream: number % 3 == 0,
        audience: Some("patient".into()),
        action: if violation >= 0.5 { "block" } else { "allow" }.into(),
        rule: (violation >= 0.5).then(|| "violating-prompt".into()),
        principle: None,
        kind: None,
        shadow: None,
        opinion: None,
        scan: "full".into(),
        alone: Some(Seen::from(&scores)),
        context: (number % 4 == 0).then(|| Seen::from(&scores)),
        said: None,
        redacted: [].into(),
        policy: "ama@260ba033ee84".into(),
        model: "c5cf38aa6488".into(),
        status: Some(200),
        took_ms: Some(4.2),
        sealed: None,
        tenant: None,
        user: None,
        part2: false,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let policy = file::parse("clinician.toml", nonnocere::policy::shipped::named("clinician").ok_or("gone")?.text)
        .map_err(|faults| format!("{faults:?}"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let store = Store::open(&format!("sqlite:{}", folder.path().join("audit.db").display())).await?;
        let start = Instant::now();
        for first in (0..DECISIONS).step_by(BATCH as usize) {
            let batch: Vec<Decision> = (first..first + BATCH).map(decision).collect();
            store.append(&batch).await?;
        }
        let took = start.elapsed().as_secs_f64();
        println!("{DECISIONS} decisions stored in {took:.1} s, {:.0} a second", DECISIONS as f64 / took);
        let start = Instant::now();
        let mut backtest = Backtest::default();
        store
            .bodies(i64::MIN, |body| {
                if let Ok(decision) = serde_json::from_str(body) {
                    backtest.add(&policy, &decision, None);
                }
            })
            .await?;
        let took = start.elapsed().as_secs_f64();
        println!("{} decisions backtested in {took:.1} s; {:?} stopped", backtest.decisions, backtest.stopped);
        Ok(())
    })
}
