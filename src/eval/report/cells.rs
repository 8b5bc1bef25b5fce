//! The figures of one suite, asked one way.

use super::super::Side;
use super::super::statistics::{Mean, mean, percentile};
use super::super::suite::Aim;
use super::{Case, Cases};
use crate::policy::tune::Rate;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A part of some, with its 95% interval (Wilson, 1927).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// How many.
    pub hits: usize,
    /// Of how many.
    pub total: usize,
    /// The part; 0 of none.
    pub part: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Part {
    /// So many of so many.
    #[must_use]
    pub fn of(hits: usize, total: usize) -> Self {
        let rate = Rate { hits, total };
        let (low, high) = if total == 0 { (0.0, 1.0) } else { rate.interval() };
        Self { hits, total, part: if total == 0 { 0.0 } else { rate.rate() }, low, high }
    }
}

/// Figures of a suite, asked one way.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The label of the run.
    pub run: String,
    /// The suite.
    pub suite: String,
    /// Past the guard, or through it.
    pub side: Side,
    /// What its items are: harmful, benign, crisis, choice.
    pub aim: &'static str,
    /// How many were asked.
    pub asked: usize,
    /// How many of them have no answer, or no judgement.
    pub missing: usize,
    /// Of what violates: how far the model went along, from 1 to 5.
    pub harmfulness: Option<Mean>,
    /// How many have each score, from 1 to 5.
    pub scores: [usize; 5],
    /// What was declined.
    pub declined: Part,
    /// Of that by the guard.
    pub by_guard: usize,
    /// And by the model itself.
    pub by_model: usize,
    /// Of crises: declined, or left without an answer.
    pub failed: Option<Part>,
    /// To how many the guard gave help.
    pub helped: usize,
    /// Of questions with options: answered rightly.
    pub right: Option<Part>,
    /// Harmfulness by principle.
    pub principles: BTreeMap<String, Mean>,
    /// Harmfulness by what else the source tells apart.
    pub groups: BTreeMap<String, Mean>,
    /// Until the whole answer was there, in milliseconds: the median, and 95 of 100.
    pub millis: Option<(f64, f64)>,
    /// What the guard says that it added, likewise.
    pub added_millis: Option<(f64, f64)>,
    /// Tokens that were sent, and that came back.
    pub tokens: (u64, u64),
}

/// The cells of a run.
pub(super) fn cells(all: &Cases) -> Vec<Cell> {
    let keys: BTreeSet<(&str, Side)> =
        all.cases.iter().map(|case| (case.planned.item.suite.as_str(), case.planned.side)).collect();
    let of = |(suite, side): (&str, Side)| {
        let cases: Vec<&Case> =
            all.cases.iter().filter(|case| case.planned.item.suite == suite && case.planned.side == side).collect();
        let aims: BTreeSet<&'static str> = cases.iter().map(|case| word(case.planned.item.aim)).collect();
        // A suite of several kinds, as one with safe and unsafe requests, is as many.
        aims.iter()
            .map(|aim| {
                let of_aim: Vec<&Case> =
                    cases.iter().copied().filter(|case| word(case.planned.item.aim) == *aim).collect();
                cell((all, &of_aim), (suite, side, aim))
            })
            .collect::<Vec<_>>()
    };
    keys.into_iter().flat_map(of).collect()
}

/// The word for a kind of suite.
pub(super) const fn word(aim: Aim) -> &'static str {
    match aim {
        Aim::Harmful => "harmful",
        Aim::Benign => "benign",
        Aim::Crisis => "crisis",
        Aim::Choice(_) => "choice",
    }
}

fn cell((all, cases): (&Cases, &[&Case]), (suite, side, aim): (&str, Side, &'static str)) -> Cell {
    let seed = all.run.run.seed;
    let measures: Vec<f64> = cases.iter().filter_map(|case| case.measure()).collect();
    let count = |is_so: &dyn Fn(&&&Case) -> bool| cases.iter().filter(is_so).count();
    let declined = count(&|case| case.declined() == Some(true));
    let by_guard = count(&|case| case.is_stopped());
    let total = count(&|case| case.declined().is_some());
    let hits = measures.iter().filter(|measure| **measure > 0.0).count();
    let score = |score: u8| count(&|case| case.judgement().is_some_and(|found| found.score == score));
    let answers = || cases.iter().filter_map(|case| case.answer);
    let is_harmful = aim == "harmful";
    let by = |of: &dyn Fn(&Case) -> Option<String>| by(cases, (is_harmful, seed), of);
    Cell {
        run: all.run.label.clone(),
        suite: suite.to_owned(),
        side,
        aim,
        asked: cases.len(),
        missing: cases.len() - measures.len(),
        harmfulness: if is_harmful { mean(&measures, seed) } else { None },
        scores: if is_harmful { [1, 2, 3, 4, 5].map(score) } else { [0; 5] },
        declined: Part::of(declined, total),
        by_guard,
        by_model: declined - by_guard,
        failed: (aim == "crisis").then(|| Part::of(hits, measures.len())),
        helped: count(&|case| case.is_helped()),
        right: (aim == "choice").then(|| Part::of(hits, measures.len())),
        principles: by(&|case| case.planned.item.principle.clone()),
        groups: by(&|case| case.planned.item.group.clone()),
        millis: spread(answers().map(|answer| answer.millis).collect()),
        added_millis: spread(answers().filter_map(|answer| added(answer.guard.get("latency")?)).collect()),
        tokens: answers().fold((0, 0), |sum, answer| (sum.0 + answer.tokens.0, sum.1 + answer.tokens.1)),
    }
}

fn by(
    cases: &[&Case],
    (is_harmful, seed): (bool, u64),
    of: &dyn Fn(&Case) -> Option<String>,
) -> BTreeMap<String, Mean> {
    let mut apart: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for case in cases.iter().filter(|_| is_harmful) {
        if let (Some(name), Some(measure)) = (of(case), case.measure()) {
            apart.entry(name).or_default().push(measure);
        }
    }
    apart.into_iter().filter_map(|(name, values)| Some((name, mean(&values, seed)?))).collect()
}

fn spread(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5).zip(percentile(&values, 0.95))
}

/// The sum over phases of a header such as `prompt;dur=2.9, completion;dur=3.4`.
fn added(latency: &str) -> Option<f64> {
    latency.split(',').map(|phase| phase.split_once("dur=")?.1.trim().parse::<f64>().ok()).sum()
}
