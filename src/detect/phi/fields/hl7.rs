//! HL7 version 2: a line is a segment, `|` parts fields, `~` their repetitions, `^` their components.

use super::super::{Kind, Span, lexicon};
use std::ops::Range;

/// What a field holds.
#[derive(Clone, Copy)]
enum Field {
    /// The first component is an identifier.
    Id(Kind),
    /// The first component is an identifier of the kind that a later one names.
    Ids,
    /// A person: components of a name.
    Person,
    /// A person with an identifier before the name.
    Staff,
    /// An address.
    Address,
    /// A telephone number or an email address.
    Phone,
    /// A date, perhaps with a time.
    Date,
}

use Field::{Address, Date, Id, Ids, Person, Phone, Staff};

/// The fields of each segment that hold identifiers, by their number.
const SEGMENTS: &[(&str, &[(usize, Field)])] = &[
    ("MSH", &[(6, Date), (9, Id(Kind::Other))]),
    ("EVN", &[(2, Date), (3, Date), (5, Staff), (6, Date)]),
    (
        "PID",
        &[
            (2, Ids),
            (3, Ids),
            (4, Ids),
            (5, Person),
            (6, Person),
            (7, Date),
            (9, Person),
            (11, Address),
            (12, Id(Kind::Place)),
            (13, Phone),
            (14, Phone),
            (18, Id(Kind::Account)),
            (19, Id(Kind::Ssn)),
            (20, Id(Kind::Licence)),
            (21, Ids),
            (23, Id(Kind::Place)),
            (29, Date),
            (33, Date),
        ],
    ),
    ("PD1", &[(4, Staff)]),
    (
        "NK1",
        &[
            (2, Person),
            (4, Address),
            (5, Phone),
            (6, Phone),
            (8, Date),
            (9, Date),
            (12, Id(Kind::Other)),
            (16, Date),
            (30, Person),
            (31, Phone),
            (32, Address),
            (33, Ids),
            (37, Id(Kind::Ssn)),
        ],
    ),
    (
        "PV1",
        &[
            (5, Id(Kind::Other)),
            (7, Staff),
            (8, Staff),
            (9, Staff),
            (17, Staff),
            (19, Id(Kind::Other)),
            (44, Date),
            (45, Date),
            (50, Id(Kind::Other)),
            (52, Staff),
        ],
    ),
    ("PV2", &[(8, Date), (9, Date), (13, Staff), (33, Date)]),
    (
        "IN1",
        &[
            (8, Id(Kind::Plan)),
            (10, Id(Kind::Plan)),
            (12, Date),
            (13, Date),
            (14, Id(Kind::Other)),
            (16, Person),
            (18, Date),
            (19, Address),
            (36, Id(Kind::Plan)),
            (49, Id(Kind::Plan)),
        ],
    ),
    (
        "IN2",
        &[
            (1, Id(Kind::Other)),
            (2, Id(Kind::Ssn)),
            (6, Id(Kind::Plan)),
            (8, Id(Kind::Plan)),
            (61, Id(Kind::Plan)),
            (63, Phone),
        ],
    ),
    (
        "GT1",
        &[
            (2, Id(Kind::Account)),
            (3, Person),
            (4, Person),
            (5, Address),
            (6, Phone),
            (7, Phone),
            (8, Date),
            (12, Id(Kind::Ssn)),
            (16, Person),
            (17, Address),
            (18, Phone),
            (19, Id(Kind::Other)),
        ],
    ),
    (
        "ORC",
        &[
            (2, Id(Kind::Other)),
            (3, Id(Kind::Other)),
            (4, Id(Kind::Other)),
            (9, Date),
            (10, Staff),
            (11, Staff),
            (12, Staff),
            (14, Phone),
            (15, Date),
            (19, Staff),
        ],
    ),
    (
        "OBR",
        &[
            (2, Id(Kind::Other)),
            (3, Id(Kind::Other)),
            (6, Date),
            (7, Date),
            (8, Date),
            (10, Staff),
            (14, Date),
            (16, Staff),
            (17, Phone),
            (20, Id(Kind::Other)),
            (22, Date),
            (28, Staff),
            (32, Staff),
            (33, Staff),
            (34, Staff),
            (35, Staff),
            (36, Date),
        ],
    ),
    ("OBX", &[(12, Date), (14, Date), (16, Staff), (18, Id(Kind::Device)), (19, Date), (25, Staff)]),
    ("SPM", &[(2, Id(Kind::Other)), (17, Date), (18, Date)]),
    ("DG1", &[(5, Date), (16, Staff), (19, Date)]),
    ("AL1", &[(6, Date)]),
    ("PR1", &[(5, Date), (8, Staff), (11, Staff), (12, Staff)]),
    (
        "SCH",
        &[
            (1, Id(Kind::Other)),
            (2, Id(Kind::Other)),
            (11, Date),
            (12, Staff),
            (13, Phone),
            (16, Staff),
            (17, Phone),
            (20, Staff),
        ],
    ),
    ("AIP", &[(3, Staff), (6, Date)]),
    ("AIS", &[(4, Date)]),
    (
        "TXA",
        &[
            (4, Date),
            (5, Staff),
            (6, Date),
            (7, Date),
            (9, Staff),
            (10, Staff),
            (11, Staff),
            (12, Id(Kind::Other)),
            (22, Staff),
        ],
    ),
    ("RXA", &[(3, Date), (4, Date), (10, Staff)]),
    ("RXE", &[(15, Id(Kind::Other)), (18, Date)]),
    ("MRG", &[(1, Ids), (3, Id(Kind::Account)), (4, Ids), (7, Person)]),
    ("PRT", &[(5, Staff), (14, Address), (15, Phone)]),
    ("ROL", &[(4, Staff), (5, Date), (11, Address), (12, Phone)]),
    ("ACC", &[(1, Date), (3, Id(Kind::Place))]),
    ("DSC", &[(1, Id(Kind::Other))]),
    ("MSA", &[(2, Id(Kind::Other))]),
];

/// Pieces of a range with the sign between them.
fn pieces(text: &str, range: Range<usize>, sign: char) -> impl Iterator<Item = Range<usize>> {
    let mut at = range.start;
    text.get(range).unwrap_or_default().split(sign).map(move |piece| {
        let start = at;
        at += piece.len() + sign.len_utf8();
        start..start + piece.len()
    })
}

/// The identifiers in a text's segments.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split(['\n', '\r']) {
        let lead = line.len() - line.trim_start().len();
        let range = start + lead..start + line.len();
        start += line.len() + 1;
        let known = SEGMENTS
            .iter()
            .find(|(name, _)| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with('|')));
        let Some((_, fields)) = known else { continue };
        for (number, field) in pieces(text, range, '|').enumerate() {
            let Some((_, holds)) = fields.iter().find(|(at, _)| *at == number) else {
                read_any(text, field, &mut found);
                continue;
            };
            for repetition in pieces(text, field, '~') {
                let before = found.len();
                read(text, repetition.clone(), *holds, &mut found);
                // Senders count fields wrongly; a name or a time is one in any field.
                if found.len() == before {
                    read_any(text, repetition, &mut found);
                }
            }
        }
    }
    found
}

/// What a field of no known meaning shows by itself: times, and names of people.
fn read_any(text: &str, field: Range<usize>, found: &mut Vec<Span>) {
    let written = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    let components: Vec<Range<usize>> = pieces(text, field, '^').take(16).collect();
    let times = components.iter().filter(|range| is_time(written(range)));
    found.extend(times.map(|range| Span { kind: Kind::Date, range: range.clone() }));
    for at in 0..2 {
        let (Some(family), Some(given)) = (components.get(at), components.get(at + 1)) else { continue };
        let known = |range: &Range<usize>| lexicon::known(&written(range).to_lowercase());
        let (first, second) = (known(family), known(given));
        let plain = (first | second) & lexicon::OTHER != 0 || first & second & lexicon::ORDINARY != 0;
        let names = first & (lexicon::FAMILY | lexicon::MAYBE_FAMILY) != 0 && second & lexicon::ORDINARY == 0
            || second & (lexicon::GIVEN | lexicon::MAYBE_GIVEN) != 0 && first & lexicon::ORDINARY == 0;
        let letters = [family, given]
            .iter()
            .all(|range| written(range).chars().all(|c| c.is_alphabetic() || c == '\'') && range.len() > 1);
        if letters && names && !plain {
            found.push(Span { kind: Kind::Name, range: family.start..given.end });
            break;
        }
    }
}

/// Year, month, day, perhaps hours and more.
fn is_time(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let part = |range: Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok()).unwrap_or_default();
    matches!(digits, 8 | 10 | 12 | 14)
        && (1900..2100).contains(&part(0..4))
        && (1..=12).contains(&part(4..6))
        && (1..=31).contains(&part(6..8))
}

fn read(text: &str, field: Range<usize>, holds: Field, found: &mut Vec<Span>) {
    let written = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    let components: Vec<Range<usize>> = pieces(text, field.clone(), '^').take(16).collect();
    let filled = |range: &Range<usize>| written(range).contains(char::is_alphanumeric);
    let mut add = |kind: Kind, components: &[Range<usize>]| {
        let first = components.iter().find(|range| filled(range));
        let last = components.iter().rev().find(|range| filled(range));
        if let (Some(first), Some(last)) = (first, last) {
            found.push(Span { kind, range: first.start..last.end });
        }
    };
    let part = |range: Range<usize>| components.get(range.start..components.len().min(range.end)).unwrap_or_default();
    let digits = |range: &Range<usize>| written(range).bytes().any(|b| b.is_ascii_digit());
    match holds {
        Id(_) if written(&field).chars().take_while(|c| *c != '^').filter(|c| c.is_alphanumeric()).count() < 3 => {}
        Id(kind) => add(kind, part(0..1)),
        Ids => add(kind_of(written(&field)), part(0..1)),
        Person => add(Kind::Name, part(0..3)),
        Staff if components.len() == 1 && written(&field).contains(['(', '-']) && digits(&field) => {
            add(Kind::Phone, part(0..1))
        }
        Staff if components.first().is_some_and(|id| digits(id) && id.len() < 3) => {}
        Staff if components.first().is_some_and(digits) => {
            let kind = if written(&field).contains("NPI") || components.first().is_some_and(|id| id.len() == 10) {
                Kind::Licence
            } else {
                Kind::Other
            };
            add(kind, part(0..1));
            add(Kind::Name, part(1..4));
        }
        // Without an identifier some leave its component out.
        Staff => add(Kind::Name, if components.first().is_some_and(filled) { part(0..3) } else { part(1..4) }),
        Address => add(Kind::Place, part(0..5)),
        Phone => {
            for component in components.iter().filter(|range| written(range).contains('@')) {
                add(Kind::Email, std::slice::from_ref(component));
            }
            let kind = if written(&field).contains("FX") { Kind::Fax } else { Kind::Phone };
            let first = components.iter().position(|range| {
                written(range).bytes().filter(u8::is_ascii_digit).count() > 2 && !written(range).contains('@')
            });
            let parts =
                first.map(|first| if first == 0 { part(0..1) } else { part(first.saturating_sub(2)..first + 4) });
            let numbers: Vec<_> = parts.unwrap_or_default().iter().filter(|range| digits(range)).cloned().collect();
            add(kind, &numbers);
        }
        Date if digits(&field) => add(Kind::Date, part(0..1)),
        Date => {}
    }
}

/// The kind of an identifier by the code of its type.
fn kind_of(field: &str) -> Kind {
    let has = |codes: &[&str]| field.split(['^', '&']).skip(1).any(|component| codes.contains(&component.trim()));
    match () {
        () if has(&["SS", "SSN", "USSSA"]) => Kind::Ssn,
        () if has(&["DL", "DLN", "LN", "NPI", "DEA", "MD"]) => Kind::Licence,
        () if has(&["MB", "MA", "MC", "HC", "SN", "PNT", "NII"]) => Kind::Plan,
        () if has(&["AN", "ANON", "BA", "GN"]) => Kind::Account,
        () if has(&["VN", "PPN", "EI", "BR", "XX"]) => Kind::Other,
        () => Kind::Mrn,
    }
}
