"""What the labels of a batch ask of a network, as arrays."""

from typing import NamedTuple

import numpy as np

from classifier.data import Item
from classifier.labels import HEADS, TYPES


class Targets(NamedTuple):
    """Of n items, in the order of their rows; loss.py reads it.

    `labels` [n, heads] are 0 or 1, `weights` [n, heads] 0 where the label is not known; `types` [n, types] says which types may
    be the right one, `type_weights` [n] is 0 where none is known; `twins` [3, pairs] are the violating row, the other, and the head
    in which they differ.
    """

    labels: np.ndarray
    weights: np.ndarray
    types: np.ndarray
    type_weights: np.ndarray
    twins: np.ndarray


def targets_of(items: list[Item]) -> Targets:
    """The targets of a batch's items, of which twins are neighbours."""
    known = [[getattr(item, head) for head in HEADS] for item in items]
    types = np.zeros((len(items), len(TYPES)), dtype=bool)
    for row, item in enumerate(items):
        types[row, list(item.types)] = True
    return Targets(
        np.array([[label or 0 for label in labels] for labels in known], np.float32),
        np.array([[0.0 if label is None else i.weight for label in labels] for i, labels in zip(items, known)], np.float32),
        types,
        np.array([item.weight if item.types else 0.0 for item in items], np.float32),
        np.array(twins(items), np.int64).reshape(-1, 3).T,
    )


def twins(items: list[Item]) -> list[tuple[int, int, int]]:
    """Of each two neighbours that are twins: the violating row, the other row, and the place of the head."""
    found = []
    for row, (one, other) in enumerate(zip(items, items[1:])):
        if not are_twins(one, other):
            continue
        for head in ("violation", "crisis"):
            if {getattr(one, head), getattr(other, head)} == {0, 1}:
                worse = row if getattr(one, head) else row + 1
                found.append((worse, 2 * row + 1 - worse, HEADS.index(head)))
    return found


def are_twins(one: Item, other: Item) -> bool:
    """Whether two items are of one pair and judged as the same side."""
    return one.pair == other.pair and one.side == other.side
