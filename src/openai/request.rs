//! A request of any surface: its bytes, and the texts that the LLM will read.

use super::data::is_data;
use super::edit;
use super::json::{self, Fault};
pub use super::surface::Surface;
use super::text::{Texts, is_identifier, spelt_out};
use super::{chat, completions, conversation, embeddings, responses};
use crate::guard::surrogates::Surrogates;
use crate::policy::message::Reader;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A request that owns its bytes; everything else is derived from them.
#[derive(Clone)]
pub struct Request {
    bytes: Bytes,
    asked: Asked,
    /// The turns of a conversation, in their order.
    pub messages: Vec<Message>,
    /// Texts that have nothing to do with one another: legacy prompts, what is to be embedded.
    pub prompts: Vec<String>,
    /// Texts outside the turns that the LLM reads: tool definitions, schemas, predictions.
    pub definitions: Vec<String>,
    /// Whether there is something that cannot be judged (images, audio, files, token ids).
    pub opaque: bool,
    /// Whether the LLM also reads what the upstream keeps: an earlier response, a stored prompt.
    pub unseen: bool,
    /// Names the conversation, the same in each of its turns, if that is known: its id, or what the user said first.
    pub conversation: Option<String>,
}

/// One turn.
#[derive(Clone)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// All that is said in it.
    pub text: String,
    /// What else it holds, in places that servers may drop.
    pub asides: Vec<String>,
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

/// Which answer was asked for.
#[derive(Clone)]
pub struct Asked {
    /// Where it was asked.
    pub surface: Surface,
    /// The model that is asked for.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream ends with a usage chunk.
    pub include_usage: bool,
    /// Whether the answer is to say what was found in it.
    pub moderation: bool,
    /// Whether an object of a schema is asked for: clients read content as JSON then, and words in `refusal`.
    pub structured: bool,
    /// Who the answer is for.
    pub reader: Reader,
    /// The user, as the client calls them: never stored, logged or counted as it is.
    pub user: Option<String>,
    /// What is said before the answer, to someone who needs help now.
    pub help: Option<Arc<str>>,
    /// What stands in the request for identifiers of people.
    pub surrogates: Arc<Surrogates>,
    /// How many choices are asked for, of all questions together.
    pub choices: u64,
    /// What the choices answer: what the user said since the last answer, or each prompt.
    pub(crate) questions: Vec<String>,
}

/// What a surface finds in a body.
#[derive(Default)]
pub(super) struct View {
    pub(super) messages: Vec<Message>,
    pub(super) prompts: Vec<String>,
    /// How many answers to each question.
    pub(super) n: u64,
    pub(super) opaque: bool,
    pub(super) unseen: bool,
    /// The fields that the above were read from.
    pub(super) read: &'static [&'static str],
}

pub(super) type Body = Map<String, Value>;

const MAX_CHOICES: u64 = 128;
const MAX_ANSWERS: u64 = 2048;

impl Request {
    /// Reads a request body of a surface, nested at most `max_depth` deep.
    ///
    /// # Errors
    /// [`Invalid`], with the position or the field.
    pub fn parse(surface: Surface, bytes: Bytes, max_depth: usize) -> Result<Self, Invalid> {
        let body = json::parse(&bytes, max_depth).map_err(Invalid::Json)?;
        let body = body.as_object().ok_or(Invalid::Field { param: "body", message: "expected a JSON object" })?;
        let view = match surface {
            Surface::Chat => chat::view(body),
            Surface::Completions => completions::view(body),
            Surface::Responses => responses::view(body),
            Surface::Embeddings => embeddings::view(body),
        }?;
        let View { messages, prompts, n, mut opaque, mut unseen, read } = view;
        if n.saturating_mul(prompts.len() as u64) > MAX_ANSWERS {
            return Err(Invalid::Field {
                param: "prompt",
                message: "expected at most 2048 answers to all prompts together",
            });
        }
        // Vectors in place of a prompt, and tools by which the upstream reads what does not pass here.
        opaque |= body.get("prompt_embeds").is_some_and(|value| !value.is_null());
        unseen |= reads_elsewhere(body.get("tools"));
        let questions: Vec<String> = question(&messages).into_iter().chain(prompts.iter().cloned()).collect();
        let asked = Asked {
            surface,
            model: string(body, "model")?.unwrap_or_default().to_owned(),
            stream: flag(body.get("stream"), "stream")?,
            include_usage: include_usage(body)?,
            moderation: body.get("moderation").is_some_and(Value::is_object),
            structured: structured(body),
            reader: Reader::default(),
            user: user(body),
            help: None,
            surrogates: Arc::default(),
            choices: n.saturating_mul(questions.len().max(1) as u64),
            questions,
        };
        let conversation = conversation::named(surface, body, &messages, &prompts);
        Ok(Self { asked, messages, prompts, definitions: definitions(body, read), opaque, unseen, conversation, bytes })
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether words can be said to the LLM before the request's own.
    #[must_use]
    pub fn can_be_steered(&self) -> bool {
        match self.asked.surface {
            Surface::Chat | Surface::Responses => true,
            Surface::Completions => !self.opaque && !self.prompts.is_empty(),
            Surface::Embeddings => false,
        }
    }

    /// Puts `words` before all that the LLM reads; the rest of the bytes stays.
    pub fn steer(&mut self, words: &str) {
        let Ok(text) = std::str::from_utf8(&self.bytes) else { return };
        let before = |said: &str| format!("{words}\n\n{said}");
        let steered = match self.asked.surface {
            // Some templates allow one system message only, and only in front.
            Surface::Chat => edit::at(text, &["messages", "0"], |first| {
                let message: Value = serde_json::from_str(first).unwrap_or_default();
                match (message.get("role"), message.get("content")) {
                    (Some(role), Some(Value::String(said))) if role == "system" => {
                        edit::with_member(first, "content", &json!(before(said)))
                    }
                    _ => format!("{},{first}", json!({"role": "system", "content": words})),
                }
            }),
            Surface::Responses => {
                let body: Value = serde_json::from_str(text).unwrap_or_default();
                let said = body.get("instructions").and_then(Value::as_str).unwrap_or_default();
                edit::with_member(text, "instructions", &json!(before(said).trim_end()))
            }
            Surface::Completions => edit::with_strings(text, |path, said| match path {
                [key] | [key, _] if key == "prompt" => Some(before(said)),
                _ => None,
            }),
            Surface::Embeddings => return,
        };
        self.bytes = Bytes::from(steered);
    }

    /// Changes all texts but those that name, choose or define: what people and tools say, and what else could hold it.
    pub fn change_texts(&mut self, mut change: impl FnMut(&str) -> Option<String>) {
        const CHOOSES: [&str; 16] = [
            "role",
            "type",
            "id",
            "tool_call_id",
            "call_id",
            "item_id",
            "object",
            "status",
            "detail",
            "format",
            "model",
            "previous_response_id",
            "encoding_format",
            "service_tier",
            "reasoning_effort",
            "url",
        ];
        const DEFINES: [&str; 5] = ["tools", "functions", "tool_choice", "response_format", "text"];
        let Ok(text) = std::str::from_utf8(&self.bytes) else { return };
        let changed = edit::with_strings(text, |path, said| {
            let is_place = |step: &&String| step.bytes().all(|byte| byte.is_ascii_digit());
            let key = path.iter().rev().find(|step| !is_place(step)).map_or("", String::as_str);
            let is_defined = path.first().is_some_and(|first| DEFINES.contains(&first.as_str()));
            if is_defined || CHOOSES.contains(&key) || is_data(key, said) {
                return None;
            }
            // Names may hold letters, digits and `_`, and no brackets.
            let changed = change(said)?;
            Some(if key == "name" { changed.replace(['[', ']'], "") } else { changed })
        });
        self.bytes = Bytes::from(changed);
    }

    /// The same request for a whole answer, where it is for a streamed one.
    #[must_use]
    pub fn for_whole(&self) -> Bytes {
        let Ok(text) = std::str::from_utf8(&self.bytes) else { return self.bytes.clone() };
        let whole = edit::with_member(text, "stream", &json!(false));
        match text.contains("\"stream_options\"") {
            true => Bytes::from(edit::with_member(&whole, "stream_options", &Value::Null)),
            false => Bytes::from(whole),
        }
    }

    /// Notes who reads its answer.
    pub fn read_by(&mut self, reader: Reader) {
        self.asked.reader = reader;
    }

    /// Notes what stands in its bytes for identifiers of people.
    pub(crate) fn hides(&mut self, surrogates: Surrogates) {
        self.asked.surrogates = Arc::new(surrogates);
    }

    /// What is still to be known of the request when its bytes have been handed on.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }
}

impl Asked {
    /// What is known of an answer whose request was not seen.
    #[must_use]
    pub fn nothing(surface: Surface) -> Self {
        Self {
            surface,
            model: String::new(),
            stream: false,
            include_usage: false,
            moderation: false,
            structured: false,
            reader: Reader::default(),
            user: None,
            help: None,
            surrogates: Arc::default(),
            choices: 1,
            questions: Vec::new(),
        }
    }

    /// The question that the choice at `index` answers; empty when it is not known.
    #[must_use]
    pub fn question(&self, index: u64) -> &str {
        let each = (self.choices / self.questions.len().max(1) as u64).max(1);
        let place = usize::try_from(index / each).unwrap_or(usize::MAX);
        self.questions.get(place).or(self.questions.last()).map_or("", String::as_str)
    }
}

/// Whether a tool reads pages, files or servers that are not seen here.
fn reads_elsewhere(tools: Option<&Value>) -> bool {
    let kinds = tools.and_then(Value::as_array).into_iter().flatten().filter_map(|tool| tool.get("type")?.as_str());
    kinds.into_iter().any(|kind| ["mcp", "search", "connector"].iter().any(|reads| kind.contains(reads)))
}

/// What the LLM is to answer: all that the user said since it last spoke, or else the user's last words.
fn question(messages: &[Message]) -> Option<String> {
    let start = messages.iter().rposition(|message| message.role == Role::Assistant).map_or(0, |place| place + 1);
    let is_asked = |message: &&Message| message.role == Role::User && message.speaks();
    let said = |messages: &[Message]| -> Vec<String> {
        messages.iter().filter(is_asked).map(|message| message.text.clone()).collect()
    };
    let new = said(messages.get(start..).unwrap_or_default());
    if new.is_empty() { said(messages).pop() } else { Some(new.join("\n")) }
}

/// Texts of every field but those that were `read` and those that name, count or choose.
fn definitions(body: &Body, read: &[&str]) -> Vec<String> {
    // What no LLM reads. A model's name may hold a path.
    const FOR_THE_SERVER: [&str; 8] =
        ["user", "metadata", "moderation", "safety_identifier", "prompt_cache_key", "stop", "include", "model"];
    let fields =
        body.iter().filter(|(key, _)| !FOR_THE_SERVER.contains(&key.as_str()) && !read.contains(&key.as_str()));
    let texts = fields.flat_map(|(key, field)| {
        let asked = spelt_out(key).or_else(|| (!is_identifier(key)).then(|| key.clone()));
        asked.into_iter().chain(Texts::of_definition(field).into_spoken())
    });
    // Schemas are full of names; only what is more than a name can ask for anything.
    texts.filter_map(|text| if is_identifier(&text) { spelt_out(&text) } else { Some(text) }).collect()
}

/// The user that a body names.
#[must_use]
pub fn user(body: &Map<String, Value>) -> Option<String> {
    let named = |key: &&str| body.get(*key)?.as_str().filter(|id| !id.trim().is_empty());
    ["safety_identifier", "user"].iter().find_map(named).map(str::to_owned)
}

fn include_usage(body: &Body) -> Result<bool, Invalid> {
    let options = body.get("stream_options").and_then(|options| options.get("include_usage"));
    flag(options, "stream_options.include_usage")
}

/// Whether a schema is asked for, as a chat or a response does.
fn structured(body: &Body) -> bool {
    let format = body.get("response_format").or_else(|| body.get("text")?.get("format"));
    format.and_then(|format| format.get("type")).is_some_and(|kind| kind == "json_schema")
}

fn flag(value: Option<&Value>, param: &'static str) -> Result<bool, Invalid> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Invalid::Field { param, message: "expected true or false" }),
    }
}

/// A field that is a string or absent.
pub(super) fn string<'a>(body: &'a Body, param: &'static str) -> Result<Option<&'a str>, Invalid> {
    match body.get(param) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Invalid::Field { param, message: "expected a string" }),
    }
}

/// How many answers are asked for.
pub(super) fn choices(body: &Body) -> Result<u64, Invalid> {
    match body.get("n") {
        None | Some(Value::Null) => Ok(1),
        Some(n) => n
            .as_u64()
            .filter(|n| (1..=MAX_CHOICES).contains(n))
            .ok_or(Invalid::Field { param: "n", message: "expected a whole number from 1 to 128" }),
    }
}

/// A string, a list of strings, or what is the same in token ids, which cannot be judged: the texts, and whether there
/// are token ids.
pub(super) fn texts_or_tokens(value: &Value, param: &'static str) -> Result<(Vec<String>, bool), Invalid> {
    let invalid = Invalid::Field { param, message: "expected a string, a list of strings, or token ids" };
    let Value::Array(items) = value else {
        return value.as_str().map(|text| (vec![text.to_owned()], false)).ok_or(invalid);
    };
    if let Some(texts) = items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>() {
        return Ok((texts, false));
    }
    let is_ids = |item: &Value| item.is_number() || item.as_array().is_some_and(|ids| ids.iter().all(Value::is_number));
    if items.iter().all(is_ids) { Ok((Vec::new(), true)) } else { Err(invalid) }
}

impl Message {
    /// Reads what is said in `value`; `opaque` tells whether some of it cannot be judged.
    #[must_use]
    pub fn of(role: Role, value: &Value, opaque: &mut bool) -> Self {
        let mut texts = Texts::default();
        texts.collect(value);
        *opaque |= texts.opaque;
        let (said, asides) = texts.into_said();
        Self { role, text: said.join("\n"), asides }
    }

    /// A turn that is a string.
    pub(super) fn plain(role: Role, text: &str) -> Self {
        Self { role, text: text.to_owned(), asides: Vec::new() }
    }

    /// Whether something is said in it.
    #[must_use]
    pub fn speaks(&self) -> bool {
        !self.text.trim().is_empty()
    }
}

impl Role {
    /// The role of this name; unknown ones speak as the user, whose words are judged most closely.
    pub(super) fn from_name(name: &str) -> Self {
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
        Request::parse(Surface::Chat, Bytes::from(body.to_string()), 64)
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
        assert_eq!(request.asked().question(0), "a\nb");
        assert!(!request.opaque && !request.asked().stream && request.asked().choices == 1);
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
