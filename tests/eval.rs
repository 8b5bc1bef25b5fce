//! `nonnocere eval` as its users call it, on models of which it is known how readily they comply.

#[path = "common/serving.rs"]
mod serving;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nonnocere::demo::{self, Character, DECLINES};
use nonnocere::eval::suite::{self, Aim};
use serde_json::{Value, json};
use serving::nonnocere;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

async fn character(character: Character) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(demo::serve(listener, character, Duration::ZERO));
    url
}

/// Calls the binary in a folder, without the settings of whoever runs the tests.
async fn call(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = nonnocere(arguments);
    command.current_dir(folder);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = call(folder, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("nonnocere-eval/report.json")).unwrap()).unwrap()
}

fn cell<'a>(report: &'a Value, suite: &str, side: &str) -> &'a Value {
    let cells = report["cells"].as_array().unwrap();
    cells.iter().find(|cell| cell["suite"] == suite && cell["side"] == side).unwrap()
}

fn is_near(found: &Value, expected: f64) -> bool {
    (found.as_f64().unwrap() - expected).abs() < 1e-9
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_are_the_scripted_truth() {
    let judge = character(Character::Judge).await;
    let items = suite::sample(suite::open(&["embedded".to_owned()]).unwrap(), 100, 1);
    for who in [Character::Compliant, Character::Refusing, Character::Mixed] {
        let (folder, target) = (tempfile::tempdir().unwrap(), character(who).await);
        let run = ["eval", "run", "--target", &target, "--model", "m", "--guard", "off"];
        succeed(
            folder.path(),
            &[&run[..], &["--judge", &judge, "--judge-model", "j", "--concurrency", "32", "--limit", "100"]].concat(),
        )
        .await;
        let found = report(folder.path());
        let level = |text: &str| who.level(text).unwrap();
        let of = |suite: &str| items.iter().filter(|item| item.suite == suite).collect::<Vec<_>>();
        let violations = of("violations");
        let mean = |items: &[&suite::Item]| {
            items.iter().map(|item| f64::from(level(&item.text))).sum::<f64>() / items.len() as f64
        };
        let harmful = cell(&found, "violations", "off");
        assert!(is_near(&harmful["harmfulness"]["mean"], mean(&violations)), "{who:?}: {harmful}");
        let scores = [1, 2, 3, 4, 5].map(|score| violations.iter().filter(|item| level(&item.text) == score).count());
        assert_eq!(harmful["scores"], json!(scores));
        for principle in ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "G"] {
            let of_it: Vec<_> =
                violations.iter().copied().filter(|item| item.principle.as_deref() == Some(principle)).collect();
            assert!(is_near(&harmful["principles"][principle]["mean"], mean(&of_it)), "{principle}");
        }
        for name in ["violations", "twins", "benign", "crisis"] {
            let declined = of(name).iter().filter(|item| level(&item.text) <= DECLINES).count();
            let cell = cell(&found, name, "off");
            assert_eq!(
                (&cell["declined"]["hits"], &cell["by_model"]),
                (&json!(declined), &json!(declined)),
                "{who:?} {name}"
            );
            assert_eq!((&cell["by_guard"], &cell["missing"]), (&json!(0), &json!(0)));
        }
        for form in ["report.html", "report.md", "report.csv"] {
            assert!(std::fs::metadata(folder.path().join("nonnocere-eval").join(form)).unwrap().len() > 1000);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_lowers_what_a_compliant_model_does_and_the_gate_says_so() {
    let (folder, judge, target) =
        (tempfile::tempdir().unwrap(), character(Character::Judge).await, character(Character::Compliant).await);
    let run = [
        "eval",
        "run",
        "--target",
        &target,
        "--model",
        "m",
        "--limit",
        "40",
        "--suite",
        "violations",
        "--suite",
        "benign",
    ];
    let run = [&run[..], &["--judge", &judge, "--judge-model", "j", "--judge", "local"]].concat();
    succeed(folder.path(), &run).await;
    let found = report(folder.path());
    let (before, after) = (cell(&found, "violations", "off"), cell(&found, "violations", "on"));
    assert!(is_near(&before["harmfulness"]["mean"], 5.0), "{before}");
    // What the guard stops is 1, and what it lets pass is 5.
    let stopped = after["by_guard"].as_f64().unwrap();
    let expected = (stopped + 5.0 * (40.0 - stopped)) / 40.0;
    assert!(is_near(&after["harmfulness"]["mean"], expected) && stopped >= 20.0, "{after}");
    assert_eq!(after["by_model"], 0);
    let differs =
        &found["differences"].as_array().unwrap().iter().find(|found| found["suite"] == "violations").unwrap();
    assert!(differs["p"].as_f64().unwrap() < 0.001, "{differs}");
    assert!(found["agreement"][0]["n"].as_u64().unwrap() > 40);
    assert!(found["runs"][0]["guard"].as_str().unwrap().starts_with("ama@"));
    // A gate says yes, no, and that nothing can be said.
    let gate = async |more: &[&str]| {
        let output = call(folder.path(), &[&["eval", "gate"], more].concat()).await;
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let high = format!("{}", expected + 0.01);
    let (code, said) = gate(&["--max-harm", &high]).await;
    assert!(code == Some(0) && said.starts_with("holds: m, violations, with guard, harmfulness"), "{said}");
    let low = format!("{}", expected - 0.01);
    assert_eq!(gate(&["--max-harm", &low]).await.0, Some(1));
    assert_eq!(gate(&["--max-harm", "4.9", "--side", "off"]).await.0, Some(1));
    assert_eq!(gate(&["--max-crisis-failures", "1%"]).await.0, Some(2));
    assert_eq!(gate(&[]).await.0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_policies_are_compared_and_what_was_answered_is_shared() {
    let (folder, judge, target) =
        (tempfile::tempdir().unwrap(), character(Character::Judge).await, character(Character::Compliant).await);
    let run = ["eval", "run", "--target", &target, "--model", "m", "--limit", "10", "--suite", "violations"];
    let run = [&run[..], &["--judge", &judge, "--judge-model", "j"]].concat();
    succeed(folder.path(), &run).await;
    // Nothing is changed under this one; past the guard nothing is asked again.
    let second = succeed(folder.path(), &[&["eval", "--policy", "shadow"], &run[1..]].concat()).await;
    assert!(!second.contains("without guard: at most"), "{second}");
    let runs = succeed(folder.path(), &["eval", "runs"]).await;
    let ids: Vec<&str> = runs.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(ids.len(), 2, "{runs}");
    succeed(folder.path(), &["eval", "compare", ids[0], ids[1]]).await;
    let found = report(folder.path());
    let between = found["differences"].as_array().unwrap().iter().find(|found| {
        let named =
            |place: usize, id: &str| found["between"][place].as_str().unwrap() == format!("m ({id}), with guard");
        named(0, ids[0]) && named(1, ids[1])
    });
    let between = between.unwrap_or_else(|| panic!("{found}"));
    assert!(between["difference"].as_f64().unwrap() > 0.0 && is_near(&between["means"][1], 5.0), "{between}");
}

/// An LLM that answers so many requests, and holds all others until it is told to go on; it counts what it answered.
struct Holding {
    url: String,
    answered: Arc<Mutex<BTreeMap<Bytes, usize>>>,
    left: Arc<Mutex<usize>>,
    held: mpsc::UnboundedReceiver<()>,
}

impl Holding {
    async fn start(left: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (answered, left) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(Mutex::new(left)));
        let (tell, held) = mpsc::unbounded_channel();
        let (counts, room) = (Arc::clone(&answered), Arc::clone(&left));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counts, room, tell) = (Arc::clone(&counts), Arc::clone(&room), tell.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (counts, room, tell) = (Arc::clone(&counts), Arc::clone(&room), tell.clone());
                    async move {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let is_free = {
                            let mut room = room.lock().unwrap();
                            let is_free = *room > 0;
                            *room = room.saturating_sub(1);
                            is_free
                        };
                        if !is_free {
                            tell.send(()).unwrap();
                            std::future::pending::<()>().await;
                        }
                        *counts.lock().unwrap().entry(body).or_default() += 1;
                        let message = json!({"choices": [{"message": {"content": "No."}, "finish_reason": "stop"}]});
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(message.to_string()))))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, answered, left, held }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on_and_asks_nothing_twice() {
    let (folder, judge) = (tempfile::tempdir().unwrap(), character(Character::Judge).await);
    let mut model = Holding::start(57).await;
    let run = [
        "eval",
        "run",
        "--target",
        &model.url,
        "--model",
        "m",
        "--guard",
        "off",
        "--suite",
        "benign",
        "--concurrency",
        "4",
    ];
    let run = [&run[..], &["--judge", &judge, "--judge-model", "j"]].concat();
    let mut child = nonnocere(&run).current_dir(folder.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
    // With all four held, whatever was answered before has been kept.
    for _ in 0..4 {
        model.held.recv().await.unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(model.answered.lock().unwrap().len(), 57);
    *model.left.lock().unwrap() = usize::MAX;
    succeed(folder.path(), &run).await;
    {
        let answered = model.answered.lock().unwrap();
        assert_eq!(answered.len(), 200);
        let twice: Vec<_> = answered.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "{} were asked twice", twice.len());
    }
    // Nor does it ask anything when all is there.
    let said = succeed(folder.path(), &run).await;
    assert!(!said.contains("in flight") && model.answered.lock().unwrap().values().sum::<usize>() == 200, "{said}");
    assert_eq!(cell(&report(folder.path()), "benign", "off")["asked"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_the_papers_layout_and_a_file_give_the_same_report() {
    let (folder, judge, target) =
        (tempfile::tempdir().unwrap(), character(Character::Judge).await, character(Character::Mixed).await);
    let mut lines = String::new();
    for item in suite::open(&["violations".to_owned()]).unwrap() {
        let Some(number) = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
            .iter()
            .position(|principle| item.principle.as_deref() == Some(principle))
        else {
            continue;
        };
        let generator = if item.id.len() % 2 == 0 { "gpt4" } else { "llama2" };
        let path = folder.path().join("layout/bench/train").join(generator);
        std::fs::create_dir_all(&path).unwrap();
        let path = path.join(format!("med_safety_demonstrations_category_{}.csv", number + 1));
        let mut text =
            std::fs::read_to_string(&path).unwrap_or_else(|_| "harmful_medical_request,safe_response\n".to_owned());
        text.push_str(&format!("\"{}\",\"No, sorry.\"\n", item.text.replace('"', "\"\"")));
        std::fs::write(&path, text).unwrap();
        let row = json!({"text": item.text, "safe_response": "No, sorry.", "principle": item.principle, "generator": generator});
        lines.push_str(&format!("{row}\n"));
    }
    std::fs::write(folder.path().join("bench.jsonl"), lines).unwrap();
    let mut reports = Vec::new();
    for suite in ["layout/bench", "bench.jsonl"] {
        let store = format!("{}.db", suite.replace('/', "-"));
        let run =
            ["eval", "run", "--target", &target, "--model", "m", "--guard", "off", "--suite", suite, "--store", &store];
        succeed(folder.path(), &[&run[..], &["--judge", &judge, "--judge-model", "j"]].concat()).await;
        let mut found = report(folder.path());
        let cell = found["cells"][0].as_object_mut().unwrap();
        // How long it took is another time each time.
        cell.remove("millis");
        reports.push(found["cells"].clone());
    }
    assert_eq!(reports[0], reports[1]);
    assert_eq!(reports[0][0]["asked"], 216);
    assert_eq!(reports[0][0]["groups"].as_object().unwrap().len(), 2);
    // What the paper makes of it: demonstrations, with the safe answers that come with the requests.
    let said = succeed(
        folder.path(),
        &["demonstrations", "export", "--suite", "layout/bench", "--out", "tuning", "--form", "alpaca"],
    )
    .await;
    assert!(said.contains("answers by the source") && !said.contains("template"), "{said}");
    let rows: Vec<Value> = ["train", "validation"]
        .iter()
        .flat_map(|name| {
            let text = std::fs::read_to_string(folder.path().join(format!("tuning/{name}.jsonl"))).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        })
        .collect();
    assert_eq!(rows.len(), 216);
    assert!(rows.iter().all(|row| row["output"] == "No, sorry." && row["principle"].is_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_with_options_are_held_against_their_answers() {
    let (folder, target) = (tempfile::tempdir().unwrap(), character(Character::Compliant).await);
    // The demo always names the first option.
    let question = |place: usize| {
        let (text, answer) = (format!("Which vitamin prevents scurvy ({place})?"), ["A", "B"][place % 2]);
        json!({"question": text, "options": ["C", "D", "K"], "answer": answer})
    };
    let lines: String = (0..40).map(|place| format!("{}\n", question(place))).collect();
    std::fs::write(folder.path().join("skill.jsonl"), lines).unwrap();
    let run = ["eval", "run", "--target", &target, "--model", "m", "--guard", "off", "--suite", "skill.jsonl"];
    succeed(folder.path(), &run).await;
    let found = report(folder.path());
    assert_eq!(cell(&found, "skill", "off")["right"]["hits"], 20);
    assert!(matches!(
        suite::open(&[folder.path().join("skill.jsonl").display().to_string()]).unwrap()[0].aim,
        Aim::Choice(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_anybody_to_ask_ends_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let run = ["eval", "run", "--target", &gone, "--model", "m", "--guard", "off", "--pause", "1ms", "--tries", "2"];
    let output = call(folder.path(), &run).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains("20 requests in a row had no answer; the last: no connection"),
        "{said}"
    );
}
