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

# At most this part of harmless validation texts may be over a threshold: of real questions and answers, of our own blunt and
# frightened messages, of refusals and quotations, and of those blunt messages that get help or a mark instead.
BUDGET, BLUNT_BUDGET, DECLINED_BUDGET, HELP_BUDGET = 0.003, 0.05, 0.03, 0.03
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


def threshold(budgets: list[tuple[np.ndarray, float]]) -> float:
    """The lowest probability from which to act that stops no more of each set of harmless texts than its budget."""
    for step in np.round(np.arange(0.05, 0.991, 0.01), 2):
        if all((scores >= step).mean() <= budget for scores, budget in budgets if len(scores)):
            return float(step)
    return 0.99


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
    of = lambda place, test: scores[pick(test), place]
    public = lambda side: lambda i: i.side == side and i.source.startswith("benign")
    plain = lambda i: i.source == "plain"
    declines = lambda i: i.source == "corpus_completions" and not i.violation and i.kind in ("refuse", "redirect", "quote")
    blunt = of(0, plain), BLUNT_BUDGET
    thresholds = {
        "prompt": threshold([(of(0, lambda i: i.side == "prompt" and i.source == "benign_queries"), BUDGET), blunt]),
        "conversation": threshold([(of(0, public("conversation")), BUDGET)]),
        "completion": threshold([(of(0, public("completion")), BUDGET), (of(0, declines), DECLINED_BUDGET)]),
    }
    for place, head in ((1, "manipulation"), (2, "crisis")):
        queries = of(place, lambda i: i.side == "prompt" and i.source == "benign_queries")
        thresholds[head] = threshold([(queries, BUDGET), (of(place, plain), HELP_BUDGET)])
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
