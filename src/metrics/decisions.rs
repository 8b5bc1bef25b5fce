//! What was decided, on whose messages, and by which scores.

use super::declared::Declared;
use super::exemplars::{Exemplar, Exemplars};
use super::label::{
    ACTION, AUDIENCE, BIN, DIRECTION, EFFECT, IDENTIFIER, MODE, POLICY, PRINCIPLE, RULE, SCAN, SCORE, SURFACE, TENANT,
    TYPE, UNAVAILABLE,
};
use crate::classify::Scores;
use crate::guard::{Scan, Verdict};
use crate::policy::Direction;
use prometheus::IntCounterVec;
use prometheus::core::Collector;
use std::sync::Arc;
use uuid::Uuid;

/// Whose message was judged, and by which policy. All of it comes from closed sets.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// Names the request.
    pub event: Uuid,
    /// The surface or the contract.
    pub surface: &'static str,
    /// Whose request it is; empty where there are no tenants.
    pub tenant: &'a str,
    /// Who is served; empty where that is not known.
    pub audience: &'static str,
    /// `name@hash`.
    pub policy: &'a str,
}

/// What the bins of scores end with.
pub(super) const BINS: [&str; 12] =
    ["0.01", "0.02", "0.05", "0.1", "0.2", "0.3", "0.5", "0.7", "0.8", "0.9", "0.95", "1"];

const EDGES: [f32; BINS.len() - 1] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95];

const DECIDED: &str = "nonnocere_decisions_total";

/// From this score on an answer declines.
const REFUSES: f32 = 0.5;

pub(super) struct Decisions {
    decided: IntCounterVec,
    violations: IntCounterVec,
    rules: IntCounterVec,
    shadows: IntCounterVec,
    scans: IntCounterVec,
    unavailable: IntCounterVec,
    refusals: IntCounterVec,
    redacted: IntCounterVec,
    scores: IntCounterVec,
    exemplars: Arc<Exemplars>,
}

impl Decisions {
    pub(super) fn new(declared: &mut Declared) -> prometheus::Result<Self> {
        Ok(Self {
            // Action and principle are one of about thirty pairs, and a surface has one audience in most houses: with twenty
            // tenants and two policies some thousand series at the very most, and as many as there are kinds of traffic.
            decided: declared.counter(
                DECIDED,
                "Decisions on messages: what was done, for whom, and by which policy.",
                &[ACTION, AUDIENCE, DIRECTION, POLICY, PRINCIPLE, SURFACE, TENANT],
            )?,
            violations: declared.counter(
                "nonnocere_violations_total",
                "Messages that were flagged or stopped for what they say, by the likeliest violation type.",
                &[ACTION, DIRECTION, PRINCIPLE, TYPE],
            )?,
            rules: declared.counter(
                "nonnocere_rules_total",
                "Decisions by the rule that made them.",
                &[ACTION, DIRECTION, POLICY, RULE],
            )?,
            shadows: declared.counter(
                "nonnocere_shadow_total",
                "What rules in the shadow would have done otherwise.",
                &[EFFECT, DIRECTION, POLICY, RULE],
            )?,
            scans: declared.counter(
                "nonnocere_scans_total",
                "Messages by how much of them was judged.",
                &[DIRECTION, SCAN],
            )?,
            unavailable: declared.counter(
                "nonnocere_guard_unavailable_total",
                "Messages that could not be judged: passed (open) or refused (closed), as the policy says.",
                &[DIRECTION, MODE],
            )?,
            refusals: declared.counter(
                "nonnocere_model_refusals_total",
                "Answers that passed in which the LLM declined by itself.",
                &[SURFACE, TENANT],
            )?,
            redacted: declared.counter(
                "nonnocere_redacted_total",
                "Identifiers of people that were taken out.",
                &[DIRECTION, IDENTIFIER],
            )?,
            scores: declared.counter(
                "nonnocere_scores_total",
                "Messages by the highest score of their texts, in bins that are not cumulative and are named by their upper ends.",
                &[BIN, DIRECTION, SCORE],
            )?,
            exemplars: Arc::clone(&declared.exemplars),
        })
    }

    /// Counts a decision.
    pub(super) fn decided(&self, verdict: &Verdict, whose: &Whose<'_>) {
        let (action, direction) = (verdict.action.id(), verdict.direction.id());
        let violation = verdict.violation();
        let principle = violation.map_or("none", |kind| kind.principle.id());
        self.count(action, (direction, principle), whose);
        if let Some(kind) = violation {
            self.violations.with_label_values(&[action, direction, principle, kind.id]).inc();
        }
        let rule = verdict.rule.as_deref().unwrap_or("none");
        self.rules.with_label_values(&[action, direction, whose.policy, rule]).inc();
        if let Some(shadow) = &verdict.shadow {
            self.shadows.with_label_values(&[shadow.effect.id(), direction, whose.policy, &*shadow.rule]).inc();
        }
        self.scans.with_label_values(&[direction, verdict.scan.id()]).inc();
        if verdict.scan == Scan::None {
            self.unavailable.with_label_values(&[direction, "open"]).inc();
        }
        for (kind, count) in &verdict.redacted {
            self.redacted.with_label_values(&[direction, kind.id()]).inc_by(*count);
        }
        self.scored(verdict, whose);
    }

    /// Counts a message that was refused since it could not be judged.
    pub(super) fn refused_unjudged(&self, direction: Direction, whose: &Whose<'_>) {
        self.unavailable.with_label_values(&[direction.id(), "closed"]).inc();
        self.count(UNAVAILABLE, (direction.id(), "none"), whose);
    }

    /// Forgets what was counted under policies that `is_kept` does not want kept.
    pub(super) fn forget(&self, is_kept: impl Fn(&str) -> bool) {
        let mut is_gone = false;
        for series in [&self.decided, &self.rules, &self.shadows] {
            for family in series.collect() {
                for metric in family.get_metric() {
                    let labels = metric.get_label();
                    let policy = labels.iter().find(|label| label.name() == POLICY.name);
                    if policy.is_some_and(|policy| !is_kept(policy.value())) {
                        let values: Vec<&str> = labels.iter().map(|label| label.value()).collect();
                        is_gone |= series.remove_label_values(&values).is_ok();
                    }
                }
            }
        }
        if is_gone {
            self.exemplars.forget(DECIDED);
        }
    }

    fn count(&self, action: &str, (direction, principle): (&str, &str), whose: &Whose<'_>) {
        let Whose { event, surface, tenant, audience, policy } = *whose;
        let labels = [action, audience, direction, policy, principle, surface, tenant];
        self.decided.with_label_values(&labels).inc();
        self.exemplars.note((DECIDED, &labels, 0), Exemplar::now(event, 1.0));
    }

    fn scored(&self, verdict: &Verdict, whose: &Whose<'_>) {
        let Some(scores) = verdict.seen.values().cloned().reduce(Scores::worst) else { return };
        let of_prompts = [("manipulation", scores.manipulation), ("crisis", scores.crisis)];
        let of_answers = [("refusal", scores.refusal)];
        let others: &[_] = if verdict.direction == Direction::Prompt { &of_prompts } else { &of_answers };
        for (name, score) in [("violation", scores.violation)].iter().chain(others) {
            self.scores.with_label_values(&[bin(*score), verdict.direction.id(), name]).inc();
        }
        let declines = verdict.direction == Direction::Completion && scores.refusal >= REFUSES;
        if declines && matches!(verdict.action.id(), "allow" | "flag") {
            self.refusals.with_label_values(&[whose.surface, whose.tenant]).inc();
        }
    }
}

/// The bin of a score, by its upper end.
fn bin(score: f32) -> &'static str {
    BINS.get(EDGES.partition_point(|edge| *edge < score)).copied().unwrap_or("1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_in_the_bin_that_ends_with_it_or_above() {
        let found: Vec<&str> = [0.0, 0.01, 0.011, 0.5, 0.951, 1.0].map(bin).into();
        assert_eq!(found, ["0.01", "0.01", "0.02", "0.5", "1", "1"]);
        for (name, edge) in BINS.iter().zip(EDGES) {
            assert_eq!(name.parse::<f32>().unwrap(), edge);
        }
    }
}
