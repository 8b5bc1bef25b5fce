//! A request to `/v1/chat/completions`: its bytes, and the texts that the LLM will read.

use super::json::{self, Fault};
use super::text::Texts;
use bytes::Bytes;
use serde_json::{Map, Value};

/// A request that owns its bytes; everything else is derived from them.
pub struct Request {
    bytes: Bytes,
    model: String,
    stream: bool,
    include_usage: bool,
    n: u64,
    /// The turns, in their order.
    pub messages: Vec<Message>,
    /// Texts outside the turns that the LLM reads: tool definitions, schemas, predictions.
    pub definitions: Vec<String>,
    /// Whether there is something that cannot be judged (images, audio, files).
    pub opaque: bool,
}

/// One turn.
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// All that is said in it.
    pub text: String,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `system` or `developer`.
    System,
    /// `user`, and any role that is not known.
    User,
    /// `assistant`.
    Assistant,
    /// `tool` or `function`.
    Tool,
}

/// Why a body is not a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It is not acceptable JSON.
    Json(Fault),
    /// A field is missing or of the wrong kind.
    Field {
        /// The field.
        param: &'static str,
        /// What is expected.
        message: &'static str,
    },
}

const MAX_CHOICES: u64 = 128;

impl Request {
    /// Reads a request body, nested at most `max_depth` deep.
    ///
    /// # Errors
    /// [`Invalid`], with the position or the field.
    pub fn parse(bytes: Bytes, max_depth: usize) -> Result<Self, Invalid> {
        let body = json::parse(&bytes, max_depth).map_err(Invalid::Json)?;
        let body = body.as_object().ok_or(Invalid::Field { param: "body", message: "expected a JSON object" })?;
        let mut opaque = false;
        let messages = messages(body, &mut opaque)?;
        let definitions = definitions(body);
        let model = match body.get("model") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(model)) => model.clone(),
            Some(_) => return Err(Invalid::Field { param: "model", message: "expected a string" }),
        };
        let stream = flag(body.get("stream"), "stream")?;
        let options = body.get("stream_options").and_then(|options| options.get("include_usage"));
        let include_usage = flag(options, "stream_options.include_usage")?;
        let n = choices(body.get("n"))?;
        Ok(Self { model, stream, include_usage, n, messages, definitions, opaque, bytes })
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What is still to be known of the request when its bytes have been handed on.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let last = self.messages.iter().rev().find(|message| message.role == Role::User);
        Asked {
            model: self.model.clone(),
            stream: self.stream,
            include_usage: self.include_usage,
            n: self.n,
            question: last.map_or_else(String::new, |message| message.text.clone()),
        }
    }
}

/// Which answer was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The model that is asked for.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream ends with a usage chunk.
    pub include_usage: bool,
    /// How many choices are asked for.
    pub n: u64,
    /// What the user said last: what a completion answers.
    pub question: String,
}

fn messages(body: &Map<String, Value>, opaque: &mut bool) -> Result<Vec<Message>, Invalid> {
    let invalid = |message| Invalid::Field { param: "messages", message };
    let list = body.get("messages").and_then(Value::as_array).ok_or(invalid("expected an array of messages"))?;
    if list.is_empty() {
        return Err(invalid("expected at least one message"));
    }
    let read = |value: &Value| {
        let message = value.as_object().ok_or(invalid("expected each message to be an object"))?;
        let role =
            message.get("role").and_then(Value::as_str).ok_or(invalid("expected each message to have a role"))?;
        let mut texts = Texts::default();
        texts.collect(value);
        *opaque |= texts.opaque;
        Ok(Message { role: Role::from_name(role), text: texts.into_spoken().join("\n") })
    };
    list.iter().map(read).collect()
}

/// Texts of every field but the turns and those that name, count or choose.
fn definitions(body: &Map<String, Value>) -> Vec<String> {
    const SILENT: [&str; 12] = [
        "messages",
        "model",
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "service_tier",
        "reasoning_effort",
        "verbosity",
        "stop",
        "tool_choice",
        "modalities",
    ];
    let fields = body.iter().filter(|(key, _)| !SILENT.contains(&key.as_str()));
    let texts = fields.flat_map(|(_, field)| Texts::of_definition(field).into_spoken());
    // Schemas are full of one-word names; only a phrase can ask for anything.
    texts.filter(|text| text.trim().contains(char::is_whitespace)).collect()
}

fn flag(value: Option<&Value>, param: &'static str) -> Result<bool, Invalid> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Invalid::Field { param, message: "expected true or false" }),
    }
}

fn choices(value: Option<&Value>) -> Result<u64, Invalid> {
    match value {
        None | Some(Value::Null) => Ok(1),
        Some(n) => n
            .as_u64()
            .filter(|n| (1..=MAX_CHOICES).contains(n))
            .ok_or(Invalid::Field { param: "n", message: "expected a whole number from 1 to 128" }),
    }
}

impl Role {
    /// The role of this name; unknown ones speak as the user, whose words are judged most closely.
    fn from_name(name: &str) -> Self {
        match name {
            "system" | "developer" => Self::System,
            "assistant" => Self::Assistant,
            "tool" | "function" => Self::Tool,
            _ => Self::User,
        }
    }

    /// The name in a conversation's context.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(body: &Value) -> Result<Request, Invalid> {
        Request::parse(Bytes::from(body.to_string()), 64)
    }

    #[test]
    fn texts_are_read_from_strings_parts_and_tool_calls() {
        let request = request(&json!({
            "model": "m",
            "messages": [
                {"role": "developer", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
                    "function": {"name": "look_up", "arguments": "{\"q\": 1}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "found"},
            ],
            "tools": [{"type": "function", "function": {"name": "look_up", "description": "looks things up"}}],
        }))
        .unwrap();
        let turns: Vec<_> = request.messages.iter().map(|m| (m.role, m.text.as_str())).collect();
        assert_eq!(
            turns,
            [(Role::System, "be kind"), (Role::User, "a\nb"), (Role::Assistant, "{\"q\": 1}"), (Role::Tool, "found")]
        );
        assert_eq!(request.definitions, ["looks things up"]);
        assert_eq!(request.asked().question, "a\nb");
        assert!(!request.opaque && !request.stream && request.n == 1);
    }

    #[test]
    fn an_image_makes_the_request_opaque() {
        let part = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
        let request = request(&json!({"messages": [{"role": "user", "content": [part]}]})).unwrap();
        assert!(request.opaque);
    }

    #[test]
    fn fields_of_the_wrong_kind_are_named() {
        let param = |body: Value| match request(&body).map(|_| ()) {
            Err(Invalid::Field { param, .. }) => param,
            other => panic!("{other:?}"),
        };
        let with = |key: &str, value: Value| json!({"messages": [{"role": "user", "content": "x"}], key: value});
        assert_eq!(param(json!([])), "body");
        assert_eq!(param(json!({})), "messages");
        assert_eq!(param(json!({"messages": []})), "messages");
        assert_eq!(param(json!({"messages": ["x"]})), "messages");
        assert_eq!(param(json!({"messages": [{"content": "x"}]})), "messages");
        assert_eq!(param(with("model", json!(3))), "model");
        assert_eq!(param(with("stream", json!("true"))), "stream");
        assert_eq!(param(with("n", json!(0))), "n");
        assert_eq!(param(with("n", json!(1000))), "n");
    }
}
