//! What a reviewer looks at next, and what came of all that were looked at.

use super::facts::{Fact, columns};
use super::label::{Label, kappa};
use super::reviews::read;
use super::series::Range;
use super::store::{Fault, Store};
use crate::policy::tune::Rate;
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
        // Each by itself: SQLite finds one end of an index at once, and both only by reading all between them.
        let ends = "SELECT (SELECT MIN(seq) FROM facts WHERE seq >= \
                    COALESCE((SELECT seq FROM facts WHERE time >= $1 ORDER BY time, seq LIMIT 1), 0)), \
                    (SELECT MAX(seq) FROM facts)";
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

    /// What reviewers settled over time, by the steps of [`Store::series`]: where nothing was, there is no point.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn judged(&self, range: &Range, least: usize) -> Result<Vec<Judged>, Fault> {
        let (filter, texts) = range.filter(4);
        // A question for each step: grouping by steps would take four times as long.
        let query = format!(
            "SELECT {}, {}, COUNT(*) FROM reviews WHERE decided >= $1 AND decided < $2 AND most >= $3{filter}",
            "CAST(COALESCE(SUM(stopped), 0) AS BIGINT)",
            "CAST(COALESCE(SUM(CASE WHEN stopped = 1 AND over_blocked = most THEN 1 ELSE 0 END), 0) AS BIGINT), \
             CAST(COALESCE(SUM(CASE WHEN stopped = 0 AND missed = most THEN 1 ELSE 0 END), 0) AS BIGINT)"
        );
        let step = range.step();
        let mut judged = Vec::new();
        for start in (range.first()..range.until).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let end = start.saturating_add(step).min(range.until);
            let query = sqlx::query(AssertSqlSafe(query.clone())).bind(start).bind(end).bind(number(least.max(1)));
            let row = texts.iter().fold(query, |query, text| query.bind(text.clone())).fetch_one(&self.pool).await?;
            let [stopped, wrong, missed, all] = [0, 1, 2, 3].map(|place| row.try_get::<i64, _>(place).map(count));
            let (stopped, all) = (stopped?, all?);
            if all > 0 {
                let passed = Rate { hits: missed?, total: all - stopped };
                judged.push(Judged { start, stopped: Rate { hits: wrong?, total: stopped }, passed });
            }
        }
        Ok(judged)
    }

    /// What reviewers settled of what was stopped, by the violated principle.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn stopped_by_principle(&self, range: &Range, least: usize) -> Result<Vec<(String, Rate)>, Fault> {
        let (filter, texts) = range.filter(4);
        let query = format!(
            "SELECT principle, CASE WHEN over_blocked = most THEN 1 ELSE 0 END, COUNT(*) FROM reviews \
             WHERE decided >= $1 AND decided < $2 AND stopped = 1 AND most >= $3{filter} GROUP BY 1, 2"
        );
        let query = sqlx::query(AssertSqlSafe(query)).bind(range.first()).bind(range.until);
        let query = query.bind(number(least.max(1)));
        let mut rates: BTreeMap<String, Rate> = BTreeMap::new();
        for row in texts.into_iter().fold(query, |query, text| query.bind(text)).fetch_all(&self.pool).await? {
            let (is_wrong, n) = (row.try_get::<i64, _>(1)? == 1, count(row.try_get(2)?));
            let rate = rates.entry(row.try_get(0)?).or_insert(Rate { hits: 0, total: 0 });
            rate.total += n;
            rate.hits += usize::from(is_wrong) * n;
        }
        Ok(rates.into_iter().collect())
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

fn count(n: i64) -> usize {
    usize::try_from(n).unwrap_or_default()
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
