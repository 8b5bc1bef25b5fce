//! How far a streamed answer of `/v1/responses` has come, and the events that end it well wherever it is cut.

use super::refusal::{Refusal, with};
use super::responses::{part, refusal_item, response, said_as, status};
use super::sse;
use serde_json::{Map, Value, json};

/// What a client has seen of a response.
#[derive(Clone, Default)]
pub struct Progress {
    begun: bool,
    /// Items that are whole.
    items: Vec<Value>,
    /// Whether an item has begun, and it, where it is a message; and its parts that are whole.
    is_open: bool,
    open: Option<Value>,
    parts: Vec<Value>,
    /// The part that has begun: its kind and its text.
    part: Option<(String, String)>,
    /// The place of the message that has begun, or of the next item.
    output_index: u64,
    sequence_number: u64,
    /// Items of ours that came before the response's.
    shift: u64,
}

impl Progress {
    /// Notes an event that the client has been given.
    pub fn note(&mut self, event: &Value) {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (items, events) = (self.shift, self.shift * Self::ITEM_EVENTS);
        let index = event.get("output_index").and_then(Value::as_u64).map(|index| index + items);
        let number = event.get("sequence_number").and_then(Value::as_u64).map(|number| number + events);
        self.begun = true;
        self.sequence_number = number.unwrap_or(self.sequence_number) + 1;
        let kind = text("/type");
        match kind.strip_prefix("response.").unwrap_or(kind) {
            "output_item.added" => {
                self.output_index = index.unwrap_or(self.output_index);
                (self.parts, self.part, self.is_open) = (Vec::new(), None, true);
                self.open = event.get("item").filter(|item| is_message(item)).cloned();
            }
            // Parts of an item that is no message are not ours to end.
            _ if self.is_open && self.open.is_none() && !kind.ends_with("output_item.done") => {}
            "content_part.added" => {
                let kind = text("/part/type").to_owned();
                self.part = Some((kind, format!("{}{}", text("/part/text"), text("/part/refusal"))));
            }
            kind @ ("output_text.delta" | "refusal.delta") => {
                let kind = kind.trim_end_matches(".delta").to_owned();
                self.part.get_or_insert_with(|| (kind, String::new())).1.push_str(text("/delta"));
            }
            "content_part.done" => {
                self.parts.extend(event.get("part").cloned());
                self.part = None;
            }
            "output_item.done" => {
                self.items.extend(event.get("item").cloned());
                self.output_index = index.unwrap_or(self.output_index) + 1;
                (self.is_open, self.open, self.parts, self.part) = (false, None, Vec::new(), None);
            }
            _ => {}
        }
    }

    /// How many events [`item`](Self::item) takes.
    pub const ITEM_EVENTS: u64 = 6;

    /// The events of one more item, a message of ours, and the item when it is whole. The next item is the one after it.
    pub fn item(&mut self, message: &str) -> (String, Value) {
        let mut events = Events { next: self.sequence_number, at: Map::new(), place: 0, text: String::new() };
        let item = with(&refusal_item(), [("id", json!("msg_help"))]);
        let output_index = json!(self.output_index);
        events.add("output_item.added", [("output_index", output_index.clone()), ("item", item.clone())]);
        let at = [("item_id".to_owned(), json!("msg_help")), ("output_index".to_owned(), output_index.clone())];
        events.at = Map::from_iter(at);
        let kind = said_as(false);
        events.of_part("content_part.added", ("part", part(kind, "")), kind);
        events.of_part("output_text.delta", ("delta", json!(message)), kind);
        let whole = events.close(kind, message);
        let item = with(&item, [("status", json!("completed")), ("content", json!([whole]))]);
        events.at = Map::new();
        events.add("output_item.done", [("output_index", output_index), ("item", item.clone())]);
        self.items.push(item.clone());
        self.shift += 1;
        (self.sequence_number, self.output_index) = (events.next, self.output_index + 1);
        (events.text, item)
    }

    /// The events that say `message` and end the response; where text was seen already, after that.
    #[must_use]
    pub fn cut(&self, frame: &Value, refusal: &Refusal<'_>) -> String {
        let Refusal { message, structured, finish } = *refusal;
        let mut events = Events { next: self.sequence_number, at: Map::new(), place: 0, text: String::new() };
        if !self.begun {
            let none = [("status", json!("in_progress")), ("usage", Value::Null), ("incomplete_details", Value::Null)];
            let begun = with(&response(frame, &[], finish), none);
            events.add("created", [("response", begun.clone())]);
            events.add("in_progress", [("response", begun)]);
        }
        let item = self.open.clone().unwrap_or_else(|| with(&refusal_item(), [("content", json!([]))]));
        // An item that is no message stays as it is, and the refusal stands behind it.
        let is_behind = self.is_open && self.open.is_none();
        let output_index = json!(self.output_index + u64::from(is_behind));
        if self.open.is_none() {
            events.add("output_item.added", [("output_index", output_index.clone()), ("item", item.clone())]);
        }
        let id = item.get("id").cloned().unwrap_or_default();
        events.at = Map::from_iter([("item_id".to_owned(), id), ("output_index".to_owned(), output_index.clone())]);
        let (mut parts, kind) = (self.parts.clone(), said_as(structured));
        events.place = parts.len();
        let so_far = match &self.part {
            Some((open, text)) if open == kind => text.clone(),
            other => {
                match other {
                    // Half an object would be read as a whole one where its part ends.
                    Some(_) if structured => events.place += 1,
                    Some((open, text)) => parts.push(events.close(open, text)),
                    None => {}
                }
                events.of_part("content_part.added", ("part", part(kind, "")), kind);
                String::new()
            }
        };
        let words = if so_far.is_empty() { message.to_owned() } else { format!("\n\n{message}") };
        events.of_part(&format!("{kind}.delta"), ("delta", json!(words)), kind);
        parts.push(events.close(kind, &(so_far + &words)));
        let item = with(&item, [("status", json!(status(finish))), ("content", Value::Array(parts))]);
        events.at = Map::new();
        events.add("output_item.done", [("output_index", output_index), ("item", item.clone())]);
        let output = [self.items.clone(), vec![item]].concat();
        events.add(status(finish), [("response", response(frame, &output, finish))]);
        events.text
    }
}

/// Whether an item is one that words of ours may go into.
fn is_message(item: &Value) -> bool {
    item.get("type").is_some_and(|kind| kind == "message")
}

/// Events as they are written, numbered on.
struct Events {
    next: u64,
    /// What the events of one item share.
    at: Map<String, Value>,
    /// The place of the part that the events are about.
    place: usize,
    text: String,
}

impl Events {
    fn add<const N: usize>(&mut self, kind: &str, fields: [(&str, Value); N]) {
        let kind = format!("response.{kind}");
        let event = with(&Value::Object(self.at.clone()), fields);
        let event = with(&event, [("type", json!(kind)), ("sequence_number", json!(self.next))]);
        self.text.push_str(&format!("event: {kind}\n{}", sse::event(&event.to_string())));
        self.next += 1;
    }

    fn of_part(&mut self, event: &str, field: (&str, Value), kind: &str) {
        // Events with text have a list of probabilities.
        let is_text = kind == "output_text" && field.0 != "part";
        let place = ("content_index", json!(self.place));
        match is_text {
            true => self.add(event, [place, field, ("logprobs", json!([]))]),
            false => self.add(event, [place, field]),
        }
    }

    /// Ends the part that has begun; gives it whole.
    fn close(&mut self, kind: &str, text: &str) -> Value {
        let field = if kind == "refusal" { "refusal" } else { "text" };
        self.of_part(&format!("{kind}.done"), (field, json!(text)), kind);
        let whole = part(kind, text);
        self.of_part("content_part.done", ("part", whole.clone()), kind);
        self.place += 1;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::refusal::FinishReason;

    fn cut(seen: &[Value], structured: bool) -> Vec<Value> {
        let mut progress = Progress::default();
        seen.iter().for_each(|event| progress.note(event));
        let frame = json!({"model": "m", "usage": {"total_tokens": 3}});
        let text = progress.cut(&frame, &Refusal { message: "no", structured, finish: FinishReason::ContentFilter });
        sse::events(text.as_bytes()).unwrap().iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    fn kinds(events: &[Value]) -> Vec<&str> {
        events.iter().map(|event| event["type"].as_str().unwrap().strip_prefix("response.").unwrap()).collect()
    }

    fn begun() -> Vec<Value> {
        vec![
            json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r"}}),
            json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
                   "item": {"type": "message", "id": "i", "role": "assistant", "content": []}}),
            json!({"type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0,
                   "part": {"type": "output_text", "text": "", "annotations": []}}),
            json!({"type": "response.output_text.delta", "sequence_number": 3, "delta": "good "}),
            json!({"type": "response.output_text.delta", "sequence_number": 4, "delta": "words."}),
        ]
    }

    #[test]
    fn a_response_that_has_not_begun_is_told_whole() {
        let events = cut(&[], false);
        let expected = [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "incomplete",
        ];
        assert_eq!(kinds(&events), expected);
        assert!(events.iter().enumerate().all(|(place, event)| event["sequence_number"] == place));
        let response = &events[8]["response"];
        assert_eq!(response["output"][0]["content"], json!([part("output_text", "no")]));
        assert_eq!((&response["usage"]["total_tokens"], &response["model"]), (&json!(3), &json!("m")));
        assert_eq!(response["incomplete_details"], json!({"reason": "content_filter"}));
    }

    #[test]
    fn a_text_that_has_begun_goes_on_with_the_message() {
        let events = cut(&begun(), false);
        let expected = ["output_text.delta", "output_text.done", "content_part.done", "output_item.done", "incomplete"];
        assert_eq!(kinds(&events), expected);
        assert_eq!((&events[0]["delta"], &events[0]["item_id"]), (&json!("\n\nno"), &json!("i")));
        assert_eq!(events[1]["text"], "good words.\n\nno");
        assert_eq!(events[4]["response"]["output"][0]["content"], json!([part("output_text", "good words.\n\nno")]));
        assert_eq!(events[0]["sequence_number"], 5);
    }

    #[test]
    fn half_an_object_is_left_and_the_message_stands_beside_it() {
        let events = cut(&begun(), true);
        assert_eq!(kinds(&events)[..2], ["content_part.added", "refusal.delta"]);
        assert_eq!(events[0]["content_index"], 1);
        let last = events.last().unwrap();
        assert_eq!(last["response"]["output"][0]["content"], json!([part("refusal", "no")]));
    }

    #[test]
    fn the_refusal_stands_behind_an_item_that_is_no_message() {
        let mut seen = begun();
        seen.truncate(1);
        seen.push(
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "r"}}),
        );
        seen.push(json!({"type": "response.content_part.added", "output_index": 0, "part": {"type": "reasoning_text", "text": ""}}));
        let events = cut(&seen, false);
        assert_eq!(kinds(&events)[..2], ["output_item.added", "content_part.added"]);
        assert_eq!((&events[0]["output_index"], &events[1]["content_index"]), (&json!(1), &json!(0)));
        let output = &events.last().unwrap()["response"]["output"];
        assert_eq!(output[0]["content"], json!([part("output_text", "no")]));
    }

    #[test]
    fn items_that_are_whole_stay() {
        let mut seen = begun();
        let item = json!({"type": "message", "id": "i", "content": [part("output_text", "good words.")]});
        seen.push(json!({"type": "response.content_part.done", "part": part("output_text", "good words.")}));
        seen.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
        let events = cut(&seen, false);
        assert_eq!(kinds(&events)[0], "output_item.added");
        assert_eq!((&events[0]["output_index"], &events[0]["sequence_number"]), (&json!(1), &json!(7)));
        assert_eq!(events.last().unwrap()["response"]["output"][0], item);
    }
}
