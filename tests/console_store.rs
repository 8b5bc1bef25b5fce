//! What the console asks the store for: facts, sums, labels and what is to be reviewed. By `SQLite` and by a real `PostgreSQL`.

mod common;
#[path = "common/postgres.rs"]
mod postgres;
#[path = "common/records.rs"]
mod records;

use nonnocere::audit::act::{Act, Deed};
use nonnocere::audit::chain::{Checkpoint, Reason, Tail};
use nonnocere::audit::decision::{Decision, Seen};
use nonnocere::audit::hours::HOUR;
use nonnocere::audit::key::Signing;
use nonnocere::audit::label::{Label, Mark};
use nonnocere::audit::sampling::{Queue, Why};
use nonnocere::audit::search::{Count, Wanted};
use nonnocere::audit::series::{By, Counts, Range};
use nonnocere::audit::store::{Fault, Store};
use nonnocere::audit::verify::verify;
use nonnocere::classify::Scores;
use nonnocere::policy::tune::Rate;
use nonnocere::policy::versions::Versions;
use postgres::in_both;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use records::{decision, sqlite};
use std::collections::BTreeMap;

/// A decision that can be told from others.
fn one(number: i64) -> Decision {
    let pick = |of: &[&str]| of[(number as usize / 2) % of.len()].to_owned();
    let is_prompt = number % 2 == 0;
    let stops = number % 5 == 0;
    let mut scores = Scores { violation: (number % 100) as f32 / 100.0, ..Scores::NONE };
    scores.refusal = if number % 7 == 0 { 0.9 } else { 0.1 };
    Decision {
        time: 1_700_000_000_000_000 + number * 600_000_000,
        event: format!("{:032x}", number / 2),
        direction: if is_prompt { "prompt" } else { "completion" }.into(),
        audience: Some(pick(&["patient", "clinician"])),
        tenant: (number % 3 > 0).then(|| pick(&["north", "south", "west"])),
        action: if stops { "block" } else { "allow" }.into(),
        rule: stops.then(|| "violating-prompt".into()),
        principle: stops.then(|| pick(&["I", "II", "IV"])),
        kind: stops.then(|| pick(&["I.1", "II.3", "IV.2"])),
        scan: if number % 50 == 0 { "partial" } else { "full" }.into(),
        alone: Some(Seen::from(&scores)),
        took_ms: Some(number as f64 / 10.0),
        ..decision(number)
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Whether a decision is one of those that are wanted.
type Holds = Box<dyn Fn(&Decision) -> bool>;

/// Decisions that may be wanted.
fn wanted() -> Vec<(Wanted, Holds)> {
    let by = Wanted { principle: some("II"), ..Wanted::default() };
    vec![
        (Wanted::default(), Box::new(|_| true)),
        (by.clone(), Box::new(|one| one.principle == some("II"))),
        (Wanted { kind: some("IV.2"), ..Wanted::default() }, Box::new(|one| one.kind == some("IV.2"))),
        (Wanted { action: some("block"), ..Wanted::default() }, Box::new(|one| one.action == "block")),
        (Wanted { action: some("allow"), ..Wanted::default() }, Box::new(|one| one.action == "allow")),
        (Wanted { tenant: some("north"), ..Wanted::default() }, Box::new(|one| one.tenant == some("north"))),
        (
            Wanted { tenant: some("south"), ..by.clone() },
            Box::new(|one| one.tenant == some("south") && one.principle == some("II")),
        ),
        (
            Wanted { tenant: some("south"), audience: some("patient"), ..Wanted::default() },
            Box::new(|one| one.tenant == some("south") && one.audience == some("patient")),
        ),
        (
            Wanted { audience: some("clinician"), direction: some("completion"), ..Wanted::default() },
            Box::new(|one| one.audience == some("clinician") && one.direction == "completion"),
        ),
        (Wanted { scan: some("partial"), ..Wanted::default() }, Box::new(|one| one.scan == "partial")),
        (
            Wanted { policy: some("ama@0"), rule: some("violating-prompt"), ..Wanted::default() },
            Box::new(|one| one.rule.is_some()),
        ),
        (Wanted { policy: some("other"), ..Wanted::default() }, Box::new(|_| false)),
        (
            Wanted { from: Some(one(50).time), until: Some(one(150).time), ..Wanted::default() },
            Box::new(|it| (one(50).time..one(150).time).contains(&it.time)),
        ),
        (
            Wanted { score: Some((0.295, 0.405)), direction: some("prompt"), ..Wanted::default() },
            Box::new(|one| {
                one.direction == "prompt" && (0.295..0.405).contains(&one.alone.as_ref().unwrap().violation)
            }),
        ),
        (Wanted { event: Some(one(301).event), ..Wanted::default() }, Box::new(|it| it.event == one(301).event)),
        (
            Wanted { event: Some(one(1).event[..31].to_owned()), ..Wanted::default() },
            Box::new(|it| it.event < one(32).event),
        ),
        (Wanted { event: some("0000"), ..Wanted::default() }, Box::new(|_| false)),
    ]
}

#[tokio::test]
async fn decisions_are_found_by_what_they_are() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let all: Vec<Decision> = (0..400).map(one).collect();
        // What was spooled meanwhile is stored later, and is as old as it is.
        store.append(&all[..100]).await.unwrap();
        store.append(&all[200..]).await.unwrap();
        store.append(&all[100..200]).await.unwrap();
        for (wanted, holds) in wanted() {
            let mut expected: Vec<(i64, &str)> =
                all.iter().filter(|one| holds(one)).map(|one| (one.time, one.direction.as_str())).collect();
            expected.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
            // A page after the other.
            let (mut found, mut next) = (Vec::new(), wanted.clone());
            loop {
                let page = store.found(&next, 7).await.unwrap();
                let Some(last) = page.last() else { break };
                next.before = Some(last.seq);
                found.extend(page);
            }
            let shown: Vec<(i64, &str)> = found.iter().map(|fact| (fact.time, fact.direction.as_str())).collect();
            assert_eq!(shown, expected, "{wanted:?}");
            let count = Count { n: expected.len() as i64, more: false };
            assert_eq!(store.counted(&wanted).await.unwrap(), count, "{wanted:?}");
        }
        let facts = store.facts_of(&one(301).event).await.unwrap();
        assert_eq!(facts.iter().map(|fact| fact.took).collect::<Vec<_>>(), [Some(30_000), Some(30_100)]);
        assert_eq!(store.fact(facts[1].seq).await.unwrap().as_ref(), Some(&facts[1]));
        store.close().await;
    })
    .await;
}

/// What pages say of a store, counted from the bodies themselves.
async fn recounted(store: &Store, range: &Range) -> (BTreeMap<i64, Counts>, BTreeMap<String, u64>) {
    let (mut points, mut principles) = (BTreeMap::<i64, Counts>::new(), BTreeMap::new());
    let each = |body: &str| {
        let one: Decision = serde_json::from_str(body).unwrap();
        let start = one.time - one.time % range.step();
        if start >= range.until {
            return;
        }
        let counts = points.entry(start).or_default();
        counts.all += 1;
        let is_allowed = one.action == "allow";
        *(if is_allowed { &mut counts.allow } else { &mut counts.block }) += 1;
        counts.partial += u64::from(one.scan == "partial");
        let refusal = one.alone.as_ref().map_or(0.0, |seen| seen.refusal);
        counts.own_refusals += u64::from(one.direction == "completion" && is_allowed && refusal >= 0.5);
        *principles.entry(one.principle.unwrap_or_default()).or_default() += 1;
    };
    store.bodies(i64::MIN, each).await.unwrap();
    (points, principles)
}

/// Whether all that is summed up is what the bodies say.
async fn sums_hold(store: &Store) -> Result<(), String> {
    // Steps of an hour, of six and of a day.
    let begin = one(0).time;
    for (from, until) in [(begin, begin + 99 * HOUR), (begin, begin + 500 * HOUR), (begin, begin + 2000 * HOUR)] {
        let range = Range { from, until, ..Range::default() };
        let (points, principles) = recounted(store, &range).await;
        let series = store.series(&range).await.unwrap();
        let found: BTreeMap<i64, Counts> =
            series.all.iter().filter(|point| point.counts.all > 0).map(|point| (point.start, point.counts)).collect();
        if found != points {
            return Err(format!("{found:?} is not {points:?}"));
        }
        let n: u64 = series.all.iter().filter_map(|point| point.took).map(|took| took.n).sum();
        let in_all: u64 = series.took.iter().flatten().map(|took| took.n).sum();
        let apart = series.prompts.iter().chain(&series.completions).map(|point| point.counts.all).sum::<u64>();
        let by = store.totals(&range, &[By::Principle, By::Tenant]).await.unwrap();
        let tenants: u64 = by[1].iter().map(|(_, counts)| counts.all).sum();
        let by = by[0].clone();
        let by: BTreeMap<String, u64> = by.into_iter().map(|(name, counts)| (name, counts.all)).collect();
        let all: u64 = principles.values().sum();
        if by != principles || n != all || tenants != all || in_all != all || apart != all {
            return Err(format!("{by:?} is not {principles:?}, or {n} is not {all}"));
        }
    }
    Ok(())
}

fn pruned(key: &Signing) -> impl Fn(&Tail) -> Checkpoint {
    |tail| Checkpoint::sign(tail, Reason::Pruned, 5, key)
}

#[test]
fn sums_are_what_a_recount_of_the_bodies_gives() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Decisions from a place on, or a pruning up to one.
    let step = prop_oneof![3 => (0..400i64, 1..60i64).prop_map(|(from, n)| (from, Some(n))), 1 => (0..500i64).prop_map(|at| (at, None))];
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let holds = |steps: Vec<(i64, Option<i64>)>| {
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&sqlite(folder.path())).await.unwrap();
            store.execute("PRAGMA synchronous = OFF").await.unwrap();
            let key = Signing::random().unwrap();
            for (from, n) in steps {
                match n {
                    Some(n) => drop(store.append(&(from..from + n).map(one).collect::<Vec<_>>()).await.unwrap()),
                    None => drop(store.prune(one(from).time, pruned(&key)).await.unwrap()),
                }
                sums_hold(&store).await.map_err(TestCaseError::fail)?;
            }
            prop_assert!(verify(&store, &[key.public()]).await.unwrap().holds());
            Ok(())
        })
    };
    runner.run(&proptest::collection::vec(step, 1..8), holds).unwrap();
}

#[tokio::test]
async fn an_older_store_is_filled_in_and_pruned() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let (key, all) = (Signing::random().unwrap(), (0..2500).map(one).collect::<Vec<_>>());
        for some in all.chunks(500) {
            store.append(some).await.unwrap();
        }
        label(&store, (&all[0], "ana", Mark::Correct), None).await.unwrap();
        // As an older version left it.
        for table in ["facts", "hours", "latencies", "filled", "reviews", "sign_ins"] {
            store.execute(&format!("DROP TABLE {table}")).await.unwrap();
        }
        store.close().await;
        let store = Store::open(url).await.unwrap();
        assert_eq!(store.unfilled().await.unwrap(), 2500);
        assert!(verify(&store, &[key.public()]).await.unwrap().holds(), "what was not filled in yet is not missing");
        store.append(&[one(2500)]).await.unwrap();
        assert_eq!(store.found(&Wanted::default(), 10).await.unwrap().len(), 1);
        assert!(store.fill_some().await.unwrap());
        assert_eq!(store.unfilled().await.unwrap(), 1500, "the newest first");
        // Pruned meanwhile, what is gone stays away.
        assert_eq!(store.prune(one(300).time, pruned(&key)).await.unwrap(), 300);
        while store.fill_some().await.unwrap() {}
        store.fill_reviews().await.unwrap();
        assert_eq!(store.unfilled().await.unwrap(), 0);
        sums_hold(&store).await.unwrap();
        assert_eq!(store.counted(&Wanted::default()).await.unwrap().n, 2201);
        // A proxy of an older version writes beside us.
        store.execute("DELETE FROM facts WHERE seq = 2501").await.unwrap();
        let report = verify(&store, &[key.public()]).await.unwrap();
        assert!(report.findings.iter().any(|found| found.contains("2501") && found.contains("missing")), "{report:?}");
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn tampering_with_what_is_searched_by_is_found() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let key = Signing::random().unwrap();
        store.append(&(0..10).map(one).collect::<Vec<_>>()).await.unwrap();
        assert!(verify(&store, &[key.public()]).await.unwrap().holds());
        for (change, back, finding) in [
            (
                "UPDATE facts SET principle = 'IX' WHERE seq = 6",
                "UPDATE facts SET principle = 'IV' WHERE seq = 6",
                "what 6 (",
            ),
            (
                "UPDATE facts SET violation = 0.5 WHERE seq = 1",
                "UPDATE facts SET violation = 0.0 WHERE seq = 1",
                "what 1 (",
            ),
            ("UPDATE facts SET seq = 99 WHERE seq = 3", "UPDATE facts SET seq = 3 WHERE seq = 99", "is missing"),
            (
                "UPDATE facts SET seq = 99 WHERE seq = 3",
                "UPDATE facts SET seq = 3 WHERE seq = 99",
                "at 99 is of no decision",
            ),
        ] {
            store.execute(change).await.unwrap();
            let report = verify(&store, &[key.public()]).await.unwrap();
            assert!(report.findings.iter().any(|found| found.contains(finding)), "{change}: {report:?}");
            store.execute(back).await.unwrap();
            let report = verify(&store, &[key.public()]).await.unwrap();
            assert!(report.holds(), "{back}: {report:?}");
        }
        store.close().await;
    })
    .await;
}

async fn label(store: &Store, (of, by, mark): (&Decision, &str, Mark), key: Option<&Signing>) -> Result<(), Fault> {
    let (event, direction, reviewer) = (of.event.clone(), of.direction.clone(), by.to_owned());
    let time = of.time + 1;
    store.label(&Label { event, direction, reviewer, mark, principle: None, note: some("n"), time }, key).await
}

#[tokio::test]
async fn labels_are_proven_by_acts() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let (key, all) = (Signing::random().unwrap(), (0..10).map(one).collect::<Vec<_>>());
        store.append(&all).await.unwrap();
        // An older version signs no labels.
        label(&store, (&all[0], "ana", Mark::Correct), None).await.unwrap();
        label(&store, (&all[2], "ana", Mark::Correct), Some(&key)).await.unwrap();
        label(&store, (&all[3], "ben", Mark::Missed), Some(&key)).await.unwrap();
        assert!(matches!(label(&store, (&one(99), "ben", Mark::Missed), Some(&key)).await, Err(Fault::RowNotFound)));
        let report = verify(&store, &[key.public()]).await.unwrap();
        assert!(report.holds() && report.acts == 2, "{report:?}");
        let acts = store.acts_before(i64::MAX, 1).await.unwrap();
        let act: Act = serde_json::from_str(&acts[0].body).unwrap();
        assert!(matches!(&act.deed, Deed::Labelled { mark, .. } if mark == "missed") && act.by == "ben");
        assert!(!acts[0].body.contains("\"n\""), "a note can be taken back");
        assert!(store.knows(&key.public()).await.unwrap());
        for (change, back, finding) in [
            (
                "UPDATE labels SET mark = 'correct' WHERE reviewer = 'ben'",
                "UPDATE labels SET mark = 'missed' WHERE reviewer = 'ben'",
                "no act tells of what ben",
            ),
            (
                "UPDATE labels SET reviewer = 'eve' WHERE reviewer = 'ben'",
                "UPDATE labels SET reviewer = 'ben' WHERE reviewer = 'eve'",
                "the label of which act 2 tells, by ben, is gone",
            ),
            (
                "UPDATE labels SET direction = 'both' WHERE reviewer = 'ben'",
                "UPDATE labels SET direction = 'completion' WHERE reviewer = 'ben'",
                "act 2 tells",
            ),
        ] {
            store.execute(change).await.unwrap();
            let report = verify(&store, &[key.public()]).await.unwrap();
            assert!(report.findings.iter().any(|found| found.contains(finding)), "{change}: {report:?}");
            store.execute(back).await.unwrap();
            assert!(verify(&store, &[key.public()]).await.unwrap().holds());
        }
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn whoever_follows_the_policy_reads_only_new_acts_and_misses_nothing() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let (key, other, all) =
            (Signing::random().unwrap(), Signing::random().unwrap(), (0..10).map(one).collect::<Vec<_>>());
        store.append(&all).await.unwrap();
        let versions = Versions::new(store.clone(), vec![key.public()]);
        assert_eq!(versions.known().await.unwrap().last(), 0);
        // Whoever's key it is: a label says nothing of a policy.
        for (place, key) in [&key, &other, &key].into_iter().enumerate() {
            label(&store, (&all[place], "ana", Mark::Correct), Some(key)).await.unwrap();
            let known = versions.known().await.unwrap();
            assert_eq!((known.last(), known.acts.len()), (place as i64 + 1, 0));
        }
        let back = async |by: &Signing| {
            let deed = Deed::RolledBack { version: 2, to: 1 };
            let act = Act { time: 1, by: "ana".into(), reason: "r".into(), deed };
            assert!(store.act(&act, None, by).await.unwrap());
        };
        back(&key).await;
        let known = versions.known().await.unwrap();
        assert_eq!((known.last(), known.acts.len(), known.standing.stable), (4, 1, Some(1)));
        assert_eq!(versions.history().await.unwrap().len(), 4);
        // What was seen before is gone, or something before it.
        for (cut, finding) in
            [("seq = 4", "act 4, which was seen before, is gone"), ("seq = 2", "of 4 acts that were seen")]
        {
            store.execute(&format!("CREATE TABLE cut AS SELECT * FROM acts WHERE {cut}")).await.unwrap();
            store.execute(&format!("DELETE FROM acts WHERE {cut}")).await.unwrap();
            let why = versions.known().await.err().unwrap();
            assert!(why.contains(finding), "{why}");
            store.execute("INSERT INTO acts SELECT * FROM cut").await.unwrap();
            store.execute("DROP TABLE cut").await.unwrap();
        }
        // What was changed long ago is found before anything new is put in force.
        store.execute("UPDATE acts SET body = REPLACE(body, 'ana', 'zoe') WHERE seq = 1").await.unwrap();
        back(&key).await;
        assert!(versions.known().await.err().unwrap().contains("act 1 was changed"));
        store.execute("UPDATE acts SET body = REPLACE(body, 'zoe', 'ana') WHERE seq = 1").await.unwrap();
        assert_eq!(versions.known().await.unwrap().last(), 5);
        // A policy by a key that nobody knows is none.
        back(&other).await;
        assert!(
            versions.known().await.err().unwrap().contains("act 6 was changed, moved or removed, or signed by a key")
        );
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_reviewers_settle_is_summed_up() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let all: Vec<Decision> = (0..100).map(one).collect();
        store.append(&all).await.unwrap();
        for (number, by, mark) in [
            (0, "ana", Mark::OverBlocked),
            (5, "ana", Mark::Correct),
            (10, "ana", Mark::OverBlocked),
            (10, "ben", Mark::Correct),
            (15, "ana", Mark::Correct),
            (15, "ana", Mark::OverBlocked),
            (15, "ben", Mark::OverBlocked),
            (1, "ben", Mark::Missed),
            (2, "ben", Mark::Correct),
        ] {
            label(&store, (&all[number], by, mark), None).await.unwrap();
        }
        let range = Range { from: all[0].time, until: all[99].time, ..Range::default() };
        let sum = async |least| {
            let judged = store.judged(&range, least).await.unwrap();
            let by = store.stopped_by_principle(&range, least).await.unwrap();
            let stopped = judged.iter().map(|one| one.stopped.total).sum::<usize>();
            assert_eq!(stopped, by.iter().map(|(_, rate)| rate.total).sum::<usize>());
            let hits = |of: &dyn Fn(&nonnocere::audit::sampling::Judged) -> Rate| {
                judged.iter().map(of).fold((0, 0), |sum, rate| (sum.0 + rate.hits, sum.1 + rate.total))
            };
            (hits(&|one| one.stopped), hits(&|one| one.passed))
        };
        // By one word each, what is split is not settled; by two, one decision is.
        assert_eq!((sum(1).await, sum(2).await), (((2, 3), (1, 2)), ((1, 1), (0, 0))));
        for (direction, hits, total) in [("completion", 1, 2), ("prompt", 1, 1)] {
            let range = Range { direction: Some(direction.to_owned()), ..range.clone() };
            let by = store.stopped_by_principle(&range, 1).await.unwrap();
            let sum = |of: fn(&Rate) -> usize| by.iter().map(|(_, rate)| of(rate)).sum::<usize>();
            assert_eq!((sum(|rate| rate.hits), sum(|rate| rate.total)), (hits, total), "{direction}");
        }
        let progress = store.progress(1).await.unwrap();
        assert_eq!((progress.settled, progress.open), (5, 1));
        assert_eq!(progress.by, [("ana".to_owned(), 5), ("ben".to_owned(), 4)]);
        assert_eq!(progress.agreement.len(), 1);
        assert_eq!(store.labels_of(&all[15].event).await.unwrap().len(), 3);
        let reviewed = store.counted(&Wanted { reviewed: Some(true), ..Wanted::default() }).await.unwrap();
        assert_eq!(reviewed.n, 6);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_to_be_reviewed_is_what_tells_most() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let all: Vec<Decision> = (0..300).map(one).collect();
        store.append(&all).await.unwrap();
        let queue = |reviewer, least| Queue { reviewer, thresholds: [0.5, 0.3], least, since: all[50].time, seed: 3 };
        let next = async |queue: &Queue<'_>, n| store.to_review(queue, n).await.unwrap();
        let found = next(&queue("ana", 2), 10).await;
        let why: Vec<Why> = found.iter().map(|(_, why)| *why).collect();
        assert_eq!(why, [Why::Uncertain, Why::Random].repeat(5));
        for (fact, why) in &found {
            let threshold = if fact.direction == "prompt" { 0.5 } else { 0.3 };
            let is_near = (fact.violation.unwrap() - threshold).abs() < 0.05;
            assert!((is_near || *why == Why::Random) && fact.time >= all[50].time, "{fact:?}");
        }
        // Others are drawn by another seed.
        let drawn = |found: &[(nonnocere::audit::facts::Fact, Why)]| -> Vec<i64> {
            found.iter().filter(|(_, why)| *why == Why::Random).map(|(fact, _)| fact.seq).collect()
        };
        let other = next(&Queue { seed: 4, ..queue("ana", 2) }, 10).await;
        assert_ne!(drawn(&found), drawn(&other));
        // What Ana labelled is for Ben, and not for her again; and once two agree, for nobody.
        let first = &all[found[0].0.seq as usize - 1];
        label(&store, (first, "ana", Mark::Correct), None).await.unwrap();
        let seqs = async |reviewer, least| -> Vec<(i64, Why)> {
            next(&queue(reviewer, least), 400).await.into_iter().map(|(fact, why)| (fact.seq, why)).collect()
        };
        let seq = found[0].0.seq;
        assert!(seqs("ana", 2).await.iter().all(|(one, _)| *one != seq));
        assert_eq!(seqs("ben", 2).await[0], (seq, Why::SecondWord));
        assert!(seqs("ben", 1).await.iter().all(|(one, _)| *one != seq), "one word is enough");
        label(&store, (first, "ben", Mark::OverBlocked), None).await.unwrap();
        assert_eq!(seqs("cai", 1).await[0], (seq, Why::SecondWord), "they are split");
        label(&store, (first, "cai", Mark::Correct), None).await.unwrap();
        assert!(seqs("dan", 2).await.iter().all(|(one, _)| *one != seq));
        // No decision twice.
        let all = seqs("dan", 2).await;
        let mut once: Vec<i64> = all.iter().map(|(seq, _)| *seq).collect();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
        store.close().await;
    })
    .await;
}
