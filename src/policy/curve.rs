//! What a rule's threshold would do, all the way from 0 to 1: from the stored scores of the newest decisions, in one pass, and
//! from those that reviewers spoke of. It is for whoever moves a threshold; the [backtest](super::backtest) measures one on all that
//! is on record.

use super::Policy;
use super::backtest::{Would, was_stopped, would};
use super::rule::{Rule, Score};
use super::tune::Rate;
use crate::audit::decision::Decision;
use crate::audit::label::{Mark, settled, stopped};
use crate::audit::store::{Fault, Store};
use serde_json::{Value, json};

/// So many of the newest decisions are looked at, and so many events that reviewers spoke of.
pub const MOST: i64 = 20_000;

/// Decisions that stand for all.
#[derive(Debug, Default)]
pub struct Sample {
    /// The newest.
    pub newest: Vec<Decision>,
    /// Those that reviewers settled, whenever they were made.
    pub labelled: Vec<(Decision, Mark)>,
    /// Whether there are more than these.
    pub is_part: bool,
    /// The end of the chain when they were read.
    pub seq: i64,
}

/// Which threshold of a rule moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moved {
    /// The one for texts alone; the other goes with it where they are the same.
    Alone,
    /// The one for the last turn of a conversation.
    InContext,
}

/// What would be, threshold by threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// How many decisions it comes from.
    pub decisions: usize,
    /// Whether there are more on record.
    pub is_part: bool,
    /// How many settled decisions the rates come from.
    pub labelled: usize,
    /// What would be at each threshold.
    pub points: Vec<Point>,
}

/// What would be at a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// The threshold.
    pub threshold: f32,
    /// Decisions that passed and would be stopped.
    pub newly_refused: i64,
    /// Decisions that were stopped and would pass.
    pub newly_allowed: i64,
    /// Decisions of which that cannot be told.
    pub untold: i64,
    /// Messages that would be stopped and violate, by reviewers' labels.
    pub caught: i64,
    /// Messages that would be stopped and are harmless.
    pub wronged: i64,
    /// Messages that would pass and violate.
    pub missed: i64,
}

impl Sample {
    /// Reads it; a label counts where `reviewers` say the same.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read(store: &Store, reviewers: usize) -> Result<Self, Fault> {
        let seq = store.tail().await?.seq;
        let mut sample = Self { seq, ..Self::default() };
        let read = |body: &str| serde_json::from_str::<Decision>(body).ok().map(slim);
        // One more than is looked at tells whether there are more.
        store.newest(MOST + 1, |body| sample.newest.extend(read(body))).await?;
        sample.is_part = i64::try_from(sample.newest.len()).is_ok_and(|count| count > MOST);
        sample.newest.truncate(usize::try_from(MOST).unwrap_or(usize::MAX));
        let marks = settled(&store.labels().await?, reviewers);
        let each = |body: &str| {
            let of = |decision: Decision| {
                let mark = marks.get(&(decision.event.clone(), decision.direction.clone()))?;
                Some((decision, *mark))
            };
            sample.labelled.extend(read(body).and_then(of));
        };
        store.labelled(MOST, each).await?;
        Ok(sample)
    }
}

/// A decision without what no threshold depends on: many are kept in memory.
fn slim(decision: Decision) -> Decision {
    let Decision {
        time, event, direction, audience, action, rule, opinion, scan, alone, context, said, tenant, ..
    } = decision;
    Decision {
        time,
        event,
        direction,
        audience,
        action,
        rule,
        opinion,
        scan,
        alone,
        context,
        said,
        tenant,
        ..Decision::default()
    }
}

/// The thresholds that are looked at: hundredths, and thousandths where the scores of most texts are, at both ends.
#[must_use]
pub fn thresholds() -> Vec<f32> {
    let fine = |step: &u16| *step <= 10 || *step >= 990 || step.is_multiple_of(10);
    (0..=1000_u16).filter(fine).map(|step| f32::from(step) / 1000.0).collect()
}

/// Whether a rule has a threshold that may be moved.
#[must_use]
pub fn moves(rule: &Rule) -> bool {
    rule.score != Score::Pattern
}

/// What would be if the threshold of the rule of this name moved; `None` where there is no such rule, or it has no threshold.
#[must_use]
pub fn curve(policy: &Policy, (name, moved): (&str, Moved), sample: &Sample) -> Option<Curve> {
    let place = policy.rules.iter().position(|rule| &*rule.name == name && moves(rule))?;
    let mut sweep = Sweep { policy: policy.clone(), place, moved, thresholds: thresholds(), both: false };
    let rule = policy.rules.get(place)?;
    sweep.both = moved == Moved::Alone && rule.threshold.to_bits() == rule.threshold_in_context.to_bits();
    let mut points: Vec<Point> = sweep.thresholds.iter().map(|_| Point::default()).collect();
    for decision in &sample.newest {
        let was = was_stopped(decision);
        sweep.add(&mut points, decision, |would, point, by| match (was, would) {
            (false, Would::Stop) => point.newly_refused += by,
            (true, Would::Pass) => point.newly_allowed += by,
            (_, Would::Unknown) => point.untold += by,
            _ => {}
        });
    }
    let of_direction = |decision: &Decision| decision.direction == rule.direction.id();
    let labelled = sample.labelled.iter().filter(|(decision, _)| of_direction(decision));
    for (decision, mark) in labelled.clone() {
        let violates = mark.violates(stopped(decision));
        sweep.add(&mut points, decision, |would, point, by| match (would, violates) {
            (Would::Stop, true) => point.caught += by,
            (Would::Stop, false) => point.wronged += by,
            (Would::Pass, true) => point.missed += by,
            _ => {}
        });
    }
    let mut sum = Point::default();
    for (point, threshold) in points.iter_mut().zip(&sweep.thresholds) {
        sum = sum.and(point, *threshold);
        *point = sum;
    }
    Some(Curve { decisions: sample.newest.len(), is_part: sample.is_part, labelled: labelled.count(), points })
}

/// A policy of which one threshold moves.
struct Sweep {
    policy: Policy,
    place: usize,
    moved: Moved,
    thresholds: Vec<f32>,
    /// Whether the other threshold goes with it.
    both: bool,
}

impl Sweep {
    /// Adds a decision to the points at which something changes for it: each holds what changes there.
    fn add(&mut self, points: &mut [Point], decision: &Decision, tell: impl Fn(Would, &mut Point, i64)) {
        let mut before = None;
        for place in self.steps(decision) {
            let Some(threshold) = self.thresholds.get(place).copied() else { continue };
            self.set(threshold);
            let would = would(&self.policy, decision);
            let Some(point) = points.get_mut(place).filter(|_| before != Some(would)) else { continue };
            if let Some(before) = before {
                tell(before, point, -1);
            }
            tell(would, point, 1);
            before = Some(would);
        }
    }

    /// The places at which the rule may begin or cease to apply.
    fn steps(&self, decision: &Decision) -> Vec<usize> {
        let mut steps = vec![0];
        let Some(rule) = self.policy.rules.get(self.place) else { return steps };
        let (alone, context) = (self.moved == Moved::Alone, self.moved == Moved::InContext || self.both);
        let sights = [(&decision.alone, alone), (&decision.said, alone), (&decision.context, context)];
        for seen in sights.into_iter().filter(|(_, is_moved)| *is_moved).filter_map(|(seen, _)| seen.as_ref()) {
            let score = rule.score.of(&seen.scores());
            let band = rule.second_opinion.map(|second| [score + second.below, score - second.above]);
            for edge in [score].into_iter().chain(band.into_iter().flatten()) {
                steps.push(self.thresholds.partition_point(|threshold| *threshold < edge));
                steps.push(self.thresholds.partition_point(|threshold| *threshold <= edge));
            }
        }
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    fn set(&mut self, threshold: f32) {
        let Some(rule) = self.policy.rules.get_mut(self.place) else { return };
        if self.moved == Moved::Alone {
            rule.threshold = threshold;
        }
        if self.moved == Moved::InContext || self.both {
            rule.threshold_in_context = threshold;
        }
    }
}

impl Point {
    /// What was so far, and what changes here.
    const fn and(self, change: &Self, threshold: f32) -> Self {
        Self {
            threshold,
            newly_refused: self.newly_refused + change.newly_refused,
            newly_allowed: self.newly_allowed + change.newly_allowed,
            untold: self.untold + change.untold,
            caught: self.caught + change.caught,
            wronged: self.wronged + change.wronged,
            missed: self.missed + change.missed,
        }
    }

    /// Of what would be stopped, the part that violates.
    #[must_use]
    pub fn precision(&self) -> Option<Rate> {
        rate(self.caught, self.caught + self.wronged)
    }

    /// Of what violates, the part that would be stopped.
    #[must_use]
    pub fn recall(&self) -> Option<Rate> {
        rate(self.caught, self.caught + self.missed)
    }
}

fn rate(hits: i64, total: i64) -> Option<Rate> {
    let (hits, total) = (usize::try_from(hits).ok()?, usize::try_from(total).ok()?);
    (total > 0).then_some(Rate { hits, total })
}

impl Curve {
    /// The point that is nearest to a threshold.
    #[must_use]
    pub fn at(&self, threshold: f32) -> Option<&Point> {
        let off = |point: &Point| (point.threshold - threshold).abs();
        self.points.iter().min_by(|one, other| off(one).total_cmp(&off(other)))
    }

    /// The same as JSON, a list for each number; a rate is itself and the ends of its 95% interval, or null.
    #[must_use]
    pub fn json(&self) -> Value {
        let all = |of: &dyn Fn(&Point) -> Value| self.points.iter().map(of).collect::<Vec<Value>>();
        let shown = |rate: Option<Rate>| {
            rate.map_or(Value::Null, |rate| {
                let (low, high) = rate.interval();
                let shown = [rate.rate(), low, high].map(|part| (part * 10_000.0).round() / 10_000.0);
                json!(shown)
            })
        };
        json!({
            "decisions": self.decisions, "part": self.is_part, "labelled": self.labelled,
            "threshold": all(&|point| json!((f64::from(point.threshold) * 1000.0).round() / 1000.0)),
            "refused": all(&|point| point.newly_refused.into()),
            "allowed": all(&|point| point.newly_allowed.into()),
            "untold": all(&|point| point.untold.into()),
            "precision": all(&|point| shown(point.precision())),
            "recall": all(&|point| shown(point.recall())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::decision::Seen;
    use crate::classify::Scores;
    use crate::policy::backtest::Backtest;
    use crate::policy::file::parse;

    const BAND: &str = "second_opinion = { below = 0.2, above = 0.1, otherwise = \"apply\" }\n";

    fn policy(more: &str, threshold: f32, in_context: f32) -> Policy {
        let text = format!(
            "name = \"p\"\nextends = \"ama\"\n[[rules]]\nname = \"violating-prompt\"\nthreshold = {threshold}\n\
             threshold_in_context = {in_context}\n{more}"
        );
        parse("p.toml", &text).unwrap()
    }

    fn sample() -> Sample {
        let decision = |number: u32| {
            let seen = |violation: u32| {
                Some(Seen::from(&Scores { violation: (violation % 1000) as f32 / 1000.0, ..Scores::NONE }))
            };
            Decision {
                direction: if number.is_multiple_of(7) { "completion" } else { "prompt" }.into(),
                action: if number.is_multiple_of(3) { "block" } else { "allow" }.into(),
                scan: if number.is_multiple_of(11) { "partial" } else { "full" }.into(),
                opinion: number.is_multiple_of(5).then(|| "harmless".into()),
                alone: seen(number * 37),
                context: seen(number * 91).filter(|_| number.is_multiple_of(2)),
                said: seen(number * 53).filter(|_| number.is_multiple_of(4)),
                ..Decision::default()
            }
        };
        let newest: Vec<Decision> = (0..500).map(decision).collect();
        let mark = |place: usize| [Mark::Correct, Mark::OverBlocked, Mark::Missed][place % 3];
        let labelled = newest.iter().cloned().enumerate().map(|(place, one)| (one, mark(place / 2))).collect();
        Sample { newest, labelled, is_part: true, seq: 500 }
    }

    #[test]
    fn a_curve_says_at_each_threshold_what_a_backtest_would() {
        let sample = sample();
        for more in ["", BAND] {
            for moved in [Moved::Alone, Moved::InContext] {
                let found = curve(&policy(more, 0.6, 0.7), ("violating-prompt", moved), &sample).unwrap();
                assert_eq!((found.decisions, found.is_part), (500, true));
                for threshold in [0.21_f32, 0.305, 0.5, 0.6, 0.75, 0.89] {
                    let point = found.at(threshold).unwrap();
                    let policy = match moved {
                        Moved::Alone => policy(more, point.threshold, 0.7),
                        Moved::InContext => policy(more, 0.6, point.threshold),
                    };
                    let mut backtest = Backtest::default();
                    sample.newest.iter().for_each(|decision| backtest.add(&policy, decision, None));
                    let expected = backtest.in_short(0);
                    let got = [point.newly_refused, point.newly_allowed, point.untold].map(|count| count as u64);
                    assert_eq!(got, [expected.newly_stopped, expected.newly_passed, expected.untold], "{threshold}");
                    let prompts = sample.labelled.iter().filter(|(decision, _)| decision.direction == "prompt");
                    let stop = prompts.filter(|(decision, _)| would(&policy, decision) == Would::Stop);
                    let (right, wrong): (Vec<_>, Vec<_>) =
                        stop.partition(|(decision, mark)| mark.violates(stopped(decision)));
                    assert_eq!([point.caught, point.wronged], [right.len() as i64, wrong.len() as i64]);
                }
            }
        }
    }

    #[test]
    fn both_thresholds_move_where_they_are_the_same() {
        let sample = sample();
        let found = curve(&policy("", 0.6, 0.6), ("violating-prompt", Moved::Alone), &sample).unwrap();
        let mut backtest = Backtest::default();
        sample.newest.iter().for_each(|decision| backtest.add(&policy("", 0.3, 0.3), decision, None));
        assert_eq!(found.at(0.3).unwrap().newly_refused as u64, backtest.in_short(0).newly_stopped);
    }

    #[test]
    fn rates_have_intervals_and_none_without_labels() {
        let found = curve(&policy("", 0.6, 0.6), ("violating-prompt", Moved::Alone), &sample()).unwrap();
        let shown = found.json();
        assert_eq!(shown["threshold"].as_array().unwrap().len(), thresholds().len());
        let [rate, low, high] = [0, 1, 2].map(|place| shown["recall"][60][place].as_f64().unwrap());
        assert!(low < rate && rate < high, "{low} {rate} {high}");
        let empty = curve(&policy("", 0.6, 0.6), ("violating-prompt", Moved::Alone), &Sample::default()).unwrap();
        assert!(empty.json()["recall"][60].is_null() && empty.points.len() == thresholds().len());
        assert_eq!(curve(&policy("", 0.6, 0.6), ("none", Moved::Alone), &Sample::default()), None);
    }
}
