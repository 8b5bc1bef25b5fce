//! `nonnocere policy promote | approve | rollback | history`: which version of the policy is in force, by whose word and why.

use crate::audit::act::{Act, Candidate, Deed, Measured};
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::config::{Audit, Config};
use crate::guard::Guard;
use crate::policy::Policy;
use crate::policy::backtest::Backtest;
use crate::policy::promotion::Standing;
use crate::policy::versions::{Known, Versions};
use std::io::Write;
use std::time::{Duration, SystemTime};

/// Whose word it is, and why.
#[derive(Clone, Debug)]
pub struct Word {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Word {
    /// Whether it says anything.
    ///
    /// # Errors
    /// What is missing.
    pub fn checked(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.by.trim().is_empty(), "--by: expected a name");
        anyhow::ensure!(!self.reason.trim().is_empty(), "--reason: expected a reason");
        Ok(())
    }
}

/// What is to come in force, and how.
pub struct Wanted {
    /// A policy file, a shipped policy, or a version such as `v3`.
    pub candidate: String,
    /// The percentage of conversations that it is for: 0 for the shadow, 100 for all.
    pub share: f64,
    /// The decisions of the last so long are held against it.
    pub since: Option<Duration>,
}

/// All that acting needs.
struct Desk {
    versions: Versions,
    known: Known,
    key: Signing,
}

impl Desk {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let none = || anyhow::anyhow!("audit.url is none: no versions are kept");
        let audit = config.audit.as_ref().ok_or_else(none)?;
        let store = super::open_store(audit).await?;
        let key = key(audit)?;
        let mut keys = super::trusted(audit)?;
        keys.push(key.public());
        let versions = Versions::new(store, keys);
        let known = versions.known().await.map_err(|why| anyhow::anyhow!(why))?;
        Ok(Self { versions, known, key })
    }

    /// Signs what is done, and says what follows.
    async fn act(&self, word: Word, deed: Deed) -> anyhow::Result<()> {
        word.checked()?;
        let Word { by, reason } = word;
        let act = Act { time: now(), by, reason, deed };
        let is_done = self.versions.store().act(&act, Some(self.known.last()), &self.key).await?;
        anyhow::ensure!(
            is_done,
            "someone else acted at the same time; look at `nonnocere policy history`, and try again"
        );
        let mut acts = self.known.acts.clone();
        acts.push(act);
        writeln!(std::io::stdout(), "{}", Standing::after(&acts))?;
        Ok(())
    }
}

fn key(audit: &Audit) -> anyhow::Result<Signing> {
    Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))
}

/// Puts a policy in force whose tests hold, and which was held against what is on record; or proposes it, where someone else
/// must approve.
///
/// # Errors
/// When a test does not hold, or the store, the key or the model cannot be used.
pub async fn promote(config: &Config, Wanted { candidate, share, since }: Wanted, word: Word) -> anyhow::Result<()> {
    anyhow::ensure!((0.0..=100.0).contains(&share), "--canary: expected a percentage from 0 to 100");
    let policy = super::policy_named(config, &candidate).await?;
    let desk = Desk::open(config).await?;
    anyhow::ensure!(
        share >= 100.0 || desk.known.standing.stable.is_some(),
        "no version is in force yet, beside which this one could be; promote one for all conversations first"
    );
    let guard = Guard::new(super::start_pool(config)?, config.manner.finish);
    let model = guard.model().to_owned();
    let broken = guard.try_policy(&policy).await;
    let broken = broken.map_err(|why| anyhow::anyhow!("the model could not judge the policy's tests: {why:?}"))?;
    if !broken.is_empty() {
        return Err(super::faults("the policy does not pass its own tests", &broken));
    }
    let backtest = measured(&desk.versions, &policy, super::audit::ago(since)).await?;
    let Measured { decisions, stopped, would_stop, newly_stopped, newly_passed, .. } = &backtest;
    writeln!(
        std::io::stdout(),
        "{policy}: {} tests hold; of {decisions} decisions on record {stopped} were stopped, {would_stop} would be \
         ({newly_stopped} newly stopped, {newly_passed} newly passed)",
        policy.tests.len()
    )?;
    let (version, digest) = desk.versions.keep(&policy).await?;
    let (policy, tests) = (policy.to_string(), policy.tests.len());
    let candidate = Candidate { version, policy, digest, share, tests, model, backtest };
    let deed = match config.promotion.second_approver {
        true => Deed::Proposed(candidate),
        false => Deed::Promoted { candidate, proposed_by: None },
    };
    desk.act(word, deed).await
}

async fn measured(versions: &Versions, policy: &Policy, since: i64) -> anyhow::Result<Measured> {
    let mut backtest = Backtest::default();
    versions
        .store()
        .bodies(since, |body| {
            if let Ok(decision) = serde_json::from_str(body) {
                backtest.add(policy, &decision, None);
            }
        })
        .await?;
    let Backtest { decisions, stopped: [stopped, would_stop], newly_stopped, newly_passed, .. } = backtest;
    let (newly_stopped, newly_passed) = (newly_stopped.values().sum(), newly_passed.values().sum());
    Ok(Measured { since, decisions, stopped, would_stop, newly_stopped, newly_passed })
}

/// Approves of what someone else proposed, which is then in force.
///
/// # Errors
/// When nothing is proposed, or by the same person.
pub async fn approve(config: &Config, version: i64, word: Word) -> anyhow::Result<()> {
    let desk = Desk::open(config).await?;
    let Some((candidate, proposed_by)) = desk.known.standing.proposed.clone() else {
        anyhow::bail!("nothing waits for approval: {}", desk.known.standing);
    };
    anyhow::ensure!(candidate.version == version, "v{version} does not wait for approval: {}", desk.known.standing);
    let is_same = |one: &str, other: &str| one.trim().to_lowercase() == other.trim().to_lowercase();
    anyhow::ensure!(!is_same(&proposed_by, &word.by), "{proposed_by} proposed it, so someone else must approve");
    desk.act(word, Deed::Promoted { candidate, proposed_by: Some(proposed_by) }).await
}

/// Takes back the canary, or where there is none, goes back to the version before, or to `to`.
///
/// # Errors
/// When there is nothing to go back to.
pub async fn rollback(config: &Config, to: Option<i64>, word: Word) -> anyhow::Result<()> {
    let desk = Desk::open(config).await?;
    let standing = &desk.known.standing;
    let Some(stable) = standing.stable else { anyhow::bail!("no version is in force, so there is none to take back") };
    let deed = match (standing.canary, to) {
        (Some((version, _)), None) => Deed::RolledBack { version, to: stable },
        (_, to) => {
            let to = to.or(standing.previous());
            let to = to.ok_or_else(|| anyhow::anyhow!("v{stable} is the first version, so there is none before it"))?;
            anyhow::ensure!(to != stable, "v{to} is in force already");
            anyhow::ensure!(standing.digest(to).is_some(), "v{to} was never in force; promote it");
            Deed::RolledBack { version: stable, to }
        }
    };
    desk.act(word, deed).await
}

/// Says all that was done, and what follows; as JSON lines where asked.
///
/// # Errors
/// When the store cannot be read, or an act is not as it was signed.
pub async fn history(config: &Config, json: bool) -> anyhow::Result<()> {
    let versions = super::versions(config).await?;
    let mut out = std::io::stdout().lock();
    let known = match versions.known().await {
        Ok(known) => known,
        Err(why) => {
            // What stands there is shown all the same: who looks wants to know what was done to it.
            for act in versions.store().acts().await? {
                writeln!(out, "{} by {}: {}", act.seq, act.key, act.body)?;
            }
            return Err(anyhow::anyhow!(why));
        }
    };
    for (place, act) in (1..).zip(&known.acts) {
        if json {
            writeln!(out, "{}", serde_json::to_string(act)?)?;
            continue;
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(act.time).unwrap_or_default());
        let time = humantime::format_rfc3339_seconds(time);
        writeln!(out, "{place:>4}  {time}  {}, by {}: {}", told(&act.deed), act.by, act.reason)?;
    }
    if !json {
        writeln!(out, "{}", known.standing)?;
    }
    Ok(())
}

fn told(deed: &Deed) -> String {
    let share = |share: f64| match share {
        share if share <= 0.0 => "in the shadow".to_owned(),
        share if share < 100.0 => format!("for {share}% of the conversations"),
        _ => "in force".to_owned(),
    };
    match deed {
        Deed::Proposed(new) => format!("v{} ({}) proposed, to be {}", new.version, new.policy, share(new.share)),
        Deed::Promoted { candidate: new, proposed_by } => {
            let proposed = proposed_by.as_ref().map(|by| format!(", proposed by {by}")).unwrap_or_default();
            format!("v{} ({}) {}{proposed}", new.version, new.policy, share(new.share))
        }
        Deed::RolledBack { version, to } => format!("v{version} taken back, v{to} holds"),
        Deed::FellBack { version, to, stopped, of } => {
            format!("v{version} into the shadow: it stopped {stopped} of {of} that v{to}, which holds, lets pass")
        }
        Deed::Read { event } => format!("the text of {event} read"),
        Deed::Exported { texts } => format!("{texts} labelled texts written out for training"),
    }
}
