"""Hybrids change the judged part and nothing else."""

import random
import unittest

from classifier.data import Item
from classifier.encode import MARKERS, MASK, SEP, WINDOW, Sequence, alone, pair
from classifier.hybrids import changed, crossed, first_judged, hybrids, judged

# Ids of the judged parts, by side, so that where an id comes from can be read off it.
SIDES = {"prompt": 10_000, "conversation": 15_000, "completion": 20_000}
CONTEXT = 1_000


def row(side: str, name: str, start: int, length: int) -> tuple[Item, Sequence]:
    """A text of `length` ids from `start` on, after a context of its own where its side has one."""
    body = list(range(start, start + length))
    item = Item(side, "", "", name, "corpus_prompts", 0)
    if side == "prompt":
        return item, alone(MARKERS[side], body)
    return item, pair(MARKERS[side], [CONTEXT + start % 97] * 9, body)


def rows(length: int) -> list[tuple[Item, Sequence]]:
    """Twins and single texts of every side, each text of its own ids."""
    made = []
    for side, base in SIDES.items():
        for number, name in enumerate(("a", "a", "b", "c", "c", "d")):
            made.append(row(side, name, base + 500 * number, length + number))
    return made


def same_side(side: str, token: int) -> bool:
    """Whether an id of a judged part is one of that side's."""
    return token == MASK or SIDES[side] <= token < SIDES[side] + 5_000


class Hybrids(unittest.TestCase):
    def made(self, length: int, draws: int = 40) -> list[tuple[Item, Sequence, Sequence]]:
        """Items, their sequences and a hybrid of each, drawn often."""
        given = rows(length)
        return [(i, s, h) for n in range(draws) for (i, s), h in zip(given, hybrids(given, random.Random(n)), strict=True)]

    def test_context_and_marker_stay(self) -> None:
        for _, old, new in self.made(20):
            start = first_judged(old)
            self.assertEqual((new.ids[:start], new.types[:start]), (old.ids[:start], old.types[:start]))
            self.assertEqual(first_judged(new), start)

    def test_the_judged_part_ends_with_one_separator_and_is_of_one_segment(self) -> None:
        for _, old, new in self.made(20):
            self.assertEqual(new.ids[-1], SEP)
            self.assertNotIn(SEP, judged(new))
            self.assertEqual(len(new.types), len(new.ids))
            self.assertEqual(set(new.types[first_judged(new) :]), {old.types[-1]})

    def test_none_is_empty_or_longer_than_a_window(self) -> None:
        for length in (1, 20, WINDOW - 5):
            for _, _, new in self.made(length):
                self.assertTrue(1 <= len(judged(new)) <= WINDOW)

    def test_sides_are_never_mixed(self) -> None:
        mixed = 0
        for item, old, new in self.made(20):
            self.assertTrue(all(same_side(item.side, token) for token in judged(new)))
            mixed += bool(set(judged(new)) - set(judged(old)) - {MASK})
        self.assertGreater(mixed, 100)

    def test_neighbours_of_one_pair_that_are_judged_as_two_sides_are_not_crossed(self) -> None:
        given = [row("prompt", "a", SIDES["prompt"], 20), row("completion", "a", SIDES["completion"], 20)]
        for seed in range(40):
            for (item, _), new in zip(given, hybrids(given, random.Random(seed)), strict=True):
                self.assertTrue(all(same_side(item.side, token) for token in judged(new)))

    def test_an_empty_text_stays_one(self) -> None:
        given = [row("prompt", "a", SIDES["prompt"], 0)]
        for seed in range(20):
            self.assertEqual(hybrids(given, random.Random(seed)), [given[0][1]])


class Changes(unittest.TestCase):
    def test_crossed_twins_begin_as_one_and_end_as_the_other(self) -> None:
        one, other = list(range(30)), list(range(100, 125))
        for seed in range(20):
            first, second = crossed(one, other, random.Random(seed))
            self.assertEqual((first[0], first[-1], second[0], second[-1]), (0, 124, 100, 29))
            self.assertEqual(sorted(first + second), one + other)

    def test_a_changed_text_is_cut_or_has_words_of_another_or_hidden_ones(self) -> None:
        body, donor, seen = list(range(2_000, 2_040)), list(range(3_000, 3_040)), set()
        for seed in range(60):
            new = changed(body, donor, random.Random(seed))
            seen.add("hidden" if MASK in new else "mixed" if set(new) & set(donor) else "cut" if len(new) < 40 else "same")
        self.assertLessEqual({"hidden", "mixed", "cut"}, seen)


if __name__ == "__main__":
    unittest.main()
