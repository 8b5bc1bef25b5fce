//! Thresholds from what reviewers said of decisions: the lowest that keeps within a part of false positives, or the highest that
//! reaches a recall, each with its 95% interval (Wilson, 1927). Too few labels give no threshold.

use super::edit::{Change, edit};
use super::message::Audience;
use super::rule::{Effect, Rule, Score};
use super::{Direction, Policy};
use crate::audit::decision::{Decision, Seen};
use crate::audit::label::{Mark, stopped};
use std::fmt;
use std::str::FromStr;

/// What a threshold is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At most this part of the harmless messages is stopped.
    Fpr(f64),
    /// At least this part of the violating ones is.
    Recall(f64),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected fpr=0.3% or recall=90%".to_owned();
        let (kind, part) = text.split_once('=').ok_or_else(wrong)?;
        let (number, scale) = part.strip_suffix('%').map_or((part, 1.0), |number| (number, 100.0));
        let part = number.trim().parse::<f64>().map_err(|_| wrong())? / scale;
        if !(part > 0.0 && part < 1.0) {
            return Err(wrong());
        }
        match kind {
            "fpr" => Ok(Self::Fpr(part)),
            "recall" => Ok(Self::Recall(part)),
            _ => Err(wrong()),
        }
    }
}

/// A part of some, with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many.
    pub hits: usize,
    /// Of how many.
    pub total: usize,
}

impl Rate {
    /// The lower and the upper end of the 95% interval.
    #[must_use]
    pub fn interval(self) -> (f64, f64) {
        let (total, rate, z) = (self.total as f64, self.rate(), 1.96);
        let middle = rate + z * z / (2.0 * total);
        let spread = z * ((rate * (1.0 - rate) + z * z / (4.0 * total)) / total).sqrt();
        let scale = 1.0 + z * z / total;
        (((middle - spread) / scale).max(0.0), ((middle + spread) / scale).min(1.0))
    }

    /// The part.
    #[must_use]
    pub fn rate(self) -> f64 {
        self.hits as f64 / self.total as f64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval();
        let [rate, low, high] = [self.rate(), low, high].map(|part| part * 100.0);
        write!(f, "{rate:.2}% ({low:.2}% to {high:.2}%, {} of {})", self.hits, self.total)
    }
}

/// A threshold, and what it is worth on the labels that it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// The threshold.
    pub threshold: f32,
    /// Harmless messages that it stops.
    pub false_positives: Rate,
    /// Violating ones that it stops.
    pub recall: Rate,
}

/// What the labels say of messages that a rule looks at alone: the score, and whether the message violates.
#[must_use]
pub fn examples(rule: &Rule, labelled: &[(Decision, Mark)]) -> Vec<(f32, bool)> {
    let of_rule = |decision: &Decision| (decision.direction == "prompt") == (rule.direction == Direction::Prompt);
    let score = |seen: &Seen| rule.score.of(&seen.scores());
    let is_audience = |decision: &Decision| {
        let named = |audience: &Audience| decision.audience.as_deref() == Some(audience.id());
        rule.audiences.is_empty() || rule.audiences.iter().any(named)
    };
    // That another rule was right to stop a message says nothing of this score.
    let is_of_score = |decision: &Decision, mark: Mark| {
        mark != Mark::Correct || !stopped(decision) || decision.rule.as_deref() == Some(&*rule.name)
    };
    let of_rule =
        |decision: &Decision, mark: Mark| of_rule(decision) && is_audience(decision) && is_of_score(decision, mark);
    let found = labelled.iter().filter(|(decision, mark)| of_rule(decision, *mark)).filter_map(|(decision, mark)| {
        let seen = decision.alone.as_ref()?;
        let is_of_type = rule.types.is_empty() || rule.types.iter().any(|kind| kind.id == seen.kind);
        let is_of_principle = rule.principles.is_empty()
            || rule.principles.iter().any(|principle| seen.kind.split('.').next() == Some(principle.id()));
        (is_of_principle && is_of_type).then(|| (score(seen), mark.violates(stopped(decision))))
    });
    found.collect()
}

/// The threshold that reaches `target` on `examples`, in steps of a hundredth.
///
/// # Errors
/// When there are too few labels to say so, or none reaches it.
pub fn tune(examples: &[(f32, bool)], target: Target) -> Result<Tuned, String> {
    let (bad, good): (Vec<_>, Vec<_>) = examples.iter().partition(|(_, violates)| *violates);
    let (needed, found, what) = match target {
        // With none of so many over it, the rate is below the target by the rule of three.
        Target::Fpr(part) => ((3.0 / part).ceil() as usize, good.len(), "harmless"),
        Target::Recall(part) => ((3.0 / (1.0 - part)).ceil() as usize, bad.len(), "violating"),
    };
    if found < needed {
        return Err(format!("{found} labels of {what} messages, and {needed} are needed for this target"));
    }
    if bad.is_empty() || good.is_empty() {
        return Err("labels of both harmless and violating messages are needed".to_owned());
    }
    let over = |examples: &[(f32, bool)], threshold: f32| {
        let hits = examples.iter().filter(|(score, _)| *score >= threshold).count();
        Rate { hits, total: examples.len() }
    };
    let at = |step: u8| {
        let threshold = f32::from(step) / 100.0;
        Tuned { threshold, false_positives: over(&good, threshold), recall: over(&bad, threshold) }
    };
    let tuned = match target {
        Target::Fpr(part) => (1..100).map(at).find(|tuned| tuned.false_positives.rate() <= part),
        Target::Recall(part) => (1..100).rev().map(at).find(|tuned| tuned.recall.rate() >= part),
    };
    tuned.ok_or_else(|| "no threshold between 0.01 and 0.99 reaches the target".to_owned())
}

/// A policy file with other thresholds, by the names of its rules; all else, comments too, stays as it is. A rule that the file
/// extends is named in it.
///
/// # Errors
/// When the file is not TOML.
pub fn with_thresholds(text: &str, thresholds: &[(String, f32)]) -> Result<String, String> {
    let change = |(name, threshold): &(String, f32)| {
        let hundredths = (f64::from(*threshold) * 100.0).round() / 100.0;
        Change::Threshold(name.clone(), hundredths as f32)
    };
    let changes: Vec<Change> = thresholds.iter().map(change).collect();
    edit("", text, &changes).map_err(|fault| fault.message)
}

/// The rules whose thresholds can be tuned: those in force that stop by how likely a violation is, and by nothing else.
pub fn tunable(policy: &Policy) -> impl Iterator<Item = &Rule> {
    let is_live = |rule: &&Rule| rule.is_enabled && !rule.is_shadow && rule.patterns.is_none();
    let stops = |rule: &&Rule| !matches!(rule.effect, Effect::Allow | Effect::Flag);
    policy.rules.iter().filter(is_live).filter(stops).filter(|rule| rule.score == Score::Violation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file;

    fn examples() -> Vec<(f32, bool)> {
        let good = (0..1000).map(|n| (n as f32 / 1000.0 * 0.8, false));
        good.chain((0..100).map(|n| (0.5 + n as f32 / 200.0, true))).collect()
    }

    #[test]
    fn a_threshold_keeps_within_its_target() {
        let tuned = tune(&examples(), Target::Fpr(0.01)).unwrap();
        assert!((tuned.threshold - 0.80).abs() < 1e-6, "{tuned:?}");
        assert_eq!((tuned.false_positives.hits, tuned.recall), (0, Rate { hits: 40, total: 100 }));
        let tuned = tune(&examples(), Target::Recall(0.9)).unwrap();
        assert!((tuned.threshold - 0.55).abs() < 1e-6 && tuned.recall.hits == 90, "{tuned:?}");
        let (low, high) = Rate { hits: 0, total: 100 }.interval();
        assert!(low.abs() < 1e-9 && (high - 0.037).abs() < 1e-3, "{low} {high}");
    }

    #[test]
    fn too_few_labels_give_no_threshold() {
        let why = tune(&examples()[..500], Target::Fpr(0.003)).unwrap_err();
        assert_eq!(why, "500 labels of harmless messages, and 1000 are needed for this target");
        assert!(tune(&examples()[..1000], Target::Fpr(0.01)).unwrap_err().contains("both"));
        assert!(
            tune(&vec![(1.0, false); 1000].into_iter().chain([(0.9, true)]).collect::<Vec<_>>(), Target::Fpr(0.01))
                .is_err()
        );
    }

    #[test]
    fn a_target_is_read() {
        assert_eq!("fpr=0.3%".parse(), Ok(Target::Fpr(0.003)));
        assert_eq!("recall=0.9".parse(), Ok(Target::Recall(0.9)));
        for wrong in ["fpr", "fpr=0", "fpr=200%", "precision=1%", "recall=x"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_thresholds_change_in_a_file() {
        let text = "# Ours.\nname = \"p\"\nextends = \"ama\"\n\n[[rules]] # the first\nname = \"violating-prompt\"\nthreshold = 0.50 # by hand\n";
        let changed = [("violating-prompt".to_owned(), 0.61), ("violating-completion".to_owned(), 0.9)];
        let new = with_thresholds(text, &changed).unwrap();
        assert!(new.starts_with(&text.replace("0.50", "0.61")), "{new}");
        let policy = file::parse("p.toml", &new).unwrap();
        let of = |name: &str| policy.rules.iter().find(|rule| &*rule.name == name).unwrap().threshold;
        assert!((of("violating-prompt") - 0.61).abs() < 1e-6 && (of("violating-completion") - 0.9).abs() < 1e-6);
        assert!(with_thresholds("rules = 3", &changed).is_err());
    }
}
