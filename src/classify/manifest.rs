//! The manifest that travels with a model: what its outputs mean, how its inputs are composed, and its files' hashes.

use super::{ClassifyError, Floors};
use crate::digest;
use crate::policy::taxonomy::VIOLATION_TYPES;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The outputs before the violation types, in their order.
pub const HEADS: [&str; 4] = ["violation", "manipulation", "crisis", "refusal"];

/// Which calibration holds for a sequence's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A text judged alone.
    Prompt,
    /// A turn in its context.
    Conversation,
    /// An answer to its prompt.
    Completion,
}

/// What `manifest.json` says, checked.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The longest judged text in one sequence, in tokens.
    pub window: usize,
    /// How many tokens two neighbouring windows share.
    pub overlap: usize,
    /// The longest accompanying text (the prompt of a completion), in tokens.
    pub context: usize,
    /// The token that tells the model which side it judges.
    pub markers: Markers,
    /// The id of `[CLS]`.
    #[serde(default = "bert_cls")]
    pub cls: i64,
    /// The id of `[SEP]`.
    #[serde(default = "bert_sep")]
    pub sep: i64,
    /// The outputs' names, in order: [`HEADS`], then the violation types.
    pub labels: Vec<String>,
    /// From logits to probabilities, by side.
    pub calibration: Calibrations,
    /// Below which probabilities the graph may answer early; none where it cannot.
    #[serde(default)]
    pub floors: Option<Floors>,
    /// SHA-256 of `model.onnx` and `tokenizer.json`, in hex.
    pub files: BTreeMap<String, String>,
}

/// Marker token ids.
#[derive(Debug, Deserialize)]
pub struct Markers {
    /// Marks a text judged alone.
    pub prompt: i64,
    /// Marks a turn in its context.
    pub conversation: i64,
    /// Marks an answer to its prompt.
    pub completion: i64,
}

/// One [`Calibration`] for each side.
#[derive(Debug, Deserialize)]
pub struct Calibrations {
    prompt: Calibration,
    conversation: Calibration,
    completion: Calibration,
}

/// One [`Affine`] for each head (Platt scaling).
#[derive(Debug, Deserialize)]
pub struct Calibration {
    /// Of `violation`.
    pub violation: Affine,
    /// Of `manipulation`.
    pub manipulation: Affine,
    /// Of `crisis`.
    pub crisis: Affine,
    /// Of `refusal`.
    pub refusal: Affine,
}

/// `sigmoid(scale · logit + bias)` is the calibrated probability.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Affine {
    scale: f32,
    bias: f32,
}

impl Affine {
    /// The calibrated probability of a logit.
    #[must_use]
    pub fn probability(self, logit: f32) -> f32 {
        1.0 / (1.0 + (-(self.scale * logit + self.bias)).exp())
    }
}

impl Manifest {
    /// Reads a manifest and holds it against the files that it came with and against this program's labels.
    ///
    /// # Errors
    /// [`ClassifyError::Mismatch`] with every fault that was found.
    pub fn check(json: &[u8], model: &[u8], tokenizer: &[u8]) -> Result<Self, ClassifyError> {
        let manifest: Self =
            serde_json::from_slice(json).map_err(|e| ClassifyError::Mismatch(format!("manifest.json: {e}")))?;
        let mut faults = Vec::new();
        for (file, bytes) in [("model.onnx", model), ("tokenizer.json", tokenizer)] {
            let found = digest::sha256(bytes);
            match manifest.files.get(file) {
                Some(named) if *named == found => {}
                Some(named) => faults.push(format!("{file} has SHA-256 {found}, the manifest names {named}")),
                None => faults.push(format!("the manifest does not name {file}")),
            }
        }
        let expected = HEADS.into_iter().chain(VIOLATION_TYPES.iter().map(|kind| kind.id));
        if !expected.eq(manifest.labels.iter().map(String::as_str)) {
            faults.push("labels: not the outputs that this version judges by".to_owned());
        }
        if manifest.window == 0 || manifest.overlap >= manifest.window || manifest.context < 2 {
            faults.push("window must exceed overlap, and context must be at least 2".to_owned());
        }
        if faults.is_empty() { Ok(manifest) } else { Err(ClassifyError::Mismatch(faults.join("; "))) }
    }

    /// The calibration that holds on `side`.
    #[must_use]
    pub fn calibration(&self, side: Side) -> &Calibration {
        match side {
            Side::Prompt => &self.calibration.prompt,
            Side::Conversation => &self.calibration.conversation,
            Side::Completion => &self.calibration.completion,
        }
    }
}

const fn bert_cls() -> i64 {
    101
}

const fn bert_sep() -> i64 {
    102
}
