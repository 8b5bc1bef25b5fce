//! `nonnocere check --jsonl`: judges one conversation a line, with the same guard and policy as the proxy.

use crate::classify::Scores;
use crate::classify::pool::Unavailable;
use crate::config::Config;
use crate::guard::{Guard, Verdict};
use crate::openai::completion::Completion;
use crate::openai::request::{Invalid, Request, Surface};
use crate::policy::Policy;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};

/// The deepest nesting of a line.
const DEPTH: usize = 64;

/// Judges each line of `input` and writes one object a line to `output`, in the same order; says whether every line was
/// judged.
///
/// # Errors
/// When the model or the policy cannot be loaded, or a stream breaks.
pub async fn jsonl(config: &Config, input: impl BufRead, mut output: impl Write) -> anyhow::Result<bool> {
    let policy = super::policy_of(config).await?.snapshot();
    let guard = Guard::new(super::start_pool(config)?, config.manner.finish);
    let mut whole = true;
    let mut lines = input.split(b'\n');
    loop {
        // As many lines at a time as there are workers: all are busy, and the order is kept.
        let batch = lines.by_ref().take(config.workers * 2).collect::<std::io::Result<Vec<_>>>()?;
        if batch.is_empty() {
            break;
        }
        let (first, second) = batch.split_at(batch.len() / 2);
        let (first, second) = tokio::join!(judge_all(&guard, &policy, first), judge_all(&guard, &policy, second));
        for judged in first.into_iter().chain(second) {
            whole &= judged.get("error").is_none();
            writeln!(output, "{judged}")?;
        }
    }
    output.flush()?;
    Ok(whole)
}

async fn judge_all(guard: &Guard, policy: &Policy, lines: &[Vec<u8>]) -> Vec<Value> {
    let mut judged = Vec::new();
    for line in lines.iter().filter(|line| !line.trim_ascii().is_empty()) {
        judged.push(judge(guard, policy, line).await);
    }
    judged
}

async fn judge(guard: &Guard, policy: &Policy, line: &[u8]) -> Value {
    let line: Value = match crate::openai::json::parse(line, DEPTH) {
        Ok(line) => line,
        Err(fault) => return json!({"id": null, "error": fault.to_string()}),
    };
    let id = line.get("id").cloned().unwrap_or_default();
    match verdict(guard, policy, &line).await {
        Ok(verdict) => shown(id, &verdict, policy, guard.model()),
        Err(error) => json!({"id": id, "error": error}),
    }
}

async fn verdict(guard: &Guard, policy: &Policy, line: &Value) -> Result<Verdict, String> {
    let messages = match (line.get("messages"), line.get("prompt")) {
        (Some(messages), None) => messages.clone(),
        (None, Some(prompt @ Value::String(_))) => json!([{"role": "user", "content": prompt}]),
        (None, Some(_)) => return Err("prompt: expected a string".to_owned()),
        _ => return Err("expected either messages or prompt".to_owned()),
    };
    let body = Bytes::from(json!({ "messages": messages }).to_string());
    let request = Request::parse(Surface::Chat, body, DEPTH).map_err(|invalid| match invalid {
        Invalid::Json(fault) => fault.to_string(),
        Invalid::Field { param, message } => format!("{param}: {message}"),
    })?;
    let unavailable = |why: Unavailable| format!("the model could not judge: {why:?}");
    match line.get("completion") {
        None | Some(Value::Null) => Ok(guard.inspect_request(policy, request).await.map_err(unavailable)?.verdict),
        Some(Value::String(text)) => {
            let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]});
            let completion = Completion::parse(Surface::Chat, Bytes::from(body.to_string()), DEPTH)?;
            Ok(guard.inspect_completion(policy, request.asked(), completion).await.map_err(unavailable)?.verdict)
        }
        Some(_) => Err("completion: expected a string".to_owned()),
    }
}

fn shown(id: Value, verdict: &Verdict, policy: &Policy, model: &str) -> Value {
    let violation = verdict.violation();
    json!({
        "id": id,
        "direction": verdict.direction.id(),
        "action": verdict.action.id(),
        "principle": violation.map(|kind| kind.principle.id()),
        "type": violation.map(|kind| kind.id),
        "scores": scores(&verdict.scores),
        "scan": verdict.scan.id(),
        "policy": policy.to_string(),
        "model": model,
    })
}

/// Every output of the model; a policy decides which of them count in which direction.
fn scores(scores: &Scores) -> Value {
    let principles: Map<String, Value> =
        scores.principles().iter().map(|(principle, p)| (principle.id().to_owned(), json!(p))).collect();
    json!({
        "violation": scores.violation,
        "manipulation": scores.manipulation,
        "crisis": scores.crisis,
        "refusal": scores.refusal,
        "principles": principles,
    })
}
