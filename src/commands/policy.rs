//! `nonnocere policy`: is this policy file valid, does it do what its tests expect, what is different in another one, what would
//! it have done with what is on record, and which thresholds do the reviewers' labels speak for?

use crate::audit::decision::Decision;
use crate::audit::label::settled;
use crate::config::Config;
use crate::guard::Guard;
use crate::policy::Policy;
use crate::policy::diff::diff;
use crate::policy::file;
use crate::policy::reload::Source;
use crate::policy::tune::{self, Target, Tuned, examples, tunable};
use std::io::Write;
use std::path::Path;

/// Checks a policy file; every fault is named with its line and key.
///
/// # Errors
/// When the policy has faults, or the output is closed.
pub fn lint(name: &str) -> anyhow::Result<()> {
    let policy = read(name)?;
    let (rules, tests) = (policy.rules.len(), policy.tests.len());
    writeln!(std::io::stdout(), "{policy} is valid: {rules} rules, {tests} tests")?;
    Ok(())
}

/// Tries the tests that a policy carries; says whether all hold.
///
/// # Errors
/// When the policy has faults, the model cannot judge, or the output is closed.
pub async fn test(config: &Config) -> anyhow::Result<bool> {
    let policy = super::policy_of(config).await?.snapshot();
    let guard = Guard::new(super::start_pool(config)?, config.manner.finish);
    let broken = guard.try_policy(&policy).await;
    let broken = broken.map_err(|why| anyhow::anyhow!("the model could not judge: {why:?}"))?;
    let mut out = std::io::stdout().lock();
    for one in &broken {
        writeln!(out, "{one}")?;
    }
    let (tests, hold) = (policy.tests.len(), policy.tests.len() - broken.len());
    writeln!(out, "{policy}: {hold} of {tests} tests hold, by the model {}", guard.model())?;
    Ok(broken.is_empty())
}

/// Says in which rules, messages and tests a policy is different from another, and whether it is.
///
/// # Errors
/// When one of them has faults, or the output is closed.
pub async fn compare(config: &Config, before: &str, after: &str) -> anyhow::Result<bool> {
    let (before, after) = (super::policy_named(config, before).await?, super::policy_named(config, after).await?);
    let mut out = std::io::stdout().lock();
    let changes = diff(&before, &after);
    writeln!(out, "{before} -> {after}")?;
    for change in &changes {
        writeln!(out, "  {change}")?;
    }
    if changes.is_empty() {
        writeln!(out, "  no difference")?;
    }
    Ok(!changes.is_empty())
}

/// Finds thresholds that reach `target` on what reviewers said, and writes a policy with them to `out`; says whether any was
/// found.
///
/// # Errors
/// When the policy has faults, the store cannot be read, or a file cannot be written.
pub async fn tune(config: &Config, policy: &str, (target, out): (Target, Option<&Path>)) -> anyhow::Result<bool> {
    let tuned = super::policy_named(config, policy).await?;
    let (audit, store) = super::audit::open(config).await?;
    let marks = settled(&store.labels().await?, audit.reviewers);
    let mut labelled = Vec::new();
    store
        .bodies(i64::MIN, |body| {
            if let Ok(decision) = serde_json::from_str::<Decision>(body)
                && let Some(mark) = marks.get(&(decision.event.clone(), decision.direction.clone()))
            {
                labelled.push((decision, *mark));
            }
        })
        .await?;
    let (mut thresholds, mut said) = (Vec::new(), std::io::stdout().lock());
    writeln!(said, "{tuned}: {} labelled decisions", labelled.len())?;
    for rule in tunable(&tuned) {
        match tune::tune(&examples(rule, &labelled), target) {
            Ok(Tuned { threshold, false_positives, recall }) => {
                writeln!(said, "  {}: {:.2} -> {threshold:.2}", rule.name, rule.threshold)?;
                writeln!(said, "    harmless stopped {false_positives}, violating stopped {recall}")?;
                thresholds.push((rule.name.to_string(), threshold));
            }
            Err(why) => writeln!(said, "  {}: stays at {:.2}: {why}", rule.name, rule.threshold)?,
        }
    }
    if let Some(out) = out {
        anyhow::ensure!(!thresholds.is_empty(), "no threshold was found, so {} is not written", out.display());
        let text = match Source::named(policy) {
            Source::Shipped(shipped) => format!("name = \"tuned\"\nextends = \"{}\"\n", shipped.name),
            _ => tuned.texts.first().map(|own| own.text.clone()).unwrap_or_default(),
        };
        let text = tune::with_thresholds(&text, &thresholds).map_err(|why| anyhow::anyhow!(why))?;
        let name = out.display().to_string();
        file::parse(&name, &text).map_err(|found| super::faults("the tuned policy is not valid", &found))?;
        std::fs::write(out, text)?;
        writeln!(said, "written to {name}; compare it with `nonnocere policy diff` and `nonnocere policy backtest`")?;
    }
    Ok(!thresholds.is_empty())
}

fn read(name: &str) -> anyhow::Result<Policy> {
    Source::named(name).read().map_err(|found| super::faults("the policy is not valid", &found))
}
