//! The report as text: Markdown for people, CSV for tables.

use super::Report;
use super::words::{METHOD, apart, chance, figure, mean, measure, millis, part};

/// Markdown. Texts of the suites and of the model are left to the HTML.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = String::from("# How safe is it?\n\n");
    let runs = report.runs.iter().map(|told| {
        let named = [&told.id, &told.label, &told.run.target, &told.run.guard];
        named.into_iter().cloned().chain([told.run.judges.join("; "), told.begun.clone()]).collect()
    });
    out.push_str(&table(&["run", "model", "at", "guard", "judges", "begun"], runs));
    for warning in &report.warnings {
        out.push_str(&format!("> **Note**: {warning}\n\n"));
    }
    out.push_str("## Figures\n\n");
    out.push_str(&figures(report));
    if !report.differences.is_empty() {
        out.push_str("## Differences\n\n");
        out.push_str(&differences(report));
    }
    out.push_str("## By principle\n\n");
    out.push_str(&principles(report));
    if !report.agreement.is_empty() {
        out.push_str("## Judges\n\n");
        out.push_str(&judges(report));
    }
    out.push_str("## Method and limits\n\n");
    out.extend(METHOD.map(|line| format!("- {line}\n")));
    out
}

fn figures(report: &Report) -> String {
    let figures = report.cells.iter().map(|cell| {
        let (what, value) = figure(cell);
        vec![
            cell.suite.clone(),
            cell.run.clone(),
            cell.side.told().to_owned(),
            what.to_owned(),
            value,
            part(&cell.declined),
            cell.by_guard.to_string(),
            cell.by_model.to_string(),
            cell.missing.to_string(),
            millis(cell.millis),
        ]
    });
    let refusals = ["declined", "by the guard", "by the model"];
    let heads =
        [&["suite", "model", "side", "figure", "value"][..], &refusals, &["missing", "ms, median / 95%"]].concat();
    table(&heads, figures)
}

fn differences(report: &Report) -> String {
    let differences = report.differences.iter().map(|found| {
        let [one, other, difference] = apart(found);
        vec![
            found.suite.clone(),
            measure(found).to_owned(),
            format!("{}: {one}", found.between.0),
            format!("{}: {other}", found.between.1),
            difference,
            chance(found.p),
            found.n.to_string(),
        ]
    });
    table(&["suite", "figure", "first", "second", "difference", "p", "items"], differences)
}

fn principles(report: &Report) -> String {
    let principles = report.cells.iter().flat_map(|cell| {
        let named = |principle: &String| [principle.clone(), cell.suite.clone(), cell.run.clone()];
        cell.principles.iter().map(move |(principle, found)| {
            let figures = [cell.side.told().to_owned(), mean(found), found.n.to_string()];
            named(principle).into_iter().chain(figures).collect()
        })
    });
    table(&["principle", "suite", "model", "side", "harmfulness", "items"], principles)
}

fn judges(report: &Report) -> String {
    let agreement = report.agreement.iter().map(|found| {
        let kappa = found.kappa.map_or_else(|| "–".to_owned(), |kappa| format!("{kappa:.3}"));
        vec![found.run.clone(), found.judges.0.clone(), found.judges.1.clone(), kappa, found.n.to_string()]
    });
    table(&["model", "judge", "and", "weighted kappa", "answers"], agreement)
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let row = |cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut table = row(heads.iter().map(|head| (*head).to_owned()).collect());
    table.push_str(&row(vec!["---".to_owned(); heads.len()]));
    table.extend(rows.map(row));
    table.push('\n');
    table
}

/// CSV: a row for each suite and side, and one for each principle and group in it.
///
/// # Errors
/// When it cannot be written.
pub fn csv(report: &Report) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record([
        "run", "suite", "side", "aim", "by", "name", "items", "missing", "value", "low", "high", "declined",
        "by_guard", "by_model",
    ])?;
    for cell in &report.cells {
        let (value, low, high) = match (&cell.harmfulness, cell.failed.or(cell.right).unwrap_or(cell.declined)) {
            (Some(mean), _) => (mean.mean, mean.low, mean.high),
            (None, part) => (part.part, part.low, part.high),
        };
        let named = [cell.run.clone(), cell.suite.clone(), cell.side.id().to_owned(), cell.aim.to_owned()];
        let numbers = [value, low, high].map(|number| format!("{number:.6}"));
        let counts = [cell.declined.hits, cell.by_guard, cell.by_model].map(|count| count.to_string());
        let of_all = ["all".to_owned(), String::new(), cell.asked.to_string(), cell.missing.to_string()];
        out.write_record(named.iter().chain(&of_all).chain(&numbers).chain(&counts))?;
        for (by, means) in [("principle", &cell.principles), ("group", &cell.groups)] {
            for (name, mean) in means {
                let of_name = [by.to_owned(), name.clone(), mean.n.to_string(), String::new()];
                let numbers = [mean.mean, mean.low, mean.high].map(|number| format!("{number:.6}"));
                out.write_record(named.iter().chain(&of_name).chain(&numbers).chain(&["", "", ""].map(String::from)))?;
            }
        }
    }
    out.into_inner().map_err(|error| error.into_error().into())
}
