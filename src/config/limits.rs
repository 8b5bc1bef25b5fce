//! What a request may cost.

use super::Limits;
use super::value::Span;
use serde::Deserialize;

/// `[limits]`, as it is written.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawLimits {
    body_bytes: usize,
    response_bytes: usize,
    depth: usize,
    header_timeout: Span,
    body_timeout: Span,
    in_flight: usize,
    connections: usize,
}

impl RawLimits {
    /// Notes what can be no limit.
    pub(super) fn check(&self, faults: &mut Vec<String>) {
        let values = [
            ("limits.body_bytes", self.body_bytes),
            ("limits.response_bytes", self.response_bytes),
            ("limits.depth", self.depth),
            ("limits.in_flight", self.in_flight),
            ("limits.connections", self.connections),
        ];
        super::at_least_one(&values, faults);
    }

    pub(super) fn checked(self) -> Limits {
        Limits {
            body_bytes: self.body_bytes,
            response_bytes: self.response_bytes,
            depth: self.depth,
            header_timeout: self.header_timeout.0,
            body_timeout: self.body_timeout.0,
            in_flight: self.in_flight,
            connections: self.connections,
        }
    }
}
