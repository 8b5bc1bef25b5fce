//! The FMS detector API, as FMS Guardrails and TrustyAI call it: `contents`, `generation` and `context/chat`.
//!
//! The header `detector-id` says what the texts are: `nonnocere` or `nonnocere-prompt` for what is sent to an LLM,
//! `nonnocere-completion` for what one wrote.

use super::{Call, Report, strings};
use crate::classify::Input;
use crate::error::ProxyError;
use crate::guard::Verdict;
use crate::openai::request::{Invalid, Surface};
use crate::policy::{Action, Direction};
use serde_json::{Value, json};

/// What is found in each text; the whole text is the span.
pub(super) async fn contents(call: &Call<'_>) -> Result<Report, ProxyError> {
    let texts = strings(call.body, "contents")?.ok_or(Invalid::Field { param: "contents", message: "is missing" })?;
    let direction = direction(call)?;
    let input = |text: &String| {
        let input = match direction {
            Direction::Prompt => Input::Prompt(text.clone()),
            Direction::Completion => Input::Completion { prompt: String::new(), completion: text.clone() },
        };
        (input, false)
    };
    let verdicts = call.guard.judge(call.policy, (direction, call.reader), texts.iter().map(input).collect()).await?;
    let spans = texts.iter().zip(&verdicts).map(|(text, verdict)| {
        let found = detections(verdict).into_iter().map(|mut found| {
            // Positions count characters.
            let span = json!({"start": 0, "end": text.chars().count(), "text": text});
            if let (Some(found), Some(span)) = (found.as_object_mut(), span.as_object()) {
                found.extend(span.clone());
            }
            found
        });
        found.collect::<Vec<Value>>()
    });
    let body = spans.collect::<Vec<_>>().into();
    Ok(Report { body, verdicts })
}

/// What is found in a generated text, as the answer to its prompt.
pub(super) async fn generation(call: &Call<'_>) -> Result<Report, ProxyError> {
    let text = |param: &'static str| {
        let text = call.body.get(param).and_then(Value::as_str);
        text.map(str::to_owned).ok_or(Invalid::Field { param, message: "expected a string" })
    };
    let input = Input::Completion { prompt: text("prompt")?, completion: text("generated_text")? };
    let verdicts = call.guard.judge(call.policy, (Direction::Completion, call.reader), vec![(input, false)]).await?;
    Ok(Report { body: verdicts.iter().flat_map(detections).collect(), verdicts })
}

/// What is found in a conversation.
pub(super) async fn chat(call: &Call<'_>) -> Result<Report, ProxyError> {
    let invalid = Invalid::Field { param: "chat_history", message: "expected a list of messages" };
    let history = call.body.get("chat_history").and_then(Value::as_array).ok_or(invalid)?;
    let turn = |turn: &Value| {
        let role = turn.get("role").or(turn.get("author")).cloned().unwrap_or_default();
        json!({"role": role, "content": turn.get("content")})
    };
    let body = json!({"messages": history.iter().map(turn).collect::<Vec<_>>(), "tools": call.body.get("tools")});
    let request = call.request(Surface::Chat, &body)?;
    let verdict = call.guard.inspect_request(call.policy, request).await?.verdict;
    Ok(Report { body: detections(&verdict).into(), verdicts: vec![verdict] })
}

/// Which side of the LLM the texts are on.
fn direction(call: &Call<'_>) -> Result<Direction, ProxyError> {
    match call.headers.get("detector-id").and_then(|id| id.to_str().ok()) {
        Some("nonnocere" | "nonnocere-prompt") => Ok(Direction::Prompt),
        Some("nonnocere-completion") => Ok(Direction::Completion),
        _ => Err(Invalid::Field {
            param: "detector-id",
            message: "expected the header detector-id: nonnocere, nonnocere-prompt or nonnocere-completion",
        }
        .into()),
    }
}

/// What the policy acts on.
fn detections(verdict: &Verdict) -> Vec<Value> {
    let found = |kind: &str, name: &str, score: f32| json!({"detection_type": kind, "detection": name, "score": score});
    let scores = &verdict.scores;
    match (&verdict.action, verdict.violation()) {
        (Action::Allow, _) => Vec::new(),
        (Action::Escalate(_), _) => vec![found("crisis", "needs-help-now", scores.crisis)],
        (Action::Flag, _) if scores.manipulation > scores.violation => {
            vec![found("manipulation", "trick", scores.manipulation)]
        }
        (Action::Flag | Action::Block(_) | Action::Rewrite(..), Some(kind)) => {
            vec![found("ama-principles", kind.id, scores.violation)]
        }
        (Action::Flag | Action::Block(_) | Action::Rewrite(..), None) => {
            vec![found("unjudgeable", "partial-scan", 1.0)]
        }
    }
}
