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

#[cfg(test)]
mod tests {
    use crate::openai::request::{Invalid, Request, Surface};
    use bytes::Bytes;
    use serde_json::{Value, json};

    fn read(body: &Value) -> Result<Request, Invalid> {
        Request::parse(Surface::Completions, Bytes::from(body.to_string()), 64)
    }

    #[test]
    fn each_prompt_has_its_choices_and_is_their_question() {
        let request = read(&json!({"prompt": ["a", "b"], "n": 2})).unwrap();
        assert_eq!(request.prompts, ["a", "b"]);
        let asked = request.asked();
        assert_eq!(asked.choices, 4);
        let questions: Vec<&str> = [0, 1, 2, 3, 9].into_iter().map(|index| asked.question(index)).collect();
        assert_eq!(questions, ["a", "a", "b", "b", "b"]);
    }

    #[test]
    fn token_ids_are_opaque_and_anything_else_is_a_fault() {
        for ids in [json!([1, 2]), json!([[1, 2], [3]])] {
            let request = read(&json!({"prompt": ids})).unwrap();
            assert!(request.opaque && request.prompts.is_empty());
        }
        assert!(!read(&json!({})).unwrap().opaque);
        for odd in [json!(3), json!([["a"]]), json!(["a", 1]), json!({"text": "a"})] {
            let fault = read(&json!({"prompt": odd})).map(|_| ()).unwrap_err();
            assert!(matches!(fault, Invalid::Field { param: "prompt", .. }), "{odd}");
        }
    }
}
