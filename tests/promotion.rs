//! Versions of the policy: promoted, approved, tried on some conversations, taken back, and proven. By the real binary, and by
//! `SQLite` and a real `PostgreSQL`.

mod common;
#[path = "common/postgres.rs"]
mod postgres;
#[path = "common/records.rs"]
mod records;
#[path = "common/serving.rs"]
mod serving;

use common::{Options, RunningProxy, ScriptedUpstream, ask};
use nonnocere::audit::act::{Act, Candidate, Deed, Measured};
use nonnocere::audit::decision::{Decision, Seen};
use nonnocere::audit::key::Signing;
use nonnocere::audit::label::{Label, Mark};
use nonnocere::audit::store::Store;
use nonnocere::classify::Scores;
use nonnocere::config::Promotion;
use nonnocere::policy::drift::{self, Found};
use nonnocere::policy::reload::{Live, Source};
use nonnocere::policy::versions::Versions;
use postgres::Postgres;
use records::{decision, sign, sqlite};
use serde_json::json;
use serving::{Serving, http, nonnocere};
use std::path::Path;
use std::time::Duration;

/// A month of an over-blocking threshold, half of it reviewed.
async fn a_month(url: &str, folder: &Path) -> Vec<Decision> {
    let store = Store::open(url).await.unwrap();
    // Violations score above 0.6; harmless messages up to 0.7, so that 0.5 stops too many of them.
    let decisions: Vec<Decision> = (0..10_000)
        .map(|number: i64| {
            let violates = number % 10 == 0;
            let part = (number % 997) as f32 / 997.0;
            let violation = if violates { 0.6 + 0.4 * part } else { 0.7 * part * part };
            let mut scores = Scores { violation, ..Scores::NONE };
            scores.types[(number % 56) as usize] = 1.0;
            let stops = violation >= 0.5;
            Decision {
                action: if stops { "block" } else { "allow" }.into(),
                rule: stops.then(|| "violating-prompt".into()),
                alone: Some(Seen::from(&scores)),
                ..decision(number)
            }
        })
        .collect();
    store.append(&decisions).await.unwrap();
    let key = Signing::open(&folder.join("key")).unwrap();
    sign(&store, &store.tail().await.unwrap(), &key).await;
    for (number, decision) in decisions.iter().enumerate().filter(|(number, _)| number % 4 < 2) {
        let stops = decision.action == "block";
        let mark = if stops && number % 10 != 0 { Mark::OverBlocked } else { Mark::Correct };
        let [event, direction, reviewer] = [&decision.event, "prompt", "ana"].map(str::to_owned);
        store
            .label(&Label { event, direction, reviewer, mark, principle: None, note: None, time: 1 }, None)
            .await
            .unwrap();
    }
    store.close().await;
    decisions
}

/// The binary with a store and two people who must agree; what it says, and its exit code.
struct Office<'a> {
    url: &'a str,
    folder: &'a Path,
}

impl Office<'_> {
    fn settings(&self) -> [(&'static str, String); 5] {
        let in_folder = |name: &str| self.folder.join(name).display().to_string();
        [
            ("NONNOCERE_AUDIT__URL", self.url.to_owned()),
            ("NONNOCERE_AUDIT__KEY", in_folder("key")),
            ("NONNOCERE_AUDIT__SPOOL", in_folder("spool")),
            ("NONNOCERE_PROMOTION__SECOND_APPROVER", "true".to_owned()),
            ("NONNOCERE_GUARD__WATCH", "50ms".to_owned()),
        ]
    }

    fn run(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let output = nonnocere(arguments).envs(self.settings()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (said, output.status.code())
    }

    /// What is said, when all goes well.
    fn says(&self, arguments: &[&str]) -> String {
        let (said, code) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    }

    /// What is said, when it is refused.
    fn refuses(&self, arguments: &[&str]) -> String {
        let (said, code) = self.run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        said
    }
}

/// Labels, a tuned threshold, and what it would have done: by the binary, as an officer would.
async fn an_officer_finds_a_better_threshold(office: &Office<'_>) {
    let decisions = a_month(office.url, office.folder).await;
    let (nonnocere, folder) = (|arguments: &[&str]| office.run(arguments), office.folder);
    // One more word of another reviewer, and how far they agree.
    let (said, code) = nonnocere(&["audit", "label", "e0", "--reviewer", "ben", "--mark", "correct"]);
    assert_eq!(code, Some(0), "{said}");
    let (said, code) = nonnocere(&["audit", "label", "nothing", "--reviewer", "ben", "--mark", "missed"]);
    assert!(code == Some(2) && said.contains("no decision of the event nothing is on record"), "{said}");
    assert!(nonnocere(&["audit", "agreement"]).0.starts_with("5001 labels by 2 reviewers, 5000 decisions settled"));
    // Too few labels for so small a part; enough for a larger one.
    let (said, code) = nonnocere(&["policy", "tune", "ama", "--target", "fpr=0.01%"]);
    assert!(code == Some(1) && said.contains("and 30000 are needed"), "{said}");
    let candidate = folder.join("candidate.toml").display().to_string();
    let (said, code) = nonnocere(&["policy", "tune", "ama", "--target", "fpr=1%", "--out", &candidate]);
    assert!(code == Some(0) && said.contains("violating-prompt: 0."), "{said}");
    let (said, _) = nonnocere(&["policy", "diff", "ama", &candidate]);
    assert!(said.contains("rule \"violating-prompt\", threshold: 0."), "{said}");
    let (said, code) = nonnocere(&["policy", "backtest", &candidate, "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let found: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let harmless = |stopped: f32| {
        decisions.iter().filter(|one| one.time % 10 != 0 && one.alone.as_ref().unwrap().violation >= stopped).count()
    };
    let policy = nonnocere::policy::file::open(Path::new(&candidate)).unwrap();
    let threshold = policy.rules.iter().find(|rule| &*rule.name == "violating-prompt").unwrap().threshold;
    assert!(harmless(threshold) * 100 <= 9000 && harmless(threshold - 0.01) * 100 > 9000, "{threshold}");
    assert_eq!(found["decisions"], 10_000);
    let stopped = decisions.iter().filter(|one| one.action == "block").count();
    let would = decisions.iter().filter(|one| one.alone.as_ref().unwrap().violation >= threshold).count();
    assert_eq!((&found["stopped"], &found["would_stop"]), (&json!(stopped), &json!(would)));
    let passed: u64 = found["newly_passed"].as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).sum();
    assert_eq!(passed as usize, stopped - would);
    let (said, code) = nonnocere(&["audit", "verify"]);
    assert!(code == Some(0) && said.starts_with("10000 decisions") && said.ends_with("the chain holds\n"), "{said}");
    let (said, _) = nonnocere(&["audit", "export", "--format", "csv"]);
    assert!(said.lines().count() == 10_001 && said.starts_with("seq,time,event,direction,"), "{said}");
}

/// The word of someone.
fn by<'a>(arguments: &[&'a str], who: &'a str) -> Vec<&'a str> {
    [arguments, &["--by", who, "--reason", "too many visits questions were stopped"]].concat()
}

/// Which policy held for each of the turns of so many conversations.
fn held(serving: &Serving, conversations: usize) -> Vec<Vec<String>> {
    let turn = |number: usize, turn: usize| {
        let mut messages =
            vec![json!({"role": "user", "content": format!("What does code {number} in a lab report mean?")})];
        for _ in 0..turn {
            messages.push(json!({"role": "assistant", "content": "It names the test."}));
            messages.push(json!({"role": "user", "content": "And its unit?"}));
        }
        let body = json!({"model": "m", "messages": messages}).to_string();
        let answer = http(&serving.clients, "POST /v1/chat/completions", &body);
        let policy = answer.split("x-nonnocere-policy: ").nth(1).unwrap_or_else(|| panic!("{answer}"));
        policy.split("\r\n").next().unwrap().to_owned()
    };
    (0..conversations).map(|number| (0..2).map(|which| turn(number, which)).collect()).collect()
}

/// Whether the proxy says that these versions are in force.
fn wait_for(serving: &Serving, versions: &str) {
    while !http(&serving.operators, "GET /policy", "").contains(&format!("\"versions\":\"{versions}\"")) {
        std::thread::yield_now();
    }
}

/// The first version: proposed by one, approved by another, and nothing in force before, beside or instead.
fn a_policy_is_put_in_force_by_two(office: &Office<'_>) {
    // Nothing is in force by itself.
    assert!(
        office.refuses(&["serve", "--policy", "store"]).contains("`nonnocere policy promote POLICY` puts one there")
    );
    let said = office.says(&by(&["policy", "promote", "ama", "--since", "100years"], "ana"));
    assert!(said.contains("of 10000 decisions on record"), "{said}");
    assert!(
        said.ends_with(
            "no version is in force; v1 for all conversations, proposed by ana, waits for someone else's approval\n"
        ),
        "{said}"
    );
    assert!(office.refuses(&by(&["policy", "approve", "v1"], " Ana")).contains("someone else must approve"));
    assert!(
        office
            .refuses(&by(&["policy", "approve", "v2"], "ben"))
            .contains("v2 for all conversations does not wait for approval")
    );
    let said = office.says(&by(&["policy", "approve", "v1"], "ben"));
    assert!(said.contains("of 10000 decisions on record") && said.ends_with("\nv1 is in force\n"), "{said}");
    // One person alone puts nothing in force, whatever their own configuration says.
    let alone = nonnocere(&by(&["policy", "promote", "clinician"], "ana"))
        .envs(office.settings())
        .env("NONNOCERE_PROMOTION__SECOND_APPROVER", "false")
        .output();
    assert!(alone.unwrap().status.success());
    assert!(office.refuses(&["serve", "--policy", "store"]).contains("v2 was put in force by one person"));
    assert_eq!(office.says(&by(&["policy", "rollback"], "ana")), "v1 is in force\n");
    // Nor does a key that has signed nothing yet, unless it is said to be new.
    let other = nonnocere(&by(&["policy", "rollback"], "ana"))
        .envs(office.settings())
        .env("NONNOCERE_AUDIT__KEY", office.folder.join("other"))
        .output();
    let other = other.unwrap();
    assert!(String::from_utf8_lossy(&other.stderr).contains("is not there, and what was done before"), "{other:?}");
    assert!(!office.folder.join("other").exists());
    // A policy that fails its own tests goes nowhere.
    let broken = office.folder.join("broken.toml");
    let wrong = "[[tests]]\nname = \"w\"\nprompt = \"How is iron deficiency treated?\"\nexpect = \"block\"";
    std::fs::write(&broken, format!("name = \"b\"\nextends = \"ama\"\n{wrong}")).unwrap();
    let said = office.refuses(&by(&["policy", "promote", broken.to_str().unwrap()], "ana"));
    assert!(said.contains("expected block, found allow"), "{said}");
}

/// Tried on some conversations, taken back, put in force, and taken back again, under a proxy that follows.
async fn a_proxy_follows(office: &Office<'_>) {
    let candidate = office.folder.join("candidate.toml").display().to_string();
    let settings = office.settings();
    let serving = Serving::with("store", &settings);
    wait_for(&serving, "v1 is in force");
    office.says(&by(&["policy", "promote", &candidate, "--canary", "30%"], "ana"));
    let said = office.refuses(&by(&["policy", "approve", "v3"], "ben"));
    assert!(said.contains("v3 for all conversations does not wait") && said.contains("v3 for 30%"), "{said}");
    assert_eq!(
        office.says(&by(&["policy", "approve", "v3", "--canary", "30%"], "ben")).lines().last().unwrap(),
        "v1 is in force, v3 for 30% of the conversations"
    );
    wait_for(&serving, "v1 is in force, v3 for 30% of the conversations");
    let by_turn = held(&serving, 60);
    assert!(by_turn.iter().all(|turns| turns[0] == turns[1]), "all turns of a conversation by one policy");
    let canaries = by_turn.iter().filter(|turns| turns[0].starts_with("tuned@")).count();
    assert!((6..=32).contains(&canaries), "{canaries} of 60 are expected to be about 18");

    assert_eq!(office.says(&by(&["policy", "rollback"], "cai")), "v1 is in force\n");
    wait_for(&serving, "v1 is in force");
    assert!(held(&serving, 5).concat().iter().all(|policy| policy.starts_with("ama@")));
    office.says(&by(&["policy", "promote", "v3"], "ana"));
    assert!(office.says(&by(&["policy", "approve", "v3"], "ben")).ends_with("\nv3 is in force\n"));
    wait_for(&serving, "v3 is in force");
    assert!(held(&serving, 2).concat().iter().all(|policy| policy.starts_with("tuned@")));
    assert!(
        office.refuses(&by(&["policy", "rollback", "--to", "v9"], "cai")).contains("v9 was not in force before v3")
    );
    assert_eq!(office.says(&by(&["policy", "rollback"], "cai")), "v1 is in force\n");
    assert!(office.refuses(&by(&["policy", "rollback"], "cai")).contains("v1 is the first version"));
    wait_for(&serving, "v1 is in force");

    let history = office.says(&["policy", "history"]);
    assert!(
        history.contains("v3 (tuned@") && history.contains("proposed by ana, by ben: too many visits"),
        "{history}"
    );
    assert!(history.ends_with("v1 is in force\n"), "{history}");
    // What was in force then can be looked at now, whatever became of its file.
    std::fs::remove_file(&candidate).unwrap();
    let (said, _) = office.run(&["policy", "diff", "v1", "v3"]);
    assert!(said.contains("rule \"violating-prompt\", threshold: 0."), "{said}");
    let said = office.says(&["audit", "verify"]);
    assert!(said.contains(", 11 acts\n") && said.ends_with("the chain holds\n"), "{said}");
    a_forged_act_is_found(office, &serving).await;
}

/// Who puts other words in the mouth of an approver, or other texts in a version, changes nothing that is in force.
async fn a_forged_act_is_found(office: &Office<'_>, serving: &Serving) {
    let store = Store::open(office.url).await.unwrap();
    let change =
        |from: &str, to: &str| format!("UPDATE acts SET body = REPLACE(body, '{from}', '{to}') WHERE seq = 10");
    store.execute(&change("ben", "eve")).await.unwrap();
    let (said, code) = office.run(&["audit", "verify"]);
    assert!(code == Some(1) && said.contains("act 10 was changed"), "{said}");
    assert!(office.refuses(&["policy", "history"]).contains("act 10 was changed"));
    let answer = http(&serving.operators, "POST /policy/reload", "");
    assert!(answer.contains("act 10 was changed"), "{answer}");
    assert!(held(serving, 1).concat().iter().all(|policy| policy.starts_with("ama@")));
    store.execute(&change("eve", "ben")).await.unwrap();
    office.says(&["audit", "verify"]);
    // Who cuts the last word off brings nothing back that it took away, while the proxy runs.
    store.execute("CREATE TABLE cut AS SELECT * FROM acts WHERE seq = 11").await.unwrap();
    store.execute("DELETE FROM acts WHERE seq = 11").await.unwrap();
    let answer = http(&serving.operators, "POST /policy/reload", "");
    assert!(answer.contains("act 11, which was seen before, is gone"), "{answer}");
    assert!(held(serving, 1).concat().iter().all(|policy| policy.starts_with("ama@")));
    // Nor is it brought back by a restart, or unseen.
    assert!(
        office
            .refuses(&["serve", "--policy", "store"])
            .contains("act 11, of which the chain of decisions tells, is gone")
    );
    let (said, code) = office.run(&["audit", "verify"]);
    assert!(code == Some(1) && said.contains("act 11, of which") && said.contains("tells, is gone"), "{said}");
    store.execute("INSERT INTO acts SELECT * FROM cut").await.unwrap();
    store.execute("UPDATE policies SET texts = REPLACE(texts, 'crisis', 'crasis') WHERE version = 1").await.unwrap();
    let answer = http(&serving.operators, "POST /policy/reload", "");
    assert!(answer.contains("v1: its texts are not those that were signed for"), "{answer}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_is_found_and_a_policy_goes_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start();
    let url = server.as_ref().map_or_else(|| sqlite(folder.path()), Postgres::url);
    let office = Office { url: &url, folder: folder.path() };
    an_officer_finds_a_better_threshold(&office).await;
    a_policy_is_put_in_force_by_two(&office);
    a_proxy_follows(&office).await;
}

/// A store in which `ama` is in force, and a stricter policy for some conversations.
async fn with_canary(folder: &Path) -> (Versions, Signing, [String; 2]) {
    let store = Store::open(&sqlite(folder)).await.unwrap();
    let key = Signing::random().unwrap();
    let versions = Versions::new(store, vec![key.public()]);
    let strict = "name = \"strict\"\nextends = \"ama\"\n[[rules]]\nname = \"violating-prompt\"\nthreshold = 0.1";
    let strict = nonnocere::policy::file::parse("strict.toml", strict).unwrap();
    let ama = Source::named("ama").read().unwrap();
    for (policy, share) in [(&ama, 100.0), (&strict, 40.0)] {
        let (version, digest) = versions.keep(policy).await.unwrap();
        let backtest = Measured::default();
        let candidate =
            Candidate { version, policy: policy.to_string(), digest, share, tests: 0, model: "m".into(), backtest };
        let deed = Deed::Promoted { candidate, proposed_by: None };
        let act = Act { time: 5, by: "ana".into(), reason: "r".into(), deed };
        assert!(versions.store().act(&act, Some(version - 1), &key).await.unwrap());
        // Who knows less than there is acts in vain.
        assert!(!versions.store().act(&act, Some(version - 1), &key).await.unwrap());
    }
    (versions, key, [ama.to_string(), strict.to_string()])
}

/// The hash that the last decision must have.
async fn wave_hash(store: &Store) -> String {
    store.tail().await.unwrap().hash
}

#[tokio::test]
async fn a_version_that_stops_too_much_goes_into_the_shadow() {
    let folder = tempfile::tempdir().unwrap();
    let (versions, key, [ama, strict]) = with_canary(folder.path()).await;
    let promotion = Promotion {
        second_approver: false,
        benign_block_limit: 0.02,
        least: 100,
        check_every: Duration::from_secs(60),
    };
    let judged = |number: i64, violation: f32| Decision {
        policy: if number % 2 == 0 { ama.clone() } else { strict.clone() },
        action: if violation >= 0.5 || (number % 2 == 1 && violation >= 0.1) { "block" } else { "allow" }.into(),
        alone: Some(Seen::from(&Scores { violation, ..Scores::NONE })),
        ..decision(nonnocere::audit::journal::now() + number)
    };
    let watch = drift::Watch { promotion, reviewers: 1 };
    let look = async || drift::look(&versions, &watch, &key).await.unwrap();
    // A wave of violations, which both stop, is no drift.
    let wave: Vec<Decision> = (0..300).map(|number| judged(number, 0.99)).collect();
    versions.store().append(&wave).await.unwrap();
    assert_eq!(look().await, Found::Nothing);
    // Nor is what only the new one stops, as long as nobody says that it should pass: it may be what it was made for.
    let newly: Vec<Decision> =
        (300..600).map(|number| judged(number, if number % 4 == 1 { 0.2 } else { 0.01 })).collect();
    versions.store().append(&newly).await.unwrap();
    assert!(matches!(look().await, Found::Unreviewed(drift) if (drift.of, drift.stopped) == (150, 75)));
    for one in newly.iter().filter(|one| one.action == "block").take(10) {
        let [event, direction, reviewer] = [one.event.as_str(), "prompt", "ana"].map(str::to_owned);
        let label = Label { event, direction, reviewer, mark: Mark::OverBlocked, principle: None, note: None, time: 1 };
        versions.store().label(&label, None).await.unwrap();
    }
    // Nothing is signed by what someone wrote into the store.
    versions.store().execute("UPDATE decisions SET hash = '00' WHERE seq = 602").await.unwrap();
    assert!(drift::look(&versions, &watch, &key).await.unwrap_err()[0].contains("602"));
    let hash = wave_hash(versions.store()).await;
    versions.store().execute(&format!("UPDATE decisions SET hash = '{hash}' WHERE seq = 602")).await.unwrap();
    let Found::FellBack(act) = look().await else { panic!("it stays in force") };
    assert_eq!(
        (act.by.as_str(), &act.deed),
        ("nonnocere", &Deed::FellBack { version: 2, to: 1, stopped: 75, of: 150 })
    );
    assert_eq!(versions.known().await.unwrap().standing.to_string(), "v1 is in force, v2 in the shadow");
    assert_eq!(look().await, Found::Nothing, "one fall is not the reason of the next");
    // In the shadow, what it would do is recorded.
    let in_force = versions.in_force().await.unwrap();
    assert_eq!(in_force.policy.beside.as_ref().map(|beside| beside.name.as_str()), Some("strict"));
}

#[tokio::test]
async fn a_conversation_is_held_by_one_policy_on_every_surface() {
    let folder = tempfile::tempdir().unwrap();
    let (versions, _, [ama, strict]) = with_canary(folder.path()).await;
    let upstream = ScriptedUpstream::saying("All is well.").await;
    let mut options = Options::new(&upstream.url());
    options.live = Some(Live::follow(versions).await.unwrap());
    let proxy = RunningProxy::start(options).await;
    let (mut canaries, count) = (0, 40);
    for number in 0..count {
        let first = format!("hello {number}");
        let got = proxy.chat(&ask(&first, &json!({}))).await;
        let policy = got.header("x-nonnocere-policy").to_owned();
        assert!(policy == ama || policy == strict, "{policy}");
        canaries += usize::from(policy == strict);
        let input = json!([{"role": "user", "content": first}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]);
        let streamed = proxy.chat(&json!({"model": "m", "messages": input, "stream": true})).await;
        assert_eq!(streamed.header("x-nonnocere-policy"), policy);
        let of = async |more: serde_json::Value| {
            let mut body = json!({"model": "m", "input": input});
            body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            proxy.post("/v1/responses", body.to_string()).await.header("x-nonnocere-policy").to_owned()
        };
        assert_eq!(of(json!({"store": false})).await, policy);
        // What the upstream keeps may be gone on from, and has then no beginning to know it by.
        assert_eq!(of(json!({})).await, ama);
        assert_eq!(of(json!({"store": false, "previous_response_id": "r"})).await, ama);
        // By its name, a conversation is known everywhere.
        let named = of(json!({"conversation": format!("c{number}")})).await;
        assert_eq!(of(json!({"conversation": {"id": format!("c{number}")}, "store": false})).await, named);
    }
    assert!((6..=28).contains(&canaries), "{canaries}");
    assert!(upstream.asked().iter().all(|asked| !asked.headers.contains_key("x-nonnocere-conversation")));
}
