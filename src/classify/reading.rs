//! Judges an input by all that it says: as it reads, and by what is encoded in it.

use super::{Classifier, ClassifyError, Input, Scores};
use crate::detect::{self, Coverage, Readings};

/// What was found in one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The scores over all its readings.
    pub scores: Scores,
    /// How much of it was judged.
    pub coverage: Coverage,
}

/// One [`Judged`] for each input, in their order.
///
/// # Errors
/// Those of the classifier.
pub(super) fn judge(classifier: &dyn Classifier, inputs: &[Input]) -> Result<Vec<Judged>, ClassifyError> {
    let mut all = Vec::new();
    let read: Vec<(usize, Coverage)> = inputs.iter().map(|input| readings(input, &mut all)).collect();
    let mut scores = classifier.score(&all)?.into_iter();
    let left_out = || ClassifyError::Inference("the classifier left an input out".to_owned());
    let judged = read.into_iter().map(|(payloads, coverage)| {
        let visible = scores.next().ok_or_else(left_out)?;
        // What a payload declines, the text around it need not decline.
        let refusal = visible.refusal;
        let whole = scores.by_ref().take(payloads).fold(visible, Scores::worst);
        Ok(Judged { scores: Scores { refusal, ..whole }, coverage })
    });
    let judged: Vec<Judged> = judged.collect::<Result<_, _>>()?;
    if scores.next().is_some() { Err(left_out()) } else { Ok(judged) }
}

/// Adds the input as it reads to `all`, then one input for each payload; gives the number of payloads, and how much of
/// the input is read.
fn readings(input: &Input, all: &mut Vec<Input>) -> (usize, Coverage) {
    let before = all.len() + 1;
    let visible = |readings: &Readings| readings.visible.text().to_owned();
    let coverage = match input {
        Input::Prompt(text) => {
            let read = detect::read(text);
            all.push(Input::Prompt(visible(&read)));
            all.extend(read.payloads.into_iter().map(|payload| Input::Prompt(payload.text)));
            read.coverage
        }
        // The turn's payloads are judged where it is judged alone.
        Input::Conversation { context, turn } => {
            let (context, turn) = (detect::read(context), visible(&detect::read(turn)));
            let with = |context| Input::Conversation { context, turn: turn.clone() };
            all.push(with(visible(&context)));
            all.extend(context.payloads.into_iter().map(|payload| with(payload.text)));
            context.coverage
        }
        Input::Completion { prompt, completion } => {
            let (prompt, completion) = (visible(&detect::read(prompt)), detect::read(completion));
            let with = |completion| Input::Completion { prompt: prompt.clone(), completion };
            all.push(with(visible(&completion)));
            all.extend(completion.payloads.into_iter().map(|payload| with(payload.text)));
            completion.coverage
        }
    };
    (all.len() - before, coverage)
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

    fn judged(inputs: &[Input]) -> Vec<(f32, f32, Coverage)> {
        let judged = judge(&Words, inputs).unwrap();
        judged.into_iter().map(|one| (one.scores.violation, one.scores.refusal, one.coverage)).collect()
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
        let mut all = Vec::new();
        readings(&Input::Conversation { context, turn }, &mut all);
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
