"""Batches of about equal length in which both sides of a twin stay together; as arrays, so that other processes can make them."""

import random
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from classifier.data import Item
from classifier.encode import PAD, Sequence, sequences
from classifier.noise import hidden, restyle
from classifier.targets import Targets, targets_of

Encoded = tuple[Item, Sequence]


class Inputs(NamedTuple):
    """What a network reads: ids, mask and segments, each int64 [rows, sequence]."""

    ids: np.ndarray
    mask: np.ndarray
    segments: np.ndarray


class Batch(NamedTuple):
    """Labelled rows and then, where there are teachers to ask, unlabelled ones.

    `hidden`, bool [rows, sequence], says which words a network that learns does not see. `targets` are of the labelled rows.
    """

    inputs: Inputs
    hidden: np.ndarray
    targets: Targets


def encoded(tokenizer: Tokenizer, unit: list[Item], rng: random.Random) -> list[Encoded]:
    """One window of each item of a unit, restyled alike."""
    seed = rng.random()
    rows = []
    for item in unit:
        text = restyle(item.text, random.Random(seed))
        windows = sequences(tokenizer, item.side, item.context, text)
        # A violating text that is too long for a window turns at its end (kind `late`) or says it all over.
        last = item.violation or item.side == "conversation"
        rows.append((item, windows[-1] if last else rng.choice(windows)))
    return rows


def pack(units: list[list[Encoded]], tokens: int, rng: random.Random) -> list[list[Encoded]]:
    """All units as the rows of batches of at most `tokens` tokens, padding counted, shuffled."""
    length = lambda unit: max(len(sequence.ids) for _, sequence in unit)
    ordered = sorted(units, key=lambda unit: length(unit) + rng.random() * 12)
    batches: list[list[Encoded]] = []
    rows: list[Encoded] = []
    for unit in ordered:
        longest = max([len(sequence.ids) for _, sequence in rows] + [length(unit)])
        if rows and longest * (len(rows) + len(unit)) > tokens:
            batches.append(rows)
            rows = []
        rows = rows + unit
    batches.append(rows)
    rng.shuffle(batches)
    return batches


def batch_of(rows: list[Encoded], unlabelled: list[Sequence], rng: random.Random) -> Batch:
    """Labelled rows and unlabelled sequences as one batch."""
    inputs = padded([sequence for _, sequence in rows] + unlabelled)
    return Batch(inputs, hidden(inputs.ids, rng), targets_of([item for item, _ in rows]))


def padded(rows: list[Sequence]) -> Inputs:
    """Sequences as arrays, as wide as the longest."""
    width = max(len(sequence.ids) for sequence in rows)
    fill = lambda values, blank: values + [blank] * (width - len(values))
    return Inputs(
        np.array([fill(s.ids, PAD) for s in rows], np.int64),
        np.array([fill([1] * len(s.ids), 0) for s in rows], np.int64),
        np.array([fill(s.types, 0) for s in rows], np.int64),
    )
