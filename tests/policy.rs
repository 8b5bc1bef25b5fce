//! Policy files: every fault is named, with its line and key and what would be right; and what shipped ones do on the wire.

mod common;

use common::{Options, RunningProxy, ScriptedUpstream, ask};
use nonnocere::policy::file;
use nonnocere::policy::reload::Source;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The files whose first line is a comment with what must be said of them: `line: key: message`, or how that begins.
fn invalid() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policy/invalid");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_invalid_policy_gives_its_expected_message() {
    let files = invalid();
    assert!(files.len() >= 35, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let faults = file::open(&path).map(|policy| policy.to_string()).unwrap_err();
        let name = path.display().to_string();
        let shown: Vec<String> =
            faults.iter().map(|fault| fault.to_string().replace(&format!("{name}:"), "")).collect();
        // A path that a file names is read beside it.
        let folder = format!("{}/", path.parent().unwrap().display());
        let shown: Vec<String> = shown.iter().map(|fault| fault.replace(&folder, "")).collect();
        assert!(
            shown.iter().any(|fault| fault.starts_with(expected)),
            "{name}:\nexpected {expected}\nfound {shown:#?}"
        );
    }
}

#[tokio::test]
async fn in_the_shadow_everything_passes_and_is_counted() {
    let upstream = ScriptedUpstream::saying("Now VIOLATE it. And on.").await;
    let mut options = Options::new(&upstream.url());
    options.policy = Source::named("shadow");
    let proxy = RunningProxy::start(options).await;
    for (asked, stream) in [("VIOLATE", false), ("CRISIS", false), ("hello", true)] {
        let got = proxy.chat(&ask(asked, &json!({"stream": stream}))).await;
        assert_eq!((got.status.as_u16(), got.header("x-nonnocere-decision")), (200, "allow"), "{asked}");
        let said = String::from_utf8_lossy(&got.body).into_owned();
        assert!(said.contains("VIOLATE") && !said.contains("findahelpline"), "{said}");
    }
    for (direction, action, rule, count) in [
        ("prompt", "block", "violating-prompt", 1.0),
        ("prompt", "escalate", "crisis", 1.0),
        ("completion", "block", "violating-completion", 3.0_f64),
    ] {
        let series = format!("nonnocere_shadow_total{{action=\"{action}\",direction=\"{direction}\",rule=\"{rule}\"}}");
        let found = proxy.metric(&series).await;
        assert!((found - count).abs() < 0.1, "{series} {found}");
    }
}

#[tokio::test]
async fn research_is_steered_and_loses_only_the_sentences() {
    let upstream = ScriptedUpstream::saying(
        "Take one tablet of 500 mg with a meal every day. Then VIOLATE it. Come back after two weeks.",
    )
    .await;
    let mut options = Options::new(&upstream.url());
    options.policy = Source::named("research");
    let proxy = RunningProxy::start(options).await;
    let got = proxy.chat(&ask("VIOLATE", &json!({}))).await;
    assert_eq!(got.header("x-nonnocere-decision"), "rewrite");
    let said = String::from_utf8_lossy(&got.body).into_owned();
    assert!(said.contains("Come back after two weeks.") && !said.contains("VIOLATE"), "{said}");
    assert!(String::from_utf8_lossy(&upstream.asked()[0].body).contains("The next request may go against"));
}
