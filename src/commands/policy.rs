//! `nonnocere policy lint FILE`: is this policy file valid?

use crate::policy::reload::Source;
use std::io::Write;
use std::path::PathBuf;

/// Checks a policy file; every fault is named with its line and key.
///
/// # Errors
/// When the policy has faults, or the output is closed.
pub fn lint(file: PathBuf) -> anyhow::Result<()> {
    match Source::File(file).read() {
        Ok(policy) => {
            writeln!(std::io::stdout(), "{policy} is valid: {} rules", policy.rules.len())?;
            Ok(())
        }
        Err(found) => Err(super::faults("the policy is not valid", &found)),
    }
}
