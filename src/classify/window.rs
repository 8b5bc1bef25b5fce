//! Cuts token ids into sequences that fit the model: every token of the judged text lies in at least one window.

use super::Input;
use super::manifest::{Manifest, Side};

/// One sequence as the model reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids, with the special tokens and the marker.
    pub ids: Vec<i64>,
    /// 0 for the first segment, 1 for the second; as long as `ids`.
    pub types: Vec<i64>,
}

/// The sequences that together cover `input`, with the side that they are judged on.
///
/// `tokenize` gives the ids of a text without special tokens.
///
/// # Errors
/// Those of `tokenize`.
pub fn sequences<E>(
    input: &Input,
    manifest: &Manifest,
    tokenize: impl Fn(&str) -> Result<Vec<i64>, E>,
) -> Result<(Side, Vec<Sequence>), E> {
    let windows = |text: &str| tokenize(text).map(|ids| cut(&ids, manifest.window, manifest.overlap));
    let excerpt = |text: &str| tokenize(text).map(|ids| head_and_tail(&ids, manifest.context));
    Ok(match input {
        Input::Prompt(text) => {
            let marker = manifest.markers.prompt;
            (Side::Prompt, windows(text)?.iter().map(|window| alone(marker, window, manifest)).collect())
        }
        Input::Conversation { context, turn } => {
            let (marker, turn) = (manifest.markers.conversation, excerpt(turn)?);
            (Side::Conversation, windows(context)?.iter().map(|window| pair(marker, window, &turn, manifest)).collect())
        }
        Input::Completion { prompt, completion } => {
            let (marker, prompt) = (manifest.markers.completion, excerpt(prompt)?);
            (
                Side::Completion,
                windows(completion)?.iter().map(|window| pair(marker, &prompt, window, manifest)).collect(),
            )
        }
    })
}

/// Windows of at most `size` ids, each sharing `overlap` ids with the one before; at least one, empty for no ids.
fn cut(ids: &[i64], size: usize, overlap: usize) -> Vec<Vec<i64>> {
    let mut windows = Vec::new();
    let mut rest = ids;
    loop {
        let (window, _) = rest.split_at(size.min(rest.len()));
        windows.push(window.to_vec());
        if rest.len() <= size {
            return windows;
        }
        // The manifest's check holds overlap below size, so that each step goes forward.
        (_, rest) = rest.split_at(size - overlap);
    }
}

/// The ids themselves, or their first and last halves of `limit` when there are more.
fn head_and_tail(ids: &[i64], limit: usize) -> Vec<i64> {
    if ids.len() <= limit {
        return ids.to_vec();
    }
    let (head, _) = ids.split_at(limit / 2);
    let (_, tail) = ids.split_at(ids.len() - limit / 2);
    [head, tail].concat()
}

fn alone(marker: i64, text: &[i64], manifest: &Manifest) -> Sequence {
    let ids = [&[manifest.cls, marker], text, &[manifest.sep]].concat();
    let types = vec![0; ids.len()];
    Sequence { ids, types }
}

fn pair(marker: i64, first: &[i64], second: &[i64], manifest: &Manifest) -> Sequence {
    let ids = [&[manifest.cls, marker], first, &[manifest.sep], second, &[manifest.sep]].concat();
    let mut types = vec![0; first.len() + 3];
    types.resize(ids.len(), 1);
    Sequence { ids, types }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_text_is_one_window() {
        assert_eq!(cut(&[1, 2, 3], 4, 1), [vec![1, 2, 3]]);
        assert_eq!(cut(&[], 4, 1), [Vec::<i64>::new()]);
    }

    #[test]
    fn a_long_prompt_is_shown_by_its_head_and_tail() {
        assert_eq!(head_and_tail(&[1, 2, 3, 4, 5, 6], 4), [1, 2, 5, 6]);
    }

    proptest! {
        #[test]
        fn windows_cover_every_token(length in 0_i64..2000, size in 2_usize..200, share in 0_usize..100) {
            let overlap = share * (size - 1) / 100;
            let ids: Vec<i64> = (0..length).collect();
            let windows = cut(&ids, size, overlap);
            prop_assert!(windows.iter().all(|window| window.len() <= size));
            let mut seen: Vec<i64> = windows.concat();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen, ids);
            for two in windows.windows(2) {
                prop_assert_eq!(&two[0][two[0].len() - overlap..], &two[1][..overlap.min(two[1].len())]);
            }
        }
    }
}
