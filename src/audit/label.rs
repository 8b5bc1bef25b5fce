//! What reviewers say of decisions, and how far they agree.

use super::decision::Decision;
use std::collections::BTreeMap;

/// A reviewer's word on one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The event that was reviewed.
    pub event: String,
    /// Which of its messages: `prompt` or `completion`.
    pub direction: String,
    /// Who reviewed it.
    pub reviewer: String,
    /// What they say.
    pub mark: Mark,
    /// The principle that they see violated, if they say so.
    pub principle: Option<String>,
    /// Why. It must hold no text of the conversation.
    pub note: Option<String>,
    /// When, in microseconds since 1970.
    pub time: i64,
}

/// What a reviewer says of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mark {
    /// It was right.
    Correct,
    /// It was stopped and should have passed.
    OverBlocked,
    /// It passed and should have been stopped.
    Missed,
}

impl Mark {
    /// The word in the store.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::OverBlocked => "over-blocked",
            Self::Missed => "missed",
        }
    }

    /// The mark of this word.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        [Self::Correct, Self::OverBlocked, Self::Missed].into_iter().find(|mark| mark.id() == id)
    }

    /// Whether the message violates, by this mark on a decision that stopped it or not.
    #[must_use]
    pub const fn violates(self, stopped: bool) -> bool {
        match self {
            Self::Correct => stopped,
            Self::OverBlocked => false,
            Self::Missed => true,
        }
    }
}

/// What each reviewer said last of each decision, by event and direction.
#[must_use]
pub fn latest(labels: &[Label]) -> BTreeMap<(&str, &str), BTreeMap<&str, Mark>> {
    let mut last: BTreeMap<(&str, &str), BTreeMap<&str, &Label>> = BTreeMap::new();
    for label in labels {
        let of_decision = last.entry((&label.event, &label.direction)).or_default();
        let held = of_decision.entry(&label.reviewer).or_insert(label);
        if label.time >= held.time {
            *held = label;
        }
    }
    let of_decision = last.into_iter();
    of_decision
        .map(|(decision, votes)| (decision, votes.into_iter().map(|(by, label)| (by, label.mark)).collect()))
        .collect()
}

/// The labels that hold: of each reviewer the last one on a decision, of several reviewers that of most; where they are split, or
/// fewer than `least` say so, none.
#[must_use]
pub fn settled(labels: &[Label], least: usize) -> BTreeMap<(String, String), Mark> {
    let mut settled = BTreeMap::new();
    for ((event, direction), by) in latest(labels) {
        let mut votes: BTreeMap<Mark, usize> = BTreeMap::new();
        by.values().for_each(|mark| *votes.entry(*mark).or_default() += 1);
        let most = votes.values().max().copied().unwrap_or_default();
        let mut leading = votes.iter().filter(|(_, count)| **count == most);
        if let (Some((mark, _)), None, true) = (leading.next(), leading.next(), most >= least) {
            settled.insert((event.to_owned(), direction.to_owned()), *mark);
        }
    }
    settled
}

/// How far two reviewers agree on what both reviewed, less what chance would give (Cohen's kappa, 1960): 1 is always, 0 is
/// chance. `None` where they share nothing, or chance alone would always agree.
#[must_use]
pub fn kappa(labels: &[Label], one: &str, other: &str) -> Option<(f64, usize)> {
    let of = |reviewer: &str| {
        let own: Vec<Label> = labels.iter().filter(|label| label.reviewer == reviewer).cloned().collect();
        settled(&own, 1)
    };
    let (first, second) = (of(one), of(other));
    let both: Vec<(Mark, Mark)> =
        first.iter().filter_map(|(decision, mark)| Some((*mark, *second.get(decision)?))).collect();
    let total = both.len() as f64;
    let agreed = both.iter().filter(|(one, other)| one == other).count() as f64 / total;
    let share = |of: &dyn Fn(&(Mark, Mark)) -> bool| both.iter().filter(|pair| of(pair)).count() as f64 / total;
    let chance: f64 = [Mark::Correct, Mark::OverBlocked, Mark::Missed]
        .into_iter()
        .map(|mark| share(&|pair| pair.0 == mark) * share(&|pair| pair.1 == mark))
        .sum();
    (!both.is_empty() && chance < 1.0).then_some(((agreed - chance) / (1.0 - chance), both.len()))
}

/// Whether a decision stopped its message.
#[must_use]
pub fn stopped(decision: &Decision) -> bool {
    let is_redaction = decision.rule.as_deref() == Some("phi");
    matches!(decision.action.as_str(), "block" | "escalate") || (decision.action == "rewrite" && !is_redaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(event: &str, reviewer: &str, mark: Mark, time: i64) -> Label {
        let [event, reviewer, direction] = [event, reviewer, "prompt"].map(str::to_owned);
        Label { event, direction, reviewer, mark, principle: None, note: None, time }
    }

    #[test]
    fn the_last_word_of_each_and_the_word_of_most_hold() {
        let labels = [
            label("a", "ana", Mark::Correct, 1),
            label("a", "ana", Mark::Missed, 2),
            label("b", "ana", Mark::Correct, 1),
            label("b", "ben", Mark::OverBlocked, 1),
            label("c", "ana", Mark::Correct, 1),
            label("c", "ben", Mark::OverBlocked, 1),
            label("c", "cai", Mark::OverBlocked, 1),
        ];
        let settled = settled(&labels, 1);
        let of = |event: &str| settled.get(&(event.to_owned(), "prompt".to_owned())).copied();
        assert_eq!([of("a"), of("b"), of("c")], [Some(Mark::Missed), None, Some(Mark::OverBlocked)]);
        let by_two: Vec<_> = super::settled(&labels, 2).into_iter().map(|((event, _), mark)| (event, mark)).collect();
        assert_eq!(by_two, [("c".to_owned(), Mark::OverBlocked)]);
    }

    #[test]
    fn kappa_is_agreement_beyond_chance() {
        // 50 decisions: both correct 20, both over-blocked 15, split 5 and 10. Agreement 0.7, by chance 0.5.
        let mut labels = Vec::new();
        let marks = [
            (Mark::Correct, Mark::Correct, 20),
            (Mark::OverBlocked, Mark::OverBlocked, 15),
            (Mark::Correct, Mark::OverBlocked, 5),
            (Mark::OverBlocked, Mark::Correct, 10),
        ];
        for (place, (one, other)) in
            marks.iter().flat_map(|(one, other, count)| vec![(*one, *other); *count]).enumerate()
        {
            labels.push(label(&place.to_string(), "ana", one, 1));
            labels.push(label(&place.to_string(), "ben", other, 1));
        }
        let (kappa, count) = super::kappa(&labels, "ana", "ben").unwrap();
        assert!((kappa - 0.4).abs() < 1e-9 && count == 50, "{kappa}");
        assert_eq!(super::kappa(&labels, "ana", "nobody"), None);
    }

    #[test]
    fn a_mark_says_whether_the_message_violates() {
        let all = [Mark::Correct, Mark::OverBlocked, Mark::Missed];
        assert_eq!(all.map(|mark| mark.violates(true)), [true, false, true]);
        assert_eq!(all.map(|mark| mark.violates(false)), [false, false, true]);
        assert!(all.iter().all(|mark| Mark::from_id(mark.id()) == Some(*mark)));
    }
}
