//! What reviewers said, kept and summed up: a row for each decision with labels says what follows from them.

use super::act::{Act, Deed};
use super::acts;
use super::decision::Decision;
use super::facts::Fact;
use super::key::Signing;
use super::label::{Label, Mark, latest};
use super::store::{Fault, Store, lock};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// Labelled decisions that are summed up in one transaction.
const BATCH: i64 = 200;

/// One row a decision with labels. `most` is how many reviewers say what most of them say; 0 where they are split.
pub(super) const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS reviews (event TEXT NOT NULL, direction TEXT NOT NULL, seq BIGINT NOT NULL, \
     decided BIGINT NOT NULL, stopped BIGINT NOT NULL, tenant TEXT NOT NULL, audience TEXT NOT NULL, principle TEXT NOT NULL, \
     rule TEXT NOT NULL, scan TEXT NOT NULL, policy TEXT NOT NULL, correct BIGINT NOT NULL, over_blocked BIGINT NOT NULL, \
     missed BIGINT NOT NULL, most BIGINT NOT NULL, voters BIGINT NOT NULL, PRIMARY KEY (event, direction))",
    "CREATE INDEX IF NOT EXISTS reviews_decided ON reviews (decided, stopped, most, over_blocked, missed, tenant, audience, \
     direction, principle)",
    "CREATE INDEX IF NOT EXISTS reviews_shared ON reviews (decided) WHERE voters > 1",
    "CREATE INDEX IF NOT EXISTS reviews_open ON reviews (most, decided)",
];

impl Store {
    /// Keeps what a reviewer says; earlier words stay on record. With a key it is an act too, so that it can be proven.
    ///
    /// # Errors
    /// When it is not stored, or no such decision is.
    pub async fn label(&self, label: &Label, key: Option<&Signing>) -> Result<(), Fault> {
        self.label_all(std::slice::from_ref(label), key).await
    }

    /// The same of several, all or none.
    ///
    /// # Errors
    /// As [`Store::label`].
    pub async fn label_all(&self, labels: &[Label], key: Option<&Signing>) -> Result<(), Fault> {
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        for label in labels {
            keep(&mut transaction, label).await?;
            if let Some(key) = key {
                acts::add(&mut transaction, &act_of(label), (None, key)).await?;
            }
        }
        transaction.commit().await
    }

    /// All that reviewers said, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn labels(&self) -> Result<Vec<Label>, Fault> {
        let query = "SELECT event, direction, reviewer, mark, principle, note, time FROM labels ORDER BY time";
        sqlx::query(query).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// All that reviewers said of an event, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn labels_of(&self, event: &str) -> Result<Vec<Label>, Fault> {
        let query =
            "SELECT event, direction, reviewer, mark, principle, note, time FROM labels WHERE event = $1 ORDER BY time";
        sqlx::query(query).bind(event.to_owned()).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Sums up labels that a store of an older version has.
    ///
    /// # Errors
    /// When they cannot be read or summed up.
    pub async fn fill_reviews(&self) -> Result<(), Fault> {
        let mut after = (String::new(), String::new());
        loop {
            let mut transaction = self.pool.begin().await?;
            lock(&mut transaction).await?;
            let query = "SELECT DISTINCT l.event, l.direction FROM labels AS l LEFT JOIN reviews AS r \
                         ON r.event = l.event AND r.direction = l.direction WHERE r.event IS NULL \
                         AND (l.event > $1 OR (l.event = $1 AND l.direction > $2)) ORDER BY l.event, l.direction LIMIT $3";
            let rows = sqlx::query(query).bind(after.0.clone()).bind(after.1.clone()).bind(BATCH);
            let rows = rows.fetch_all(&mut *transaction).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.try_get(0)?, last.try_get(1)?);
            for row in &rows {
                let of: (String, String) = (row.try_get(0)?, row.try_get(1)?);
                // What was pruned says nothing any more.
                if let Some(fact) = labelled(&mut transaction, (&of.0, &of.1)).await? {
                    sum_up(&mut transaction, &fact).await?;
                }
            }
            transaction.commit().await?;
        }
    }
}

/// What is signed of a label.
#[must_use]
pub fn act_of(label: &Label) -> Act {
    let Label { event, direction, reviewer, mark, principle, time, .. } = label.clone();
    let deed = Deed::Labelled { event, direction, mark: mark.id().to_owned(), principle };
    // The note stays out of it: what is chained cannot be taken back.
    Act { time, by: reviewer, reason: "review".to_owned(), deed }
}

async fn keep(connection: &mut AnyConnection, label: &Label) -> Result<(), Fault> {
    let fact = labelled(&mut *connection, (&label.event, &label.direction)).await?.ok_or(Fault::RowNotFound)?;
    let insert = "INSERT INTO labels (event, direction, reviewer, mark, principle, note, time) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(insert)
        .bind(label.event.clone())
        .bind(label.direction.clone())
        .bind(label.reviewer.clone())
        .bind(label.mark.id())
        .bind(label.principle.clone())
        .bind(label.note.clone())
        .bind(label.time)
        .execute(&mut *connection)
        .await?;
    sum_up(connection, &fact).await
}

pub(super) fn read(row: &AnyRow) -> Result<Label, Fault> {
    let mark: String = row.try_get(3)?;
    Ok(Label {
        event: row.try_get(0)?,
        direction: row.try_get(1)?,
        reviewer: row.try_get(2)?,
        mark: Mark::from_id(&mark).ok_or_else(|| Fault::Decode("an unknown mark".into()))?,
        principle: row.try_get(4)?,
        note: row.try_get(5)?,
        time: row.try_get(6)?,
    })
}

/// The decision of an event and direction: of several one that stopped its message.
async fn labelled(connection: &mut AnyConnection, (event, direction): (&str, &str)) -> Result<Option<Fact>, Fault> {
    let rows = sqlx::query("SELECT seq, body FROM decisions WHERE event = $1 ORDER BY seq").bind(event.to_owned());
    let rows = rows.fetch_all(connection).await?;
    let fact = |row: &AnyRow| {
        let decision = serde_json::from_str::<Decision>(&row.try_get::<String, _>(1).ok()?).ok()?;
        Fact::of(row.try_get(0).ok()?, &decision)
    };
    let facts: Vec<Fact> = rows.iter().filter_map(fact).filter(|fact| fact.direction == direction).collect();
    let stopped = facts.iter().position(Fact::stopped).unwrap_or_default();
    Ok(facts.into_iter().nth(stopped))
}

/// Says anew what follows from the labels of a decision.
async fn sum_up(connection: &mut AnyConnection, fact: &Fact) -> Result<(), Fault> {
    let of = |query: &'static str| sqlx::query(query).bind(fact.event.clone()).bind(fact.direction.clone());
    let labels = "SELECT event, direction, reviewer, mark, principle, note, time FROM labels \
                  WHERE event = $1 AND direction = $2 ORDER BY time";
    let labels = of(labels).fetch_all(&mut *connection).await?;
    let labels: Result<Vec<Label>, Fault> = labels.iter().map(read).collect();
    let labels = labels?;
    let marks: Vec<Mark> = latest(&labels).into_values().flat_map(|votes| votes.into_values()).collect();
    let counts = [Mark::Correct, Mark::OverBlocked, Mark::Missed]
        .map(|mark| marks.iter().filter(|one| **one == mark).count() as i64);
    let most = counts.into_iter().max().unwrap_or_default();
    let most = if counts.into_iter().filter(|count| *count == most).count() == 1 { most } else { 0 };
    of("DELETE FROM reviews WHERE event = $1 AND direction = $2").execute(&mut *connection).await?;
    let insert = "INSERT INTO reviews (event, direction, seq, decided, stopped, tenant, audience, principle, rule, scan, \
                  policy, correct, over_blocked, missed, most, voters) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    let mut insert = of(insert).bind(fact.seq).bind(fact.time).bind(i64::from(fact.stopped()));
    for text in [&fact.tenant, &fact.audience, &fact.principle, &fact.rule, &fact.scan, &fact.policy] {
        insert = insert.bind(text.clone());
    }
    let insert = counts.into_iter().fold(insert, |insert, count| insert.bind(count));
    insert.bind(most).bind(marks.len() as i64).execute(&mut *connection).await?;
    // SQLite would look through all of a direction by `facts_score`, were its columns there to look by.
    let reviewed = "UPDATE facts SET reviewed = 1 WHERE event = $1 AND direction || '' = $2 AND reviewed + 0 = 0";
    let reviewed = of(reviewed);
    reviewed.execute(connection).await.map(drop)
}
