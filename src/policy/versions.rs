//! Versions of the policy in the audit store: kept whole, with all that they extend, and in force by signed acts.

use super::Policy;
use super::file::{self, Text};
use super::promotion::Standing;
use super::reload::InForce;
use crate::audit::act::{Act, GENESIS, Signed, followed};
use crate::audit::key::Public;
use crate::audit::store::{Fault, Store};
use crate::digest;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The kept versions, for a fleet that follows them.
#[derive(Clone)]
pub struct Versions {
    store: Store,
    /// Whose signatures count.
    keys: Vec<Public>,
    /// What was seen and proven so far. What is there later must go on from it.
    seen: Arc<Mutex<Seen>>,
    /// Whether what is in force must be by the word of two.
    by_two: bool,
}

/// What is known of the versions.
#[derive(Clone, Default)]
pub struct Known {
    /// What was done with policies, in its order: of the readings, labels and sign-ins between, which are many, nothing is held.
    pub acts: Vec<Act>,
    /// What follows from it.
    pub standing: Standing,
    last: i64,
}

impl Known {
    /// The place of the last act, of whatever; 0 before the first.
    #[must_use]
    pub const fn last(&self) -> i64 {
        self.last
    }
}

/// What was proven, up to the act at its last place, which has this hash.
struct Seen {
    known: Known,
    hash: String,
}

impl Default for Seen {
    fn default() -> Self {
        Self { known: Known::default(), hash: GENESIS.to_owned() }
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
        self.store.last_act().await.map_err(unread)
    }

    /// What was done with policies, and what follows from it. Of what was proven before nothing is read again, as long as nobody
    /// has done anything with a policy since.
    ///
    /// # Errors
    /// When the store cannot be read, or an act is not as it was signed.
    pub async fn known(&self) -> Result<Known, String> {
        // Held while they are read: who reads more must not be overtaken by who read less.
        let mut seen = self.seen.lock().await;
        // Read before the acts: one that is added meanwhile is told of later.
        let told = self.store.last_witness().await.map_err(unread)?;
        let signed = self.since(&seen).await?;
        let mut acts = followed((seen.known.last, &seen.hash), &signed, &self.keys).map_err(broken)?;
        if acts.iter().any(|act| act.deed.is_of_policy()) {
            // What is in force is to change: all that it follows from is proven.
            let known = usize::try_from(seen.known.last).unwrap_or_default();
            acts = self.all().await?.into_iter().skip(known).collect();
        }
        // Nor may it be less than what the chain of decisions tells of.
        if let Some((place, hash)) = told
            && !self.holds((place, &hash), &signed).await?
        {
            return Err(format!("act {place}, of which the chain of decisions tells, is gone: someone cut acts off"));
        }
        if let Some(end) = signed.last() {
            (seen.known.last, seen.hash) = (end.seq, end.hash.clone());
        }
        acts.truncate(signed.len());
        acts.iter().for_each(|act| seen.known.standing.apply(act));
        seen.known.acts.extend(acts.into_iter().filter(|act| act.deed.is_of_policy()));
        Ok(seen.known.clone())
    }

    /// All that was done, in its order, proven from the first act on: readings, labels and the like too.
    ///
    /// # Errors
    /// As [`Versions::known`].
    pub async fn history(&self) -> Result<Vec<Act>, String> {
        let acts = self.all().await?;
        self.known().await?;
        Ok(acts)
    }

    async fn all(&self) -> Result<Vec<Act>, String> {
        followed((0, GENESIS), &self.store.acts().await.map_err(unread)?, &self.keys).map_err(broken)
    }

    /// The acts after those that were seen, which must still be there.
    async fn since(&self, seen: &Seen) -> Result<Vec<Signed>, String> {
        let last = seen.known.last;
        let (count, hash) = self.store.acts_up_to(last).await.map_err(unread)?;
        if last > 0 && hash.as_ref() != Some(&seen.hash) {
            return Err(format!("act {last}, which was seen before, is gone: someone cut acts off"));
        }
        if count != last {
            return Err(format!("of {last} acts that were seen before, {count} are there: someone removed some"));
        }
        self.store.acts_from(last + 1).await.map_err(unread)
    }

    /// Whether the act at a place has this hash, among `new` ones or before them.
    async fn holds(&self, (place, hash): (i64, &str), new: &[Signed]) -> Result<bool, String> {
        if let Some(act) = new.iter().find(|act| act.seq == place) {
            return Ok(act.hash == hash);
        }
        Ok(self.store.acts_up_to(place).await.map_err(unread)?.1.as_deref() == Some(hash))
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

fn unread(error: Fault) -> String {
    format!("the versions of the policy cannot be read: {error}")
}

fn broken(seq: i64) -> String {
    format!(
        "act {seq} was changed, moved or removed, or signed by a key that is not known; \
         `nonnocere policy history` shows it, and audit.trust names more keys"
    )
}
