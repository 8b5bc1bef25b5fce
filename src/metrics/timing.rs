//! How long things take, and how much of it is ours.

use super::declared::{Declared, Histogram};
use super::label::{STAGE, SURFACE};
use prometheus::IntCounter;

/// A part of a request's life whose time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Judging the prompt.
    Prompt,
    /// The upstream's whole answer.
    Upstream,
    /// Judging the completion.
    Completion,
}

impl Stage {
    /// The word in metrics and in `x-nonnocere-latency`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Upstream => "upstream",
            Self::Completion => "completion",
        }
    }
}

/// From a verdict that is remembered to an LLM that thinks long.
pub(super) const BUCKETS: [f64; 18] =
    [0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

pub(super) struct Timing {
    pub(super) stages: Histogram,
    pub(super) added: Histogram,
    pub(super) first_text: Histogram,
    pub(super) held: Histogram,
    pub(super) windows: IntCounter,
}

impl Timing {
    pub(super) fn new(declared: &mut Declared) -> prometheus::Result<Self> {
        let windows =
            declared.counter("nonnocere_stream_windows_total", "Texts of streamed answers that were judged.", &[])?;
        Ok(Self {
            stages: declared.histogram(
                ("nonnocere_stage_duration_seconds", "Time spent in each stage of a request."),
                &[STAGE],
                &BUCKETS,
            )?,
            added: declared.histogram(
                (
                    "nonnocere_added_seconds",
                    "What the guard added to whole answers: judging the prompt, and then the completion.",
                ),
                &[SURFACE],
                &BUCKETS,
            )?,
            first_text: declared.histogram(
                (
                    "nonnocere_first_text_added_seconds",
                    "What the guard added before the first text of streamed answers: judging the prompt, and then holding that text.",
                ),
                &[SURFACE],
                &BUCKETS,
            )?,
            held: declared.histogram(
                ("nonnocere_stream_held_seconds", "How long events of streams were held back."),
                &[],
                &BUCKETS,
            )?,
            windows: windows.with_label_values::<&str>(&[]),
        })
    }
}
