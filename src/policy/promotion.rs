//! Which version of the policy holds: what follows from all that was proposed, promoted and taken back.

use crate::audit::act::{Act, Candidate, Deed};
use std::collections::BTreeMap;
use std::fmt;

/// Which versions are in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The version that holds for all but the canary's conversations.
    pub stable: Option<i64>,
    /// A version that holds for some conversations, and the percentage of them.
    pub canary: Option<(i64, f64)>,
    /// A version in the shadow: what it would do is recorded.
    pub shadow: Option<i64>,
    /// What waits for a second approver, and who proposed it.
    pub proposed: Option<(Candidate, String)>,
    /// When the stable version and the canary came in force, in microseconds since 1970.
    pub since: [i64; 2],
    /// The stable versions before, the last one last.
    before: Vec<i64>,
    /// What each version must be, by its digest.
    digests: BTreeMap<i64, String>,
}

impl Standing {
    /// What follows from all acts.
    #[must_use]
    pub fn after(acts: &[Act]) -> Self {
        let mut standing = Self::default();
        acts.iter().for_each(|act| standing.apply(act));
        standing
    }

    /// The SHA-256 of a version's texts, as it was signed.
    #[must_use]
    pub fn digest(&self, version: i64) -> Option<&str> {
        self.digests.get(&version).map(String::as_str)
    }

    /// The stable version before the one that is.
    #[must_use]
    pub fn previous(&self) -> Option<i64> {
        self.before.last().copied()
    }

    fn apply(&mut self, act: &Act) {
        match &act.deed {
            Deed::Proposed(candidate) => self.proposed = Some((candidate.clone(), act.by.clone())),
            Deed::Promoted { candidate, .. } => {
                self.digests.insert(candidate.version, candidate.digest.clone());
                self.proposed = None;
                self.promote(candidate, act.time);
            }
            Deed::RolledBack { version, to } => self.take_back(*version, *to, act.time),
            Deed::FellBack { version, to, .. } => {
                self.take_back(*version, *to, act.time);
                self.shadow = Some(*version);
            }
            Deed::Read { .. } | Deed::Exported { .. } => {}
        }
    }

    fn promote(&mut self, &Candidate { version, share, .. }: &Candidate, time: i64) {
        let [stable_since, canary_since] = &mut self.since;
        self.canary = None;
        if self.shadow == Some(version) {
            self.shadow = None;
        }
        if share <= 0.0 {
            self.shadow = Some(version);
        } else if share < 100.0 {
            self.canary = Some((version, share));
            *canary_since = time;
        } else if self.stable != Some(version) {
            self.before.extend(self.stable);
            self.stable = Some(version);
            *stable_since = time;
        }
    }

    fn take_back(&mut self, version: i64, to: i64, time: i64) {
        if self.canary.is_some_and(|(canary, _)| canary == version) {
            self.canary = None;
        } else if self.shadow == Some(version) {
            self.shadow = None;
        } else {
            // What came between goes too: it is not what one would go back to.
            while self.before.pop().is_some_and(|before| before != to) {}
            let [since, _] = &mut self.since;
            (self.stable, *since) = (Some(to), time);
            self.canary = None;
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stable {
            Some(version) => write!(f, "v{version} is in force")?,
            None => write!(f, "no version is in force")?,
        }
        if let Some((version, share)) = self.canary {
            write!(f, ", v{version} for {share}% of the conversations")?;
        }
        if let Some(version) = self.shadow {
            write!(f, ", v{version} in the shadow")?;
        }
        if let Some((candidate, by)) = &self.proposed {
            write!(f, "; v{}, proposed by {by}, waits for someone else's approval", candidate.version)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::act::Measured;

    fn act(deed: Deed) -> Act {
        Act { time: 1, by: "ana".into(), reason: "r".into(), deed }
    }

    fn candidate(version: i64, share: f64) -> Candidate {
        let (policy, digest) = (format!("p@{version}"), format!("d{version}"));
        Candidate { version, policy, digest, share, tests: 1, model: "m".into(), backtest: Measured::default() }
    }

    fn promoted(version: i64, share: f64) -> Act {
        act(Deed::Promoted { candidate: candidate(version, share), proposed_by: None })
    }

    fn shown(acts: &[Act]) -> String {
        Standing::after(acts).to_string()
    }

    #[test]
    fn versions_come_and_go() {
        let mut acts = vec![];
        assert_eq!(shown(&acts), "no version is in force");
        for (next, expected) in [
            (promoted(1, 100.0), "v1 is in force"),
            (
                act(Deed::Proposed(candidate(2, 10.0))),
                "v1 is in force; v2, proposed by ana, waits for someone else's approval",
            ),
            (promoted(2, 10.0), "v1 is in force, v2 for 10% of the conversations"),
            (act(Deed::FellBack { version: 2, to: 1, stopped: 1, of: 2 }), "v1 is in force, v2 in the shadow"),
            (promoted(2, 100.0), "v2 is in force"),
            (promoted(3, 100.0), "v3 is in force"),
            (act(Deed::RolledBack { version: 3, to: 2 }), "v2 is in force"),
            (act(Deed::RolledBack { version: 2, to: 1 }), "v1 is in force"),
            (promoted(3, 50.0), "v1 is in force, v3 for 50% of the conversations"),
            (act(Deed::RolledBack { version: 3, to: 1 }), "v1 is in force"),
            (promoted(3, 0.0), "v1 is in force, v3 in the shadow"),
            (promoted(2, 100.0), "v2 is in force, v3 in the shadow"),
            (promoted(3, 100.0), "v3 is in force"),
            (act(Deed::RolledBack { version: 3, to: 1 }), "v1 is in force"),
        ] {
            acts.push(next);
            assert_eq!(shown(&acts), expected, "after {}", acts.len());
        }
        let standing = Standing::after(&acts);
        assert_eq!((standing.previous(), standing.digest(2), standing.digest(9)), (None, Some("d2"), None));
    }
}
