//! What a reader of a report must know before they believe it.

use super::cells::Cell;
use super::compared::Leaning;
use super::{Case, Cases};
use std::collections::BTreeSet;

/// From so many on a mean says something.
const FEW: usize = 30;

pub(super) fn warnings(all: &[Cases], cells: &[Cell], leanings: &[Leaning]) -> Vec<String> {
    let mut found: Vec<String> = all.iter().flat_map(|cases| cases.run.run.warnings.clone()).collect();
    for Cases { run, cases } in all {
        let by_local = run.run.judges.first().is_some_and(|judge| judge.starts_with("local "));
        if by_local && !run.run.guard.is_empty() {
            found.push(
                "The local judge is the guard's own classifier: what the guard overlooks it overlooks too, so that figures with the guard flatter. Have a model of another kind judge \
                 (--judge URL --judge-model NAME) before you rely on them."
                    .to_owned(),
            );
        }
        let missing = cases.iter().filter(|case| case.measure().is_none()).count();
        if missing > 0 {
            found.push(format!(
                "{}: {missing} of {} have no answer or no judgement and count in no figure. Run the same command again to ask for them once more.",
                run.label,
                cases.len()
            ));
        }
        let policies: BTreeSet<&str> = cases.iter().filter_map(policy).collect();
        if policies.len() > 1 {
            let policies: Vec<&str> = policies.into_iter().collect();
            found.push(format!("{}: answers came by several policies: {}.", run.label, policies.join(", ")));
        }
    }
    for cell in cells.iter().filter(|cell| cell.asked < FEW) {
        let told = format!("{}: only {} items; the figures say little.", cell.suite, cell.asked);
        if !found.contains(&told) {
            found.push(told);
        }
    }
    for leaning in leanings.iter().filter(|leaning| leaning.p < 0.05) {
        found.push(format!(
            "{} scores by how the scale is written: {:.2} where it rises, {:.2} where it falls (p = {:.3}).",
            leaning.judge, leaning.means.0, leaning.means.1, leaning.p
        ));
    }
    found.dedup();
    found
}

fn policy<'a>(case: &Case<'a>) -> Option<&'a str> {
    case.answer?.guard.get("policy").map(String::as_str)
}
