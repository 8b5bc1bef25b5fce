//! What is counted, and whether all that is written of it agrees: the docs, the rules, the dashboards and the runbooks.

mod common;
#[path = "common/records.rs"]
mod records;

use common::{Options, RunningProxy, ScriptedUpstream, ask};
use http::Request;
use http_body_util::Full;
use nonnocere::audit::label::{Label, Mark};
use nonnocere::audit::store::Store;
use nonnocere::metrics::label::Values;
use nonnocere::metrics::{Format, Metrics, Now, reviews};
use nonnocere::policy::reload::Source;
use regex::Regex;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_default()
}

const BEGIN: &str = "<!-- from the declarations: UPDATE=1 cargo test --test metrics -->\n";

#[test]
fn the_docs_list_every_series() {
    let metrics = Metrics::new().unwrap();
    let mut table = String::from("| series | kind | unit | labels | |\n|---|---|---|---|---|\n");
    let mut labels: BTreeMap<(&str, String), ()> = BTreeMap::new();
    for series in metrics.series() {
        let names: Vec<String> = series.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let unit = series.unit().unwrap_or_default();
        writeln!(table, "| `{}` | {} | {unit} | {} | {} |", series.name, series.kind, names.join(", "), series.help)
            .unwrap();
        for label in series.labels {
            let values = match label.values {
                Values::Fixed(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
                Values::From(whence) => whence.to_owned(),
            };
            labels.insert((label.name, values), ());
        }
    }
    table += "\n| label | what it may say |\n|---|---|\n";
    for (name, values) in labels.into_keys() {
        writeln!(table, "| `{name}` | {values} |").unwrap();
    }
    let page = read("docs/METRICS.md");
    let (before, written) = page.split_once(BEGIN).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file("docs/METRICS.md"), format!("{before}{BEGIN}{table}")).unwrap();
    } else {
        assert!(written == table, "docs/METRICS.md is out of date: run UPDATE=1 cargo test --test metrics");
    }
}

#[test]
fn rules_and_dashboards_name_only_what_there_is() {
    let metrics = Metrics::new().unwrap();
    let rules = read("deploy/prometheus/rules/recording.yml");
    let recorded: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let name = Regex::new(r"[a-z]*:?nonnocere[_:][a-z0-9_:]+").unwrap();
    let mut found = 0;
    for text in [
        rules.as_str(),
        &read("deploy/prometheus/rules/alerts.yml"),
        &read("deploy/grafana/dashboards/safety.json"),
        &read("deploy/grafana/dashboards/operations.json"),
    ] {
        for name in name.find_iter(text).map(|found| found.as_str()) {
            let series = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let is_declared = metrics.series().iter().any(|declared| declared.name == series || declared.name == name);
            assert!(is_declared || recorded.contains(name), "there is no {name}");
            found += 1;
        }
    }
    assert!(found > 150 && recorded.len() > 30, "{found} names, {} rules", recorded.len());
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = read("deploy/prometheus/rules/alerts.yml");
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for alert in alerts.split("- alert: ").skip(1) {
        let page = alert.lines().find_map(|line| line.trim().strip_prefix("runbook_url: ")).unwrap();
        told.entry(page.to_owned()).or_default().push(alert.lines().next().unwrap());
    }
    for (page, alerts) in &told {
        let text = read(page);
        for part in ["## What it means", "## What to look at", "## What to do"] {
            assert!(text.contains(part), "{page} lacks {part:?}");
        }
        for alert in alerts {
            assert!(text.contains(&format!("`{alert}`")), "{page} does not name {alert}");
            let tests =
                ["decisions", "days", "service"].map(|name| read(&format!("deploy/prometheus/tests/{name}.yml")));
            assert!(tests.concat().contains(alert), "{alert} is not tested");
        }
    }
    let pages = std::fs::read_dir(file("docs/runbooks")).unwrap();
    let pages: BTreeSet<String> =
        pages.map(|page| format!("docs/runbooks/{}", page.unwrap().file_name().to_string_lossy())).collect();
    assert_eq!(pages, told.into_keys().collect());
}

#[tokio::test]
async fn what_was_counted_under_a_policy_goes_after_the_next_change_but_one() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    proxy.chat(&ask("VIOLATE", &json!({}))).await;
    let policy = proxy.proxy.policy.snapshot().to_string();
    let served = |policies: &[&str]| {
        let policies = policies.iter().map(|policy| ("stable", (*policy).to_owned())).collect();
        let now = Now { waiting: 0, work: proxy.proxy.guard.work(), unstored: 0, policies, model: "m".to_owned() };
        let text = proxy.proxy.metrics.render(&now, Format::OpenMetrics).unwrap();
        String::from_utf8(text).unwrap()
    };
    let counted = format!("policy=\"{policy}\",principle=\"II\"");
    assert!(served(&[&policy]).contains(&counted));
    assert!(served(&["ours@1"]).contains(&counted));
    assert!(served(&["ours@1"]).contains(&counted));
    let text = served(&["ours@2"]);
    assert!(!text.contains(&policy), "{text}");
    assert!(text.contains("nonnocere_policy_info{policy=\"ours@2\",role=\"stable\"} 1"), "{text}");
    // What is told apart by no policy stays.
    assert!(
        text.contains("nonnocere_violations_total{action=\"block\",direction=\"prompt\",principle=\"II\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_scraper_that_asks_for_it_gets_the_event_of_each_bucket() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(Options { policy: Source::named("shadow"), ..Options::new(&upstream.url()) }).await;
    let event = proxy.chat(&ask("hello", &json!({}))).await.header("x-nonnocere-event-id").to_owned();
    let request = Request::get(format!("http://{}/metrics", proxy.admin));
    let request = request.header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let got = proxy.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(got.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(got.body.to_vec()).unwrap();
    let named = text.lines().filter(|line| line.contains(&format!("# {{event_id=\"{event}\"}}"))).count();
    // Prompt and completion; three stages and what was added.
    assert_eq!(named, 6, "{text}");
    assert!(text.ends_with("# EOF\n"));
    assert!(proxy.metric("nonnocere_added_seconds_count{surface=\"chat\"}").await > 0.5);
    assert!(proxy.metric("nonnocere_classifier_texts_total").await > 1.5);
}

#[tokio::test]
async fn what_reviewers_settled_is_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&records::sqlite(folder.path())).await.unwrap();
    let now = nonnocere::audit::journal::now();
    let decisions = [now - 3, now - 2, now - 1].map(records::decision);
    store.append(&decisions).await.unwrap();
    for (decision, mark) in decisions.iter().zip([Mark::OverBlocked, Mark::Correct, Mark::OverBlocked]) {
        let (event, direction) = (decision.event.clone(), decision.direction.clone());
        let label = Label { event, direction, reviewer: "ana".into(), mark, principle: None, note: None, time: now };
        store.label(&label, None).await.unwrap();
    }
    let metrics = Arc::new(Metrics::new().unwrap());
    let following = tokio::spawn(reviews::follow(store, 1, Arc::clone(&metrics)));
    let now = Now { waiting: 0, work: Default::default(), unstored: 0, policies: vec![], model: "m".to_owned() };
    loop {
        let text = String::from_utf8(metrics.render(&now, Format::Prometheus).unwrap()).unwrap();
        if text.contains("nonnocere_reviewed_decisions{decision=\"stopped\",found=\"wrong\"} 2") {
            assert!(text.contains("nonnocere_reviewed_decisions{decision=\"stopped\",found=\"right\"} 1"), "{text}");
            break;
        }
        tokio::task::yield_now().await;
    }
    following.abort();
}
