//! Keeps the live policy: a request takes one snapshot, and a bad file never replaces a good policy.

use super::Policy;
use super::file::{self, Fault};
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::Arc;

/// The policy in force, and where a new one comes from.
pub struct Live {
    current: ArcSwap<Policy>,
    source: Source,
}

/// Where a policy is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The policy inside the binary.
    Embedded,
    /// A file, read again at each reload.
    File(PathBuf),
}

impl Source {
    /// Reads and checks the policy.
    ///
    /// # Errors
    /// Every [`Fault`]; a file that cannot be read is one.
    pub fn read(&self) -> Result<Policy, Vec<Fault>> {
        match self {
            Self::Embedded => file::parse("policies/ama.toml", file::EMBEDDED),
            Self::File(path) => {
                let name = path.display().to_string();
                match std::fs::read_to_string(path) {
                    Ok(text) => file::parse(&name, &text),
                    Err(e) => {
                        let message = format!("cannot be read: {e}");
                        Err(vec![Fault { file: name, line: 1, key: String::new(), message }])
                    }
                }
            }
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
        Ok(Self { current, source })
    }

    /// The policy in force; whoever asks keeps it, whatever comes after.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Reads the source again; gives the policy that is then in force.
    ///
    /// # Errors
    /// Every [`Fault`]; the old policy stays.
    pub fn reload(&self) -> Result<Arc<Policy>, Vec<Fault>> {
        let policy = Arc::new(self.source.read()?);
        self.current.store(Arc::clone(&policy));
        Ok(policy)
    }
}
