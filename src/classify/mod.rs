//! Classification: texts in, calibrated [`Scores`] out.
//!
//! [`Classifier`] is the one seam of the crate behind a `dyn`: synchronous and without a runtime, so that a model can be
//! an ONNX graph in this process ([`onnx`]) or on a model server ([`remote`]), or anything else. A [`graph`] reads what an [`encode::Encoder`] makes of a text. [`pool`] is the bridge from async code, [`mod@cache`] knows
//! what was judged before, and [`reading`] has every text judged by what it says behind its characters.

pub mod cache;
pub mod encode;
pub mod graph;
pub mod manifest;
pub mod onnx;
pub mod pool;
pub mod reading;
pub mod remote;
pub mod window;

use crate::policy::taxonomy::{Principle, VIOLATION_TYPES, ViolationType};
use serde::Deserialize;
use std::time::Instant;

/// One text to judge, with what its meaning depends on. Not `Debug`: it holds what people wrote.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// A text on its way to the LLM, judged alone.
    Prompt(String),
    /// The last user turn, judged in the light of the turns before it.
    Conversation {
        /// The earlier turns, `role: text` a line.
        context: String,
        /// The turn that is judged.
        turn: String,
    },
    /// A completion, judged as the answer to its prompt.
    Completion {
        /// The user turn that was answered.
        prompt: String,
        /// The answer that is judged.
        completion: String,
    },
}

impl Input {
    /// How much is read of it, in bytes; a short text takes its time too.
    fn bytes(&self) -> u64 {
        const LEAST: usize = 64;
        let read = match self {
            Self::Prompt(text) => text.len(),
            Self::Conversation { context: one, turn: other } | Self::Completion { prompt: one, completion: other } => {
                one.len() + other.len()
            }
        };
        (LEAST + read) as u64
    }

    /// The text that is judged, without what it is judged with.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Prompt(text) | Self::Conversation { turn: text, .. } | Self::Completion { completion: text, .. } => {
                text
            }
        }
    }
}

/// What the model says of one text: calibrated probabilities, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The text asks for, or gives, something that violates a principle or does general harm.
    pub violation: f32,
    /// The text tries to trick the model (jailbreak, injection, persona, encoding).
    pub manipulation: f32,
    /// Someone needs help now (self-harm disclosure, medical emergency).
    pub crisis: f32,
    /// The completion declines.
    pub refusal: f32,
    /// Distribution over [`VIOLATION_TYPES`], given a violation.
    pub types: [f32; VIOLATION_TYPES.len()],
    /// Whether the first layers of the model were sure that there is nothing, and the rest was not asked: the probabilities are
    /// then those of the first, and all are below the model's [`Floors`].
    pub early: bool,
}

impl Scores {
    /// Scores of a text in which nothing was found.
    pub const NONE: Self = Self {
        violation: 0.0,
        manipulation: 0.0,
        crisis: 0.0,
        refusal: 0.0,
        types: [0.0; VIOLATION_TYPES.len()],
        early: false,
    };

    /// The probability of each principle, given a violation: the sum over its types.
    #[must_use]
    pub fn principles(&self) -> [(Principle, f32); Principle::ALL.len()] {
        Principle::ALL.map(|principle| {
            let of_principle = VIOLATION_TYPES.iter().zip(&self.types).filter(|(kind, _)| kind.principle == principle);
            (principle, of_principle.map(|(_, p)| p).sum())
        })
    }

    /// The most probable principle, and the most probable type under it.
    #[must_use]
    pub fn likeliest(&self) -> &'static ViolationType {
        let top = self.principles().into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Principle::G, |(p, _)| p);
        let of_top = VIOLATION_TYPES.iter().zip(&self.types).filter(|(kind, _)| kind.principle == top);
        of_top.max_by(|a, b| a.1.total_cmp(b.1)).map_or(&VIOLATION_TYPES[0], |(kind, _)| kind)
    }

    /// What holds of a text of which `self` and `other` judge two windows: the larger of each probability, and the
    /// types of the window that violates more.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let types = if other.violation > self.violation { other.types } else { self.types };
        Self {
            violation: self.violation.max(other.violation),
            manipulation: self.manipulation.max(other.manipulation),
            crisis: self.crisis.max(other.crisis),
            refusal: self.refusal.max(other.refusal),
            types,
            early: self.early || other.early,
        }
    }
}

/// How a text is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Care {
    /// Nobody waits for the scores after this.
    pub until: Instant,
    /// Whether all of the model must be asked, also where its first layers are sure that there is nothing.
    pub thorough: bool,
}

/// From which probabilities on all of the model is asked: whoever acts on a lower one must ask [thoroughly](Care::thorough).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Floors {
    /// Of `violation` in a text that is judged alone.
    pub prompt: f32,
    /// Of `violation` in a turn that is judged in its context.
    pub conversation: f32,
    /// Of `violation` in a completion.
    pub completion: f32,
    /// Of `manipulation`.
    pub manipulation: f32,
    /// Of `crisis`.
    pub crisis: f32,
}

/// A model that judges texts.
pub trait Classifier: Send + Sync {
    /// One [`Scores`] for each input, in their order; an input that is longer than the model's window is judged in
    /// windows, whole.
    ///
    /// # Errors
    /// When the model could not judge; nothing may then be assumed of any input.
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError>;

    /// The same, with care: a model that waits for others gives up in time, one that can answer early does where it may.
    ///
    /// # Errors
    /// As [`Classifier::score`].
    fn score_with(&self, inputs: &[Input], _care: Care) -> Result<Vec<Scores>, ClassifyError> {
        self.score(inputs)
    }

    /// Below which probabilities it may answer early; none for a model that never does.
    fn floors(&self) -> Option<Floors> {
        None
    }

    /// A short hash that names the model in headers and records.
    fn id(&self) -> &str;
}

/// Why a classifier could not be made, or could not judge.
#[derive(Debug)]
pub enum ClassifyError {
    /// ONNX Runtime's shared library is missing or of a version that is not accepted.
    Runtime(String),
    /// The model, the tokenizer and the manifest do not belong together, or not to this program.
    Mismatch(String),
    /// The model failed on an input.
    Inference(String),
}

impl ClassifyError {
    fn inference(why: impl ToString) -> Self {
        Self::Inference(why.to_string())
    }
}

impl std::fmt::Display for ClassifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Runtime(why) => write!(f, "ONNX Runtime cannot be used: {why}"),
            Self::Mismatch(why) => write!(f, "the model files do not fit: {why}"),
            Self::Inference(why) => write!(f, "inference failed: {why}"),
        }
    }
}

impl std::error::Error for ClassifyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_type_stands_under_the_likeliest_principle() {
        let mut scores = Scores::NONE;
        scores.types[0] = 0.3; // I.1 alone is the likeliest type …
        scores.types[6] = 0.2; // … but II as a whole is likelier than I
        scores.types[7] = 0.25;
        assert_eq!(scores.likeliest().id, "II.2");
    }

    #[test]
    fn the_worst_of_two_windows_keeps_the_types_of_the_violating_one() {
        let mut bad = Scores { violation: 0.9, ..Scores::NONE };
        bad.types[3] = 1.0;
        let calm = Scores { crisis: 0.4, ..Scores::NONE };
        let whole = calm.worst(bad.clone());
        assert_eq!((whole.violation, whole.crisis), (0.9, 0.4));
        assert_eq!(whole.types, bad.types);
    }
}
