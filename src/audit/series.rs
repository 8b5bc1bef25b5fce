//! What an overview shows of the [sums](super::hours): counts over time, in all by one thing or another, and what judging took.

use super::hours::{HOUR, SPANS, end, start};
use super::store::{Fault, Store};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// The steps of a chart, in hours, and how many of them it may have: of six hours fewer, since more rows are read for one.
const STEPS: [(i64, i64); 6] = [(1, 100), (6, 60), (24, 100), (7 * 24, 100), (28 * 24, 100), (364 * 24, i64::MAX)];

/// Which decisions are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// From this time on, in microseconds since 1970: from the beginning of its step.
    pub from: i64,
    /// Before this time.
    pub until: i64,
    /// Of this tenant only.
    pub tenant: Option<String>,
    /// For this audience only.
    pub audience: Option<String>,
    /// Of this direction only.
    pub direction: Option<String>,
}

/// How many decisions of which kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub all: u64,
    /// Those that passed as they were.
    pub allow: u64,
    /// Those that were marked and passed.
    pub flag: u64,
    /// Those that passed once identifiers of people were taken out.
    pub redacted: u64,
    /// Those that were rewritten for what they said.
    pub rewrite: u64,
    /// Those that were answered with help.
    pub escalate: u64,
    /// Those that were refused.
    pub block: u64,
    /// Those that could not be judged and were refused.
    pub unavailable: u64,
    /// Answers that we let pass, in which the LLM declined by itself.
    pub own_refusals: u64,
    /// Those of which not all was judged.
    pub partial: u64,
    /// Those of which nothing was judged.
    pub unscanned: u64,
}

impl Counts {
    /// Those that were stopped, as [`stopped`](super::label::stopped) says.
    #[must_use]
    pub const fn stopped(&self) -> u64 {
        self.rewrite + self.escalate + self.block
    }

    /// Adds others.
    fn merge(&mut self, other: &Self) {
        for (own, others) in [
            (&mut self.all, other.all),
            (&mut self.allow, other.allow),
            (&mut self.flag, other.flag),
            (&mut self.redacted, other.redacted),
            (&mut self.rewrite, other.rewrite),
            (&mut self.escalate, other.escalate),
            (&mut self.block, other.block),
            (&mut self.unavailable, other.unavailable),
            (&mut self.own_refusals, other.own_refusals),
            (&mut self.partial, other.partial),
            (&mut self.unscanned, other.unscanned),
        ] {
            *own += others;
        }
    }

    /// Adds `n` of an action, by a rule.
    fn add(&mut self, (action, rule): (&str, &str), n: u64) {
        self.all += n;
        let of = match (action, rule) {
            ("allow", _) => &mut self.allow,
            ("flag", _) => &mut self.flag,
            ("rewrite", "phi") => &mut self.redacted,
            ("rewrite", _) => &mut self.rewrite,
            ("escalate", _) => &mut self.escalate,
            ("block", _) => &mut self.block,
            ("unavailable", _) => &mut self.unavailable,
            _ => return,
        };
        *of += n;
    }
}

/// What was decided in one step of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// When it begins, in microseconds since 1970.
    pub start: i64,
    /// How many decisions.
    pub counts: Counts,
    /// How long judging took.
    pub took: Option<Took>,
}

/// How long judging took, in milliseconds: as well as buckets of a half doubling tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Took {
    /// Half of the messages took less.
    pub p50: f64,
    /// All but one of a hundred took less.
    pub p99: f64,
    /// Of so many messages.
    pub n: u64,
}

/// What was decided over time: a [`Point`] for each [`Range::step`], also where nothing was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Of prompts.
    pub prompts: Vec<Point>,
    /// Of completions.
    pub completions: Vec<Point>,
    /// Of both.
    pub all: Vec<Point>,
    /// How long judging took over all of the time: prompts, completions.
    pub took: [Option<Took>; 2],
}

/// What is counted of one step, before quantiles are taken.
#[derive(Clone, Default)]
struct Step {
    counts: Counts,
    took: Buckets,
}

/// How many messages took how long, by [bucket](super::hours::bucket).
type Buckets = BTreeMap<i64, u64>;

impl Step {
    fn point(&self, start: i64) -> Point {
        Point { start, counts: self.counts, took: quantiles(&self.took) }
    }

    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.counts.merge(&other.counts);
        merge(&mut both.took, &other.took);
        both
    }
}

fn merge(buckets: &mut Buckets, more: &Buckets) {
    more.iter().for_each(|(bucket, n)| *buckets.entry(*bucket).or_default() += n);
}

/// By what decisions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The violated principle; an empty name where there is none.
    Principle,
    /// Whose request it was.
    Tenant,
    /// Who is served.
    Audience,
    /// The rule.
    Rule,
    /// The policy in force.
    Policy,
    /// `prompt` or `completion`.
    Direction,
    /// How much was judged.
    Scan,
}

impl By {
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Principle => "principle",
            Self::Tenant => "tenant",
            Self::Audience => "audience",
            Self::Rule => "rule",
            Self::Policy => "policy",
            Self::Direction => "direction",
            Self::Scan => "scan",
        }
    }
}

impl Range {
    /// The step of a chart of it: an hour, six, a day, a week, four weeks or years, so that about a hundred points come.
    #[must_use]
    pub fn step(&self) -> i64 {
        let span = self.until.saturating_sub(self.from);
        let fit = STEPS.into_iter().find(|(hours, points)| span / (hours * HOUR) <= *points);
        fit.map_or(HOUR, |(hours, _)| hours * HOUR)
    }

    /// When the first step begins.
    #[must_use]
    pub fn first(&self) -> i64 {
        start(self.from, self.step())
    }

    /// The conditions on whose decisions are counted, and their values, which stand from a place on.
    pub(super) fn filter(&self, first: usize) -> (String, Vec<String>) {
        let texts = [("tenant", &self.tenant), ("audience", &self.audience), ("direction", &self.direction)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        let texts = texts.enumerate().map(|(place, (name, text))| (format!(" AND {name} = ${}", first + place), text));
        texts.unzip()
    }

    /// The longest span that is not longer than a step.
    fn span(&self) -> i64 {
        SPANS.into_iter().filter(|span| *span <= self.step()).max().unwrap_or(HOUR)
    }
}

/// What is counted of it: the columns by which, and the table.
const COUNTED: &str = "action, CASE WHEN rule = 'phi' THEN 'phi' ELSE '' END, scan, refused";

impl Store {
    /// What was decided over time, and how long judging took: all from one reading of each table.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn series(&self, range: &Range) -> Result<Series, Fault> {
        let step = range.step();
        let by = format!("start - start % {step}, direction");
        let (hours, latencies) = tokio::try_join!(
            self.sums(range, ("hours", &by, COUNTED)),
            self.sums(range, ("latencies", &by, "bucket"))
        )?;
        let mut steps: BTreeMap<(i64, bool), Step> = BTreeMap::new();
        let key = |row: &AnyRow| Ok::<_, Fault>((row.try_get(0)?, row.try_get::<String, _>(1)? == "prompt"));
        for row in hours {
            count(&mut steps.entry(key(&row)?).or_default().counts, (&row, 2))?;
        }
        for row in latencies {
            let took = &mut steps.entry(key(&row)?).or_default().took;
            *took.entry(row.try_get(2)?).or_default() += unsigned(row.try_get(3)?);
        }
        let starts = (range.first()..range.until).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let nothing = Step::default();
        let mut series = Series::default();
        let mut took = [BTreeMap::new(), BTreeMap::new()];
        for start in starts {
            let [prompts, completions] =
                [true, false].map(|is_prompt| steps.get(&(start, is_prompt)).unwrap_or(&nothing));
            series.prompts.push(prompts.point(start));
            series.completions.push(completions.point(start));
            series.all.push(prompts.and(completions).point(start));
            took.iter_mut().zip([prompts, completions]).for_each(|(took, step)| merge(took, &step.took));
        }
        series.took = took.map(|buckets| quantiles(&buckets));
        Ok(series)
    }

    /// How many were decided by one thing and by another, the most first: for each of `by` its own list, all from one reading.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn totals(&self, range: &Range, by: &[By]) -> Result<Vec<Vec<(String, Counts)>>, Fault> {
        let columns: Vec<&str> = by.iter().map(|by| by.column()).collect();
        let mut lists: Vec<BTreeMap<String, Counts>> = by.iter().map(|_| BTreeMap::new()).collect();
        for row in self.sums(range, ("hours", &columns.join(", "), COUNTED)).await? {
            for (place, list) in lists.iter_mut().enumerate() {
                count(list.entry(row.try_get(place)?).or_default(), (&row, by.len()))?;
            }
        }
        let sorted = |list: BTreeMap<String, Counts>| {
            let mut list: Vec<(String, Counts)> = list.into_iter().collect();
            list.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.all));
            list
        };
        Ok(lists.into_iter().map(sorted).collect())
    }

    /// Sums of a table over a range: what they are by, what is told apart, and how many.
    async fn sums(&self, range: &Range, (table, by, apart): (&str, &str, &str)) -> Result<Vec<AnyRow>, Fault> {
        let columns = [by, apart].map(|columns| columns.matches(", ").count() + 1);
        let places: Vec<String> = (1..=columns.iter().sum()).map(|place: usize| place.to_string()).collect();
        let (filter, texts) = range.filter(4);
        let query = format!(
            "SELECT {by}, {apart}, CAST(SUM(n) AS BIGINT) FROM {table} \
             WHERE span = $1 AND start >= $2 AND start < $3{filter} GROUP BY {}",
            places.join(", ")
        );
        let query = sqlx::query(AssertSqlSafe(query)).bind(range.span()).bind(range.first()).bind(range.until);
        texts.into_iter().fold(query, |query, text| query.bind(text)).fetch_all(&self.pool).await
    }
}

/// Adds a row whose columns from `first` on are [`COUNTED`].
fn count(counts: &mut Counts, (row, first): (&AnyRow, usize)) -> Result<(), Fault> {
    let [action, rule, scan]: [String; 3] = [row.try_get(first)?, row.try_get(first + 1)?, row.try_get(first + 2)?];
    let (refused, n) = (row.try_get::<i64, _>(first + 3)? == 1, unsigned(row.try_get(first + 4)?));
    counts.add((&action, &rule), n);
    for (is_so, of) in [
        (refused, &mut counts.own_refusals),
        (scan == "partial", &mut counts.partial),
        (scan == "none", &mut counts.unscanned),
    ] {
        *of += u64::from(is_so) * n;
    }
    Ok(())
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// The quantiles of what is in `buckets`; in one of them, its messages are taken to lie evenly.
fn quantiles(buckets: &Buckets) -> Option<Took> {
    let n: u64 = buckets.values().sum();
    let at = |part: f64| {
        let wanted = part * n as f64;
        let mut before = 0.0;
        for (bucket, n) in buckets {
            let n = *n as f64;
            if before + n >= wanted {
                let (low, high) = (end(bucket - 1), end(*bucket));
                return (low + (high - low) * (wanted - before) / n) / 1e3;
            }
            before += n;
        }
        0.0
    };
    (n > 0).then(|| Took { p50: at(0.5), p99: at(0.99), n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::hours::bucket;

    #[test]
    fn a_chart_has_about_a_hundred_points() {
        for (hours, step, points) in
            [(24, 1, 24), (100, 1, 100), (7 * 24, 6, 28), (25 * 24, 24, 25), (30 * 24, 24, 30), (365 * 24, 7 * 24, 53)]
        {
            let range = Range { from: 0, until: hours * HOUR, ..Range::default() };
            assert_eq!(range.step(), step * HOUR, "{hours}");
            assert_eq!((range.until + range.step() - 1) / range.step(), points, "{hours}");
        }
    }

    #[test]
    fn quantiles_are_as_near_as_their_buckets() {
        let all: Vec<i64> = (1..=10_000).map(|n| n * 3).collect();
        let mut buckets = Buckets::new();
        all.iter().for_each(|took| *buckets.entry(bucket(*took)).or_default() += 1);
        let took = quantiles(&buckets).unwrap();
        assert!((took.p50 - 15.0).abs() < 1.5 && (took.p99 - 29.7).abs() < 3.0 && took.n == 10_000, "{took:?}");
        assert_eq!(quantiles(&Buckets::new()), None);
        assert!([1, 2, 3, 999, 1_000_000].iter().all(|took| {
            let bucket = bucket(*took);
            end(bucket - 1) <= *took as f64 * (1.0 + 1e-9) && (*took as f64) < end(bucket) * (1.0 + 1e-9)
        }));
    }
}
