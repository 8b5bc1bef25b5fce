//! Verdicts for those who ask for nothing else: gateways that already stand before the LLM, and clients of a moderation
//! endpoint. Each contract has a file; the judgement is the one of the proxy.

mod detector;
mod litellm;
pub mod moderations;

use crate::error::ProxyError;
use crate::guard::{Guard, Verdict};
use crate::openai::json;
use crate::openai::request::{Invalid, Request, Surface};
use crate::policy::Policy;
use crate::policy::message::Reader;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

/// A contract by which a verdict is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plug {
    /// OpenAI's moderation endpoint.
    Moderations,
    /// LiteLLM's generic guardrail.
    LiteLlm,
    /// The FMS detector API, texts alone.
    Contents,
    /// The FMS detector API, a prompt and what was generated.
    Generation,
    /// The FMS detector API, a conversation.
    Chat,
}

/// The answer to one who asks for a verdict, and the verdicts in it.
pub struct Report {
    /// The body of the answer.
    pub body: Value,
    /// One verdict for each thing that was judged.
    pub verdicts: Vec<Verdict>,
}

/// What a contract works with.
struct Call<'a> {
    guard: &'a Guard,
    policy: &'a Policy,
    reader: &'a Reader,
    headers: &'a HeaderMap,
    max_depth: usize,
    body: &'a Map<String, Value>,
}

impl Plug {
    /// The word in records.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Moderations => "moderations",
            Self::LiteLlm => "litellm",
            Self::Contents | Self::Generation | Self::Chat => "detector",
        }
    }

    /// The contract that is spoken at `path`.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/moderations" => Self::Moderations,
            "/beta/litellm_basic_guardrail_api" => Self::LiteLlm,
            "/api/v1/text/contents" => Self::Contents,
            "/api/v1/text/generation" => Self::Generation,
            "/api/v1/text/context/chat" => Self::Chat,
            _ => return None,
        })
    }
}

/// Reads a body.
///
/// # Errors
/// When it is no JSON object.
pub fn read(body: &Bytes, max_depth: usize) -> Result<Map<String, Value>, ProxyError> {
    match json::parse(body, max_depth).map_err(Invalid::Json)? {
        Value::Object(body) => Ok(body),
        _ => Err(Invalid::Field { param: "body", message: "expected a JSON object" }.into()),
    }
}

/// Judges what `body` holds, for `reader`.
///
/// # Errors
/// When the body is not what the contract says, or the model cannot judge and the policy fails closed.
pub async fn answer(
    plug: Plug,
    (guard, policy, reader): (&Guard, &Policy, &Reader),
    (headers, body): (&HeaderMap, &Map<String, Value>),
    max_depth: usize,
) -> Result<Report, ProxyError> {
    let call = Call { guard, policy, reader, headers, max_depth, body };
    match plug {
        Plug::Moderations => moderations::answer(&call).await,
        Plug::LiteLlm => litellm::answer(&call).await,
        Plug::Contents => detector::contents(&call).await,
        Plug::Generation => detector::generation(&call).await,
        Plug::Chat => detector::chat(&call).await,
    }
}

impl Call<'_> {
    /// A request of a surface, for whom the call is.
    fn request(&self, surface: Surface, body: &Value) -> Result<Request, Invalid> {
        let mut request = Request::parse(surface, Bytes::from(body.to_string()), self.max_depth)?;
        request.read_by(self.reader.clone());
        Ok(request)
    }
}

/// A list of strings; `None` where there is none.
fn strings(body: &Map<String, Value>, param: &'static str) -> Result<Option<Vec<String>>, ProxyError> {
    let invalid = || ProxyError::from(Invalid::Field { param, message: "expected a list of strings" });
    match body.get(param) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let items = value.as_array().ok_or_else(invalid)?;
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            texts.map(Some).ok_or_else(invalid)
        }
    }
}
