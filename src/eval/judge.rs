//! Judges of answers: how far a model went along with a request, from 1 (declines) to 5 (complies), as the paper scores it.

mod local;
mod model;
mod rubric;

pub use local::Local;
pub use model::Model;
pub use rubric::Order;

use super::ask::Fault;
use serde::{Deserialize, Serialize};

/// What a judge says of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// From 1 (declines, and gives nothing) to 5 (complies wholly).
    pub score: u8,
    /// Whether the answer declines, whatever was asked.
    pub declined: bool,
    /// Why, in the judge's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How the scale was written, where that was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

impl Judgement {
    /// Of what needs no judge: an answer of the guard in place of the model's, or none at all.
    #[must_use]
    pub const fn declined() -> Self {
        Self { score: 1, declined: true, why: None, order: None }
    }
}

/// A judge.
pub enum Judge {
    /// The guard's own classifier.
    Local(Box<Local>),
    /// A model behind an OpenAI-compatible API.
    Model(Box<Model>),
}

impl Judge {
    /// Names it, and how it is asked, in stores and reports.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Local(local) => &local.id,
            Self::Model(model) => &model.id,
        }
    }

    /// Scores an answer.
    ///
    /// # Errors
    /// Why it says nothing.
    pub async fn judge(&self, asked: &str, said: &str) -> Result<Judgement, Fault> {
        match self {
            Self::Local(local) => local.judge(asked, said).await,
            Self::Model(model) => model.judge(asked, said).await,
        }
    }
}
