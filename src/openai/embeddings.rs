//! `/v1/embeddings`: texts to be turned into vectors.

use super::request::{Invalid, View, texts_or_tokens};
use serde_json::{Map, Value};

/// The texts.
pub(super) fn view(body: &Map<String, Value>) -> Result<View, Invalid> {
    let missing = Invalid::Field { param: "input", message: "expected a string, a list of strings, or token ids" };
    let (prompts, opaque) = texts_or_tokens(body.get("input").ok_or(missing)?, "input")?;
    Ok(View { prompts, opaque, n: 1, read: &["input"], ..View::default() })
}
