//! Which words and sentences of a text a score comes from.
//!
//! A word counts by how much the score falls when the text is judged without it. The model reads words together, so that
//! these weights neither add up nor prove a reason: they show where to look.

use super::{Guard, sentences};
use crate::classify::pool::{Asking, Pool, Unavailable};
use crate::classify::{Input, Scores};
use crate::policy::rule::Score;
use std::ops::Range;
use std::time::{Duration, Instant};

/// From here on a word is shown as one that matters.
pub const MATTERS: f32 = 0.05;

/// A longer text is weighed by its sentences alone.
const MOST_WORDS: usize = 400;

/// Texts of one job, and their bytes together: few, so that what callers ask comes between.
const BATCH: usize = 8;
const BATCH_BYTES: usize = 16 * 1024;

/// Texts of which the one that scores highest is looked for, the last ones.
const MOST_TEXTS: usize = 64;

/// A part of a text, and how much of the score comes from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Where it stands.
    pub place: Range<usize>,
    /// How much the score falls without it.
    pub weight: f32,
}

/// What a score of a text comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// The score of the whole text.
    pub whole: f32,
    /// Its words; none of a long text.
    pub words: Vec<Part>,
    /// Its sentences; none where it is one.
    pub sentences: Vec<Part>,
    /// Whether the time was over before all of it was weighed.
    pub is_cut: bool,
}

impl Weights {
    /// What matters, in the order of the text: words, or the sentences of a text whose words were not weighed.
    #[must_use]
    pub fn heavy(&self) -> Vec<&Part> {
        let parts = if self.words.is_empty() { &self.sentences } else { &self.words };
        let mut heavy: Vec<&Part> = parts.iter().filter(|part| part.weight >= MATTERS).collect();
        heavy.sort_by_key(|part| part.place.start);
        heavy
    }
}

/// Parts are told apart by all of the model.
const LOOKING: Asking<'_> = Asking { tenant: None, thorough: true };

/// Weighs the parts of a text by the model, within a time where there is one: `of` is the score that is looked at.
///
/// # Errors
/// [`Unavailable`] when the model cannot judge the text itself.
pub async fn weigh(
    pool: &Pool,
    input: &Input,
    of: impl Fn(&Scores) -> f32,
    within: Option<Duration>,
) -> Result<Weights, Unavailable> {
    let until = within.map(|within| Instant::now() + within);
    let whole = pool.judge(LOOKING, vec![input.clone()]).await?;
    let whole = whole.first().map_or(0.0, |judged| of(&judged.scores));
    let mut weights = Weights { whole, ..Weights::default() };
    let text = input.text();
    let (words, sentences) = (words(text), places(text));
    if sentences.len() > 1 {
        (weights.sentences, weights.is_cut) = parts(pool, input, (&of, whole, until), sentences).await?;
    }
    if words.len() <= MOST_WORDS && !weights.is_cut {
        (weights.words, weights.is_cut) = parts(pool, input, (&of, whole, until), words).await?;
    }
    Ok(weights)
}

/// What each part weighs, as far as the time allows, and whether it was over before.
async fn parts(
    pool: &Pool,
    input: &Input,
    (of, whole, until): (&impl Fn(&Scores) -> f32, f32, Option<Instant>),
    places: Vec<Range<usize>>,
) -> Result<(Vec<Part>, bool), Unavailable> {
    let mut parts = Vec::new();
    let batch = (BATCH_BYTES / input.text().len().max(1)).clamp(1, BATCH);
    for some in places.chunks(batch) {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok((parts, true));
        }
        let inputs = some.iter().map(|place| with(input, without(input.text(), place))).collect();
        let left = match pool.judge_once(inputs).await {
            Ok(left) => left,
            // Callers come first: whoever only looks goes on with what is known.
            Err(_) if until.is_some() => return Ok((parts, true)),
            Err(why) => return Err(why),
        };
        let weighed = some.iter().zip(left);
        parts.extend(weighed.map(|(place, left)| Part { place: place.clone(), weight: whole - of(&left.scores) }));
    }
    Ok((parts, false))
}

fn with(input: &Input, text: String) -> Input {
    match input {
        Input::Prompt(_) => Input::Prompt(text),
        Input::Conversation { context, .. } => Input::Conversation { context: context.clone(), turn: text },
        Input::Completion { prompt, .. } => Input::Completion { prompt: prompt.clone(), completion: text },
    }
}

impl Guard {
    /// The text that scores highest among some, by its place, and what its score comes from; nothing where somebody else is
    /// looking at one now, since callers come first.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge them.
    pub async fn heaviest(
        &self,
        texts: &[Input],
        score: Score,
        within: Duration,
    ) -> Result<Option<(usize, Weights)>, Unavailable> {
        let Ok(_looking) = self.looking.try_acquire() else { return Ok(None) };
        let first = texts.len().saturating_sub(MOST_TEXTS);
        let last: Vec<Input> = texts.iter().skip(first).cloned().collect();
        let judged = self.pool.judge(LOOKING, last.clone()).await?;
        let scored = last.iter().zip(judged).enumerate();
        let highest =
            scored.max_by(|(_, (_, one)), (_, (_, other))| score.of(&one.scores).total_cmp(&score.of(&other.scores)));
        let Some((place, (input, _))) = highest else { return Ok(None) };
        let weights = weigh(&self.pool, input, |scores| score.of(scores), Some(within)).await?;
        Ok(Some((first + place, weights)))
    }
}

/// Where the words of a text stand.
fn words(text: &str) -> Vec<Range<usize>> {
    let (mut words, mut start) = (Vec::new(), None);
    for (at, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        match (letter.is_alphanumeric() || matches!(letter, '\'' | '’' | '-'), start) {
            (true, None) => start = Some(at),
            (false, Some(begun)) => {
                words.push(begun..at);
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Where the sentences of a text stand.
fn places(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let place = |sentence: &str| {
        let start = at;
        at += sentence.len();
        start..at
    };
    sentences(text).into_iter().map(place).collect()
}

fn without(text: &str, place: &Range<usize>) -> String {
    format!("{}{}", text.get(..place.start).unwrap_or_default(), text.get(place.end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sentences_stand_where_they_are() {
        let text = "Don't back-date it, é! Then wait for the two results. Go.";
        let shown = |places: Vec<Range<usize>>| -> Vec<String> {
            places.into_iter().map(|place| text.get(place).unwrap().to_owned()).collect()
        };
        assert_eq!(shown(words(text))[..4], ["Don't", "back-date", "it", "é"]);
        assert_eq!(shown(places(text)), ["Don't back-date it, é! ", "Then wait for the two results. ", "Go."]);
        assert_eq!(without("abc", &(1..2)), "ac");
    }

    #[test]
    fn what_matters_is_told_in_the_order_of_the_text() {
        let part = |start, weight| Part { place: start..start + 1, weight };
        let words = vec![part(4, 0.3), part(0, 0.6), part(2, 0.01)];
        let weights = Weights { words, sentences: vec![part(9, 0.9)], ..Weights::default() };
        assert_eq!(weights.heavy().iter().map(|part| part.place.start).collect::<Vec<_>>(), [0, 4]);
        assert_eq!(Weights { words: vec![], ..weights }.heavy().len(), 1);
    }
}
