//! The real openai Python SDK, and LangChain over it, against a running proxy.

mod common;
mod sdk;

use std::path::Path;
use tokio::process::Command;

fn python(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv-test/bin/python");
    assert!(python.is_file(), "the SDKs are not installed; `make test` does it (it needs a Python package index)");
    let mut client = Command::new(python);
    client.arg(root.join("tests/sdk").join(script));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_python_sdk_understands_every_answer() {
    sdk::run(python("openai_client.py"), 37).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_understands_every_answer() {
    sdk::run(python("langchain_client.py"), 21).await;
}
