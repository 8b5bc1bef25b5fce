"""Splits hold what belongs together, and nothing that is held out is trained on."""

import random
import unittest
from dataclasses import replace
from pathlib import Path

from classifier.data import LEFT_OUT, Item, read_corpus, read_items, split_of
from classifier.labels import LABELS, TYPES
from classifier.mix import Mix

CORPUS = Path(__file__).parents[1] / "corpus"
DATA = Path(__file__).parents[3] / "shared" / "data"


class Splits(unittest.TestCase):
    def test_every_pair_is_whole(self) -> None:
        seen: dict[str, str] = {}
        for item in read_corpus(CORPUS):
            self.assertEqual(seen.setdefault(item.pair, split_of(item)), split_of(item))
        self.assertGreater(len(seen), 100)

    def test_whole_types_are_left_out_of_training(self) -> None:
        left = [item for item in read_corpus(CORPUS) if item.type in LEFT_OUT]
        self.assertGreater(len(left), 600)
        self.assertEqual({split_of(item) for item in left}, {"test"})

    def test_splits_do_not_move(self) -> None:
        item = Item("prompt", "", "x", "a1-0001", "corpus_prompts", 0)
        found = [split_of(replace(item, pair=f"a1-{n:04d}"))[:2] for n in range(1, 17)]
        self.assertEqual(found, EXPECTED)

    def test_shares_are_about_right(self) -> None:
        items = [Item("prompt", "", "x", str(n), "benign_queries", 0) for n in range(20000)]
        part = [split_of(item) for item in items]
        self.assertAlmostEqual(part.count("test") / 20000, 0.20, delta=0.01)
        self.assertAlmostEqual(part.count("validation") / 20000, 0.10, delta=0.01)


EXPECTED = ["va", "tr", "tr", "tr", "tr", "tr", "tr", "tr", "tr", "tr", "tr", "tr", "tr", "va", "tr", "tr"]


class Labels(unittest.TestCase):
    def test_there_are_56_types_after_four_heads(self) -> None:
        self.assertEqual((len(TYPES), len(set(LABELS)), TYPES[0], TYPES[-1]), (56, 60, "I.1", "G.7"))

    def test_crises_are_no_violations_and_refusals_neither(self) -> None:
        for item in read_corpus(CORPUS):
            # Only a prompt that is marked so asks for harm and cries for help at once.
            self.assertFalse(item.violation and item.crisis and item.source != "corpus_prompts")
            self.assertFalse(item.violation and item.source == "corpus_crisis")
            self.assertFalse(item.violation and item.refusal)


@unittest.skipUnless(DATA.exists(), "the shared data is not here")
class Leaks(unittest.TestCase):
    def test_no_held_out_text_is_trained_on(self) -> None:
        mix = Mix(read_items(DATA, CORPUS, "train"))
        trained = [item for unit in mix.units(random.Random(1)) for item in unit]
        self.assertEqual({split_of(item) for item in trained if item.source.startswith(("corpus", "benign"))}, {"train"})
        texts = {item.text for item in trained} | {item.context for item in trained}
        held_out = read_items(DATA, CORPUS, "test") + read_items(DATA, CORPUS, "validation")
        self.assertGreater(len(held_out), 3000)
        self.assertEqual(sum(item.text in texts for item in held_out), 0)


if __name__ == "__main__":
    unittest.main()
