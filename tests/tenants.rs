//! Tenants by a header of the gateway, pseudonyms of users, and requests about records of substance-use treatment.

mod common;

use common::{Options, RunningProxy, ScriptedUpstream, ask};
use http::{Method, Request};
use http_body_util::Full;
use nonnocere::audit::decision::Decision;
use nonnocere::audit::journal::{Journal, Settings};
use nonnocere::audit::key::Signing;
use nonnocere::audit::spool::Spool;
use nonnocere::audit::store::Store;
use nonnocere::caller::Callers;
use nonnocere::classify::{Classifier, ClassifyError, Input, Scores};
use nonnocere::guard::stream::Mode;
use nonnocere::metrics::Metrics;
use nonnocere::openai::request::Surface;
use nonnocere::policy::reload::{Source, prove};
use nonnocere::route::{Action, Flow, Rule};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// As docs/TENANTS.md has it: one clinic is stricter and says it in its own words, another refuses later.
const POLICY: &str = include_str!("fixtures/policy/tenants.toml");

/// How sure it is of a violation stands in the text.
struct Doubting;

impl Classifier for Doubting {
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        let score = |input: &Input| {
            let says = |word: &str| input.text().contains(word);
            let violation =
                [("SURELY", 0.95), ("LIKELY", 0.7), ("MAYBE", 0.4)].into_iter().find(|(word, _)| says(word));
            let mut scores = Scores { violation: violation.map_or(0.0, |(_, score)| score), ..Scores::NONE };
            scores.types[7] = 1.0; // II.2
            scores
        };
        Ok(inputs.iter().map(score).collect())
    }

    fn id(&self) -> &str {
        "doubting"
    }
}

fn callers() -> Callers {
    Callers {
        tenant_header: Some("x-tenant".parse().unwrap()),
        tenants: ["st-anna", "west", "south"].map(Arc::from).into(),
        tenant_required: false,
        user_header: Some("x-user".parse().unwrap()),
    }
}

/// The options of a proxy with tenants, whose policy is in `folder`.
fn options(upstream: &ScriptedUpstream, folder: &Path) -> Options {
    let policy = folder.join("policy.toml");
    std::fs::write(&policy, POLICY).unwrap();
    Options {
        policy: Source::File(policy),
        callers: callers(),
        classifier: Arc::new(Doubting),
        ..Options::new(&upstream.url())
    }
}

/// A client behind the gateway, which says so much by headers.
async fn post(proxy: &RunningProxy, path: &str, said: &[(&str, &str)], body: &Value) -> common::Got {
    let mut request = Request::post(format!("http://{}{path}", proxy.address));
    for (name, value) in said {
        request = request.header(*name, *value);
    }
    proxy.send(request.body(Full::new(body.to_string().into())).unwrap()).await
}

const CHAT: &str = "/v1/chat/completions";

async fn store(folder: &Path) -> Store {
    Store::open(&format!("sqlite:{}", folder.join("audit.db").display())).await.unwrap()
}

/// Keeps decisions in `folder`, by the key that is there.
async fn journal(folder: &Path) -> (Journal, Store) {
    let store = store(folder).await;
    let settings = Settings {
        store: store.clone(),
        key: Signing::open(&folder.join("key")).unwrap(),
        spool: Spool::new(folder.join("spool"), 1 << 20),
        required: true,
        queue: 100,
        sign_every: Duration::from_secs(60),
        vault: None,
        trust: vec![],
    };
    (Journal::start(settings, Arc::new(Metrics::new().unwrap())).0, store)
}

async fn stored(store: &Store) -> Vec<Decision> {
    let mut all = Vec::new();
    store.bodies(i64::MIN, |body| all.push(serde_json::from_str(body).unwrap())).await.unwrap();
    all
}

#[tokio::test]
async fn a_tenant_has_its_own_thresholds_and_words() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(options(&upstream, folder.path())).await;
    for (tenant, text, expected) in [
        (Some("st-anna"), "MAYBE", "block"),
        (Some("st-anna"), "hello", "allow"),
        (Some("west"), "LIKELY", "flag"),
        (Some("west"), "SURELY", "block"),
        (Some("south"), "MAYBE", "allow"),
        (Some("south"), "LIKELY", "block"),
        (None, "MAYBE", "allow"),
        (None, "LIKELY", "block"),
    ] {
        let said: Vec<_> = tenant.map(|tenant| ("x-tenant", tenant)).into_iter().collect();
        for (path, body) in [
            (CHAT, ask(text, &json!({}))),
            (CHAT, ask(text, &json!({"stream": true}))),
            ("/v1/completions", json!({"model": "m", "prompt": text})),
            ("/v1/responses", json!({"model": "m", "input": text})),
            ("/v1/embeddings", json!({"model": "m", "input": text})),
        ] {
            let got = post(&proxy, path, &said, &body).await;
            let mut found = got.header("x-nonnocere-decision");
            // The scripted upstream speaks chat alone.
            if found == "error" && expected != "block" {
                found = expected;
            }
            assert_eq!(found, expected, "{tenant:?} {path} {body}");
        }
        let got = post(&proxy, CHAT, &said, &ask(text, &json!({}))).await;
        let own = String::from_utf8_lossy(&got.body).contains("ethics office of St. Anna");
        assert_eq!(own, (tenant, text) == (Some("st-anna"), "MAYBE"), "{tenant:?} {text}");
    }
}

#[tokio::test]
async fn an_answer_is_judged_by_the_rules_of_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Well then. MAYBE this is how it is done. And so on.").await;
    let proxy = RunningProxy::start(options(&upstream, folder.path())).await;
    for (tenant, leaks) in [("st-anna", false), ("south", true)] {
        for stream in [false, true] {
            let got = post(&proxy, CHAT, &[("x-tenant", tenant)], &ask("hello", &json!({"stream": stream}))).await;
            let said = String::from_utf8_lossy(&got.body).into_owned();
            assert_eq!(said.contains("MAYBE"), leaks, "{tenant} {stream}: {said}");
        }
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_known_is_answered_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(options(&upstream, folder.path())).await;
    let plugs = [
        ("/v1/moderations", json!({"input": "hello"})),
        ("/beta/litellm_basic_guardrail_api", json!({"input_type": "request", "texts": ["hello"]})),
        ("/api/v1/text/generation", json!({"prompt": "hello", "generated_text": "hello"})),
        (CHAT, ask("hello", &json!({}))),
        ("/v1/embeddings", json!({"input": "hello"})),
    ];
    for (path, body) in &plugs {
        for said in [&[("x-tenant", "CANARY")][..], &[("x-tenant", "")], &[("x-tenant", "west"), ("x-tenant", "west")]]
        {
            let got = post(&proxy, path, said, body).await;
            assert_eq!((got.status.as_u16(), got.error_code().as_str()), (400, "unknown_tenant"), "{path} {said:?}");
            assert!(!String::from_utf8_lossy(&got.body).contains("CANARY"));
        }
    }
    assert!(upstream.asked().is_empty());
    assert_eq!(post(&proxy, CHAT, &[], &plugs[3].1).await.status, 200);

    let mut strict = options(&upstream, folder.path());
    strict.callers.tenant_required = true;
    let strict = RunningProxy::start(strict).await;
    for (path, body) in &plugs {
        let got = post(&strict, path, &[], body).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (400, "tenant_required"), "{path}");
    }
    assert_eq!(strict.get("/v1/models").await.status, 400);
    assert_eq!(post(&strict, CHAT, &[("x-tenant", "west")], &plugs[3].1).await.status, 200);
    // Where the operator names no header, nobody is a tenant.
    let none = RunningProxy::before(&upstream).await;
    assert_eq!(post(&none, CHAT, &[("x-tenant", "CANARY")], &plugs[3].1).await.status, 200);
}

#[tokio::test]
async fn what_the_gateway_says_is_not_sent_on() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let mut options = options(&upstream, folder.path());
    options.routes = vec![Rule { path: "/v1/files*".to_owned(), action: Action::Pass, upstream: None }];
    let proxy = RunningProxy::start(options).await;
    let said = [("x-tenant", "west"), ("x-user", "maria"), ("x-nonnocere-part2", "true"), ("x-other", "o")];
    for path in [CHAT, "/v1/files"] {
        post(&proxy, path, &said, &ask("hello", &json!({}))).await;
    }
    let mut kept = Request::get(format!("http://{}/v1/responses/r-1", proxy.address)).method(Method::GET);
    for (name, value) in said {
        kept = kept.header(name, value);
    }
    proxy.send(kept.body(Full::default()).unwrap()).await;
    let asked = upstream.asked();
    assert_eq!(asked.len(), 3);
    for asked in asked {
        assert_eq!(asked.headers["x-other"], "o");
        for name in ["x-tenant", "x-user", "x-nonnocere-part2"] {
            assert!(!asked.headers.contains_key(name), "{name} {}", asked.path);
        }
    }
}

#[tokio::test]
async fn a_user_is_kept_by_a_pseudonym_of_their_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let (journal, store) = journal(folder.path()).await;
    let proxy = RunningProxy::start(Options { journal: Some(journal), ..options(&upstream, folder.path()) }).await;
    let id = "maria.CANARY@st-anna.example";
    let users = async |said: &[(&str, &str)], more: Value| {
        let got = post(&proxy, CHAT, said, &ask("hello", &more)).await;
        assert!(!format!("{:?}", got.headers).contains("CANARY"));
        let event = got.header("x-nonnocere-event-id").to_owned();
        let all = stored(&store).await;
        let users: Vec<_> =
            all.into_iter().filter(|one| one.event == event).map(|one| (one.tenant, one.user)).collect();
        assert!(users.len() == 2 && users[0] == users[1], "{users:?}");
        users[0].clone()
    };
    let (tenant, maria) = users(&[("x-tenant", "west")], json!({"user": id})).await;
    let maria = maria.unwrap();
    assert_eq!((tenant.as_deref(), maria.len()), (Some("west"), 16));
    // The gateway's header counts before the body, and its safety_identifier before its user.
    let west = ("x-tenant", "west");
    for (said, more) in [
        (vec![west], json!({"safety_identifier": id, "user": "x"})),
        (vec![west, ("x-user", id)], json!({"user": "x"})),
        (vec![west, ("x-user", id)], json!({"user": " ", "safety_identifier": null})),
        (vec![west, ("x-user", id)], json!({"stream": false})),
    ] {
        assert_eq!(users(&said, more.clone()).await.1.as_deref(), Some(maria.as_str()), "{said:?} {more}");
    }
    let others = [
        users(&[("x-tenant", "south")], json!({"user": id})).await.1,
        users(&[], json!({"user": id})).await.1,
        users(&[west], json!({"user": "x"})).await.1,
    ];
    assert!(others.iter().all(|other| other.is_some() && other.as_deref() != Some(&maria)), "{others:?}");
    assert_eq!(users(&[], json!({})).await, (None, None));
    // A plug has users too.
    post(&proxy, "/v1/moderations", &[west], &json!({"input": "hello", "user": id})).await;
    let last = stored(&store).await.pop().unwrap();
    assert_eq!((last.surface.as_str(), last.user.as_deref()), ("moderations", Some(maria.as_str())));
    let metrics = String::from_utf8(proxy.admin("/metrics").await.body.to_vec()).unwrap();
    assert!(!metrics.contains("CANARY") && !metrics.contains(&maria));
    for file in ["audit.db", "audit.db-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("CANARY"), "{file}");
    }
}

#[tokio::test]
async fn requests_about_treatment_are_marked_and_a_client_can_only_mark_more() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let (journal, store) = journal(folder.path()).await;
    let mut options = Options { journal: Some(journal), ..options(&upstream, folder.path()) };
    let flow = Flow { mode: Mode::Window, speculative: false, audience: None, part2: true };
    let path = "/treatment/chat".to_owned();
    options.routes = vec![Rule { path, action: Action::Guard(Surface::Chat, flow), upstream: None }];
    let proxy = RunningProxy::start(options).await;
    let asked = ask("hello", &json!({}));
    let moderated = json!({"input": "hello"});
    for (path, said, expected) in [
        (CHAT, None, false),
        (CHAT, Some("false"), false),
        (CHAT, Some("true"), true),
        (CHAT, Some("1"), true),
        ("/treatment/chat", None, true),
        ("/treatment/chat", Some("false"), true),
        ("/v1/moderations", None, false),
        ("/v1/moderations", Some("true"), true),
    ] {
        let said: Vec<_> = said.map(|said| ("x-nonnocere-part2", said)).into_iter().collect();
        let got = post(&proxy, path, &said, if path == "/v1/moderations" { &moderated } else { &asked }).await;
        let event = got.header("x-nonnocere-event-id");
        let all: Vec<Decision> = stored(&store).await.into_iter().filter(|one| one.event == event).collect();
        assert!(!all.is_empty() && all.iter().all(|one| one.part2 == expected), "{path} {said:?}");
        assert_eq!(serde_json::to_string(&all[0]).unwrap().contains("part2"), expected);
    }
}

#[tokio::test]
async fn plugs_judge_by_the_rules_of_the_tenant_and_the_audience() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let mut options = options(&upstream, folder.path());
    options.streaming.flow.audience = Some(nonnocere::policy::message::Audience::Patient);
    let proxy = RunningProxy::start(options).await;
    let messages = json!([{"role": "user", "content": "MAYBE"}]);
    for (path, body) in [
        ("/v1/moderations", json!({"input": "MAYBE"})),
        ("/beta/litellm_basic_guardrail_api", json!({"input_type": "request", "texts": ["MAYBE"]})),
        ("/beta/litellm_basic_guardrail_api", json!({"input_type": "request", "structured_messages": messages})),
        ("/beta/litellm_basic_guardrail_api", json!({"input_type": "response", "texts": ["MAYBE"]})),
        ("/api/v1/text/contents", json!({"contents": ["MAYBE"]})),
        ("/api/v1/text/generation", json!({"prompt": "x", "generated_text": "MAYBE"})),
        ("/api/v1/text/context/chat", json!({"chat_history": messages})),
    ] {
        let id = ("detector-id", "nonnocere");
        for (said, expected) in
            [(vec![id, ("x-tenant", "st-anna")], "block"), (vec![id, ("x-tenant", "south")], "allow")]
        {
            let got = post(&proxy, path, &said, &body).await;
            assert_eq!((got.status.as_u16(), got.header("x-nonnocere-decision")), (200, expected), "{path} {body}");
        }
        // A rule for patients, whom all are served as here.
        let body = body.to_string().replace("MAYBE", "patients only");
        let got = post(&proxy, path, &[id], &serde_json::from_str(&body).unwrap()).await;
        let is_prompt = !body.contains("generated_text") && !body.contains("\"response\"");
        assert_eq!(got.header("x-nonnocere-decision"), if is_prompt { "flag" } else { "allow" }, "{path} {body}");
    }
}

#[tokio::test]
async fn what_one_tenant_was_refused_says_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(options(&upstream, folder.path())).await;
    let asked = ask("LIKELY", &json!({}));
    assert_eq!(post(&proxy, CHAT, &[("x-tenant", "st-anna")], &asked).await.header("x-nonnocere-decision"), "block");
    // A history without the refusal: who was not refused here has left the turn unanswered, and it counts.
    let turns = json!({"model": "m", "messages": [{"role": "user", "content": "LIKELY"}, {"role": "user", "content": "hello"}]});
    for (tenant, expected) in [("south", "block"), ("st-anna", "allow")] {
        let got = post(&proxy, CHAT, &[("x-tenant", tenant)], &turns).await;
        assert_eq!(got.header("x-nonnocere-decision"), expected, "{tenant}");
    }
}

#[tokio::test]
async fn a_policy_is_tried_for_its_tenants() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(options(&upstream, folder.path())).await;
    let of = |tenant: &str| {
        let tests = format!(
            "name = \"p\"\nextends = \"{}\"\n[[tests]]\nname = \"t\"\nprompt = \"MAYBE\"\n{tenant}\nexpect = \"block\"",
            folder.path().join("policy.toml").display()
        );
        let mut policy = nonnocere::policy::file::parse("p.toml", &tests).unwrap();
        policy.tests.truncate(1);
        policy
    };
    assert!(prove(&of("tenant = \"st-anna\""), &proxy.proxy.guard).await.is_ok());
    for other in ["tenant = \"south\"", ""] {
        let broken = prove(&of(other), &proxy.proxy.guard).await.unwrap_err();
        assert!(broken[0].contains("expected block, found allow"), "{broken:?}");
    }
    assert!(callers().unknown_in(&of("tenant = \"south\"")).is_empty());
    assert!(callers().unknown_in(&of("tenant = \"east\"")).contains("east"));
}

#[tokio::test]
async fn what_would_change_is_told_by_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let (journal, store) = journal(folder.path()).await;
    let mut options = Options { journal: Some(journal), ..options(&upstream, folder.path()) };
    options.policy = Source::named("ama");
    let proxy = RunningProxy::start(options).await;
    for (tenant, text) in [("st-anna", "MAYBE"), ("st-anna", "MAYBE"), ("west", "LIKELY"), ("south", "MAYBE")] {
        post(&proxy, CHAT, &[("x-tenant", tenant)], &ask(text, &json!({"user": "maria"}))).await;
    }
    store.close().await;
    let nonnocere = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_nonnocere"))
            .args(arguments)
            .env("NONNOCERE_AUDIT__URL", format!("sqlite:{}", folder.path().join("audit.db").display()))
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let candidate = folder.path().join("policy.toml").display().to_string();
    let said = nonnocere(&["policy", "backtest", &candidate]);
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["st-anna", "prompt", "II", "2", "0"]), "{said}");
    assert!(lines.contains(&vec!["west", "prompt", "II", "0", "1"]) && !said.contains("south"), "{said}");
    let found: Value = serde_json::from_str(&nonnocere(&["policy", "backtest", &candidate, "--json"])).unwrap();
    let row = |tenant: &str, stopped: u64, passed: u64| json!({"tenant": tenant, "direction": "prompt", "principle": "II", "newly_stopped": stopped, "newly_passed": passed});
    assert_eq!(found["by_tenant"], json!([row("st-anna", 2, 0), row("west", 0, 1)]));
    assert_eq!(found["newly_stopped"], json!([{"direction": "prompt", "principle": "II", "count": 2}]));
    let csv = nonnocere(&["audit", "export", "--format", "csv"]);
    let (head, first) = (csv.lines().next().unwrap(), csv.lines().nth(1).unwrap());
    assert!(head.ends_with(",status,tenant,user,part2,opinion"), "{head}");
    assert!(first.contains(",st-anna,") && first.ends_with(",false,") && !csv.contains("maria"), "{first}");
}

/// The shipped policy extended, by the shipped model.
#[test]
fn the_documented_policy_holds_and_explains_itself_by_tenant() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/policy/tenants.toml");
    let nonnocere = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nonnocere"));
        let output = command.args(["policy"]).args(arguments).args(["--policy", file]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
        output.stdout
    };
    nonnocere(&["test"]);
    let text = "How do I bill Medicare for visits that never took place?";
    for (tenant, rule) in
        [(Some("st-anna"), "st-anna-prompts"), (Some("west"), "west-prompts"), (None, "violating-prompt")]
    {
        let tenant: Vec<&str> = tenant.map(|tenant| vec!["--tenant", tenant]).unwrap_or_default();
        let said = nonnocere(&[&["explain", "--json", text][..], &tenant].concat());
        let explained: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(explained["rule"], rule, "{explained}");
    }
    // What is documented is what is tried.
    let documented = include_str!("../docs/TENANTS.md");
    for line in POLICY.lines().filter(|line| line.starts_with(['t', 'm']) || line.starts_with("name = \"west")) {
        assert!(documented.contains(line), "{line}");
    }
}
