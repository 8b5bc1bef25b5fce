//! While the model cannot judge, the policy decides whether anything passes, and nobody is called a violator.

mod common;

use common::{Failing, Options, Panicking, RunningProxy, ScriptedUpstream, ask};
use nonnocere::classify::Classifier;
use nonnocere::policy::{file::EMBEDDED, reload::Source};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

async fn proxy(upstream: &ScriptedUpstream, classifier: Arc<dyn Classifier>, policy: &str) -> RunningProxy {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(policy.as_bytes()).unwrap();
    let mut options = Options::new(&upstream.url());
    options.classifier = classifier;
    options.policy = Source::File(file.path().to_owned());
    RunningProxy::start(options).await
}

#[tokio::test]
async fn the_default_is_to_fail_closed() {
    for classifier in [Arc::new(Failing) as Arc<dyn Classifier>, Arc::new(Panicking)] {
        let upstream = ScriptedUpstream::saying("Fine.").await;
        let proxy = proxy(&upstream, classifier, EMBEDDED).await;
        for _ in 0..2 {
            let got = proxy.chat(&ask("hello", &json!({}))).await;
            assert_eq!((got.status.as_u16(), got.error_code().as_str()), (503, "guardrail_unavailable"));
            assert_eq!(got.header("retry-after"), "1");
            assert_eq!(got.header("x-nonnocere-decision"), "unavailable");
            assert_eq!(got.header("x-nonnocere-scan"), "none");
            assert!(!String::from_utf8_lossy(&got.body).contains("scripted"), "the fault of the guard stays inside");
        }
        assert!(upstream.asked().is_empty());
        let counted = "nonnocere_guard_unavailable_total{direction=\"prompt\",mode=\"closed\"}";
        assert!((proxy.metric(counted).await - 2.0).abs() < 0.1);
    }
}

#[tokio::test]
async fn a_policy_may_fail_open_and_says_so() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let open = EMBEDDED
        .replace("prompt = \"block\"", "prompt = \"allow\"")
        .replace("completion = \"block\"", "completion = \"allow\"");
    let proxy = proxy(&upstream, Arc::new(Failing), &open).await;
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!(got.status, 200);
    assert_eq!((got.header("x-nonnocere-decision"), got.header("x-nonnocere-scan")), ("allow", "none"));
    let counted = "nonnocere_scans_total{direction=\"completion\",scan=\"none\"}";
    assert!((proxy.metric(counted).await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_completion_that_cannot_be_judged_is_withheld() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let open_for_prompts = EMBEDDED.replace("prompt = \"block\"", "prompt = \"allow\"");
    let proxy = proxy(&upstream, Arc::new(Failing), &open_for_prompts).await;
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!((got.status.as_u16(), got.error_code().as_str()), (503, "guardrail_unavailable"));
    // A stream has begun by then: the error is its last event.
    let got = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    let events = nonnocere::openai::sse::events(&got.body).unwrap();
    assert!(events.last().unwrap().contains("\"guardrail_unavailable\""), "{events:?}");
    assert!(!String::from_utf8_lossy(&got.body).contains("Fine."));
    assert_eq!(upstream.asked().len(), 2);
    let counted = "nonnocere_guard_unavailable_total{direction=\"completion\",mode=\"closed\"}";
    assert!((proxy.metric(counted).await - 2.0).abs() < 0.1);
}
