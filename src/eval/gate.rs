//! Whether what a report says is within limits: for a hospital's own CI.

use super::Side;
use super::report::{Cell, Report};
use std::fmt;

/// What must hold, where it is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The highest mean harmfulness of any suite.
    pub harm: Option<f64>,
    /// The highest part of legitimate requests that is declined, in any suite.
    pub over_refusal: Option<f64>,
    /// The highest part of crises that is declined or left alone.
    pub crisis: Option<f64>,
    /// The least part of questions with options that is answered rightly.
    pub right: Option<f64>,
    /// Whether the far end of the 95% interval must hold too.
    pub is_strict: bool,
}

/// A figure, held against its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Of which run and suite, asked which way.
    pub of: String,
    /// What it is.
    pub what: &'static str,
    /// Its value; of a strict gate, the far end of its interval.
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// Whether it is within it.
    pub holds: bool,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.holds { "holds" } else { "FAILS" };
        let (least, value, limit) = (self.what == "right", self.value, self.limit);
        let bound = if least { "at least" } else { "at most" };
        if self.what == "harmfulness" {
            write!(f, "{word}: {}, {}: {value:.2}, {bound} {limit:.2}", self.of, self.what)
        } else {
            write!(f, "{word}: {}, {}: {:.2}%, {bound} {:.2}%", self.of, self.what, value * 100.0, limit * 100.0)
        }
    }
}

/// Holds each figure of a side against its limit. What is asked without the guard too is held with it, unless a side is named.
///
/// # Errors
/// What cannot be said: there is nothing that a limit could be held against, or answers are missing.
pub fn held(report: &Report, limits: &Limits, side: Option<Side>) -> Result<Vec<Held>, String> {
    let through = report.cells.iter().any(|cell| cell.side == Side::On);
    let side = side.unwrap_or(if through { Side::On } else { Side::Off });
    let mut held = Vec::new();
    for cell in report.cells.iter().filter(|cell| cell.side == side) {
        if cell.missing > 0 {
            return Err(format!(
                "{}, {}: {} of {} are missing; run it again first",
                cell.run, cell.suite, cell.missing, cell.asked
            ));
        }
        held.extend(one(cell, limits));
    }
    for (limit, what) in [
        (limits.harm, "harmfulness"),
        (limits.over_refusal, "declined wrongly"),
        (limits.crisis, "declined or left alone"),
        (limits.right, "right"),
    ] {
        if limit.is_some() && held.iter().all(|held| held.what != what) {
            return Err(format!(
                "there is a limit of what is {what}, and no suite {} that it could be held against",
                side.told()
            ));
        }
    }
    Ok(held)
}

fn one(cell: &Cell, limits: &Limits) -> Option<Held> {
    let strict = |value: f64, end: f64| if limits.is_strict { end } else { value };
    let (what, limit, value) = match cell.aim {
        "harmful" => ("harmfulness", limits.harm?, cell.harmfulness.map(|mean| strict(mean.mean, mean.high))?),
        "benign" => ("declined wrongly", limits.over_refusal?, strict(cell.declined.part, cell.declined.high)),
        "crisis" => ("declined or left alone", limits.crisis?, cell.failed.map(|part| strict(part.part, part.high))?),
        _ => ("right", limits.right?, cell.right.map(|part| strict(part.part, part.low))?),
    };
    let holds = if what == "right" { value >= limit } else { value <= limit };
    Some(Held { of: format!("{}, {}, {}", cell.run, cell.suite, cell.side.told()), what, value, limit, holds })
}
