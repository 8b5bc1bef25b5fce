//! Whether a policy stops too much of what the one before it would let pass: the same decisions, by both.
//!
//! Both are held against the same messages, so that a wave of violations, which both stop, does not look like drift, and
//! cannot be used to have a policy taken back.

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
    /// Messages that it stopped and the other would let pass, less those that reviewers say violate.
    pub stopped: u64,
    /// Of how many.
    pub of: u64,
}

impl Drift {
    /// Adds a decision of the policy, which `before` would have decided otherwise or not.
    pub fn add(&mut self, before: &Policy, decision: &Decision, mark: Option<Mark>) {
        let passes = match would(before, decision) {
            Would::Stop => false,
            Would::Pass => true,
            Would::Unknown => return,
        };
        self.of += 1;
        let violates = mark.is_some_and(|mark| mark.violates(true));
        self.stopped += u64::from(stopped(decision) && passes && !violates);
    }

    /// Whether it stops more than the part `limit`, as surely as `least` messages and the 95% interval (Wilson) can tell.
    #[must_use]
    pub fn exceeds(self, limit: f64, least: u64) -> bool {
        let rate = Rate { hits: self.stopped as usize, total: self.of as usize };
        self.of >= least.max(1) && rate.interval().0 > limit
    }
}

/// The version that is looked at, the one that it is held against, and since when it is in force.
fn watched(standing: &Standing) -> Option<(i64, i64, i64)> {
    let ([stable_since, canary_since], stable) = (standing.since, standing.stable?);
    match standing.canary {
        Some((canary, _)) => Some((canary, stable, canary_since)),
        None => Some((stable, standing.previous()?, stable_since)),
    }
}

/// Looks whether the newest version stops too much, and has it fall back into the shadow then; says what it did.
///
/// # Errors
/// When the store cannot be read, or a version cannot be had.
pub async fn look(versions: &Versions, watch: &Watch, key: &Signing) -> Result<Option<Act>, Vec<String>> {
    let failed = |error: crate::audit::store::Fault| vec![error.to_string()];
    let known = versions.known().await.map_err(|why| vec![why])?;
    let Known { standing, .. } = &known;
    let Some((version, to, since)) = watched(standing) else { return Ok(None) };
    let policy = versions.policy(version, standing).await?.to_string();
    let before = versions.policy(to, standing).await?;
    let marks = settled(&versions.store().labels().await.map_err(failed)?, watch.reviewers);
    let mut drift = Drift::default();
    let each = |body: &str| {
        let decision = serde_json::from_str::<Decision>(body).ok().filter(|decision| decision.policy == policy);
        if let Some(decision) = decision {
            let mark = marks.get(&(decision.event.clone(), decision.direction.clone()));
            drift.add(&before, &decision, mark.copied());
        }
    };
    versions.store().bodies(since.max(now() - BACK), each).await.map_err(failed)?;
    if !drift.exceeds(watch.promotion.benign_block_limit, watch.promotion.least) {
        return Ok(None);
    }
    let Drift { stopped, of } = drift;
    let reason =
        format!("more than {}% of the messages that v{to} lets pass", watch.promotion.benign_block_limit * 100.0);
    let deed = Deed::FellBack { version, to, stopped, of };
    let act = Act { time: now(), by: OURSELVES.to_owned(), reason, deed };
    // Where another of the fleet, or someone, was first, they know better.
    let is_done = versions.store().act(&act, Some(known.last()), key).await.map_err(failed)?;
    Ok(is_done.then_some(act))
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
    fn only_what_the_other_would_let_pass_and_nobody_calls_a_violation_counts() {
        let before = parse("ama.toml", EMBEDDED).unwrap();
        let mut drift = Drift::default();
        for (action, violation, mark) in [
            ("block", 0.1, None),
            ("block", 0.1, Some(Mark::OverBlocked)),
            ("block", 0.1, Some(Mark::Correct)),
            ("block", 0.99, None),
            ("allow", 0.1, None),
        ] {
            drift.add(&before, &decision(action, violation), mark);
        }
        assert_eq!(drift, Drift { stopped: 2, of: 5 });
    }

    #[test]
    fn a_few_are_no_drift() {
        let drift = |stopped, of| Drift { stopped, of };
        assert!(!drift(5, 5).exceeds(0.01, 100), "too few messages");
        assert!(!drift(2, 150).exceeds(0.01, 100), "it may be chance");
        assert!(drift(10, 150).exceeds(0.01, 100));
        assert!(!Drift::default().exceeds(0.0, 0));
    }
}
