//! The classifier that runs an ONNX graph in this process. The only file that names `ort` and `tokenizers`.

use super::manifest::{HEADS, Manifest, Side};
use super::window::{self, Sequence};
use super::{Classifier, ClassifyError, Input, Scores};
use crate::digest;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
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

/// An encoder with the heads that [`Scores`] names.
pub struct OnnxClassifier {
    // `Session::run` takes `&mut self`. A pool gives each worker a classifier of its own, so this is never contended.
    session: Mutex<Session>,
    tokenizer: Tokenizer,
    manifest: Manifest,
    id: String,
}

impl OnnxClassifier {
    /// Loads a model after holding its files against their manifest.
    ///
    /// # Errors
    /// [`ClassifyError::Runtime`] without a usable ONNX Runtime, [`ClassifyError::Mismatch`] for files that do not fit.
    pub fn load(files: &ModelFiles<'_>) -> Result<Self, ClassifyError> {
        let runtime = runtime()?;
        let manifest = Manifest::check(files.manifest, files.model, files.tokenizer)?;
        let mut tokenizer = Tokenizer::from_bytes(files.tokenizer)
            .map_err(|e| ClassifyError::Mismatch(format!("tokenizer.json: {e}")))?;
        // A truncating tokenizer would leave text unjudged; windows are cut here instead.
        tokenizer.with_truncation(None).map_err(|e| ClassifyError::Mismatch(e.to_string()))?;
        tokenizer.with_padding(None);
        let session =
            session(&runtime, files.model).map_err(|e| ClassifyError::Mismatch(format!("model.onnx: {e}")))?;
        let id = digest::short(files.manifest);
        Ok(Self { session: Mutex::new(session), tokenizer, manifest, id })
    }

    fn judge(&self, side: Side, sequence: Sequence) -> Result<Scores, ClassifyError> {
        let length = sequence.ids.len();
        let tensor = |values: Vec<i64>| Tensor::from_array(([1, length], values)).map_err(inference);
        let inputs = ort::inputs! {
            "input_ids" => tensor(sequence.ids)?,
            "attention_mask" => tensor(vec![1; length])?,
            "token_type_ids" => tensor(sequence.types)?,
        };
        let mut session = self.session.lock().map_err(inference)?;
        let outputs = session.run(inputs).map_err(inference)?;
        let logits = outputs.get("logits").ok_or_else(|| inference("the graph has no output `logits`"))?;
        let (_, logits) = logits.try_extract_tensor::<f32>().map_err(inference)?;
        self.scores(side, logits)
    }

    fn scores(&self, side: Side, logits: &[f32]) -> Result<Scores, ClassifyError> {
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(inference("the model gave a value that is not a number"));
        }
        let (&[violation, manipulation, crisis, refusal], types) =
            logits.split_first_chunk::<{ HEADS.len() }>().ok_or_else(|| inference("the model gave too few outputs"))?;
        let calibration = self.manifest.calibration(side);
        Ok(Scores {
            violation: calibration.violation.probability(violation),
            manipulation: calibration.manipulation.probability(manipulation),
            crisis: calibration.crisis.probability(crisis),
            refusal: calibration.refusal.probability(refusal),
            types: softmax(types).try_into().map_err(|_| inference("the model gave another number of types"))?,
        })
    }
}

impl Classifier for OnnxClassifier {
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        let tokenize = |text: &str| {
            let encoding = self.tokenizer.encode_fast(text, false).map_err(inference)?;
            Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
        };
        let score = |input| {
            let (side, sequences) = window::sequences(input, &self.manifest, tokenize)?;
            // One sequence a run: padding costs time, and int8 activations are quantised over the whole batch, so
            // that a neighbour would change a text's scores.
            let mut judged = sequences.into_iter().map(|sequence| self.judge(side, sequence));
            let first = judged.next().unwrap_or(Ok(Scores::NONE))?;
            judged.try_fold(first, |whole, next| Ok(whole.worst(next?)))
        };
        inputs.iter().map(score).collect()
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// The path of ONNX Runtime's shared library: `ORT_DYLIB_PATH`, or `onnxruntime/` beside the program or above it.
fn runtime_library() -> Result<PathBuf, ClassifyError> {
    const NAME: &str = "libonnxruntime.so";
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return match path.is_file() {
            true => Ok(path),
            false => Err(ClassifyError::Runtime(format!("ORT_DYLIB_PATH names {}, no such file", path.display()))),
        };
    }
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.ancestors().skip(1).take(4);
    let candidates = beside.flat_map(|folder: &Path| [folder.join(NAME), folder.join("onnxruntime").join(NAME)]);
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        ClassifyError::Runtime(format!(
            "{NAME} was not found beside the program; run `deploy/fetch-onnxruntime.sh`, or set ORT_DYLIB_PATH to it"
        ))
    })
}

/// ONNX Runtime, loaded once a process.
fn runtime() -> Result<Environment, ClassifyError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let path = runtime_library()?;
    let loaded = LOADED.get_or_init(|| {
        let environment = ort::init_from(&path).map_err(|e| {
            format!("{}: {e}; run `deploy/fetch-onnxruntime.sh` for a version that fits", path.display())
        })?;
        environment.with_name("nonnocere").with_telemetry(false).build().map_err(|e| e.to_string())
    });
    loaded.clone().map_err(ClassifyError::Runtime)
}

fn session(runtime: &Environment, model: &[u8]) -> Result<Session, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    // Cores are shared by running workers side by side, not by splitting one small graph.
    let builder = Session::builder(runtime).map_err(|e| text(&e))?;
    let builder = builder.with_intra_threads(1).map_err(|e| text(&e))?;
    let mut builder = builder.with_inter_threads(1).map_err(|e| text(&e))?;
    builder.commit_from_memory(model).map_err(|e| text(&e))
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn inference(why: impl ToString) -> ClassifyError {
    ClassifyError::Inference(why.to_string())
}
