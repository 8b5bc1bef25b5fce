"""Fits, on validation, what turns logits into probabilities, and suggests thresholds; on the int8 graph that ships.

    python -m classifier.calibrate      writes target/model/calibration.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

from classifier.data import Item, read_items
from classifier.encode import plain_tokenizer
from classifier.graph import build
from classifier.judge import judge, onnx_model
from classifier.labels import HEADS, SIDES
from classifier.mix import validation_mix
from classifier.network import base_folder

# At most this part of benign validation texts may be over a threshold.
BUDGET = 0.003
# A head that is not learnt on a side says nothing there.
SILENT = {"scale": 0.0, "bias": -12.0}
LEARNT = {
    "prompt": ("violation", "manipulation", "crisis"),
    "conversation": ("violation", "manipulation", "crisis"),
    "completion": ("violation", "refusal"),
}


def sigmoid(values: np.ndarray) -> np.ndarray:
    """The logistic function, elementwise."""
    return 1.0 / (1.0 + np.exp(-np.clip(values, -60, 60)))


def platt(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Scale and bias that make `sigmoid(scale * logit + bias)` likeliest; logits and labels [items].

    Platt's smoothed targets, Newton's method, and a weak prior at scale 1, bias 0 for small validation sets.
    """
    good, bad = (labels == 0).sum(), (labels == 1).sum()
    target = np.where(labels == 1, (bad + 1) / (bad + 2), 1 / (good + 2))
    features = np.stack([logits, np.ones_like(logits)], axis=1).astype(np.float64)
    prior, at = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for _ in range(50):
        found = sigmoid(features @ at)
        slope = features.T @ (found - target) + (at - prior)
        curve = (features * (found * (1 - found))[:, None]).T @ features + np.eye(2)
        move = np.linalg.solve(curve, slope)
        at = at - move / max(1.0, np.abs(move).max())
    return {"scale": round(float(max(at[0], 0.05)), 5), "bias": round(float(at[1]), 5)}


def known(items: list[Item], head: str) -> np.ndarray:
    """Places of the items whose label of `head` is known."""
    return np.array([place for place, item in enumerate(items) if getattr(item, head) is not None], dtype=int)


def labels_of(items: list[Item], head: str) -> np.ndarray:
    """Labels of `head`, 0 or 1, NaN where unknown; float [items]."""
    return np.array([np.nan if getattr(i, head) is None else getattr(i, head) for i in items], dtype=np.float64)


def threshold(good: np.ndarray, bad: np.ndarray, benign: np.ndarray) -> float:
    """The probability from which to act.

    Benign texts are easy, so that their budget alone would set it far too low and stop every near twin. So: of the
    thresholds that keep the budget, the one that tells the two sides of near twins apart best (Youden's index, smoothed
    over a neighbourhood), where there are twins.
    """
    steps = np.round(np.arange(0.05, 0.991, 0.01), 2)
    kept = [step for step in steps if (benign >= step).mean() <= BUDGET] or [0.99]
    if not len(good) or not len(bad):
        return float(kept[0])
    index = np.array([(bad >= step).mean() - (good >= step).mean() for step in kept])
    smooth = np.convolve(np.pad(index, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    return float(kept[int(smooth.argmax())])


def calibrate(items: list[Item], logits: np.ndarray) -> dict:
    """Calibration by side and head, and thresholds, from validation items and their logits [items, labels]."""
    calibration: dict[str, dict] = {}
    scores = np.zeros((len(items), len(HEADS)))
    for side in SIDES:
        calibration[side] = {}
        for place, head in enumerate(HEADS):
            rows = np.array([r for r in known(items, head) if items[r].side == side], dtype=int)
            marks = labels_of(items, head)[rows]
            fits = head in LEARNT[side] and 0 < marks.sum() < len(marks)
            fit = platt(logits[rows, place], marks) if fits else dict(SILENT)
            calibration[side][head] = fit
            at = np.array([r for r, item in enumerate(items) if item.side == side], dtype=int)
            scores[at, place] = sigmoid(fit["scale"] * logits[at, place] + fit["bias"])
    pick = lambda test: np.array([r for r, item in enumerate(items) if test(item)], dtype=int)
    thresholds = {}
    for side in SIDES:
        benign = pick(lambda i: i.side == side and not i.source.startswith("corpus") and not i.violation)
        good = pick(lambda i: i.side == side and i.source.startswith("corpus") and not i.violation and not i.crisis)
        bad = pick(lambda i: i.side == side and i.source.startswith("corpus") and i.violation)
        thresholds[side] = threshold(scores[good, 0], scores[bad, 0], scores[benign, 0])
    for place, head in ((1, "manipulation"), (2, "crisis")):
        benign = pick(lambda i: i.side == "prompt" and i.source == "benign_queries")
        good = pick(lambda i: i.side == "prompt" and i.source.startswith("corpus") and getattr(i, head) == 0)
        bad = pick(lambda i: i.side == "prompt" and getattr(i, head) == 1)
        thresholds[head] = threshold(scores[good, place], scores[bad, place], scores[benign, place])
    return {"calibration": calibration, "thresholds": thresholds}


def main() -> None:
    """Reads the trained weights, writes calibration.json beside them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--out", type=Path, default=Path("target/model"))
    options = parser.parse_args()
    _, int8 = build(options.out)
    items = validation_mix(read_items(options.data, options.corpus, "validation"))
    logits = judge(onnx_model(int8), plain_tokenizer(base_folder() / "tokenizer.json"), items)
    found = calibrate(items, logits)
    (options.out / "calibration.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
