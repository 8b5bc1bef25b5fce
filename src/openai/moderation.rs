//! Inline moderation: a request may carry `moderation`, and its answer then says what was found.

use super::{json, sse};
use serde_json::{Map, Value, json};

/// An answer with `moderation` in it: a member of the document, or one more chunk before the end of a stream. An answer
/// that has one already keeps it, and one that is no object stays as it is.
#[must_use]
pub fn annotated(answer: &str, streamed: bool, moderation: &Value) -> String {
    let with = if streamed { with_chunk(answer, moderation) } else { with_member(answer, moderation) };
    with.unwrap_or_else(|| answer.to_owned())
}

fn with_member(answer: &str, moderation: &Value) -> Option<String> {
    let document = json::parse_mended(answer, usize::MAX).ok()?;
    let document = document.as_object()?;
    let (start, end) = answer.split_at_checked(answer.rfind('}')?)?;
    let comma = if document.is_empty() { "" } else { "," };
    (!document.contains_key("moderation")).then(|| format!("{start}{comma}\"moderation\":{moderation}{end}"))
}

/// A chunk without choices, of a stream whose chunks say `shared`.
pub(super) fn chunk(shared: &Map<String, Value>, moderation: &Value) -> String {
    let names = ["id", "object", "created", "model"].into_iter();
    let named = names.filter_map(|key| Some((key.to_owned(), shared.get(key)?.clone())));
    let own = [("choices".to_owned(), json!([])), ("moderation".to_owned(), moderation.clone())];
    sse::event(&Value::Object(named.chain(own).collect()).to_string())
}

fn with_chunk(answer: &str, moderation: &Value) -> Option<String> {
    let events = sse::events(answer.as_bytes()).ok()?;
    let chunks: Vec<Value> = events.iter().filter_map(|data| json::parse(data.as_bytes(), 64).ok()).collect();
    if chunks.iter().any(|chunk| chunk.get("moderation").is_some()) {
        return None;
    }
    // Events of the responses API have types of their own, among which there is none for this.
    let first = chunks.first()?.as_object().filter(|first| first.contains_key("choices"))?;
    let event = chunk(first, moderation);
    let (start, end) = answer.split_at_checked(end_of(answer))?;
    // A stream may break off without the blank line that ends its last event.
    let blank = if start.ends_with("\n\n") || start.ends_with("\r\n\r\n") { "" } else { "\n\n" };
    Some(format!("{start}{blank}{event}{end}"))
}

/// Where the event that ends a stream begins; the end of the text where there is none.
fn end_of(answer: &str) -> usize {
    let mut lines = answer.split_inclusive('\n').scan(0, |position, line| {
        let start = *position;
        *position += line.len();
        Some((start, line))
    });
    let is_done = |line: &str| line.strip_prefix("data:").is_some_and(|data| data.trim() == sse::DONE);
    lines.find(|(_, line)| is_done(line)).map_or(answer.len(), |(start, _)| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_gets_one_more_member_and_keeps_its_spelling() {
        let found = json!({"input": {"flagged": false}});
        let annotated = |answer: &str| annotated(answer, false, &found);
        assert_eq!(
            annotated("{ \"id\": 1.0e0 }\n"),
            "{ \"id\": 1.0e0 ,\"moderation\":{\"input\":{\"flagged\":false}}}\n"
        );
        assert_eq!(annotated("{}"), "{\"moderation\":{\"input\":{\"flagged\":false}}}");
        for other in ["{\"moderation\":{}}", "[{}]", "oh }"] {
            assert_eq!(annotated(other), other);
        }
    }

    #[test]
    fn a_stream_gets_one_more_chunk_before_its_end() {
        let first =
            "data:{\"id\":\"c\",\"created\":1,\"choices\":[{\"delta\":{\"content\":\"data: [DONE]\"}}]}\r\n\r\n";
        let chunk = "data: {\"choices\":[],\"created\":1,\"id\":\"c\",\"moderation\":{\"a\":1}}\n\n";
        let annotated = |answer: &str| annotated(answer, true, &json!({"a": 1}));
        assert_eq!(annotated(&format!("{first}data:[DONE]\n\n")), format!("{first}{chunk}data:[DONE]\n\n"));
        assert_eq!(annotated(first), format!("{first}{chunk}"));
        assert_eq!(annotated(first.trim_end()), format!("{}\n\n{chunk}", first.trim_end()));
        let typed = "data: {\"type\": \"response.completed\"}\n\n";
        assert_eq!(annotated(typed), typed);
        let has_one = "data: {\"moderation\":{}}\n\n";
        assert_eq!(annotated(has_one), has_one);
    }
}
