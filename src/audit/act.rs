//! What people do to the guardrail, and to what it knows: who put which policy in force, who read a kept text, and why. Acts
//! are chained and each is signed, apart from the decisions, so that they outlive them.

use super::chain::link;
use super::key::{Public, Signing};
use crate::console::account::Role;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the first act is chained to.
pub const GENESIS: &str = "nonnocere acts";

/// The name under which the proxy acts by itself.
pub const OURSELVES: &str = "nonnocere";

/// Whose word something is, and why.
#[derive(Clone, Debug)]
pub struct Word {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether a key may sign that has signed nothing in this store yet.
    pub new_key: bool,
}

/// What a word lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Whose it is.
    Name,
    /// Why.
    Reason,
}

impl Word {
    /// Whether it says anything.
    ///
    /// # Errors
    /// What is missing.
    pub fn checked(&self) -> Result<(), Lack> {
        match [self.by.trim(), self.reason.trim()] {
            ["", _] => Err(Lack::Name),
            [_, ""] => Err(Lack::Reason),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "expected a name",
            Self::Reason => "expected a reason",
        })
    }
}

/// Something that was done. Its JSON is what is chained, so that its fields only ever grow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// When, in microseconds since 1970.
    pub time: i64,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Deed {
    /// A version of the policy waits for someone else to approve of it.
    Proposed(Candidate),
    /// A version of the policy came in force.
    Promoted {
        /// The version.
        #[serde(flatten)]
        candidate: Candidate,
        /// Who proposed it, where someone else approved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposed_by: Option<String>,
    },
    /// A version of the policy was taken back.
    RolledBack {
        /// The version that went.
        version: i64,
        /// The one that is in force again, or still.
        to: i64,
    },
    /// A version went into the shadow, since it stopped too much.
    FellBack {
        /// The version that went.
        version: i64,
        /// The one that is in force again, or still.
        to: i64,
        /// Messages that it stopped and the other would have let pass, less those that reviewers say violate.
        stopped: u64,
        /// Of how many.
        of: u64,
    },
    /// A kept text was read.
    Read {
        /// The event that it belongs to.
        event: String,
    },
    /// Labelled texts were written out for training.
    Exported {
        /// The events whose texts were.
        events: Vec<String>,
    },
    /// The text of a policy was written down, to be tried; it changes nothing.
    DraftSaved {
        /// The draft's name.
        draft: String,
        /// The SHA-256 of its text.
        digest: String,
    },
    /// A draft was thrown away.
    DraftRemoved {
        /// The draft's name.
        draft: String,
    },
    /// Someone signed in to the console.
    SignedIn {
        /// How: `password`, or the name of who vouched for them.
        with: String,
    },
    /// Someone signed out of the console.
    SignedOut,
    /// An account of the console was changed.
    AccountChanged {
        /// The account.
        account: String,
        /// What was changed.
        change: Change,
    },
    /// A reviewer said something of a decision; who did is who acts.
    Labelled {
        /// The event that was reviewed.
        event: String,
        /// Which of its messages: `prompt` or `completion`.
        direction: String,
        /// What they say: `correct`, `over-blocked`, `missed`.
        mark: String,
        /// The principle that they see violated, if they say so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principle: Option<String>,
    },
    /// The chain was proven.
    Verified {
        /// Whether all is as it was written.
        holds: bool,
        /// Decisions that were read.
        decisions: u64,
        /// The place of the last one.
        until: i64,
    },
    /// Decisions were written out, without texts.
    Downloaded {
        /// Those from this time on, in microseconds since 1970.
        from: i64,
        /// Those before this time.
        until: i64,
        /// Of this tenant only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
        /// `jsonl`, `csv` or `parquet`.
        format: String,
    },
}

/// What was changed of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was made, with this role.
    Added(Role),
    /// It has this role now.
    Role(Role),
    /// It has another password.
    Password,
    /// It is gone.
    Removed,
}

impl Deed {
    /// Whether it says which policy is in force. The others say nothing of it, by whichever key they are signed.
    #[must_use]
    pub const fn is_of_policy(&self) -> bool {
        match self {
            Self::Proposed(_) | Self::Promoted { .. } | Self::RolledBack { .. } | Self::FellBack { .. } => true,
            Self::Read { .. }
            | Self::Exported { .. }
            | Self::DraftSaved { .. }
            | Self::DraftRemoved { .. }
            | Self::SignedIn { .. }
            | Self::SignedOut
            | Self::AccountChanged { .. }
            | Self::Labelled { .. }
            | Self::Verified { .. }
            | Self::Downloaded { .. } => false,
        }
    }
}

/// A version of a policy, and what was known of it when it was to come in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The version.
    pub version: i64,
    /// `name@hash` of the policy.
    pub policy: String,
    /// The SHA-256 of its texts, as they are kept.
    pub digest: String,
    /// The percentage of conversations that it is for: 0 for the shadow, 100 for all.
    pub share: f64,
    /// How many tests it carries; all held.
    pub tests: usize,
    /// The model that they held by.
    pub model: String,
    /// What it would have done with the decisions on record.
    pub backtest: Measured,
}

/// A backtest, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// From when on, in microseconds since 1970.
    pub since: i64,
    /// Decisions that were read.
    pub decisions: u64,
    /// How many of them were stopped.
    pub stopped: u64,
    /// How many would be, of those that can be told.
    pub would_stop: u64,
    /// Those that are now stopped and were not.
    pub newly_stopped: u64,
    /// Those that were stopped and are not any more.
    pub newly_passed: u64,
    /// Those that cannot be told: their text would be needed, or nothing was judged.
    #[serde(default)]
    pub untold: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decisions, stopped, would_stop, newly_stopped, newly_passed, untold, .. } = self;
        if *decisions == 0 {
            return f.write_str("nothing is on record to hold it against");
        }
        let untold = if *untold > 0 { format!(", {untold} cannot be told") } else { String::new() };
        write!(
            f,
            "of {decisions} decisions on record {stopped} were stopped, {would_stop} would be ({newly_stopped} newly stopped, \
             {newly_passed} newly passed{untold})"
        )
    }
}

/// An act as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Its place in the chain of acts, from 1.
    pub seq: i64,
    /// The [`Act`], as JSON.
    pub body: String,
    /// The hash of the body, after the act before it.
    pub hash: String,
    /// The key that signed, in base64.
    pub key: String,
    /// The signature, in base64.
    pub signature: String,
}

impl Signed {
    /// Signs an act that follows on the one at `seq` whose hash is `before`.
    #[must_use]
    pub fn after((seq, before): (i64, &str), body: String, key: &Signing) -> Self {
        let (seq, hash) = (seq + 1, link(before, &body));
        let signature = key.sign(&said(seq, &hash));
        Self { seq, body, hash, key: key.public().to_string(), signature }
    }

    /// Whether one of `keys` signed it as it stands.
    #[must_use]
    pub fn is_by(&self, keys: &[Public]) -> bool {
        keys.iter().any(|key| key.to_string() == self.key && key.signed(&said(self.seq, &self.hash), &self.signature))
    }
}

/// The acts in their order.
///
/// # Errors
/// The place of the first one that was changed, moved, removed, or signed by none of `keys`.
pub fn proven(acts: &[Signed], keys: &[Public]) -> Result<Vec<Act>, i64> {
    read((0, GENESIS), acts, |signed, _| signed.is_by(keys))
}

/// The acts after the one at a place with a hash, for whoever follows the policy: that somebody read or labelled something, or signed in, says
/// nothing of it, by whichever key it is signed.
///
/// # Errors
/// The place of the first one that does not hold.
pub fn followed(after: (i64, &str), acts: &[Signed], keys: &[Public]) -> Result<Vec<Act>, i64> {
    read(after, acts, |signed, act| !act.deed.is_of_policy() || signed.is_by(keys))
}

fn read((last, hash): (i64, &str), acts: &[Signed], holds: impl Fn(&Signed, &Act) -> bool) -> Result<Vec<Act>, i64> {
    let (mut before, mut found) = (hash, Vec::new());
    for (place, signed) in (last + 1..).zip(acts) {
        let act = serde_json::from_str(&signed.body);
        let is_next = signed.seq == place && signed.hash == link(before, &signed.body);
        match act {
            Ok(act) if is_next && holds(signed, &act) => found.push(act),
            _ => return Err(place),
        }
        before = &signed.hash;
    }
    Ok(found)
}

fn said(seq: i64, hash: &str) -> String {
    format!("nonnocere act {seq} {hash}")
}
