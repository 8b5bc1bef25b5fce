//! Stored decisions: complete, without text, and tampering is found. By `SQLite` and by a real `PostgreSQL`.

mod common;
#[path = "common/postgres.rs"]
mod postgres;
#[path = "common/records.rs"]
mod records;

use common::{Options, RunningProxy, ScriptedUpstream, ask};
use nonnocere::audit::chain::{Checkpoint, Reason, Tail};
use nonnocere::audit::decision::Decision;
use nonnocere::audit::journal::{Journal, Settings};
use nonnocere::audit::key::Signing;
use nonnocere::audit::spool::Spool;
use nonnocere::audit::store::Store;
use nonnocere::audit::verify::{Report, verify};
use nonnocere::metrics::Metrics;
use postgres::Postgres;
use records::{decision, sign, sqlite};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn stored(store: &Store) -> Vec<Decision> {
    let mut all = Vec::new();
    store.read(i64::MIN, |one| all.push(serde_json::from_str(&one.body).unwrap())).await.unwrap();
    all
}

/// A store with ten decisions, of which the eighth is signed; tampered with, and then proven.
async fn tampered(url: &str, key: &Signing, statements: &[&str]) -> Report {
    let store = Store::open(url).await.unwrap();
    for table in ["decisions", "checkpoints", "facts", "hours", "latencies"] {
        store.execute(&format!("DELETE FROM {table}")).await.unwrap();
    }
    store.execute("UPDATE chain_tail SET seq = 0, hash = 'nonnocere'").await.unwrap();
    let all: Vec<Decision> = (1..=10).map(decision).collect();
    let tail = store.append(&all[..8]).await.unwrap();
    sign(&store, &tail, key).await;
    store.append(&all[8..]).await.unwrap();
    for statement in statements {
        store.execute(statement).await.unwrap();
    }
    let report = verify(&store, &[key.public()]).await.unwrap();
    store.close().await;
    report
}

async fn tampering_is_found_in(url: &str) {
    let key = Signing::random().unwrap();
    let report = tampered(url, &key, &[]).await;
    assert_eq!((report.decisions, report.checkpoints, report.unsigned), (10, 1, 2));
    assert!(report.holds(), "{report:?}");
    for (statements, finding) in [
        (&["UPDATE decisions SET body = REPLACE(body, 'block', 'allow') WHERE seq = 3"][..], "3 (e3) was changed"),
        (&["UPDATE decisions SET action = 'allow' WHERE seq = 3"], "the columns of 3 (e3)"),
        (&["UPDATE decisions SET time = 77 WHERE seq = 3"], "the columns of 3 (e3)"),
        (&["DELETE FROM decisions WHERE seq = 4"], "4 is missing"),
        (&["DELETE FROM decisions WHERE seq BETWEEN 2 AND 5"], "2 to 5 are missing"),
        (&["DELETE FROM decisions WHERE seq = 1"], "1 is missing"),
        (&["DELETE FROM decisions WHERE seq = 10"], "the chain ends at 9, and should end at 10"),
        (
            &[
                "UPDATE decisions SET seq = 30 WHERE seq = 3",
                "UPDATE decisions SET seq = 3 WHERE seq = 4",
                "UPDATE decisions SET seq = 4 WHERE seq = 30",
            ],
            "3 (e4) was changed, moved or put in",
        ),
        (
            &[
                "DELETE FROM decisions WHERE seq > 7",
                "UPDATE chain_tail SET seq = 7, hash = (SELECT hash FROM decisions WHERE seq = 7)",
            ],
            "8 was signed and is gone",
        ),
        (&["UPDATE checkpoints SET seq = 7"], "the signature at 7 is not by a known key"),
    ] {
        let report = tampered(url, &key, statements).await;
        assert!(report.findings.iter().any(|found| found.contains(finding)), "{statements:?}: {report:?}");
    }
    // Who computes all hashes anew is found by what was signed.
    let other = Signing::random().unwrap();
    let report = tampered(url, &key, &["DELETE FROM checkpoints"]).await;
    assert!(report.holds() && report.unsigned == 10);
    let store = Store::open(url).await.unwrap();
    sign(&store, &store.tail().await.unwrap(), &other).await;
    assert!(!verify(&store, &[key.public()]).await.unwrap().holds());
}

#[tokio::test]
async fn tampering_is_found() {
    let folder = tempfile::tempdir().unwrap();
    tampering_is_found_in(&sqlite(folder.path())).await;
    if let Some(server) = Postgres::start() {
        tampering_is_found_in(&server.url()).await;
    }
}

async fn a_pruned_chain_holds_in(url: &str) {
    let key = Signing::random().unwrap();
    assert!(tampered(url, &key, &[]).await.holds());
    let store = Store::open(url).await.unwrap();
    let signed = |tail: &Tail| Checkpoint::sign(tail, Reason::Pruned, 5, &key);
    assert_eq!(store.prune(4, signed).await.unwrap(), 3);
    assert_eq!(store.prune(4, signed).await.unwrap(), 0);
    let report = verify(&store, &[key.public()]).await.unwrap();
    assert!(report.holds() && (report.pruned, report.decisions) == (3, 7), "{report:?}");
    store.append(&[decision(11)]).await.unwrap();
    // What is older than everything goes, but for the last, which the chain goes on from.
    assert_eq!(store.prune(i64::MAX, signed).await.unwrap(), 7);
    assert!(verify(&store, &[key.public()]).await.unwrap().holds());
    store.execute("DELETE FROM decisions").await.unwrap();
    assert!(!verify(&store, &[key.public()]).await.unwrap().holds());
    store.close().await;
}

#[tokio::test]
async fn a_pruned_chain_holds() {
    let folder = tempfile::tempdir().unwrap();
    a_pruned_chain_holds_in(&sqlite(folder.path())).await;
    if let Some(server) = Postgres::start() {
        a_pruned_chain_holds_in(&server.url()).await;
    }
}

/// Writers of a fleet share one chain.
async fn several_writers_make_one_chain_in(url: &str) {
    let writers = (0..4).map(|writer| {
        let url = url.to_owned();
        tokio::spawn(async move {
            let store = Store::open(&url).await.unwrap();
            for batch in 0..25 {
                store.append(&[decision(writer * 1000 + batch), decision(writer * 1000 + 500 + batch)]).await.unwrap();
            }
            store.close().await;
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let store = Store::open(url).await.unwrap();
    let report = verify(&store, &[Signing::random().unwrap().public()]).await.unwrap();
    assert!(report.holds() && report.decisions == 200, "{report:?}");
    store.close().await;
}

#[tokio::test]
async fn several_writers_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    several_writers_make_one_chain_in(&sqlite(folder.path())).await;
    if let Some(server) = Postgres::start() {
        several_writers_make_one_chain_in(&server.url()).await;
    }
}

/// A proxy that keeps its decisions in `folder`.
async fn recording(upstream: &ScriptedUpstream, folder: &Path, required: bool) -> (RunningProxy, Store, Journal) {
    let store = Store::open(&sqlite(folder)).await.unwrap();
    let settings = Settings {
        store: store.clone(),
        key: Signing::random().unwrap(),
        spool: Spool::new(folder.join("spool"), 1 << 20),
        required,
        queue: 100,
        sign_every: Duration::from_secs(60),
        vault: None,
        trust: vec![],
    };
    let (journal, _) = Journal::start(settings, Arc::new(Metrics::new().unwrap()));
    let mut options = Options::new(&upstream.url());
    options.journal = Some(journal.clone());
    (RunningProxy::start(options).await, store, journal)
}

#[tokio::test]
async fn every_decision_is_stored_with_its_scores_and_without_text() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("All is well, CANARY. Here is how to VIOLATE it.").await;
    let (proxy, store, _) = recording(&upstream, folder.path(), true).await;
    let refused = proxy.chat(&ask("VIOLATE the CANARY", &json!({}))).await;
    let passed = proxy.chat(&ask("CANARY, hello", &json!({}))).await;
    let all = stored(&store).await;
    let shown: Vec<_> =
        all.iter().map(|one| (one.event.as_str(), one.direction.as_str(), one.action.as_str())).collect();
    let events = [&refused, &passed].map(|answer| answer.header("x-nonnocere-event-id").to_owned());
    assert_eq!(
        shown,
        [(events[0].as_str(), "prompt", "block"), (&events[1], "prompt", "allow"), (&events[1], "completion", "block")]
    );
    assert_eq!((all[0].rule.as_deref(), all[0].surface.as_str()), (Some("violating-prompt"), "chat"));
    assert!(all[0].alone.as_ref().is_some_and(|seen| seen.violation > 0.9));
    assert!(all[1].alone.as_ref().is_some_and(|seen| seen.violation < 0.5));
    let bytes: Vec<u8> =
        ["audit.db", "audit.db-wal"].iter().flat_map(|name| std::fs::read(folder.path().join(name)).unwrap()).collect();
    assert!(!String::from_utf8_lossy(&bytes).contains("CANARY"));
    // A stream has its prompt stored before it begins, and its answer when it ends.
    let streamed = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    let event = streamed.header("x-nonnocere-event-id");
    let has =
        |all: &[Decision], direction: &str| all.iter().any(|one| one.event == event && one.direction == direction);
    assert!(has(&stored(&store).await, "prompt"));
    while !has(&stored(&store).await, "completion") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_is_answered_unrecorded_where_records_are_required() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("All is well.").await;
    let (proxy, store, _) = recording(&upstream, folder.path(), true).await;
    assert_eq!(proxy.chat(&ask("hello", &json!({}))).await.status, 200);
    store.execute("ALTER TABLE decisions RENAME TO gone").await.unwrap();
    for stream in [false, true] {
        let got = proxy.chat(&ask("hello", &json!({"stream": stream}))).await;
        let body = String::from_utf8_lossy(&got.body).into_owned();
        assert!(got.status == 503 && body.contains("audit_unavailable") && !body.contains("All is well"), "{body}");
    }
    // Someone who needs help gets it all the same.
    for asked in ["CRISIS", "CRISIS and VIOLATE"] {
        let got = proxy.chat(&ask(asked, &json!({}))).await;
        assert!(String::from_utf8_lossy(&got.body).contains("findahelpline.com"), "{asked}");
    }
    // What was decided then is not lost, and in order when the store is back.
    store.execute("ALTER TABLE gone RENAME TO decisions").await.unwrap();
    while stored(&store).await.len() < 8 {
        tokio::task::yield_now().await;
    }
    let events: Vec<String> = stored(&store).await.into_iter().map(|one| one.event).collect();
    assert!(events.is_sorted(), "{events:?}");
}

#[tokio::test]
async fn a_store_that_is_gone_costs_nobody_an_answer_where_records_are_not_required() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("All is well.").await;
    let (proxy, store, journal) = recording(&upstream, folder.path(), false).await;
    store.execute("ALTER TABLE decisions RENAME TO gone").await.unwrap();
    for _ in 0..5 {
        assert_eq!(proxy.chat(&ask("hello", &json!({}))).await.status, 200);
    }
    while !std::fs::read_to_string(folder.path().join("spool"))
        .is_ok_and(|spool| spool.lines().filter(|line| !line.is_empty()).count() == 10)
    {
        tokio::task::yield_now().await;
    }
    store.execute("ALTER TABLE gone RENAME TO decisions").await.unwrap();
    while stored(&store).await.len() < 10 {
        tokio::task::yield_now().await;
    }
    assert!(!journal.is_required() && !folder.path().join("spool").exists());
}

#[tokio::test]
async fn what_was_stored_before_a_crash_is_not_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    let spool = || Spool::new(folder.path().join("spool"), 1 << 20);
    // Two were stored when the crash came, the spool was not emptied.
    let all: Vec<Decision> = (1..=3).map(decision).collect();
    store.append(&all[..2]).await.unwrap();
    spool().keep(&all).unwrap();
    let settings = Settings {
        store: store.clone(),
        key: Signing::random().unwrap(),
        spool: spool(),
        required: false,
        queue: 10,
        sign_every: Duration::from_secs(60),
        vault: None,
        trust: vec![],
    };
    let (journal, written) = Journal::start(settings, Arc::new(Metrics::new().unwrap()));
    drop(journal);
    written.await.unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    assert_eq!(stored(&store).await, all);
    assert!(!folder.path().join("spool").exists());
}

#[test]
fn a_spool_is_bounded_and_forgets_nothing_that_was_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path().join("spool"), 1000);
    assert!(spool.take().unwrap().is_none());
    let mut kept = 0;
    while spool.keep(&[decision(kept)]).is_ok() {
        kept += 1;
    }
    assert!((2..5).contains(&kept), "{kept}");
    let spool = Spool::new(folder.path().join("spool"), 1 << 20);
    // A crash in the middle: it is there at the next try.
    let mut taken = spool.take().unwrap().unwrap();
    assert_eq!(taken.next(100).unwrap().len(), kept as usize);
    spool.keep(&[decision(99)]).unwrap();
    std::fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("spool"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"{\"time\":1,"))
        .unwrap();
    let mut taken = spool.take().unwrap().unwrap();
    // Some at a time, in their order.
    let times: Vec<i64> = taken.next(2).unwrap().into_iter().map(|one| one.time).collect();
    assert_eq!((times, taken.next(100).unwrap().len(), taken.broken), (vec![0, 1], kept as usize - 2, 0));
    taken.done().unwrap();
    let mut taken = spool.take().unwrap().unwrap();
    let found = taken.next(100).unwrap();
    assert_eq!((found.len(), found[0].time, taken.next(100).unwrap().len(), taken.broken), (1, 99, 0, 1));
    taken.done().unwrap();
    assert!(spool.take().unwrap().is_none());
}
