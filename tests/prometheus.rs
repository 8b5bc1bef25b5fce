//! A real Prometheus scrapes running proxies under traffic: every rule and every panel's query gives data, and the right data.

mod common;
#[path = "common/prometheus.rs"]
mod prometheus;

use bytes::Bytes;
use common::{Options, RunningProxy, ScriptedUpstream, answer, ask, chat_answer};
use http::Request;
use http_body_util::Full;
use nonnocere::audit::journal::{Journal, Settings};
use nonnocere::audit::key::Signing;
use nonnocere::audit::sampling::Judged;
use nonnocere::audit::spool::Spool;
use nonnocere::audit::store::Store;
use nonnocere::caller::Callers;
use nonnocere::metrics::Metrics;
use nonnocere::policy::message::Audience;
use nonnocere::policy::reload::Source;
use nonnocere::policy::tune::Rate;
use prometheus::{Prometheus, deployed, is_installed, promtool};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const POLICY: &str = r#"
name = "ours"
extends = "ama"

[phi]
prompt = "redact"

[[rules]]
name = "project-names"
direction = "prompt"
score = "pattern"
patterns = ['nightingale']
action = "block"
message = "No."
shadow = true
"#;

/// Two proxies with a policy of their own: one before an LLM, and one before nothing.
struct Fleet {
    well: RunningProxy,
    alone: RunningProxy,
    _upstream: ScriptedUpstream,
    _folder: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = ScriptedUpstream::start(|asked| {
            let body = String::from_utf8_lossy(&asked.body);
            match () {
                () if body.contains("BREAK") => answer(500, "application/json", r#"{"error": {"message": "broken"}}"#),
                () if body.contains("DECLINE") => chat_answer(asked, "REFUSAL of mine."),
                () => chat_answer(asked, "Take one with a meal. Then rest a while."),
            }
        })
        .await;
        let well = RunningProxy::start(options(folder.path(), &upstream.url()).await).await;
        // Nobody listens there any more.
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let alone = RunningProxy::start(Options::new(&format!("http://{gone}/v1"))).await;
        // What 40 and 60 reviews found.
        let (stopped, passed) = (Rate { hits: 12, total: 40 }, Rate { hits: 1, total: 60 });
        well.proxy.metrics.reviewed(&[Judged { start: 0, stopped, passed }]);
        Self { well, alone, _upstream: upstream, _folder: folder }
    }

    fn targets(&self) -> [String; 2] {
        [&self.well, &self.alone].map(|proxy| proxy.admin.to_string())
    }

    /// Ten prompts of two tenants: two are refused, one is helped, one loses identifiers. Gives the event ids.
    async fn traffic(&self, round: u8) -> BTreeSet<String> {
        let mut events = BTreeSet::new();
        for (tenant, content, stream) in [
            ("west", "How is iron deficiency treated?", false),
            ("west", "How is iron deficiency treated?", true),
            ("west", "VIOLATE it", false),
            ("east", "VIOLATE them", true),
            ("east", "CRISIS", false),
            ("east", "DECLINE it", false),
            ("east", "Tell me of nightingale", false),
            ("east", "BREAK it", false),
            ("west", "Patient: Maria Sanchez, MRN 4471920. What now?", false),
            ("", "Hello", true),
        ] {
            // What was judged before would not be judged again.
            let content = format!("{content} {round}");
            let body = ask(&content, &json!({"stream": stream})).to_string();
            let mut request = Request::post(format!("http://{}/v1/chat/completions", self.well.address));
            if !tenant.is_empty() {
                request = request.header("x-tenant", tenant);
            }
            let got = self.well.send(request.body(Full::new(Bytes::from(body))).unwrap()).await;
            events.insert(got.header("x-nonnocere-event-id").to_owned());
        }
        assert_eq!(self.well.post("/v1/chat/completions", "no JSON").await.status, 400);
        assert_eq!(self.alone.chat(&ask("hello", &json!({}))).await.status, 502);
        events
    }

    /// What the proxies would have been scraped of between four hours and one hour ago.
    async fn history(&self) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let mut families: Vec<(String, Vec<String>)> = Vec::new();
        for proxy in [&self.well, &self.alone] {
            let request = Request::get(format!("http://{}/metrics", proxy.admin));
            let request = request.header("accept", "application/openmetrics-text").body(Full::default()).unwrap();
            let text = String::from_utf8(proxy.send(request).await.body.to_vec()).unwrap();
            for line in text.lines().filter(|line| *line != "# EOF") {
                if let Some(kind) = line.strip_prefix("# TYPE ") {
                    families.push((kind.to_owned(), Vec::new()));
                } else if !line.starts_with('#') {
                    let lines = &mut families.last_mut().unwrap().1;
                    lines.extend((0..18_u32).map(|step| past(line, &proxy.admin.to_string(), (now, step))));
                }
            }
        }
        // One family of all proxies after the other.
        families.sort_by(|one, other| one.0.cmp(&other.0));
        let mut text = String::new();
        let mut last = "";
        for (kind, lines) in &families {
            if kind != last {
                text += &format!("# TYPE {kind}\n");
            }
            last = kind;
            text += &lines.concat();
        }
        text + "# EOF\n"
    }
}

/// A line of metrics as it would have been, each step ten minutes nearer.
fn past(line: &str, instance: &str, (now, step): (u64, u32)) -> String {
    let line = line.split(" # ").next().unwrap();
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let (value, time) = (value.parse::<f64>().unwrap() * f64::from(step), now - 14_400 + u64::from(step) * 600);
    let comma = if labels == "}" { "" } else { "," };
    format!("{name}{{job=\"nonnocere\",instance=\"{instance}\"{comma}{labels} {value} {time}\n")
}

async fn options(folder: &Path, upstream: &str) -> Options {
    std::fs::write(folder.join("policy.toml"), POLICY).unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.join("audit.db").display())).await.unwrap();
    let settings = Settings {
        store,
        key: Signing::open(&folder.join("key")).unwrap(),
        spool: Spool::new(folder.join("spool"), 1 << 20),
        required: false,
        queue: 100,
        sign_every: Duration::from_secs(60),
        vault: None,
        trust: vec![],
    };
    let metrics = Arc::new(Metrics::new().unwrap());
    let mut options = Options {
        policy: Source::File(folder.join("policy.toml")),
        callers: Callers {
            tenant_header: Some(http::HeaderName::from_static("x-tenant")),
            tenants: ["west", "east"].map(Arc::from).into(),
            tenant_required: false,
            user_header: None,
        },
        journal: Some(Journal::start(settings, Arc::clone(&metrics)).0),
        metrics: Some(metrics),
        ..Options::new(upstream)
    };
    options.streaming.flow.audience = Some(Audience::Patient);
    options
}

/// Whether a query gives at least one number.
fn has_data(prometheus: &Prometheus, query: &str) -> bool {
    prometheus.query(query).iter().any(|(_, value)| value.is_finite())
}

/// The queries of a dashboard, as Grafana would ask them.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let asked = |query: &Value| {
        let query = query.as_str().unwrap().replace("$__rate_interval", "10m").replace("$__range", "1h");
        query.replace("$job", ".*").replace("$tenant", ".*")
    };
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((panel["title"].as_str().unwrap().to_owned(), asked(&target["expr"])));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            let series = query.strip_prefix("label_values(").unwrap().split(',').next().unwrap();
            queries.push((variable["name"].as_str().unwrap().to_owned(), series.to_owned()));
        }
    }
    queries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_and_every_panel_has_data_and_it_is_right() {
    if !is_installed() {
        return;
    }
    let fleet = Fleet::start().await;
    fleet.traffic(1).await;
    let prometheus = Prometheus::start(&fleet.targets(), &fleet.history().await);
    prometheus.wait_for("sum(up)", |up| up > 1.5);
    let text = String::from_utf8(fleet.well.admin("/metrics").await.body.to_vec()).unwrap();
    assert_eq!(promtool(&["check", "metrics"], text.as_bytes()), "", "promtool has something to say of our metrics");
    let events = fleet.traffic(2).await;
    let prompts = |count: f64| move |found: f64| (found - count).abs() < 0.1;
    let all = "sum(nonnocere_decisions_total{direction=\"prompt\"})";
    prometheus.wait_for(all, prompts(22.0));
    // Those who were refused, helped, and let pass but for their identifiers.
    for (query, count) in [
        ("sum(nonnocere_decisions_total{action=\"block\", principle=\"II\", tenant=\"west\"})", 2.0),
        ("sum(nonnocere_decisions_total{action=\"block\", audience=\"patient\"})", 4.0),
        ("sum(nonnocere_decisions_total{action=\"escalate\", tenant=\"east\"})", 2.0),
        ("sum(nonnocere_decisions_total{action=\"rewrite\", principle=\"none\"})", 2.0),
        ("sum(nonnocere_violations_total{type=\"II.2\"})", 4.0),
        ("sum(nonnocere_model_refusals_total{tenant=\"east\"})", 2.0),
        ("sum(nonnocere_shadow_total{rule=\"project-names\"})", 2.0),
        ("sum(nonnocere_scans_total{scan=\"none\"})", 0.0),
        ("sum(nonnocere_first_text_added_seconds_count)", 4.0),
        ("sum(nonnocere_upstream_requests_total{result=\"5xx\"})", 2.0),
        ("sum(nonnocere_upstream_requests_total{result=\"unreachable\"})", 2.0),
        ("count(nonnocere_policy_info{policy=~\"ours@.+\", role=\"stable\"})", 1.0),
    ] {
        prometheus.wait_for(query, prompts(count));
    }
    look_at_rules(&prometheus);
    look_at_panels(&prometheus);
    look_at_exemplars(&prometheus, &events);
}

fn look_at_rules(prometheus: &Prometheus) {
    let mut recorded = 0;
    for group in prometheus.api("rules")["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["name"].as_str().unwrap();
            if rule["type"] == "recording" {
                recorded += 1;
                prometheus.wait_for(&format!("count(abs({name}) < Inf)"), |found| found > 0.5);
            }
        }
    }
    assert!(recorded >= 30, "{recorded} rules");
    for group in prometheus.api("rules")["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
    // Two of ten prompts were refused in each round; a rate of a few scrapes is not exact.
    let ratio = prometheus.value("job:nonnocere_refusal:ratio_rate5m{direction=\"prompt\"}").unwrap();
    assert!((0.1..0.3).contains(&ratio), "{ratio}");
    assert_eq!(prometheus.value("job:nonnocere_benign:ratio_reviewed"), Some(0.3));
    // Both rounds were alike, and so was what went before.
    let drift = prometheus.value("max(score:nonnocere_scores:psi1h)").unwrap();
    assert!((0.0..0.25).contains(&drift), "{drift}");
}

fn look_at_panels(prometheus: &Prometheus) {
    let mut asked = 0;
    for name in ["safety", "operations"] {
        let text = std::fs::read(deployed(&format!("grafana/dashboards/{name}.json"))).unwrap();
        let dashboard: Value = serde_json::from_slice(&text).unwrap();
        for (title, query) in queries(&dashboard) {
            asked += 1;
            assert!(has_data(prometheus, &query), "{name}: {title}: {query}");
        }
        for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
            // It marks what changed, which nothing may have.
            prometheus.query(&annotation["expr"].as_str().unwrap().replace("$job", ".*"));
        }
    }
    assert!(asked >= 60, "{asked} queries");
}

fn look_at_exemplars(prometheus: &Prometheus, events: &BTreeSet<String>) {
    let path = "query_exemplars?start=0&end=4000000000&query=";
    for series in
        ["nonnocere_added_seconds_bucket", "nonnocere_stage_duration_seconds_bucket", "nonnocere_decisions_total"]
    {
        let found = prometheus.api(&format!("{path}{series}"));
        let all = found.as_array().unwrap().iter().flat_map(|one| one["exemplars"].as_array().unwrap());
        let named = all.filter(|exemplar| events.contains(exemplar["labels"]["event_id"].as_str().unwrap())).count();
        assert!(named > 0, "{series}: {found}");
    }
}

#[test]
fn the_rules_and_their_unit_tests_hold() {
    if !is_installed() {
        return;
    }
    let files = |folder: &str| -> Vec<String> {
        let files = std::fs::read_dir(deployed(folder)).unwrap();
        files.map(|file| file.unwrap().path().to_str().unwrap().to_owned()).collect()
    };
    let (rules, tests) = (files("prometheus/rules"), files("prometheus/tests"));
    assert!(rules.len() >= 2 && tests.len() >= 3, "{rules:?} {tests:?}");
    let run = |first: [&'static str; 2], files: &[String]| {
        let arguments: Vec<&str> = first.into_iter().chain(files.iter().map(String::as_str)).collect();
        promtool(&arguments, b"");
    };
    run(["check", "rules"], &rules);
    run(["check", "config"], &[deployed("prometheus/prometheus.yml").to_str().unwrap().to_owned()]);
    run(["test", "rules"], &tests);
}
