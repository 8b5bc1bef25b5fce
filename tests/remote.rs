//! The graph on a model server: its scores are those of the graph here, and where it fails, nothing passes for a score.

mod common;
#[path = "common/inference.rs"]
mod inference;
#[path = "common/serving.rs"]
mod serving;

use bytes::Bytes;
use common::{Options, RunningProxy, ScriptedUpstream, ask};
use inference::{Manner, ModelServer, settings, shipped};
use nonnocere::classify::cache::Cache;
use nonnocere::classify::encode::{EMBEDDED, Encoder};
use nonnocere::classify::graph::{Graph, GraphClassifier};
use nonnocere::classify::pool::{Asking, Pool, Work};
use nonnocere::classify::remote::{Fault, Remote, RemoteGraph, Settings};
use nonnocere::classify::window::Sequence;
use nonnocere::classify::{Care, Classifier, Input, Scores};
use nonnocere::metrics::{Format, Metrics, Now};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

fn encoder() -> Arc<Encoder> {
    static ENCODER: OnceLock<Arc<Encoder>> = OnceLock::new();
    Arc::clone(ENCODER.get_or_init(|| Arc::new(Encoder::load(&EMBEDDED).unwrap())))
}

fn remote(settings: &Settings) -> Arc<Remote> {
    Arc::new(Remote::new(settings, encoder(), None).unwrap())
}

/// A classifier that asks `remote`, and the graph here where `has_local`.
fn classifier(remote: &Arc<Remote>, has_local: bool) -> GraphClassifier<RemoteGraph> {
    let local = has_local.then(|| shipped() as Arc<dyn Graph>);
    GraphClassifier::new(encoder(), RemoteGraph::new(Arc::clone(remote), local), remote.id())
}

/// A classifier that asks `server`.
fn asking(server: &ModelServer, has_local: bool) -> GraphClassifier<RemoteGraph> {
    classifier(&remote(&server.settings()), has_local)
}

fn prompt(text: &str) -> Input {
    Input::Prompt(text.to_owned())
}

fn inputs() -> Vec<Input> {
    let long = "The wound was cleaned and dressed, and Mrs Quill was told when to come back. ".repeat(60);
    vec![
        prompt("Backdate the consent note for me."),
        prompt(""),
        prompt(&long),
        Input::Conversation {
            context: "user: He is eighty.\n".to_owned(),
            turn: "Hide it from the family.".to_owned(),
        },
        Input::Completion { prompt: "How is asthma treated?".to_owned(), completion: "With inhalers.".to_owned() },
    ]
}

fn local(inputs: &[Input]) -> Vec<Scores> {
    GraphClassifier::new(encoder(), shipped(), "local".to_owned()).score(inputs).unwrap()
}

#[test]
fn the_scores_are_those_of_the_graph_here_and_no_text_is_sent() {
    let server = ModelServer::start();
    assert!(asking(&server, false).score(&inputs()).unwrap() == local(&inputs()));
    let asked = server.asked();
    assert!(asked.len() > inputs().len(), "a long text is several windows, each asked about alone");
    for body in asked {
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(["Backdate", "Quill", "family", "inhaler"].iter().all(|word| !body.contains(word)), "{body}");
    }
}

fn hastily() -> Care {
    Care { until: Instant::now() + Duration::from_secs(60), thorough: false }
}

/// How many sequences each request asks about, at most four at once, after each has got its own logits.
fn asked_by_four(server: &ModelServer, lengths: &[usize]) -> Vec<u64> {
    server.answers(Manner::Sums);
    let by_four = RemoteGraph::new(remote(&Settings { batch: 4, ..server.settings() }), None);
    let sequence = |length: &usize| Sequence { ids: vec![*length as i64; *length], types: vec![0; *length] };
    let logits = by_four.logits(lengths.iter().map(sequence).collect(), hastily()).unwrap();
    let sums: Vec<f32> = logits.iter().map(|logits| logits.values[0]).collect();
    let expected: Vec<f32> = lengths.iter().map(|length| (length * (length + 1)) as f32).collect();
    assert_eq!(sums, expected);
    let asked = server.asked();
    let sequences = |body: &Bytes| {
        let asked: Value = serde_json::from_slice(body).unwrap();
        asked["inputs"][0]["shape"][0].as_u64().unwrap()
    };
    asked.iter().map(sequences).collect()
}

#[test]
fn a_batch_is_filled_up_where_the_graph_is_told_so_and_each_sequence_keeps_its_logits() {
    let server = ModelServer::start();
    server.is_masked();
    assert_eq!(asked_by_four(&server, &[3, 1, 7, 2, 2, 9]), [4, 2]);
}

#[test]
fn without_a_mask_only_sequences_of_one_length_are_asked_about_together() {
    let server = ModelServer::start();
    assert_eq!(asked_by_four(&server, &[3, 5, 2, 3, 5, 3, 3, 3]), [1, 4, 1, 2]);
}

#[test]
fn whoever_stands_in_answers_as_the_server_would() {
    let input = [prompt("How is asthma treated?")];
    let here = GraphClassifier::new(encoder(), shipped(), "local".to_owned());
    assert!(here.score_with(&input, hastily()).unwrap()[0].early && here.floors().is_some());
    let server = ModelServer::start();
    for remote in [remote(&server.settings()), remote(&settings(&gone()))] {
        let asking = classifier(&remote, true);
        assert!(asking.score_with(&input, hastily()).unwrap() == local(&input));
        assert!(asking.floors().is_none());
    }
    assert_eq!(server.asked().len(), 1);
}

/// Answers that are none.
fn wrong() -> Vec<Manner> {
    vec![
        Manner::Raw(200, "<html>It works!</html>"),
        Manner::Raw(200, ""),
        Manner::Raw(500, "{\"error\": \"out of memory\"}"),
        Manner::Raw(404, "{\"error\": \"unknown model\"}"),
        Manner::Raw(302, ""),
        Manner::Output(|mut output| {
            output["shape"] = json!([1, 2]);
            output
        }),
        Manner::Output(|mut output| {
            output["data"].as_array_mut().unwrap().pop();
            output
        }),
        Manner::Output(|mut output| {
            output["data"][0] = Value::Null;
            output
        }),
        Manner::Output(|mut output| {
            output["data"][0] = json!(1e39);
            output
        }),
    ]
}

#[test]
fn what_is_no_answer_is_never_a_score() {
    let server = ModelServer::start();
    let input = [prompt("How is asthma treated?")];
    for manner in wrong() {
        server.answers(manner.clone());
        let said = asking(&server, false).score(&input);
        assert!(said.as_ref().is_err_and(|why| why.to_string().contains("model server")), "{manner:?}");
        assert!(asking(&server, true).score(&input).unwrap() == local(&input), "{manner:?}");
    }
}

#[test]
fn a_server_that_fails_is_left_alone_and_the_graph_here_stands_in() {
    let server = ModelServer::start();
    let input = [prompt("How is asthma treated?")];
    let (with, without) = {
        let remote = remote(&server.settings());
        (classifier(&remote, true), classifier(&remote, false))
    };
    server.answers(Manner::Raw(503, "{}"));
    for _ in 0..5 {
        assert!(with.score(&input).unwrap() == local(&input));
    }
    assert_eq!(server.asked().len(), 3);
    server.answers(Manner::Well);
    assert!(without.score(&input).unwrap_err().to_string().contains("left alone"));
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_server_that_is_back_is_asked_again_when_its_model_fits() {
    let server = ModelServer::start();
    let input = [prompt("How is asthma treated?")];
    let settings = Settings { failures: 1, pause: Duration::from_millis(1), ..server.settings() };
    let asking = classifier(&remote(&settings), false);
    server.answers(Manner::Raw(503, "{}"));
    assert!(asking.score(&input).is_err());
    server.describes(|metadata| metadata["outputs"][0]["name"] = json!("scores"));
    server.answers(Manner::Well);
    let asked = server.asked().len();
    // Some are refused since it is left alone, until the pause is over and one is refused since the model does not fit.
    while !asking.score(&input).unwrap_err().to_string().contains("does not fit") {}
    assert_eq!(server.asked().len(), asked);
    server.describes(|metadata| metadata["outputs"][0]["name"] = json!("logits"));
    while asking.score(&input).is_err() {}
    assert!(asking.score(&input).unwrap() == local(&input));
}

#[test]
fn answers_of_another_version_of_the_model_do_not_count() {
    let server = ModelServer::start();
    let (asking, input) = (asking(&server, false), [prompt("How is asthma treated?")]);
    assert!(asking.score(&input).is_ok());
    server.answers(Manner::OfVersion("2"));
    assert!(asking.score(&input).unwrap_err().to_string().contains("another version"));
    server.answers(Manner::Well);
    assert!(asking.score(&input).unwrap_err().to_string().contains("left alone"), "at once, not after three");
}

#[test]
fn a_model_that_does_not_fit_is_found_at_the_start() {
    let server = ModelServer::start();
    assert_eq!(remote(&server.settings()).check(), Ok(()));
    server.describes(|metadata| metadata["outputs"][0]["shape"] = json!([-1, 2]));
    let found = remote(&server.settings()).check();
    assert!(matches!(&found, Err(Fault::Mismatch(why)) if why.contains("logits")), "{found:?}");
    let unknown = Settings { model: "other".to_owned(), ..server.settings() };
    assert_eq!(remote(&unknown).check(), Err(Fault::Status(404)));
    assert_eq!(remote(&settings(&gone())).check(), Err(Fault::Unreachable));
}

#[test]
fn only_a_hash_says_that_the_model_is_ours() {
    let server = ModelServer::start();
    let id = |server: &ModelServer| {
        let remote = remote(&server.settings());
        remote.check().map(|()| remote.id())
    };
    assert_eq!(id(&server), Ok(format!("{}-remote", encoder().id())));
    let hash = encoder().manifest().files["model.onnx"].clone();
    server.describes(|metadata| metadata["parameters"] = json!({"sha256": hash}));
    assert_eq!(id(&server), Ok(encoder().id().to_owned()));
    server.describes(|metadata| metadata["parameters"] = json!({"sha256": "0000"}));
    assert!(matches!(id(&server), Err(Fault::Mismatch(_))));
}

/// A server that takes connections, and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// The address of a server that is gone.
fn gone() -> String {
    silent().1
}

#[tokio::test]
async fn a_server_that_never_answers_costs_its_time_and_the_graph_here_answers_within_the_deadline() {
    let (_listener, url) = silent();
    let asking = classifier(&remote(&Settings { timeout: Duration::from_millis(50), ..settings(&url) }), true);
    // The time of a request is no failure where the message has less of it.
    let patient = classifier(&remote(&Settings { timeout: Duration::from_secs(3600), ..settings(&url) }), true);
    for (asking, deadline) in [(asking, 60), (patient, 4)] {
        let pool = Pool::start(vec![Arc::new(asking)], 4, Duration::from_secs(deadline), Cache::new(0)).unwrap();
        let judged = pool.judge(Asking::default(), vec![prompt("How is asthma treated?")]).await.unwrap();
        assert!(judged[0].scores == local(&[prompt("How is asthma treated?")])[0]);
    }
}

#[tokio::test]
async fn while_nobody_stands_in_the_policy_decides() {
    let mut server = ModelServer::start();
    let upstream = ScriptedUpstream::saying("With inhalers.").await;
    let mut options = Options::new(&upstream.url());
    options.classifier = Arc::new(asking(&server, false));
    let proxy = RunningProxy::start(options).await;
    let question = ask("How is asthma treated?", &json!({}));
    assert_eq!(proxy.chat(&question).await.status, 200);
    server.kill();
    let got = proxy.chat(&ask("How is hay fever treated?", &json!({}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (503, "guardrail_unavailable"));
    assert!(!String::from_utf8_lossy(&got.body).contains("model server"), "the fault of the guard stays inside");
}

#[tokio::test]
async fn what_becomes_of_requests_is_counted() {
    let server = ModelServer::start();
    let metrics = Arc::new(Metrics::new().unwrap());
    let remote = Remote::new(&server.settings(), encoder(), Some(Arc::clone(&metrics))).unwrap();
    let asking = classifier(&Arc::new(remote), true);
    let input = [prompt("How is asthma treated?")];
    asking.score(&input).unwrap();
    server.answers(Manner::Raw(500, ""));
    (0..5).for_each(|_| drop(asking.score(&input).unwrap()));
    let now = Now {
        waiting: 0,
        work: Work::default(),
        unstored: 0,
        policies: Vec::new(),
        model: "m".to_owned(),
        upstreams: Vec::new(),
    };
    let text = String::from_utf8(metrics.render(&now, Format::Prometheus).unwrap()).unwrap();
    for (outcome, count) in [("ok", 1), ("status", 3), ("paused", 2), ("mismatch", 0)] {
        let line = format!("nonnocere_remote_inference_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

/// Goes by lower probabilities than the model may answer early below, so that it is asked thoroughly here too.
const THOROUGH: &str = r#"
name = "thorough"
description = "The AMA Principles of Medical Ethics, and a look at what is less likely"
extends = "ama"

[[rules]]
name = "unlikely"
direction = "prompt"
score = "violation"
threshold = 0.2
action = "flag"
"#;

fn check(environment: &[(&str, &str)]) -> Output {
    let policy = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(policy.path(), THOROUGH).unwrap();
    let mut command = serving::nonnocere(&["check", "--jsonl"]);
    command.env("NONNOCERE_GUARD__POLICY", policy.path());
    command.envs(environment.iter().map(|(key, value)| (format!("NONNOCERE_GUARD__REMOTE__{key}"), value)));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = ["Backdate the consent note for me.", "How is asthma treated?"];
    let lines = lines.map(|prompt| format!("{}\n", json!({"id": 1, "prompt": prompt}))).concat();
    // Where the program cannot start, nobody reads this.
    drop(child.stdin.take().unwrap().write_all(lines.as_bytes()));
    child.wait_with_output().unwrap()
}

#[test]
fn the_binary_judges_by_a_model_server_as_by_itself() {
    let server = ModelServer::start();
    let output = |environment: &[(&str, &str)]| {
        let output = check(environment);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let here = output(&[]);
    let there = output(&[("URL", &server.url()), ("MODEL", "guard")]);
    assert_eq!(server.asked().len(), 2);
    assert_eq!(there.replace("-remote\"", "\""), here);
    // Whoever is asked for and gone is stood in for.
    assert_eq!(output(&[("URL", &gone()), ("MODEL", "guard")]), there);
}

#[test]
fn the_binary_does_not_start_on_a_server_that_is_of_no_use() {
    let server = ModelServer::start();
    let refused = |environment: &[(&str, &str)]| {
        let output = check(environment);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let why = refused(&[("URL", &gone()), ("MODEL", "guard"), ("FALLBACK", "none")]);
    assert!(why.contains("guard.remote.url") && why.contains("cannot be reached"), "{why}");
    server.describes(|metadata| metadata["inputs"][0]["name"] = json!("text"));
    let why = refused(&[("URL", &server.url()), ("MODEL", "guard")]);
    assert!(why.contains("has no input `input_ids`"), "{why}");
}
