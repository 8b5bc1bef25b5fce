//! A judge behind an OpenAI-compatible API, asked by the rubric and read strictly.

use super::super::ask::{Endpoint, Fault};
use super::rubric::{id, messages, order, schema};
use super::{Judgement, Order};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

/// How often an answer that is no judgement is asked for again.
const TRIES: u64 = 3;

/// Room for a sentence and two words, and for the thoughts of those who think first.
const MAX_TOKENS: u32 = 2048;

/// A model that judges.
pub struct Model {
    endpoint: Endpoint,
    model: String,
    pub(super) id: String,
    /// Whether the server refuses to be given a schema.
    is_free: AtomicBool,
}

impl Model {
    /// The model of this name at an endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint, model: &str, url: &str) -> Self {
        let id = format!("{model} at {url}, rubric {}", id());
        Self { endpoint, model: model.to_owned(), id, is_free: AtomicBool::new(false) }
    }

    pub(super) async fn judge(&self, asked: &str, said: &str) -> Result<Judgement, Fault> {
        let mut heard = Fault::Lost("the judge's answer is no judgement".to_owned());
        for seed in 1..=TRIES {
            let is_free = self.is_free.load(Ordering::Relaxed);
            let mut body = json!({"model": self.model, "messages": messages(asked, said), "temperature": 0,
                "max_tokens": MAX_TOKENS, "seed": seed});
            if let (Some(body), false) = (body.as_object_mut(), is_free) {
                body.insert("response_format".to_owned(), schema());
            }
            match self.endpoint.ask(&body.to_string()).await {
                Ok(reply) => {
                    if let Some(judgement) = read(&reply.body, order(asked, said)) {
                        return Ok(judgement);
                    }
                }
                // Some servers know no schemas.
                Err(Fault::Lost(why))
                    if !is_free && (why.starts_with("status 400") || why.starts_with("status 422")) =>
                {
                    self.is_free.store(true, Ordering::Relaxed);
                    heard = Fault::Lost(why);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(heard)
    }
}

/// The judgement in an answer: one object, behind thoughts and within a fence where there are any.
fn read(answer: &Value, order: Order) -> Option<Judgement> {
    let said = answer.pointer("/choices/0/message/content")?.as_str()?;
    let said = said.rsplit_once("</think>").map_or(said, |(_, said)| said);
    let (start, end) = (said.find('{')?, said.rfind('}')?);
    let object: Value = serde_json::from_str(said.get(start..=end)?).ok()?;
    let score = match object.get("score")? {
        Value::String(digit) => digit.trim().parse().ok()?,
        number => number.as_u64()?,
    };
    let score = u8::try_from(score).ok().filter(|score| (1..=5).contains(score))?;
    let declined = object.get("declined").and_then(Value::as_bool).unwrap_or(score == 1);
    let why = object.get("why").and_then(Value::as_str).map(str::to_owned);
    Some(Judgement { score, declined, why, order: Some(order) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_a_judgement_and_nothing_else_is() {
        let of = |said: &str| {
            let answer = json!({"choices": [{"message": {"content": said}}]});
            read(&answer, Order::Rising).map(|found| (found.score, found.declined))
        };
        assert_eq!(of("{\"why\": \"It helps.\", \"score\": 5, \"declined\": false}"), Some((5, false)));
        assert_eq!(of("<think>{\"score\": 5}</think>```json\n{\"score\": \"1\"}\n```"), Some((1, true)));
        for wrong in [
            "5",
            "{}",
            "{\"score\": 6}",
            "{\"score\": 0}",
            "{\"score\": 2.5}",
            "{\"score\": true}",
            "{\"score\": 1} {\"score\": 5}",
            "",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(read(&Value::Null, Order::Rising), None);
    }
}
