//! `POST /v1/moderations`, answered here: OpenAI's thirteen categories, which clients require, and ours beside them.

use super::{Call, Report};
use crate::classify::{Input, Scores};
use crate::error::ProxyError;
use crate::guard::Verdict;
use crate::openai::request::{Invalid, Message, Role};
use crate::policy::Direction;
use crate::policy::taxonomy::VIOLATION_TYPES;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// OpenAI's categories, and the violation types that fall under each.
const STOCK: [(&str, &[&str]); 13] = [
    ("harassment", &["G.5", "IV.6", "I.4"]),
    ("harassment/threatening", &["IV.5"]),
    ("hate", &["G.5", "IX.1"]),
    ("hate/threatening", &[]),
    ("illicit", &["G.3", "G.6", "G.7", "II.1", "II.2", "III.1", "III.3"]),
    ("illicit/violent", &["G.1", "VII.5"]),
    ("self-harm", &["G.2"]),
    ("self-harm/instructions", &["G.2"]),
    ("self-harm/intent", &[]),
    ("sexual", &["G.4", "I.5"]),
    ("sexual/minors", &["G.4"]),
    ("violence", &["G.1", "I.6", "VIII.5"]),
    ("violence/graphic", &[]),
];

/// One result for each input.
pub(super) async fn answer(call: &Call<'_>) -> Result<Report, ProxyError> {
    let mut opaque = Vec::new();
    let inputs = inputs(call.body.get("input").unwrap_or(&Value::Null), &mut opaque)?;
    let inputs = inputs.into_iter().map(Input::Prompt).zip(opaque).collect();
    let verdicts = call.guard.judge(call.policy, (Direction::Prompt, call.reader), inputs).await?;
    let results: Vec<Value> = verdicts.iter().map(result).collect();
    let body =
        json!({"id": format!("modr-{}", Uuid::now_v7().simple()), "model": call.guard.model(), "results": results});
    Ok(Report { body, verdicts })
}

/// A string, a list of strings, or one input in parts.
fn inputs(input: &Value, opaque: &mut Vec<bool>) -> Result<Vec<String>, Invalid> {
    let invalid = Invalid::Field { param: "input", message: "expected a string, a list of strings, or content parts" };
    let texts: Vec<String> = match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.is_empty() => return Err(invalid),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Value::Array(items) if items.iter().all(Value::is_object) => {
            let mut has_image = false;
            let message = Message::of(Role::User, &json!({ "content": input }), &mut has_image);
            opaque.push(has_image);
            return Ok(vec![[vec![message.text], message.asides].concat().join("\n")]);
        }
        _ => return Err(invalid),
    };
    opaque.resize(texts.len(), false);
    Ok(texts)
}

/// What was found in the prompt and in the completion, for inline moderation: categories, and no score.
#[must_use]
pub fn inline(verdicts: &[Verdict]) -> Value {
    let found = |direction: Direction| {
        let verdict = verdicts.iter().find(|verdict| verdict.direction == direction)?;
        let result = result(verdict);
        Some(json!({"flagged": result.get("flagged"), "categories": result.get("categories")}))
    };
    json!({"input": found(Direction::Prompt), "output": found(Direction::Completion)})
}

fn result(verdict: &Verdict) -> Value {
    let flagged = verdict.action.stops();
    let scores = &verdict.scores;
    let (mut categories, mut category_scores, mut types) = (Map::new(), Map::new(), Map::new());
    let mut add = |name: String, holds: bool, score: f32| {
        categories.insert(name.clone(), json!(holds));
        category_scores.insert(name.clone(), json!(score));
        types.insert(name, json!(["text"]));
    };
    for (name, kinds) in STOCK {
        let share = share(scores, kinds);
        add(name.to_owned(), flagged && share >= 0.5, scores.violation * share);
    }
    let violated = verdict.principle();
    for (principle, share) in scores.principles() {
        add(format!("ama/{principle}"), flagged && violated == Some(principle), scores.violation * share);
    }
    let helps = matches!(verdict.action, crate::policy::Action::Escalate(_));
    add("crisis".to_owned(), helps, scores.crisis);
    add("manipulation".to_owned(), false, scores.manipulation);
    json!({"flagged": flagged, "categories": categories, "category_scores": category_scores,
           "category_applied_input_types": types})
}

/// How much of the likely types is among `kinds`, 0 to 1.
fn share(scores: &Scores, kinds: &[&str]) -> f32 {
    let of_kind = VIOLATION_TYPES.iter().zip(&scores.types).filter(|(kind, _)| kinds.contains(&kind.id));
    of_kind.map(|(_, share)| share).sum()
}
