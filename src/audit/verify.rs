//! Proves a store: every decision is as it was written, none is missing, and what was signed is what stands there.

use super::act::{Act, Deed, proven};
use super::chain::{Checkpoint, GENESIS, Reason, Tail, link};
use super::decision::{ACT, Decision};
use super::facts::Fact;
use super::key::Public;
use super::label::Label;
use super::reviews::act_of;
use super::store::{Fault, Store, Stored};
use std::collections::BTreeMap;

/// So many findings are shown; more are counted.
const SHOWN: usize = 20;

/// After so many decisions whoever waits is told.
pub const STRIDE: u64 = 1000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Decisions that were read.
    pub decisions: u64,
    /// Decisions that were pruned before.
    pub pruned: i64,
    /// Signed hashes that hold.
    pub checkpoints: u64,
    /// Acts that hold.
    pub acts: u64,
    /// Decisions after the last signed hash: nothing but the chain speaks for them.
    pub unsigned: i64,
    /// What is wrong, a line each.
    pub findings: Vec<String>,
    /// How many more are.
    pub more: u64,
}

impl Report {
    fn found(&mut self, finding: String) {
        if self.findings.len() < SHOWN { self.findings.push(finding) } else { self.more += 1 }
    }

    /// Whether all is as it was written.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Reads all of a store; what was signed must be by one of `keys`.
///
/// # Errors
/// When it cannot be read.
pub async fn verify(store: &Store, keys: &[Public]) -> Result<Report, Fault> {
    verify_telling(store, keys, |_| {}).await
}

/// The same, which tells after every [`STRIDE`] decisions how many were read.
///
/// # Errors
/// When it cannot be read.
pub async fn verify_telling(store: &Store, keys: &[Public], tell: impl Fn(u64)) -> Result<Report, Fault> {
    let mut report = Report::default();
    let mut signed: BTreeMap<i64, Vec<Checkpoint>> = BTreeMap::new();
    // Others may write meanwhile: what must be there is what was there before.
    let tail = store.tail().await?;
    let mut begins = (0, GENESIS.to_owned());
    let mut last_signed = 0;
    for checkpoint in store.checkpoints().await? {
        if !keys.iter().any(|key| checkpoint.is_by(key)) {
            report.found(format!("the signature at {} is not by a known key, or was changed", checkpoint.seq));
            continue;
        }
        report.checkpoints += 1;
        last_signed = last_signed.max(checkpoint.seq);
        if checkpoint.reason == Reason::Pruned && checkpoint.seq > begins.0 {
            begins = (checkpoint.seq, checkpoint.hash.clone());
        }
        signed.entry(checkpoint.seq).or_default().push(checkpoint);
    }
    report.pruned = begins.0;
    let hashes = prove_acts(store, (keys, &mut report)).await?;
    let filled_from = store.filled_from().await?;
    let is_empty = (tail.seq, &tail.hash) == (begins.0, &begins.1);
    let mut walk = Walk {
        next: begins.0 + 1,
        before: begins.1,
        signed,
        report,
        tail,
        has_tail: is_empty,
        acts: hashes,
        filled_from,
    };
    let each = |stored, fact: Option<Fact>| {
        walk.step(stored, fact.as_ref());
        if walk.report.decisions.is_multiple_of(STRIDE) {
            tell(walk.report.decisions);
        }
    };
    store.read_with_facts(each).await?;
    let Walk { next, signed, mut report, tail, has_tail, .. } = walk;
    if !has_tail {
        report.found(format!("the chain ends at {}, and should end at {} by its own tail", next - 1, tail.seq));
    }
    for seq in signed.range(next..).map(|(seq, _)| *seq) {
        report.found(format!("{seq} was signed and is gone"));
    }
    for seq in store.stray_facts().await? {
        report.found(format!("what is searched by at {seq} is of no decision"));
    }
    report.unsigned = (next - 1 - last_signed).max(0);
    Ok(report)
}

/// Proves the acts, and the labels by them; gives the hashes of the acts by their places.
async fn prove_acts(store: &Store, (keys, report): (&[Public], &mut Report)) -> Result<BTreeMap<i64, String>, Fault> {
    // Others may label meanwhile: what has an act is read before the acts, and what must have a label was there before the labels.
    let last = store.last_act().await?.map_or(0, |(seq, _)| seq);
    let labels = store.labels().await?;
    let signed = store.acts().await?;
    // Many signatures take long, and callers are answered by the same threads.
    let (known, all) = (keys.to_vec(), signed.clone());
    let found = tokio::task::spawn_blocking(move || proven(&all, &known)).await;
    match found.map_err(|error| Fault::Io(std::io::Error::other(error)))? {
        Ok(acts) => {
            report.acts = acts.len() as u64;
            compare(&labels, (&acts, last), report);
        }
        Err(seq) => report.found(format!("act {seq} was changed, moved or removed, or is not signed by a known key")),
    }
    Ok(signed.into_iter().map(|act| (act.seq, act.hash)).collect())
}

/// Holds labels against the acts that tell of them, of which those up to the place `last` have theirs. Labels that are older than
/// the first act of a label were never signed.
fn compare(labels: &[Label], (acts, last): (&[Act], i64), report: &mut Report) {
    let of_labels = || (1..).zip(acts).filter(|(_, act)| matches!(act.deed, Deed::Labelled { .. }));
    let Some(since) = of_labels().map(|(_, act)| act.time).min() else { return };
    let mut untold: BTreeMap<String, i64> = BTreeMap::new();
    let shown = |act: &Act| serde_json::to_string(act).unwrap_or_default();
    for (_, act) in of_labels() {
        *untold.entry(shown(act)).or_default() += 1;
    }
    for label in labels.iter().filter(|label| label.time >= since) {
        match untold.get_mut(&shown(&act_of(label))) {
            Some(left) if *left > 0 => *left -= 1,
            _ => report
                .found(format!("no act tells of what {} said of {}, or it was changed", label.reviewer, label.event)),
        }
    }
    for (place, act) in of_labels().filter(|(place, _)| *place <= last) {
        if let Some(left) = untold.get_mut(&shown(act)).filter(|left| **left > 0) {
            *left -= 1;
            report.found(format!("the label of which act {place} tells, by {}, is gone or was changed", act.by));
        }
    }
}

struct Walk {
    next: i64,
    before: String,
    signed: BTreeMap<i64, Vec<Checkpoint>>,
    report: Report,
    tail: Tail,
    has_tail: bool,
    /// The acts that there are, by their places.
    acts: BTreeMap<i64, String>,
    /// From which place down there may be no facts yet.
    filled_from: i64,
}

impl Walk {
    fn step(&mut self, stored: Stored, fact: Option<&Fact>) {
        let Stored { seq, time, event, action, body, hash } = stored;
        self.report.decisions += u64::from(action != ACT);
        if seq != self.next {
            let gap = if seq == self.next + 1 {
                format!("{} is", self.next)
            } else {
                format!("{} to {} are", self.next, seq - 1)
            };
            self.report.found(format!("{gap} missing"));
        } else if link(&self.before, &body) != hash {
            self.report.found(format!("{seq} ({event}) was changed, moved or put in"));
        }
        // The columns are there to search by; what they say is in the body.
        let read = serde_json::from_str::<Decision>(&body).ok();
        let is_same = read
            .as_ref()
            .is_some_and(|decision| (decision.time, &decision.event, &decision.action) == (time, &event, &action));
        match (read.as_ref().and_then(|decision| Fact::of(seq, decision)), fact) {
            (Some(_), None) if seq > self.filled_from => {
                self.report.found(format!("{seq} ({event}) cannot be searched: its row of facts is missing"));
            }
            (Some(_), None) | (None, None) => {}
            (said, found) if said.as_ref() == found => {}
            _ => self.report.found(format!("what {seq} ({event}) is searched by does not say what its body says")),
        }
        // What was added since the acts were read may tell of later ones.
        if let Some((act, hash)) = read.and_then(|decision| decision.act()).filter(|_| seq <= self.tail.seq)
            && self.acts.get(&act) != Some(&hash)
        {
            self.report.found(format!("act {act}, of which {seq} tells, is gone or was changed"));
        }
        if !is_same {
            self.report.found(format!("the columns of {seq} ({event}) do not say what its body says"));
        }
        for checkpoint in self.signed.get(&seq).into_iter().flatten() {
            if checkpoint.hash != hash {
                self.report.found(format!("{seq} ({event}) is not what was signed"));
            }
        }
        self.has_tail |= (seq, &hash) == (self.tail.seq, &self.tail.hash);
        (self.next, self.before) = (seq + 1, hash);
    }
}
