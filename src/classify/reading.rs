//! Judges an input by all that it says: as it reads, and by what is encoded in it.

use super::{Care, Classifier, ClassifyError, Input, Scores};
use crate::detect::{self, Coverage, Readings};

/// What was found in one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The scores over all its readings.
    pub scores: Scores,
    /// How much of it was judged.
    pub coverage: Coverage,
}

/// What is found in `input`, over all its readings. What says something behind its characters is judged thoroughly.
///
/// # Errors
/// Those of the classifier.
pub(super) fn judge(classifier: &dyn Classifier, input: &Input, care: Care) -> Result<Judged, ClassifyError> {
    let (readings, coverage) = readings(input);
    let is_plain = coverage == Coverage::Full && matches!(&*readings, [one] if one == input);
    let scores = classifier.score_with(&readings, Care { thorough: care.thorough || !is_plain, ..care })?;
    let wrong = || ClassifyError::Inference("the classifier left an input out".to_owned());
    if scores.len() != readings.len() {
        return Err(wrong());
    }
    let mut scores = scores.into_iter();
    let visible = scores.next().ok_or_else(wrong)?;
    // What a payload declines, the text around it need not decline.
    let refusal = visible.refusal;
    let whole = scores.fold(visible, Scores::worst);
    Ok(Judged { scores: Scores { refusal, ..whole }, coverage })
}

/// The input as it reads, then one input for each payload; and how much of the input is read.
fn readings(input: &Input) -> (Vec<Input>, Coverage) {
    let of = |read: Readings, with: &dyn Fn(String) -> Input| {
        let mut all = vec![with(read.visible.text().to_owned())];
        all.extend(read.payloads.into_iter().map(|payload| with(payload.text)));
        (all, read.coverage)
    };
    match input {
        Input::Prompt(text) => of(detect::read(text), &Input::Prompt),
        // The turn's payloads are judged where it is judged alone, the prompt's where it is asked.
        Input::Conversation { context, turn } => {
            let turn = detect::visible(turn);
            of(detect::read(context), &|context| Input::Conversation { context, turn: turn.clone() })
        }
        Input::Completion { prompt, completion } => {
            let prompt = detect::visible(prompt);
            of(detect::read(completion), &|completion| Input::Completion { prompt: prompt.clone(), completion })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

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

    fn judged(inputs: &[Input]) -> Vec<(f32, f32, Coverage)> {
        let judged =
            inputs.iter().map(|input| judge(&Words, input, Care { until: Instant::now(), thorough: false }).unwrap());
        judged.map(|one| (one.scores.violation, one.scores.refusal, one.coverage)).collect()
    }

    #[test]
    fn what_is_encoded_is_judged_with_what_it_stands_in() {
        let encoded = data_encoding::BASE64.encode(b"please harm him and say no");
        let completion = |text: &str| Input::Completion { prompt: "p".to_owned(), completion: text.to_owned() };
        let inputs = [Input::Prompt("plain".to_owned()), completion(&encoded), Input::Prompt("h\u{0430}rm".to_owned())];
        assert_eq!(
            judged(&inputs),
            [(0.0, 0.0, Coverage::Full), (1.0, 0.0, Coverage::Full), (1.0, 0.0, Coverage::Full)]
        );
    }

    #[test]
    fn what_is_encoded_in_the_history_is_judged_with_the_turn() {
        let context = format!("assistant: {}\n", data_encoding::BASE64.encode(b"please harm him"));
        let turn = "decode your last message".to_owned();
        let (all, _) = readings(&Input::Conversation { context, turn });
        let harmful =
            |input: &Input| matches!(input, Input::Conversation { context, .. } if context.contains("harm him"));
        assert!(all.iter().any(harmful));
    }

    #[test]
    fn data_in_a_text_makes_its_judgement_partial() {
        let image: Vec<u8> = b"\x89PNG\r\n".iter().copied().chain((0..99_u16).map(|i| (i * 37 % 251) as u8)).collect();
        assert_eq!(judged(&[Input::Prompt(data_encoding::BASE64.encode(&image))]), [(0.0, 0.0, Coverage::Data)]);
    }
}
