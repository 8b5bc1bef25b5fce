//! Which version of the policy holds: what follows from all that was proposed, promoted and taken back.

use crate::audit::act::{Act, Candidate, Deed};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

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
    /// What was put in force last, and since when, in microseconds since 1970; nothing once something was taken back, so that
    /// one fall is not the reason of the next.
    pub newest: Option<(i64, i64)>,
    /// The stable versions before, the last one last.
    before: Vec<i64>,
    /// What each version must be, by its digest.
    digests: BTreeMap<i64, String>,
    /// The versions that came in force by the word of two people the last time.
    by_two: BTreeSet<i64>,
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

    /// The stable versions before the one that is, the last one last.
    #[must_use]
    pub fn before(&self) -> &[i64] {
        &self.before
    }

    /// A version in force that came there by the word of one person alone.
    #[must_use]
    pub fn by_one(&self) -> Option<i64> {
        let in_force = self.stable.into_iter().chain(self.canary.map(|(version, _)| version));
        in_force.into_iter().find(|version| self.is_by_one(*version))
    }

    /// Whether a version came in force by the word of one person alone.
    #[must_use]
    pub fn is_by_one(&self, version: i64) -> bool {
        !self.by_two.contains(&version)
    }

    /// Adds what follows from one more act.
    pub fn apply(&mut self, act: &Act) {
        match &act.deed {
            Deed::Proposed(candidate) => {
                self.digests.insert(candidate.version, candidate.digest.clone());
                self.proposed = Some((candidate.clone(), act.by.clone()));
            }
            Deed::Promoted { candidate, .. } => {
                let proposed = self.proposed.take().filter(|(proposed, _)| proposed == candidate);
                if proposed.is_some_and(|(_, by)| !is_same(&by, &act.by)) {
                    self.by_two.insert(candidate.version);
                } else {
                    self.by_two.remove(&candidate.version);
                }
                self.digests.insert(candidate.version, candidate.digest.clone());
                self.promote(candidate, act.time);
            }
            Deed::RolledBack { version, to } => self.take_back(*version, *to),
            Deed::FellBack { version, to, .. } => {
                self.take_back(*version, *to);
                self.shadow = Some(*version);
            }
            // They say nothing of the policy.
            Deed::Read { .. }
            | Deed::Exported { .. }
            | Deed::DraftSaved { .. }
            | Deed::DraftRemoved { .. }
            | Deed::Labelled { .. }
            | Deed::SignedIn { .. }
            | Deed::SignedOut
            | Deed::AccountChanged { .. }
            | Deed::Verified { .. }
            | Deed::Downloaded { .. } => {}
        }
    }

    fn promote(&mut self, &Candidate { version, share, .. }: &Candidate, time: i64) {
        if self.stable == Some(version) {
            // It holds for all already: what is new is whose word it is by.
            return;
        }
        if self.shadow == Some(version) {
            self.shadow = None;
        }
        if share <= 0.0 {
            self.shadow = Some(version);
            self.canary = self.canary.filter(|(canary, _)| *canary != version);
            self.newest = self.newest.filter(|(newest, _)| *newest != version);
            return;
        }
        self.newest = Some((version, time));
        if share < 100.0 {
            self.canary = Some((version, share));
        } else {
            self.canary = None;
            self.before.extend(self.stable);
            self.stable = Some(version);
        }
    }

    fn take_back(&mut self, version: i64, to: i64) {
        self.newest = self.newest.filter(|(newest, _)| *newest != version);
        self.canary = self.canary.filter(|(canary, _)| *canary != version);
        self.shadow = self.shadow.filter(|shadow| ![version, to].contains(shadow));
        if self.stable == Some(to) {
            return;
        }
        // A canary stood beside the version that goes.
        (self.newest, self.canary) = (None, None);
        // What came between goes too: it is not what one would go back to.
        if let Some(place) = self.before.iter().rposition(|before| *before == to) {
            self.before.truncate(place);
        }
        self.stable = Some(to);
    }
}

/// Whether two names are one person's, however they are spelt: case, blanks, accents in two parts, look-alike letters.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let read = |name: &str| -> String {
        let letters = name.nfkc().flat_map(char::to_lowercase).filter(|letter| letter.is_alphanumeric());
        skeleton(&letters.collect::<String>()).collect()
    };
    read(one) == read(other)
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
            let Candidate { version, share, .. } = candidate;
            write!(f, "; v{version} {}, proposed by {by}, waits for someone else's approval", meant(*share))?;
        }
        Ok(())
    }
}

/// What a share means.
#[must_use]
pub fn meant(share: f64) -> String {
    match share {
        share if share <= 0.0 => "for the shadow".to_owned(),
        share if share < 100.0 => format!("for {share}% of the conversations"),
        _ => "for all conversations".to_owned(),
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
                "v1 is in force; v2 for 10% of the conversations, proposed by ana, waits for someone else's approval",
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
        assert_eq!((standing.before(), standing.digest(2), standing.digest(9)), (&[][..], Some("d2"), None));
        assert_eq!(standing.newest, None);
    }

    #[test]
    fn a_version_is_never_its_own_canary_or_shadow() {
        // Taken into the shadow by hand, it is watched no more, and nothing falls back because of it.
        let by_hand = [promoted(1, 100.0), promoted(2, 100.0), promoted(3, 50.0), promoted(3, 0.0)];
        assert_eq!(
            (shown(&by_hand).as_str(), Standing::after(&by_hand).newest),
            ("v2 is in force, v3 in the shadow", None)
        );
        // Ending a shadow ends nothing else.
        let other =
            [promoted(1, 100.0), promoted(2, 0.0), promoted(3, 50.0), act(Deed::RolledBack { version: 2, to: 1 })];
        assert_eq!(shown(&other), "v1 is in force, v3 for 50% of the conversations");
        assert_eq!(Standing::after(&other).newest, Some((3, 1)));
        let acts = [promoted(1, 100.0), promoted(2, 100.0), promoted(2, 0.0), promoted(2, 10.0)];
        assert_eq!(shown(&acts), "v2 is in force");
        let fallen = act(Deed::FellBack { version: 2, to: 1, stopped: 1, of: 2 });
        assert_eq!(shown(&[acts.as_slice(), &[fallen]].concat()), "v1 is in force, v2 in the shadow");
        // Back to a version that is in the shadow: it holds, and has none.
        let back =
            [promoted(1, 100.0), promoted(2, 100.0), promoted(1, 0.0), act(Deed::RolledBack { version: 2, to: 1 })];
        assert_eq!(shown(&back), "v1 is in force");
        let shadow = [promoted(1, 100.0), promoted(2, 0.0), act(Deed::RolledBack { version: 2, to: 1 })];
        assert_eq!(shown(&shadow), "v1 is in force");
    }

    #[test]
    fn what_one_person_put_in_force_is_known() {
        let by = |by: &str, deed: Deed| Act { by: by.into(), ..act(deed) };
        let approved = |who: &str, candidate: Candidate| {
            let proposed = by("Ana", Deed::Proposed(candidate.clone()));
            Standing::after(&[proposed, by(who, Deed::Promoted { candidate, proposed_by: Some("Ana".into()) })])
                .by_one()
        };
        assert_eq!(approved("ben", candidate(1, 100.0)), None);
        for who in ["ana", " ANA ", "a\u{200b}na", "\u{430}n\u{430}", "\u{ff41}na"] {
            assert_eq!(approved(who, candidate(1, 100.0)), Some(1), "{who}");
        }
        assert_eq!(Standing::after(&[promoted(1, 100.0)]).by_one(), Some(1));
        // What was approved is not what came in force.
        let other = [
            by("ana", Deed::Proposed(candidate(1, 5.0))),
            by("ben", Deed::Promoted { candidate: candidate(1, 100.0), proposed_by: Some("ana".into()) }),
        ];
        assert_eq!(Standing::after(&other).by_one(), Some(1));
    }
}
