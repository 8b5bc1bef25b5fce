//! A model is an [`Encoder`] and a [`Graph`]: this file puts them together to a [`Classifier`], wherever the graph runs.

use super::encode::Encoder;
use super::window::Sequence;
use super::{Classifier, ClassifyError, Input, Scores};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What turns sequences into logits.
pub trait Graph: Send + Sync {
    /// The logits of each sequence, in their order: one for each label of the manifest. Nobody waits for them after `until`.
    ///
    /// # Errors
    /// [`ClassifyError::Inference`] when there are none; nothing may then be assumed of any sequence.
    fn logits(&self, sequences: Vec<Sequence>, until: Instant) -> Result<Vec<Vec<f32>>, ClassifyError>;
}

impl<G: Graph + ?Sized> Graph for Arc<G> {
    fn logits(&self, sequences: Vec<Sequence>, until: Instant) -> Result<Vec<Vec<f32>>, ClassifyError> {
        G::logits(self, sequences, until)
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
        self.score_until(inputs, Instant::now() + UNHURRIED)
    }

    fn score_until(&self, inputs: &[Input], until: Instant) -> Result<Vec<Scores>, ClassifyError> {
        let score = |input| {
            let (side, sequences) = self.encoder.encode(input)?;
            let expected = sequences.len();
            let logits = self.graph.logits(sequences, until)?;
            if logits.len() != expected {
                return Err(ClassifyError::inference("the graph left a sequence out"));
            }
            let mut judged = logits.iter().map(|logits| self.encoder.scores(side, logits));
            let first = judged.next().unwrap_or(Ok(Scores::NONE))?;
            judged.try_fold(first, |whole, next| Ok(whole.worst(next?)))
        };
        inputs.iter().map(score).collect()
    }

    fn id(&self) -> &str {
        &self.id
    }
}
