//! OpenAI's error envelope: all four of `message`, `type`, `param` and `code`.

use serde_json::{Value, json};

/// An error body.
#[must_use]
pub fn envelope(message: &str, kind: &str, param: Option<&str>, code: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

/// The body that Azure OpenAI gives for a refused prompt, with our category beside it.
#[must_use]
pub fn content_filter(message: &str, category: Option<&str>) -> Value {
    let result = category.map_or_else(|| json!({}), |id| json!({(id): {"filtered": true}}));
    json!({"error": {
        "message": message,
        "type": null,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result},
    }})
}
