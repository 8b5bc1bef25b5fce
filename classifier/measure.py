"""Figures with their uncertainty: AUC, rates, and bootstrap intervals that draw whole pairs."""

from typing import Callable

import numpy as np

DRAWS = 1000


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a positive scores above a negative, ties counting half; NaN without both."""
    good, bad = scores[labels == 0], scores[labels == 1]
    if not len(good) or not len(bad):
        return float("nan")
    order = np.sort(good)
    below, upto = np.searchsorted(order, bad, "left"), np.searchsorted(order, bad, "right")
    return float((below + upto).mean() / 2 / len(good))


def recall_at(scores: np.ndarray, labels: np.ndarray, budget: float) -> float:
    """The share of positives above the score that `budget` of the negatives are above; NaN without both."""
    good, bad = scores[labels == 0], scores[labels == 1]
    if not len(good) or not len(bad):
        return float("nan")
    return float((bad > np.quantile(good, 1.0 - budget)).mean())


def interval(groups: list[str], figure: Callable[[np.ndarray], float], seed: int = 7) -> tuple[float, float, float]:
    """`figure` of all rows, and the 2.5th and 97.5th percentile of it over draws of whole groups with replacement.

    `groups` names the group of each row; `figure` gets places of rows.
    """
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    rows = [np.array(places) for places in members.values()]
    rng = np.random.default_rng(seed)
    drawn = [figure(np.concatenate([rows[g] for g in rng.integers(0, len(rows), len(rows))])) for _ in range(DRAWS)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return figure(np.arange(len(groups))), float(low), float(high)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95% interval of a rate near 0 or 1, where a bootstrap of no hits would claim certainty."""
    if not total:
        return float("nan"), float("nan")
    z, rate = 1.96, hits / total
    middle = rate + z * z / (2 * total)
    spread = z * np.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return float((middle - spread) / (1 + z * z / total)), float((middle + spread) / (1 + z * z / total))
