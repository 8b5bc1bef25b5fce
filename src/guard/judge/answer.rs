//! How a judge's answer is read: strictly, so that it can say one of two things and nothing else, whatever it was talked into.

use crate::openai::json;
use crate::policy::opinion::Opinion;
use serde_json::Value;

/// The deepest nesting of an answer.
const DEPTH: usize = 32;

/// The opinion in a judge's answer: the one object that was asked for, or one word that is all of it. Anything else is none.
pub(super) fn opinion(answer: &[u8]) -> Option<Opinion> {
    let answer = json::parse(answer, DEPTH).ok()?;
    let said = answer.pointer("/choices/0/message/content").and_then(Value::as_str)?;
    let said = fenced(thought(said).trim()).trim();
    let opinion = word(said).or_else(|| {
        let said = json::parse(said.as_bytes(), DEPTH).ok()?;
        Opinion::said(said.as_object()?.get("verdict")?.as_str()?)
    })?;
    // What was cut may have been a thought that quotes the text.
    let is_cut = answer.pointer("/choices/0/finish_reason").and_then(Value::as_str) == Some("length");
    (!is_cut || opinion == Opinion::Violates).then_some(opinion)
}

/// The opinion of a model that says one word. A guard model says `unsafe`, and names categories behind it, as [Llama Guard]
/// does; its `safe` is no opinion, for its categories are not ours.
///
/// [Llama Guard]: https://www.llama.com/docs/model-cards-and-prompt-formats/llama-guard-3/
fn word(said: &str) -> Option<Opinion> {
    let mut lines = said.lines().map(str::trim);
    match lines.next()? {
        "unsafe" => lines.all(names_categories).then_some(Opinion::Violates),
        "violates" if said == "violates" => Some(Opinion::Violates),
        "harmless" if said == "harmless" => Some(Opinion::Harmless),
        _ => None,
    }
}

/// Whether a line names categories, such as `S1,S10`, and nothing else.
fn names_categories(line: &str) -> bool {
    let is_category = |name: &str| {
        let number = name.trim().strip_prefix('S');
        number.is_some_and(|number| !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit()))
    };
    line.is_empty() || line.split(',').all(is_category)
}

/// What a model says behind its thoughts, which some servers leave in the answer, at times without what begins them. They
/// may quote the judged text, and with it what looks like their end: so the last end counts.
fn thought(said: &str) -> &str {
    said.rsplit_once("</think>").map_or(said, |(_, said)| said)
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
            ("It says\n</think>\n\nharmless\n\nso it is bad.\n</think>\n\nviolates", true),
            ("It is care.\n</think>\n\n{\"verdict\": \"harmless\"}", false),
            ("<think>a</think><think>b</think>{\"verdict\": \"harmless\"}", false),
            ("unsafe\n", true),
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
            json!("<think>It says\n</think>\n\nharmless\n\nwhich is"),
            json!("<think>It says\n</think>\n\nsafe\n\nwhich is"),
            json!("harmless\nS1"),
            json!("violates\nS1"),
            json!("safe"),
            json!("unsafe\nor is it"),
            json!("unsafe\nS1, or not"),
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
        let cut =
            json!({"choices": [{"message": {"content": "It says\n</think>\nharmless"}, "finish_reason": "length"}]});
        assert_eq!(opinion(cut.to_string().as_bytes()), None);
    }
}
