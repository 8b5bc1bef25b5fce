//! `nonnocere policy promote | approve | rollback | history`: which version of the policy is in force, by whose word and why.

use crate::audit::act::{Candidate, Change, Deed};
use crate::audit::key::Signing;
use crate::config::Config;
use crate::guard::Guard;
use crate::policy::desk::{Desk, Objection, Tried, Waiting, measured, tests_hold};
use crate::policy::promotion::{Standing, meant};
use crate::policy::versions::Versions;
use std::io::Write;
use std::time::{Duration, SystemTime};

pub use crate::audit::act::Word;
pub use crate::policy::desk::Back;

/// What is to come in force, and how.
pub struct Wanted {
    /// A policy file, a shipped policy, or a version such as `v3`.
    pub candidate: String,
    /// The percentage of conversations that it is for: 0 for the shadow, 100 for all.
    pub share: f64,
    /// The decisions of the last so long are held against it.
    pub since: Option<Duration>,
}

/// The versions in the store that `config` names, and the key that signs.
async fn open(config: &Config, word: &Word) -> anyhow::Result<(Versions, Signing)> {
    super::heard(word)?;
    let none = || anyhow::anyhow!("audit.url is none: no versions are kept");
    let audit = config.audit.as_ref().ok_or_else(none)?;
    let store = super::open_store(audit).await?;
    anyhow::ensure!(
        word.new_key || audit.key.exists() || store.acts().await?.is_empty(),
        "audit.key: {} is not there, and what was done before was signed by another key",
        audit.key.display()
    );
    let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
    Ok((Versions::new(store, super::trusted(audit)?).by_two(config.promotion.second_approver), key))
}

/// The desk at which that key signs.
async fn desk<'a>(config: &Config, (versions, key): &'a (Versions, Signing), word: &Word) -> anyhow::Result<Desk<'a>> {
    let path = config.audit.as_ref().map(|audit| audit.key.display().to_string()).unwrap_or_default();
    Desk::open(versions.clone(), key, word.new_key).await.map_err(|why| match why {
        Objection::NewKey(public) => anyhow::anyhow!(
            "audit.key: {path} has signed nothing here yet; add {public} to audit.trust of all proxies, and say --new-key"
        ),
        why => why.into(),
    })
}

/// Puts a policy in force whose tests hold, and which was held against what is on record; or proposes it, where someone else
/// must approve.
///
/// # Errors
/// When a test does not hold, or the store, the key or the model cannot be used.
pub async fn promote(config: &Config, Wanted { candidate, share, since }: Wanted, word: Word) -> anyhow::Result<()> {
    let policy = super::policy_named(config, &candidate).await?;
    let opened = open(config, &word).await?;
    let desk = desk(config, &opened, &word).await?;
    desk.may_come(&policy, share)?;
    let guard = Guard::new(super::start_pool(config)?, config.manner.finish);
    let model = tests_hold(&guard, &policy).await?;
    let backtest = measured(desk.versions().store(), &policy, super::audit::ago(since)).await?;
    writeln!(std::io::stdout(), "{policy}: {} tests hold; {backtest}", policy.tests.len())?;
    let standing = desk.put_forward(Tried { policy, model, backtest }, share, word).await?;
    writeln!(std::io::stdout(), "{standing}")?;
    Ok(())
}

/// Approves of what someone else proposed, for as many conversations, which is then in force.
///
/// # Errors
/// When that is not what is proposed, or the same person proposed it.
pub async fn approve(config: &Config, proposed: (i64, f64), word: Word) -> anyhow::Result<()> {
    let opened = open(config, &word).await?;
    let desk = desk(config, &opened, &word).await?;
    let waiting = desk.waiting(proposed, &word.by).await?;
    let Waiting { candidate: Candidate { tests, backtest, .. }, policy, .. } = &waiting;
    writeln!(std::io::stdout(), "{policy}: {tests} tests held; {backtest}")?;
    writeln!(std::io::stdout(), "{}", desk.approve(waiting, word).await?)?;
    Ok(())
}

/// Takes something back; nobody needs to approve.
///
/// # Errors
/// When there is nothing to take back, or to go back to.
pub async fn rollback(config: &Config, back: Back, word: Word) -> anyhow::Result<()> {
    let opened = open(config, &word).await?;
    let desk = desk(config, &opened, &word).await?;
    let (standing, to) = desk.roll_back(back, word).await?;
    writeln!(std::io::stdout(), "{standing}")?;
    if config.promotion.second_approver && desk.standing().is_by_one(to) {
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
        format!("v{version} ({policy}) {}; {tests} tests, {backtest}", meant(*share))
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
        Deed::DraftSaved { draft, digest } => format!("the draft {draft} saved: {digest}"),
        Deed::DraftRemoved { draft } => format!("the draft {draft} removed"),
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
