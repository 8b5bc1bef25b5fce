"""Batches of about equal length in which both sides of a twin stay together."""

import random
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from classifier.data import Item
from classifier.encode import PAD, Sequence, sequences
from classifier.noise import restyle

TOKENS_PER_BATCH = 2000
Encoded = tuple[Item, Sequence]


@dataclass(frozen=True)
class Batch:
    """Items in the order of the rows of `inputs`, three int64 tensors [batch, sequence]."""

    items: list[Item]
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor]


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


def pack(units: list[list[Encoded]], rng: random.Random) -> list[Batch]:
    """All units in batches of at most TOKENS_PER_BATCH tokens, padding counted, shuffled."""
    length = lambda unit: max(len(sequence.ids) for _, sequence in unit)
    ordered = sorted(units, key=lambda unit: length(unit) + rng.random() * 12)
    batches: list[Batch] = []
    rows: list[Encoded] = []
    for unit in ordered:
        longest = max([len(sequence.ids) for _, sequence in rows] + [length(unit)])
        if rows and longest * (len(rows) + len(unit)) > TOKENS_PER_BATCH:
            batches.append(padded(rows))
            rows = []
        rows = rows + unit
    batches.append(padded(rows))
    rng.shuffle(batches)
    return batches


def padded(rows: list[Encoded]) -> Batch:
    """Rows as tensors: ids, mask and segments, each [batch, sequence]."""
    width = max(len(sequence.ids) for _, sequence in rows)
    fill = lambda values, blank: values + [blank] * (width - len(values))
    return Batch(
        [item for item, _ in rows],
        (
            torch.tensor([fill(s.ids, PAD) for _, s in rows]),
            torch.tensor([fill([1] * len(s.ids), 0) for _, s in rows]),
            torch.tensor([fill(s.types, 0) for _, s in rows]),
        ),
    )
