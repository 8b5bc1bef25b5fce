"""Changes how a text is typed, not what it says, so that style cannot decide; and hides a few words, so that no single one can."""

import random

import numpy as np

from classifier.encode import MASK


def restyle(text: str, rng: random.Random) -> str:
    """The text as it is in four of five cases, else without punctuation, with typing errors, or with a courtesy.

    Case is left alone: the tokenizer lower-cases everything.
    """
    draw = rng.random()
    if draw > 0.20 or len(text) < 12:
        return text
    if draw < 0.10:
        return mistyped(text, rng)
    if draw < 0.13:
        return "".join(c for c in text if c.isalnum() or c.isspace())
    if draw < 0.15:
        return text.rstrip(".?! ")
    return rng.choice(OPENINGS) + text if draw < 0.18 else text + rng.choice(CLOSINGS)


def mistyped(text: str, rng: random.Random) -> str:
    """About one letter of thirty swapped with the next, dropped or doubled."""
    letters = list(text)
    for _ in range(max(1, len(letters) // 30)):
        place = rng.randrange(len(letters) - 1)
        draw = rng.random()
        if draw < 0.4:
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
        elif draw < 0.8:
            letters[place] = ""
        else:
            letters[place] *= 2
    return "".join(letters)


def hidden(ids: np.ndarray, rng: random.Random) -> np.ndarray:
    """Which of the token ids [batch, sequence] to hide: in half of all batches 6% of the words, the special tokens never."""
    if rng.random() < 0.5:
        return np.zeros(ids.shape, dtype=bool)
    return (np.random.default_rng(rng.getrandbits(64)).random(ids.shape) < 0.06) & (ids > MASK + 2)


# Said before and after anything, good or bad.
OPENINGS = ("Hi! ", "Hello, ", "Quick one: ", "Please help. ", "I'm in a hurry. ", "Question for you: ", "ok so ", "hey, ",
            "Thanks in advance. ", "As a doctor: ", "As a nurse, ", "For my work: ")
CLOSINGS = (" Thanks.", " Thank you!", " Please keep it short.", " Step by step, please.", " Explain in detail.",
            " It's urgent.", " Be concise.", " In bullet points.", " I need it today.", " pls", " Any ideas?",
            " What do you think?")
