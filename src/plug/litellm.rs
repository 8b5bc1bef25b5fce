//! `POST /beta/litellm_basic_guardrail_api`: LiteLLM's generic guardrail.

use super::{Call, Report, strings};
use crate::error::ProxyError;
use crate::guard::Verdict;
use crate::openai::completion::Completion;
use crate::openai::request::{Asked, Invalid, Request, Surface};
use crate::policy::Action;
use bytes::Bytes;
use serde_json::{Value, json};

/// `NONE`, or `BLOCKED` with what the person is to read.
pub(super) async fn answer(call: &Call<'_>) -> Result<Report, ProxyError> {
    let texts = strings(call.body, "texts")?.unwrap_or_default();
    let conversation = conversation(call)?;
    let verdicts = match call.body.get("input_type").and_then(Value::as_str) {
        Some("request") => request(call, conversation, texts).await?,
        Some("response") => response(call, conversation, texts).await?,
        _ => return Err(Invalid::Field { param: "input_type", message: "expected \"request\" or \"response\"" }.into()),
    };
    let stopped = verdicts.iter().filter(|verdict| verdict.action.stops());
    let strongest = stopped.max_by_key(|verdict| verdict.action.rank());
    let body = match strongest.map(|verdict| &verdict.action) {
        Some(Action::Block(notice) | Action::Escalate(notice) | Action::Rewrite(_, notice)) => {
            json!({"action": "BLOCKED", "blocked_reason": &*notice.message})
        }
        _ => json!({"action": "NONE"}),
    };
    Ok(Report { body, verdicts })
}

/// The conversation, where the gateway sends it.
fn conversation(call: &Call<'_>) -> Result<Option<Request>, ProxyError> {
    let messages = call.body.get("structured_messages").filter(|list| list.as_array().is_some_and(|l| !l.is_empty()));
    let Some(messages) = messages else { return Ok(None) };
    let body = json!({"messages": messages, "tools": call.body.get("tools")});
    Ok(Some(call.request(Surface::Chat, &body)?))
}

async fn request(call: &Call<'_>, chat: Option<Request>, texts: Vec<String>) -> Result<Vec<Verdict>, ProxyError> {
    let said = |text: &String| chat.as_ref().is_some_and(|chat| chat.messages.iter().any(|turn| turn.text == *text));
    // What stands in no message: legacy prompts, what is to be embedded, arguments of tools.
    let beside: Vec<String> = texts.into_iter().filter(|text| !said(text)).collect();
    let body = json!({"prompt": beside, "tool_calls": call.body.get("tool_calls")});
    let mut beside = call.request(Surface::Completions, &body)?;
    beside.opaque |= call.body.get("images").and_then(Value::as_array).is_some_and(|images| !images.is_empty());
    let mut verdicts = Vec::new();
    for request in chat.into_iter().chain([beside]) {
        verdicts.push(call.guard.inspect_request(call.policy, request).await?.verdict);
    }
    Ok(verdicts)
}

async fn response(call: &Call<'_>, chat: Option<Request>, texts: Vec<String>) -> Result<Vec<Verdict>, ProxyError> {
    let mut choices: Vec<Value> = texts.iter().map(|text| json!({"message": {"content": text}})).collect();
    if let Some(calls) = call.body.get("tool_calls") {
        choices.push(json!({"message": {"tool_calls": calls}}));
    }
    let images = call.body.get("images").and_then(Value::as_array).into_iter().flatten();
    choices.extend(images.map(|_| json!({"message": {"image_url": ""}})));
    let body = Bytes::from(json!({ "choices": choices }).to_string());
    let completion = Completion::parse(Surface::Chat, body, call.max_depth)
        .map_err(|message| Invalid::Field { param: "texts", message })?;
    let nothing = || Asked { reader: call.reader.clone(), ..Asked::nothing(Surface::Chat) };
    let asked = chat.map_or_else(nothing, |chat| chat.asked().clone());
    Ok(vec![call.guard.inspect_completion(call.policy, &asked, completion).await?.verdict])
}
