//! How long each page of the console takes, and what it waits for, with a million decisions and a hundred thousand labels in `SQLite`; and
//! what storing a decision costs. The store is kept in the target folder and used again for some days.

mod common;
#[path = "common/records.rs"]
mod records;

use common::{Launch, Proxy, chance};
use nonnocere::audit::drafts::Draft;
use nonnocere::audit::journal::now;
use nonnocere::audit::key::Signing;
use nonnocere::audit::sampling::Queue;
use nonnocere::audit::search::Wanted;
use nonnocere::audit::series::{By, Range};
use nonnocere::audit::store::{Fault, Store};
use nonnocere::console::account::{Role, Wish};
use nonnocere::console::session::Life;
use records::{MONTH, Month, decision};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DECISIONS: i64 = 1_000_000;
const BATCH: i64 = 1000;
const TIMES: usize = 20;

const DAY: i64 = 86_400_000_000;

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The store, and the month that its decisions are of: the one that ends now, unless there is one of these days.
async fn seeded() -> Result<(Store, Month), Fault> {
    let url = format!("sqlite:{}", kept("console.db").display());
    let mut store = Store::open(&url).await?;
    let oldest = store.found(&Wanted { before: Some(2), ..Wanted::default() }, 1).await?;
    let mut begin = oldest.first().map_or(now() - MONTH, |fact| fact.time);
    if begin + MONTH < now() - 3 * DAY {
        store.close().await;
        for name in ["console.db", "console.db-wal", "console.db-shm"] {
            drop(std::fs::remove_file(kept(name)));
        }
        (store, begin) = (Store::open(&url).await?, now() - MONTH);
    }
    let month = Month { begin, all: DECISIONS };
    let there = store.tail().await?.seq;
    if there < DECISIONS {
        let start = Instant::now();
        for first in (there..DECISIONS).step_by(BATCH as usize) {
            let batch: Vec<_> = (first..first + BATCH).map(|number| decision(number, month)).collect();
            store.append(&batch).await?;
        }
        let took = start.elapsed().as_secs_f64();
        let n = DECISIONS - there;
        println!("{n} decisions stored in {took:.1} s, {:.0} a second, {BATCH} at once", n as f64 / took);
        for reviewer in ["ana", "ben"] {
            store.execute(&labels(reviewer)).await?;
        }
    }
    let start = Instant::now();
    store.fill_reviews().await?;
    println!("labels summed up in {:.1} s", start.elapsed().as_secs_f64());
    Ok((store, month))
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

fn old(wanted: &mut Wanted, month: Month) {
    (wanted.from, wanted.until) = (Some(month.begin + DAY), Some(month.begin + 2 * DAY));
}

/// What the list of decisions is asked for, by one thing.
fn alone(month: Month) -> Vec<(&'static str, Wanted)> {
    vec![
        ("all", Wanted::default()),
        ("an old day", with(|w| old(w, month))),
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
        ("event, ten digits", with(|w| w.event = decision(700_000, month).event.get(..10).map(str::to_owned))),
        ("event", with(|w| w.event = Some(decision(700_000, month).event))),
    ]
}

/// And by several, or by what is not there.
fn together(month: Month) -> Vec<(&'static str, Wanted)> {
    vec![
        ("principle, tenant", with(|w| (w.principle, w.tenant) = (some("IX"), some("pharmacy")))),
        (
            "principle, an old day",
            with(|w| {
                old(w, month);
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
                old(w, month);
                (w.tenant, w.action, w.direction) = (some("cardiology"), some("unavailable"), some("completion"));
            }),
        ),
    ]
}

async fn lists(store: &Store, month: Month) -> Result<(), Fault> {
    for (what, wanted) in alone(month).into_iter().chain(together(month)) {
        timed(&format!("50 decisions: {what}"), async || store.found(&wanted, 50).await).await?;
        timed(&format!("  counted (up to 10,000): {:?}", store.counted(&wanted).await?.n), async || {
            store.counted(&wanted).await
        })
        .await?;
    }
    timed("the messages of an event", async || store.facts_of(&decision(500_000, month).event).await).await
}

async fn overview(store: &Store, month: Month) -> Result<(), Fault> {
    let until = month.begin + MONTH;
    for (days, name) in [(1, "a day"), (4, "four days"), (7, "a week"), (25, "25 days"), (30, "a month")] {
        let range = Range { from: until - days * DAY, until, ..Range::default() };
        let ofone = Range { tenant: Some("pharmacy".to_owned()), ..range.clone() };
        timed(&format!("{name}: series"), async || store.series(&range).await).await?;
        timed(&format!("{name}: series of a tenant"), async || store.series(&ofone).await).await?;
        let by = [By::Principle, By::Tenant, By::Audience, By::Rule];
        timed(&format!("{name}: totals"), async || store.totals(&range, &by).await).await?;
        timed(&format!("{name}: judged"), async || store.judged(&range, 1).await).await?;
    }
    Ok(())
}

async fn queue(store: &Store, month: Month) -> Result<(), Fault> {
    let begin = month.begin;
    for (reviewer, least) in [("ana", 1), ("cai", 1), ("ana", 2), ("cai", 2)] {
        let queue = Queue { reviewer, thresholds: [0.5, 0.5], least, since: begin, seed: 7 };
        timed(&format!("10 to review, {reviewer}, {least} needed"), async || store.to_review(&queue, 10).await).await?;
    }
    let queue = Queue { reviewer: "dan", thresholds: [0.5, 0.5], least: 1, since: begin + MONTH / 2, seed: 7 };
    timed("10 to review, of half a month", async || store.to_review(&queue, 10).await).await?;
    timed("progress", async || store.progress(2).await).await
}

/// Pages of someone who may see all, with their names.
fn pages(month: Month) -> Vec<(&'static str, String)> {
    let event = decision(900_000, month).event;
    let mut pages: Vec<(&str, String)> = [
        ("overview, a day", "?range=24h"),
        ("overview, a week", ""),
        ("overview, 30 days", "?range=30d"),
        ("overview, 90 days", "?range=90d"),
        ("overview, 30 days of a tenant", "?range=30d&tenant=pharmacy"),
        ("decisions", "decisions"),
        ("decisions that were stopped", "decisions?action=block"),
        ("decisions of a tenant, by score", "decisions?tenant=pharmacy&low=0.9&high=1"),
        ("decisions of a principle", "decisions?principle=II"),
        ("review", "review"),
        ("try it", "try"),
        ("policy", "policy"),
        ("a draft", "policy/drafts/bench"),
        ("audit", "audit"),
        ("proof", "audit/proof"),
        ("people", "people"),
        ("about", "about"),
    ]
    .map(|(name, path)| (name, format!("/console/{path}")))
    .into();
    pages.push(("a decision", format!("/console/decisions/{event}")));
    pages
}

/// Has the release binary show each page, over HTTP, as a browser asks for it.
async fn whole_pages(store: &Store, month: Month) -> Result<(), common::Fault> {
    let key = Signing::open(&kept("console.key"))?;
    if store.account("bench").await?.is_none() {
        // Nobody signs in by it: the session is opened here.
        store
            .change_account("bench", &Wish::Add(Role::Admin, None), ("bench", &key))
            .await
            .map_err(|_| "no account")?;
    }
    if store.drafts().await?.is_empty() {
        let text = nonnocere::policy::shipped::named("ama").ok_or("no policy")?.text.to_owned();
        let draft = Draft { name: "bench".to_owned(), text, based_on: None, by: "bench".to_owned(), time: now() };
        store.save_draft(&draft, None, &key).await?;
    }
    let life = Life { whole: Duration::from_secs(3600), idle: Duration::from_secs(3600) };
    let cookie = store.open_session("bench", life).await?.cookie(false);
    let db = format!("sqlite:{}", kept("console.db").display());
    let (key, spool) = (kept("console.key"), kept("console.spool"));
    let settings = [
        ("NONNOCERE_AUDIT__URL", db.as_str()),
        ("NONNOCERE_AUDIT__KEY", key.to_str().ok_or("path")?),
        ("NONNOCERE_AUDIT__SPOOL", spool.to_str().ok_or("path")?),
    ];
    let cores = if std::thread::available_parallelism()?.get() > 1 { "0-1" } else { "0" };
    let proxy = Proxy::launch("127.0.0.1:9".parse()?, &Launch { cores, arguments: &[], settings: &settings })?;
    println!(
        "\n{:<60} {:>9} {:>9} {:>9}",
        "whole pages, the proxy on two cores, milliseconds", "median", "worst", "KB"
    );
    for (name, path) in pages(month) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {}={}\r\nconnection: close\r\n\r\n",
            proxy.admin,
            cookie.name(),
            cookie.value()
        );
        let mut took = Vec::new();
        let mut size = 0;
        for _ in 0..TIMES {
            let start = Instant::now();
            let mut stream = TcpStream::connect(proxy.admin)?;
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            took.push(start.elapsed().as_secs_f64() * 1e3);
            if !answer.starts_with(b"HTTP/1.1 200") {
                return Err(format!("{path}: {}", String::from_utf8_lossy(&answer[..answer.len().min(200)])).into());
            }
            size = answer.len();
        }
        took.sort_by(f64::total_cmp);
        println!("{name:<60} {:>9.1} {:>9.1} {:>9.0}", took[TIMES / 2], took[TIMES - 1], size as f64 / 1e3);
    }
    Ok(())
}

fn main() -> Result<(), common::Fault> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (store, month) = seeded().await?;
        whole_pages(&store, month).await?;
        println!("\n{:<60} {:>9} {:>9}", "what the store takes, milliseconds", "median", "worst");
        timed("opened", async || store.unfilled().await).await?;
        lists(&store, month).await?;
        overview(&store, month).await?;
        queue(&store, month).await?;
        Ok(())
    })
}
