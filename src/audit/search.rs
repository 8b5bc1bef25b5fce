//! Finds decisions by their [facts](super::facts), the newest first.

use super::decision::{ACT, Decision};
use super::facts::{Fact, columns, places};
use super::label::Label;
use super::reviews::read;
use super::store::{Fault, Store};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};

/// More than so many are not counted.
pub const COUNTED: i64 = 10_000;

/// Nor is it looked at more than so many for it, or five times as many where an index holds all that is asked for.
const LOOKED: i64 = 10_000;

/// So few rows of a score are sorted; where there are more, the newest are soon met.
const FEW: i64 = 2000;

/// A beginning of an event id that is shorter could be that of too many.
const PREFIX: usize = 8;

/// Which decisions are looked for; nothing said, all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// From this time on, in microseconds since 1970.
    pub from: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// The violated principle.
    pub principle: Option<String>,
    /// The violated type.
    pub kind: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// Whose request it was.
    pub tenant: Option<String>,
    /// Who is served.
    pub audience: Option<String>,
    /// `prompt` or `completion`.
    pub direction: Option<String>,
    /// `name@hash` of the policy.
    pub policy: Option<String>,
    /// The rule.
    pub rule: Option<String>,
    /// `full`, `partial` or `none`.
    pub scan: Option<String>,
    /// The lowest and the highest score of a violation.
    pub score: Option<(f64, f64)>,
    /// How the event id begins, by at least eight characters; fewer are a whole id.
    pub event: Option<String>,
    /// Whether any reviewer labelled it.
    pub reviewed: Option<bool>,
    /// Those that come after this one on the pages: its place in the chain.
    pub before: Option<i64>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// So many.
    pub n: i64,
    /// Or more: it was not counted further.
    pub more: bool,
}

/// A value in a condition.
enum Value {
    Text(String),
    Int(i64),
    Real(f64),
}

/// The conditions of a query, and their values: those that an index leads to, and those that are looked at then.
#[derive(Default)]
struct Conditions {
    led: Vec<String>,
    looked: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition, in which `?` stands for a value. Databases guess which index is best, and differently: what is not to lead
    /// is spelt so that no index has it.
    fn add(&mut self, is_led: bool, condition: &str, value: Value) {
        self.values.push(value);
        let condition = condition.replace('?', &format!("${}", self.values.len()));
        if is_led { &mut self.led } else { &mut self.looked }.push(condition);
    }

    fn clause<'a>(of: impl IntoIterator<Item = &'a String>) -> String {
        let all: Vec<&str> = of.into_iter().map(String::as_str).collect();
        if all.is_empty() { "1 = 1".to_owned() } else { all.join(" AND ") }
    }

    fn bound(self, query: String) -> Query<'static, Any, AnyArguments> {
        self.values.into_iter().fold(sqlx::query(AssertSqlSafe(query)), |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Int(number) => query.bind(number),
            Value::Real(number) => query.bind(number),
        })
    }
}

/// The index that leads to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    Time,
    Event,
    Score,
    Reviewed,
    Pair,
    Column(&'static str),
}

impl Lead {
    /// Whether it leads to few, by an index that holds more than it leads by.
    const fn is_rare(self) -> bool {
        matches!(self, Self::Column(name) if !matches!(name.as_bytes(), b"tenant" | b"audience" | b"policy"))
    }
}

impl Wanted {
    /// The columns that must have a value, the rarest value first, and what has no index since most are of it.
    fn columns(&self) -> [(&'static str, &Option<String>, &'static str); 9] {
        [
            ("type", &self.kind, ""),
            ("rule", &self.rule, ""),
            ("principle", &self.principle, ""),
            ("scan", &self.scan, "full"),
            ("action", &self.action, "allow"),
            ("tenant", &self.tenant, ""),
            ("audience", &self.audience, ""),
            ("policy", &self.policy, "?"),
            ("direction", &self.direction, "*"),
        ]
    }

    /// Which index leads there.
    fn lead(&self) -> Lead {
        if self.event.is_some() {
            return Lead::Event;
        }
        let is_indexed = |column: &&(&str, &Option<String>, &str)| {
            column.2 != "*" && column.1.as_deref().is_some_and(|value| value != column.2)
        };
        let columns = self.columns();
        match columns.iter().find(is_indexed).map(|(name, ..)| *name) {
            None | Some("tenant" | "audience" | "policy") if self.reviewed == Some(true) => Lead::Reviewed,
            Some("tenant") if self.audience.is_some() => Lead::Pair,
            Some(name) => Lead::Column(name),
            None => Lead::Time,
        }
    }

    /// The same by score and direction alone, of which there is an index.
    fn by_score(&self) -> Self {
        Self { score: self.score, direction: self.direction.clone(), ..Self::default() }
    }

    fn conditions(&self, lead: Lead) -> Conditions {
        let mut all = Conditions::default();
        for (name, value, common) in self.columns() {
            let Some(value) = value else { continue };
            let is_lead = lead == Lead::Column(name) || (lead == Lead::Pair && ["tenant", "audience"].contains(&name));
            let is_led = is_lead || (lead == Lead::Score && name == "direction");
            let left = if is_led { name.to_owned() } else { format!("{name} || ''") };
            all.add(is_led, &format!("{left} = ?"), Value::Text(value.clone()));
            if is_lead && !["?", "*"].contains(&common) && !(lead == Lead::Pair && name == "audience") {
                all.led.push(format!("{name} <> '{common}'"));
            }
        }
        let is_time = !matches!(lead, Lead::Event | Lead::Score);
        let time = if is_time { "time" } else { "time + 0" };
        for (end, sign) in [(self.from, ">="), (self.until, "<")] {
            if let Some(end) = end {
                all.add(is_time, &format!("{time} {sign} ?"), Value::Int(end));
            }
        }
        if let Some((low, high)) = self.score {
            let is_led = lead == Lead::Score;
            let score = if is_led { "violation" } else { "violation + 0" };
            all.add(is_led, &format!("{score} >= ?"), Value::Real(low));
            all.add(is_led, &format!("{score} <= ?"), Value::Real(high));
            if is_led && self.direction.is_none() {
                all.led.push("direction IN ('prompt', 'completion')".to_owned());
            }
        }
        if let Some(event) = &self.event {
            if event.len() < PREFIX {
                all.add(true, "event = ?", Value::Text(event.clone()));
            } else {
                // Ids are hexadecimal, of which nothing comes after `z`, in the order of any language.
                all.add(true, "event >= ?", Value::Text(event.clone()));
                all.add(true, "event < ?", Value::Text(format!("{event}z")));
                let part = format!("substr(event, 1, {}) = ?", event.chars().count());
                all.add(false, &part, Value::Text(event.clone()));
            }
        }
        if let Some(reviewed) = self.reviewed {
            match lead {
                Lead::Reviewed => all.led.push("reviewed = 1".to_owned()),
                _ => all.looked.push(format!("reviewed + 0 = {}", i64::from(reviewed))),
            }
        }
        all
    }
}

impl Store {
    /// The decisions that are wanted, the newest first, and not more than `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn found(&self, wanted: &Wanted, limit: i64) -> Result<Vec<Fact>, Fault> {
        let lead = self.lead(wanted).await?;
        let mut all = wanted.conditions(lead);
        // By time, not by place: what was spooled meanwhile is in the chain later than it was decided.
        let time = if matches!(lead, Lead::Event | Lead::Score) { "time + 0" } else { "time" };
        if let Some(before) = wanted.before {
            let Some(at) = self.fact(before).await? else { return Ok(Vec::new()) };
            all.add(time == "time", &format!("{time} <= ?"), Value::Int(at.time));
            all.values.push(Value::Int(at.time));
            all.values.push(Value::Int(before));
            let places = (all.values.len() - 1, all.values.len());
            all.looked.push(format!("({time} < ${} OR seq + 0 < ${})", places.0, places.1));
        }
        let query = format!(
            "SELECT {} FROM facts AS f WHERE {} ORDER BY {time} DESC, seq DESC LIMIT {limit}",
            columns("f"),
            Conditions::clause(all.led.iter().chain(&all.looked))
        );
        all.bound(query).fetch_all(&self.pool).await?.iter().map(|row| Fact::read(row, 0)).collect()
    }

    /// How many decisions are wanted: up to [`COUNTED`], and to as many as can be found while someone waits.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn counted(&self, wanted: &Wanted) -> Result<Count, Fault> {
        let by_score = wanted.by_score();
        let is_by_score = wanted.score.is_some() && (Wanted { before: None, ..wanted.clone() }) == by_score;
        let lead = if is_by_score { Lead::Score } else { self.lead(wanted).await? };
        let all = wanted.conditions(lead);
        let is_led = all.looked.is_empty();
        let most = match lead {
            _ if is_led => COUNTED + 1,
            lead if lead.is_rare() => 5 * LOOKED,
            _ => LOOKED,
        };
        let (looked, n) = self.at_most(all, most).await?;
        Ok(Count { n: n.min(COUNTED), more: n > COUNTED || (!is_led && looked == most) })
    }

    /// The decision at a place of the chain, in short.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn fact(&self, seq: i64) -> Result<Option<Fact>, Fault> {
        let query = format!("SELECT {} FROM facts AS f WHERE seq = $1", columns("f"));
        let row = sqlx::query(AssertSqlSafe(query)).bind(seq).fetch_optional(&self.pool).await?;
        row.map(|row| Fact::read(&row, 0)).transpose()
    }

    /// The decisions of an event, in short, in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn facts_of(&self, event: &str) -> Result<Vec<Fact>, Fault> {
        let query = format!("SELECT {} FROM facts AS f WHERE event = $1 ORDER BY seq", columns("f"));
        let rows = sqlx::query(AssertSqlSafe(query)).bind(event.to_owned()).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Fact::read(row, 0)).collect()
    }

    /// The decisions of an event, whole, in their order, and not more than 100.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn decisions_of(&self, event: &str) -> Result<Vec<Decision>, Fault> {
        let query = "SELECT body FROM decisions WHERE event = $1 AND action <> $2 ORDER BY seq LIMIT 100";
        let rows = sqlx::query(query).bind(event.to_owned()).bind(ACT).fetch_all(&self.pool).await?;
        let read = |row: &AnyRow| {
            let body: String = row.try_get(0)?;
            serde_json::from_str(&body).map_err(|error| Fault::Decode(error.into()))
        };
        rows.iter().map(read).collect()
    }

    /// What reviewers said of some events, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn labels_among(&self, events: &[&str]) -> Result<Vec<Label>, Fault> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let query = format!(
            "SELECT event, direction, reviewer, mark, principle, note, time FROM labels WHERE event IN {} ORDER BY time",
            places(1, events.len())
        );
        let query =
            events.iter().fold(sqlx::query(AssertSqlSafe(query)), |query, event| query.bind((*event).to_owned()));
        query.fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    async fn lead(&self, wanted: &Wanted) -> Result<Lead, Fault> {
        let lead = wanted.lead();
        // What is rare is few already.
        if lead == Lead::Event || lead.is_rare() || wanted.score.is_none() {
            return Ok(lead);
        }
        let (n, _) = self.at_most(wanted.by_score().conditions(Lead::Score), FEW + 1).await?;
        Ok(if n > FEW { lead } else { Lead::Score })
    }

    /// How many rows an index leads to, and how many of them are wanted; not more than `most` are looked at.
    async fn at_most(&self, all: Conditions, most: i64) -> Result<(i64, i64), Fault> {
        let query = format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(hit), 0) AS BIGINT) FROM \
             (SELECT CASE WHEN {} THEN 1 ELSE 0 END AS hit FROM facts WHERE {} LIMIT {most}) AS found",
            Conditions::clause(&all.looked),
            Conditions::clause(&all.led)
        );
        let row = all.bound(query).fetch_one(&self.pool).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}
