//! The report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.

use super::super::Side;
use super::cells::Cell;
use super::words::{METHOD, apart, chance, figure, mean, measure, millis, part};
use super::{Example, Report, Told, chart};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::{BTreeMap, BTreeSet};

const STYLE: &str = include_str!("report.css");

/// The whole page.
#[must_use]
pub fn page(report: &Report) -> String {
    let models: Vec<&str> = report.runs.iter().map(|told| told.label.as_str()).collect();
    let title = format!("How safe is it? {}", models.join(", "));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body(report, &title)) }
        }
    };
    page.into_string()
}

/// What stands between head and foot, for pages that have their own.
#[must_use]
pub fn body(report: &Report, title: &str) -> Markup {
    html! {
        h1 { (title) }
        (runs(&report.runs))
        @if !report.warnings.is_empty() {
            div class="warnings" {
                strong { "Before you believe it" }
                ul { @for warning in &report.warnings { li { (warning) } } }
            }
        }
        h2 { "How readily it complies" }
        (picture(report))
        (figures(&report.cells))
        @if !report.differences.is_empty() {
            h2 { "What differs, and whether that may be chance" }
            (differences(report))
        }
        h2 { "By principle" }
        (apart_by("Mean harmfulness by principle, 1 to 5, with 95% intervals", "principle", &report.cells, |cell| &cell.principles))
        (apart_by("Mean harmfulness by what else the source tells apart", "group", &report.cells, |cell| &cell.groups))
        h2 { "Who declines, and what it costs" }
        (costs(&report.cells))
        @if !report.agreement.is_empty() || !report.leanings.is_empty() {
            h2 { "The judges" }
            (judges(report))
        }
        h2 { "The worst answers" }
        p class="note" { "At most ten of each kind. They are what the model wrote; open one to read it." }
        @for example in &report.examples { (shown(example)) }
        @if report.examples.is_empty() { p { "There are none." } }
        h2 { "Method and limits" }
        ul { @for line in METHOD { li { (line) } } }
    }
}

fn runs(runs: &[Told]) -> Markup {
    table(
        "What was run",
        &["run", "model", "at", "guard", "judges", "begun", "seed", "sampling"],
        &runs
            .iter()
            .map(|told| {
                let guard = if told.run.guard.is_empty() { "–".to_owned() } else { told.run.guard.clone() };
                vec![
                    told.id.clone(),
                    told.label.clone(),
                    told.run.target.clone(),
                    guard,
                    told.run.judges.join("; "),
                    told.begun.clone(),
                    told.run.seed.to_string(),
                    told.run.sampling.to_string(),
                ]
            })
            .collect::<Vec<_>>(),
    )
}

fn table(caption: &str, heads: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (place, value) in row.iter().enumerate() {
                                @if place == 0 { th scope="row" { (value) } } @else { td { (value) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn picture(report: &Report) -> Markup {
    let Some(svg) = chart::svg(&report.cells) else { return html! {} };
    html! {
        figure {
            (PreEscaped(svg))
            figcaption {
                "Mean harmfulness with its 95% interval."
                @for side in [Side::Off, Side::On] {
                    svg class="key" viewBox="0 0 10 10" aria-hidden="true" { rect width="10" height="10" fill=(chart::ink(side)) {} }
                    (side.told())
                }
            }
        }
    }
}

fn figures(cells: &[Cell]) -> Markup {
    let rows: Vec<Vec<String>> = cells
        .iter()
        .map(|cell| {
            let (what, value) = figure(cell);
            let scores = if cell.aim == "harmful" {
                cell.scores.map(|count| count.to_string()).join(" / ")
            } else {
                "–".to_owned()
            };
            vec![
                cell.suite.clone(),
                cell.run.clone(),
                cell.side.told().to_owned(),
                what.to_owned(),
                value,
                scores,
                cell.asked.to_string(),
                cell.missing.to_string(),
            ]
        })
        .collect();
    table(
        "Figures with 95% intervals",
        &["suite", "model", "side", "figure", "value", "scores 1 / 2 / 3 / 4 / 5", "asked", "missing"],
        &rows,
    )
}

fn differences(report: &Report) -> Markup {
    let rows: Vec<Vec<String>> = report
        .differences
        .iter()
        .map(|found| {
            let [one, other, difference] = apart(found);
            vec![
                found.suite.clone(),
                measure(found).to_owned(),
                found.between.0.clone(),
                one,
                found.between.1.clone(),
                other,
                difference,
                chance(found.p),
                found.n.to_string(),
            ]
        })
        .collect();
    table(
        "The same items, asked otherwise",
        &["suite", "figure", "first", "", "second", "", "difference", "p", "items"],
        &rows,
    )
}

fn apart_by(
    caption: &str,
    what: &str,
    cells: &[Cell],
    of: impl Fn(&Cell) -> &BTreeMap<String, super::super::statistics::Mean>,
) -> Markup {
    let names: BTreeSet<&String> = cells.iter().flat_map(|cell| of(cell).keys()).collect();
    if names.is_empty() {
        return html! {};
    }
    let with: Vec<&Cell> = cells.iter().filter(|cell| !of(cell).is_empty()).collect();
    let heads: Vec<String> =
        with.iter().map(|cell| format!("{}: {}, {}", cell.suite, cell.run, cell.side.told())).collect();
    let heads: Vec<&str> = std::iter::once(what).chain(heads.iter().map(String::as_str)).collect();
    let row = |name: &&String| -> Vec<String> {
        let values = with.iter().map(|cell| of(cell).get(*name).map_or_else(|| "–".to_owned(), mean));
        std::iter::once((*name).clone()).chain(values).collect()
    };
    table(caption, &heads, &names.iter().map(row).collect::<Vec<_>>())
}

fn costs(cells: &[Cell]) -> Markup {
    let rows: Vec<Vec<String>> = cells
        .iter()
        .map(|cell| {
            vec![
                cell.suite.clone(),
                cell.run.clone(),
                cell.side.told().to_owned(),
                part(&cell.declined),
                cell.by_guard.to_string(),
                cell.by_model.to_string(),
                cell.helped.to_string(),
                millis(cell.millis),
                millis(cell.added_millis),
                format!("{} / {}", cell.tokens.0, cell.tokens.1),
            ]
        })
        .collect();
    let heads = [
        "suite",
        "model",
        "side",
        "declined",
        "by the guard",
        "by the model",
        "helped",
        "ms, median / 95%",
        "added by the guard",
        "tokens in / out",
    ];
    table("Refusals, latency and tokens", &heads, &rows)
}

fn judges(report: &Report) -> Markup {
    let agreement: Vec<Vec<String>> = report
        .agreement
        .iter()
        .map(|found| {
            let kappa = found.kappa.map_or_else(|| "–".to_owned(), |kappa| format!("{kappa:.3}"));
            vec![found.run.clone(), found.judges.0.clone(), found.judges.1.clone(), kappa, found.n.to_string()]
        })
        .collect();
    let leanings: Vec<Vec<String>> = report
        .leanings
        .iter()
        .map(|found| {
            let (rising, falling) = found.means;
            vec![
                found.run.clone(),
                found.judge.clone(),
                format!("{rising:.2}"),
                format!("{falling:.2}"),
                chance(found.p),
            ]
        })
        .collect();
    html! {
        @if !agreement.is_empty() {
            (table("Agreement: Cohen's kappa with quadratic weights", &["model", "judge", "and", "kappa", "answers"], &agreement))
        }
        @if !leanings.is_empty() {
            (table("Mean scores by how the scale was written", &["model", "judge", "from 1 to 5", "from 5 to 1", "p"], &leanings))
        }
    }
}

fn shown(example: &Example) -> Markup {
    html! {
        details {
            summary {
                (example.suite) ", " (example.run) ", " (example.side.told()) ": "
                @match example.aim {
                    "harmful" => { "score " (example.score) },
                    "benign" => "declined wrongly",
                    _ => "declined or left alone",
                }
                " (" (example.item) ")"
            }
            p class="note" { "Asked" }
            blockquote { (example.asked) }
            p class="note" { "Answered" }
            blockquote { (example.said) }
            @if let Some(why) = &example.why { p class="note" { "The judge: " (why) } }
        }
    }
}
