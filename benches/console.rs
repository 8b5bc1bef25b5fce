//! How long each page of the console waits for the store, with a million decisions and a hundred thousand labels in `SQLite`; and
//! what storing a decision costs. The store is kept in the target folder and used again.

#[path = "common/chance.rs"]
mod chance;
#[path = "common/records.rs"]
mod records;

use nonnocere::audit::sampling::Queue;
use nonnocere::audit::search::Wanted;
use nonnocere::audit::series::{By, Range};
use nonnocere::audit::store::{Fault, Store};
use records::{BEGIN, MONTH, decision};
use std::path::Path;
use std::time::Instant;

const DECISIONS: i64 = 1_000_000;
const BATCH: i64 = 1000;
const TIMES: usize = 20;

async fn seeded() -> Result<Store, Fault> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console.db");
    let store = Store::open(&format!("sqlite:{}", path.display())).await?;
    let there = store.tail().await?.seq;
    if there < DECISIONS {
        let start = Instant::now();
        for first in (there..DECISIONS).step_by(BATCH as usize) {
            let batch: Vec<_> = (first..first + BATCH).map(|number| decision(number, DECISIONS)).collect();
            store.append(&batch).await?;
        }
        let took = start.elapsed().as_secs_f64();
        let n = DECISIONS - there;
        println!("{n} decisions stored in {took:.1} s, {:.0} a second, {BATCH} at once", n as f64 / took);
        for reviewer in ["ana", "ben"] {
            store.execute(&labels(reviewer)).await?;
        }
        let start = Instant::now();
        store.fill_reviews().await?;
        println!("labels summed up in {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(store)
}

/// Labels of a fifteenth or so of all decisions by one reviewer.
fn labels(reviewer: &str) -> String {
    let part = reviewer.len() + usize::from(reviewer == "ben");
    format!(
        "INSERT INTO labels (event, direction, reviewer, mark, time) SELECT event, direction, '{reviewer}', CASE \
         WHEN seq % 70 = 0 AND action = 'block' THEN 'over-blocked' WHEN seq % 910 = 0 THEN 'missed' ELSE 'correct' END, \
         time + 1000000 FROM facts WHERE seq % 70 IN (0, {part}, 11, 23) OR (seq % 70 = 35 AND '{reviewer}' = 'ben')"
    )
}

/// Has something asked so many times, and shows the median and the worst, in milliseconds.
async fn timed<T>(what: &str, ask: impl AsyncFn() -> Result<T, Fault>) -> Result<(), Fault> {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let start = Instant::now();
        drop(ask().await?);
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let [median, worst] = [took[TIMES / 2], took[TIMES - 1]];
    println!("{what:<60} {median:>9.2} {worst:>9.2}");
    Ok(())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// All decisions but for what `set` says.
fn with(set: impl Fn(&mut Wanted)) -> Wanted {
    let mut wanted = Wanted::default();
    set(&mut wanted);
    wanted
}

fn old(wanted: &mut Wanted) {
    let day = 86_400_000_000;
    (wanted.from, wanted.until) = (Some(BEGIN + day), Some(BEGIN + 2 * day));
}

/// What the list of decisions is asked for, by one thing.
fn alone() -> Vec<(&'static str, Wanted)> {
    vec![
        ("all", Wanted::default()),
        ("an old day", with(old)),
        ("far back", with(|w| w.before = Some(100_000))),
        ("principle", with(|w| w.principle = some("II"))),
        ("type", with(|w| w.kind = some("IV.2"))),
        ("rule", with(|w| w.rule = some("violating-completion"))),
        ("action block", with(|w| w.action = some("block"))),
        ("action allow", with(|w| w.action = some("allow"))),
        ("action unavailable", with(|w| w.action = some("unavailable"))),
        ("tenant", with(|w| w.tenant = some("pharmacy"))),
        ("audience", with(|w| w.audience = some("student"))),
        ("direction", with(|w| w.direction = some("completion"))),
        ("policy of long ago", with(|w| w.policy = some("ama@260ba033ee84"))),
        ("scan none", with(|w| w.scan = some("none"))),
        ("score 0.9 to 1", with(|w| w.score = Some((0.9, 1.0)))),
        ("score 0.495 to 0.505", with(|w| w.score = Some((0.495, 0.505)))),
        ("score 0.55 to 0.6", with(|w| w.score = Some((0.55, 0.6)))),
        ("reviewed", with(|w| w.reviewed = Some(true))),
        ("event, ten digits", with(|w| w.event = decision(700_000, DECISIONS).event.get(..10).map(str::to_owned))),
        ("event", with(|w| w.event = Some(decision(700_000, DECISIONS).event))),
    ]
}

/// And by several, or by what is not there.
fn together() -> Vec<(&'static str, Wanted)> {
    vec![
        ("principle, tenant", with(|w| (w.principle, w.tenant) = (some("IX"), some("pharmacy")))),
        (
            "principle, an old day",
            with(|w| {
                old(w);
                w.principle = some("II");
            }),
        ),
        ("tenant, audience", with(|w| (w.tenant, w.audience) = (some("pharmacy"), some("student")))),
        ("tenant, action block", with(|w| (w.tenant, w.action) = (some("pharmacy"), some("block")))),
        ("tenant, score 0.9 to 1", with(|w| (w.tenant, w.score) = (some("pharmacy"), Some((0.9, 1.0))))),
        ("tenant, completion", with(|w| (w.tenant, w.direction) = (some("pharmacy"), some("completion")))),
        ("principle that is not there", with(|w| w.principle = some("X"))),
        ("policy that is not there", with(|w| w.policy = some("X"))),
        ("score that is not there", with(|w| w.score = Some((1.5, 2.0)))),
        (
            "tenant, a principle of another rule",
            with(|w| {
                (w.tenant, w.principle, w.rule) = (some("cardiology"), some("I"), some("none"));
            }),
        ),
        (
            "policy, a tenant that is not there",
            with(|w| (w.policy, w.tenant) = (some("clinic@77aa0133ee84"), some("X"))),
        ),
        (
            "policy of long ago, a score that is not there",
            with(|w| {
                (w.policy, w.score) = (some("ama@260ba033ee84"), Some((1.5, 2.0)));
            }),
        ),
        (
            "tenant, unavailable completions of an old day",
            with(|w| {
                old(w);
                (w.tenant, w.action, w.direction) = (some("cardiology"), some("unavailable"), some("completion"));
            }),
        ),
    ]
}

async fn lists(store: &Store) -> Result<(), Fault> {
    for (what, wanted) in alone().into_iter().chain(together()) {
        timed(&format!("50 decisions: {what}"), async || store.found(&wanted, 50).await).await?;
        timed(&format!("  counted (up to 10,000): {:?}", store.counted(&wanted).await?.n), async || {
            store.counted(&wanted).await
        })
        .await?;
    }
    timed("the messages of an event", async || store.facts_of(&decision(500_000, DECISIONS).event).await).await
}

async fn overview(store: &Store) -> Result<(), Fault> {
    let until = BEGIN + MONTH;
    for (days, name) in [(1, "a day"), (4, "four days"), (7, "a week"), (25, "25 days"), (30, "a month")] {
        let range = Range { from: until - days * 86_400_000_000, until, ..Range::default() };
        let ofone = Range { tenant: Some("pharmacy".to_owned()), ..range.clone() };
        timed(&format!("{name}: series"), async || store.series(&range).await).await?;
        timed(&format!("{name}: series of a tenant"), async || store.series(&ofone).await).await?;
        let by = [By::Principle, By::Tenant, By::Audience];
        timed(&format!("{name}: totals"), async || store.totals(&range, &by).await).await?;
        timed(&format!("{name}: time taken"), async || store.took(&range).await).await?;
        timed(&format!("{name}: judged"), async || store.judged(&range, 1).await).await?;
        timed(&format!("{name}: judged by tenant"), async || store.judged_by(&range, (By::Tenant, 2)).await).await?;
    }
    Ok(())
}

async fn queue(store: &Store) -> Result<(), Fault> {
    for (reviewer, least) in [("ana", 1), ("cai", 1), ("ana", 2), ("cai", 2)] {
        let queue = Queue { reviewer, thresholds: [0.5, 0.5], least, since: BEGIN, seed: 7 };
        timed(&format!("10 to review, {reviewer}, {least} needed"), async || store.to_review(&queue, 10).await).await?;
    }
    let queue = Queue { reviewer: "dan", thresholds: [0.5, 0.5], least: 1, since: BEGIN + MONTH / 2, seed: 7 };
    timed("10 to review, of half a month", async || store.to_review(&queue, 10).await).await?;
    timed("progress", async || store.progress(2).await).await
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let store = seeded().await?;
        println!("{:<60} {:>9} {:>9}", "milliseconds", "median", "worst");
        timed("opened", async || store.unfilled().await).await?;
        lists(&store).await?;
        overview(&store).await?;
        queue(&store).await?;
        Ok(())
    })
}
