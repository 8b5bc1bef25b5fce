//! The graph that runs in this process, by ONNX Runtime. The only file that names `ort`.

use super::encode::{Encoder, ModelFiles};
use super::graph::{Graph, GraphClassifier, Logits};
use super::window::Sequence;
use super::{Care, ClassifyError};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// A classifier whose graph runs in this process.
pub type OnnxClassifier = GraphClassifier<OnnxGraph>;

impl OnnxClassifier {
    /// Loads a model after holding its files against their manifest.
    ///
    /// # Errors
    /// [`ClassifyError::Runtime`] without a usable ONNX Runtime, [`ClassifyError::Mismatch`] for files that do not fit.
    pub fn load(files: &ModelFiles<'_>) -> Result<Self, ClassifyError> {
        let encoder = Arc::new(Encoder::load(files)?);
        let id = encoder.id().to_owned();
        Ok(Self::new(encoder, OnnxGraph::load(files.model, Device::Cpu)?, id))
    }
}

/// What a graph runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// The NVIDIA GPU of this number; for a program that was built with the feature `cuda`.
    Cuda(i32),
}

impl Device {
    /// The device of this name: `cpu`, `cuda` for the first GPU, or `cuda:1`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "cpu" => Some(Self::Cpu),
            None if name == "cuda" => Some(Self::Cuda(0)),
            Some(("cuda", number)) => Some(Self::Cuda(number.parse::<u8>().ok()?.into())),
            _ => None,
        }
    }
}

/// An encoder with the heads that [`super::Scores`] names.
pub struct OnnxGraph {
    // `Session::run` takes `&mut self`. A pool gives each worker a graph of its own, so this is never contended.
    session: Mutex<Session>,
    /// Whether it wants to be told which tokens are padding.
    is_masked: bool,
    /// Whether it may answer early, and says whether it did.
    exits: bool,
}

impl OnnxGraph {
    /// Loads `model.onnx`, to be run on `device`.
    ///
    /// # Errors
    /// [`ClassifyError::Runtime`] without an ONNX Runtime that can be used on `device`, [`ClassifyError::Mismatch`] for what it
    /// does not take.
    pub fn load(model: &[u8], device: Device) -> Result<Self, ClassifyError> {
        let runtime = runtime()?;
        let mut builder = match device {
            Device::Cpu => builder(&runtime).map_err(ClassifyError::Runtime)?,
            Device::Cuda(number) => on_gpu(builder(&runtime).map_err(ClassifyError::Runtime)?, number)?,
        };
        let session = builder.commit_from_memory(model);
        let session = session.map_err(|e| ClassifyError::Mismatch(format!("model.onnx: {e}")))?;
        let reads = |name| session.inputs().iter().any(|input| input.name() == name);
        let (is_masked, exits) = (reads("attention_mask"), reads("may_exit"));
        Ok(Self { session: Mutex::new(session), is_masked, exits })
    }

    fn run(&self, sequence: Sequence, thorough: bool) -> Result<Logits, ClassifyError> {
        let length = sequence.ids.len();
        let tensor = |values: Vec<i64>| Tensor::from_array(([1, length], values)).map_err(ClassifyError::inference);
        let mut inputs = ort::inputs! {
            "input_ids" => tensor(sequence.ids)?,
            "token_type_ids" => tensor(sequence.types)?,
        };
        if self.is_masked {
            inputs.push(("attention_mask".into(), tensor(vec![1; length])?.into()));
        }
        if self.exits {
            let may_exit = Tensor::from_array(([1], vec![!thorough])).map_err(ClassifyError::inference)?;
            inputs.push(("may_exit".into(), may_exit.into()));
        }
        let mut session = self.session.lock().map_err(ClassifyError::inference)?;
        let outputs = session.run(inputs).map_err(ClassifyError::inference)?;
        let no_logits = || ClassifyError::inference("the graph has no output `logits`");
        let logits = outputs.get("logits").ok_or_else(no_logits)?;
        let (_, logits) = logits.try_extract_tensor::<f32>().map_err(ClassifyError::inference)?;
        let early = match outputs.get("exited") {
            Some(exited) if self.exits => {
                exited.try_extract_tensor::<bool>().map_err(ClassifyError::inference)?.1.first() == Some(&true)
            }
            _ => false,
        };
        Ok(Logits { values: logits.to_vec(), early })
    }
}

impl Graph for OnnxGraph {
    fn logits(&self, sequences: Vec<Sequence>, care: Care) -> Result<Vec<Logits>, ClassifyError> {
        // One sequence a run: padding costs time, and int8 activations are quantised over the whole batch, so that a
        // neighbour would change a text's scores.
        sequences.into_iter().map(|sequence| self.run(sequence, care.thorough)).collect()
    }

    fn may_exit(&self) -> bool {
        self.exits
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

fn builder(runtime: &Environment) -> Result<SessionBuilder, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    // Cores are shared by running workers side by side, not by splitting one small graph.
    let builder = Session::builder(runtime).map_err(|e| text(&e))?;
    let builder = builder.with_intra_threads(1).map_err(|e| text(&e))?;
    builder.with_inter_threads(1).map_err(|e| text(&e))
}

/// Has the graph run on a GPU. What has no kernel there runs on the processor; a provider that is missing is an error.
#[cfg(feature = "cuda")]
fn on_gpu(builder: SessionBuilder, number: i32) -> Result<SessionBuilder, ClassifyError> {
    let provider = ort::ep::CUDA::default().with_device_id(number).build().error_on_failure();
    builder.with_execution_providers([provider]).map_err(|e| {
        ClassifyError::Runtime(format!(
            "its CUDA provider cannot be used: {e}; take the library of the package onnxruntime-gpu, with its \
             libonnxruntime_providers_*.so beside it, install the CUDA and cuDNN that it is for, or set guard.device = \"cpu\""
        ))
    })
}

#[cfg(not(feature = "cuda"))]
fn on_gpu(_: SessionBuilder, _: i32) -> Result<SessionBuilder, ClassifyError> {
    let why = "this program was built without CUDA; build it with `cargo build --release --features cuda`, or set guard.device = \"cpu\"";
    Err(ClassifyError::Runtime(why.to_owned()))
}
