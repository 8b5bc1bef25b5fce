//! From a text to the sequences that a graph reads, and from the logits that it gives to [`Scores`]: all of a model but its
//! graph. The only file that names `tokenizers`.

use super::manifest::{HEADS, Manifest, Side};
use super::window::{self, Sequence};
use super::{ClassifyError, Input, Scores};
use crate::digest;
use tokenizers::Tokenizer;

/// The bytes of a model folder.
pub struct ModelFiles<'a> {
    /// `model.onnx`.
    pub model: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `manifest.json`.
    pub manifest: &'a [u8],
}

/// The model that ships inside the binary.
pub const EMBEDDED: ModelFiles<'static> = ModelFiles {
    model: include_bytes!("../../classifier/model/model.onnx"),
    tokenizer: include_bytes!("../../classifier/model/tokenizer.json"),
    manifest: include_bytes!("../../classifier/model/manifest.json"),
};

/// A tokenizer with the manifest that says how its tokens are put together, and what comes of them.
pub struct Encoder {
    tokenizer: Tokenizer,
    manifest: Manifest,
    id: String,
}

impl Encoder {
    /// Holds the files of a model against their manifest, and reads all but its graph.
    ///
    /// # Errors
    /// [`ClassifyError::Mismatch`] for files that do not fit.
    pub fn load(files: &ModelFiles<'_>) -> Result<Self, ClassifyError> {
        let manifest = Manifest::check(files.manifest, files.model, files.tokenizer)?;
        let mut tokenizer = Tokenizer::from_bytes(files.tokenizer)
            .map_err(|e| ClassifyError::Mismatch(format!("tokenizer.json: {e}")))?;
        // A truncating tokenizer would leave text unjudged; windows are cut here instead.
        tokenizer.with_truncation(None).map_err(|e| ClassifyError::Mismatch(e.to_string()))?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, manifest, id: digest::short(files.manifest) })
    }

    /// The sequences that together cover `input`, with the side that they are judged on.
    ///
    /// # Errors
    /// [`ClassifyError::Inference`] for a text that the tokenizer does not take.
    pub fn encode(&self, input: &Input) -> Result<(Side, Vec<Sequence>), ClassifyError> {
        window::sequences(input, &self.manifest, |text| {
            let encoding = self.tokenizer.encode_fast(text, false).map_err(ClassifyError::inference)?;
            Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
        })
    }

    /// What the logits of one sequence say: one for each label of the manifest.
    ///
    /// # Errors
    /// [`ClassifyError::Inference`] for another number of them, or for one that is not a number.
    pub fn scores(&self, side: Side, logits: &[f32]) -> Result<Scores, ClassifyError> {
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(ClassifyError::inference("the model gave a value that is not a number"));
        }
        let too_few = || ClassifyError::inference("the model gave too few outputs");
        let (&[violation, manipulation, crisis, refusal], types) =
            logits.split_first_chunk::<{ HEADS.len() }>().ok_or_else(too_few)?;
        let another_number = |_| ClassifyError::inference("the model gave another number of types");
        let calibration = self.manifest.calibration(side);
        Ok(Scores {
            violation: calibration.violation.probability(violation),
            manipulation: calibration.manipulation.probability(manipulation),
            crisis: calibration.crisis.probability(crisis),
            refusal: calibration.refusal.probability(refusal),
            types: softmax(types).try_into().map_err(another_number)?,
            early: false,
        })
    }

    /// What the manifest says of the model.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A short hash of the manifest, which names the model.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
