//! What pages search by: one narrow row a decision, beside the chain and written with it, so that nothing that is asked reads JSON.

use super::decision::{ACT, Decision, Seen};
use super::store::Fault;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// A decision in short. What is not there is an empty text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fact {
    /// Its place in the chain.
    pub seq: i64,
    /// When, in microseconds since 1970.
    pub time: i64,
    /// The event that it is of.
    pub event: String,
    /// `prompt` or `completion`.
    pub direction: String,
    /// What was done.
    pub action: String,
    /// Whose request it was.
    pub tenant: String,
    /// Who is served.
    pub audience: String,
    /// The violated principle.
    pub principle: String,
    /// The violated type.
    pub kind: String,
    /// The rule that says so.
    pub rule: String,
    /// How much was judged: `full`, `partial`, `none`.
    pub scan: String,
    /// `name@hash` of the policy in force.
    pub policy: String,
    /// How likely a violation is: the highest over the texts alone, in context, and as said earlier.
    pub violation: Option<f64>,
    /// How likely the LLM declined: the highest likewise.
    pub refusal: Option<f64>,
    /// How long judging took, in microseconds.
    pub took: Option<i64>,
}

/// Columns in the order of [`Fact`].
pub(super) const COLUMNS: [&str; 15] = [
    "seq",
    "time",
    "event",
    "direction",
    "action",
    "tenant",
    "audience",
    "principle",
    "type",
    "rule",
    "scan",
    "policy",
    "violation",
    "refusal",
    "took",
];

/// Rows of one insert.
const ROWS: usize = 500;

/// The table, and an index for each way to look: the newest of a kind are next to each other. What is rare has an index of
/// its own rows alone, which costs the others nothing.
pub(super) const TABLES: [&str; 14] = [
    "CREATE TABLE IF NOT EXISTS facts (seq INTEGER PRIMARY KEY, time BIGINT NOT NULL, event TEXT NOT NULL, \
     direction TEXT NOT NULL, action TEXT NOT NULL, tenant TEXT NOT NULL, audience TEXT NOT NULL, principle TEXT NOT NULL, \
     type TEXT NOT NULL, rule TEXT NOT NULL, scan TEXT NOT NULL, policy TEXT NOT NULL, violation DOUBLE PRECISION, \
     refusal DOUBLE PRECISION, took BIGINT, reviewed BIGINT NOT NULL DEFAULT 0)",
    "CREATE INDEX IF NOT EXISTS facts_time ON facts (time, seq, violation)",
    "CREATE INDEX IF NOT EXISTS facts_event ON facts (event)",
    "CREATE INDEX IF NOT EXISTS facts_score ON facts (direction, violation, reviewed)",
    "CREATE INDEX IF NOT EXISTS facts_policy ON facts (policy, time, seq)",
    "CREATE INDEX IF NOT EXISTS facts_tenant ON facts (tenant, time, seq) WHERE tenant <> ''",
    "CREATE INDEX IF NOT EXISTS facts_pair ON facts (tenant, audience, time, seq) WHERE tenant <> ''",
    "CREATE INDEX IF NOT EXISTS facts_audience ON facts (audience, time, seq) WHERE audience <> ''",
    "CREATE INDEX IF NOT EXISTS facts_principle ON facts (principle, time, seq) WHERE principle <> ''",
    "CREATE INDEX IF NOT EXISTS facts_type ON facts (type, time, seq) WHERE type <> ''",
    "CREATE INDEX IF NOT EXISTS facts_rule ON facts (rule, time, seq) WHERE rule <> ''",
    "CREATE INDEX IF NOT EXISTS facts_action ON facts (action, time, seq) WHERE action <> 'allow'",
    "CREATE INDEX IF NOT EXISTS facts_scan ON facts (scan, time, seq) WHERE scan <> 'full'",
    "CREATE INDEX IF NOT EXISTS facts_reviewed ON facts (time, seq) WHERE reviewed = 1",
];

impl Fact {
    /// What is to be found of a decision at a place of the chain; nothing of one that tells of an act.
    #[must_use]
    pub fn of(seq: i64, decision: &Decision) -> Option<Self> {
        if decision.action == ACT {
            return None;
        }
        let seen = || [&decision.alone, &decision.context, &decision.said].into_iter().flatten();
        let highest = |score: fn(&Seen) -> f32| seen().map(|seen| f64::from(score(seen))).reduce(f64::max);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Some(Self {
            seq,
            time: decision.time,
            event: decision.event.clone(),
            direction: decision.direction.clone(),
            action: decision.action.clone(),
            tenant: text(&decision.tenant),
            audience: text(&decision.audience),
            principle: text(&decision.principle),
            kind: text(&decision.kind),
            rule: text(&decision.rule),
            scan: decision.scan.clone(),
            policy: decision.policy.clone(),
            violation: highest(|seen| seen.violation),
            refusal: highest(|seen| seen.refusal),
            took: decision.took_ms.map(|took| (took * 1e3).round() as i64),
        })
    }

    /// Whether the message was stopped, as [`label::stopped`](super::label::stopped) says it of the decision.
    #[must_use]
    pub fn stopped(&self) -> bool {
        matches!(self.action.as_str(), "block" | "escalate") || (self.action == "rewrite" && self.rule != "phi")
    }

    /// Whether the LLM declined by itself, and was let.
    #[must_use]
    pub fn is_own_refusal(&self) -> bool {
        let passed = matches!(self.action.as_str(), "allow" | "flag");
        passed && self.direction == "completion" && self.refusal.is_some_and(|refusal| refusal >= 0.5)
    }

    /// The fact in a row, whose columns from `first` on are [`COLUMNS`].
    pub(super) fn read(row: &AnyRow, first: usize) -> Result<Self, Fault> {
        let text = |place: usize| row.try_get::<String, _>(first + place);
        Ok(Self {
            seq: row.try_get(first)?,
            time: row.try_get(first + 1)?,
            event: text(2)?,
            direction: text(3)?,
            action: text(4)?,
            tenant: text(5)?,
            audience: text(6)?,
            principle: text(7)?,
            kind: text(8)?,
            rule: text(9)?,
            scan: text(10)?,
            policy: text(11)?,
            violation: row.try_get(first + 12)?,
            refusal: row.try_get(first + 13)?,
            took: row.try_get(first + 14)?,
        })
    }
}

/// [`COLUMNS`] of the table that is called so in a query.
pub(super) fn columns(of: &str) -> String {
    COLUMNS.map(|column| format!("{of}.{column}")).join(", ")
}

/// Writes facts within the transaction of their decisions.
pub(super) async fn write(connection: &mut AnyConnection, facts: &[Fact]) -> Result<(), Fault> {
    for some in facts.chunks(ROWS) {
        let insert = format!("INSERT INTO facts ({}) VALUES {}", COLUMNS.join(", "), places(some.len(), COLUMNS.len()));
        let mut insert = sqlx::query(AssertSqlSafe(insert));
        for fact in some {
            insert = insert.bind(fact.seq).bind(fact.time);
            for text in [
                &fact.event,
                &fact.direction,
                &fact.action,
                &fact.tenant,
                &fact.audience,
                &fact.principle,
                &fact.kind,
                &fact.rule,
                &fact.scan,
                &fact.policy,
            ] {
                insert = insert.bind(text.clone());
            }
            insert = insert.bind(fact.violation).bind(fact.refusal).bind(fact.took);
        }
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The places of so many rows with so many columns: `($1, $2), ($3, $4)`.
pub(super) fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// The facts before a time.
pub(super) async fn before(connection: &mut AnyConnection, until: i64) -> Result<Vec<Fact>, Fault> {
    let query = format!("SELECT {} FROM facts AS f WHERE time < $1", columns("f"));
    let rows = sqlx::query(AssertSqlSafe(query)).bind(until).fetch_all(connection).await?;
    rows.iter().map(|row| Fact::read(row, 0)).collect()
}
