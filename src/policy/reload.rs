//! Keeps the live policy: a request takes one snapshot, and neither a bad file nor a policy that fails its own tests ever
//! replaces a good one.

use super::Policy;
use super::file::{self, Fault};
use super::promotion::Standing;
use super::shipped::{self, Shipped};
use super::versions::Versions;
use crate::guard::Guard;
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What is in force, and where a new policy comes from.
pub struct Live {
    current: ArcSwap<InForce>,
    origin: Origin,
    /// Held while a new one is read and proven, so that the last that was read is the one in force.
    renewing: Mutex<()>,
}

enum Origin {
    Source(Source),
    Versions(Versions),
}

/// What is in force at a moment.
#[derive(Debug)]
pub struct InForce {
    /// The policy that holds for all but the canary's conversations.
    pub policy: Arc<Policy>,
    /// The canary, and the percentage of conversations that it holds for.
    pub canary: Option<(Arc<Policy>, f64)>,
    /// Which versions these are, where versions are kept.
    pub standing: Option<Standing>,
    /// The last act that it follows from, by its place and its hash.
    pub tail: Option<(i64, String)>,
}

impl InForce {
    /// The policy that holds for a conversation, each time that it is asked; what belongs to none is never the canary's.
    #[must_use]
    pub fn for_conversation(&self, conversation: Option<&str>) -> &Arc<Policy> {
        let (Some((canary, share)), Some(conversation)) = (&self.canary, conversation) else { return &self.policy };
        // Another canary is for other conversations, and all of a fleet agree which.
        let drawn = Sha256::new().chain_update(&canary.hash).chain_update([0]).chain_update(conversation).finalize();
        let (bytes, _) = drawn.split_at(4);
        let drawn = bytes.iter().fold(0.0, |drawn, byte| drawn * 256.0 + f64::from(*byte)) / f64::from(u32::MAX);
        if drawn * 100.0 < *share { canary } else { &self.policy }
    }
}

/// Where a policy is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A policy inside the binary.
    Shipped(&'static Shipped),
    /// A file, read again at each reload.
    File(PathBuf),
    /// The version in force in the audit store, and its canary.
    Store,
}

impl Source {
    /// What a configuration names: a shipped policy, the `store`, or a file; the default policy where it names nothing.
    #[must_use]
    pub fn named(name: &str) -> Self {
        if name == "store" {
            return Self::Store;
        }
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
            Self::Store => {
                let message = "is a version in the audit store, and no file".to_owned();
                Err(vec![Fault { file: "store".to_owned(), line: 1, key: String::new(), message }])
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
        let policy = Arc::new(source.read()?);
        let current = ArcSwap::from_pointee(InForce { policy, canary: None, standing: None, tail: None });
        Ok(Self { current, origin: Origin::Source(source), renewing: Mutex::new(()) })
    }

    /// What is in force by `versions`.
    ///
    /// # Errors
    /// When nothing is, or it cannot be had.
    pub async fn follow(versions: Versions) -> Result<Self, Vec<String>> {
        let current = ArcSwap::from_pointee(versions.in_force().await?);
        Ok(Self { current, origin: Origin::Versions(versions), renewing: Mutex::new(()) })
    }

    /// What is in force; whoever asks keeps it, whatever comes after.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// The policy that holds for all but the canary's conversations.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Policy> {
        Arc::clone(&self.current.load().policy)
    }

    /// The versions that it follows.
    #[must_use]
    pub const fn versions(&self) -> Option<&Versions> {
        match &self.origin {
            Origin::Versions(versions) => Some(versions),
            Origin::Source(_) => None,
        }
    }

    /// Reads the source again, and puts the policy in force for requests that come from now on.
    ///
    /// # Errors
    /// Every [`Fault`], or every test that does not hold by `guard`; the old policy stays.
    pub async fn reload(&self, guard: &Guard) -> Result<Arc<InForce>, Vec<String>> {
        let _renewing = self.renewing.lock().await;
        if let Origin::Versions(versions) = &self.origin {
            // Whoever asks has all acts proven, and not only the new ones.
            versions.history().await.map_err(|why| vec![why])?;
        }
        let found = self.read().await?;
        found.prove(guard).await?;
        let found = Arc::new(found);
        self.current.store(Arc::clone(&found));
        Ok(found)
    }

    /// Puts in force what is there now, where that is something else than what is in force; nothing where it is not.
    ///
    /// # Errors
    /// As [`Live::reload`].
    pub async fn renew(&self, guard: &Guard) -> Option<Result<Arc<InForce>, Vec<String>>> {
        let _renewing = self.renewing.lock().await;
        // The very thing that was found to be new is proven and put in force: read twice, it may not be the same.
        let found = match self.found_new().await {
            Ok(None) => return None,
            Ok(Some(found)) => found,
            Err(faults) => return Some(Err(faults)),
        };
        if let Err(faults) = found.prove(guard).await {
            return Some(Err(faults));
        }
        let found = Arc::new(found);
        self.current.store(Arc::clone(&found));
        Some(Ok(found))
    }

    async fn found_new(&self) -> Result<Option<InForce>, Vec<String>> {
        let current = self.in_force();
        if let Origin::Versions(versions) = &self.origin
            && versions.tail().await.map_err(|why| vec![why])? == current.tail
        {
            return Ok(None);
        }
        let found = self.read().await?;
        if found.is_as(&current) {
            // Something was done that changes nothing here: a text was read, for one.
            self.current.store(Arc::new(found));
            return Ok(None);
        }
        Ok(Some(found))
    }

    async fn read(&self) -> Result<InForce, Vec<String>> {
        match &self.origin {
            Origin::Versions(versions) => versions.in_force().await,
            Origin::Source(source) => {
                let source = source.clone();
                let read = tokio::task::spawn_blocking(move || source.read()).await;
                let policy = read.map_err(|error| vec![error.to_string()])?.map_err(|faults| shown(&faults))?;
                Ok(InForce { policy: Arc::new(policy), canary: None, standing: None, tail: None })
            }
        }
    }
}

impl InForce {
    /// Whether the same holds for everyone.
    fn is_as(&self, other: &Self) -> bool {
        let canary = |of: &Self| of.canary.as_ref().map(|(policy, share)| (policy.hash.clone(), share.to_bits()));
        let beside = |of: &Self| of.policy.beside.as_ref().map(|policy| policy.hash.clone());
        self.standing == other.standing
            && self.policy.hash == other.policy.hash
            && canary(self) == canary(other)
            && beside(self) == beside(other)
    }

    /// Whether what is in force passes its own tests.
    ///
    /// # Errors
    /// A line for each that does not hold; or that the model cannot judge.
    pub async fn prove(&self, guard: &Guard) -> Result<(), Vec<String>> {
        prove(&self.policy, guard).await?;
        match &self.canary {
            Some((canary, _)) => prove(canary, guard).await,
            None => Ok(()),
        }
    }
}

/// How a fault begins that is not the policy's.
const UNJUDGED: &str = "the model could not judge the policy's tests";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_holds_for_its_share_of_the_conversations_and_stays_with_them() {
        let policy = |name: &str| Arc::new(Source::named(name).read().unwrap());
        let with = |share| {
            let canary = Some((policy("patient"), share));
            InForce { policy: policy("ama"), canary, standing: None, tail: None }
        };
        let drawn = |in_force: &InForce| -> Vec<bool> {
            let names = (0..10_000).map(|number| format!("conversation {number}"));
            names.map(|name| in_force.for_conversation(Some(&name)).name == "patient").collect()
        };
        let (tenth, again, half) = (drawn(&with(10.0)), drawn(&with(10.0)), drawn(&with(50.0)));
        let count = |drawn: &[bool]| drawn.iter().filter(|drawn| **drawn).count();
        assert!((900..1100).contains(&count(&tenth)), "{}", count(&tenth));
        assert_eq!(tenth, again);
        assert!(tenth.iter().zip(&half).all(|(tenth, half)| !tenth || *half), "who had it keeps it when it grows");
        assert_eq!(with(100.0).for_conversation(None).name, "ama");
    }
}
