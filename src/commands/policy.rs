//! `nonnocere policy`: is this policy file valid, does it do what its tests expect, and what is different in another one?

use crate::config::Config;
use crate::guard::Guard;
use crate::policy::Policy;
use crate::policy::diff::diff;
use crate::policy::reload::Source;
use std::io::Write;

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
    let policy = config.policy.read().map_err(|found| super::faults("the policy is not valid", &found))?;
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
pub fn compare(before: &str, after: &str) -> anyhow::Result<bool> {
    let (before, after) = (read(before)?, read(after)?);
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

fn read(name: &str) -> anyhow::Result<Policy> {
    Source::named(name).read().map_err(|found| super::faults("the policy is not valid", &found))
}
