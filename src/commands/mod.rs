//! What the binary can do, one file a subcommand.

pub mod account;
pub mod audit;
pub mod backtest;
pub mod check;
pub mod demo;
pub mod demonstrations;
pub mod eval;
pub mod explain;
pub mod export;
pub mod hush;
pub mod keys;
pub mod log;
mod model;
pub mod policy;
pub mod promote;
pub mod reveal;
pub mod serve;
pub mod training;

use crate::audit::act::{Lack, Word};
use crate::audit::key::{Public, Signing};
use crate::audit::retention::Retention;
use crate::audit::store::Store;
use crate::audit::vault::Vault;
use crate::classify::pool::Pool;
use crate::config::{Audit, Config, VaultSettings};
use crate::policy::Policy;
use crate::policy::reload::{Live, Source};
use crate::policy::versions::Versions;
use std::path::Path;

/// Where TLS is to be spoken.
const CERTIFICATES: &str = "the system's TLS certificates; install ca-certificates";

/// What commands run on: a thread for each core.
///
/// # Errors
/// When its threads cannot be started.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// The model that `config` names, at work.
fn start_pool(config: &Config) -> anyhow::Result<Pool> {
    model::start_pool(config, None)
}

/// The policy that `config` names, live.
async fn policy_of(config: &Config) -> anyhow::Result<Live> {
    match &config.policy {
        Source::Store => {
            let live = Live::follow(versions(config).await?).await;
            live.map_err(|found| faults("no policy can be put in force", &found))
        }
        source => Live::load(source.clone()).map_err(|found| faults("the policy is not valid", &found)),
    }
}

/// The versions of the policy in the audit store.
async fn versions(config: &Config) -> anyhow::Result<Versions> {
    let (audit, store) = audit::open(config).await?;
    Ok(Versions::new(store, trusted(audit)?).by_two(config.promotion.second_approver))
}

/// The policy of this name: `v3` for a version in the audit store, a shipped one, or a file.
async fn policy_named(config: &Config, name: &str) -> anyhow::Result<Policy> {
    let invalid = |found: &[String]| faults("the policy is not valid", found);
    let Some(version) = name.strip_prefix('v').and_then(|version| version.parse().ok()) else {
        let read = Source::named(name).read();
        return read.map_err(|found| faults("the policy is not valid", &found));
    };
    let versions = versions(config).await?;
    let known = versions.known().await.map_err(|why| anyhow::anyhow!(why))?;
    versions.policy(version, &known.standing).await.map_err(|found| invalid(&found))
}

/// How long what is in the store is kept.
fn retention(audit: &Audit, store: Store) -> anyhow::Result<Retention> {
    let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
    Ok(Retention { store, key, keys: trusted(audit)?, decisions: audit.retention })
}

/// What seals the texts of decisions, where they are kept. A key is made by whoever seals first, and by nobody who reads.
fn vault(audit: &Audit, may_make: bool) -> anyhow::Result<Option<Vault>> {
    let open = |VaultSettings { key, secret, retention }: &VaultSettings| {
        Vault::open((key, may_make), secret.reveal(), *retention)
    };
    audit.vault.as_ref().map(open).transpose().map_err(|why| anyhow::anyhow!(why))
}

/// The keys whose signatures count.
fn trusted(audit: &Audit) -> anyhow::Result<Vec<Public>> {
    let mut keys = audit.trust.clone();
    // Whoever only looks may not have the key, and must not make one.
    if audit.key.exists() {
        keys.push(Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?.public());
    }
    Ok(keys)
}

/// The audit store that `audit` names, where it is there: whoever only looks makes none.
async fn find_store(audit: &Audit) -> anyhow::Result<Store> {
    let file = audit.url.reveal().strip_prefix("sqlite:").map(|file| file.trim_start_matches("//"));
    if let Some(file) = file.and_then(|file| file.split('?').next()).filter(|file| !file.starts_with(":memory:")) {
        anyhow::ensure!(Path::new(file).exists(), "audit.url: {file} is not there; nothing was recorded yet");
    }
    open_store(audit).await
}

/// The audit store that `audit` names, which is made where there is none.
async fn open_store(audit: &Audit) -> anyhow::Result<Store> {
    // The URL may hold a password.
    Store::open(audit.url.reveal()).await.map_err(|error| {
        anyhow::anyhow!(
            "audit.url: the store cannot be opened: {error}. Choose another, or \"none\" to keep no decisions"
        )
    })
}

/// Whether a word says whose it is, and why.
fn heard(word: &Word) -> anyhow::Result<()> {
    word.checked().map_err(|lack| match lack {
        Lack::Name => anyhow::anyhow!("--by: {lack}"),
        Lack::Reason => anyhow::anyhow!("--reason: {lack}"),
    })
}

/// One error that lists all faults, a line each.
fn faults(what: &str, faults: &[impl ToString]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{what}:\n  {}", lines.join("\n  "))
}
