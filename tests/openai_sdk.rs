//! The real openai Python SDK against a running proxy.

mod common;

use common::{Asked, RunningProxy, ScriptedUpstream, answer, chat_answer};
use http::Response;
use std::path::Path;

fn script(asked: &Asked) -> Response<bytes::Bytes> {
    let body = String::from_utf8_lossy(&asked.body);
    if asked.path == "/v1/models" {
        let list =
            "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"created\":0,\"owned_by\":\"x\"}]}";
        return answer(200, "application/json", list);
    }
    if body.contains("make the upstream fail") {
        let error = "{\"error\":{\"message\":\"the upstream fell over\",\"type\":\"server_error\",\"param\":null,\"code\":null}}";
        return answer(500, "application/json", error);
    }
    let bad = body.contains("say something bad");
    chat_answer(asked, if bad { "First this, then VIOLATE it." } else { "Take it with food." })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_python_sdk_understands_every_answer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv-test/bin/python");
    assert!(python.is_file(), "the SDK is not installed; `make test` does it (it needs a Python package index)");
    let upstream = ScriptedUpstream::start(script).await;
    let proxy = RunningProxy::before(&upstream).await;
    let mut client = tokio::process::Command::new(python);
    client.arg(root.join("tests/sdk/openai_client.py")).arg(format!("http://{}/v1", proxy.address));
    // A proxy of the environment would take the place of ours.
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        client.env_remove(name);
    }
    let output = client.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "12 cases\n");
}
