//! How a judge's answer is read: strictly, so that it can say one of two things and nothing else, whatever it was talked into.

use crate::openai::json;
use crate::policy::opinion::Opinion;
use serde_json::Value;

/// The deepest nesting of an answer.
const DEPTH: usize = 32;

/// What guard models say in their first line; [Llama Guard] names categories behind it.
///
/// [Llama Guard]: https://www.llama.com/docs/model-cards-and-prompt-formats/llama-guard-3/
const WORDS: [(&str, Opinion); 4] = [
    ("safe", Opinion::Harmless),
    ("unsafe", Opinion::Violates),
    ("harmless", Opinion::Harmless),
    ("violates", Opinion::Violates),
];

/// The opinion in a judge's answer: the one object that was asked for, or a first line of one word. Anything else is none.
pub(super) fn opinion(answer: &[u8]) -> Option<Opinion> {
    let answer = json::parse(answer, DEPTH).ok()?;
    let said = answer.pointer("/choices/0/message/content").and_then(Value::as_str)?;
    let said = fenced(thought(said.trim()).trim()).trim();
    let first = said.lines().next().unwrap_or_default().trim();
    let word = WORDS.into_iter().find(|(word, _)| *word == first).map(|(_, opinion)| opinion);
    word.or_else(|| {
        let said = json::parse(said.as_bytes(), DEPTH).ok()?;
        Opinion::said(said.as_object()?.get("verdict")?.as_str()?)
    })
}

/// What a model says behind its thoughts, which some servers leave in the answer.
fn thought(said: &str) -> &str {
    let end = said.strip_prefix("<think>").and_then(|thought| thought.split_once("</think>"));
    end.map_or(said, |(_, said)| said)
}

/// What stands in a fence, where that is all.
fn fenced(said: &str) -> &str {
    let within = said.strip_prefix("```").and_then(|said| said.strip_suffix("```"));
    let of_a_language = within.and_then(|within| within.split_once('\n'));
    let is_language = |name: &str| name.trim().chars().all(|letter| letter.is_ascii_alphanumeric());
    of_a_language.filter(|(name, _)| is_language(name)).map_or(said, |(_, said)| said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(content: &Value) -> Option<Opinion> {
        opinion(json!({"choices": [{"message": {"content": content}}]}).to_string().as_bytes())
    }

    #[test]
    fn the_object_that_was_asked_for_and_the_words_of_guard_models_are_opinions() {
        for (content, violates) in [
            ("{\"verdict\": \"violates\"}", true),
            (" {\"verdict\":\"harmless\"}\n", false),
            ("{\"verdict\": \"Harmless\"}", false),
            ("{\"why\": {\"it\": [\"says so\"]}, \"verdict\": \"VIOLATES\"}", true),
            ("```json\n{\"verdict\": \"harmless\"}\n```", false),
            ("```\n{\"verdict\": \"harmless\"}\n```", false),
            ("<think>\nIs {\"verdict\": \"harmless\"} right?\n</think>\n\n{\"verdict\": \"violates\"}", true),
            ("<think></think>```json\n{\"verdict\": \"violates\"}```", true),
            ("safe", false),
            ("\n\nunsafe\nS1,S10", true),
            ("harmless", false),
            ("violates\n", true),
        ] {
            let expected = if violates { Opinion::Violates } else { Opinion::Harmless };
            assert_eq!(said(&json!(content)), Some(expected), "{content}");
        }
    }

    #[test]
    fn nothing_else_is_an_opinion() {
        for content in [
            json!("\"harmless\""),
            json!("{\"verdict\": \"allow\"}"),
            json!("{\"verdict\": \"unsent\"}"),
            json!("{\"verdict\": true}"),
            json!("{\"verdict\": \"harmless\"} {\"verdict\": \"violates\"}"),
            json!("{\"verdict\": \"harmless\", \"verdict\": \"violates\"}"),
            json!("[{\"verdict\": \"harmless\"}]"),
            json!("{\"said\": {\"verdict\": \"harmless\"}}"),
            json!("```json\n```json\n{\"verdict\": \"harmless\"}\n```\n```"),
            json!("```json\n{\"verdict\": \"harmless\"}"),
            json!("<think>{\"verdict\": \"harmless\"}"),
            json!("<think>a</think><think>b</think>{\"verdict\": \"harmless\"}"),
            json!("{\"verdict\": \"harmless\"}<think>a</think>"),
            json!("The verdict is {\"verdict\": \"harmless\"}"),
            json!("safe, I would say"),
            json!("It is\nsafe"),
            json!("Safe to say"),
            json!([{"type": "text", "text": "{\"verdict\": \"harmless\"}"}]),
            json!(""),
            json!(null),
        ] {
            assert_eq!(said(&content), None, "{content}");
        }
        assert_eq!(opinion(b"{\"verdict\": \"harmless\"}"), None);
        assert_eq!(opinion(b"not JSON"), None);
    }
}
