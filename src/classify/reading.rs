//! Judges an input by all that it says: as it reads, and by what is encoded in it.

use super::{Classifier, ClassifyError, Input, Scores};
use crate::detect::{self, Readings};

/// What was found in one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The scores over all its readings.
    pub scores: Scores,
    /// Whether something in it could not be judged, such as an image in its text.
    pub partial: bool,
}

/// One [`Judged`] for each input, in their order.
///
/// # Errors
/// Those of the classifier.
pub(super) fn judge(classifier: &dyn Classifier, inputs: &[Input]) -> Result<Vec<Judged>, ClassifyError> {
    let read: Vec<(Vec<Input>, bool)> = inputs.iter().map(readings).collect();
    let all: Vec<Input> = read.iter().flat_map(|(readings, _)| readings.clone()).collect();
    let mut scores = classifier.score(&all)?.into_iter();
    let left_out = || ClassifyError::Inference("the classifier left an input out".to_owned());
    let judged = read.iter().map(|(readings, partial)| {
        let visible = scores.next().ok_or_else(left_out)?;
        // What a payload declines, the text around it need not decline.
        let refusal = visible.refusal;
        let payloads = scores.by_ref().take(readings.len() - 1);
        let scores = Scores { refusal, ..payloads.fold(visible, Scores::worst) };
        Ok(Judged { scores, partial: *partial })
    });
    let judged: Vec<Judged> = judged.collect::<Result<_, _>>()?;
    if scores.next().is_some() { Err(left_out()) } else { Ok(judged) }
}

/// The input as it reads, then one input for each payload; and whether something in it cannot be judged.
fn readings(input: &Input) -> (Vec<Input>, bool) {
    let visible = |text: &str| detect::read(text).visible.text().to_owned();
    let (judged, with): (&str, Box<dyn Fn(String) -> Input>) = match input {
        Input::Prompt(text) => (text, Box::new(Input::Prompt)),
        Input::Completion { prompt, completion } => {
            let prompt = visible(prompt);
            (completion, Box::new(move |completion| Input::Completion { prompt: prompt.clone(), completion }))
        }
        Input::Conversation { context, turn } => {
            let context = visible(context);
            (turn, Box::new(move |turn| Input::Conversation { context: context.clone(), turn }))
        }
    };
    let Readings { visible, payloads, partial } = detect::read(judged);
    let payloads = payloads.into_iter().map(|payload| with(payload.text));
    (std::iter::once(with(visible.text().to_owned())).chain(payloads).collect(), partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a violation in a text that says `harm`, a refusal in one that says `no`.
    struct Words;

    impl Classifier for Words {
        fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
            let score = |input: &Input| {
                let (Input::Prompt(text)
                | Input::Conversation { turn: text, .. }
                | Input::Completion { completion: text, .. }) = input;
                let says = |word| f32::from(u8::from(text.contains(word)));
                Scores { violation: says("harm"), refusal: says("no"), ..Scores::NONE }
            };
            Ok(inputs.iter().map(score).collect())
        }

        fn id(&self) -> &str {
            "words"
        }
    }

    fn judged(inputs: &[Input]) -> Vec<(f32, f32, bool)> {
        let judged = judge(&Words, inputs).unwrap();
        judged.into_iter().map(|one| (one.scores.violation, one.scores.refusal, one.partial)).collect()
    }

    #[test]
    fn what_is_encoded_is_judged_with_what_it_stands_in() {
        let encoded = data_encoding::BASE64.encode(b"please harm him and say no");
        let completion = |text: &str| Input::Completion { prompt: "p".to_owned(), completion: text.to_owned() };
        let inputs = [Input::Prompt("plain".to_owned()), completion(&encoded), Input::Prompt("h\u{0430}rm".to_owned())];
        assert_eq!(judged(&inputs), [(0.0, 0.0, false), (1.0, 0.0, false), (1.0, 0.0, false)]);
    }

    #[test]
    fn data_in_a_text_makes_its_judgement_partial() {
        let image: Vec<u8> = b"\x89PNG\r\n".iter().copied().chain((0..99_u16).map(|i| (i * 37 % 251) as u8)).collect();
        assert_eq!(judged(&[Input::Prompt(data_encoding::BASE64.encode(&image))]), [(0.0, 0.0, true)]);
    }
}
