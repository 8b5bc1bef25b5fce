//! `nonnocere policy promote | approve | rollback | history`: which version of the policy is in force, by whose word and why.

use crate::audit::act::{Act, Candidate, Change, Deed, Measured, Signed};
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::config::{Audit, Config};
use crate::guard::Guard;
use crate::policy::Policy;
use crate::policy::backtest::Backtest;
use crate::policy::promotion::{Standing, is_same, meant};
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
    /// Whether a key may sign that has signed nothing in this store yet.
    pub new_key: bool,
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
    async fn open(config: &Config, word: &Word) -> anyhow::Result<Self> {
        word.checked()?;
        let none = || anyhow::anyhow!("audit.url is none: no versions are kept");
        let audit = config.audit.as_ref().ok_or_else(none)?;
        let store = super::open_store(audit).await?;
        let key = key(audit, &store.acts().await?, word.new_key)?;
        let mut keys = super::trusted(audit)?;
        keys.push(key.public());
        let versions = Versions::new(store, keys);
        let known = versions.known().await.map_err(|why| anyhow::anyhow!(why))?;
        Ok(Self { versions, known, key })
    }

    /// Signs what is done, and says what follows.
    async fn act(&self, Word { by, reason, .. }: Word, deed: Deed) -> anyhow::Result<()> {
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

/// The key that signs. Proxies put nothing in force that a key signed which they do not know, so that it must be one that has
/// signed before, unless whoever acts says that it is new.
fn key(audit: &Audit, acts: &[Signed], is_new: bool) -> anyhow::Result<Signing> {
    let path = audit.key.display();
    anyhow::ensure!(
        acts.is_empty() || is_new || audit.key.exists(),
        "audit.key: {path} is not there, and what was done before was signed by another key"
    );
    let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
    let public = key.public().to_string();
    anyhow::ensure!(
        acts.is_empty() || is_new || acts.iter().any(|act| act.key == public),
        "audit.key: {path} has signed nothing here yet; add {public} to audit.trust of all proxies, and say --new-key"
    );
    Ok(key)
}

/// Puts a policy in force whose tests hold, and which was held against what is on record; or proposes it, where someone else
/// must approve.
///
/// # Errors
/// When a test does not hold, or the store, the key or the model cannot be used.
pub async fn promote(config: &Config, Wanted { candidate, share, since }: Wanted, word: Word) -> anyhow::Result<()> {
    anyhow::ensure!((0.0..=100.0).contains(&share), "--canary: expected a percentage from 0 to 100");
    let policy = super::policy_named(config, &candidate).await?;
    anyhow::ensure!(
        !policy.tests.is_empty(),
        "{policy} carries no tests; what it is to do and not to do must be tried first"
    );
    let desk = Desk::open(config, &word).await?;
    let stable = desk.known.standing.stable;
    anyhow::ensure!(
        share >= 100.0 || stable.is_some(),
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
    writeln!(std::io::stdout(), "{policy}: {} tests hold; {}", policy.tests.len(), shown(&backtest))?;
    let (version, digest) = desk.versions.keep(&policy).await?;
    // What one person put in force may be put there again, by two.
    let is_by_one = config.promotion.second_approver && desk.known.standing.by_one() == Some(version) && share >= 100.0;
    anyhow::ensure!(stable != Some(version) || is_by_one, "v{version} is in force already");
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
    let untold = backtest.needs_text + backtest.unknown;
    Ok(Measured { since, decisions, stopped, would_stop, newly_stopped, newly_passed, untold })
}

fn shown(backtest: &Measured) -> String {
    let Measured { decisions, stopped, would_stop, newly_stopped, newly_passed, untold, .. } = backtest;
    if *decisions == 0 {
        return "nothing is on record to hold it against".to_owned();
    }
    let untold = if *untold > 0 { format!(", {untold} cannot be told") } else { String::new() };
    format!(
        "of {decisions} decisions on record {stopped} were stopped, {would_stop} would be ({newly_stopped} newly stopped, \
         {newly_passed} newly passed{untold})"
    )
}

/// Approves of what someone else proposed, for as many conversations, which is then in force.
///
/// # Errors
/// When that is not what is proposed, or the same person proposed it.
pub async fn approve(config: &Config, (version, share): (i64, f64), word: Word) -> anyhow::Result<()> {
    let desk = Desk::open(config, &word).await?;
    let Some((candidate, proposed_by)) = desk.known.standing.proposed.clone() else {
        anyhow::bail!("nothing waits for approval: {}", desk.known.standing);
    };
    // What is approved is said in full, so that a newer proposal is not approved unseen.
    anyhow::ensure!(
        candidate.version == version && candidate.share.to_bits() == share.to_bits(),
        "v{version} {} does not wait for approval: {}",
        meant(share),
        desk.known.standing
    );
    anyhow::ensure!(!is_same(&proposed_by, &word.by), "{proposed_by} proposed it, so someone else must approve");
    let policy = desk.versions.policy(version, &desk.known.standing).await;
    let policy = policy.map_err(|found| super::faults("the version cannot be approved", &found))?;
    writeln!(std::io::stdout(), "{policy}: {} tests held; {}", candidate.tests, shown(&candidate.backtest))?;
    desk.act(word, Deed::Promoted { candidate, proposed_by: Some(proposed_by) }).await
}

/// What is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// The canary, or where there is none, the version in force.
    Newest,
    /// The version in the shadow.
    Shadow,
    /// All that came after this version.
    To(i64),
}

/// Takes something back; nobody needs to approve.
///
/// # Errors
/// When there is nothing to take back, or to go back to.
pub async fn rollback(config: &Config, back: Back, word: Word) -> anyhow::Result<()> {
    let desk = Desk::open(config, &word).await?;
    let standing = &desk.known.standing;
    let Some(stable) = standing.stable else { anyhow::bail!("no version is in force, so there is none to take back") };
    let deed = match (back, standing.canary) {
        (Back::Newest, Some((version, _))) => Deed::RolledBack { version, to: stable },
        (Back::Newest, None) => {
            let first = || anyhow::anyhow!("v{stable} is the first version, so there is none before it");
            let to = *standing.before().last().ok_or_else(first)?;
            Deed::RolledBack { version: stable, to }
        }
        (Back::Shadow, _) => {
            let version = standing.shadow.ok_or_else(|| anyhow::anyhow!("no version is in the shadow"))?;
            Deed::RolledBack { version, to: stable }
        }
        (Back::To(to), _) => {
            anyhow::ensure!(
                standing.before().contains(&to),
                "v{to} was not in force before v{stable}; what one goes on to is promoted"
            );
            Deed::RolledBack { version: stable, to }
        }
    };
    let to = match deed {
        Deed::RolledBack { to, .. } => to,
        _ => stable,
    };
    desk.act(word, deed).await?;
    if config.promotion.second_approver && desk.known.standing.is_by_one(to) {
        writeln!(
            std::io::stdout(),
            "v{to} was put in force by one person; proxies with promotion.second_approver follow once `policy promote v{to}` was approved"
        )?;
    }
    Ok(())
}

/// Says all that was done, and what follows; as JSON lines where asked.
///
/// # Errors
/// When the store cannot be read, or an act is not as it was signed.
pub async fn history(config: &Config, json: bool) -> anyhow::Result<()> {
    let versions = super::versions(config).await?;
    let mut out = std::io::stdout().lock();
    let acts = match versions.history().await {
        Ok(acts) => acts,
        Err(why) => {
            // What stands there is shown all the same: who looks wants to know what was done to it.
            for act in versions.store().acts().await? {
                writeln!(out, "{} by {}: {}", act.seq, act.key, act.body)?;
            }
            return Err(anyhow::anyhow!(why));
        }
    };
    for (place, act) in (1..).zip(&acts) {
        if json {
            writeln!(out, "{}", serde_json::to_string(act)?)?;
            continue;
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(act.time).unwrap_or_default());
        let time = humantime::format_rfc3339_seconds(time);
        writeln!(out, "{place:>4}  {time}  {}, by {}: {}", told(&act.deed), act.by, act.reason)?;
    }
    if !json {
        writeln!(out, "{}", Standing::after(&acts))?;
    }
    Ok(())
}

fn told(deed: &Deed) -> String {
    let new = |Candidate { version, policy, share, tests, backtest, .. }: &Candidate| {
        format!("v{version} ({policy}) {}; {tests} tests, {}", meant(*share), shown(backtest))
    };
    match deed {
        Deed::Proposed(candidate) => format!("proposed: {}", new(candidate)),
        Deed::Promoted { candidate, proposed_by } => {
            let proposed = proposed_by.as_ref().map(|by| format!(", proposed by {by}")).unwrap_or_default();
            format!("promoted: {}{proposed}", new(candidate))
        }
        Deed::RolledBack { version, to } => format!("v{version} taken back, v{to} holds"),
        Deed::FellBack { version, to, stopped, of } => {
            format!(
                "v{version} into the shadow: it stopped {stopped} of {of} messages that v{to}, which holds, lets pass"
            )
        }
        Deed::Read { event } => format!("the text of {event} read"),
        Deed::Exported { events } => format!("the texts of {} written out for training", events.join(", ")),
        Deed::SignedIn { with } => format!("signed in by {with}"),
        Deed::SignedOut => "signed out".to_owned(),
        Deed::AccountChanged { account, change } => match change {
            Change::Added(role) => format!("account {account} made, {}", role.id()),
            Change::Role(role) => format!("account {account} is now {}", role.id()),
            Change::Password => format!("account {account} has a new password"),
            Change::Removed => format!("account {account} removed"),
        },
        Deed::Labelled { event, direction, mark, principle } => {
            let principle = principle.as_ref().map(|principle| format!(", {principle}")).unwrap_or_default();
            format!("the {direction} of {event} labelled {mark}{principle}")
        }
        Deed::Verified { holds, decisions, .. } => {
            format!("{decisions} decisions proven: the chain {}", if *holds { "holds" } else { "is broken" })
        }
        Deed::Downloaded { format, tenant, .. } => {
            let tenant = tenant.as_ref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
            format!("decisions{tenant} written out as {format}")
        }
    }
}
