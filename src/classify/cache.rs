//! What was judged is not judged again: the history of a conversation comes with each of its turns.
//!
//! Keys are keyed hashes: the cache holds no text, and nobody outside can aim at a collision.

use super::Input;
use super::pool::Asking;
use super::reading::Judged;
use lru::LruCache;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A hash under two keys of this process.
pub type Key = u128;

/// Two hash functions that only this process knows.
#[derive(Default)]
pub struct Keys([RandomState; 2]);

impl Keys {
    /// The key of `value`.
    pub fn of<T: std::hash::Hash>(&self, value: &T) -> Key {
        let [first, second] = &self.0;
        Key::from(first.hash_one(value)) << 64 | Key::from(second.hash_one(value))
    }
}

/// The verdicts on the inputs that were judged last.
pub struct Cache {
    keys: Keys,
    verdicts: Option<Mutex<LruCache<Key, Judged>>>,
}

impl Cache {
    /// Room for `size` verdicts of about 300 bytes; 0 for none.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { keys: Keys::default(), verdicts: NonZeroUsize::new(size).map(|size| Mutex::new(LruCache::new(size))) }
    }

    /// The key of each input, and its verdict where it is known: to this tenant, and as thoroughly as is asked.
    pub(super) fn look_up(&self, asking: Asking<'_>, inputs: &[Input]) -> Vec<(Key, Option<Judged>)> {
        let keys: Vec<Key> = inputs.iter().map(|input| self.keys.of(&(asking.tenant, input))).collect();
        let suffices = |judged: &&Judged| !(asking.thorough && judged.scores.early);
        match self.open() {
            Some(mut verdicts) => {
                keys.into_iter().map(|key| (key, verdicts.get(&key).filter(suffices).cloned())).collect()
            }
            None => keys.into_iter().map(|key| (key, None)).collect(),
        }
    }

    /// Remembers verdicts.
    pub(super) fn keep(&self, judged: impl IntoIterator<Item = (Key, Judged)>) {
        if let Some(mut verdicts) = self.open() {
            for (key, judged) in judged {
                verdicts.put(key, judged);
            }
        }
    }

    fn open(&self) -> Option<MutexGuard<'_, LruCache<Key, Judged>>> {
        // Nothing can panic while it is held, so a poisoned lock holds a sound cache.
        self.verdicts.as_ref().map(|verdicts| verdicts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Scores;
    use crate::detect::Coverage;

    #[test]
    fn what_was_kept_is_found_and_the_oldest_goes_first() {
        let cache = Cache::new(2);
        let inputs: Vec<Input> = ["a", "b", "c"].map(|text| Input::Prompt(text.to_owned())).into();
        let judged = Judged { scores: Scores { violation: 0.5, ..Scores::NONE }, coverage: Coverage::Full };
        for (key, found) in cache.look_up(Asking::default(), &inputs) {
            assert_eq!(found, None);
            cache.keep([(key, judged.clone())]);
        }
        let found: Vec<bool> =
            cache.look_up(Asking::default(), &inputs).into_iter().map(|(_, found)| found.is_some()).collect();
        assert_eq!(found, [false, true, true]);
    }

    #[test]
    fn nobody_is_told_what_was_judged_for_another_nor_less_than_they_ask_for() {
        let cache = Cache::new(4);
        let input = [Input::Prompt("a".to_owned())];
        let judged = Judged { scores: Scores { early: true, ..Scores::NONE }, coverage: Coverage::Full };
        let ours = Asking { tenant: Some("ours"), thorough: false };
        cache.keep(cache.look_up(ours, &input).into_iter().map(|(key, _)| (key, judged.clone())));
        let found = |asking| cache.look_up(asking, &input)[0].1.is_some();
        assert!(found(ours));
        assert!(!found(Asking { thorough: true, ..ours }));
        assert!(!found(Asking { tenant: Some("theirs"), ..ours }) && !found(Asking::default()));
    }

    #[test]
    fn the_side_of_a_text_is_part_of_its_key() {
        let keys = Keys::default();
        let turn = |context: &str| Input::Conversation { context: context.to_owned(), turn: "a".to_owned() };
        assert_ne!(keys.of(&Input::Prompt("a".to_owned())), keys.of(&turn("")));
        assert_ne!(keys.of(&turn("")), keys.of(&turn("b")));
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let cache = Cache::new(0);
        let input = [Input::Prompt("a".to_owned())];
        let judged = Judged { scores: Scores::NONE, coverage: Coverage::Full };
        cache.keep(cache.look_up(Asking::default(), &input).into_iter().map(|(key, _)| (key, judged.clone())));
        assert_eq!(cache.look_up(Asking::default(), &input)[0].1, None);
    }
}
