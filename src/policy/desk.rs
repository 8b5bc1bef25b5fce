//! Where a version of the policy is put forward, approved and taken back: all that must hold before it is, and who said so.
//! The command line and the console act here alike.

use super::Policy;
use super::backtest::Backtest;
use super::expectation::Broken;
use super::promotion::{Standing, is_same, meant};
use super::versions::{Known, Versions};
use crate::audit::act::{Act, Candidate, Deed, Lack, Measured, Word};
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::audit::store::{Fault, Store};
use crate::guard::Guard;
use std::fmt;

/// The versions, what is known of them, and the key that signs what is done.
pub struct Desk<'a> {
    versions: Versions,
    known: Known,
    key: &'a Signing,
}

/// A policy whose tests hold, and which was held against what is on record.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The policy.
    pub policy: Policy,
    /// The model that its tests held by.
    pub model: String,
    /// What it would have done.
    pub backtest: Measured,
}

/// What waits for someone's approval, and can be had.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What it is, and what it was tried with.
    pub candidate: Candidate,
    /// Who proposed it.
    pub proposed_by: String,
    /// The policy.
    pub policy: Policy,
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

/// Why something is not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Objection {
    /// It is not said who says so, or why.
    Lack(Lack),
    /// This key has signed for no policy yet, so that no proxy may know it.
    NewKey(String),
    /// The share of the conversations is none.
    Share,
    /// The policy of this name carries no tests.
    NoTests(String),
    /// Nothing is in force yet, beside which a canary or a shadow could be.
    NoStable,
    /// Some of the policy's tests do not hold.
    Broken(Vec<Broken>),
    /// The model could not judge the tests.
    Unjudged(String),
    /// The version holds for everyone already.
    InForce(i64),
    /// Nothing waits for approval.
    NothingWaits(String),
    /// Something else waits for approval than this version for this share.
    Otherwise(i64, f64, String),
    /// The person of this name proposed it.
    OwnProposal(String),
    /// The person of this name proposed it, and made or changed the account of whoever would approve since.
    MadeByProposer(String),
    /// What waits cannot be had as it was signed for.
    NotHad(Vec<String>),
    /// There is nothing to take back.
    NothingInForce,
    /// Nothing comes before this version.
    First(i64),
    /// Nothing is in the shadow.
    NoShadow,
    /// The first version was never in force before the second.
    NotBefore(i64, i64),
    /// Someone else acted meanwhile.
    Overtaken,
    /// The store cannot be used, or what is in it is not as it was signed.
    Store(String),
}

impl<'a> Desk<'a> {
    /// A desk at which `key` signs, which must have signed for a policy before, or be `new_key` on purpose: proxies put nothing
    /// in force that is signed by a key which they do not know.
    ///
    /// # Errors
    /// When the key is new, or what was done before cannot be proven.
    pub async fn open(versions: Versions, key: &'a Signing, new_key: bool) -> Result<Self, Objection> {
        let public = key.public().to_string();
        // Signed by a key that is not known here, it would not even be followed here.
        let is_known = versions.keys().contains(&key.public());
        if !is_known || (!new_key && !signs(versions.store(), &public).await?) {
            return Err(Objection::NewKey(public));
        }
        let known = versions.known().await.map_err(Objection::Store)?;
        Ok(Self { versions, known, key })
    }

    /// Which versions are in force.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.known.standing
    }

    /// The versions.
    #[must_use]
    pub const fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Whether a policy may be put forward at all, before anything is tried.
    ///
    /// # Errors
    /// What stands against it.
    pub fn may_come(&self, policy: &Policy, share: f64) -> Result<(), Objection> {
        if !(0.0..=100.0).contains(&share) {
            return Err(Objection::Share);
        }
        if policy.tests.is_empty() {
            return Err(Objection::NoTests(policy.to_string()));
        }
        if share < 100.0 && self.standing().stable.is_none() {
            return Err(Objection::NoStable);
        }
        Ok(())
    }

    /// Puts a policy in force; or proposes it, where someone else must approve. Gives what follows.
    ///
    /// # Errors
    /// What stands against it.
    pub async fn put_forward(&self, tried: Tried, share: f64, word: Word) -> Result<Standing, Objection> {
        let Tried { policy, model, backtest } = tried;
        self.may_come(&policy, share)?;
        word.checked().map_err(Objection::Lack)?;
        let (version, digest) =
            self.versions.keep(&policy).await.map_err(|error| Objection::Store(error.to_string()))?;
        // What one person put in force may be put there again, by two.
        let by_two = self.versions.is_by_two();
        let is_by_one = by_two && self.standing().by_one() == Some(version) && share >= 100.0;
        if self.standing().stable == Some(version) && !is_by_one {
            return Err(Objection::InForce(version));
        }
        let (policy, tests) = (policy.to_string(), policy.tests.len());
        let candidate = Candidate { version, policy, digest, share, tests, model, backtest };
        let deed = if by_two { Deed::Proposed(candidate) } else { Deed::Promoted { candidate, proposed_by: None } };
        self.act(word, deed).await
    }

    /// What waits for approval, where it is this version for this share, and `by` may approve of it. What is approved is said in
    /// full, so that a newer proposal is not approved unseen.
    ///
    /// # Errors
    /// What stands against it.
    pub async fn waiting(&self, (version, share): (i64, f64), by: &str) -> Result<Waiting, Objection> {
        let standing = self.standing().clone();
        let Some((candidate, proposed_by)) = standing.proposed.clone() else {
            return Err(Objection::NothingWaits(standing.to_string()));
        };
        if candidate.version != version || candidate.share.to_bits() != share.to_bits() {
            return Err(Objection::Otherwise(version, share, standing.to_string()));
        }
        if is_same(&proposed_by, by) {
            return Err(Objection::OwnProposal(proposed_by));
        }
        // Whoever gives someone a password can sign in as them.
        let changes = self.versions.store().account_changes(by).await;
        let changes = changes.map_err(|error| Objection::Store(error.to_string()))?;
        if changes.iter().any(|act| is_same(&proposed_by, &act.by)) {
            return Err(Objection::MadeByProposer(proposed_by));
        }
        let policy = self.versions.policy(version, &standing).await.map_err(Objection::NotHad)?;
        Ok(Waiting { candidate, proposed_by, policy })
    }

    /// Approves of what someone else proposed, which is then in force. Gives what follows.
    ///
    /// # Errors
    /// What stands against it.
    pub async fn approve(&self, Waiting { candidate, .. }: Waiting, word: Word) -> Result<Standing, Objection> {
        let Waiting { candidate, proposed_by, .. } =
            self.waiting((candidate.version, candidate.share), &word.by).await?;
        self.act(word, Deed::Promoted { candidate, proposed_by: Some(proposed_by) }).await
    }

    /// Takes something back; nobody needs to approve. Gives what follows, and the version that holds then.
    ///
    /// # Errors
    /// When there is nothing to take back, or to go back to.
    pub async fn roll_back(&self, back: Back, word: Word) -> Result<(Standing, i64), Objection> {
        let standing = self.standing();
        let stable = standing.stable.ok_or(Objection::NothingInForce)?;
        let (version, to) = match (back, standing.canary) {
            (Back::Newest, Some((version, _))) => (version, stable),
            (Back::Newest, None) => (stable, *standing.before().last().ok_or(Objection::First(stable))?),
            (Back::Shadow, _) => (standing.shadow.ok_or(Objection::NoShadow)?, stable),
            (Back::To(to), _) if standing.before().contains(&to) => (stable, to),
            (Back::To(to), _) => return Err(Objection::NotBefore(to, stable)),
        };
        Ok((self.act(word, Deed::RolledBack { version, to }).await?, to))
    }

    /// Signs what is done, and says what follows.
    async fn act(&self, word: Word, deed: Deed) -> Result<Standing, Objection> {
        word.checked().map_err(Objection::Lack)?;
        let act = Act { time: now(), by: word.by, reason: word.reason, deed };
        if !self.versions.store().act(&act, Some(self.known.last()), self.key).await? {
            return Err(Objection::Overtaken);
        }
        let mut acts = self.known.acts.clone();
        acts.push(act);
        Ok(Standing::after(&acts))
    }
}

/// Whether a key may sign for policies: it has before, or nobody has.
async fn signs(store: &Store, key: &str) -> Result<bool, Objection> {
    let acts = store.acts().await?;
    let is_of_policy = |body: &str| serde_json::from_str::<Act>(body).is_ok_and(|act| act.deed.is_of_policy());
    let mut of_policy = acts.iter().filter(|act| is_of_policy(&act.body)).peekable();
    Ok(of_policy.peek().is_none() || of_policy.any(|act| act.key == key))
}

/// Tries a policy's tests; gives the model that they hold by.
///
/// # Errors
/// The tests that do not hold, or that nothing could judge them.
pub async fn tests_hold(guard: &Guard, policy: &Policy) -> Result<String, Objection> {
    match guard.try_policy(policy).await {
        Ok(broken) if broken.is_empty() => Ok(guard.model().to_owned()),
        Ok(broken) => Err(Objection::Broken(broken)),
        Err(why) => Err(Objection::Unjudged(format!("{why:?}"))),
    }
}

/// Holds a policy against what is on record since then, in microseconds since 1970.
///
/// # Errors
/// When the store cannot be read.
pub async fn measured(store: &Store, policy: &Policy, since: i64) -> Result<Measured, Objection> {
    let mut backtest = Backtest::default();
    let each = |body: &str| {
        if let Ok(decision) = serde_json::from_str(body) {
            backtest.add(policy, &decision, None);
        }
    };
    store.bodies(since, each).await?;
    Ok(backtest.in_short(since))
}

impl From<Fault> for Objection {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.to_string())
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed =
            |f: &mut fmt::Formatter<'_>, what: &str, lines: Vec<String>| write!(f, "{what}:\n  {}", lines.join("\n  "));
        match self {
            Self::Lack(lack) => lack.fmt(f),
            Self::NewKey(key) => {
                write!(f, "the key {key} has signed nothing here yet; add it to audit.trust of all proxies")
            }
            Self::Share => f.write_str("expected a percentage from 0 to 100"),
            Self::NoTests(policy) => {
                write!(f, "{policy} carries no tests; what it is to do and not to do must be tried first")
            }
            Self::NoStable => f.write_str(
                "no version is in force yet, beside which this one could be; promote one for all conversations first",
            ),
            Self::Broken(broken) => {
                listed(f, "the policy does not pass its own tests", broken.iter().map(ToString::to_string).collect())
            }
            Self::Unjudged(why) => write!(f, "the model could not judge the policy's tests: {why}"),
            Self::InForce(version) => write!(f, "v{version} is in force already"),
            Self::NothingWaits(standing) => write!(f, "nothing waits for approval: {standing}"),
            Self::Otherwise(version, share, standing) => {
                write!(f, "v{version} {} does not wait for approval: {standing}", meant(*share))
            }
            Self::OwnProposal(by) => write!(f, "{by} proposed it, so someone else must approve"),
            Self::MadeByProposer(by) => {
                write!(
                    f,
                    "{by} proposed it, and has given you your account, role or password; someone else must approve"
                )
            }
            Self::NotHad(faults) => listed(f, "the version cannot be approved", faults.clone()),
            Self::NothingInForce => f.write_str("no version is in force, so there is none to take back"),
            Self::First(version) => write!(f, "v{version} is the first version, so there is none before it"),
            Self::NoShadow => f.write_str("no version is in the shadow"),
            Self::NotBefore(to, stable) => {
                write!(f, "v{to} was not in force before v{stable}; what one goes on to is promoted")
            }
            Self::Overtaken => {
                f.write_str("someone else acted at the same time; look at `nonnocere policy history`, and try again")
            }
            Self::Store(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Objection {}
