//! What a policy would have done with decisions that are on record: by their stored scores, without their texts and
//! without the model.

use super::message::{Audience, Reader};
use super::opinion::Opinion;
use super::rule::Effect;
use super::{Direction, Evidence, Policy, Unjudgeable};
use crate::audit::act::Measured;
use crate::audit::decision::{Decision, Seen};
use crate::audit::label::Mark;
use crate::classify::Scores;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many decisions are shown of each kind of change.
const SAMPLES: usize = 10;

/// What came out.
#[derive(Debug, Default, PartialEq)]
pub struct Backtest {
    /// Decisions that were read.
    pub decisions: u64,
    /// How many of them were stopped, and how many would be.
    pub stopped: [u64; 2],
    /// Those that are now stopped and were not, by direction and principle.
    pub newly_stopped: BTreeMap<(String, String), u64>,
    /// Those that were stopped and are not any more, the same way.
    pub newly_passed: BTreeMap<(String, String), u64>,
    /// How many are newly stopped, and newly passed, by tenant (empty for none), direction and principle.
    pub by_tenant: BTreeMap<[String; 3], [u64; 2]>,
    /// How many of the newly stopped, and of the newly passed, reviewers say violate, and how many are harmless.
    pub reviewed: [[u64; 2]; 2],
    /// All changes of the action: from, to.
    pub changes: BTreeMap<(String, String), u64>,
    /// Some of what changed.
    pub samples: Vec<Sample>,
    /// Decisions on which the text would have to be seen: a rule with patterns might apply.
    pub needs_text: u64,
    /// Decisions on which nothing is known: nothing could be judged then.
    pub unknown: u64,
}

/// A decision that changed.
#[derive(Debug, PartialEq)]
pub struct Sample {
    /// Its event.
    pub event: String,
    /// Which way the text went.
    pub direction: String,
    /// What was done.
    pub before: String,
    /// What would be.
    pub after: &'static str,
    /// The highest probability of a violation.
    pub violation: f32,
    /// Whether reviewers say that it violates, if they say anything.
    pub violates: Option<bool>,
}

/// What a policy would have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replayed {
    Action(&'static str),
    NeedsText,
    Unknown,
}

impl Backtest {
    /// Adds one decision, replayed by `policy`, with what reviewers say of it.
    pub fn add(&mut self, policy: &Policy, decision: &Decision, mark: Option<Mark>) {
        self.decisions += 1;
        let before = done(decision);
        let was = stops(before);
        let [stopped, would] = &mut self.stopped;
        *stopped += u64::from(was);
        let after = match replay(policy, decision) {
            Replayed::Action(action) => action,
            Replayed::NeedsText => {
                self.needs_text += 1;
                return;
            }
            Replayed::Unknown => {
                self.unknown += 1;
                return;
            }
        };
        let is = stops(after);
        *would += u64::from(is);
        if before == after {
            return;
        }
        *self.changes.entry((before.to_owned(), after.to_owned())).or_default() += 1;
        let principle = likeliest(decision);
        if was == is {
            return;
        }
        let tenant = decision.tenant.clone().unwrap_or_default();
        let [stopped, passed] =
            self.by_tenant.entry([tenant, decision.direction.clone(), principle.clone()]).or_default();
        let (newly, of_tenant) = if is { (&mut self.newly_stopped, stopped) } else { (&mut self.newly_passed, passed) };
        *newly.entry((decision.direction.clone(), principle)).or_default() += 1;
        *of_tenant += 1;
        let violates = mark.map(|mark| mark.violates(was));
        if let Some(violates) = violates {
            let [stopped, passed] = &mut self.reviewed;
            let [violating, harmless] = if is { stopped } else { passed };
            *(if violates { violating } else { harmless }) += 1;
        }
        let of_kind = self.samples.iter().filter(|sample| stops(sample.after) == is).count();
        if of_kind < SAMPLES {
            self.samples.push(Sample {
                event: decision.event.clone(),
                direction: decision.direction.clone(),
                before: before.to_owned(),
                after,
                violation: seen(decision).map(|seen| seen.violation).fold(0.0, f32::max),
                violates,
            });
        }
    }
}

impl Backtest {
    /// What came out, in short, of the decisions since then (microseconds since 1970).
    #[must_use]
    pub fn in_short(&self, since: i64) -> Measured {
        let Self {
            decisions, stopped: [stopped, would_stop], newly_stopped, newly_passed, needs_text, unknown, ..
        } = self;
        Measured {
            since,
            decisions: *decisions,
            stopped: *stopped,
            would_stop: *would_stop,
            newly_stopped: newly_stopped.values().sum(),
            newly_passed: newly_passed.values().sum(),
            untold: needs_text + unknown,
        }
    }
}

/// Whether a policy would have stopped a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Would {
    /// It would.
    Stop,
    /// It would let it pass.
    Pass,
    /// It would need the text to say so, or nothing is known.
    Unknown,
}

/// Whether `policy` would have stopped the message that a decision is on, whatever its patterns find.
#[must_use]
pub fn would(policy: &Policy, decision: &Decision) -> Would {
    let Ok(sights) = effects(policy, decision) else { return Would::Unknown };
    let stop = |effect: &Effect| stops(effect.action());
    if sights.iter().any(|effects| effects.iter().all(stop)) {
        Would::Stop
    } else if sights.iter().flatten().any(stop) {
        Would::Unknown
    } else {
        Would::Pass
    }
}

/// Whether a decision is on record as one that stopped its message.
#[must_use]
pub fn was_stopped(decision: &Decision) -> bool {
    stops(done(decision))
}

/// What was done; identifiers that were taken out are no refusal.
fn done(decision: &Decision) -> &str {
    if decision.rule.as_deref() == Some("phi") { "allow" } else { &decision.action }
}

fn stops(action: &str) -> bool {
    matches!(action, "block" | "escalate" | "rewrite" | "unavailable")
}

fn seen(decision: &Decision) -> impl Iterator<Item = &Seen> {
    [&decision.alone, &decision.context, &decision.said].into_iter().flatten()
}

/// The principle that is most at stake.
fn likeliest(decision: &Decision) -> String {
    let worst = seen(decision).max_by(|one, other| one.violation.total_cmp(&other.violation));
    let kind = worst.map_or("", |seen| seen.kind.as_str());
    kind.split('.').next().unwrap_or_default().to_owned()
}

fn replay(policy: &Policy, decision: &Decision) -> Replayed {
    let sights = match effects(policy, decision) {
        Ok(sights) => sights,
        Err(replayed) => return replayed,
    };
    if sights.iter().any(|effects| effects.len() > 1) {
        return Replayed::NeedsText;
    }
    let strongest = sights.iter().flatten().max_by_key(|effect| effect.rank());
    Replayed::Action(strongest.map_or("allow", |effect| effect.action()))
}

/// What a policy may do with each way in which a message was looked at: one thing, and more where rules with patterns would have
/// to see the text.
fn effects(policy: &Policy, decision: &Decision) -> Result<Vec<Vec<Effect>>, Replayed> {
    let audience = decision.audience.as_deref().and_then(Audience::named);
    let tenant = decision.tenant.as_deref().map(Arc::from);
    let reader = Reader { audience, tenant, ..Reader::default() };
    let judged = if decision.direction == "prompt" { Direction::Prompt } else { Direction::Completion };
    let sights = [
        (&decision.alone, judged, false),
        (&decision.context, judged, true),
        (&decision.said, Direction::Completion, false),
    ];
    if decision.rule.as_deref() == Some("unjudgeable") && policy.unjudgeable == Unjudgeable::Block {
        return Ok(vec![vec![Effect::Block]]);
    }
    // It is not on record why only a part of it could be judged.
    if decision.scan == "partial"
        && decision.rule.as_deref() != Some("unjudgeable")
        && policy.unjudgeable == Unjudgeable::Block
    {
        return Err(Replayed::Unknown);
    }
    // Nobody is asked again: what a judge said then holds, or what the policy says for when there is no opinion.
    let opinion = decision.opinion.as_deref().and_then(Opinion::from_id);
    let mut all = Vec::new();
    for (seen, direction, in_context) in sights {
        let Some(seen) = seen else { continue };
        let scores: Scores = seen.scores();
        let evidence = Evidence { text: "", scores: &scores, in_context, reader: &reader, opinion };
        let mut effects = Vec::new();
        // The first rule that applies decides; one with patterns may or may not.
        for rule in policy.rules.iter().filter(|rule| !rule.is_shadow && rule.may_apply(direction, evidence)) {
            effects.push(rule.effect);
            if rule.patterns.is_none() {
                break;
            }
        }
        let may_be_none = policy
            .rules
            .iter()
            .all(|rule| rule.is_shadow || rule.patterns.is_some() || !rule.may_apply(direction, evidence));
        effects.extend(may_be_none.then_some(Effect::Allow));
        // What was said before cannot be changed any more.
        let is_said = decision.direction == "prompt" && direction == Direction::Completion;
        for effect in effects.iter_mut().filter(|effect| is_said && matches!(effect, Effect::Rewrite(_))) {
            *effect = Effect::Block;
        }
        all.push(effects);
    }
    if all.is_empty() { Err(Replayed::Unknown) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::{EMBEDDED, parse};

    fn decision(direction: &str, action: &str, [alone, context]: [Option<f32>; 2]) -> Decision {
        let mut scores = Scores::NONE;
        scores.types[7] = 1.0;
        let seen = |violation: f32| Seen::from(&Scores { violation, ..scores.clone() });
        let mut found: Decision =
            serde_json::from_value(serde_json::json!({"time": 1, "event": "e", "direction": direction,
            "surface": "chat", "stream": false, "action": action, "scan": "full", "policy": "p", "model": "m"}))
            .unwrap();
        (found.alone, found.context) = (alone.map(seen), context.map(seen));
        found
    }

    fn tested(policy: &str, decisions: &[Decision]) -> Backtest {
        let policy = parse("p.toml", &format!("name = \"p\"\nextends = \"ama\"\n{policy}")).unwrap();
        let mut backtest = Backtest::default();
        decisions.iter().for_each(|decision| backtest.add(&policy, decision, None));
        backtest
    }

    #[test]
    fn stored_scores_decide_anew() {
        let ama = parse("ama.toml", EMBEDDED).unwrap();
        let threshold = ama.rules[1].threshold;
        let decisions = [
            decision("prompt", "block", [Some(threshold + 0.02), None]),
            decision("prompt", "block", [Some(0.99), None]),
            decision("prompt", "allow", [Some(0.1), Some(0.5)]),
            decision("completion", "allow", [Some(threshold + 0.02), None]),
            decision("prompt", "unavailable", [None, None]),
        ];
        let same = tested("", &decisions);
        assert_eq!((same.decisions, same.unknown, same.stopped), (5, 1, [3, 2]));
        assert!(same.changes.is_empty());
        let later =
            tested(&format!("[[rules]]\nname = \"violating-prompt\"\nthreshold = {}", threshold + 0.1), &decisions);
        assert_eq!(later.stopped, [3, 1]);
        assert_eq!(later.newly_passed, BTreeMap::from([(("prompt".to_owned(), "II".to_owned()), 1)]));
        assert_eq!((later.samples.len(), later.samples[0].after), (1, "allow"));
        let sooner = tested("[[rules]]\nname = \"violating-prompt\"\nthreshold_in_context = 0.4", &decisions);
        assert_eq!(sooner.newly_stopped.values().sum::<u64>(), 1);
        let named = "[[rules]]\nname = \"w\"\ndirection = \"completion\"\nscore = \"pattern\"\npatterns = [\"w\"]\naction = \"flag\"";
        assert_eq!(tested(named, &decisions).needs_text, 1);
    }

    #[test]
    fn a_tenant_is_replayed_by_its_own_rules() {
        let of = |tenant: Option<&str>, violation| {
            let tenant = tenant.map(str::to_owned);
            Decision {
                tenant,
                ..decision("prompt", if violation > 0.5 { "block" } else { "allow" }, [Some(violation), None])
            }
        };
        let decisions = [of(Some("west"), 0.3), of(Some("west"), 0.99), of(Some("st-anna"), 0.3), of(None, 0.3)];
        let rule = "[[rules]]\nname = \"west\"\ndirection = \"prompt\"\nscore = \"violation\"\ntenants = [\"west\"]\n";
        let stricter = tested(&format!("{rule}threshold = 0.2\naction = \"block\"\nmessage = \"No.\""), &decisions);
        let key = |tenant: &str| [tenant, "prompt", "II"].map(str::to_owned);
        assert_eq!(stricter.by_tenant, BTreeMap::from([(key("west"), [1, 0])]));
        assert_eq!(stricter.newly_stopped.values().sum::<u64>(), 1);
        let laxer = tested(&format!("{rule}threshold = 0.2\naction = \"flag\""), &decisions);
        assert_eq!((laxer.by_tenant, laxer.stopped), (BTreeMap::from([(key("west"), [0, 1])]), [1, 0]));
        let all = "[[rules]]\nname = \"violating-prompt\"\nthreshold = 0.2";
        let all = tested(all, &decisions);
        let expected = ["west", "st-anna", ""].map(|tenant| (key(tenant), [1, 0]));
        assert_eq!(all.by_tenant, BTreeMap::from(expected));
    }

    #[test]
    fn what_reviewers_say_stands_beside_what_would_change() {
        let policy = "name = \"p\"\nextends = \"ama\"\n[[rules]]\nname = \"violating-prompt\"\nthreshold = 0.9";
        let policy = parse("p.toml", policy).unwrap();
        let mut backtest = Backtest::default();
        for (action, violation, mark) in [
            ("block", 0.6, Some(Mark::Correct)),
            ("block", 0.6, Some(Mark::OverBlocked)),
            ("block", 0.6, None),
            ("allow", 0.95, Some(Mark::Missed)),
            ("allow", 0.95, Some(Mark::Correct)),
            ("allow", 0.95, Some(Mark::Correct)),
            ("allow", 0.1, Some(Mark::Correct)),
        ] {
            backtest.add(&policy, &decision("prompt", action, [Some(violation), None]), mark);
        }
        assert_eq!(backtest.reviewed, [[1, 2], [1, 1]]);
        let said: Vec<Option<bool>> = backtest.samples.iter().map(|sample| sample.violates).collect();
        assert_eq!(said, [Some(true), Some(false), None, Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn a_stored_opinion_decides_again_and_nobody_is_asked() {
        let band = |otherwise: &str| {
            format!(
                "[[rules]]\nname = \"violating-prompt\"\nthreshold = 0.5\nthreshold_in_context = 0.5\n\
                 second_opinion = {{ below = 0.2, above = 0.2, otherwise = \"{otherwise}\" }}"
            )
        };
        let mut uncertain = decision("prompt", "allow", [Some(0.6), None]);
        assert_eq!(tested(&band("threshold"), &[uncertain.clone()]).stopped, [0, 1]);
        assert_eq!(tested(&band("skip"), &[uncertain.clone()]).stopped, [0, 0]);
        uncertain.opinion = Some("harmless".to_owned());
        assert_eq!(tested(&band("apply"), &[uncertain.clone()]).stopped, [0, 0]);
        for applies in ["violates", "unsent"] {
            uncertain.opinion = Some(applies.to_owned());
            assert_eq!(tested(&band("skip"), &[uncertain.clone()]).stopped, [0, 1]);
        }
        uncertain.opinion = Some("none_timeout".to_owned());
        assert_eq!(tested(&band("skip"), &[uncertain]).stopped, [0, 0]);
    }

    #[test]
    fn what_was_only_redacted_was_not_stopped() {
        let mut redacted = decision("prompt", "rewrite", [Some(0.1), None]);
        redacted.rule = Some("phi".to_owned());
        let found = tested("", &[redacted]);
        assert_eq!((found.stopped, found.changes.len()), ([0, 0], 0));
    }
}
