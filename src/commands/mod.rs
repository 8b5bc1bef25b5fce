//! What the binary can do, one file a subcommand.

pub mod audit;
pub mod check;
pub mod explain;
pub mod policy;
pub mod serve;

use crate::audit::store::Store;
use crate::classify::cache::Cache;
use crate::classify::onnx::{EMBEDDED, ModelFiles, OnnxClassifier};
use crate::classify::pool::Pool;
use crate::classify::{Classifier, ClassifyError};
use crate::config::{Audit, Config};
use crate::policy::reload::Live;
use std::path::Path;
use std::sync::Arc;

/// Loads the model that `config` names, once a worker, and starts the workers.
fn start_pool(config: &Config) -> anyhow::Result<Pool> {
    let load = || match &config.model {
        None => OnnxClassifier::load(&EMBEDDED),
        Some(folder) => load_folder(folder),
    };
    let mut classifiers: Vec<Arc<dyn Classifier>> = Vec::new();
    for _ in 0..config.workers {
        classifiers.push(Arc::new(load()?));
    }
    Ok(Pool::start(classifiers, config.queue, config.deadline, Cache::new(config.remembered))?)
}

fn load_folder(folder: &Path) -> Result<OnnxClassifier, ClassifyError> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|e| ClassifyError::Mismatch(format!("{}: {e}", path.display())))
    };
    let (model, tokenizer, manifest) = (read("model.onnx")?, read("tokenizer.json")?, read("manifest.json")?);
    OnnxClassifier::load(&ModelFiles { model: &model, tokenizer: &tokenizer, manifest: &manifest })
}

/// The policy that `config` names, live.
fn policy_of(config: &Config) -> anyhow::Result<Live> {
    Live::load(config.policy.clone()).map_err(|found| faults("the policy is not valid", &found))
}

/// The audit store that `audit` names.
async fn open_store(audit: &Audit) -> anyhow::Result<Store> {
    // The URL may hold a password.
    Store::open(audit.url.reveal()).await.map_err(|error| {
        anyhow::anyhow!(
            "audit.url: the store cannot be opened: {error}. Choose another, or \"none\" to keep no decisions"
        )
    })
}

/// One error that lists all faults, a line each.
fn faults(what: &str, faults: &[impl ToString]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{what}:\n  {}", lines.join("\n  "))
}
