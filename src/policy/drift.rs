//! Whether a policy stops too much of what the one before it would let pass: the same decisions, by both, and what reviewers say
//! of those on which they differ.
//!
//! Without reviewers nothing is known: what is newly stopped may be what the new policy was made for, and whoever sends enough
//! of it must not have the policy taken back.

use super::Policy;
use super::backtest::{Would, would};
use super::promotion::Standing;
use super::tune::Rate;
use super::versions::{Known, Versions};
use crate::audit::act::{Act, Deed, OURSELVES};
use crate::audit::decision::Decision;
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::audit::label::{Mark, settled, stopped};
use crate::audit::verify::verify;
use crate::config::Promotion;

/// How far back is looked, in microseconds: a day.
const BACK: i64 = 86_400_000_000;

/// How a new version is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// From when on it goes.
    pub promotion: Promotion,
    /// How many reviewers must say the same of a decision before it counts.
    pub reviewers: usize,
}

/// What was seen so far of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Messages that the policy before lets pass.
    pub of: u64,
    /// How many of them are stopped.
    pub stopped: u64,
    /// How many of those reviewers have settled, and say should not have been.
    pub reviewed: [u64; 2],
    /// Messages of which it is not known what the policy before would do.
    pub unknown: u64,
}

impl Drift {
    /// Adds a decision of the policy, which `before` would have decided otherwise or not.
    pub fn add(&mut self, before: &Policy, decision: &Decision, mark: Option<Mark>) {
        match would(before, decision) {
            Would::Stop => return,
            Would::Unknown => {
                self.unknown += 1;
                return;
            }
            Would::Pass => self.of += 1,
        }
        if !stopped(decision) {
            return;
        }
        self.stopped += 1;
        if let Some(mark) = mark {
            let [settled, harmless] = &mut self.reviewed;
            *settled += 1;
            *harmless += u64::from(!mark.violates(true));
        }
    }

    /// The part of what passes before that is stopped now and harmless, as surely as the reviewed ones can tell (lower end
    /// of the 95% interval, Wilson); nothing where fewer than `least` messages are known, or none was reviewed.
    #[must_use]
    pub fn rate(self, least: u64) -> Option<f64> {
        let [settled, harmless] = self.reviewed;
        if self.of < least.max(1) || settled == 0 {
            return None;
        }
        let harmless = Rate { hits: harmless as usize, total: settled as usize }.interval().0;
        Some(harmless * self.stopped as f64 / self.of as f64)
    }
}

/// What was found of the newest version.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// There is nothing to look at, or nothing wrong.
    Nothing,
    /// So much is newly stopped that reviewers should look at it.
    Unreviewed(Drift),
    /// It went into the shadow.
    FellBack(Act),
}

/// The version that is looked at, the one that it is held against, and since when it is in force.
fn watched(standing: &Standing) -> Option<(i64, i64, i64)> {
    let (newest, since) = standing.newest?;
    let is_canary = standing.canary.is_some_and(|(canary, _)| canary == newest);
    let before = match standing.stable {
        stable if is_canary => stable,
        stable if stable == Some(newest) => standing.before().last().copied(),
        _ => None,
    };
    Some((newest, before?, since))
}

/// Looks whether the newest version stops too much, and has it fall back into the shadow then.
///
/// # Errors
/// When the store cannot be read or does not hold, or a version cannot be had.
pub async fn look(versions: &Versions, watch: &Watch, key: &Signing) -> Result<Found, Vec<String>> {
    let failed = |error: crate::audit::store::Fault| vec![error.to_string()];
    let known = versions.known().await.map_err(|why| vec![why])?;
    let Known { standing, .. } = &known;
    let Some((version, to, since)) = watched(standing) else { return Ok(Found::Nothing) };
    let policy = versions.policy(version, standing).await?.to_string();
    let before = versions.policy(to, standing).await?;
    let marks = settled(&versions.store().labels().await.map_err(failed)?, watch.reviewers);
    let mut drift = Drift::default();
    let each = |body: &str| {
        // Most are of this policy, or none is: its name is looked for before anything is parsed.
        let is_of_policy = body.contains(&policy);
        let decision = is_of_policy.then(|| serde_json::from_str::<Decision>(body).ok()).flatten();
        if let Some(decision) = decision.filter(|decision| decision.policy == policy) {
            let mark = marks.get(&(decision.event.clone(), decision.direction.clone()));
            drift.add(&before, &decision, mark.copied());
        }
    };
    versions.store().bodies(since.max(now() - BACK), each).await.map_err(failed)?;
    let (limit, least) = (watch.promotion.benign_block_limit, watch.promotion.least);
    let Some(rate) = drift.rate(least).filter(|rate| *rate > limit) else {
        let newly = drift.stopped as f64 / drift.of.max(1) as f64;
        let [settled, harmless] = drift.reviewed;
        let rate = Rate { hits: harmless as usize, total: settled as usize };
        let may_be = if settled == 0 { 1.0 } else { rate.interval().1 };
        let is_odd = drift.of >= least.max(1) && newly * may_be > limit;
        return Ok(if is_odd { Found::Unreviewed(drift) } else { Found::Nothing });
    };
    // Nothing is signed by what someone may have written into the store.
    let report = verify(versions.store(), versions.keys()).await.map_err(failed)?;
    if !report.holds() {
        return Err(report.findings);
    }
    let Drift { stopped, of, reviewed: [settled, harmless], .. } = drift;
    let reason = format!(
        "of {of} messages that v{to} lets pass, {stopped} are stopped, and {harmless} of {settled} that reviewers settled are \
         harmless: surely {:.2}%, and the limit is {}%",
        rate * 100.0,
        limit * 100.0
    );
    let deed = Deed::FellBack { version, to, stopped, of };
    let act = Act { time: now(), by: OURSELVES.to_owned(), reason, deed };
    // Where another of the fleet, or someone, was first, they know better.
    let is_done = versions.store().act(&act, Some(known.last()), key).await.map_err(failed)?;
    Ok(if is_done { Found::FellBack(act) } else { Found::Nothing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::{EMBEDDED, parse};

    fn decision(action: &str, violation: f32) -> Decision {
        let seen =
            serde_json::json!({"violation": violation, "manipulation": 0, "crisis": 0, "refusal": 0, "type": "I.1"});
        serde_json::from_value(serde_json::json!({"time": 1, "event": "e", "direction": "prompt", "surface": "chat",
            "stream": false, "action": action, "scan": "full", "policy": "p", "model": "m", "alone": seen}))
        .unwrap()
    }

    #[test]
    fn only_what_the_other_would_let_pass_counts() {
        let before = parse("ama.toml", EMBEDDED).unwrap();
        let mut drift = Drift::default();
        for (action, violation, mark) in [
            ("block", 0.1, None),
            ("block", 0.1, Some(Mark::OverBlocked)),
            ("block", 0.1, Some(Mark::Correct)),
            ("block", 0.99, None),
            ("block", 0.99, Some(Mark::OverBlocked)),
            ("allow", 0.1, None),
        ] {
            drift.add(&before, &decision(action, violation), mark);
        }
        assert_eq!(drift, Drift { of: 4, stopped: 3, reviewed: [2, 1], unknown: 0 });
    }

    #[test]
    fn a_rule_with_patterns_hides_nothing_that_it_would_not_change() {
        let with = |action: &str| {
            let rule = "[[rules]]\nname = \"ward\"\ndirection = \"prompt\"\nscore = \"pattern\"\npatterns = [\"ward\"]";
            parse("p.toml", &format!("name = \"p\"\nextends = \"ama\"\n{rule}\naction = {action}")).unwrap()
        };
        let drift = |policy: &Policy| {
            let mut drift = Drift::default();
            [0.1, 0.99].iter().for_each(|violation| drift.add(policy, &decision("block", *violation), None));
            (drift.of, drift.unknown)
        };
        assert_eq!(drift(&with("\"flag\"")), (1, 1), "a text that is flagged is not stopped by the rule behind");
        assert_eq!(
            drift(&with("\"block\"\nmessage = \"No.\"")),
            (0, 1),
            "what may be stopped by its words is not known"
        );
    }

    #[test]
    fn without_reviewers_nothing_is_surely_wrong() {
        let drift = |stopped, of, reviewed| Drift { stopped, of, reviewed, unknown: 0 };
        assert_eq!(drift(500, 1000, [0, 0]).rate(100), None);
        assert_eq!(drift(5, 50, [5, 5]).rate(100), None, "too few messages");
        assert!(drift(50, 1000, [20, 20]).rate(100).unwrap() > 0.04);
        assert!(drift(50, 1000, [20, 1]).rate(100).unwrap() < 0.01, "most of it is what it was made for");
        assert!(drift(50, 1000, [1, 1]).rate(100).unwrap() < 0.015, "one word says little");
    }
}
