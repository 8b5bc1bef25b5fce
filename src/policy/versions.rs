//! Versions of the policy in the audit store: kept whole, with all that they extend, and in force by signed acts.

use super::Policy;
use super::file::{self, Text};
use super::promotion::Standing;
use super::reload::InForce;
use crate::audit::act::{Act, followed};
use crate::audit::key::Public;
use crate::audit::store::Store;
use crate::digest;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The kept versions, for a fleet that follows them.
#[derive(Clone)]
pub struct Versions {
    store: Store,
    /// Whose signatures count.
    keys: Vec<Public>,
    /// The last act that was seen: its place and its hash. What is there later must go on from it.
    seen: Arc<Mutex<Option<(usize, String)>>>,
    /// Whether what is in force must be by the word of two.
    by_two: bool,
}

/// What is known of the versions.
pub struct Known {
    /// All that was done, in its order.
    pub acts: Vec<Act>,
    /// What follows from it.
    pub standing: Standing,
}

impl Known {
    /// The place of the last act; 0 before the first.
    #[must_use]
    pub fn last(&self) -> i64 {
        i64::try_from(self.acts.len()).unwrap_or(i64::MAX)
    }
}

impl Versions {
    /// The versions in `store`, as far as one of `keys` signed for them.
    #[must_use]
    pub fn new(store: Store, keys: Vec<Public>) -> Self {
        Self { store, keys, seen: Arc::default(), by_two: false }
    }

    /// The same, where nothing holds that one person alone put in force.
    #[must_use]
    pub fn by_two(self, by_two: bool) -> Self {
        Self { by_two, ..self }
    }

    /// Whether what is in force must be by the word of two.
    #[must_use]
    pub const fn is_by_two(&self) -> bool {
        self.by_two
    }

    /// The store that holds them.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Whose signatures count.
    #[must_use]
    pub fn keys(&self) -> &[Public] {
        &self.keys
    }

    /// The last act: its place and its hash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tail(&self) -> Result<Option<(i64, String)>, String> {
        let last = self.store.last_act().await;
        last.map_err(|error| format!("the versions of the policy cannot be read: {error}"))
    }

    /// What was done, and what follows from it.
    ///
    /// # Errors
    /// When the store cannot be read, or an act is not as it was signed.
    pub async fn known(&self) -> Result<Known, String> {
        // Held while they are read: who reads more must not be overtaken by who read less.
        let mut seen = self.seen.lock().await;
        // Read before the acts: one that is added meanwhile is told of later.
        let told = self.store.last_witness().await;
        let told = told.map_err(|error| format!("the versions of the policy cannot be read: {error}"))?;
        let acts =
            self.store.acts().await.map_err(|error| format!("the versions of the policy cannot be read: {error}"))?;
        let signed = &acts;
        let acts = followed(signed, &self.keys).map_err(|seq| {
            format!(
                "act {seq} was changed, moved or removed, or signed by a key that is not known; \
                 `nonnocere policy history` shows it, and audit.trust names more keys"
            )
        })?;
        if let Some((count, hash)) = &*seen
            && signed.get(count - 1).is_none_or(|act| act.hash != *hash)
        {
            return Err(format!("act {count}, which was seen before, is gone: someone cut acts off"));
        }
        // Nor may it be less than what the chain of decisions tells of.
        if let Some((place, hash)) = told
            && !signed.iter().any(|act| act.seq == place && act.hash == hash)
        {
            return Err(format!("act {place}, of which the chain of decisions tells, is gone: someone cut acts off"));
        }
        *seen = signed.last().map(|last| (signed.len(), last.hash.clone()));
        Ok(Known { standing: Standing::after(&acts), acts })
    }

    /// A version, exactly as it was signed for.
    ///
    /// # Errors
    /// When it is not there, or not what was signed for.
    pub async fn policy(&self, version: i64, standing: &Standing) -> Result<Policy, Vec<String>> {
        let texts = self.store.policy(version).await.map_err(|error| vec![format!("v{version}: {error}")])?;
        let texts = texts.ok_or_else(|| vec![format!("v{version}: no such version is kept")])?;
        if standing.digest(version) != Some(&digest::sha256(texts.as_bytes())) {
            return Err(vec![format!("v{version}: its texts are not those that were signed for")]);
        }
        let texts: Vec<Text> =
            serde_json::from_str(&texts).map_err(|error| vec![format!("v{version}: its texts: {error}")])?;
        let all = |faults: Vec<file::Fault>| faults.iter().map(|fault| format!("v{version}: {fault}")).collect();
        file::restore(&texts).map_err(all)
    }

    /// What is in force.
    ///
    /// # Errors
    /// When no version is, or one that is cannot be had.
    pub async fn in_force(&self) -> Result<InForce, Vec<String>> {
        // Read first: what is added meanwhile is found at the next look.
        let tail = self.tail().await.map_err(|why| vec![why])?;
        let Known { standing, .. } = self.known().await.map_err(|why| vec![why])?;
        let stable = standing.stable.ok_or_else(|| {
            vec!["no version of the policy is in force; `nonnocere policy promote POLICY` puts one there".to_owned()]
        })?;
        if let Some(version) = standing.by_one().filter(|_| self.by_two) {
            return Err(vec![format!(
                "v{version} was put in force by one person, and promotion.second_approver asks for two: promote it again, and have \
                 someone else approve"
            )]);
        }
        let (mut policy, mut tail) = (self.policy(stable, &standing).await?, tail);
        if let Some(version) = standing.shadow {
            // It decides nothing, so that nothing waits for it.
            match self.policy(version, &standing).await {
                Ok(shadow) => policy.beside = Some(Arc::new(shadow)),
                Err(faults) => {
                    tracing::error!(fault = faults.join("; "), "the version in the shadow cannot be had");
                    // It is tried again at the next look.
                    tail = None;
                }
            }
        }
        let canary = match standing.canary {
            Some((version, share)) => Some((Arc::new(self.policy(version, &standing).await?), share)),
            None => None,
        };
        Ok(InForce { policy: Arc::new(policy), canary, standing: Some(standing), tail })
    }

    /// Keeps a policy; gives its version and digest.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn keep(&self, policy: &Policy) -> anyhow::Result<(i64, String)> {
        let texts = serde_json::to_string(&policy.texts)?;
        let digest = digest::sha256(texts.as_bytes());
        Ok((self.store.keep_policy(&digest, &texts).await?, digest))
    }
}
