//! ONNX Runtime called directly with the sequences that the guard would judge: what no guard around this graph can be below.

use crate::common::Fault;
use nonnocere::classify::encode::EMBEDDED;
use nonnocere::classify::manifest::Manifest;
use nonnocere::classify::{Input, window};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use std::time::{Duration, Instant};
use tokenizers::Tokenizer;

/// The graph that ships, and what cuts texts for it.
pub struct Raw {
    session: Session,
    inputs: Vec<String>,
    tokenizer: Tokenizer,
    manifest: Manifest,
}

impl Raw {
    /// On one thread, as the workers of the proxy run it.
    pub fn load() -> Result<Self, Fault> {
        let library = std::env::var("ORT_DYLIB_PATH").ok().filter(|path| !path.is_empty());
        let library =
            library.unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/target/onnxruntime/libonnxruntime.so").to_owned());
        let runtime = ort::init_from(library)?.with_telemetry(false).build()?;
        let builder = Session::builder(&runtime).and_then(|builder| Ok(builder.with_intra_threads(1)?));
        let mut builder = builder.map_err(|e| e.to_string())?;
        let session = builder.commit_from_memory(EMBEDDED.model)?;
        let inputs = session.inputs().iter().map(|input| input.name().to_owned()).collect();
        let mut tokenizer = Tokenizer::from_bytes(EMBEDDED.tokenizer)?;
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        let manifest = Manifest::check(EMBEDDED.manifest, EMBEDDED.model, EMBEDDED.tokenizer)?;
        Ok(Self { session, inputs, tokenizer, manifest })
    }

    /// How long the graph takes for all of an input, and how many tokens that is.
    pub fn judge(&mut self, input: &Input) -> Result<(Duration, usize), Fault> {
        let tokenize = |text: &str| -> Result<Vec<i64>, Fault> {
            Ok(self.tokenizer.encode_fast(text, false)?.get_ids().iter().map(|id| i64::from(*id)).collect())
        };
        let (_, sequences) = window::sequences(input, &self.manifest, tokenize)?;
        let (mut took, mut tokens) = (Duration::ZERO, 0);
        for sequence in sequences {
            let length = sequence.ids.len();
            tokens += length;
            let start = Instant::now();
            let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
            for name in &self.inputs {
                let of = match name.as_str() {
                    "input_ids" => sequence.ids.clone(),
                    "attention_mask" => vec![1; length],
                    // It answers early where the guard would let it.
                    "may_exit" => {
                        values.push((name, Tensor::from_array(([1], vec![true]))?.into()));
                        continue;
                    }
                    _ => sequence.types.clone(),
                };
                values.push((name, Tensor::from_array(([1, length], of))?.into()));
            }
            drop(self.session.run(values)?);
            took += start.elapsed();
        }
        Ok((took, tokens))
    }
}
