//! A model is an [`Encoder`] and a [`Graph`]: this file puts them together to a [`Classifier`], wherever the graph runs.

use super::encode::Encoder;
use super::window::Sequence;
use super::{Care, Classifier, ClassifyError, Floors, Input, Scores};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What turns sequences into logits.
pub trait Graph: Send + Sync {
    /// The logits of each sequence, in their order.
    ///
    /// # Errors
    /// [`ClassifyError::Inference`] when there are none; nothing may then be assumed of any sequence.
    fn logits(&self, sequences: Vec<Sequence>, care: Care) -> Result<Vec<Logits>, ClassifyError>;

    /// Whether it can answer early.
    fn may_exit(&self) -> bool {
        false
    }
}

/// What a graph says of one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits {
    /// One for each label of the manifest.
    pub values: Vec<f32>,
    /// Whether they are those of its first layers.
    pub early: bool,
}

impl<G: Graph + ?Sized> Graph for Arc<G> {
    fn logits(&self, sequences: Vec<Sequence>, care: Care) -> Result<Vec<Logits>, ClassifyError> {
        G::logits(self, sequences, care)
    }

    fn may_exit(&self) -> bool {
        G::may_exit(self)
    }
}

/// A classifier whose graph is `G`.
pub struct GraphClassifier<G> {
    encoder: Arc<Encoder>,
    graph: G,
    id: String,
}

impl<G: Graph> GraphClassifier<G> {
    /// A classifier that reads as `encoder` does; `id` names it in records.
    pub fn new(encoder: Arc<Encoder>, graph: G, id: String) -> Self {
        Self { encoder, graph, id }
    }
}

/// Longer than anybody waits.
const UNHURRIED: Duration = Duration::from_secs(3600);

impl<G: Graph> Classifier for GraphClassifier<G> {
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        self.score_with(inputs, Care { until: Instant::now() + UNHURRIED, thorough: true })
    }

    fn score_with(&self, inputs: &[Input], care: Care) -> Result<Vec<Scores>, ClassifyError> {
        let score = |input| {
            let (side, sequences) = self.encoder.encode(input)?;
            let expected = sequences.len();
            let logits = self.graph.logits(sequences, care)?;
            if logits.len() != expected {
                return Err(ClassifyError::inference("the graph left a sequence out"));
            }
            let scores = |one: &Logits| {
                let scores = self.encoder.scores(side, &one.values)?;
                Ok(Scores { early: one.early, ..scores })
            };
            let mut judged = logits.iter().map(scores);
            let first = judged.next().unwrap_or(Ok(Scores::NONE))?;
            judged.try_fold(first, |whole, next| Ok(whole.worst(next?)))
        };
        inputs.iter().map(score).collect()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn floors(&self) -> Option<Floors> {
        self.encoder.manifest().floors.filter(|_| self.graph.may_exit())
    }
}
