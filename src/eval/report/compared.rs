//! What differs between two ways to ask or two runs, item by item; and how far judges are to be believed.

use super::super::Side;
use super::super::judge::Order;
use super::super::statistics::{average, paired, unpaired, weighted_kappa};
use super::cells::word;
use super::{Case, Cases};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// What differs on the same items.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Between which two.
    pub between: (String, String),
    /// The suite.
    pub suite: String,
    /// What its items are.
    pub aim: &'static str,
    /// The mean of each: harmfulness, or the part that was declined, failed or answered rightly.
    pub means: (f64, f64),
    /// The second less the first.
    pub difference: f64,
    /// How likely such a difference is by chance (paired permutation test on both sides).
    pub p: f64,
    /// On how many items.
    pub n: usize,
}

/// How far two judges agree.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// The label of the run.
    pub run: String,
    /// The judges.
    pub judges: (String, String),
    /// Cohen's kappa with quadratic weights; nothing where chance alone would always agree.
    pub kappa: Option<f64>,
    /// On how many answers.
    pub n: usize,
}

/// Whether a judge scores by how the scale is written.
#[derive(Clone, Debug, Serialize)]
pub struct Leaning {
    /// The label of the run.
    pub run: String,
    /// The judge.
    pub judge: String,
    /// The mean score where the scale rises, and where it falls.
    pub means: (f64, f64),
    /// How likely such a difference is by chance (permutation test on both sides).
    pub p: f64,
}

/// The measure of each item.
type Measures<'a> = HashMap<(&'a str, &'a str, &'static str), f64>;

/// Two measures of each item.
type Pairs<'a> = BTreeMap<&'a str, (f64, f64)>;

fn measures<'a>(all: &'a Cases, side: Side) -> Measures<'a> {
    let of_side = all.cases.iter().filter(|case| case.planned.side == side);
    let measure = |case: &'a Case| {
        let item = &case.planned.item;
        Some(((item.suite.as_str(), item.id.as_str(), word(item.aim)), case.measure()?))
    };
    of_side.filter_map(measure).collect()
}

/// Between the two ways of each run, and between the first run and each other.
pub(super) fn differences(all: &[Cases]) -> Vec<Difference> {
    let mut found = Vec::new();
    for cases in all {
        let named = |side: Side| format!("{}, {}", cases.run.label, side.told());
        let between = (named(Side::Off), named(Side::On));
        found.extend(of(&measures(cases, Side::Off), &measures(cases, Side::On), &between, cases.run.run.seed));
    }
    let Some((first, others)) = all.split_first() else { return found };
    for other in others {
        for side in [Side::Off, Side::On] {
            let named = |cases: &Cases| format!("{}, {}", cases.run.label, side.told());
            let between = (named(first), named(other));
            found.extend(of(&measures(first, side), &measures(other, side), &between, first.run.run.seed));
        }
    }
    found
}

fn difference(
    (suite, aim): (&str, &'static str),
    pairs: Vec<(f64, f64)>,
    between: &(String, String),
    seed: u64,
) -> Option<Difference> {
    let (one, other): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let apart: Vec<f64> = pairs.iter().map(|(one, other)| other - one).collect();
    Some(Difference {
        between: between.clone(),
        suite: suite.to_owned(),
        aim,
        means: (average(&one)?, average(&other)?),
        difference: average(&apart)?,
        p: paired(&apart, seed),
        n: apart.len(),
    })
}

fn of(one: &Measures, other: &Measures, between: &(String, String), seed: u64) -> Vec<Difference> {
    let mut pairs: BTreeMap<(&str, &'static str), Pairs> = BTreeMap::new();
    for ((suite, id, aim), measure) in one {
        if let Some(second) = other.get(&(*suite, *id, *aim)) {
            pairs.entry((*suite, *aim)).or_default().insert(*id, (*measure, *second));
        }
    }
    let pairs = pairs.into_iter().map(|(named, pairs)| (named, pairs.into_values().collect()));
    pairs.filter_map(|(named, pairs)| difference(named, pairs, between, seed)).collect()
}

/// How far the first judge and each other agree on what all of them read.
pub(super) fn agreement(all: &Cases) -> Vec<Agreement> {
    let judges = &all.run.run.judges;
    let Some((first, others)) = judges.split_first() else { return Vec::new() };
    let with = |(place, other): (usize, &String)| {
        let read = all.cases.iter().filter(|case| case.is_judged);
        let pair = |case: &Case| Some((case.judgement()?.score, case.judgements.get(place + 1)?.as_ref()?.score));
        let pairs: Vec<(u8, u8)> = read.filter_map(pair).collect();
        let judges = (first.clone(), other.clone());
        Agreement { run: all.run.label.clone(), judges, kappa: weighted_kappa(&pairs), n: pairs.len() }
    };
    others.iter().enumerate().map(with).collect()
}

/// Whether the first judge leans, where the scale was written both ways.
pub(super) fn leaning(all: &Cases) -> Option<Leaning> {
    let scores = |order: Order| -> Vec<f64> {
        let judged = all.cases.iter().filter(|case| case.is_judged).filter_map(Case::judgement);
        judged.filter(|found| found.order == Some(order)).map(|found| f64::from(found.score)).collect()
    };
    let (rising, falling) = (scores(Order::Rising), scores(Order::Falling));
    let means = (average(&rising)?, average(&falling)?);
    let judge = all.run.run.judges.first()?.clone();
    Some(Leaning { run: all.run.label.clone(), judge, means, p: unpaired(&rising, &falling, all.run.run.seed) })
}
