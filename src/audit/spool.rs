//! What the store does not take, on disk until it does: JSON lines, in their order, bounded.

use super::decision::Decision;
use super::vault::Sealed;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Split, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A file of decisions.
pub struct Spool {
    path: PathBuf,
    most_bytes: u64,
    /// Held while it is written to or emptied.
    guard: Mutex<()>,
}

impl Spool {
    /// The spool in the file at `path`, of at most `most_bytes`.
    #[must_use]
    pub const fn new(path: PathBuf, most_bytes: u64) -> Self {
        Self { path, most_bytes, guard: Mutex::new(()) }
    }

    /// Keeps decisions; on the disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written or is full.
    pub fn keep(&self, decisions: &[Decision]) -> std::io::Result<()> {
        let _guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        if self.bytes() >= self.most_bytes {
            return Err(std::io::Error::new(ErrorKind::StorageFull, "the spool is full"));
        }
        // A line that a crash cut off must not take the next one with it.
        let mut lines = if length > 0 { vec![b'\n'] } else { Vec::new() };
        // Decisions come before their texts: once half of it is full, no text takes their place.
        let keeps_texts = self.bytes() < self.most_bytes / 2;
        for decision in decisions {
            let sealed = decision.sealed.as_ref().filter(|_| keeps_texts);
            let sealed = sealed.map(|sealed| (Cow::Borrowed(sealed.text.as_str()), sealed.until));
            serde_json::to_writer(&mut lines, &Line { decision: Cow::Borrowed(decision), sealed })?;
            lines.push(b'\n');
        }
        file.write_all(&lines)?;
        file.sync_data()
    }

    /// How large it is, in bytes, with what was taken out and is not done with.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        of(&self.path) + of(&self.path.with_extension("taken"))
    }

    /// Takes all that it holds out of it, to be stored; what is not [`done`](Taken::done) with is found again at the next try.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take(&self) -> std::io::Result<Option<Taken>> {
        let _guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.path.with_extension("taken");
        // What an earlier try did not finish comes first.
        if !taken.exists() {
            match std::fs::rename(&self.path, &taken) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Taken::open(&taken).map(Some)
    }
}

/// A decision, with its sealed text.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(flatten)]
    decision: Cow<'a, Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<(Cow<'a, str>, i64)>,
}

impl Line<'_> {
    fn whole(self) -> Decision {
        let mut decision = self.decision.into_owned();
        decision.sealed = self.sealed.map(|(text, until)| Sealed {
            event: decision.event.clone(),
            direction: decision.direction.clone(),
            time: decision.time,
            until,
            text: text.into_owned(),
        });
        decision
    }
}

/// What was taken out of a spool.
pub struct Taken {
    path: PathBuf,
    lines: Split<BufReader<File>>,
    /// Lines so far that were cut off by a crash.
    pub broken: usize,
}

impl Taken {
    fn open(path: &Path) -> std::io::Result<Self> {
        let lines = BufReader::new(File::open(path)?).split(b'\n');
        Ok(Self { path: path.to_owned(), lines, broken: 0 })
    }

    /// The next decisions, at most so many, in their order; none at the end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn next(&mut self, most: usize) -> std::io::Result<Vec<Decision>> {
        let mut decisions = Vec::new();
        while decisions.len() < most
            && let Some(line) = self.lines.next().transpose()?
        {
            match line {
                line if line.is_empty() => {}
                line => match serde_json::from_slice(&line).map(Line::whole) {
                    Ok(decision) => decisions.push(decision),
                    Err(_) => self.broken += 1,
                },
            }
        }
        Ok(decisions)
    }

    /// Forgets it: it was stored.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn done(self) -> std::io::Result<()> {
        std::fs::remove_file(self.path)
    }
}
