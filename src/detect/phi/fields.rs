//! Messages whose fields say what they hold: HL7 version 2 and FHIR.

mod fhir;
mod hl7;

use super::Span;

/// What the fields of messages in a text hold.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut found = hl7::find(text);
    found.extend(fhir::find(text));
    found
}
