//! What a reviewer looks at next, and what came of all that were looked at.

use super::facts::{Fact, columns};
use super::label::{Label, kappa};
use super::reviews::read;
use super::series::{By, Range};
use super::store::{Fault, Store};
use crate::policy::tune::Rate;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{BTreeMap, BTreeSet};

/// Agreement is told by so many decisions that two reviewed, the newest.
const SHARED: i64 = 2000;

/// What is to be looked at, by whom.
#[derive(Clone, Debug)]
pub struct Queue<'a> {
    /// Who looks.
    pub reviewer: &'a str,
    /// From which score on prompts and completions are stopped.
    pub thresholds: [f64; 2],
    /// How many reviewers must say the same (`audit.reviewers`).
    pub least: usize,
    /// Nothing older, in microseconds since 1970: its text is gone.
    pub since: i64,
    /// What is drawn by chance depends on it.
    pub seed: u64,
}

/// Why a decision is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another reviewer labelled it, and it needs a second word.
    SecondWord,
    /// Its score is near the threshold.
    Uncertain,
    /// It was drawn by chance, so that what scores low and was missed is found too.
    Random,
}

/// What reviewers settled, of the decisions of some time or kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// When the step begins, in microseconds since 1970.
    pub start: i64,
    /// Messages that were stopped, and how many of them should have passed: the rate of benign blocks.
    pub stopped: Rate,
    /// Messages that passed, and how many of them should have been stopped.
    pub passed: Rate,
}

/// How far the reviewers have come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Decisions that are settled.
    pub settled: i64,
    /// Decisions with labels that are not.
    pub open: i64,
    /// Labels of each reviewer, the most first.
    pub by: Vec<(String, i64)>,
    /// How far two reviewers agree (Cohen's kappa), and by how many decisions that both reviewed lately.
    pub agreement: Vec<(String, String, f64, usize)>,
}

impl Store {
    /// The next decisions to look at, not more than `n`, and why. None that the reviewer has labelled.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn to_review(&self, queue: &Queue<'_>, n: usize) -> Result<Vec<(Fact, Why)>, Fault> {
        let mut found: Vec<(Fact, Why)> = Vec::new();
        found.extend(self.second_words(queue, n).await?.into_iter().map(|fact| (fact, Why::SecondWord)));
        let left = n.saturating_sub(found.len());
        if left == 0 {
            return Ok(found);
        }
        let uncertain = self.uncertain(queue, left).await?.into_iter().map(|fact| (fact, Why::Uncertain));
        let random = self.random(queue, left).await?.into_iter().map(|fact| (fact, Why::Random));
        let (mut uncertain, mut random) = (uncertain, random);
        let mut seen: BTreeSet<i64> = found.iter().map(|(fact, _)| fact.seq).collect();
        while found.len() < n {
            let next = [uncertain.next(), random.next()];
            if next.iter().all(Option::is_none) {
                break;
            }
            found.extend(next.into_iter().flatten().filter(|(fact, _)| seen.insert(fact.seq)));
        }
        found.truncate(n);
        Ok(found)
    }

    /// What others labelled and is not settled, the nearest to it first.
    async fn second_words(&self, queue: &Queue<'_>, n: usize) -> Result<Vec<Fact>, Fault> {
        // In this order: first what is open, which is few.
        let query = format!(
            "SELECT {} FROM reviews AS r CROSS JOIN facts AS f WHERE f.seq = r.seq AND r.most < $1 AND r.decided >= $2 \
             AND NOT EXISTS (SELECT 1 FROM labels AS l WHERE l.event = r.event AND l.direction = r.direction \
             AND l.reviewer = $3) ORDER BY r.most DESC, r.decided DESC LIMIT {n}",
            columns("f")
        );
        let query = sqlx::query(AssertSqlSafe(query)).bind(number(queue.least)).bind(queue.since);
        let rows = query.bind(queue.reviewer.to_owned()).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Fact::read(row, 0)).collect()
    }

    /// What nobody labelled, the nearest to the threshold first, from both sides.
    async fn uncertain(&self, queue: &Queue<'_>, n: usize) -> Result<Vec<Fact>, Fault> {
        let mut found = Vec::new();
        for (direction, threshold) in ["prompt", "completion"].into_iter().zip(queue.thresholds) {
            for (side, order) in [(">=", "ASC"), ("<", "DESC")] {
                let query = format!(
                    "SELECT {} FROM facts AS f WHERE direction = $1 AND violation {side} $2 AND reviewed = 0 \
                     AND time + 0 >= $3 ORDER BY violation {order} LIMIT {n}",
                    columns("f")
                );
                let query = sqlx::query(AssertSqlSafe(query)).bind(direction).bind(threshold).bind(queue.since);
                for row in query.fetch_all(&self.pool).await? {
                    let fact = Fact::read(&row, 0)?;
                    found.push(((fact.violation.unwrap_or_default() - threshold).abs(), fact));
                }
            }
        }
        found.sort_by(|one, other| one.0.total_cmp(&other.0));
        Ok(found.into_iter().map(|(_, fact)| fact).take(n).collect())
    }

    /// What nobody labelled, by chance.
    async fn random(&self, queue: &Queue<'_>, n: usize) -> Result<Vec<Fact>, Fault> {
        let ends = "SELECT MIN(seq), MAX(seq) FROM facts WHERE seq >= \
                    COALESCE((SELECT seq FROM facts WHERE time >= $1 ORDER BY time, seq LIMIT 1), 0)";
        let ends = sqlx::query(ends).bind(queue.since).fetch_one(&self.pool).await?;
        let (Some(first), Some(last)) = (ends.try_get::<Option<i64>, _>(0)?, ends.try_get::<Option<i64>, _>(1)?) else {
            return Ok(Vec::new());
        };
        let places = u64::try_from(last - first + 1).unwrap_or(1);
        let query = format!(
            "SELECT {} FROM facts AS f WHERE seq >= $1 AND reviewed + 0 = 0 AND time + 0 >= $2 ORDER BY seq LIMIT 1",
            columns("f")
        );
        let mut found = Vec::new();
        for draw in 0..n as u64 {
            let place = mixed(queue.seed.wrapping_add(draw)) % places;
            let from = first + i64::try_from(place).unwrap_or_default();
            let query = sqlx::query(AssertSqlSafe(query.clone())).bind(from).bind(queue.since);
            found.extend(query.fetch_optional(&self.pool).await?.map(|row| Fact::read(&row, 0)).transpose()?);
        }
        Ok(found)
    }

    /// What reviewers settled over time, by the steps of [`Store::series`] (where nothing was, there is no point), and by principle: both
    /// from one reading.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn judged(&self, range: &Range, least: usize) -> Result<(Vec<Judged>, Vec<(String, Judged)>), Fault> {
        let step = format!("decided - decided % {}", range.step());
        let by = By::Principle.column();
        let (filter, texts) = range.filter(4);
        let query = format!(
            "SELECT {step}, {by}, stopped, CASE WHEN stopped = 1 AND over_blocked = most THEN 1 \
             WHEN stopped = 0 AND missed = most THEN 1 ELSE 0 END, COUNT(*) FROM reviews \
             WHERE decided >= $1 AND decided < $2 AND most >= $3{filter} GROUP BY 1, 2, 3, 4"
        );
        let query = sqlx::query(AssertSqlSafe(query)).bind(range.first()).bind(range.until);
        let query = query.bind(number(least.max(1)));
        let rows = texts.into_iter().fold(query, |query, text| query.bind(text)).fetch_all(&self.pool).await?;
        let (mut by_time, mut by_principle) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            let start = row.try_get(0)?;
            add(by_time.entry(start).or_insert(Judged { start, ..NOTHING }), &row)?;
            let whole = Judged { start: range.first(), ..NOTHING };
            add(by_principle.entry(row.try_get(1)?).or_insert(whole), &row)?;
        }
        Ok((by_time.into_values().collect(), by_principle.into_iter().collect()))
    }

    /// How far the reviewers have come.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn progress(&self, least: usize) -> Result<Progress, Fault> {
        let query =
            "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN most >= $1 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM reviews";
        let row = sqlx::query(query).bind(number(least.max(1))).fetch_one(&self.pool).await?;
        let (all, settled): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let query = "SELECT reviewer, COUNT(*) FROM labels GROUP BY reviewer ORDER BY 2 DESC, 1";
        let by = sqlx::query(query).fetch_all(&self.pool).await?;
        let by: Result<Vec<(String, i64)>, Fault> =
            by.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect();
        Ok(Progress { settled, open: all - settled, by: by?, agreement: self.agreement().await? })
    }

    async fn agreement(&self) -> Result<Vec<(String, String, f64, usize)>, Fault> {
        let query = format!(
            "SELECT l.event, l.direction, l.reviewer, l.mark, l.principle, l.note, l.time FROM \
             (SELECT event, direction FROM reviews WHERE voters > 1 ORDER BY decided DESC LIMIT {SHARED}) AS r \
             CROSS JOIN labels AS l WHERE l.event = r.event AND l.direction = r.direction"
        );
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&self.pool).await?;
        let labels: Result<Vec<Label>, Fault> = rows.iter().map(read).collect();
        let labels = labels?;
        let reviewers: BTreeSet<&str> = labels.iter().map(|label| label.reviewer.as_str()).collect();
        let mut agreement = Vec::new();
        for (place, one) in reviewers.iter().enumerate() {
            for other in reviewers.iter().skip(place + 1) {
                if let Some((kappa, count)) = kappa(&labels, one, other) {
                    agreement.push(((*one).to_owned(), (*other).to_owned(), kappa, count));
                }
            }
        }
        Ok(agreement)
    }
}

const NOTHING: Judged = Judged { start: 0, stopped: Rate { hits: 0, total: 0 }, passed: Rate { hits: 0, total: 0 } };

fn add(judged: &mut Judged, row: &AnyRow) -> Result<(), Fault> {
    let (stopped, wrong, n): (i64, i64, i64) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let n = usize::try_from(n).unwrap_or_default();
    let rate = if stopped == 1 { &mut judged.stopped } else { &mut judged.passed };
    rate.total += n;
    rate.hits += usize::from(wrong == 1) * n;
    Ok(())
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A number in which each bit depends on all of another (splitmix64).
fn mixed(seed: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
