//! One decision as it is stored: who was judged by what, with which scores, and what came of it. It holds no text.

use super::vault::Sealed;
use crate::classify::Scores;
use crate::policy::taxonomy::VIOLATION_TYPES;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was decided on one message. Its JSON is what is chained, so that its fields only ever grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When, in microseconds since 1970.
    pub time: i64,
    /// The request's event id, as the header `x-nonnocere-event-id` shows it.
    pub event: String,
    /// `prompt` or `completion`.
    pub direction: String,
    /// By which way it came: `chat`, `responses`, `/v1/moderations`.
    pub surface: String,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Who is served, where the operator says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What was done; `unavailable` when it could not be judged and was refused.
    pub action: String,
    /// The rule that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The violated principle and type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principle: Option<String>,
    /// The violated type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What a rule in the shadow would have done, and its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<[String; 2]>,
    /// What a judge model said of an uncertain text (`violates`, `harmless`), or why there was no opinion (`unsent`, `none_timeout` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opinion: Option<String>,
    /// How much was judged: `full`, `partial`, `none`.
    pub scan: String,
    /// The scores of all texts that were judged alone: the highest of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<Seen>,
    /// The same of the last turn in the light of the turns before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Seen>,
    /// The same of what the LLM is said to have answered earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Seen>,
    /// How many identifiers of people were taken out, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redacted: BTreeMap<String, u64>,
    /// `name@hash` of the policy in force.
    pub policy: String,
    /// The model's short hash.
    pub model: String,
    /// The HTTP status of the answer, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long judging took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Whose request it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The [pseudonym](super::pseudonym) of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it is about records of substance-use treatment (42 CFR Part 2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part2: bool,
    /// Its text, where that is kept: sealed, stored apart, and no part of the chain.
    #[serde(skip)]
    pub sealed: Option<Sealed>,
}

/// How a row of the chain is marked that tells of an [act](super::act).
pub const ACT: &str = "act";

impl Decision {
    /// What the chain tells of an act.
    #[must_use]
    pub fn of_act(time: i64, seq: i64, hash: &str) -> Self {
        Self { time, event: hash.to_owned(), surface: seq.to_string(), action: ACT.to_owned(), ..Self::default() }
    }

    /// The place and the hash of the act that it tells of, where it tells of one.
    #[must_use]
    pub fn act(&self) -> Option<(i64, String)> {
        (self.action == ACT).then(|| Some((self.surface.parse().ok()?, self.event.clone()))).flatten()
    }
}

/// What the model said, over several texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// [`Scores::violation`].
    pub violation: f32,
    /// [`Scores::manipulation`].
    pub manipulation: f32,
    /// [`Scores::crisis`].
    pub crisis: f32,
    /// [`Scores::refusal`].
    pub refusal: f32,
    /// The likeliest violation type, given a violation.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Seen {
    /// The scores, with all of the likelihood on the likeliest type.
    #[must_use]
    pub fn scores(&self) -> Scores {
        let mut scores = Scores {
            violation: self.violation,
            manipulation: self.manipulation,
            crisis: self.crisis,
            refusal: self.refusal,
            ..Scores::NONE
        };
        let places = scores.types.iter_mut().zip(&VIOLATION_TYPES);
        places.filter(|(_, kind)| kind.id == self.kind).for_each(|(share, _)| *share = 1.0);
        scores
    }
}

impl From<&Scores> for Seen {
    fn from(scores: &Scores) -> Self {
        Self {
            violation: scores.violation,
            manipulation: scores.manipulation,
            crisis: scores.crisis,
            refusal: scores.refusal,
            kind: scores.likeliest().id.to_owned(),
        }
    }
}
