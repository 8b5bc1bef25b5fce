//! Decisions written out for whoever analyses or keeps them elsewhere, as JSON lines, CSV or Parquet. No text is in them.

use super::decision::{ACT, Decision, Seen};
use super::store::Stored;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::sync::Arc;

/// How decisions are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a head line.
    Csv,
    /// Apache Parquet, compressed by Snappy.
    Parquet,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Jsonl, Self::Parquet];

    /// The word in a form, and the end of a file's name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/jsonl; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Decisions of one row group.
const GROUP: usize = 10_000;

/// Where decisions are written to, in their format.
pub(crate) enum Output<W: Write + Send> {
    Jsonl(W),
    Csv(W),
    Parquet(Box<SerializedFileWriter<W>>, Vec<(i64, Decision)>),
}

impl<W: Write + Send> Output<W> {
    /// Begins with what stands before all decisions.
    pub(crate) fn begin(mut out: W, format: Format) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Jsonl => Self::Jsonl(out),
            Format::Csv => {
                writeln!(out, "seq,{}", COLUMNS.map(|(name, _)| name).join(","))?;
                Self::Csv(out)
            }
            Format::Parquet => {
                let schema = Arc::new(parse_message_type(&schema())?);
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                Self::Parquet(Box::new(SerializedFileWriter::new(out, schema, Arc::new(properties))?), Vec::new())
            }
        })
    }

    /// Writes one; what is told of acts is no decision.
    pub(crate) fn write(&mut self, stored: Stored) -> anyhow::Result<()> {
        if stored.action == ACT {
            return Ok(());
        }
        match self {
            Self::Jsonl(out) => writeln!(out, "{}", stored.body)?,
            Self::Csv(out) => {
                let decision = serde_json::from_str(&stored.body)?;
                let fields = COLUMNS.map(|(_, column)| quoted(&column.shown(&decision)));
                writeln!(out, "{},{}", stored.seq, fields.join(","))?;
            }
            Self::Parquet(out, rows) => {
                rows.push((stored.seq, serde_json::from_str(&stored.body)?));
                if rows.len() >= GROUP {
                    group(out, rows)?;
                }
            }
        }
        Ok(())
    }

    /// Ends with what stands after all decisions.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Jsonl(mut out) | Self::Csv(mut out) => out.flush()?,
            Self::Parquet(mut out, mut rows) => {
                group(&mut out, &mut rows)?;
                out.into_inner()?.flush()?;
            }
        }
        Ok(())
    }
}

/// What a column holds, and where it is in a decision.
#[derive(Clone, Copy)]
enum Column {
    Number(fn(&Decision) -> Option<i64>),
    Score(fn(&Decision) -> Option<f64>),
    Flag(fn(&Decision) -> bool),
    Text(fn(&Decision) -> Option<String>),
}

const COLUMNS: [(&str, Column); 22] = [
    ("time", Column::Number(|decision| Some(decision.time))),
    ("event", Column::Text(|decision| Some(decision.event.clone()))),
    ("direction", Column::Text(|decision| Some(decision.direction.clone()))),
    ("surface", Column::Text(|decision| Some(decision.surface.clone()))),
    ("stream", Column::Flag(|decision| decision.stream)),
    ("audience", Column::Text(|decision| decision.audience.clone())),
    ("action", Column::Text(|decision| Some(decision.action.clone()))),
    ("rule", Column::Text(|decision| decision.rule.clone())),
    ("principle", Column::Text(|decision| decision.principle.clone())),
    ("type", Column::Text(|decision| decision.kind.clone())),
    ("shadow", Column::Text(|decision| decision.shadow.as_ref().map(|shadow| shadow.join(" by ")))),
    ("scan", Column::Text(|decision| Some(decision.scan.clone()))),
    ("violation", Column::Score(|decision| score(decision, |seen| seen.violation))),
    ("manipulation", Column::Score(|decision| score(decision, |seen| seen.manipulation))),
    ("crisis", Column::Score(|decision| score(decision, |seen| seen.crisis))),
    ("policy", Column::Text(|decision| Some(decision.policy.clone()))),
    ("model", Column::Text(|decision| Some(decision.model.clone()))),
    ("status", Column::Number(|decision| decision.status.map(i64::from))),
    ("tenant", Column::Text(|decision| decision.tenant.clone())),
    ("user", Column::Text(|decision| decision.user.clone())),
    ("part2", Column::Flag(|decision| decision.part2)),
    ("opinion", Column::Text(|decision| decision.opinion.clone())),
];

/// The highest of a score, however the texts were looked at.
fn score(decision: &Decision, of: fn(&Seen) -> f32) -> Option<f64> {
    let seen = [&decision.alone, &decision.context, &decision.said].into_iter().flatten();
    let highest = seen.map(of).max_by(f32::total_cmp)?;
    // As it is written in decimal: 0.9 and not 0.8999999761581421.
    highest.to_string().parse().ok()
}

impl Column {
    fn shown(self, decision: &Decision) -> String {
        match self {
            Self::Number(of) => of(decision).map(|number| number.to_string()).unwrap_or_default(),
            Self::Score(of) => of(decision).map(|score| score.to_string()).unwrap_or_default(),
            Self::Flag(of) => of(decision).to_string(),
            Self::Text(of) => of(decision).unwrap_or_default(),
        }
    }
}

fn schema() -> String {
    let columns = COLUMNS.map(|(name, column)| {
        let kind = match (name, column) {
            ("time", _) => return format!("required int64 {name} (TIMESTAMP(MICROS,true));"),
            (_, Column::Number(_)) => "optional int64",
            (_, Column::Score(_)) => "optional double",
            (_, Column::Flag(_)) => return format!("required boolean {name};"),
            (_, Column::Text(_)) => return format!("optional binary {name} (STRING);"),
        };
        format!("{kind} {name};")
    });
    format!("message decisions {{ required int64 seq; {} }}", columns.join(" "))
}

/// Writes a row group, column by column, and empties `rows`.
fn group<W: Write + Send>(out: &mut SerializedFileWriter<W>, rows: &mut Vec<(i64, Decision)>) -> anyhow::Result<()> {
    let mut group = out.next_row_group()?;
    let places: Vec<i64> = rows.iter().map(|(seq, _)| *seq).collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<Int64Type>().write_batch(&places, None, None)?;
        column.close()?;
    }
    for (name, column) in COLUMNS {
        write(&mut group, (name, column), rows)?;
    }
    group.close()?;
    rows.clear();
    Ok(())
}

fn write<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    (name, column): (&str, Column),
    rows: &[(i64, Decision)],
) -> anyhow::Result<()> {
    /// The values that are there, and for each row whether one is.
    fn some<T>(rows: &[(i64, Decision)], of: impl Fn(&Decision) -> Option<T>) -> (Vec<T>, Vec<i16>) {
        let all: Vec<Option<T>> = rows.iter().map(|(_, decision)| of(decision)).collect();
        let is_there = all.iter().map(|value| i16::from(value.is_some())).collect();
        (all.into_iter().flatten().collect(), is_there)
    }
    let Some(mut writer) = group.next_column()? else { return Ok(()) };
    match column {
        Column::Number(of) => {
            let (values, is_there) = some(rows, of);
            let is_there = (name != "time").then_some(is_there);
            writer.typed::<Int64Type>().write_batch(&values, is_there.as_deref(), None)?;
        }
        Column::Score(of) => {
            let (values, is_there) = some(rows, of);
            writer.typed::<DoubleType>().write_batch(&values, Some(&is_there), None)?;
        }
        Column::Flag(of) => {
            let values: Vec<bool> = rows.iter().map(|(_, decision)| of(decision)).collect();
            writer.typed::<BoolType>().write_batch(&values, None, None)?;
        }
        Column::Text(of) => {
            let (values, is_there) = some(rows, |decision| of(decision).map(|text| ByteArray::from(text.into_bytes())));
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&is_there), None)?;
        }
    }
    writer.close()?;
    Ok(())
}

/// A field as RFC 4180 has it; what a spreadsheet would take for a formula is text.
fn quoted(field: &str) -> String {
    let field =
        if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
