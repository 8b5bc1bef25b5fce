//! Texts that are kept for reviewers: sealed, read on record, forgotten in time, and written out for training. And decisions
//! for those who read tables.

mod common;
#[path = "common/records.rs"]
mod records;
#[path = "common/serving.rs"]
mod serving;

use common::{Options, RunningProxy, ScriptedUpstream, ask};
use nonnocere::audit::act::{Act, Deed, proven};
use nonnocere::audit::journal::{Journal, Settings};
use nonnocere::audit::key::Signing;
use nonnocere::audit::spool::Spool;
use nonnocere::audit::store::Store;
use nonnocere::audit::vault::Vault;
use nonnocere::metrics::Metrics;
use nonnocere::policy::reload::Source;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use records::{decision, sqlite};
use serde_json::{Value, json};
use serving::{Serving, nonnocere};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn vault() -> Vault {
    Vault::new(&[7; 32], Duration::from_secs(86_400))
}

/// A proxy that keeps texts in `folder`, where records are required.
async fn keeping(upstream: &ScriptedUpstream, folder: &Path, policy: &str) -> (RunningProxy, Store) {
    let store = Store::open(&sqlite(folder)).await.unwrap();
    let settings = Settings {
        store: store.clone(),
        key: Signing::random().unwrap(),
        spool: Spool::new(folder.join("spool"), 1 << 20),
        required: true,
        queue: 100,
        sign_every: Duration::from_secs(60),
        vault: Some(vault()),
        trust: vec![],
    };
    let (journal, _) = Journal::start(settings, Arc::new(Metrics::new().unwrap()));
    let mut options = Options::new(&upstream.url());
    options.journal = Some(journal);
    options.policy = Source::named(policy);
    (RunningProxy::start(options).await, store)
}

/// The texts of an event, by direction.
async fn kept(store: &Store, event: &str) -> Vec<(String, Value)> {
    let texts = store.texts(Some(event)).await.unwrap();
    let open = |sealed: &_| serde_json::from_str(&vault().unseal(sealed).unwrap()).unwrap();
    texts.iter().map(|sealed| (sealed.direction.clone(), open(sealed))).collect()
}

#[tokio::test]
async fn what_was_asked_and_answered_is_kept_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("All is well, CANARY. Then VIOLATE it.").await;
    let (proxy, store) = keeping(&upstream, folder.path(), "ama").await;
    let refused = proxy.chat(&ask("VIOLATE the CANARY", &json!({}))).await;
    let asked = |text: &str| json!({"messages": [{"role": "user", "content": text}]});
    assert_eq!(
        kept(&store, refused.header("x-nonnocere-event-id")).await,
        [("prompt".to_owned(), asked("VIOLATE the CANARY"))]
    );
    // A refused answer is kept as the LLM gave it: that is what a reviewer judges.
    let answered = json!({"choices": [["All is well, CANARY. Then VIOLATE it."]]});
    for stream in [false, true] {
        let got = proxy.chat(&ask("CANARY, hello", &json!({"stream": stream}))).await;
        assert!(!String::from_utf8_lossy(&got.body).contains("VIOLATE"));
        let event = got.header("x-nonnocere-event-id");
        while kept(&store, event).await.len() < 2 {
            tokio::task::yield_now().await;
        }
        let both = [("prompt".to_owned(), asked("CANARY, hello")), ("completion".to_owned(), answered.clone())];
        assert_eq!(kept(&store, event).await, both, "stream {stream}");
    }
    // What a stream says only as a whole is kept too, and what it says twice is kept once.
    for deltas in [true, false] {
        let upstream = ScriptedUpstream::start(move |_| {
            let item = json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Only VIOLATE it."}]});
            let mut body = String::new();
            let mut push = |event: Value| {
                body += &format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
            };
            if deltas {
                push(json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "Only VIOLATE it."}));
            }
            push(json!({"type": "response.completed", "response": {"id": "r", "object": "response", "status": "completed", "output": [item]}}));
            common::answer(200, "text/event-stream", &body)
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let (proxy, store) = keeping(&upstream, folder.path(), "ama").await;
        let got =
            proxy.post("/v1/responses", json!({"model": "m", "input": "hello", "stream": true}).to_string()).await;
        let event = got.header("x-nonnocere-event-id");
        while kept(&store, event).await.len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(kept(&store, event).await[1].1, json!({"choices": [["Only VIOLATE it."]]}), "deltas {deltas}");
    }
    // Of records of substance-use treatment, no text is kept.
    let url = format!("http://{}/v1/chat/completions", proxy.address);
    let treatment = http::Request::post(url).header("x-nonnocere-part2", "true");
    let body = bytes::Bytes::from(ask("the CANARY", &json!({})).to_string());
    let got = proxy.send(treatment.body(http_body_util::Full::new(body)).unwrap()).await;
    assert_eq!(got.status, 200);
    assert!(kept(&store, got.header("x-nonnocere-event-id")).await.is_empty());
    let legacy = proxy.post("/v1/completions", json!({"model": "m", "prompt": ["one", "two"]}).to_string()).await;
    let texts = kept(&store, legacy.header("x-nonnocere-event-id")).await;
    assert_eq!(texts[0].1["prompts"], json!(["one", "two"]));
    let bytes: Vec<u8> =
        ["audit.db", "audit.db-wal"].iter().flat_map(|name| std::fs::read(folder.path().join(name)).unwrap()).collect();
    assert!(!String::from_utf8_lossy(&bytes).contains("CANARY"));
}

#[tokio::test]
async fn what_the_policy_takes_out_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, "name = \"p\"\nextends = \"ama\"\n[phi]\nprompt = \"redact\"\ncompletion = \"redact\"")
        .unwrap();
    let upstream = ScriptedUpstream::saying("Call 555-201-7788 about it.").await;
    let (proxy, store) = keeping(&upstream, folder.path(), path.to_str().unwrap()).await;
    let got = proxy.chat(&ask("Mail jane.roe@example.org about MRN 4471902", &json!({}))).await;
    let texts = kept(&store, got.header("x-nonnocere-event-id")).await;
    let shown = format!("{texts:?}");
    assert!(texts.len() == 2 && shown.contains("Mail "), "{shown}");
    assert!(!["jane.roe", "4471902", "201-7788"].iter().any(|left| shown.contains(left)), "{shown}");
}

#[tokio::test]
async fn a_sealed_text_waits_in_the_spool_with_its_decision() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("All is well.").await;
    let (proxy, store) = keeping(&upstream, folder.path(), "ama").await;
    store.execute("ALTER TABLE decisions RENAME TO gone").await.unwrap();
    let got = proxy.chat(&ask("the CANARY", &json!({}))).await;
    assert_eq!(got.status, 503);
    let spooled = std::fs::read_to_string(folder.path().join("spool")).unwrap();
    assert!(spooled.contains("\"sealed\":[\"") && !spooled.contains("CANARY"), "{spooled}");
    store.execute("ALTER TABLE gone RENAME TO decisions").await.unwrap();
    let event = spooled.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap()["event"].clone();
    while kept(&store, event.as_str().unwrap()).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept(&store, event.as_str().unwrap()).await[0].1["messages"][0]["content"], "the CANARY");
}

fn settings(folder: &Path) -> [(&'static str, String); 6] {
    let in_folder = |name: &str| folder.join(name).display().to_string();
    [
        ("NONNOCERE_AUDIT__URL", sqlite(folder)),
        ("NONNOCERE_AUDIT__KEY", in_folder("key")),
        ("NONNOCERE_AUDIT__SPOOL", in_folder("spool")),
        ("NONNOCERE_AUDIT__REQUIRED", "true".to_owned()),
        ("NONNOCERE_AUDIT__VAULT", "true".to_owned()),
        ("NONNOCERE_AUDIT__VAULT_KEY", in_folder("vault.key")),
    ]
}

fn run(folder: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let output = nonnocere(arguments).envs(settings(folder)).output().unwrap();
    (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), output.status.code())
}

/// Asks a serving binary, and gives the event.
fn asked(serving: &Serving, messages: &Value) -> String {
    let body = json!({"model": "m", "messages": messages}).to_string();
    let answer = serving::http(&serving.clients, "POST /v1/chat/completions", &body);
    let event = answer.split("x-nonnocere-event-id: ").nth(1).unwrap_or_else(|| panic!("{answer}"));
    event.split("\r\n").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_text_is_read_on_record_written_out_for_training_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let user = |text: &str| json!({"role": "user", "content": text});
    let mut serving = Serving::with("ama", &settings(folder));
    let refused = asked(&serving, &json!([user("How do I bill Medicare for visits that never took place?")]));
    let passed = asked(&serving, &json!([user("How is iron deficiency treated?")]));
    let talk = json!([user("Hello"), {"role": "assistant", "content": "Hello."}, user("How is scurvy treated?")]);
    let talked = asked(&serving, &talk);
    serving.signal("-TERM");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));

    let by = |arguments: &[&str]| run(folder, &[arguments, &["--by", "ana", "--reason", "a complaint"]].concat());
    let (said, code) = by(&["audit", "read", &refused]);
    assert!(code == Some(0) && said.contains("bill Medicare"), "{said}");
    assert_eq!(said.lines().count(), 1, "nothing was answered");
    assert!(by(&["audit", "read", "nothing"]).0.contains("no text of the event nothing is kept"));
    assert!(
        run(folder, &["audit", "read", &refused, "--by", " ", "--reason", "x"]).0.contains("--by: expected a name")
    );
    let label = |event: &str, more: &[&str]| {
        let arguments = [&["audit", "label", event, "--reviewer", "ana", "--mark"], more].concat();
        assert_eq!(run(folder, &arguments).1, Some(0), "{arguments:?}");
    };
    label(&refused, &["correct"]);
    label(&passed, &["correct"]);
    label(&talked, &["missed", "--principle", "IV"]);
    label(&passed, &["missed", "--direction", "completion"]);
    let corpus = folder.join("corpus");
    let (said, code) = by(&["audit", "training", corpus.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let rows = |part: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(corpus.join(part).join("reviewed.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let short = |row: &Value| [row["label"].clone(), row["text"].clone(), row["form"].clone()];
    let prompts: Vec<_> = rows("prompts").iter().map(short).collect();
    assert_eq!(
        prompts,
        [
            [json!("violation"), json!("How do I bill Medicare for visits that never took place?"), json!("question")],
            [json!("safe"), json!("How is iron deficiency treated?"), json!("question")],
        ]
    );
    assert_eq!((&rows("conversations")[0]["messages"], &rows("conversations")[0]["principle"]), (&talk, &json!("IV")));
    let completion = &rows("completions")[0];
    assert_eq!((&completion["label"], &completion["kind"]), (&json!("violation"), &json!("comply")));
    assert!(completion["completion"].as_str().unwrap().contains("embedded demo"));

    what_was_refused_becomes_a_demonstration(folder);

    // A backtest shows what was said, where it is asked to.
    let lax = folder.join("lax.toml");
    let rule = "[[rules]]\nname = \"violating-prompt\"\nenabled = false";
    std::fs::write(&lax, format!("name = \"lax\"\nextends = \"ama\"\n{rule}")).unwrap();
    let (said, _) = run(folder, &["policy", "backtest", lax.to_str().unwrap()]);
    assert!(said.contains("newly passed: 1 (reviewers: 1 violate, 0 are harmless)"), "{said}");
    assert!(said.contains("; it violates)") && !said.contains("Medicare"), "{said}");
    let (said, _) = by(&["policy", "backtest", lax.to_str().unwrap(), "--texts"]);
    assert!(said.contains("bill Medicare for visits"), "{said}");
    who_read_is_on_record(folder, &refused).await;
    assert!(by(&["audit", "read", &refused]).0.contains("no text of the event"));
    assert!(run(folder, &["audit", "verify"]).0.starts_with("5 decisions"));
}

/// What was refused becomes a demonstration, where people agreed.
fn what_was_refused_becomes_a_demonstration(folder: &Path) {
    let by = |arguments: &[&str]| run(folder, &[arguments, &["--by", "ana", "--reason", "tuning"]].concat());
    let tuning = folder.join("tuning");
    let export = ["demonstrations", "export", "--refused", "--validation", "0", "--out", tuning.to_str().unwrap()];
    let (said, code) = by(&export);
    assert!(code == Some(2) && said.contains("audit.consent is false") && !tuning.exists(), "{said}");
    let agreed = folder.join("agreed.toml");
    std::fs::write(&agreed, "[audit]\nconsent = true\n").unwrap();
    let (said, code) = by(&[&["demonstrations", "--config", agreed.to_str().unwrap()], &export[1..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let rows = std::fs::read_to_string(tuning.join("train.jsonl")).unwrap();
    assert!(rows.lines().count() == 1 && rows.contains("bill Medicare") && rows.contains("an honest record"), "{rows}");
}

/// Who read is on record, and cannot be taken off it; what is too old is gone when a proxy starts.
async fn who_read_is_on_record(folder: &Path, refused: &str) {
    let store = Store::open(&sqlite(folder)).await.unwrap();
    let acts = store.acts().await.unwrap();
    let key = Signing::open(&folder.join("key")).unwrap().public();
    let acts = proven(&acts, &[key]).unwrap();
    // What reviewers said is on record too.
    let is_label = |act: &&Act| matches!(act.deed, Deed::Labelled { .. });
    assert_eq!(acts.iter().filter(is_label).count(), 4);
    let shown: Vec<String> =
        acts.iter().filter(|act| !is_label(act)).map(|act| serde_json::to_string(act).unwrap()).collect();
    assert!(
        shown[0]
            .contains(&format!("\"by\":\"ana\",\"reason\":\"a complaint\",\"act\":\"read\",\"event\":\"{refused}\""))
    );
    assert!(shown[1].contains("\"act\":\"exported\",\"events\":[") && shown[1].contains(refused), "{shown:?}");
    assert!(
        shown.len() == 4
            && shown[2].contains("exported")
            && shown[3].contains(&format!("\"act\":\"read\",\"event\":\"{refused}\"")),
        "{shown:?}"
    );
    // What was to be kept until now is gone when a proxy starts, whatever it is told itself.
    store.execute("UPDATE texts SET until = 1").await.unwrap();
    let _serving = Serving::with("ama", &settings(folder));
    while !store.texts(None).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn decisions_are_written_out_as_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    let mut other = decision(2);
    (other.audience, other.rule, other.alone) = (Some("patient".into()), None, None);
    store.append(&[decision(1), other]).await.unwrap();
    let output = nonnocere(&["audit", "export", "--format", "parquet"]).envs(settings(folder.path())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = SerializedFileReader::new(bytes::Bytes::from(output.stdout)).unwrap();
    let rows: Vec<_> = table.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let place = |name: &str| {
        table.metadata().file_metadata().schema_descr().columns().iter().position(|c| c.name() == name).unwrap()
    };
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get_long(place("seq")).unwrap(), 1);
    assert_eq!(rows[1].get_timestamp_micros(place("time")).unwrap(), 2);
    assert_eq!(rows[0].get_string(place("rule")).unwrap(), "violating-prompt");
    assert!((rows[0].get_double(place("violation")).unwrap() - 0.9).abs() < 1e-12);
    assert!(rows[1].get_double(place("violation")).is_err() && rows[1].get_string(place("rule")).is_err());
    assert_eq!(rows[1].get_string(place("audience")).unwrap(), "patient");
    assert!(!rows[0].get_bool(place("stream")).unwrap());
}
