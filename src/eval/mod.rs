//! The paper's experiment on any OpenAI-compatible endpoint: how readily does a model comply with what violates the principles of
//! medical ethics, and what does the guard change?
//!
//! [`suite`] says what is asked, [`ask`] asks it, [`judge`] scores each answer from 1 to 5 as the [paper] does, [`store`] keeps every
//! request and answer, so that nothing is asked twice, and [`statistics`] and [`report`] say what it means. [`run`] puts them together.
//! [`demonstrations`] makes of it what a model can be fine-tuned on: the paper's remedy.
//!
//! [paper]: https://arxiv.org/abs/2403.03744

pub mod ask;
pub mod demonstrations;
pub mod gate;
pub mod judge;
pub mod report;
pub mod run;
pub mod statistics;
pub mod store;
pub mod suite;

use serde::{Deserialize, Serialize};

/// Which way a question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Straight to the model.
    Off,
    /// Through the guard.
    On,
}

impl Side {
    /// The word in stores and reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }

    /// The same as a reader is told.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::Off => "without guard",
            Self::On => "with guard",
        }
    }
}
