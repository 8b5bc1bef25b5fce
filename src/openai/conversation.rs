//! What a conversation is known by, the same in each of its turns.

use super::request::{Body, Message, Role, Surface};
use serde_json::Value;

/// Its id, or whose it is and what the user said first. One that goes on from what the upstream keeps, or will, has no beginning to know it by.
pub(super) fn named(surface: Surface, body: &Body, messages: &[Message], prompts: &[String]) -> Option<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let id = text(body.get("conversation").map(|named| named.get("id").unwrap_or(named)));
    let is_response = surface == Surface::Responses;
    let is_kept = is_response && body.get("store") != Some(&Value::Bool(false));
    if id.is_some() || is_kept || body.get("previous_response_id").is_some_and(|id| !id.is_null()) {
        return id;
    }
    let first = messages.iter().find(|message| message.role == Role::User).map(|message| &message.text);
    let first = first.or(prompts.first()).filter(|text| !text.is_empty())?;
    // Many begin with the same words: whose they are tells them apart.
    let user = text(body.get("safety_identifier")).or(text(body.get("user"))).unwrap_or_default();
    Some(format!("{user}\n{first}"))
}

#[cfg(test)]
mod tests {
    use crate::openai::request::{Request, Surface};
    use bytes::Bytes;
    use serde_json::{Value, json};

    fn of(surface: Surface, body: &Value) -> Option<String> {
        Request::parse(surface, Bytes::from(body.to_string()), 64).ok().unwrap().conversation
    }

    #[test]
    fn a_conversation_is_known_by_its_id_or_by_how_it_began() {
        let chat = |more: &[&str]| {
            let role = |place: usize| ["user", "assistant"][place % 2];
            let turns = more.iter().enumerate().map(|(place, text)| json!({"role": role(place), "content": text}));
            let system = json!({"role": "system", "content": "It is 9 o'clock."});
            let all: Vec<Value> = std::iter::once(system).chain(turns).collect();
            of(Surface::Chat, &json!({"model": "m", "user": "u", "messages": all}))
        };
        assert_eq!(chat(&["hello"]).as_deref(), Some("u\nhello"));
        assert_eq!(chat(&["hello"]), chat(&["hello", "hi", "and?"]));
        assert_eq!(chat(&[""]), None, "what says nothing is no beginning");
        let response = |more: Value| {
            let mut body = json!({"model": "m", "input": "hello"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            of(Surface::Responses, &body)
        };
        assert_eq!(response(json!({})), None, "it may be gone on from by its id");
        assert_eq!(response(json!({"store": false})).as_deref(), Some("\nhello"));
        assert_eq!(response(json!({"store": false, "previous_response_id": "r"})), None);
        for id in [json!("c"), json!({"id": "c"})] {
            assert_eq!(response(json!({"conversation": id})).as_deref(), Some("c"));
        }
        assert_eq!(response(json!({"conversation": ""})), None);
    }
}
