"""Texts that nobody labelled, made of those of a batch: what a student asks its teachers beside what it is told.

A hybrid of twins lies between their two sides, where the labels say nothing and the student has most to learn. Only the judged
part is changed: context and marker stay, and nothing comes from a text that is judged as another side.
"""

import random

from classifier.batches import Encoded
from classifier.encode import MASK, SEP, WINDOW, Sequence
from classifier.targets import are_twins

# How often twins are crossed; the others are changed alone.
CROSSED = 0.7


def hybrids(rows: list[Encoded], rng: random.Random) -> list[Sequence]:
    """One sequence for each row, none longer than a window allows."""
    bodies = [judged(sequence) for _, sequence in rows]
    made: list[list[int]] = []
    while len(made) < len(rows):
        row = len(made)
        paired = row + 1 < len(rows) and are_twins(rows[row][0], rows[row + 1][0])
        if paired and rng.random() < CROSSED:
            made += crossed(bodies[row], bodies[row + 1], rng)
        else:
            alike = [body for (item, _), body in zip(rows, bodies) if item.side == rows[row][0].side]
            made.append(changed(bodies[row], rng.choice(alike), rng))
    return [with_judged(sequence, new[:WINDOW] or old) for (_, sequence), old, new in zip(rows, bodies, made)]


def crossed(one: list[int], other: list[int], rng: random.Random) -> tuple[list[int], list[int]]:
    """Each begins as one and ends as the other, from about the same place on."""
    place = rng.uniform(0.1, 0.9)
    near = min(0.95, max(0.05, place + rng.uniform(-0.05, 0.05)))
    first, second = round(place * len(one)), round(near * len(other))
    return one[:first] + other[second:], other[:second] + one[first:]


def changed(body: list[int], donor: list[int], rng: random.Random) -> list[int]:
    """A tenth to a half of the text cut out, or some words of another put in, or one word of five hidden."""
    draw, place = rng.random(), rng.randrange(len(body) + 1)
    if draw < 0.45:
        return body[:place] + body[place + max(1, int(len(body) * rng.uniform(0.1, 0.5))) :]
    if draw < 0.70:
        start = rng.randrange(len(donor) + 1)
        return body[:place] + donor[start : start + rng.randrange(3, 25)] + body[place:]
    return [MASK if rng.random() < 0.2 else token for token in body]


def first_judged(sequence: Sequence) -> int:
    """Where the judged part begins: with the second segment, or behind `[CLS] marker`."""
    return sequence.types.index(1) if 1 in sequence.types else 2


def judged(sequence: Sequence) -> list[int]:
    """The ids of the judged part, without the separator behind it."""
    return sequence.ids[first_judged(sequence) : -1]


def with_judged(sequence: Sequence, body: list[int]) -> Sequence:
    """The sequence with another judged part."""
    start = first_judged(sequence)
    return Sequence([*sequence.ids[:start], *body, SEP], sequence.types[:start] + sequence.types[-1:] * (len(body) + 1))
