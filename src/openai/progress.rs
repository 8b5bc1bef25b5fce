//! How far a streamed answer of `/v1/responses` has come, and the events that end it well wherever it is cut.

use super::refusal::{FinishReason, Refusal, with};
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

    /// Whether another response can go on from here: nothing was said but words of ours, and nothing is open but a message.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        let messages = self.items.iter().filter(|item| is_message(item)).count() as u64;
        let is_silent = self.parts.is_empty() && self.part.as_ref().is_none_or(|(_, text)| text.is_empty());
        (!self.is_open || self.open.is_some()) && messages <= self.shift && is_silent
    }

    /// The events that begin a response, where none has.
    pub fn begin(&mut self, frame: &Value, finish: FinishReason) -> String {
        let mut events = Events { next: self.sequence_number, at: Map::new(), place: 0, text: String::new() };
        if !std::mem::replace(&mut self.begun, true) {
            let none = [("status", json!("in_progress")), ("usage", Value::Null), ("incomplete_details", Value::Null)];
            let begun = with(&response(frame, &[], finish), none);
            events.add("created", [("response", begun.clone())]);
            events.add("in_progress", [("response", begun)]);
        }
        self.sequence_number = events.next;
        events.text
    }

    /// The events that say what another response says, and end this one as it ended; of this one no text was seen.
    #[must_use]
    pub fn told(&self, whole: &Value) -> String {
        let mut events = Events { next: self.sequence_number, at: Map::new(), place: 0, text: String::new() };
        let mut said: Vec<Value> = whole.get("output").and_then(Value::as_array).cloned().unwrap_or_default();
        // A message that has begun is that of the other response. What it had thought before has no place any more; what else
        // came before it comes behind it.
        if let Some(open) = &self.open {
            said.retain(|item| item.get("type").is_none_or(|kind| kind != "reasoning"));
            let first = said.iter().position(is_message);
            let message =
                first.map_or_else(|| with(open, [("status", json!("completed"))]), |place| said.remove(place));
            let id = open.get("id").cloned().unwrap_or_default();
            said.insert(0, with(&message, [("id", id)]));
        }
        let (mut output, mut is_open) = (self.items.clone(), self.open.is_some());
        for (place, item) in said.iter_mut().enumerate() {
            let output_index = json!(self.output_index + place as u64);
            let begun = match item.get("type").and_then(Value::as_str) {
                Some("message") => with(item, [("status", json!("in_progress")), ("content", json!([]))]),
                Some("function_call") => with(item, [("status", json!("in_progress")), ("arguments", json!(""))]),
                _ => item.clone(),
            };
            if !is_open {
                events.add("output_item.added", [("output_index", output_index.clone()), ("item", begun)]);
            }
            let id = item.get("id").cloned().unwrap_or_default();
            events.at = Map::from_iter([("item_id".to_owned(), id), ("output_index".to_owned(), output_index.clone())]);
            if is_message(item) {
                let before = if is_open { self.parts.clone() } else { Vec::new() };
                let content = item.get("content").and_then(Value::as_array).cloned().unwrap_or_default();
                events.place = before.len();
                let open = self.part.as_ref().filter(|_| is_open).map(|(kind, _)| kind.as_str());
                let parts = [before, events.parts(open, content)].concat();
                *item = with(item, [("content", Value::Array(parts))]);
            } else if let Some(arguments) = item.get("arguments").filter(|_| item["type"] == "function_call") {
                events.add("function_call_arguments.delta", [("delta", arguments.clone())]);
                events.add("function_call_arguments.done", [("arguments", arguments.clone())]);
            }
            (events.at, is_open) = (Map::new(), false);
            events.add("output_item.done", [("output_index", output_index), ("item", item.clone())]);
            output.push(item.clone());
        }
        let status =
            whole.get("status").and_then(Value::as_str).filter(|status| ["incomplete", "failed"].contains(status));
        events.add(status.unwrap_or("completed"), [("response", with(whole, [("output", Value::Array(output))]))]);
        events.text
    }

    /// The events that say `message` and end the response; where text was seen already, after that.
    #[must_use]
    pub fn cut(&mut self, frame: &Value, refusal: &Refusal<'_>) -> String {
        let Refusal { message, structured, finish } = *refusal;
        let text = self.begin(frame, finish);
        let mut events = Events { next: self.sequence_number, at: Map::new(), place: 0, text };
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

    /// All of a message's parts, of which the first may be `open` and empty; gives those that were said.
    fn parts(&mut self, mut open: Option<&str>, content: Vec<Value>) -> Vec<Value> {
        let mut said = Vec::new();
        for whole in content {
            let kind = whole.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            match open.take() {
                Some(open) if open == kind => {}
                other => {
                    said.extend(other.map(|open| self.close(open, "")));
                    self.of_part("content_part.added", ("part", part(&kind, "")), &kind);
                }
            }
            let field = if kind == "refusal" { "refusal" } else { "text" };
            let text = whole.get(field).cloned().unwrap_or_default();
            self.of_part(&format!("{kind}.delta"), ("delta", text.clone()), &kind);
            self.of_part(&format!("{kind}.done"), (field, text), &kind);
            self.of_part("content_part.done", ("part", whole.clone()), &kind);
            self.place += 1;
            said.push(whole);
        }
        said.extend(open.map(|open| self.close(open, "")));
        said
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

    fn told(seen: &[Value], output: &Value) -> (Vec<Value>, String) {
        let mut progress = Progress::default();
        seen.iter().for_each(|event| progress.note(event));
        let text = progress.told(&json!({"id": "r2", "status": "completed", "output": output}));
        let events: Vec<Value> =
            sse::events(text.as_bytes()).unwrap().iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        let said = events.iter().filter(|event| event["type"] == "response.output_text.delta");
        let said = said.map(|event| event["delta"].as_str().unwrap()).collect();
        (events, said)
    }

    #[test]
    fn another_response_goes_on_where_a_message_has_begun() {
        let message =
            json!({"type": "message", "id": "j", "role": "assistant", "content": [part("output_text", "Rather so.")]});
        let call = json!({"type": "function_call", "id": "f", "name": "look_up", "arguments": "{}"});
        for begun in [&begun()[..3], &begun()[..2], &begun()[..1]] {
            let (events, said) = told(begun, &json!([call, message]));
            assert_eq!(said, "Rather so.");
            let last = events.last().unwrap();
            assert_eq!((&last["type"], &last["response"]["id"]), (&json!("response.completed"), &json!("r2")));
            let output = last["response"]["output"].as_array().unwrap();
            assert_eq!(output.len(), 2);
            // What has begun ends, once, and as it is in the end.
            for (place, item) in output.iter().enumerate() {
                let of_item = |event: &&Value| event["output_index"] == place;
                let done: Vec<&Value> = events.iter().filter(of_item).filter_map(|event| event.get("item")).collect();
                assert_eq!(*done.last().unwrap(), item);
            }
            let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
            assert_eq!(numbers, (begun.len() as u64..).take(events.len()).collect::<Vec<_>>());
            assert_eq!(kinds(&events).iter().filter(|kind| **kind == "output_item.done").count(), 2);
        }
        let (events, _) = told(&begun()[..3], &json!([call]));
        assert_eq!(kinds(&events)[..3], ["output_text.done", "content_part.done", "output_item.done"]);
        assert_eq!(events[2]["item"]["id"], "i");
    }
}
