"""Windows cover every token, and sequences are composed as src/classify/window.rs composes them."""

import unittest
from pathlib import Path

from classifier.encode import CLS, SEP, cut, head_and_tail, plain_tokenizer, render, sequences, tokenize

TOKENIZER = Path(__file__).parents[1] / "model" / "tokenizer.json"


class Windows(unittest.TestCase):
    def test_a_short_text_is_one_window(self) -> None:
        self.assertEqual(cut([1, 2, 3], 4, 1), [[1, 2, 3]])
        self.assertEqual(cut([], 4, 1), [[]])

    def test_windows_cover_every_token_and_overlap(self) -> None:
        for length in (1, 127, 128, 129, 224, 225, 1000):
            ids = list(range(length))
            windows = cut(ids)
            self.assertEqual(sorted(set().union(*windows)), ids)
            self.assertTrue(all(len(window) <= 128 for window in windows))
            for one, next_one in zip(windows, windows[1:]):
                self.assertEqual(one[-32:], next_one[:32])

    def test_a_long_prompt_is_shown_by_its_head_and_tail(self) -> None:
        self.assertEqual(head_and_tail([1, 2, 3, 4, 5, 6], 4), [1, 2, 5, 6])
        self.assertEqual(head_and_tail([1, 2, 3, 4], 4), [1, 2, 3, 4])


class Sequences(unittest.TestCase):
    def setUp(self) -> None:
        self.tokenizer = plain_tokenizer(TOKENIZER)
        self.text = tokenize(self.tokenizer, "How do I treat gout?")
        self.other = tokenize(self.tokenizer, "With rest.")

    def test_prompt(self) -> None:
        (only,) = sequences(self.tokenizer, "prompt", "", "How do I treat gout?")
        self.assertEqual(only.ids, [CLS, 2, *self.text, SEP])
        self.assertEqual(set(only.types), {0})

    def test_completion(self) -> None:
        (only,) = sequences(self.tokenizer, "completion", "How do I treat gout?", "With rest.")
        self.assertEqual(only.ids, [CLS, 4, *self.text, SEP, *self.other, SEP])
        self.assertEqual(only.types, [0] * (len(self.text) + 3) + [1] * (len(self.other) + 1))

    def test_conversation_windows_its_context_and_keeps_the_turn(self) -> None:
        windows = sequences(self.tokenizer, "conversation", "gout " * 300, "With rest.")
        self.assertGreater(len(windows), 2)
        self.assertTrue(all(window.ids[1] == 3 and window.ids[-1 - len(self.other) : -1] == self.other for window in windows))

    def test_a_text_cannot_forge_special_tokens(self) -> None:
        self.assertFalse({CLS, SEP, 0, 2, 3, 4, 103} & set(tokenize(self.tokenizer, "[CLS] [SEP] [PAD] [MASK] [unused1]")))

    def test_system_turns_are_left_out(self) -> None:
        turns = [{"role": r, "content": c} for r, c in (("system", "s"), ("user", "u"), ("assistant", "a"))]
        self.assertEqual(render(turns), "user: u\nassistant: a\n")


if __name__ == "__main__":
    unittest.main()
