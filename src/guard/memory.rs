//! What this proxy refused: a client that drops our refusal from the history, as some do, is not refused for ever after.

use crate::classify::cache::{Key, Keys};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The user turns that were refused last, as keyed hashes.
pub(super) struct Refused {
    keys: Keys,
    turns: Mutex<LruCache<Key, ()>>,
}

/// 4,096 turns take about 300 kB.
const SIZE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

impl Default for Refused {
    fn default() -> Self {
        Self { keys: Keys::default(), turns: Mutex::new(LruCache::new(SIZE)) }
    }
}

impl Refused {
    /// Remembers that `turn` of a tenant was refused: what one may not ask, another may.
    pub(super) fn remember(&self, tenant: Option<&str>, turn: &str) {
        let key = self.keys.of(&(tenant, turn));
        self.open().put(key, ());
    }

    /// Whether `turn` of a tenant was refused.
    pub(super) fn knows(&self, tenant: Option<&str>, turn: &str) -> bool {
        let key = self.keys.of(&(tenant, turn));
        self.open().get(&key).is_some()
    }

    fn open(&self) -> MutexGuard<'_, LruCache<Key, ()>> {
        // Nothing can panic while it is held, so a poisoned lock holds sound turns.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
