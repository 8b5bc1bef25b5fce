//! The model that a configuration names, at work: in this process, or on a model server.

use crate::classify::cache::Cache;
use crate::classify::encode::{EMBEDDED, Encoder, ModelFiles};
use crate::classify::graph::{Graph, GraphClassifier};
use crate::classify::onnx::OnnxGraph;
use crate::classify::pool::Pool;
use crate::classify::remote::{Fault, Remote, RemoteGraph, Settings};
use crate::classify::{Classifier, ClassifyError};
use crate::config::Config;
use crate::metrics::Metrics;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;

/// Loads the model, once a worker, and starts the workers. `metrics` counts what becomes of asking a model server.
pub(super) fn start_pool(config: &Config, metrics: Option<&Arc<Metrics>>) -> anyhow::Result<Pool> {
    let folder = config.model.as_deref().map(Folder::read).transpose()?;
    let files = folder.as_ref().map_or(EMBEDDED, Folder::files);
    let encoder = Arc::new(Encoder::load(&files)?);
    let graphs =
        || (0..config.workers).map(|_| OnnxGraph::load(files.model, config.device)).collect::<Result<Vec<_>, _>>();
    let classifiers = match &config.remote {
        None => graphs()?.into_iter().map(|graph| here(&encoder, graph)).collect(),
        Some(settings) => {
            let remote =
                Arc::new(Remote::new(settings, Arc::clone(&encoder), metrics.cloned()).context(super::CERTIFICATES)?);
            check(&remote, settings)?;
            let local = if settings.has_local { graphs()? } else { Vec::new() };
            there((&remote, settings.workers), &encoder, local)
        }
    };
    let pool = Pool::start(classifiers, config.queue, config.deadline, Cache::new(config.remembered))?;
    Ok(pool.with_patience(config.patience))
}

fn here(encoder: &Arc<Encoder>, graph: OnnxGraph) -> Arc<dyn Classifier> {
    Arc::new(GraphClassifier::new(Arc::clone(encoder), graph, encoder.id().to_owned()))
}

/// Workers that ask a server; the graphs of this process are shared among them.
fn there(
    (remote, workers): (&Arc<Remote>, usize),
    encoder: &Arc<Encoder>,
    local: Vec<OnnxGraph>,
) -> Vec<Arc<dyn Classifier>> {
    let local: Vec<Arc<dyn Graph>> = local.into_iter().map(|graph| Arc::new(graph) as Arc<dyn Graph>).collect();
    let mut shared = local.iter().cycle();
    let worker = |_| {
        let graph = RemoteGraph::new(Arc::clone(remote), shared.next().cloned());
        Arc::new(GraphClassifier::new(Arc::clone(encoder), graph, remote.id())) as Arc<dyn Classifier>
    };
    (0..workers).map(worker).collect()
}

/// Whether a server can be asked, or need not be yet.
fn check(remote: &Remote, settings: &Settings) -> anyhow::Result<()> {
    match remote.check() {
        Ok(()) => Ok(()),
        Err(fault @ Fault::Mismatch(_)) => {
            anyhow::bail!("guard.remote.model: {fault}; docs/REMOTE.md says how it is served")
        }
        Err(fault) if settings.has_local => {
            tracing::warn!(%fault, "no model server can be asked yet; texts are judged in this process");
            Ok(())
        }
        Err(fault) => {
            anyhow::bail!(
                "guard.remote.url: {fault}; start it, or set guard.remote.fallback = \"local\" to judge in this process meanwhile"
            )
        }
    }
}

/// What is in a model folder.
struct Folder {
    model: Vec<u8>,
    tokenizer: Vec<u8>,
    manifest: Vec<u8>,
}

impl Folder {
    fn read(folder: &Path) -> Result<Self, ClassifyError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| ClassifyError::Mismatch(format!("{}: {e}", path.display())))
        };
        Ok(Self { model: read("model.onnx")?, tokenizer: read("tokenizer.json")?, manifest: read("manifest.json")? })
    }

    fn files(&self) -> ModelFiles<'_> {
        ModelFiles { model: &self.model, tokenizer: &self.tokenizer, manifest: &self.manifest }
    }
}
