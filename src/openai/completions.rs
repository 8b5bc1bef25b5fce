//! `/v1/completions`, the legacy endpoint: prompts that have nothing to do with one another.

use super::request::{Invalid, View, choices, texts_or_tokens};
use serde_json::{Map, Value};

/// The prompts.
pub(super) fn view(body: &Map<String, Value>) -> Result<View, Invalid> {
    let (prompts, opaque) = match body.get("prompt") {
        // The LLM then goes on from nothing.
        None | Some(Value::Null) => (Vec::new(), false),
        Some(prompt) => texts_or_tokens(prompt, "prompt")?,
    };
    Ok(View { prompts, opaque, n: choices(body)?, read: &["prompt"], ..View::default() })
}
