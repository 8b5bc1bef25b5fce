//! Protected health information: the identifiers in a text (45 CFR 164.514(b)(2)(i)), found by rules.
//!
//! The rules know labels, checksums, shapes and the words around a name; they know no person. What they find is a help to
//! keep identifiers out of where they need not be. It is no proof that a text has none: `docs/PHI.md` says how much they miss.

mod ages;
mod checks;
mod dates;
mod fields;
mod labels;
mod lexicon;
mod names;
mod numbers;
mod places;
mod words;

use std::ops::Range;

/// A kind of identifier (45 CFR 164.514(b)(2)(i)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A person's name.
    Name,
    /// A part of a country that is smaller than a state.
    Place,
    /// A date that says more than the year.
    Date,
    /// An age over 89.
    Age,
    /// A telephone number.
    Phone,
    /// A fax number.
    Fax,
    /// An email address.
    Email,
    /// A social security number.
    Ssn,
    /// A medical record number.
    Mrn,
    /// A number of a health plan's member or policy.
    Plan,
    /// A number of a bank or billing account.
    Account,
    /// A number of a licence, a certificate or a prescriber.
    Licence,
    /// A number plate or vehicle identification number.
    Vehicle,
    /// A device's serial number.
    Device,
    /// A web address.
    Url,
    /// An internet address.
    Ip,
    /// The id of a fingerprint, a voice or a face.
    Biometric,
    /// Any other number or code that only one person or visit has.
    Other,
}

impl Kind {
    /// Every kind, in the order of the rule.
    pub const ALL: [Self; 18] = [
        Self::Name,
        Self::Place,
        Self::Date,
        Self::Age,
        Self::Phone,
        Self::Fax,
        Self::Email,
        Self::Ssn,
        Self::Mrn,
        Self::Plan,
        Self::Account,
        Self::Licence,
        Self::Vehicle,
        Self::Device,
        Self::Url,
        Self::Ip,
        Self::Biometric,
        Self::Other,
    ];

    /// The word for it in settings, records and marks.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Place => "PLACE",
            Self::Date => "DATE",
            Self::Age => "AGE",
            Self::Phone => "PHONE",
            Self::Fax => "FAX",
            Self::Email => "EMAIL",
            Self::Ssn => "SSN",
            Self::Mrn => "MRN",
            Self::Plan => "PLAN",
            Self::Account => "ACCOUNT",
            Self::Licence => "LICENCE",
            Self::Vehicle => "VEHICLE",
            Self::Device => "DEVICE",
            Self::Url => "URL",
            Self::Ip => "IP",
            Self::Biometric => "BIOMETRIC",
            Self::Other => "OTHER",
        }
    }
}

/// Where an identifier stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub range: Range<usize>,
}

/// All identifiers in a text, in order, not overlapping. The work is linear in its length, whatever it holds.
#[must_use]
pub fn find(text: &str) -> Vec<Span> {
    let words = words::of(text);
    // Those that know most come first: their kind holds where several find the same.
    let (other, labelled) = labels::find(text).into_iter().partition(|span: &Span| span.kind == Kind::Other);
    let is_address = |span: &Span| matches!(span.kind, Kind::Url | Kind::Email | Kind::Ip);
    let (addresses, numbers) = numbers::find(text).into_iter().partition(is_address);
    let dates = [dates::find(text), ages::find(text)].concat();
    let places = places::find(text, &words);
    let loose = [other, numbers::series(text)].concat();
    let mut found = ranked(0, [fields::find(text), addresses, labelled, numbers, places, dates]);
    let name_rank = 6;
    found.extend(ranked(name_rank + 1, [loose]));
    let taken = merge(found.iter().filter(|(_, span)| span.kind != Kind::Date).cloned().collect());
    found.extend(ranked(name_rank, [names::find(&words, &taken)]));
    merge(found)
}

fn ranked<const N: usize>(first: usize, groups: [Vec<Span>; N]) -> Vec<(usize, Span)> {
    let with_rank = |(rank, spans): (usize, Vec<Span>)| spans.into_iter().map(move |span| (first + rank, span));
    groups.into_iter().enumerate().flat_map(with_rank).collect()
}

/// Spans in order; those that overlap become one, of the kind that ranks first.
fn merge(mut found: Vec<(usize, Span)>) -> Vec<Span> {
    found.sort_by_key(|(rank, span)| (span.range.start, *rank));
    let mut merged: Vec<(usize, Span)> = Vec::with_capacity(found.len());
    for (rank, span) in found {
        match merged.last_mut() {
            Some((best, last)) if span.range.start < last.range.end => {
                last.range.end = last.range.end.max(span.range.end);
                if rank < *best {
                    (*best, last.kind) = (rank, span.kind);
                }
            }
            _ => merged.push((rank, span)),
        }
    }
    merged.into_iter().map(|(_, span)| span).collect()
}

#[cfg(test)]
mod tests;
