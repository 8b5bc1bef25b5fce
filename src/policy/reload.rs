//! Keeps the live policy: a request takes one snapshot, and neither a bad file nor a policy that fails its own tests ever
//! replaces a good one.

use super::Policy;
use super::file::{self, Fault};
use super::shipped::{self, Shipped};
use crate::guard::Guard;
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The policy in force, and where a new one comes from.
pub struct Live {
    current: ArcSwap<Policy>,
    source: Source,
    /// Held while a new one is read and proven, so that the last that was read is the one in force.
    renewing: Mutex<()>,
}

/// Where a policy is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A policy inside the binary.
    Shipped(&'static Shipped),
    /// A file, read again at each reload.
    File(PathBuf),
}

impl Source {
    /// What a configuration names: a shipped policy, or a file; the default policy where it names nothing.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let shipped = if name.is_empty() { Some(shipped::DEFAULT) } else { shipped::named(name) };
        shipped.map_or_else(|| Self::File(PathBuf::from(name)), Self::Shipped)
    }

    /// Reads and checks the policy.
    ///
    /// # Errors
    /// Every [`Fault`]; a file that cannot be read is one.
    pub fn read(&self) -> Result<Policy, Vec<Fault>> {
        match self {
            Self::Shipped(shipped) => file::parse(shipped.file, shipped.text),
            Self::File(path) => file::open(path),
        }
    }
}

impl Live {
    /// The policy that `source` holds now.
    ///
    /// # Errors
    /// Every [`Fault`] of it.
    pub fn load(source: Source) -> Result<Self, Vec<Fault>> {
        let current = ArcSwap::from_pointee(source.read()?);
        Ok(Self { current, source, renewing: Mutex::new(()) })
    }

    /// The policy in force; whoever asks keeps it, whatever comes after.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Reads the source again, and puts the policy in force for requests that come from now on.
    ///
    /// # Errors
    /// Every [`Fault`], or every test that does not hold by `guard`; the old policy stays.
    pub async fn reload(&self, guard: &Guard) -> Result<Arc<Policy>, Vec<String>> {
        let _renewing = self.renewing.lock().await;
        let policy = self.source.read().map_err(|faults| shown(&faults))?;
        prove(&policy, guard).await?;
        let policy = Arc::new(policy);
        self.current.store(Arc::clone(&policy));
        Ok(policy)
    }

    /// Whether the source holds another policy than `known`, which is what it was found to hold last; and what it holds now.
    #[must_use]
    pub fn changed(&self, known: &str) -> Option<String> {
        let found = match self.source.read() {
            Ok(policy) => policy.to_string(),
            Err(faults) => shown(&faults).join("\n"),
        };
        (found != known).then_some(found)
    }
}

/// How a fault begins that is not the policy's.
pub const UNJUDGED: &str = "the model could not judge the policy's tests";

/// Whether a policy passes its own tests.
///
/// # Errors
/// A line for each that does not hold; or that the model cannot judge.
pub async fn prove(policy: &Policy, guard: &Guard) -> Result<(), Vec<String>> {
    match guard.try_policy(policy).await {
        Ok(broken) if broken.is_empty() => Ok(()),
        Ok(broken) => Err(shown(&broken)),
        Err(why) => Err(vec![format!("{UNJUDGED}: {why:?}")]),
    }
}

fn shown(all: &[impl ToString]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}
