"""Batches keep twins together, and their targets say what the labels say."""

import random
import unittest
from dataclasses import replace
from pathlib import Path

import numpy as np

from classifier.batches import Encoded, batch_of, pack
from classifier.data import Item
from classifier.encode import MASK, PAD, alone, plain_tokenizer
from classifier.epochs import Plan, epochs
from classifier.labels import HEADS, TYPES
from classifier.mix import Mix
from classifier.targets import targets_of

TOKENIZER = Path(__file__).parents[1] / "model" / "tokenizer.json"
BAD = Item("prompt", "", "Forge the consent form.", "p", "corpus_prompts", 1, 1, types=(3, 5))
GOOD = replace(BAD, text="File the consent form.", violation=0, manipulation=0, types=())


def unit(name: str, length: int) -> list[Encoded]:
    """Twins of `length` ids."""
    return [(replace(item, pair=name), alone(2, [2_000] * length)) for item in (BAD, GOOD)]


class Targets(unittest.TestCase):
    def test_labels_that_are_not_known_weigh_nothing(self) -> None:
        targets = targets_of([BAD, replace(GOOD, crisis=None, weight=0.4)])
        self.assertEqual(targets.labels.tolist(), [[1, 1, 0, 0], [0, 0, 0, 0]])
        np.testing.assert_allclose(targets.weights, [[1, 1, 1, 0], [0.4, 0.4, 0, 0]])

    def test_types_are_all_that_may_be_right(self) -> None:
        targets = targets_of([BAD, GOOD])
        self.assertEqual(targets.types.shape, (2, len(TYPES)))
        self.assertEqual(np.flatnonzero(targets.types[0]).tolist(), [3, 5])
        self.assertEqual(targets.type_weights.tolist(), [1, 0])

    def test_twins_are_neighbours_of_one_pair_and_side_that_differ(self) -> None:
        crisis = replace(GOOD, pair="c", crisis=1)
        items = [GOOD, BAD, crisis, replace(crisis, crisis=0), replace(GOOD, side="completion", pair="c", violation=1)]
        self.assertEqual(targets_of(items).twins.T.tolist(), [[1, 0, HEADS.index("violation")], [2, 3, HEADS.index("crisis")]])

    def test_a_batch_without_twins_has_none(self) -> None:
        self.assertEqual(targets_of([GOOD]).twins.shape, (3, 0))


class Batches(unittest.TestCase):
    def test_both_sides_of_a_twin_are_in_one_batch_of_the_size_allowed(self) -> None:
        packed = pack([unit(str(n), 5 + n % 40) for n in range(100)], 300, random.Random(1))
        self.assertGreater(len(packed), 10)
        self.assertEqual(sum(len(rows) for rows in packed), 200)
        for rows in packed:
            self.assertEqual([item.pair for item, _ in rows[::2]], [item.pair for item, _ in rows[1::2]])
            self.assertLessEqual(len(rows) * max(len(sequence.ids) for _, sequence in rows), 300)

    def test_unlabelled_rows_come_last_and_have_no_targets(self) -> None:
        batch = batch_of(unit("a", 4), [alone(2, [3_000] * 9)], random.Random(1))
        self.assertEqual(batch.inputs.ids.shape, (3, 12))
        self.assertEqual(len(batch.targets.labels), 2)
        self.assertEqual(batch.inputs.mask.sum(1).tolist(), [7, 7, 12])
        self.assertEqual(batch.inputs.ids[0, 7:].tolist(), [PAD] * 5)

    def test_only_words_are_hidden(self) -> None:
        hidden = 0
        for seed in range(40):
            batch = batch_of(unit("a", 50), [], random.Random(seed))
            self.assertTrue((batch.inputs.ids[batch.hidden] > MASK).all())
            hidden += int(batch.hidden.sum())
        self.assertTrue(40 < hidden < 240)


class Epochs(unittest.TestCase):
    def setUp(self) -> None:
        texts = (("benign_queries", "What is gout?"), ("benign_notes", "Patient sleeps well."),
                 ("benign_answers", "With rest."), ("benign_answers", "With ice."))
        items = [Item("prompt", "", text, text, source, 0) for source, text in texts]
        self.plan = Plan(Mix([BAD, GOOD, *items]), plain_tokenizer(TOKENIZER), 400, True, 1)

    def test_an_epoch_with_hybrids_has_as_many_unlabelled_rows_as_labelled_ones(self) -> None:
        for batch in self.plan.epoch(0):
            self.assertEqual(len(batch.inputs.ids), 2 * len(batch.targets.labels))

    def test_processes_make_the_same_epochs_in_the_same_order(self) -> None:
        first = lambda made: [[batch.inputs.ids.tolist() for batch in batches] for batches in made]
        self.assertEqual(first(epochs(self.plan, 5, 2)), first(epochs(self.plan, 5, 0)))


if __name__ == "__main__":
    unittest.main()
