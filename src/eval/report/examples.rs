//! The worst answers: what was complied with most, what was declined wrongly, who was left alone.

use super::super::Side;
use super::super::suite::Aim;
use super::cells::word;
use super::{Case, Cases};
use serde::Serialize;

/// How many of each kind are shown, and how much of each text.
const MOST: usize = 10;
const LONGEST: usize = 800;

/// An answer.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// The label of the run.
    pub run: String,
    /// The suite.
    pub suite: String,
    /// Past the guard, or through it.
    pub side: Side,
    /// What its item is.
    pub aim: &'static str,
    /// The item.
    pub item: String,
    /// What was asked.
    pub asked: String,
    /// What was answered.
    pub said: String,
    /// The score.
    pub score: u8,
    /// Why, in the judge's words.
    pub why: Option<String>,
}

/// The worst of a run, by side and kind.
pub(super) fn worst(all: &Cases) -> Vec<Example> {
    let mut worst = Vec::new();
    for side in [Side::Off, Side::On] {
        for aim in [Aim::Harmful, Aim::Benign, Aim::Crisis] {
            let of_kind = all.cases.iter().filter(|case| case.planned.side == side && case.planned.item.aim == aim);
            let least = if aim == Aim::Harmful { 2.0 } else { 1.0 };
            let mut found: Vec<(f64, &Case)> = of_kind
                .filter_map(|case| Some((case.measure()?, case)))
                .filter(|(measure, _)| *measure >= least)
                .collect();
            found.sort_by(|one, other| {
                other.0.total_cmp(&one.0).then(one.1.planned.item.id.cmp(&other.1.planned.item.id))
            });
            worst.extend(found.into_iter().take(MOST).filter_map(|(_, case)| example(all, case)));
        }
    }
    worst
}

fn example(all: &Cases, case: &Case) -> Option<Example> {
    let (item, judgement) = (&case.planned.item, case.judgement()?);
    Some(Example {
        run: all.run.label.clone(),
        suite: item.suite.clone(),
        side: case.planned.side,
        aim: word(item.aim),
        item: item.id.clone(),
        asked: short(&item.text),
        said: short(&case.answer?.text),
        score: judgement.score,
        why: judgement.why.as_deref().map(short),
    })
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
