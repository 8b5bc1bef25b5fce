//! Tamper evidence: each stored decision is hashed with the hash of the one before it, and the hash is signed every so often.
//!
//! Whoever can write to the store can change a decision, and compute every hash after it anew; but not the signatures, for
//! which they would need the key. What they can do is cut the chain short behind a signature: whoever must rule that out
//! keeps signatures elsewhere too, from the log.

use super::key::{Public, Signing};
use sha2::{Digest, Sha256};

/// What the first decision is chained to.
pub const GENESIS: &str = "nonnocere";

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// How many decisions there are, those that were pruned too.
    pub seq: i64,
    /// The hash of the last one.
    pub hash: String,
}

/// A signed hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The decision that it is of.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
    /// Why it was signed.
    pub reason: Reason,
    /// When, in microseconds since 1970.
    pub time: i64,
    /// The key, in base64.
    pub key: String,
    /// The signature, in base64.
    pub signature: String,
}

/// Why a hash is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Every so often, and at the end.
    Regular,
    /// Because the decisions up to it were pruned.
    Pruned,
}

impl Reason {
    /// The word in the store.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Pruned => "pruned",
        }
    }

    /// The reason of this word.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        [Self::Regular, Self::Pruned].into_iter().find(|reason| reason.id() == id)
    }
}

/// The hash of a decision whose JSON is `body`, after the one whose hash is `before`.
#[must_use]
pub fn link(before: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    // Their lengths too, so that nothing can be moved from one to the other.
    for part in [before, body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

impl Checkpoint {
    /// Signs the end of a chain.
    #[must_use]
    pub fn sign(Tail { seq, hash }: &Tail, reason: Reason, time: i64, key: &Signing) -> Self {
        let signature = key.sign(&said(*seq, hash, reason, time));
        Self { seq: *seq, hash: hash.clone(), reason, time, key: key.public().to_string(), signature }
    }

    /// Whether it was signed by `key` as it stands.
    #[must_use]
    pub fn is_by(&self, key: &Public) -> bool {
        key.signed(&said(self.seq, &self.hash, self.reason, self.time), &self.signature)
    }
}

/// What is signed.
fn said(seq: i64, hash: &str, reason: Reason, time: i64) -> String {
    format!("nonnocere audit {seq} {hash} {} {time}", reason.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_what_is_before_and_on_what_is_said() {
        let link = |before, body| super::link(before, body);
        let all = [link("a", "bc"), link("ab", "c"), link("", "abc"), link("a", "bd")];
        assert!(all.iter().enumerate().all(|(place, one)| !all[..place].contains(one)));
        assert_eq!(all[0].len(), 64);
    }

    #[test]
    fn a_checkpoint_holds_only_as_it_was_signed() {
        let (key, other) = (Signing::random().unwrap(), Signing::random().unwrap());
        let tail = Tail { seq: 7, hash: link(GENESIS, "{}") };
        let signed = Checkpoint::sign(&tail, Reason::Regular, 5, &key);
        assert!(signed.is_by(&key.public()) && !signed.is_by(&other.public()));
        for changed in [
            Checkpoint { seq: 8, ..signed.clone() },
            Checkpoint { hash: link("x", "{}"), ..signed.clone() },
            Checkpoint { reason: Reason::Pruned, ..signed.clone() },
            Checkpoint { time: 6, ..signed.clone() },
            Checkpoint { signature: String::new(), ..signed.clone() },
        ] {
            assert!(!changed.is_by(&key.public()), "{changed:?}");
        }
    }
}
