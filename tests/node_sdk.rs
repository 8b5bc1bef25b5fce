//! The real openai SDK for node and the AI SDK against a running proxy.

mod common;
mod sdk;

use std::fs::File;
use std::path::Path;
use tokio::process::Command;

/// A client in node; `None` where there is no node to run it, or no npm to have installed its modules.
async fn node(script: &str) -> Option<Command> {
    for program in ["node", "npm"] {
        let version = Command::new(program).arg("--version").output().await;
        if !version.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: {script} is not run, because {program} is not installed");
            return None;
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = root.join("target/node-test");
    assert!(
        modules.join("installed").is_file(),
        "the SDKs are not installed; `make test` does it (it needs an npm registry)"
    );
    let mut client = Command::new("node");
    // Node looks for modules beside a script, or in its own folder when the script comes by its input.
    client.current_dir(modules).args(["--input-type=module", "-"]);
    client.stdin(File::open(root.join("tests/sdk").join(script)).unwrap());
    Some(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_node_sdk_understands_every_answer() {
    if let Some(client) = node("openai_node.mjs").await {
        sdk::run(client, 28).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ai_sdk_understands_every_answer() {
    if let Some(client) = node("ai_sdk.mjs").await {
        sdk::run(client, 35).await;
    }
}
