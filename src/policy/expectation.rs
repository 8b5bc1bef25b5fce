//! What a policy must do with a text before it is put in force: the tests that a policy file carries.

use super::message::Audience;
use crate::classify::Scores;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// One test of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Says what it is about.
    pub name: Arc<str>,
    /// What was asked: messages as the chat API has them.
    pub messages: Value,
    /// What was answered, where it is an answer that is judged.
    pub completion: Option<String>,
    /// Who asks.
    pub audience: Option<Audience>,
    /// Whose request it is.
    pub tenant: Option<Arc<str>>,
    /// What must be done.
    pub expected: Expected,
    /// The line of its file, from 1.
    pub line: usize,
}

/// What must be done with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It passes, flagged or not.
    Pass,
    /// An action of this name.
    Action(&'static str),
}

impl Expected {
    /// What can be expected, by its word.
    pub const ALL: [(&'static str, Self); 6] = [
        ("pass", Self::Pass),
        ("allow", Self::Action("allow")),
        ("flag", Self::Action("flag")),
        ("rewrite", Self::Action("rewrite")),
        ("escalate", Self::Action("escalate")),
        ("block", Self::Action("block")),
    ];

    /// Its word.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Action(id) => id,
        }
    }

    /// Whether it is what is done.
    #[must_use]
    pub fn is(self, action: &str) -> bool {
        match self {
            Self::Pass => matches!(action, "allow" | "flag"),
            Self::Action(id) => id == action,
        }
    }
}

/// A test that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// The test.
    pub test: Expectation,
    /// What is done instead.
    pub action: &'static str,
    /// The rule that says so; none where no rule applies.
    pub rule: Option<Arc<str>>,
    /// What the model said, for whoever moves a threshold.
    pub scores: Scores,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test: Expectation { name, expected, line, .. }, action, rule, scores } = self;
        let Scores { violation, manipulation, crisis, .. } = scores;
        let rule = rule.as_deref().unwrap_or("no rule");
        let expected = expected.id();
        write!(f, "line {line}: {name:?}: expected {expected}, found {action} by {rule} ")?;
        write!(f, "(violation {violation:.3}, manipulation {manipulation:.3}, crisis {crisis:.3})")
    }
}
