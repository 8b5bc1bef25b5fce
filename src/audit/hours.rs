//! What an overview counts: sums by hour, by six hours and by day, written with the decisions that they are of.

use super::facts::{Fact, places};
use super::store::Fault;
use sqlx::{AnyConnection, AssertSqlSafe};
use std::collections::BTreeMap;

/// An hour, in microseconds.
pub const HOUR: i64 = 3_600_000_000;

/// What is summed up at once: the longer the time, the fewer the rows that a chart of it reads.
pub const SPANS: [i64; 3] = [HOUR, 6 * HOUR, 24 * HOUR];

/// Rows of one insert.
const ROWS: usize = 500;

pub(super) const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS hours (span BIGINT NOT NULL, start BIGINT NOT NULL, tenant TEXT NOT NULL, \
     audience TEXT NOT NULL, direction TEXT NOT NULL, action TEXT NOT NULL, principle TEXT NOT NULL, rule TEXT NOT NULL, \
     scan TEXT NOT NULL, policy TEXT NOT NULL, refused BIGINT NOT NULL, n BIGINT NOT NULL, \
     PRIMARY KEY (span, start, tenant, audience, direction, action, principle, rule, scan, policy, refused)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS latencies (span BIGINT NOT NULL, start BIGINT NOT NULL, tenant TEXT NOT NULL, \
     audience TEXT NOT NULL, direction TEXT NOT NULL, bucket BIGINT NOT NULL, n BIGINT NOT NULL, \
     PRIMARY KEY (span, start, tenant, audience, direction, bucket)) WITHOUT ROWID",
];

/// The beginning of the span that a time is in.
#[must_use]
pub const fn start(time: i64, span: i64) -> i64 {
    time - time.rem_euclid(span)
}

/// The bucket of a time that judging took, in microseconds: two of them for each doubling.
#[must_use]
pub fn bucket(took: i64) -> i64 {
    (2.0 * (took.max(1) as f64).log2()).floor() as i64
}

/// What a bucket ends with, in microseconds; it begins where the one before ends.
#[must_use]
pub fn end(bucket: i64) -> f64 {
    2f64.powf((bucket + 1) as f64 / 2.0)
}

/// Span, start, and by what is counted; whether the LLM declined by itself.
type Key<'a> = (i64, i64, [&'a str; 8], bool);

/// Span, start, tenant, audience, direction, and the bucket.
type Took<'a> = (i64, i64, [&'a str; 3], i64);

/// Sums of some decisions, before they are added to those in the store.
#[derive(Default)]
pub(super) struct Sums<'a> {
    counts: BTreeMap<Key<'a>, i64>,
    latencies: BTreeMap<Took<'a>, i64>,
}

impl<'a> Sums<'a> {
    /// The sums of `facts` in `spans`, as far as `counts` says of a span and its start that they count.
    pub(super) fn of(facts: &'a [Fact], counts: impl Fn(i64, i64) -> bool) -> Self {
        let mut sums = Self::default();
        for fact in facts {
            let [tenant, audience, direction] = [&fact.tenant, &fact.audience, &fact.direction].map(String::as_str);
            let [action, principle, rule, scan, policy] =
                [&fact.action, &fact.principle, &fact.rule, &fact.scan, &fact.policy].map(String::as_str);
            for span in SPANS {
                let start = start(fact.time, span);
                if !counts(span, start) {
                    continue;
                }
                let by = [tenant, audience, direction, action, principle, rule, scan, policy];
                *sums.counts.entry((span, start, by, fact.is_own_refusal())).or_default() += 1;
                if let Some(took) = fact.took {
                    let took = (span, start, [tenant, audience, direction], bucket(took));
                    *sums.latencies.entry(took).or_default() += 1;
                }
            }
        }
        sums
    }

    /// Adds them to those in the store.
    pub(super) async fn add(&self, connection: &mut AnyConnection) -> Result<(), Fault> {
        let counts: Vec<_> = self.counts.iter().collect();
        for some in counts.chunks(ROWS) {
            let columns = "span, start, tenant, audience, direction, action, principle, rule, scan, policy, refused";
            let mut insert = sqlx::query(AssertSqlSafe(upsert("hours", columns, some.len())));
            for ((span, start, by, refused), n) in some {
                insert = insert.bind(*span).bind(*start);
                insert = by.iter().fold(insert, |insert, text| insert.bind((*text).to_owned()));
                insert = insert.bind(i64::from(*refused)).bind(**n);
            }
            insert.execute(&mut *connection).await?;
        }
        let latencies: Vec<_> = self.latencies.iter().collect();
        for some in latencies.chunks(ROWS) {
            let columns = "span, start, tenant, audience, direction, bucket";
            let mut insert = sqlx::query(AssertSqlSafe(upsert("latencies", columns, some.len())));
            for ((span, start, by, bucket), n) in some {
                insert = insert.bind(*span).bind(*start);
                insert = by.iter().fold(insert, |insert, text| insert.bind((*text).to_owned()));
                insert = insert.bind(*bucket).bind(**n);
            }
            insert.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

fn upsert(table: &str, columns: &str, rows: usize) -> String {
    format!(
        "INSERT INTO {table} ({columns}, n) VALUES {} ON CONFLICT ({columns}) DO UPDATE SET n = {table}.n + excluded.n",
        places(rows, columns.split(',').count() + 1)
    )
}

/// Counts anew what was removed from: the spans that begin up to `last`, the time of the newest decision that was removed. What
/// is left of them is few: the end of a span, and what came late.
pub(super) async fn recount(connection: &mut AnyConnection, last: i64) -> Result<(), Fault> {
    for table in ["hours", "latencies"] {
        let query = format!("DELETE FROM {table} WHERE start <= $1");
        sqlx::query(AssertSqlSafe(query)).bind(last).execute(&mut *connection).await?;
    }
    let longest = SPANS.into_iter().max().unwrap_or(HOUR);
    let until = start(last, longest).saturating_add(longest);
    let left = super::facts::before(&mut *connection, until).await?;
    Sums::of(&left, |_, start| start <= last).add(connection).await
}
