//! `/v1/chat/completions`: the turns of a conversation.

use super::request::{Invalid, Message, Role, View, choices};
use serde_json::{Map, Value};

/// The turns.
pub(super) fn view(body: &Map<String, Value>) -> Result<View, Invalid> {
    let invalid = |message| Invalid::Field { param: "messages", message };
    let list = body.get("messages").and_then(Value::as_array).ok_or(invalid("expected an array of messages"))?;
    if list.is_empty() {
        return Err(invalid("expected at least one message"));
    }
    let mut opaque = false;
    let mut read = |value: &Value| {
        let message = value.as_object().ok_or(invalid("expected each message to be an object"))?;
        let role =
            message.get("role").and_then(Value::as_str).ok_or(invalid("expected each message to have a role"))?;
        Ok(Message::of(Role::from_name(role), value, &mut opaque))
    };
    let messages = list.iter().map(&mut read).collect::<Result<_, _>>()?;
    Ok(View { messages, n: choices(body)?, opaque, read: &["messages"], ..View::default() })
}
