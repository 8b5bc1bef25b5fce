//! The admin port: health, readiness, metrics; and draining.

mod common;

use common::{RunningProxy, ScriptedUpstream, ask};
use serde_json::json;

#[tokio::test]
async fn health_and_readiness_are_two_things() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    assert_eq!(proxy.admin("/healthz").await.status, 200);
    assert_eq!(proxy.admin("/readyz").await.status, 503);
    proxy.ready.set(true);
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    assert_eq!(proxy.admin("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn decisions_are_counted_by_action_direction_and_principle() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for content in ["hello", "VIOLATE", "CRISIS", "hello"] {
        proxy.chat(&ask(content, &json!({}))).await;
    }
    for (labels, count) in [
        ("action=\"allow\",direction=\"prompt\",principle=\"none\"", 2.0),
        // Someone in a crisis gets help, and then an answer.
        ("action=\"allow\",direction=\"completion\",principle=\"none\"", 3.0),
        ("action=\"block\",direction=\"prompt\",principle=\"II\"", 1.0),
        ("action=\"escalate\",direction=\"prompt\",principle=\"none\"", 1.0),
    ] {
        let found = proxy.metric(&format!("nonnocere_decisions_total{{{labels}}}")).await;
        assert!((found - count).abs() < 0.1, "{labels}: {found}");
    }
    let text = String::from_utf8(proxy.admin("/metrics").await.body.to_vec()).unwrap();
    for series in [
        "nonnocere_stage_duration_seconds_count{stage=\"prompt\"} 4",
        "nonnocere_stage_duration_seconds_count{stage=\"upstream\"} 3",
        "nonnocere_requests_in_flight 0",
        "nonnocere_queue_jobs 0",
        "nonnocere_build_info{version=",
    ] {
        assert!(text.contains(series), "{series} in\n{text}");
    }
    assert!(!text.contains("VIOLATE"));
}

#[tokio::test]
async fn a_proxy_that_is_told_to_stop_stops_accepting_and_ends() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    assert_eq!(proxy.chat(&ask("hello", &json!({}))).await.status, 200);
    proxy.stop.send_replace(true);
    proxy.stopped.await.unwrap();
    assert!(tokio::net::TcpStream::connect(proxy.address).await.is_err());
}
