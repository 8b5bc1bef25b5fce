//! `nonnocere eval`: how readily a model complies with what violates, and what the guard changes of that.

mod guard;
mod settings;

pub use settings::{GuardWanted, RunWanted};

use crate::config::Config;
use crate::eval::Side;
use crate::eval::gate::{Limits, held};
use crate::eval::report::{Report, html, plain};
use crate::eval::run::{Experiment, plan};
use crate::eval::store::{Run, Store};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is to be done with experiments.
#[derive(Subcommand)]
pub enum EvalCommand {
    /// Ask a model, past the guard and through it, have the answers judged, and write the report. The same command goes on where it ended.
    Run(Box<RunWanted>),
    /// Say which runs are there.
    Runs {
        /// Where they are kept.
        #[command(flatten)]
        kept: Kept,
    },
    /// Write the report on a run again.
    Report {
        /// Where they are kept.
        #[command(flatten)]
        kept: Kept,
        /// The run: its id, what that begins with, or its name. The newest without one.
        run: Option<String>,
        /// Where the report is written.
        #[arg(long, default_value = "nonnocere-eval")]
        out: PathBuf,
    },
    /// Write one report on several runs, held against the first: models, or versions of a policy.
    Compare {
        /// Where they are kept.
        #[command(flatten)]
        kept: Kept,
        /// The runs.
        #[arg(required = true, num_args = 2..)]
        runs: Vec<String>,
        /// Where the report is written.
        #[arg(long, default_value = "nonnocere-eval")]
        out: PathBuf,
    },
    /// Hold a run against limits; the exit code is 1 when one fails, and 2 when nothing can be said.
    Gate {
        /// Where they are kept.
        #[command(flatten)]
        kept: Kept,
        /// The run; the newest without one.
        run: Option<String>,
        /// What it is held against.
        #[command(flatten)]
        limits: GateLimits,
    },
}

/// Where experiments are kept.
#[derive(Args)]
pub struct Kept {
    /// The file in which experiments are kept.
    #[arg(long, default_value = "nonnocere-eval.db")]
    pub store: PathBuf,
}

/// What a gate holds a run against.
#[derive(Args)]
pub struct GateLimits {
    /// The highest mean harmfulness of any suite, from 1 to 5.
    #[arg(long)]
    max_harm: Option<f64>,
    /// The highest part of legitimate requests that is declined in any suite, such as 0.5%.
    #[arg(long, value_parser = part)]
    max_over_refusal: Option<f64>,
    /// The highest part of crises that is declined or left alone.
    #[arg(long, value_parser = part)]
    max_crisis_failures: Option<f64>,
    /// The least part of questions with options that is answered rightly.
    #[arg(long, value_parser = part)]
    min_right: Option<f64>,
    /// Hold the far end of each 95% interval against the limit, not the figure itself.
    #[arg(long)]
    strict: bool,
    /// Which side: through the guard ("on") or past it ("off"). Through it, where that was run.
    #[arg(long, value_parser = side)]
    side: Option<Side>,
}

fn part(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let part = number.trim().parse::<f64>().ok().map(|number| number / scale);
    part.filter(|part| (0.0..=1.0).contains(part)).ok_or_else(|| "expected a part such as 0.5%".to_owned())
}

fn side(text: &str) -> Result<Side, String> {
    let found = [Side::Off, Side::On].into_iter().find(|side| side.id() == text);
    found.ok_or_else(|| "expected on or off".to_owned())
}

/// Does it; says whether a gate holds.
///
/// # Errors
/// When it cannot be done, and why.
pub async fn run(config: &Config, command: EvalCommand) -> anyhow::Result<bool> {
    let mut out = std::io::stdout();
    match command {
        EvalCommand::Run(wanted) => experiment(config, &wanted).await?,
        EvalCommand::Runs { kept } => {
            for run in kept.open().await?.runs().await? {
                let name = if run.name.is_empty() { String::new() } else { format!(" \"{}\"", run.name) };
                let guard = if run.guard.is_empty() { "no guard" } else { &run.guard };
                writeln!(out, "{}{name}: {} at {}, {guard}", run.id, run.model, run.target)?;
            }
        }
        EvalCommand::Report { kept, run, out } => {
            let store = kept.open().await?;
            let runs = [named(&store.runs().await?, run.as_deref())?];
            write(&Report::of(&store, &runs).await?, &out)?;
        }
        EvalCommand::Compare { kept, runs, out } => {
            let store = kept.open().await?;
            let all = store.runs().await?;
            let runs: anyhow::Result<Vec<Run>> = runs.iter().map(|name| named(&all, Some(name.as_str()))).collect();
            write(&Report::of(&store, &runs?).await?, &out)?;
        }
        EvalCommand::Gate { kept, run, limits } => {
            let store = kept.open().await?;
            let runs = [named(&store.runs().await?, run.as_deref())?];
            return gate(&Report::of(&store, &runs).await?, &limits);
        }
    }
    Ok(true)
}

impl Kept {
    /// The store, where it is there.
    async fn open(&self) -> anyhow::Result<Store> {
        anyhow::ensure!(self.store.exists(), "{} is not there; nothing was run yet", self.store.display());
        Ok(Store::open(&self.store).await?)
    }
}

/// The run of this id, of one that begins so, or of this name: of several the newest.
pub(super) fn named(runs: &[Run], name: Option<&str>) -> anyhow::Result<Run> {
    let is_it = |run: &&Run| name.is_none_or(|name| run.id.starts_with(name) || run.name == name);
    let found = runs.iter().rev().find(is_it).cloned();
    found.with_context(|| format!("there is no run {}; `nonnocere eval runs` lists them", name.unwrap_or_default()))
}

async fn experiment(config: &Config, wanted: &RunWanted) -> anyhow::Result<()> {
    let items = wanted.items()?;
    let store = Store::open(&wanted.kept.store).await.with_context(|| wanted.kept.store.display().to_string())?;
    // It serves as long as it is not dropped.
    let guarded = wanted.guarded(config).await?;
    let ways = wanted.ways(guarded.as_ref())?;
    let judges = wanted.judges(config)?;
    let run = wanted.run(&items, guarded.as_ref(), &judges)?;
    let planned = plan(&run, &ways, &items);
    store.begin(&run, &planned).await?;
    let (at_once, readers) = (wanted.concurrency, config.workers * 2);
    let experiment = Experiment { store, run, ways, judges, at_once, readers };
    let mut out = std::io::stdout();
    writeln!(out, "run {}: {} requests", experiment.run.id, planned.len())?;
    experiment.ask(&planned).await?;
    for way in &experiment.ways {
        let (most, average) = way.endpoint.flight.seen();
        if most > 0 {
            writeln!(out, "{}: at most {most} requests in flight, {average:.1} on average", way.side.told())?;
        }
    }
    experiment.judge(&planned).await?;
    write(&Report::of(&experiment.store, std::slice::from_ref(&experiment.run)).await?, &wanted.out)
}

/// Writes a report in all its forms, and its figures to the standard output.
fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let markdown = plain::markdown(report);
    for (name, text) in [
        ("report.html", html::page(report).into_bytes()),
        ("report.md", markdown.clone().into_bytes()),
        ("report.json", serde_json::to_vec_pretty(report)?),
        ("report.csv", plain::csv(report)?),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    let figures = markdown.split("## By principle").next().unwrap_or_default();
    writeln!(std::io::stdout(), "\n{figures}{}", folder.join("report.html").display())?;
    Ok(())
}

fn gate(report: &Report, limits: &GateLimits) -> anyhow::Result<bool> {
    let GateLimits { max_harm, max_over_refusal, max_crisis_failures, min_right, strict, side } = limits;
    let limits = Limits {
        harm: *max_harm,
        over_refusal: *max_over_refusal,
        crisis: *max_crisis_failures,
        right: *min_right,
        is_strict: *strict,
    };
    let held = held(report, &limits, *side).map_err(|why| anyhow::anyhow!(why))?;
    anyhow::ensure!(
        !held.is_empty(),
        "no limit was given: --max-harm, --max-over-refusal, --max-crisis-failures, --min-right"
    );
    let mut out = std::io::stdout();
    held.iter().try_for_each(|held| writeln!(out, "{held}"))?;
    Ok(held.iter().all(|held| held.holds))
}
